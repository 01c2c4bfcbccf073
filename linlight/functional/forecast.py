"""Up to which learning rate a training converges, as far as that is known before its first step."""

from dataclasses import dataclass
from typing import Literal

from linlight.functional.cycle import Cycle


@dataclass(frozen=True)
class Forecast:
    """The largest stable learning rate of a training, and how far it can be trusted.

    Attributes:
        kind: `whole` for plain steps on the whole batch, where the gap after every epoch is known;
            `cycle` for plain steps on batches in a fixed order, likewise; `momentum` for steps with momentum
            on the whole batch, where the bound alone is known; `estimate`, of the bound; `unknown`.
        lr: The learning rate, None where its bound is unknown.
        bound: The largest stable learning rate, infinite where every one is stable.
        name: What the bound is called; for `unknown`, why it is unknown.
        cycle: The epoch's map of the weights, for `cycle`.
    """

    kind: Literal["whole", "cycle", "momentum", "estimate", "unknown"]
    lr: float | None = None
    bound: float = float("inf")
    name: str = "the largest stable step"
    cycle: Cycle | None = None

    @property
    def is_above(self) -> bool:
        """Whether the learning rate is larger than the largest stable one."""
        return self.lr is not None and self.lr > self.bound

    @property
    def line(self) -> str:
        """The learning rate against the bound, in words."""
        if self.lr is None:
            return f"no largest stable step is known for {self.name}"
        return (
            f"lr {self.lr:g} is {'below' if self.lr < self.bound else 'ABOVE'} {self.bound:.4g}, {self.name}"
        )


def shuffled_step(curvature: float, steepest_row: float, batch_size: int) -> float:
    """Estimates the largest stable step on shuffled batches.

    It is 2/(λ_row/B + (1 − 1/B)·λ_max), between the bounds of a single row and of the whole batch. See Ma,
    Bassily and Belkin, "The power of interpolation", 2018, theorem 1.

    Args:
        curvature: λ_max, the largest curvature of the whole data.
        steepest_row: λ_row, the largest curvature of a single row.
        batch_size: B, the rows in a batch.
    """
    steepness = steepest_row / batch_size + (1 - 1 / batch_size) * curvature
    return 2 / steepness if steepness > 0 else float("inf")
