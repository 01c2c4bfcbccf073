"""Exhaustive search (穷举法): try every candidate, keep the best, and draw the curve of the losses."""

import math
from typing import Any

import torch
from torch import Tensor

from linlight.errors import InputError
from linlight.functional.squared_error import candidate_squared_errors
from linlight.methods.base import LinearModel
from linlight.methods.base.batch import total_weight
from linlight.methods.base.optim import SetParameters

MOST_CANDIDATES = 1_000_000


def grid(low: float, high: float, step: float, name: str) -> Tensor:
    """The numbers low, low + step, … up to and including high, (C,), in float64.

    Raises:
        InputError: If there is none, or the limits are not finite.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InputError(f"the search needs finite {name}low <= {name}high, got {low:g} and {high:g}")
    if not (step > 0 and math.isfinite(step)):
        raise InputError(f"step must be a positive finite number, got {step:g}: try 0.1")
    # A grid whose end falls on `high` includes it, in spite of rounding: 4/0.1 is not quite 40.
    intervals = (high - low) / step + 1e-6
    if intervals > MOST_CANDIDATES:
        raise InputError(f"step {step:g} makes {intervals:.3g} candidates a weight: use a larger step")
    return low + step * torch.arange(int(intervals) + 1, dtype=torch.float64)


class ExhaustiveSearch(LinearModel):
    """The mean squared error of every weight in a grid, all candidates at once, in one pass over the data.

    With several weights, or a bias, the candidates are all the combinations: their number grows as a power
    of the number of weights, which is why the other methods exist.

    Args:
        low: Smallest weight to try.
        high: Largest weight to try.
        step: Distance between candidates.
        bias: Whether to search for a bias as well.
        bias_low: Smallest bias to try.
        bias_high: Largest bias to try.
        metrics: Further regression metrics of torchmetrics, by the names of their classes.

    Raises:
        InputError: If a limit or the step makes no grid.

    Attributes:
        candidates: (C, D) weights, followed by a column of biases where there is a bias.
        losses: (T, C), for each target the mean squared error of each candidate on the rows seen so far.
    """

    single_pass = True

    def __init__(
        self,
        low: float = 0.0,
        high: float = 4.0,
        step: float = 0.1,
        bias: bool = False,
        bias_low: float = -2.0,
        bias_high: float = 2.0,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(bias, w0=0.0, metrics=metrics)
        self._weight_grid = grid(low, high, step, "")
        self._bias_grid = grid(bias_low, bias_high, step, "bias_")
        self.automatic_optimization = False
        self.candidates = torch.empty(0)
        self.losses = torch.empty(0)
        self._squared_errors: Tensor | float = 0.0
        self._rows: Tensor | float = 0.0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Adds the squared errors of a batch to every candidate's, and keeps the best so far."""
        x, y, *weight = batch = self.unpack(batch, any_type=True)
        x, y = x.to(self.w.dtype), y.to(self.w.dtype)
        features = self.w.shape[1]
        w = self.candidates[:, :features]
        b = self.candidates[:, features] if self.b is not None else w.new_zeros(len(w))
        sums = candidate_squared_errors(x, y, w, b, *weight)  # (T, C)
        sums, rows = self.sum_over_processes(sums, total_weight(batch))
        # A part of a stream may have no row to train on. Where there are some, a GPU need not be asked.
        if not (len(x) or rows):
            return None
        self._squared_errors = self._squared_errors + sums
        self._rows = self._rows + rows.to(torch.float32 if rows.device.type == "mps" else torch.float64)
        self.losses = self._squared_errors / self._rows
        best = self.losses.argmin(dim=1)  # (T,), a candidate for each target
        optimizer: Any = self.optimizers()
        optimizer.step(lambda: [w[best]] if self.b is None else [w[best], b[best]])
        return self.losses.amin(dim=1).mean()

    def configure_optimizers(self) -> SetParameters:
        """The step that puts the weights where the search found them."""
        return SetParameters(self.parameters())

    def grids(self) -> list[Tensor]:
        """The values tried for each parameter, the weights' before the bias's."""
        return [self._weight_grid] * self.w.shape[1] + [self._bias_grid] * self._bias

    def on_train_start(self) -> None:
        """Moves what a checkpoint has restored to the device."""
        self.candidates = self.candidates.to(self.w)
        if isinstance(self._squared_errors, Tensor):
            self._squared_errors = self._squared_errors.to(self.w)
        if isinstance(self._rows, Tensor):
            self._rows = self._rows.to(self.w.device)

    def on_train_epoch_start(self) -> None:
        """Makes the candidates, and forgets the squared errors of an earlier pass."""
        grids = self.grids()
        count = math.prod(len(g) for g in grids)
        if count > MOST_CANDIDATES:
            raise InputError(
                f"{len(grids)} parameters make {count:.3g} candidates: exhaustive search is for one or two, "
                "use a larger step or --model GradientDescent"
            )
        candidates = torch.cartesian_prod(*grids).reshape(count, len(grids))
        self.candidates = candidates.to(self.w)  # (C, D) or (C, D + 1)
        self._squared_errors = 0.0
        self._rows = 0.0

    def report(self) -> str:
        """A warning for each parameter whose best candidate lies on the edge of the grid."""
        if not self.losses.numel():  # no batch has come
            return ""
        names = ["weight"] * self.w.shape[1] + ["bias"] * (self.b is not None)
        options = {"weight": ("low", "high"), "bias": ("bias_low", "bias_high")}
        best = self.candidates[self.losses.argmin(dim=1)]  # (T, parameters)
        lowest, highest = self.candidates.amin(dim=0), self.candidates.amax(dim=0)
        found = []
        for i, name in enumerate(names):
            for edge, option in zip((lowest, highest), options[name], strict=True):
                if lowest[i] < highest[i] and (best[:, i] == edge[i]).any():
                    verb = "lower" if option.endswith("low") else "raise"
                    found.append(
                        f"the best {name} lies on the grid's edge, {edge[i]:.6g}: {verb} --model.{option}"
                    )
        return "\n".join(found)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the search's own sums."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["epoch_so_far"] = {
            "candidates": self.candidates,
            "squared_errors": self._squared_errors,
            "searched": self._rows,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with the search's own sums."""
        super().on_load_checkpoint(checkpoint)
        if not checkpoint.get("epoch_so_far"):
            return
        state = checkpoint["epoch_so_far"]
        self.candidates, self._squared_errors = state["candidates"], state["squared_errors"]
        self._rows = state["searched"]
        if self._rows:
            self.losses = torch.as_tensor(self._squared_errors) / self._rows
