"""The rule of a method's updates, as far as theory needs to know it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpdateRule:
    """Steps of gradient descent with a fixed learning rate, with or without momentum.

    In torch's terms, with g the gradient of the batch: v <- momentum * v + (1 - dampening) * g, then
    w <- w - lr * v, or with Nesterov's w <- w - lr * (g + momentum * v); plain steps are w <- w - lr * g.

    Attributes:
        lr: Learning rate, the length of a step in units of the gradient.
        momentum: β, the share of the last step that is kept, from 0 to below 1.
        dampening: Share of the gradient that is left out where there is momentum.
        nesterov: Whether the momentum is Nesterov's.
    """

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether there is no momentum, so that the loss of every epoch can be predicted."""
        return not self.momentum

    @property
    def reach(self) -> float:
        """This rule's largest stable step on the whole batch, over that of plain steps.

        With momentum the error along an eigenvector follows θₖ₊₁ = (1 + β − a)θₖ − βθₖ₋₁, where
        a = lr·λ·(1 − dampening), which converges for a < 2(1 + β); Nesterov's follows
        θₖ₊₁ = (1 − a)((1 + β)θₖ − βθₖ₋₁), for a < 2(1 + β)/(1 + 2β). See Lessard, Recht and Packard,
        "Analysis and design of optimization algorithms via integral quadratic constraints", 2016.

        Examples:
            >>> UpdateRule(lr=0.1, momentum=0.9).reach
            1.9
        """
        if self.is_plain:
            return 1.0
        if self.nesterov:
            return (1 + self.momentum) / (1 + 2 * self.momentum)
        return (1 + self.momentum) / (1 - self.dampening) if self.dampening < 1 else float("inf")


def divergence_advice(rule: UpdateRule | None, stable_step: float | None, option: str) -> str:
    """What to do about a loss that grew beyond all bounds.

    Args:
        rule: The rule of the steps, None where it is not known.
        stable_step: The largest stable step of plain whole-batch steps, None where there is none.
        option: The learning rate's option on the command line.
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
