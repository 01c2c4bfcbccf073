"""The linear model of all methods: its weights, its loss, and how it is evaluated."""

import inspect
import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, distributed, nn
from torchmetrics import Metric, MetricCollection

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer
from linlight.functional.update_rule import UpdateRule
from linlight.methods.base.batch import Batch, as_batch, features_of, scalar_like
from linlight.methods.base.checkpoint import check_checkpoint, check_units, described, read_in_memory
from linlight.methods.base.checks import (
    check_batch,
    check_data,
    check_features,
    check_trainer,
    warn_of_rounding,
)
from linlight.methods.base.criterion import is_total, weighted_loss
from linlight.methods.base.metrics import LossMetric, add_batch, metrics_named, metrics_of
from linlight.methods.base.run_rows import batches_again, our_data
from linlight.methods.base.training_loss import TrainingLoss, run_batches


class LinearModel(LightningModule):
    """The linear model `x @ w.T + b`; a subclass says how it learns.

    With N rows, D features and T targets, x is (N, D), y is (N, T), w is (T, D) and b is (T,), as in
    `nn.Linear`, which holds them for every method; so one method's checkpoint fits another. The loss is
    the mean squared error over all N·T residuals, unless a method says otherwise. Sizes and type come
    from the data, or from the checkpoint.

    A method has a `training_step`, which returns the loss, and `configure_optimizers`, as any
    LightningModule; where its steps follow a rule that theory knows, `update_rule` too. One that moves its
    weights by hand has less to write as a `ByHandModel`.

    The methods here name and describe all arguments of their `__init__` again, for editors to show. The
    command line needs no more than `**kwargs`, passed on to this class.

    Args:
        bias: Whether the model has a bias.
        w0: Starting value of every weight, the bias then starting at 0; None leaves both to `nn.Linear`,
            which draws them at random.
        criterion: The loss of predictions against targets, both (N, T). Default: `nn.MSELoss()`.
        metrics: Further regression metrics of torchmetrics, by the names of their classes.

    Attributes:
        rows: Number of rows behind the last loss of a whole pass, over all processes.
    """

    single_pass = False
    """Whether a method only adds up over the rows, in whatever batches they come: then one epoch is all."""

    val_metrics: MetricCollection  # made anew in every `setup`
    test_metrics: MetricCollection

    def __init__(
        self,
        bias: bool = True,
        w0: float | None = None,
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
        metrics_named(self._metric_names)  # refuses a name that it does not know
        self.linear: nn.Linear | None = None
        self.rows = 0
        self._evaluated = 0  # rows of a pass so far, in this process
        self._max_epochs: int | None = None  # the Trainer's own
        self._is_standardized = False  # whether the weights are those of standardised features
        self._trained: dict[str, Tensor] | None = None  # those weights, once they are converted

    # The model ------------------------------------------------------------------------------------------

    def build(self, features: int, targets: int, dtype: torch.dtype | None = None) -> None:
        """Makes w, (targets, features), and b, (targets,), with their starting values.

        Args:
            features: D.
            targets: T.
            dtype: Type of the numbers. Default: torch's, as everywhere in torch. A model that is not built
                is built for the data it is fitted to, in their type.
        """
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
        """Predicts `x @ w.T + b`, (N, T), from features x, (N, D)."""
        y_hat: Tensor = self._built()(x)
        return y_hat

    @torch.no_grad()
    def original_units(self) -> tuple[Tensor, Tensor | None]:
        """w, (T, D), and b, (T,), for features that are not standardised; in float64 where they were."""
        scaling = self._scaling()
        if scaling is None or self.b is None:
            return self.w.detach(), None if self.b is None else self.b.detach()
        return scaling.original_units(self.w.detach(), self.b.detach())

    def _scaling(self) -> Standardizer | None:
        """How the features are standardised that the weights are for, if they are."""
        data = self._data
        return data.standardizer if data is not None and self._is_standardized else None

    @property
    def _data(self) -> XYDataModule | None:
        """The data module of the run, where it is ours."""
        return our_data(self._trainer)

    # The loss -------------------------------------------------------------------------------------------

    @property
    def loss_is_total(self) -> bool:
        """Whether the loss is a sum over the rows instead of their mean."""
        return is_total(self.criterion)

    def update_rule(self) -> UpdateRule | None:
        """How a step moves the weights; None where theory knows of no largest stable step."""
        return None

    def unpack(self, batch: Any, *, any_type: bool = False) -> Batch:
        """A batch of any loader as (x, y) or (x, y, weights), of this model's sizes and type.

        Args:
            batch: What the loader hands out.
            any_type: Whether numbers may be of another type than the weights.

        Raises:
            InputError: If it is something else.
        """
        x, y, *_ = rows = as_batch(batch)
        check_batch(self._built(), x, y, any_type=any_type)
        return rows

    def loss(self, y_hat: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss of predictions (N, T) against targets (N, T), each row counting `weight` (N,) times."""
        return weighted_loss(self.criterion, y_hat, y, weight)

    def training_loss(self, y_hat: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """The same of a training batch, whose weighted sum is divided by its `expected_weight`."""
        loss = self.loss(y_hat, y, weight)
        if weight is None or self.loss_is_total:
            return loss
        return loss * (weight.sum() / self.expected_weight((y_hat, y, weight)))

    def expected_weight(self, batch: Batch) -> float | Tensor:
        """What the mean over a training batch divides by: its rows, times the mean weight of all rows.

        Divided by its own weights, a batch of one row would forget its weight, and small batches would end
        elsewhere than the whole.
        """
        if len(batch) < 3:
            return len(batch[0])
        # Another's loader does not tell the mean weight, and a GPU would be waited for.
        data = self._data
        return len(batch[0]) * data.statistics.mean_weight if data is not None else batch[2].sum()

    def differentiable_loss(self, batch: Any) -> Tensor:
        """The loss of a training batch, for `backward`.

        With several processes its value is that of the whole batch, and its gradient that of this process's
        part times the number of processes, because Lightning's strategies average gradients over them.
        """
        x, y, *weight = batch = self.unpack(batch)
        y_hat = self(x)
        # An empty share adds nothing, but takes part in `backward`, where the others wait for it.
        loss = self.training_loss(y_hat, y, *weight) if len(x) else y_hat.sum()
        if self.trainer.world_size == 1:
            return loss
        mass = scalar_like(loss, self.expected_weight(batch))
        total, rows = self.sum_over_processes(loss if self.loss_is_total else loss * mass, mass)
        share = 1.0 if self.loss_is_total else mass.item() / rows.item()  # not in float32
        part = loss * (share * self.trainer.world_size)
        return (total if self.loss_is_total else total / rows) + (part - part.detach())

    def sum_over_processes(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Adds each tensor up over all processes: the one place where by-hand methods meet.

        Lightning reduces gradients only in `backward` (Lightning-AI/pytorch-lightning#9237).
        """
        if self.trainer.world_size == 1:
            return tensors
        flat = torch.cat([tensor.detach().reshape(-1).to(torch.float64) for tensor in tensors])
        # What the strategy's `reduce` does behind a barrier, which costs as much.
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        return tuple(part.reshape(t.shape).to(t.dtype) for part, t in zip(parts, tensors, strict=True))

    # A run ----------------------------------------------------------------------------------------------

    def configure_callbacks(self) -> list[Callback]:
        """Prepares the run, as the first hook of the model and before those of the data and the callbacks.

        The callback that averages the training loss comes before all others, which read it.
        """
        check_trainer(self, self.trainer)
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        if not any(isinstance(one, TrainingLoss) for one in callbacks):
            callbacks.insert(0, TrainingLoss())
        data = self._data
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
            if self.linear is None:  # another's data tell their sizes later, see `TrainingLoss.setup`
                self.build(data.features, data.targets or 1, data.dtype)
            self._built().to(data.dtype)  # where another was asked for than the model has
        return []

    def setup(self, stage: str) -> None:
        """Checks the data, and tells them how the stage wants its rows."""
        self.val_metrics, self.test_metrics = self._metrics("val_"), self._metrics("test_")
        data = self._data
        if data is not None:
            check_data(data, stage, self._built(), self.criterion, single_pass=self.single_pass)
            data.configure_batches(in_blocks=self.single_pass, own_units=stage != "fit")
        if stage == "fit":
            self._is_standardized, self._trained = data is not None and data.standardize, None

    def on_fit_start(self) -> None:
        """Ends a single pass after its epoch, also where it is resumed at its end."""
        loop = self.trainer.fit_loop
        self._max_epochs = loop.max_epochs
        if self.single_pass and loop.max_epochs != 0:
            loop.max_epochs = 1

    def on_fit_end(self) -> None:
        """Converts the model to the original units of the data, and gives the Trainer its epochs back."""
        self.trainer.fit_loop.max_epochs = self._max_epochs
        data, scaling = self._data, self._scaling()
        if data is None or scaling is None or self.b is None:
            return
        w, b = scaling.original_units(self.w.detach(), self.b.detach())
        warn_of_rounding(w, self.w.dtype, scaling, data.statistics.moments)
        self._trained = {name: tensor.clone() for name, tensor in self.state_dict().items()}
        self._is_standardized = False
        self.w.data.copy_(w)
        self.b.data.copy_(b)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what `linlight predict --ckpt_path` needs; weights are stored in the data's own units."""
        checkpoint |= described(type(self), self.trainer)
        state, scaling = checkpoint["state_dict"], self._scaling()
        if scaling is not None:
            w, b = scaling.original_units(state["linear.weight"], state["linear.bias"])
            checkpoint["standardized"] = dict(state)  # a training goes on with these, to the bit
            state.update({"linear.weight": w.to(self.w), "linear.bias": b.to(self.w)})
        elif self._trained is not None:
            checkpoint["standardized"] = self._trained

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the weights as the checkpoint has them, before they are filled in."""
        callbacks = checkpoint.get("callbacks", {})
        if "Explain" in callbacks:  # as earlier versions called it
            callbacks["Diagnostics"] = callbacks.pop("Explain")
        data = self._data
        check_checkpoint(checkpoint, self.linear, self._bias, data)
        weight = checkpoint["state_dict"]["linear.weight"]
        targets, features = weight.shape
        if data is not None:
            data.compute_in(weight.dtype)
        dtype = weight.dtype if data is None else data.dtype
        if self.linear is None or self.linear.out_features != targets or self.w.dtype != dtype:
            self.build(features, targets, dtype)
        if data is None or self.trainer.state.fn != "fit":
            return
        check_units(checkpoint, data)
        if data.standardize:
            checkpoint["state_dict"] |= checkpoint["standardized"]
        if read_in_memory(checkpoint):
            data.hold_rows()

    # Evaluation -----------------------------------------------------------------------------------------

    def make_metrics(self) -> dict[str, Metric]:
        """The metrics of an evaluation by their names, which get `val_`, `test_` or `train_` before them.

        A subclass adds its own: `return super().make_metrics() | {"mape": MeanAbsolutePercentageError()}`.
        """
        return metrics_named(self._metric_names)

    def _metrics(self, prefix: str) -> MetricCollection:
        return MetricCollection(
            {"loss": LossMetric(self.criterion), **self.make_metrics()}, prefix=prefix, compute_groups=False
        )

    def _evaluate(self, metrics: MetricCollection, batch: Any) -> None:
        x, y, *weight = self.unpack(batch)
        self._evaluated += len(x)
        add_batch(metrics, self(x), y, *weight)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Adds up the metrics of the validation rows, of all loaders together."""
        self._evaluate(self.val_metrics, batch)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Adds up the metrics of the test rows, of all loaders together."""
        self._evaluate(self.test_metrics, batch)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predicts a batch: (B, D) in, (B, T) out."""
        x = features_of(batch)
        check_features(self._built(), x)
        y_hat: Tensor = self(x)
        return y_hat

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics, and counts the rows of all processes."""
        self._end_evaluation(self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Logs the metrics, and counts the rows of all processes."""
        self._end_evaluation(self.test_metrics)

    def _end_evaluation(self, metrics: MetricCollection) -> None:
        self._count_rows()
        if not self.rows:
            raise InputError("there are no rows to evaluate: give at least one, or a larger fraction")
        # `Charts` draws them beside the training loss; `validate` and `test` print them.
        logged = False if self.trainer.state.fn == "fit" else None  # by default, without a warning
        # Here rather than in each step, where Lightning would tell several loaders' metrics apart.
        self.log_dict(metrics, on_step=False, on_epoch=True, logger=logged)

    def _count_rows(self) -> None:
        """Adds up what each process has evaluated; every process must call it."""
        (rows,) = self.sum_over_processes(torch.tensor(self._evaluated, device=self.device))
        self.rows, self._evaluated = int(rows), 0

    # The result -----------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """What a method adds to `summary.json`; every process asks for it."""
        return {}

    def report(self) -> str:
        """What the command line prints after training, if anything, before the line that all methods get."""
        return ""

    @torch.no_grad()
    def train_metrics(self) -> dict[str, float]:
        """Loss and metrics at the present weights over the rows of the run; every process must call it.

        Of a stream, and of rows that stand for others, those that the statistic tells: not the MAE.
        """
        data, seen = self._data, run_batches(self.trainer)
        whole = data is not None and math.isinf(seen)
        squared = isinstance(self.criterion, nn.MSELoss)
        if data is not None and squared and (data.reduce or (whole and data.source.is_surveyed)):
            m = data.statistics.scaled(data.scaling).cpu()
            self.rows = int(m.rows)
            found = metrics_of(m, self.w, self.b)
            total = m.weight.item() * m.targets if self.loss_is_total else 1.0
            return {"train_loss": found["train_mse"] * total, **found}
        metrics = self._metrics("train_").to(self.device)
        for batch in data.train_pass() if data is not None and whole else batches_again(self.trainer, seen):
            # Methods of a single pass are given numbers that are not rounded to the model's type.
            self._evaluate(metrics, tuple(tensor.to(self.w.dtype) for tensor in as_batch(batch)))
        self._count_rows()
        return {name: value.item() for name, value in metrics.compute().items()}
