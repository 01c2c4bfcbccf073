"""Training on standardised features, by a model that is in the data's own units before and after."""

import textwrap
from typing import Any

import torch
from torch import Tensor

from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import column_norms
from linlight.methods.base.linear import LinearModule

NOTICED = 1e-3
"""Warn when rounding shifts predictions by more than this fraction of the target's standard deviation."""


class ScaledModule(LinearModule):
    """A linear model whose weights are those of standardised features while it is fitted to such."""

    def __init__(self) -> None:
        super().__init__()
        self._is_standardized = False  # whether the weights are those of standardised features
        self._trained: dict[str, Tensor] | None = None  # such weights, where a training has ended

    def _scaling(self) -> Standardizer | None:
        """How the data are standardised while this model is being fitted to them, if they are."""
        data = self._data()
        return data.standardizer if data is not None and self._is_standardized else None

    @torch.no_grad()
    def original_units(self) -> tuple[Tensor, Tensor | None]:
        """w, (T, D), and b, (T,), as they apply to the data as given; in float64 where those differ."""
        scaling = self._scaling()
        if scaling is None or self.b is None:
            return self.w.detach(), None if self.b is None else self.b.detach()
        return scaling.original_units(self.w.detach(), self.b.detach())

    def setup(self, stage: str) -> None:
        """Takes the weights for those of what the data hand out."""
        if stage == "fit":
            data = self._data()
            self._is_standardized, self._trained = data is not None and data.standardize, None

    def on_fit_end(self) -> None:
        """Converts the model to the original units of the data."""
        w, b = self.original_units()
        self._warn_of_rounding(w)
        if self._is_standardized:
            self._trained = {name: tensor.clone() for name, tensor in self.state_dict().items()}
            self._is_standardized = False
        self.w.data.copy_(w)
        if self.b is not None and b is not None:
            self.b.data.copy_(b)

    def _warn_of_rounding(self, w: Tensor) -> None:
        """Warns where features far from zero cost predictions the precision of standardised training."""
        scaling = self._scaling()
        if scaling is None or self.w.dtype == torch.float64:
            return
        m = self.trainer.datamodule.statistics.moments  # type: ignore[attr-defined]
        spread = column_norms(m.triangle[:, m.features :]) / m.weight.sqrt()  # of each target, (T,)
        off = (w.abs() @ scaling.mean.abs().to(w)) * torch.finfo(self.w.dtype).eps  # (T,)
        if self.trainer.is_global_zero and bool((off > NOTICED * spread.to(off)).any()):
            line = (
                f"predictions are off by up to {off.max():.2g}: features so far from zero lose their last "
                "digits in float32, use --data.dtype float64"
            )
            print(textwrap.fill(line, 80, subsequent_indent="  "))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stores the weights in the data's own units, and beside them those that a training goes on with."""
        if self._scaling() is not None:
            w, b = self.original_units()
            checkpoint["standardized"] = dict(checkpoint["state_dict"])
            assert b is not None  # standardising needs one
            checkpoint["state_dict"] = {"linear.weight": w.to(self.w), "linear.bias": b.to(self.w)}
        elif self._trained is not None:
            checkpoint["standardized"] = self._trained

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the weights that a training goes on with, to the bit."""
        if "standardized" in checkpoint and self._scaling() is not None:
            checkpoint["state_dict"] |= checkpoint["standardized"]
