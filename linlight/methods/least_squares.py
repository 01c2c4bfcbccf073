"""The exact answer: one pass over the data, then a solve."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from linlight.data.statistics import merge_over_processes
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.inference import ROBUST, Meat, robust_meat
from linlight.functional.refine import ExactProducts
from linlight.functional.solve import Optimum, optimum
from linlight.functional.statistic import Moments, empty, loss, merge, moments
from linlight.methods.base import LinearModel
from linlight.methods.base.batch import Batch
from linlight.methods.base.metrics import metrics_of
from linlight.methods.base.optim import SetParameters
from linlight.methods.base.run_rows import (
    batches_again,
    column_names,
    is_same_when_read_again,
    planned_batches,
)
from linlight.methods.base.solution import Solution

FEW_ROWS = 8192
"""The most rows for which the fit is refined by default."""


class LeastSquares(LinearModel):
    """The weights of least squared error, with their standard errors, in one epoch.

    The batches only add to a statistic of fixed size (`statistic.py`); the small problem that is left is
    solved once, at the end of the epoch. Standard errors suppose that rows are independent, and unless
    `robust` is given, that their errors have one variance.

    Args:
        bias: Whether the model has a bias (an intercept).
        l2: Ridge penalty on the sum of the squared weights, added to the sum of the squared errors, as
            scikit-learn's `alpha`; the bias is not penalised. There are no standard errors with it.
        robust: Heteroscedasticity-robust standard errors of this kind, by a second pass: HC0 to HC3. Their
            t and p are Student's.
        refine: Whether to read the data once more, in more than twice the precision of float64, for
            coefficients and standard errors right to all its digits however ill-conditioned the columns.
            Default: where it costs next to nothing, up to 8,192 rows of 32 columns that are independent.
        metrics: Further regression metrics of torchmetrics, by the names of their classes.

    Raises:
        InputError: If `l2` is negative, or given together with `robust`.

    """

    single_pass = True

    def __init__(
        self,
        bias: bool = True,
        l2: float = 0.0,
        robust: Literal["HC0", "HC1", "HC2", "HC3"] | None = None,
        refine: bool | int | None = None,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(bias, w0=0.0, metrics=metrics)
        if not (l2 >= 0 and math.isfinite(l2)):
            raise InputError(f"l2 must be 0 or a positive finite number, got {l2:g}")
        if robust is not None and robust not in ROBUST:
            raise InputError(f"robust must be one of {', '.join(ROBUST)}, got {robust!r}")
        if l2 > 0 and robust is not None:
            raise InputError("a penalty biases the weights and leaves no standard errors: drop robust or l2")
        if l2 > 0 and refine:
            raise InputError("refine is for the optimum without a penalty: drop refine or l2")
        self.l2 = l2
        self.robust = robust
        self.refine = refine
        self.automatic_optimization = False
        self._seen: Moments | None = None  # by this process
        self._weighted = False
        self._is_complete = False  # all rows, by all processes, before the run was resumed
        self._solution: Solution | None = None

    def on_train_epoch_start(self) -> None:
        """Resets the statistic."""
        self._seen, self._solution = empty(self.w.shape[1], self.w.shape[0]), None
        self._is_complete = False

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Adds a batch to the statistic, and after the last one solves."""
        assert self._seen is not None
        batch = self.unpack(batch, any_type=True)
        self._weighted = len(batch) > 2
        if self._weighted and self.refine:
            raise InputError("refine is for rows without weights: leave it out")
        part = moments(*batch)
        if self._seen.weight.device != part.weight.device:
            self._seen = self._seen.to(part.weight.device)
        self._seen = merge([self._seen, part])
        if not self.trainer.is_last_batch:
            return None
        solution = self._solve()
        optimizer: Any = self.optimizers()
        optimizer.step(lambda: solution.parameters)
        return loss(solution.moments, solution.fit.w, solution.fit.b).mean()

    def configure_optimizers(self) -> SetParameters:
        """The step that puts the weights at the optimum."""
        return SetParameters(self.parameters())

    def on_train_epoch_end(self) -> None:
        """Computes the inference."""
        if self._solution is None:  # it was stopped before the last batch
            for parameter, value in zip(self.parameters(), self._solve().parameters, strict=True):
                parameter.data.copy_(value)
        self._infer()

    @property
    def solution(self) -> Solution:
        """The optimum of all rows seen, on every process, and what follows from it.

        Raises:
            InputError: If no training has come to one.
        """
        if self._solution is None and self._is_complete:  # resumed at its end
            self._solve()
            self._infer()
        if self._solution is None:
            raise InputError("LeastSquares has solved nothing yet: fit it to at least one batch")
        return self._solution

    def _solve(self) -> Solution:
        """Solves for the rows seen so far."""
        assert self._seen is not None
        m, data = merge_over_processes(self._seen), self._data
        if data is not None and data.streamed:
            data.statistics.check_not_constant(m)
        fit = optimum(m, self._bias, self.l2, self._coded())
        if self._refines(fit, m):
            fit = self._refined(fit, m)
        self._solution = Solution(
            m,
            fit,
            features=column_names(self.trainer, m.features, m.targets)[0],
            observations=int((m.weight if self._counts_rows else m.rows).round()),
            weighting=("frequency" if self._counts_rows else "precision") if self._weighted else "",
            l2=self.l2,
        )
        return self._solution

    def _infer(self) -> None:
        meat = None if self.robust is None else self._robust_meat(self.solution.fit, self.robust)
        self.solution.infer(self.robust, meat)

    @property
    def _counts_rows(self) -> bool:
        data = self._data
        return data is not None and data.weighted and data.weight_kind == "frequency"

    def _coded(self) -> list[int]:
        return [] if self._data is None else self._data.coded(self._bias)

    # A second pass over the rows ------------------------------------------------------------------------

    def _refines(self, fit: Optimum, m: Moments) -> bool:
        if self.refine is not None:
            return bool(self.refine)
        if self._weighted or not self._can_read_again():
            return False
        full = fit.rank == m.features + self._bias
        return self.l2 == 0 and full and m.features <= 32 and int(m.rows) <= FEW_ROWS

    def _refined(self, fit: Optimum, m: Moments) -> Optimum:
        """The optimum in more than twice the precision of float64."""
        products = ExactProducts(m, self._bias)
        for x, y, *_ in self._rows_again():
            products.add(x, y)
        if self.trainer.world_size > 1:
            products.sums = np.sum(gather(products.sums), axis=0)
        try:
            return products.solve(fit)
        except InputError:
            if self.refine is None:  # it was not asked for
                return fit
            raise

    def _robust_meat(self, fit: Optimum, hc: str) -> Meat:
        """The middle of the sandwich that robust standard errors are made of."""
        shapes = ((len(fit.w), fit.rank, fit.rank), (fit.rank, fit.rank), ())
        total = [torch.zeros(shape, dtype=torch.float64, device=self.device) for shape in shapes]
        for x, y, *weight in self._rows_again():
            part = robust_meat(x, y, fit, hc, *weight, frequency=self._counts_rows)
            total = [a + b for a, b in zip(total, (part.sums, part.void, part.rows), strict=True)]
        return Meat(*(tensor.cpu() for tensor in self.sum_over_processes(*total)))

    def _rows_again(self) -> Iterator[Batch]:
        """This process's share of the batches seen, once more."""
        if not self._can_read_again():
            raise InputError(
                "robust and refine read the rows again, and a loader that shuffles and is limited would "
                "give others: leave out shuffle, or the limit"
            )
        return batches_again(self.trainer, self.trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    def _can_read_again(self) -> bool:
        """Whether another pass takes the same rows."""
        whole = self.trainer.is_last_batch and math.isinf(planned_batches(self.trainer))
        return whole or is_same_when_read_again(self.trainer)

    # A run ----------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Refuses data that are not the rows themselves."""
        data = self._data
        if data is not None and data.reduce and stage != "predict":
            raise InputError("LeastSquares reads the data only once as it is: set reduce to false")
        super().setup(stage)
        if data is not None and data.standardize and stage == "fit":
            raise InputError("LeastSquares is exact whatever the columns' sizes: set standardize to false")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the statistic of the rows seen so far."""
        super().on_save_checkpoint(checkpoint)
        if self._seen is not None:
            checkpoint["epoch_so_far"] = {"moments": merge_over_processes(self._seen).state_dict()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with the statistic."""
        super().on_load_checkpoint(checkpoint)
        state = checkpoint.get("epoch_so_far", {})
        if "moments" in state and self._trainer is not None and self.trainer.state.fn == "fit":
            m = Moments.load(state["moments"])  # of all processes: one of them goes on with it
            self._seen = m if self.trainer.is_global_zero else empty(m.features, m.targets)
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            self._is_complete = progress["is_last_batch"]

    # The result -----------------------------------------------------------------------------------------

    def train_metrics(self) -> dict[str, float]:
        """Loss and metrics at the rounded weights; of a stream those that need no further pass."""
        m = self.solution.moments
        found = metrics_of(m, self.w, self.b)
        loss_of_all = {"train_loss": found["train_mse"]}
        streamed = self._data is not None and self._data.streamed
        found = (found if streamed else super().train_metrics()) | loss_of_all
        self.rows = int(m.rows)
        return found

    def summary(self) -> dict[str, Any]:
        """Coefficients in float64 with their inference, how exact they are, and what to know of them."""
        m, data = self.solution.moments, self._data
        best = optimum(m, self._bias, coded=self._coded()) if self.l2 > 0 else self.solution.fit
        # What rounding the weights to their type costs, and a penalty.
        gap = max(0.0, metrics_of(m, self.w, self.b)["train_mse"] - loss(m, best.w, best.b).mean().item())
        notes = self.solution.notes([] if data is None else data.coding)
        return self.solution.summary() | {"gap": gap, "notes": notes}
