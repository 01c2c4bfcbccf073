"""The exact answer: one pass over the data, then a solve."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from linlight.data.arrays import plain_names
from linlight.data.statistics import merge_over_processes
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.inference import (
    ROBUST,
    Inference,
    Meat,
    as_json,
    finite,
    infer,
    robust_meat,
    void_coefficients,
    without_inference,
)
from linlight.functional.refine import ExactProducts
from linlight.functional.solve import Optimum, equations, optimum
from linlight.functional.statistic import Moments, empty, loss, merge, moments
from linlight.methods.base import LinearModel
from linlight.methods.base.batch import Batch
from linlight.methods.base.metrics import metrics_of
from linlight.methods.base.optim import SetParameters
from linlight.methods.base.run_rows import batches_again, is_same_when_read_again, planned_batches
from linlight.text import count

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

    Attributes:
        moments: The statistic of all rows seen, on every process.
        fit: The optimum.
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
        self._batches = 0  # that it was seen in
        self._weighted = False
        self._solved = False
        self._is_complete = False  # all rows, by all processes, before the run was resumed
        self.moments: Moments | None = None
        self.fit: Optimum | None = None
        self._inferred: list[Inference] = []
        self._meat: Meat | None = None
        self._weighted = False

    def configure_optimizers(self) -> SetParameters:
        """The step that puts the weights at the optimum."""
        return SetParameters(self.parameters())

    def check_reducible(self) -> None:
        """Raises: rows that stand for others would be counted as data."""
        raise InputError("LeastSquares reads the data only once as it is: set reduce to false")

    def setup(self, stage: str) -> None:
        """Refuses what would not be what it says."""
        super().setup(stage)
        data = self._data()
        if stage == "fit" and data is not None and data.standardize:
            raise InputError("LeastSquares is exact whatever the columns' sizes: set standardize to false")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the statistic of the rows seen so far."""
        super().on_save_checkpoint(checkpoint)
        if self._seen is not None:
            checkpoint["epoch_so_far"] = {
                "moments": merge_over_processes(self._seen).state_dict(),
                "batches": self._batches,
                "complete": self._solved and self.trainer.is_last_batch,
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with the statistic."""
        super().on_load_checkpoint(checkpoint)
        state = checkpoint.get("epoch_so_far", {})
        if "moments" in state and self._trainer is not None and self.trainer.state.fn == "fit":
            m = Moments.load(state["moments"])  # of all processes: one of them goes on with it
            self._seen = m if self.trainer.is_global_zero else empty(m.features, m.targets)
            # Earlier versions kept neither, and Lightning's own progress has both.
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            self._batches = state.get("batches", progress["current"]["ready"])
            self._is_complete = state.get("complete", progress["is_last_batch"])

    def on_train_epoch_start(self) -> None:
        """Resets the statistic."""
        self._seen, self._batches, self._solved = empty(self.w.shape[1], self.w.shape[0]), 0, False
        self._is_complete = False

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Adds a batch to the statistic, and after the last one solves."""
        assert self._seen is not None
        batch = self.unpack(batch)
        if len(batch) > 2 and self.refine:
            raise InputError("refine is for rows without weights: leave it out")
        self._weighted = len(batch) > 2
        self._batches += 1
        part = moments(*batch)
        if self._seen.weight.device != part.weight.device:
            self._seen = self._seen.to(part.weight.device)
        self._seen = merge([self._seen, part])
        if not self.trainer.is_last_batch:
            return None
        optimizer = self.optimizers()
        optimizer.optimizer.place(*self._solve())  # type: ignore[union-attr]
        optimizer.step()  # type: ignore[union-attr]
        assert self.moments is not None
        assert self.fit is not None
        return loss(self.moments, self.fit.w, self.fit.b).mean()

    def _solve(self) -> list[Tensor]:
        """Solves for the rows seen so far; w, (T, D), and where there is one b, (T,)."""
        assert self._seen is not None
        self._solved = True
        self.moments = merge_over_processes(self._seen)
        data = self._data()
        if data is not None and data.streamed:
            data.statistics.check_not_constant(self.moments)
        self.fit = optimum(self.moments, self._bias, self.l2, self._coded())
        if self._refines(self.fit, self.moments):
            self.fit = self._refined(self.fit, self.moments)
        return [self.fit.w] if self.fit.b is None else [self.fit.w, self.fit.b]

    def on_train_epoch_end(self) -> None:
        """Computes the inference."""
        if not self._solved:  # it was stopped before the last batch
            for parameter, value in zip(self.parameters(), self._solve(), strict=True):
                parameter.data.copy_(value)
        self._infer()

    def _infer(self) -> None:
        assert self.moments is not None
        assert self.fit is not None
        self._meat = None if self.robust is None else self._robust_meat(self.fit, self.robust)
        if self.l2 == 0:
            rows = self._observations()
            self._inferred = [
                infer(self.moments, self.fit, t, self._meat, self.robust or "", rows)
                for t in range(self.moments.targets)
            ]

    def _refines(self, fit: Optimum, m: Moments) -> bool:
        if self.refine is not None:
            return bool(self.refine)
        if self._weighted or not self._sees_the_same_again():
            return False
        full = fit.rank == m.features + self._bias
        return self.l2 == 0 and full and m.features <= 32 and int(m.rows) <= FEW_ROWS

    def _refined(self, fit: Optimum, m: Moments) -> Optimum:
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

    def _rows_again(self) -> Iterator[Batch]:
        """Another pass over this process's share of the epoch's batches."""
        if not self._sees_the_same_again():
            raise InputError(
                "robust and refine read the rows again, and a loader that shuffles and is limited would "
                "give others: leave out shuffle, or the limit"
            )
        return batches_again(self.trainer, self._batches)

    def _sees_the_same_again(self) -> bool:
        """Whether another pass takes the same rows."""
        whole = self.trainer.is_last_batch and math.isinf(planned_batches(self.trainer))
        return whole or is_same_when_read_again(self.trainer)

    def _robust_meat(self, fit: Optimum, hc: str) -> Meat:
        shapes = ((len(fit.w), fit.rank, fit.rank), (fit.rank, fit.rank), ())
        total = [torch.zeros(shape, dtype=torch.float64, device=self.device) for shape in shapes]
        for x, y, *weight in self._rows_again():
            part = robust_meat(x, y, fit, hc, *weight, frequency=self._counts_rows)
            total = [a + b for a, b in zip(total, (part.sums, part.void, part.rows), strict=True)]
        return Meat(*(tensor.cpu() for tensor in self.sum_over_processes(*total)))

    @property
    def _counts_rows(self) -> bool:
        data = self._data()
        return data is not None and data.weighted and data.weight_kind == "frequency"

    def _observations(self) -> int:
        assert self.moments is not None
        return int((self.moments.weight if self._counts_rows else self.moments.rows).round())

    # What it says ---------------------------------------------------------------------------------------

    def train_loss(self) -> float:
        """The loss at the weights as they were placed, without another pass."""
        m = self._of_all_rows()
        self.rows = int(m.rows)
        return loss(m, self.w.cpu(), self._cpu_bias()).mean().item()

    def _of_all_rows(self) -> Moments:
        """The statistic; a run that was at its end already when it was resumed is solved first."""
        if self._is_complete and not self._solved:
            self._solve()
            self._infer()
        assert self.moments is not None
        return self.moments

    def train_metrics(self) -> dict[str, float]:
        """Of a stream those that need no further pass."""
        m = self._of_all_rows()
        data = self._data()
        if data is not None and data.streamed:
            found = metrics_of(m, self.w.cpu(), self._cpu_bias())
        else:
            found = super().train_metrics()
        return found | {"train_loss": self.train_loss()}

    def summary(self) -> dict[str, Any]:
        """Coefficients in float64 with their inference; lists over the targets where there are several."""
        assert self.fit is not None
        names = self._coefficient_names()
        assert self.moments is not None
        best = optimum(self.moments, self._bias, coded=self._coded()) if self.l2 > 0 else self.fit
        lowest = loss(self.moments, best.w, best.b).mean().item()
        shared: dict[str, Any] = {
            "rank": self.fit.rank,
            "condition_number": finite(self.fit.condition_number),
            # What rounding the weights to their type costs, and a penalty.
            "gap": max(0.0, self.train_loss() - lowest),
        }
        w, b = self.fit.w, self.fit.b
        estimates = w if b is None else torch.cat([b[:, None], w], dim=1)
        found: dict[str, Any] = {"coefficients": [without_inference(names, row) for row in estimates]}
        if self._inferred:
            several = [as_json(names, one) for one in self._inferred]
            found = {key: [one[key] for one in several] for key in several[0]}
            shared |= {
                "degrees_of_freedom": self._inferred[0].degrees,
                "f_degrees": self._inferred[0].f_degrees,
            }
        if len(estimates) == 1:
            found = {key: values[0] for key, values in found.items()}
        kind = None if self.l2 > 0 else self.robust or "classical"
        shared |= {"observations": self._observations(), "std_errors": kind, "notes": self._notes()}
        return found | shared

    def _notes(self) -> list[str]:
        """What to know of the fit beside its numbers, a line each."""
        assert self.fit is not None
        notes = []
        if self.l2 > 0:
            notes.append(
                f"l2 {self.l2:g} draws the weights to zero: they are biased on purpose, so standard errors "
                "and p-values would say nothing true and are left out."
            )
        data = self._data()
        notes += [] if data is None else data.coding
        notes += self._on_weights() + self._on_leverage()
        names = self._feature_names()
        notes += [f"collinear: {line}" for line in equations(self.fit, names)]
        if len(self.fit.dependent):
            notes.append("Of all weights that fit as well, these have the least norm.")
        return notes

    def _coded(self) -> list[int]:
        data = self._data()
        return [] if data is None else data.coded(self._bias)

    def _on_weights(self) -> list[str]:
        if not self._weighted:
            return []
        assert self.moments is not None
        rows = int(self.moments.rows)
        if self._counts_rows:
            observations = count(self._observations(), "observation")
            return [f"weights: they count rows, {count(rows, 'row')} for {observations}"]
        return ["weights: precisions, so a row's error has the variance sigma^2/weight"]

    def _on_leverage(self) -> list[str]:
        """Names what robust standard errors cannot say, with the classical ones."""
        if self._meat is None or not self._meat.rows or not self._inferred[0].degrees > 0:
            return []
        assert self.fit is not None
        assert self.moments is not None
        rows, names = int(self._meat.rows), self._coefficient_names()
        void = void_coefficients(self.fit, self._meat).nonzero()[:, 0].tolist()
        classical = infer(self.moments, self.fit, rows=self._observations()).std_errors
        shown = ", ".join(f"{names[i]} {classical[i]:.3g}" for i in void[:8])
        more = f" and {len(void) - 8} more" * (len(void) > 8)
        return [
            f"leverage: {count(rows, 'row')} of leverage 1 {'is' if rows == 1 else 'are'} met exactly, so "
            f"{self.robust} cannot know the errors of what depends on {'it' if rows == 1 else 'them'}, which "
            f"are left out; classical std err: {shown}{more}"
        ]

    def _coefficient_names(self) -> list[str]:
        names = self._feature_names()
        return ["intercept", *names] if self._bias else names

    def _feature_names(self) -> list[str]:
        data = self._data()
        return plain_names("x", self.w.shape[1], None) if data is None else list(data.feature_names)
