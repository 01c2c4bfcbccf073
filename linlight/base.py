"""What the methods share: the model, the loss, evaluation, and what they report."""

import math
from typing import Any

import torch
import torchmetrics
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from linlight.data import XYDataModule
from linlight.errors import InputError
from linlight.functional import check_same_shape, largest_stable_step
from linlight.moments import Moments, merge

Batch = tuple[Tensor, Tensor]


class LinearModel(LightningModule):
    """The linear model `x @ w.T + b` and all that does not depend on how it learns.

    With N rows, D features and T targets, x is (N, D), y is (N, T), w is (T, D) and b is (T,), as in
    `nn.Linear`, which holds them for every method; so one method's checkpoint fits another. The loss is
    the mean squared error over all N·T residuals, unless a method says otherwise. Sizes and type come
    from the data module, or from the checkpoint.

    A method of your own gives a `training_step` and `configure_optimizers`; the step calls `record` with
    the loss of its batch. See `gradient_descent.py`.

    Args:
        bias: Whether the model has a bias.
        w0: Starting value of every weight, the bias then starting at 0; None leaves both to `nn.Linear`,
            which draws them at random.
        criterion: The loss of predictions against targets, both (N, T). Default: `nn.MSELoss()`.
    """

    explanation = ""
    """What `--trace` prints first: where the method's update comes from."""

    def __init__(self, bias: bool, w0: float | None, criterion: nn.Module | None = None) -> None:
        super().__init__()
        # Lightning collects the arguments of the subclass's __init__ here. Only primitives are kept, so
        # that every checkpoint loads with weights_only=True. TensorBoard gets them at the end, with results.
        self.save_hyperparameters(logger=False, ignore="criterion")
        if w0 is not None and not math.isfinite(w0):
            raise InputError(f"w0 must be a finite number, got {w0}")
        self._bias = bias
        self._w0 = w0
        self.criterion = criterion or nn.MSELoss()
        self.linear: nn.Linear | None = None
        self.step_loss: Tensor | None = None
        self.epoch_loss = torch.zeros(())
        self._epoch_rows = 0
        self.figures: dict[str, float] = {}  # what callbacks measured in an epoch, for the dashboard
        self.findings: dict[str, Any] = {}  # what they found out, for the summary
        self.autopsy = ""  # why a run that diverges does, where that is known beforehand
        self.val_loss: torchmetrics.Metric | None = None
        self.test_loss: torchmetrics.Metric | None = None

    # The model ------------------------------------------------------------------------------------------

    def build(self, features: int, targets: int, dtype: torch.dtype = torch.float32) -> None:
        """Makes w, (targets, features), and b, (targets,), with their starting values."""
        self.linear = nn.Linear(features, targets, bias=self._bias, dtype=dtype)
        if self._w0 is not None:
            nn.init.constant_(self.linear.weight, self._w0)
            if self._bias:
                nn.init.zeros_(self.linear.bias)

    def _built(self) -> nn.Linear:
        if self.linear is None:
            raise InputError(
                "the model has no weights yet: fit it with an XYDataModule, load a checkpoint, "
                "or call build(features, targets)"
            )
        return self.linear

    @property
    def w(self) -> nn.Parameter:
        """The weights, (T, D)."""
        weight: nn.Parameter = self._built().weight  # type: ignore[assignment]
        return weight

    @property
    def b(self) -> nn.Parameter | None:
        """The bias, (T,), or None."""
        bias: nn.Parameter | None = self._built().bias
        return bias

    def forward(self, x: Tensor) -> Tensor:
        """Predicts.

        Args:
            x: Features, (N, D).

        Returns:
            `x @ w.T + b`, (N, T).
        """
        y_hat: Tensor = self._built()(x)
        return y_hat

    def setup(self, stage: str) -> None:
        """Takes the sizes from the data, or checks that they fit."""
        self.val_loss, self.test_loss = self.loss_metric(), self.loss_metric()
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, XYDataModule):
            if self.linear is None:
                raise InputError(
                    "the number of features comes from the data: pass datamodule=XYDataModule(x, y), "
                    "or call model.build(features, targets) first"
                )
            return
        if stage != "predict":
            data.train_data()  # says so if there is no y
            if data.reduce:
                self.check_reducible()
        if self.linear is None:
            self.build(data.features, data.targets or 1, data.x.dtype)
        elif self.linear.in_features != data.features:
            raise InputError(
                f"the model has {self.linear.in_features} features and the data have {data.features}: "
                "give the features it was trained on, in the same order"
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the weights as the checkpoint has them, before they are filled in."""
        weight = checkpoint["state_dict"]["linear.weight"]
        targets, features = weight.shape
        if self.linear is not None and self.linear.in_features != features:
            raise InputError(
                f"the checkpoint has {features} features and the data have {self.linear.in_features}: "
                "give the features it was trained on, in the same order"
            )
        if self.linear is None or self.linear.out_features != targets:
            self.build(features, targets, weight.dtype)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remembers the method, so that `linlight predict --ckpt_path` needs no `--model`."""
        checkpoint["method"] = f"{type(self).__module__}.{type(self).__qualname__}"

    # The loss -------------------------------------------------------------------------------------------

    def check_reducible(self) -> None:
        """Raises where rows of the same mean squared error would not do for all rows."""
        if not isinstance(self.criterion, nn.MSELoss) or self.loss_is_total:
            raise InputError(
                f"reduce keeps the mean squared error of the data and nothing else, not {self.criterion}: "
                "set reduce to false"
            )

    @property
    def loss_is_total(self) -> bool:
        """Whether the loss is a sum over the rows instead of their mean."""
        return getattr(self.criterion, "reduction", "mean") == "sum"

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """The loss of predictions (N, T) against targets (N, T)."""
        check_same_shape(y_hat, y)
        loss: Tensor = self.criterion(y_hat, y)
        return loss

    def loss_metric(self) -> torchmetrics.Metric:
        """Adds losses up over batches and processes, every row weighing the same."""
        metric = torchmetrics.SumMetric() if self.loss_is_total else torchmetrics.MeanMetric()
        # Moved before its type is set: the move would undo it. Apple's MPS has no float64.
        metric = metric.to(self.trainer.strategy.root_device)
        on_mps = self.trainer.strategy.root_device.type == "mps"
        return metric if on_mps else metric.set_dtype(torch.float64)

    def sum_over_processes(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Adds each tensor up over all processes: the one place where by-hand methods meet.

        Lightning reduces gradients only in `backward` (Lightning-AI/pytorch-lightning#9237).
        """
        if self.trainer.world_size == 1:
            return tensors
        flat = torch.cat([tensor.detach().reshape(-1).to(torch.float64) for tensor in tensors])
        flat = self.trainer.strategy.reduce(flat, reduce_op="sum")
        parts = flat.split([tensor.numel() for tensor in tensors])
        return tuple(part.reshape(t.shape).to(t.dtype) for part, t in zip(parts, tensors, strict=True))

    def merge_over_processes(self, mine: Moments) -> Moments:
        """The statistic of all processes' rows, equal to the bit on all of them."""
        if self.trainer.world_size == 1:
            return mine
        # A sum in which every process has a row of its own, and zeros elsewhere, gathers them.
        state = mine.state_dict()
        sizes = [tensor.numel() for tensor in state.values()]
        rows = torch.zeros(self.trainer.world_size, sum(sizes), dtype=torch.float64, device=self.device)
        rows[self.trainer.global_rank] = torch.cat([tensor.reshape(-1).to(rows) for tensor in state.values()])
        (rows,) = self.sum_over_processes(rows)
        parts = []
        for row in rows:
            named = zip(state.items(), row.split(sizes), strict=True)
            parts.append(Moments.load({name: part.reshape(like.shape) for (name, like), part in named}))
        return merge(parts)

    def differentiable_loss(self, batch: Batch) -> Tensor:
        """The loss of a training batch, for `backward`; records it too.

        With several processes it is this process's part of the whole batch's loss, times the number of
        processes, because Lightning's strategies average the gradients over them.
        """
        x, y = batch
        y_hat = self(x)
        # An empty share adds nothing, but takes part in `backward`, where the others wait for it.
        loss = self.loss(y_hat, y) if len(x) else y_hat.sum()
        if self.trainer.world_size == 1:
            self.record(loss.detach(), len(x))
            return loss
        total, rows = self.sum_over_processes(
            loss if self.loss_is_total else loss * len(x), torch.tensor(len(x), device=x.device)
        )
        share = 1.0 if self.loss_is_total else len(x) / rows.item()
        self.record(total if self.loss_is_total else total / rows, int(rows))
        return loss * (share * self.trainer.world_size)

    def record(self, loss: Tensor, rows: int) -> None:
        """Notes the loss of a training batch (over all processes) at the weights before its update.

        Raises:
            InputError: If the loss has left the finite numbers.
        """
        self.step_loss = loss
        self._epoch_rows += rows
        if self.loss_is_total:
            self.epoch_loss = self.epoch_loss + loss
        else:  # the running mean over rows; exact where one batch is the whole
            self.epoch_loss = self.epoch_loss + (loss - self.epoch_loss) * (rows / self._epoch_rows)
        # Reading a loss from a GPU makes it wait, so there it is read now and then only.
        if loss.device.type == "cpu" or self.trainer.global_step % 50 == 0:
            self._check_finite(loss)

    def _check_finite(self, loss: Tensor) -> None:
        if math.isfinite(loss.item()):
            return
        if self.trainer.global_step == 0:
            raise InputError(
                "the loss is not a finite number at the very first step: the data are too large for "
                f"{str(self.w.dtype).removeprefix('torch.')}, divide them by their size or use dtype float64"
            )
        raise InputError(
            f"the loss left the finite numbers in epoch {self.trainer.current_epoch}, "
            f"step {self.trainer.global_step}: {self.autopsy or self.divergence_advice()}"
        )

    def divergence_advice(self) -> str:
        """What to do about a loss that grew without end."""
        lr = self.hparams.get("lr")
        if lr is None:
            return "use a smaller step"
        stable = self.stable_step()
        if stable is None or lr < stable:
            return f"lr {lr:g} is too large, try --model.lr {lr / 10:.3g}"
        return (
            f"lr {lr:g} is above {stable:.4g}, the largest stable step of the whole batch for these data, "
            f"try --model.lr {stable / 2:.3g}"
        )

    def plain_lr(self) -> float | None:
        """The learning rate of plain gradient steps, all of one length; None where the rule is another."""
        return self.hparams.get("lr")

    def stable_step(self) -> float | None:
        """The largest stable learning rate of whole-batch steps; None where the loss has no such bound."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, XYDataModule):
            return None
        x, y = data.train_data()
        return largest_stable_step(x, y.shape[1], bias=self._bias, total=self.loss_is_total)

    def on_train_epoch_start(self) -> None:
        """Starts the epoch's loss afresh."""
        self.epoch_loss = torch.zeros((), dtype=self.w.dtype, device=self.device)
        self._epoch_rows = 0

    def on_train_epoch_end(self) -> None:
        """Offers the epoch's loss to callbacks that monitor it; the dashboard draws it itself."""
        self._check_finite(self.epoch_loss)
        # Equal on all processes already; Lightning warns unless it may see to that itself.
        self.log("train_loss", self.epoch_loss, logger=False, sync_dist=self.trainer.world_size > 1)

    # Evaluation -----------------------------------------------------------------------------------------

    def _shared_step(self, batch: Batch, name: str) -> None:
        metric: torchmetrics.Metric = getattr(self, name)
        self.add_loss(metric, batch)
        # The dashboard draws it beside the training loss; `validate` and `test` print it.
        self.log(name, metric, on_step=False, on_epoch=True, logger=False)

    def add_loss(self, metric: torchmetrics.Metric, batch: Batch) -> None:
        """Adds the loss of a batch to a metric made by `loss_metric`."""
        x, y = batch
        loss = self.loss(self(x), y).detach() if len(x) else x.new_zeros(())
        metric.update(*(loss,) if self.loss_is_total else (loss, len(x)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds up the loss of the validation rows."""
        self._shared_step(batch, "val_loss")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds up the loss of the test rows."""
        self._shared_step(batch, "test_loss")

    def predict_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        """Predicts a batch: (B, D) in, (B, T) out."""
        y_hat: Tensor = self(batch[0])
        return y_hat

    # What it says after training ------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """What a method adds to `summary.json`; every process asks for it."""
        return self.findings

    def report(self) -> str:
        """What the command line prints after training, if anything, before the line that all methods get."""
        return ""

    @torch.no_grad()
    def train_loss(self) -> float:
        """The loss at the present weights over the whole training data; every process must call it."""
        metric = self.loss_metric()
        for batch in self.trainer.datamodule.train_dataloader():  # type: ignore[attr-defined]
            self.add_loss(metric, batch)
        loss: float = metric.compute().item()
        return loss
