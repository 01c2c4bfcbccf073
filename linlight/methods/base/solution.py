"""What least squares found: the optimum of some rows, its inference, and remarks on both."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from linlight.functional.inference import (
    Inference,
    Meat,
    as_json,
    finite,
    infer,
    void_coefficients,
    without_inference,
)
from linlight.functional.solve import Optimum, equations
from linlight.functional.statistic import Moments
from linlight.text import count


@dataclass
class Solution:
    """The optimum of the rows behind a statistic.

    Attributes:
        moments: The statistic of all rows.
        fit: The optimum.
        features: The features' names.
        observations: How many observations the rows are.
        weighting: How rows are weighted: not at all (""), by "precision" or by "frequency".
        l2: Ridge penalty.
        inferred: Of each target, unless there is a penalty.
        robust: The kind of robust standard errors, or None.
        meat: The middle of the sandwich that those are made of.
    """

    moments: Moments
    fit: Optimum
    features: list[str]
    observations: int
    weighting: str = ""
    l2: float = 0.0
    inferred: list[Inference] = field(default_factory=list)
    robust: str | None = None
    meat: Meat | None = None

    @property
    def parameters(self) -> list[Tensor]:
        """w, (T, D), and where there is one b, (T,)."""
        return [self.fit.w] if self.fit.b is None else [self.fit.w, self.fit.b]

    @property
    def names(self) -> list[str]:
        """The coefficients' names, the intercept's first."""
        return self.features if self.fit.b is None else ["intercept", *self.features]

    def infer(self, robust: str | None, meat: Meat | None) -> None:
        """Computes standard errors, and what follows from them."""
        self.robust, self.meat = robust, meat
        if self.l2 == 0:
            targets = range(self.moments.targets)
            kind = robust or ""
            self.inferred = [infer(self.moments, self.fit, t, meat, kind, self.observations) for t in targets]

    def summary(self) -> dict[str, Any]:
        """Coefficients in float64 with their inference; lists over the targets where there are several."""
        w, b = self.fit.w, self.fit.b
        estimates = w if b is None else torch.cat([b[:, None], w], dim=1)
        found: dict[str, Any] = {"coefficients": [without_inference(self.names, row) for row in estimates]}
        shared: dict[str, Any] = {
            "rank": self.fit.rank,
            "condition_number": finite(self.fit.condition_number),
            "observations": self.observations,
            "std_errors": None if self.l2 > 0 else self.robust or "classical",
        }
        if self.inferred:
            several = [as_json(self.names, one) for one in self.inferred]
            found = {key: [one[key] for one in several] for key in several[0]}
            shared["degrees_of_freedom"] = self.inferred[0].degrees
            shared["f_degrees"] = self.inferred[0].f_degrees
        if len(estimates) == 1:
            found = {key: values[0] for key, values in found.items()}
        return found | shared

    def notes(self, coding: list[str]) -> list[str]:
        """Remarks on the fit that its numbers do not show, a line each; those on categories are given."""
        penalty = (
            f"l2 {self.l2:g} draws the weights to zero: they are biased on purpose, so standard errors and "
            "p-values would say nothing true and are left out."
        )
        dependent = "Of all weights that fit as well, these have the least norm."
        return [
            *[penalty] * (self.l2 > 0),
            *coding,
            *self._on_weights(),
            *self._on_leverage(),
            *(f"collinear: {line}" for line in equations(self.fit, self.features)),
            *[dependent] * bool(len(self.fit.dependent)),
        ]

    def _on_weights(self) -> list[str]:
        rows = count(int(self.moments.rows), "row")
        of = {
            "frequency": f"they count rows, {rows} for {count(self.observations, 'observation')}",
            "precision": "precisions, so a row's error has the variance sigma^2/weight",
        }
        return [f"weights: {of[self.weighting]}"] if self.weighting else []

    def _on_leverage(self) -> list[str]:
        """Names the coefficients without robust standard errors, with their classical ones."""
        if self.meat is None or not self.meat.rows or not self.inferred[0].degrees > 0:
            return []
        rows, names = int(self.meat.rows), self.names
        void = void_coefficients(self.fit, self.meat).nonzero()[:, 0].tolist()
        classical = infer(self.moments, self.fit, rows=self.observations).std_errors
        shown = ", ".join(f"{names[i]} {classical[i]:.3g}" for i in void[:8])
        more = f" and {len(void) - 8} more" * (len(void) > 8)
        return [
            f"leverage: {count(rows, 'row')} of leverage 1 {'is' if rows == 1 else 'are'} met exactly, so "
            f"{self.robust} cannot know the errors of what depends on {'it' if rows == 1 else 'them'}, which "
            f"are left out; classical std err: {shown}{more}"
        ]
