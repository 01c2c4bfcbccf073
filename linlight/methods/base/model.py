"""What the methods share: the model, the loss, evaluation, and what they report."""

import inspect
import math
from typing import Any

import torch
import torchmetrics
from lightning.pytorch import Callback
from torch import Tensor, nn

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.functional.update_rule import UpdateRule
from linlight.methods.base.batch import as_batch, features_of, total_weight
from linlight.methods.base.checks import (
    check_columns,
    check_data,
    check_sizes,
    check_targets,
    check_trainer,
    check_units,
)
from linlight.methods.base.metrics import collection, metrics_of, takes_weight
from linlight.methods.base.run_rows import batches_again
from linlight.methods.base.training_loss import TrainingLoss, run_batches
from linlight.methods.base.units import ScaledModule


class LinearModel(ScaledModule):
    """The linear model `x @ w.T + b` and all that does not depend on how it learns.

    With N rows, D features and T targets, x is (N, D), y is (N, T), w is (T, D) and b is (T,), as in
    `nn.Linear`, which holds them for every method; so one method's checkpoint fits another. The loss is
    the mean squared error over all N·T residuals, unless a method says otherwise. Sizes and type come
    from the data module, or from the checkpoint.

    A method of your own gives a `training_step`, which returns the loss, and `configure_optimizers`; where
    its steps are of a rule that theory knows, `update_rule` too. See `gradient_descent.py`.

    Args:
        bias: Whether the model has a bias.
        w0: Starting value of every weight, the bias then starting at 0; None leaves both to `nn.Linear`,
            which draws them at random.
        criterion: The loss of predictions against targets, both (N, T). Default: `nn.MSELoss()`.
        metrics: Further regression metrics of torchmetrics, by the names of their classes.
    """

    def __init__(
        self,
        bias: bool,
        w0: float | None,
        criterion: nn.Module | None = None,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__()
        # Lightning collects the arguments of the subclass's __init__ here. Only primitives are kept, so
        # that every checkpoint loads with weights_only=True. TensorBoard gets them at the end, with results.
        own = inspect.signature(type(self).__init__).parameters
        inherited = [name for name in ("bias", "w0", "metrics") if name not in own]
        self.save_hyperparameters(logger=False, ignore=[*inherited, "criterion"])
        if w0 is not None and not math.isfinite(w0):
            raise InputError(f"w0 must be a finite number, got {w0}")
        self._bias = bias
        self._w0 = w0
        self.criterion = criterion or nn.MSELoss()
        self._metric_names = metrics or []
        collection(self._metric_names)  # refuses a name that it does not know
        self.linear: nn.Linear | None = None
        self._until: int | None = None  # the Trainer's epochs
        self._evaluated = 0  # rows of a pass so far, in this process
        self.rows = 0  # behind the last loss of a whole pass, over all processes
        self.val_metrics: torchmetrics.MetricCollection | None = None
        self.test_metrics: torchmetrics.MetricCollection | None = None

    # The model ------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Checks that data fit."""
        precision = self.trainer.precision
        if precision not in ("32-true", "64-true"):
            raise InputError(
                f"precision {precision} is not used here: --data.dtype float32 or float64, which is "
                "--trainer.precision 32-true or 64-true, is the type of all numbers"
            )
        self.val_metrics, self.test_metrics = self._collection("val_"), self._collection("test_")
        data = self._data()
        if data is not None:
            check_data(self, data, stage)
            check_sizes(self, data)
            self.ask_for_rows(data, stage)
        super().setup(stage)

    def ask_for_rows(self, data: XYDataModule, stage: str) -> None:
        """Tells the data how a stage wants its rows: a trained model, in the data's own units."""
        several = self.batches_per_step(data) if stage == "fit" else 1
        data.configure_batches(batches_per_step=several, in_blocks=self.single_pass, own_units=stage != "fit")

    def batches_per_step(self, data: XYDataModule) -> int:
        """How many batches a training step takes at once."""
        return 1

    def on_fit_start(self) -> None:
        """Ends a single pass after its epoch, also where it is resumed at its end."""
        loop = self.trainer.fit_loop
        self._until = loop.max_epochs
        if self.single_pass and loop.max_epochs != 0:
            loop.max_epochs = 1

    def on_fit_end(self) -> None:
        """Leaves the Trainer's epochs as they were."""
        self.trainer.fit_loop.max_epochs = self._until
        super().on_fit_end()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the weights as the checkpoint has them, before they are filled in."""
        callbacks = checkpoint.get("callbacks", {})
        if "Explain" in callbacks:  # as earlier versions called it
            callbacks["Diagnostics"] = callbacks.pop("Explain")
        data = self._data()
        if data is not None:
            check_columns(checkpoint, data)
        super().on_load_checkpoint(checkpoint)
        if ("linear.bias" in checkpoint["state_dict"]) != self._bias:
            has = "no bias" if self._bias else "a bias"
            raise InputError(f"the checkpoint has {has}: use --model.bias {str(not self._bias).lower()}")
        weight = checkpoint["state_dict"]["linear.weight"]
        targets, features = weight.shape
        if self.linear is not None and self.linear.in_features != features:
            raise InputError(
                f"the checkpoint has {features} features and the data have {self.linear.in_features}: "
                "give the features it was trained on, in the same order"
            )
        if data is not None:
            check_targets(data, targets)
            data.compute_in(weight.dtype)
        dtype = weight.dtype if data is None else data.dtype
        if self.linear is None or self.linear.out_features != targets or self.w.dtype != dtype:
            self.build(features, targets, dtype)
        if data is not None and self.trainer.state.fn == "fit":
            check_units(checkpoint, data)
            progress = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [{}])
            if not any("rows_in_a_piece" in state for state in progress):  # its position is one in memory
                data.hold_rows()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stores the method, so that `linlight predict --ckpt_path` needs no `--model`."""
        super().on_save_checkpoint(checkpoint)
        data = self._data()
        other = getattr(self.trainer, "datamodule", None) if data is None else None
        if other is not None:
            checkpoint["data"] = f"{type(other).__module__}.{type(other).__qualname__}"
        if data is not None and data.is_table:
            checkpoint["columns"] = {"feature": data.feature_names, "target": data.target_names}
        # For `linlight fit --ckpt_path last`, which goes on to where the run was to end.
        checkpoint["until"] = {"max_epochs": self.trainer.max_epochs, "max_steps": self.trainer.max_steps}
        checkpoint["method"] = f"{type(self).__module__}.{type(self).__qualname__}"

    # The loss -------------------------------------------------------------------------------------------

    def update_rule(self) -> UpdateRule | None:
        """How a step moves the weights; None where theory knows of no largest stable step."""
        return None

    def configure_callbacks(self) -> list[Callback]:
        """Puts the callback that averages the training loss before all others, which read it.

        It makes the weights too, in its `setup`: callbacks that average them copy the model in theirs, which
        comes before the model's own.
        """
        if self.trainer.state.fn == "fit":  # before their `setup`, where some of them fail
            check_trainer(self, self.trainer)
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        if not any(isinstance(one, TrainingLoss) for one in callbacks):
            callbacks.insert(0, TrainingLoss())
        data = self._data()
        if data is not None:
            # A share of an epoch is counted in its batches, so these stay the same.
            limit = self.trainer.limit_train_batches
            unlimited = isinstance(limit, float) and limit == 1.0
            if self.single_pass and self.trainer.state.fn == "fit" and unlimited:
                data.expect_single_pass()
            if self.trainer.precision == "64-true":
                data.compute_in(torch.float64, "--trainer.precision 64-true")
            elif self.linear is not None:
                data.compute_in(self.w.dtype)
            if self.linear is None:
                self.build(data.features, data.targets or 1, data.dtype)
            self._built().to(data.dtype)  # where another was asked for than the model has
        return []

    # Evaluation -----------------------------------------------------------------------------------------

    def make_metrics(self) -> dict[str, torchmetrics.Metric]:
        """The metrics of an evaluation by their names, which get `val_`, `test_` or `train_` before them.

        A subclass adds its own: `return super().make_metrics() | {"mape": MeanAbsolutePercentageError()}`.
        """
        return collection(self._metric_names)

    def _collection(self, prefix: str) -> torchmetrics.MetricCollection:
        return torchmetrics.MetricCollection(
            {"loss": self.loss_metric(), **self.make_metrics()}, prefix=prefix, compute_groups=False
        )

    def _shared_step(self, batch: Any, metrics: torchmetrics.MetricCollection | None) -> None:
        assert metrics is not None  # made in `setup`
        self.add_to(metrics, batch)

    @torch.no_grad()
    def add_to(self, metrics: torchmetrics.MetricCollection, batch: Any) -> None:
        """Adds a batch to the loss and the metrics."""
        # Here, because moving a metric to a device makes it forget its type (torchmetrics 1.9). Apple's MPS
        # has no float64.
        if metrics["loss"].dtype != torch.float64 and self.device.type != "mps":
            metrics.set_dtype(torch.float64)
        x, y, *weight = batch = self.unpack(batch)
        self._evaluated += len(x)
        y_hat = self(x)
        loss = self.loss(y_hat, y, *weight) if len(x) else x.new_zeros(())
        for name, metric in metrics.items(keep_base=True, copy_state=False):
            if name != "loss":
                weighted = weight and takes_weight(type(metric))
                metric.update(y_hat, y, **({"weight": weight[0]} if weighted else {}))
            elif self.loss_is_total:
                metric.update(loss)
            else:
                metric.update(loss, total_weight(batch))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Adds up the metrics of the validation rows, of all loaders together."""
        self._shared_step(batch, self.val_metrics)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Adds up the metrics of the test rows, of all loaders together."""
        self._shared_step(batch, self.test_metrics)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predicts a batch: (B, D) in, (B, T) out."""
        x = features_of(batch)
        self.check_features(x)
        y_hat: Tensor = self(x)
        return y_hat

    # What it says after training ------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """What a method adds to `summary.json`; every process asks for it."""
        return {}

    def report(self) -> str:
        """What the command line prints after training, if anything, before the line that all methods get."""
        return ""

    def train_loss(self) -> float:
        """The loss at the present weights over the rows of the run; every process must call it."""
        return self.train_metrics()["train_loss"]

    @torch.no_grad()
    def train_metrics(self) -> dict[str, float]:
        """Loss and metrics at the present weights over the rows of the run; every process must call it.

        Of a stream, and of rows that stand for others, those that the statistic tells: not the MAE.
        """
        data, seen = self._data(), run_batches(self.trainer)
        whole = data is not None and math.isinf(seen)
        squared = isinstance(self.criterion, nn.MSELoss)
        if data is not None and squared and (data.reduce or (whole and data.source.is_surveyed)):
            m = data.statistics.scaled(data.scaling).cpu()
            self.rows = int(m.rows)
            found = metrics_of(m, self.w.cpu(), self._cpu_bias())
            total = m.weight.item() * m.targets if self.loss_is_total else 1.0
            return {"train_loss": found["train_mse"] * total, **found}
        metrics = self._collection("train_").to(self.device)
        for batch in data.train_pass() if data is not None and whole else batches_again(self.trainer, seen):
            # Methods of a single pass are given numbers that are not rounded to the model's type.
            self.add_to(metrics, tuple(tensor.to(self.w.dtype) for tensor in as_batch(batch)))
        self._count_rows()
        return {name: value.item() for name, value in metrics.compute().items()}

    def _count_rows(self) -> None:
        """Adds up what each process has evaluated; every process must call it."""
        (rows,) = self.sum_over_processes(torch.tensor(self._evaluated, device=self.device))
        self.rows, self._evaluated = int(rows), 0

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics, and counts the rows of all processes."""
        self._end_evaluation(self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Logs the metrics, and counts the rows of all processes."""
        self._end_evaluation(self.test_metrics)

    def _end_evaluation(self, metrics: torchmetrics.MetricCollection | None) -> None:
        self._count_rows()
        if not self.rows:
            raise InputError("there are no rows to evaluate: give at least one, or a larger fraction")
        assert metrics is not None  # made in `setup`
        # The dashboard draws them beside the training loss; `validate` and `test` print them.
        logged = False if self.trainer.state.fn == "fit" else None  # by default, without a warning
        # Here rather than in each step, where Lightning would tell several loaders' metrics apart.
        self.log_dict(metrics, on_step=False, on_epoch=True, logger=logged)
