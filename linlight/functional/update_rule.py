"""How a method moves its weights, as far as theory needs to know it."""

from dataclasses import dataclass

from linlight.functional.descent import momentum_bound


@dataclass(frozen=True)
class UpdateRule:
    """Steps of gradient descent with a fixed learning rate, with or without momentum.

    In torch's terms, with g the gradient of the batch: v <- momentum * v + (1 - dampening) * g, then
    w <- w - lr * v, or with Nesterov's w <- w - lr * (g + momentum * v); plain steps are w <- w - lr * g.

    Attributes:
        lr: Learning rate, the length of a step in units of the gradient.
        momentum: Share of the last step that is kept, from 0 to below 1.
        dampening: Share of the gradient that is held back where there is momentum.
        nesterov: Whether the momentum is Nesterov's.
    """

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether there is no momentum, so that the loss of every epoch can be foretold."""
        return not self.momentum

    @property
    def reach(self) -> float:
        """How many times the largest stable step of plain whole-batch steps that of this rule is."""
        return 1.0 if self.is_plain else momentum_bound(self.momentum, self.dampening, self.nesterov)


def divergence_advice(rule: UpdateRule | None, stable_step: float | None, option: str) -> str:
    """What to do about a loss that grew without end.

    Args:
        rule: The rule of the steps, None where it is not known.
        stable_step: The largest stable step of plain whole-batch steps, None where there is none.
        option: The command line's name for the learning rate.
    """
    if rule is None:
        return f"use a smaller {option}"
    bound = None if stable_step is None else stable_step * rule.reach
    if bound is None or rule.lr < bound:
        return f"lr {rule.lr:g} is too large, try {option} {rule.lr / 10:.3g}"
    return (
        f"lr {rule.lr:g} is above {bound:.4g}, the largest stable step of the whole batch for these data, "
        f"try {option} {bound / 2:.3g}"
    )
