"""`--trace true`: prints what the notes' programs print, and explains it in between."""

import math
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.base.batch import Batch
from linlight.methods.base.run_rows import our_data
from linlight.methods.base.training_loss import batch_loss, epoch_loss
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.linear_regression import LinearRegression
from linlight.text import wrapped
from linlight.training.lesson import FirstUpdate, explanation, said
from linlight.training.stability import no_optimum

MOST_ROWS = 10
"""The most rows that are printed under each candidate of a search."""


def number(tensor: Tensor) -> float | list[Any]:
    """A tensor's one number, or its list of numbers, in full precision."""
    flat: list[Any] = tensor.detach().tolist()
    while isinstance(flat, list) and len(flat) == 1:
        flat = flat[0]
    return flat


class Trace(Callback):
    """Prints the training as the notes' programs do, line by line.

    On the textbook's three points every line that the notes' program prints is printed, with the same
    digits. All that explains begins with `#`: how the method learns, and the steps of the first update.
    """

    def __init__(self, lang: str = "en") -> None:
        self._lang = lang
        self._began = False  # whether a batch has come
        self._batch: Batch | None = None
        self._step_loss = math.nan
        self._loss_after = torch.zeros(())
        self._gradient_is_due = False
        self._first: FirstUpdate | None = None
        self._remarked = False  # on the loss of an epoch's last row
        self._rows: list[tuple[Tensor, Tensor]] = []  # the first, for a search
        self._seen = 0

    def _explain(self, *texts: str) -> None:
        for text in texts:
            print(*("# " + line for line in wrapped(text, 78)), sep="\n")

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Explains the method, before `Diagnostics` prints its forecast."""
        if not trainer.is_global_zero:
            return
        self._explain(type(pl_module).__name__, *explanation(pl_module, trainer, self._lang))
        if no_optimum(trainer, pl_module) is None:
            self._explain(said("gap", self._lang))

    @torch.no_grad()
    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Predicts with the starting weights, and keeps the batch."""
        if not trainer.is_global_zero:
            return
        model: LinearModel = pl_module
        self._batch, self._gradient_is_due = batch, True
        x, y = batch[:2]
        if isinstance(model, ExhaustiveSearch):
            self._rows += list(zip(x, y, strict=True))[: MOST_ROWS - len(self._rows)]
            self._seen += len(x)
            return
        if not self._began:
            if trainer.world_size == 1 and trainer.optimizers and len(x):
                self._first = FirstUpdate(model, batch, self._lang)
            if isinstance(model, GradientDescent | Backpropagation):
                self._predict("before", trainer, model)
        self._began = True

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Prints the gradient of a batch that is not the whole."""
        model: LinearModel = pl_module
        if not self._gradient_is_due or model.w.grad is None or self._batch is None:
            return
        self._gradient_is_due = False  # some optimizers ask for it several times in a step
        if self._first is not None:
            self._explain(*self._first.until_gradient(model))
        x, y = self._batch[:2]
        if len(x) == 1 and trainer.world_size == 1:
            print("\tgrad:", number(x), number(y), number(model.w.grad))
        elif trainer.num_training_batches > 1:
            print("\tgrad:", number(model.w.grad))

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Shows the first update, and measures the loss after each."""
        model: LinearModel = pl_module
        if not trainer.is_global_zero or isinstance(model, ExhaustiveSearch) or not len(batch[0]):
            return
        x, y, *weight = batch
        loss = batch_loss(trainer, outputs)
        self._step_loss = math.nan if loss is None else loss.item()
        self._loss_after = model.loss(model(x), y, *weight)
        if self._first is not None:
            rule = model.update_rule()
            self._explain(*self._first.update(model, rule.lr if rule is not None and rule.is_plain else None))
            self._first = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Prints the epoch in the words of the notes' program, or every candidate."""
        if not trainer.is_global_zero:
            return
        model: LinearModel = pl_module
        epoch, is_whole = trainer.current_epoch, trainer.num_training_batches == 1
        weights = f"w= {number(model.w)}" + ("" if model.b is None else f" b= {number(model.b)}")
        before = epoch_loss(trainer) if is_whole else self._step_loss
        # The stochastic program of the notes computes its loss after the update, the others before.
        after = self._loss_after.item() if trainer.world_size == 1 else before
        if isinstance(model, ExhaustiveSearch):
            self._candidates(trainer, model)
        elif isinstance(model, GradientDescent) and not is_whole:
            print("progress:", epoch, weights, "loss", after)
            self._remark(trainer, "after_update", before=before)
        elif isinstance(model, Backpropagation):
            print("progress:", epoch, before)
            if not is_whole:
                self._remark(trainer, "before_update", after=after)
        elif isinstance(model, LinearRegression):
            print(epoch, before)
        else:
            print("epoch:", epoch, weights, "loss=", before)

    def _remark(self, trainer: Trainer, key: str, **losses: float) -> None:
        """Explains, once, which w a loss belongs to."""
        if not self._remarked and trainer.world_size == 1:
            self._explain(said(key, self._lang, **losses))
        self._remarked = True

    def _candidates(self, trainer: Trainer, model: ExhaustiveSearch) -> None:
        features = model.w.shape[1]
        # Of several processes each has seen its own rows only.
        rows = self._rows if trainer.world_size == 1 else []
        for candidate, losses in zip(model.candidates, model.losses.T, strict=True):
            w, b = candidate[:features], candidate[features:]
            print("w=", f"{number(w)}" + (f" b= {number(b)}" if len(b) else ""))
            for x, y in rows:
                terms = [*(x * w), *b]
                y_pred = sum(terms[1:], terms[0]).expand_as(y)
                print("\t", number(x), number(y), number(y_pred), number((y_pred - y) * (y_pred - y)))
            if rows and self._seen > len(rows):
                print(f"\t# ... {self._seen - len(rows):,} more rows")
            print("MSE=", number(losses))

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Predicts with the final weights."""
        if not trainer.is_global_zero or not self._began:
            return
        if not isinstance(pl_module, LinearRegression):
            self._predict("after", trainer, pl_module)
            return
        w, b = pl_module.original_units()
        print("w = ", number(w))
        if b is not None:
            print("b = ", number(b))
        if our_data(trainer) is not None:
            print("y_pred = ", self._predicted(trainer, pl_module)[1])

    def _predict(self, when: str, trainer: Trainer, model: LinearModel) -> None:
        if our_data(trainer) is None:  # another's have no example
            return
        x, y_pred = self._predicted(trainer, model)
        given = [int(value) if value == int(value) else value for value in x.flatten().tolist()]
        print(f"predict ({when} training)", given[0] if len(given) == 1 else given, number(y_pred))

    @torch.no_grad()
    def _predicted(self, trainer: Trainer, model: LinearModel) -> tuple[Tensor, Tensor]:
        """The example's features, (1, D), and its prediction, (1, T)."""
        data = our_data(trainer)
        assert data is not None
        x: Tensor = data.example.to(model.device)
        scaling = data.scaling
        return x, model(x if scaling is None else scaling.scale(x))
