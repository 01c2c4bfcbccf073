"""Linear regression with PyTorch: `nn.Linear`, `nn.MSELoss` and `torch.optim.SGD`."""

from typing import Any

import torch
from lightning.pytorch.cli import instantiate_class
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from linlight.errors import InputError
from linlight.functional.update_rule import UpdateRule
from linlight.methods.base import LinearModel
from linlight.methods.base.criterion import check_compares_numbers, check_reduces, class_and_arguments
from linlight.methods.base.optim import check_lr


def _made(option: str, first: Any, init: dict[str, Any]) -> Any:
    """The object of an option's class and arguments, made with `first` before them."""
    try:
        return instantiate_class(first, init)
    except (TypeError, ValueError) as error:
        raise InputError(f"--{option} {init['class_path'].rpartition('.')[2]}: {error}") from error


class LinearRegression(LinearModel):
    """`nn.Linear` trained by Lightning's automatic optimization.

    The notes' fifth program uses `MSELoss(reduction="sum")`; then the gradient grows with the number of rows,
    N, and a learning rate that suits the mean has to be divided by N.

    Args:
        lr: Learning rate of SGD; not used where `optimizer` names another.
        bias: Whether the model has a bias.
        w0: Starting value of every weight, the bias then starting at 0. Default: as `nn.Linear` does,
            at random.
        criterion: The loss of predictions (B, T) against targets (B, T). Default: `nn.MSELoss()`.
        optimizer: `{"class_path": ..., "init_args": ...}`; `--optimizer` on the command line.
        lr_scheduler: The same for a scheduler, stepped every epoch; `--lr_scheduler` on the command line.
        metrics: Further regression metrics of torchmetrics, by the names of their classes.

    Raises:
        InputError: If `lr` is not positive and finite.
    """

    def __init__(
        self,
        lr: float = 0.01,
        bias: bool = True,
        w0: float | None = None,
        criterion: nn.Module | None = None,
        optimizer: dict[str, Any] | None = None,
        lr_scheduler: dict[str, Any] | None = None,
        metrics: list[str] | None = None,
    ) -> None:
        # A checkpoint has a dict, which the type leaves out: misspelt arguments would be taken for one.
        made = instantiate_class((), criterion) if isinstance(criterion, dict) else criterion
        super().__init__(bias, w0, made, metrics)
        check_reduces(self.criterion)
        self.hparams["criterion"] = class_and_arguments(self.criterion)
        self.lr = check_lr(lr)
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self._plateau: ReduceLROnPlateau | None = None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss; Lightning does the rest."""
        return self.differentiable_loss(batch)

    def configure_optimizers(self) -> Any:
        """SGD with `lr`, or what was asked for."""
        if self.optimizer is None:
            optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
        else:
            optimizer = _made("optimizer", self.parameters(), self.optimizer)
        if self.lr_scheduler is None:
            return optimizer
        scheduler = _made("lr_scheduler", optimizer, self.lr_scheduler)
        if isinstance(scheduler, ReduceLROnPlateau):
            self._plateau = scheduler
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": scheduler, "reduce_on_plateau": False},
            }
        return [optimizer], [scheduler]

    def update_rule(self) -> UpdateRule | None:
        """The rule of SGD with or without momentum, where no scheduler changes its learning rate."""
        if self.lr_scheduler is not None:
            return None
        if self.optimizer is None:
            return UpdateRule(self.lr)
        arguments: dict[str, Any] = {"lr": 1e-3, **self.optimizer.get("init_args", {})}
        is_sgd = self.optimizer["class_path"] in ("torch.optim.SGD", "torch.optim.sgd.SGD")
        if not is_sgd or arguments.get("weight_decay") or arguments.get("maximize"):
            return None
        names = ("lr", "momentum", "dampening", "nesterov")
        return UpdateRule(**{name: arguments[name] for name in names if name in arguments})

    def on_fit_start(self) -> None:
        """Refuses a criterion of another problem than regression."""
        super().on_fit_start()
        check_compares_numbers(self.criterion, self.w)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses to go on with another optimizer, whose state the checkpoint does not have."""
        super().on_load_checkpoint(checkpoint)
        if self._trainer is not None and self.trainer.state.fn == "fit":
            was, now = (
                (setting or {"class_path": "torch.optim.SGD"})["class_path"].rpartition(".")[2]
                for setting in (checkpoint["hyper_parameters"].get("optimizer"), self.optimizer)
            )
            if was != now:
                raise InputError(f"the checkpoint was trained by {was}, not {now}: use --optimizer {was}")

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Steps a scheduler, unless it waits for a plateau: see `on_train_epoch_end`."""
        if scheduler is not self._plateau:
            super().lr_scheduler_step(scheduler, metric)

    def on_train_epoch_end(self) -> None:
        """Passes the loss to schedulers that watch for a plateau.

        Lightning would do so after checkpoints are saved, and not in an epoch that is resumed.
        """
        if self._plateau is not None and self.trainer.is_last_batch:
            monitor = getattr(self._plateau, "monitor", "train_loss")
            metrics = self.trainer.callback_metrics
            if monitor not in metrics:
                known = ", ".join(metrics)
                raise InputError(
                    f"--lr_scheduler.monitor {monitor} is measured nowhere: choose one of {known}"
                )
            self._plateau.step(metrics[monitor])
