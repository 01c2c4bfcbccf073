"""When a loss that grows does so for good."""

import math
from dataclasses import dataclass

import torch

from linlight.functional.forecast import Forecast

WATCHED = 10
"""Epochs that a training still goes on for once it is sure to diverge, so that its growth is seen."""
SEEN = 1e6
"""Where the loss has grown by this factor, enough has been seen."""
OUT_OF_HAND = 1e3
"""Steps of an unsure bound are stopped where the loss has grown by this factor."""
ENDLESS = 1e12
"""Rules without a bound are stopped where the loss has grown by this factor."""


@dataclass(frozen=True)
class Growth:
    """What a gap is held against.

    Attributes:
        forecast: What is known of the steps.
        lowest: The optimum's loss.
        start: The loss at the start, or without any features where that is larger.
    """

    forecast: Forecast
    lowest: float
    start: float

    def exceeds(self, gap: float, factor: float) -> bool:
        """Whether the loss is more than `factor` times that of the start."""
        return not gap + self.lowest <= factor * self.start

    def is_for_good(self, gap: float, before: float) -> bool:
        """Whether the gap after an epoch, where the step is too large, shows that it will not come back.

        In whole batches the gap is a sum of exponentials of the epoch, which is convex: once it has risen it
        rises for ever. Elsewhere it may rise for a while and fall again. `before` is the gap an epoch ago.
        """
        if not math.isfinite(gap):
            return True
        if self.forecast.kind == "whole":
            return gap > before * (1 + 1e-6) and gap > 1e-6 * self.lowest
        return self.exceeds(gap, OUT_OF_HAND if self.forecast.kind == "estimate" else 10)

    def is_seen(self, gap: float, epochs: int) -> bool:
        """Whether a training that has been sure to diverge for some epochs may end."""
        return epochs >= WATCHED or self.exceeds(gap, SEEN)


def overflows(gap: float, dtype: torch.dtype) -> bool:
    """Whether the numbers are about to end."""
    return not gap < math.sqrt(torch.finfo(dtype).max)
