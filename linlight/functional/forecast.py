"""What is known of a training before its first step: up to which learning rate it converges."""

from dataclasses import dataclass
from typing import Literal

from linlight.functional.descent import Cycle


@dataclass(frozen=True)
class Forecast:
    """The largest stable learning rate of a training, and how far it can be trusted.

    Attributes:
        kind: `whole` for plain steps of the whole batch, of which the gap after every epoch is known;
            `cycle` for plain steps of batches in a fixed order, likewise; `momentum` for whole-batch steps
            with momentum, of which the bound alone is known; `estimate` where it is about right; `unknown`.
        lr: The learning rate, None where nothing is known of its bound.
        bound: The largest stable one, infinite where every one is.
        name: What the bound is called; for `unknown`, what makes it so.
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
        """The comparison in words."""
        if self.lr is None:
            return f"no largest stable step is known for {self.name}"
        return (
            f"lr {self.lr:g} is {'below' if self.lr < self.bound else 'ABOVE'} {self.bound:.4g}, {self.name}"
        )
