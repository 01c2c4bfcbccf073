"""The run explains itself: how far the optimum is, which step is too big, and how long it will take."""

import math
import textwrap
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from linlight.data.datamodule import XYDataModule
from linlight.errors import Diverged, InputError
from linlight.functional.descent import Parabola, parabola, stack
from linlight.functional.forecast import Forecast
from linlight.functional.solve import Optimum, optimum
from linlight.functional.statistic import Moments
from linlight.methods.base import LinearModel
from linlight.methods.base.run_rows import moments_again, planned_batches
from linlight.methods.base.training_loss import READ_EVERY, advice, run_batches
from linlight.text import count, epochs_in_words
from linlight.training.divergence import ENDLESS, OUT_OF_HAND, Growth, overflows
from linlight.training.moved_weights import MovedWeights, watch_weights
from linlight.training.stability import forecast_of, no_optimum

TOLERANCE = 1e-6
"""Epochs are predicted and counted until the gap is this fraction of the first."""


class Diagnostics(Callback):
    """Reads the data once before training, and holds every gradient method against the exact answer.

    Only for the mean or the sum of squared errors. It says the largest stable step and the predicted
    number of epochs before the first step; logs the gap to the optimum's loss, and the predicted gap, after
    every epoch; and ends a run that diverges, soon after the first sure sign. Such a run is kept as others
    are; once all is written, `fit` raises `Diverged`, an InputError that says why.

    Args:
        stop_at_se: Stop as soon as no coefficient, and no combination of them, is further from the optimum
            than this many of its standard errors: more epochs would fit noise.
        quiet: Whether to print nothing.
        on_divergence: Whether to `stop` a run that diverges, or to `continue` as long as there are numbers.

    Attributes:
        findings: What the training came to, for `summary.json`; empty until its end.
        exact: w, (T, D), and b, (T,), of the optimum, and its loss, where it is known before training.
        epoch_metrics: The gap after the last epoch, and the one that was predicted.
        divergence_message: Why the training will diverge, where that is known before it starts.
        diverged: Why it has diverged, once it has.
    """

    takes_several_batches = True

    def __init__(
        self,
        stop_at_se: float | None = None,
        quiet: bool = False,
        on_divergence: Literal["stop", "continue"] = "stop",
    ) -> None:
        if stop_at_se is not None and not (stop_at_se > 0 and math.isfinite(stop_at_se)):
            raise InputError(f"stop_at_se must be a positive number, got {stop_at_se:g}: try 0.01")
        if on_divergence not in ("stop", "continue"):
            raise InputError(f"on_divergence must be stop or continue, got {on_divergence!r}")
        self.stop_at_se = stop_at_se
        self.quiet = quiet
        self.on_divergence = on_divergence
        self.findings: dict[str, Any] = {}
        self.exact: tuple[Tensor, Tensor | None, float] | None = None
        self.epoch_metrics: dict[str, float] = {}
        self.divergence_message = self.diverged = ""
        self._moments: Moments | None = None
        self._so_far: dict[str, Any] = {}
        self._watch: MovedWeights | None = None

    @property
    def started(self) -> bool:
        """Whether the data have been read, and what follows is known."""
        return self._moments is not None

    @property
    def bound(self) -> float:
        """The largest stable step of this rule on these data, infinite where there is none."""
        return self._forecast.bound

    @property
    def first_gap(self) -> float:
        """How far above the optimum's loss the training began."""
        return self._first_gap

    def state_dict(self) -> dict[str, Any]:
        """Returns the start of the forecast, so that a resumed training is held against the same one."""
        if self._moments is None:
            return self._so_far
        return {
            "lr": self._lr,
            "of": self._of,
            "start": self._start.tolist(),
            "predicted": self._predicted.tolist(),
            "first_gap": self._first_gap,
            "epochs": self._epochs - self._in_part,
            "reached": self._reached,
            "findings": self.findings,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores it for `on_train_start`."""
        self._so_far = state_dict

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Restores earlier findings, in case nothing is left to train."""
        self.findings = self._so_far.get("findings", {})

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Gathers the statistic, and says what it foretells."""
        model: LinearModel = pl_module
        self._moments = self.exact = self._watch = None
        self.epoch_metrics, self.divergence_message, self.diverged = {}, "", ""
        self._sure: int | None = None  # the epoch since which it is sure to diverge
        reason = no_optimum(trainer, model)
        if reason is not None:
            if self.stop_at_se is not None:
                raise InputError(
                    f"stop_at_se is for gradient methods on the squared error{reason}: leave it out"
                )
            if reason:
                self._say(trainer, f"no optimum and no forecast{reason}")
            return
        data: XYDataModule = trainer.datamodule  # type: ignore[attr-defined]
        planned = planned_batches(trainer)
        limited = math.isfinite(planned)
        self._batches = int(planned) if limited else data.batches
        self._passes = self._batches if data.reduce else 1
        own = limited and not data.reduce
        self._take(moments_again(trainer, planned) if own else data.statistics.scaled(data.scaling), model)
        rule = model.update_rule()
        self._lr = rule.lr if rule is not None and rule.is_plain else None
        self._start = self._predicted = stack(model.w, model.b)
        self._first_gap = self._gap = float(self._parabola.gaps(self._start).sum())
        self._reached: int | None = None
        self._epochs, self._in_part = 0, False
        self._curve: list[float] = []  # the gaps foretold for the next epochs, last first
        self._of = [self._batches, int(data.shuffle), self._parabola.lowest]
        same = self._so_far.get("of") == self._of  # as is the rule, if it has an lr
        if same and self._so_far.get("lr", math.nan) == self._lr:  # the same training goes on
            self._start, self._predicted = (np.array(self._so_far[key]) for key in ("start", "predicted"))
            self._first_gap, self._epochs = self._so_far["first_gap"], self._so_far["epochs"]
            self._reached = self._so_far["reached"]
        self._so_far = {}
        assert self._moments is not None
        self._forecast: Forecast = forecast_of(
            trainer, model, self._parabola, int(self._moments.rows), self._batches, self._passes
        )
        lowest = self._parabola.lowest
        zero = float(self._parabola.gaps(np.zeros_like(self._start)).sum())
        self._growth: Growth = Growth(self._forecast, lowest, max(self._first_gap, zero) + lowest)
        if self._forecast.is_above:
            self.divergence_message = (
                f"lr {self._forecast.lr:g} is above {self._forecast.bound:.4g}, {self._forecast.name} "
                f"for this data; try {self._forecast.bound / 2:.3g}"
            )
        self._watch = watch_weights(trainer, model, self._forecast)
        self._say(trainer, *self._foretold(trainer))

    def _look(self, trainer: Trainer) -> None:
        """Takes the forecast back where something else than the steps has moved the weights."""
        if self._watch is None or not self._watch.is_seen():
            return
        self._say(trainer, f"no forecast from here on: {self._watch.reason}")
        self._watch, self._forecast, self._lr = None, Forecast("unknown"), None
        self._growth = replace(self._growth, forecast=self._forecast)
        self.divergence_message, self.diverged, self._sure = "", "", None

    def _say(self, trainer: Trainer, *lines: str) -> None:
        if trainer.is_global_zero and not self.quiet:
            for line in lines:
                print(textwrap.fill(line, 80, subsequent_indent="  "))

    def _take(self, m: Moments, model: LinearModel) -> None:
        """Solves for the optimum of some rows."""
        self._moments = m.cpu()
        data: XYDataModule = model.trainer.datamodule  # type: ignore[attr-defined]
        self._observations = data.statistics.observations(self._moments)
        bias = model.b is not None
        self._fit: Optimum = optimum(self._moments, bias, coded=data.coded(bias))
        self._parabola: Parabola = parabola(self._moments, self._fit, model.loss_is_total)
        self.exact = (self._fit.w, self._fit.b, self._parabola.lowest)

    def _foretold(self, trainer: Trainer) -> list[str]:
        max_epochs = trainer.max_epochs or 0
        assert self._moments is not None
        lines = [
            f"optimum: loss {self._parabola.lowest:.6g}, from {count(int(self._moments.rows), 'row')}; "
            f"condition number {self._fit.condition_number:.4g}",
            f"step: {self._forecast.line}",
        ]
        if self._forecast.kind == "whole" and not self._forecast.is_above:
            assert self._forecast.lr is not None
            after = self._parabola.gap_after(self._start, self._forecast.lr, max_epochs * self._passes)
            lines.append(
                f"forecast: gap {self._gap:.4g} now, {after:.4g} after {count(max_epochs, 'epoch')}; "
                f"a millionth after {epochs_in_words(self._epochs_to_tolerance())}"
            )
        return lines

    def _epochs_to_tolerance(self) -> int | None:
        if self._forecast.kind != "whole":
            return None
        assert self._forecast.lr is not None
        steps = self._parabola.epochs_to(self._start, self._forecast.lr, TOLERANCE * self._first_gap)
        return None if steps is None else -(-steps // self._passes)

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Looks whether the weights are those that the last step left."""
        self._look(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stops in the middle of an epoch where the step is too large and the loss has grown out of hand."""
        if self._moments is None or not self.divergence_message or trainer.is_last_batch:
            return
        if pl_module.w.device.type != "cpu" and trainer.global_step % READ_EVERY:
            return
        gap = float(self._parabola.gaps(stack(pl_module.w, pl_module.b)).sum())
        if self._growth.exceeds(gap, OUT_OF_HAND):
            self.diverged = f"the loss grows without end: {self.divergence_message}"
            trainer.should_stop = (
                trainer.should_stop or self.on_divergence == "stop" or overflows(gap, pl_module.w.dtype)
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Measures the gap, and stops when it is small enough or grows for good."""
        if self._moments is None:
            return
        self._look(trainer)
        model: LinearModel = pl_module
        self._epochs += 1
        self._in_part = not trainer.is_last_batch  # the training ends inside this epoch
        self._gaps = self._parabola.gaps(stack(model.w, model.b))
        before, self._gap = self._gap, sum(self._gaps.tolist())
        predicted = None if self._in_part else self._predict()
        self.epoch_metrics = (
            {"gap": self._gap} if predicted is None else {"gap": self._gap, "predicted_gap": predicted}
        )
        if self._reached is None and not self._in_part and self._gap <= TOLERANCE * self._first_gap:
            self._reached = self._epochs
        if self.divergence_message and self._growth.is_for_good(self._gap, before):
            self.diverged = f"the loss grows without end: {self.divergence_message}"
        if self._forecast.lr is None and self._growth.exceeds(self._gap, ENDLESS):
            self.diverged = f"the loss grows without end: {advice(trainer, model)}"
        if self.diverged:
            self._sure = self._epochs if self._sure is None else self._sure
            enough = self._growth.is_seen(self._gap, self._epochs - self._sure)
            if (enough and self.on_divergence == "stop") or overflows(self._gap, model.w.dtype):
                trainer.should_stop = True
        if self.stop_at_se is not None and self._standard_errors(model.loss_is_total) <= self.stop_at_se:
            trainer.should_stop = True

    def _predict(self) -> float | None:
        """The gap that was foretold for the end of this epoch."""
        if self._forecast.kind not in ("whole", "cycle"):
            return None
        assert self._forecast.lr is not None
        if self._forecast.cycle is not None:
            self._predicted = self._forecast.cycle.epoch(self._predicted, self._forecast.lr)
            return float(self._parabola.gaps(self._predicted).sum())
        if not self._curve:  # foretold for many epochs at once, which costs what it costs for one
            coming = range(self._epochs * self._passes, (self._epochs + 256) * self._passes, self._passes)
            self._curve = self._parabola.gaps_after(self._start, self._forecast.lr, coming)[::-1]
        return self._curve.pop()

    def _standard_errors(self, total: bool) -> float:
        """The largest distance to the optimum of any combination of coefficients, in its standard errors.

        For every c, (cᵀ(θ − θ*))² is at most |x̃(θ − θ*)|² cᵀ(X̃ᵀX̃)⁻¹c, by Cauchy and Schwarz.
        """
        assert self._moments is not None
        degrees = self._observations - self._fit.rank
        if degrees <= 0 or self._parabola.lowest == 0:
            return math.inf
        count = 1.0 if total else self._moments.weight.item() * self._moments.targets
        variances = self._fit.residual_squares.numpy() / degrees
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.sqrt(self._gaps * count / variances).max())

    def _findings(self, trainer: Trainer, model: LinearModel) -> dict[str, Any]:
        fit, w, b = self._fit, self._fit.w, self._fit.b
        distance = self._standard_errors(model.loss_is_total)
        scaling = trainer.datamodule.scaling  # type: ignore[attr-defined]
        if scaling is not None and b is not None:
            w, b = scaling.original_units(w, b)
        found: dict[str, Any] = {
            "optimum": {
                "weights": w.tolist(),
                "bias": None if b is None else b.tolist(),
                "loss": self._parabola.lowest,
            },
            "gap": self._gap,
            "gap_in_standard_errors": distance if math.isfinite(distance) else None,
            "condition_number": fit.condition_number if math.isfinite(fit.condition_number) else None,
            "epochs_to_tolerance": self._reached,
        }
        if self._forecast.lr is not None:
            bound = self._forecast.bound
            found["largest_stable_step"] = bound if math.isfinite(bound) else None
        if self._lr is not None:
            found["predicted"] = {
                "gap": self.epoch_metrics.get("predicted_gap"),
                "epochs_to_tolerance": self._epochs_to_tolerance(),
                "tolerance": TOLERANCE,
            }
        return found

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints how far the run came, with its final weights."""
        self._look(trainer)
        self._watch = None
        if self._moments is None or not self._epochs:
            return
        # Stopped in its first epoch, and not because it diverges, which is held against all rows.
        if not self.diverged and run_batches(trainer) < planned_batches(trainer):
            self._take(moments_again(trainer, run_batches(trainer)), pl_module)
            self._forecast, self._lr = Forecast("unknown"), None
        self._gaps = self._parabola.gaps(stack(pl_module.w, pl_module.b))
        self._gap = sum(self._gaps.tolist())
        found = self.findings = self._findings(trainer, pl_module)
        if self.diverged:
            found["diverged"] = self.diverged
        line = f"gap: {self._gap:.4g} above the optimum's loss"
        predicted = found.get("predicted", {}).get("gap")
        if predicted is not None:
            line += f", predicted {predicted:.4g}"
        distance = found["gap_in_standard_errors"]
        if distance is not None:
            line += f"; {distance:.3g} standard errors"
            line += ": more epochs would fit noise" if distance < 0.1 else ""
        self._say(trainer, line)
        if self.divergence_message and not self.diverged:
            self._say(
                trainer, f"ended before it could be seen to diverge, as it would: {self.divergence_message}"
            )

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Fails a training that has diverged, now that all is written.

        Raises:
            Diverged: With what to do about it.
        """
        if self.diverged and stage == "fit":
            raise Diverged(self.diverged)
