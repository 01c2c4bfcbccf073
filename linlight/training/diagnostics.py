"""A training explains itself: how far the optimum is, which step is too large, and how long it will take."""

import math
import textwrap
from typing import Any, Literal

import numpy as np
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from linlight.data.datamodule import XYDataModule
from linlight.errors import Diverged, InputError
from linlight.functional.descent import stack
from linlight.functional.forecast import Forecast
from linlight.methods.base import LinearModel
from linlight.methods.base.run_rows import moments_again, planned_batches
from linlight.methods.base.training_loss import READ_EVERY, advice, run_batches
from linlight.text import count, epochs_in_words
from linlight.training.prediction import (
    TOLERANCE,
    ExactAnswer,
    Prediction,
    RuleCheck,
    foreign_code,
    gradient_precision,
)
from linlight.training.stability import (
    OUT_OF_HAND,
    SEEN,
    WATCHED,
    Growth,
    forecast_of,
    no_optimum,
    overflows,
)

EXACT_EPOCHS = ("whole", "cycle", "momentum")
"""Kinds of forecast of which the end of an epoch follows from its start."""


class Diagnostics(Callback):
    """Reads the data once before training, and compares every gradient method with the exact answer.

    Only for the mean or the sum of squared errors. It prints the largest stable step and the predicted
    number of epochs before the first step; logs the gap to the optimum's loss, and the predicted gap, after
    every epoch; and ends a run that diverges, soon after the first sure sign. Such a run is kept as others
    are; once all is written, `fit` raises `Diverged`, an InputError that says why. Where something else than
    the update rule moves the weights, the prediction is taken back.

    Args:
        stop_at_se: Stop as soon as no coefficient, and no combination of them, is further from the optimum
            than this many of its standard errors: more epochs would fit noise.
        quiet: Whether to print nothing.
        on_divergence: Whether to `stop` a run that diverges, or to `continue` as long as there are numbers.

    Attributes:
        findings: The results for `summary.json`; empty until the end of the training.
        epoch_metrics: The gap after the last epoch, and the predicted one.
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
        self.epoch_metrics: dict[str, float] = {}
        self.divergence_message = self.diverged = ""
        self._answer: ExactAnswer | None = None
        self._check: RuleCheck | None = None
        self._saved: dict[str, Any] = {}  # of the training that is resumed

    @property
    def exact(self) -> tuple[Tensor, Tensor | None, float] | None:
        """w, (T, D), and b, (T,), of the optimum, and its loss, where it is known before training."""
        answer = self._answer
        return None if answer is None else (answer.fit.w, answer.fit.b, answer.shape.lowest)

    @property
    def bound(self) -> float:
        """The largest stable step of this rule on these data, infinite where there is none."""
        return self._forecast.bound

    @property
    def first_gap(self) -> float:
        """How far above the optimum's loss the training began."""
        return self._first_gap

    def state_dict(self) -> dict[str, Any]:
        """Returns where the prediction began, so that a resumed training is compared with the same one."""
        if self._answer is None:
            return self._saved
        return {
            "lr": self._lr,
            "of": self._of,
            "start": self._prediction.start.tolist(),
            "predicted": self._prediction.position.tolist(),
            "first_gap": self._first_gap,
            "epochs": self._prediction.epochs,
            "reached": self._reached,
            "findings": self.findings,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps it for `on_train_start`."""
        self._saved = state_dict

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Restores earlier findings, in case nothing is left to train."""
        self.findings = self._saved.get("findings", {})

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Gathers the statistic, and prints what it predicts."""
        model: LinearModel = pl_module
        self._answer = self._check = None
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
        is_limited = math.isfinite(planned)
        batches = int(planned) if is_limited else data.batches
        passes = batches if data.reduce else 1
        own_rows = is_limited and not data.reduce
        m = moments_again(trainer, planned) if own_rows else data.statistics.scaled(data.scaling)
        self._answer = ExactAnswer.of(m, model, data)
        shape, rule, theta = self._answer.shape, model.update_rule(), stack(model.w, model.b)
        self._forecast: Forecast = forecast_of(trainer, model, shape, int(m.rows), batches, passes)
        self._gap = float(shape.gaps(theta).sum())
        self._lr = rule.lr if rule is not None and rule.is_plain else None
        self._of = [batches, int(data.shuffle), shape.lowest]
        saved, self._saved = self._saved, {}
        if (saved.get("of"), saved.get("lr", math.nan)) != (self._of, self._lr):  # another training
            saved = {"start": theta, "predicted": theta, "epochs": 0, "first_gap": self._gap, "reached": None}
        start, position = (np.array(saved[key]) for key in ("start", "predicted"))
        self._prediction = Prediction(shape, self._forecast, passes, start, position, saved["epochs"])
        self._first_gap: float = saved["first_gap"]
        self._reached: int | None = saved["reached"]  # the epoch that came down to the tolerance
        if rule is not None and self._forecast.kind in EXACT_EPOCHS:
            precision = gradient_precision(model, data, int(m.rows))
            self._check = RuleCheck(shape, self._forecast, rule, batches, precision)
            is_first = trainer.global_step == 0  # else it may be resumed inside an epoch
            self._check.begin(trainer.current_epoch + (not is_first), theta, is_first=is_first)
        zero = float(shape.gaps(np.zeros_like(theta)).sum())
        self._growth = Growth(shape.lowest, max(self._first_gap, zero) + shape.lowest)
        if self._forecast.is_above:
            self.divergence_message = (
                f"lr {self._forecast.lr:g} is above {self._forecast.bound:.4g}, {self._forecast.name} "
                f"for this data; try {self._forecast.bound / 2:.3g}"
            )
        self._say(trainer, *self._outlook(trainer.max_epochs or 0))

    def _outlook(self, epochs: int) -> list[str]:
        """What is known before the first step, a line each."""
        assert self._answer is not None
        rows, fit = int(self._answer.moments.rows), self._answer.fit
        lines = [
            f"optimum: loss {self._answer.shape.lowest:.6g}, from {count(rows, 'row')}; "
            f"condition number {fit.condition_number:.4g}",
            f"step: {self._forecast.line}",
        ]
        if self._forecast.kind == "whole" and not self._forecast.is_above:
            lines.append(
                f"forecast: gap {self._gap:.4g} now, {self._prediction.gap_after(epochs):.4g} after "
                f"{count(epochs, 'epoch')}; a millionth after "
                f"{epochs_in_words(self._prediction.epochs_to_tolerance())}"
            )
        return lines

    def _say(self, trainer: Trainer, *lines: str) -> None:
        if trainer.is_global_zero and not self.quiet:
            for line in lines:
                print(textwrap.fill(line, 80, subsequent_indent="  "))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stops inside an epoch where the step is too large and the loss has grown out of hand."""
        if self._answer is None or not self.divergence_message or trainer.is_last_batch:
            return
        if pl_module.w.device.type != "cpu" and trainer.global_step % READ_EVERY:
            return
        gap = float(self._answer.shape.gaps(stack(pl_module.w, pl_module.b)).sum())
        if self._growth.exceeds(gap, OUT_OF_HAND):
            self.diverged = f"the loss grows without end: {self.divergence_message}"
            if self.on_divergence == "stop" or overflows(gap, pl_module.w.dtype):
                trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Measures the gap, and stops when it is small enough or grows for good."""
        if self._answer is None:
            return
        model: LinearModel = pl_module
        theta = stack(model.w, model.b)
        in_part = not trainer.is_last_batch  # the training ends inside this epoch
        epoch = trainer.current_epoch
        if self._check is not None and not self._check.follows(None if in_part else epoch, theta):
            self._take_back(trainer)
        gaps = self._answer.shape.gaps(theta)
        before, self._gap = self._gap, sum(gaps.tolist())
        self.epoch_metrics = {"gap": self._gap}
        if not in_part:
            predicted = self._prediction.next_gap()
            if predicted is not None:
                self.epoch_metrics["predicted_gap"] = predicted
            if self._reached is None and self._gap <= TOLERANCE * self._first_gap:
                self._reached = self._prediction.epochs
        is_unknown = self._forecast.kind == "unknown"
        if (self.divergence_message or is_unknown) and self._growth.is_for_good(
            self._forecast.kind, self._gap, before
        ):
            self.diverged = f"the loss grows without end: {self.divergence_message or advice(trainer, model)}"
        if self.diverged:
            self._sure = epoch if self._sure is None else self._sure
            is_seen = epoch - self._sure >= WATCHED or self._growth.exceeds(self._gap, SEEN)
            if (is_seen and self.on_divergence == "stop") or overflows(self._gap, model.w.dtype):
                trainer.should_stop = True
        if self.stop_at_se is not None and self._answer.standard_errors(gaps) <= self.stop_at_se:
            trainer.should_stop = True

    def _take_back(self, trainer: Trainer) -> None:
        """Gives up the prediction, which the weights do not follow."""
        names = " or ".join(foreign_code(trainer))
        self._say(
            trainer,
            "no forecast from here on: the weights do not go where the update rule takes them"
            + (f", perhaps because of {names}" if names else ""),
        )
        self._check = self._lr = None
        self._forecast = self._prediction.forecast = Forecast("unknown")
        self.divergence_message, self.diverged, self._sure = "", "", None

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints how far the run came, with its final weights."""
        if self._answer is None or not self.epoch_metrics:
            return
        theta = stack(pl_module.w, pl_module.b)
        if self._check is not None and not self._check.is_untouched(theta):
            self._take_back(trainer)
        self._check = None
        data: XYDataModule = trainer.datamodule  # type: ignore[attr-defined]
        # Stopped in its first epoch, and not because it diverges, which is measured on all rows.
        if not self.diverged and run_batches(trainer) < planned_batches(trainer):
            self._answer = ExactAnswer.of(moments_again(trainer, run_batches(trainer)), pl_module, data)
            self._forecast, self._lr = Forecast("unknown"), None
        found = self.findings = self._answer.findings(self._answer.shape.gaps(theta), data)
        found["epochs_to_tolerance"] = self._reached
        if self._forecast.lr is not None:
            bound = self._forecast.bound
            found["largest_stable_step"] = bound if math.isfinite(bound) else None
        line = f"gap: {found['gap']:.4g} above the optimum's loss"
        if self._lr is not None:
            predicted = self.epoch_metrics.get("predicted_gap")
            found["predicted"] = {
                "gap": predicted,
                "epochs_to_tolerance": self._prediction.epochs_to_tolerance(),
                "tolerance": TOLERANCE,
            }
            line += "" if predicted is None else f", predicted {predicted:.4g}"
        if self.diverged:
            found["diverged"] = self.diverged
        distance = found["gap_in_standard_errors"]
        if distance is not None:
            line += f"; {distance:.3g} standard errors"
            line += ": more epochs would fit noise" if distance < 0.1 else ""
        self._say(trainer, line)
        if self.divergence_message and not self.diverged:
            likely = "may" if self._forecast.kind == "estimate" else "would"
            self._say(
                trainer,
                f"ended before it could be seen to diverge, as it {likely}: {self.divergence_message}",
            )

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Fails a training that has diverged, now that all is written.

        Raises:
            Diverged: With what to do about it.
        """
        if self.diverged and stage == "fit":
            raise Diverged(self.diverged)
