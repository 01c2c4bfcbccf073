"""Several batches are taken in one training step only where nothing counts or watches single ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import fit, quiet_trainer
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint, Timer, TQDMProgressBar

from linlight import XYDataModule
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base.by_hand import ByHandModel
from linlight.methods.gradient_descent import GradientDescent
from linlight.training.audit import Audit
from linlight.training.diagnostics import Diagnostics
from linlight.training.last_checkpoint import LastCheckpoint
from linlight.training.tensorboard import Charts
from linlight.training.trace import Trace

ROWS = 1000

# What is saved after an update is what is meant to be saved.
pytestmark = pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization")
METHODS = [GradientDescent, Backpropagation]


def data(**settings: Any) -> XYDataModule:
    x = torch.linspace(-1, 1, ROWS)
    return XYDataModule(x, 2 * x + 0.1 * (30 * x).sin(), **({"batch_size": 1} | settings))


class Watching(Callback):
    """Counts what it sees, and notes the steps."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.sizes: set[int] = set()

    def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.steps.append(trainer.global_step)
        self.sizes.add(len(batch[0]))


class Subclassed(ModelCheckpoint):
    def on_train_batch_start(self, *args: Any) -> None:
        pass


class Own(GradientDescent):
    def on_before_optimizer_step(self, *args: Any) -> None:
        pass


ALONE: dict[str, Callable[[], dict[str, Any]]] = {
    "a callback of the user's": lambda: {"callbacks": [Watching()]},
    "a hook given to a LambdaCallback": lambda: {
        "callbacks": [LambdaCallback(on_after_backward=lambda *_: None)]
    },
    "a checkpoint every so many steps": lambda: {
        "callbacks": [ModelCheckpoint(every_n_train_steps=100)],
        "enable_checkpointing": True,
    },
    "a subclass": lambda: {"callbacks": [Subclassed()], "enable_checkpointing": True},
    "audit": lambda: {"callbacks": [Audit()]},
    "trace": lambda: {"callbacks": [Trace()]},
    "max_steps": lambda: {"max_steps": 100},
    "limit_train_batches": lambda: {"limit_train_batches": 100},
    "overfit_batches": lambda: {"overfit_batches": 100},
    "val_check_interval": lambda: {"val_check_interval": 0.5},
    "fast_dev_run": lambda: {"fast_dev_run": True},
}
TOGETHER: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": dict,
    "ours": lambda: {
        "callbacks": [Diagnostics(quiet=True), Charts(), LastCheckpoint()],
        "enable_checkpointing": True,
    },
    "a checkpoint every epoch": lambda: {"callbacks": [ModelCheckpoint()], "enable_checkpointing": True},
    "a bar": lambda: {"callbacks": [TQDMProgressBar()], "enable_progress_bar": True},
    "a timer": lambda: {"callbacks": [Timer(duration={"hours": 1})]},
    "a callback by epoch": lambda: {"callbacks": [LambdaCallback(on_train_epoch_end=lambda *_: None)]},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [*ALONE, *TOGETHER])
def test_who_watches_sees_every_update(
    name: str, method: type[ByHandModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (ALONE | TOGETHER)[name]()
    own = data(val_fraction=0.1)
    trainer = fit(method(lr=0.1), own, max_epochs=1, default_root_dir=tmp_path, **settings)
    assert (own.batches_per_step == 1) is (name in ALONE)
    capsys.readouterr()
    if "callbacks" in settings and isinstance(settings["callbacks"][0], Watching):
        seen = settings["callbacks"][0]
        assert seen.steps == [*range(1, trainer.global_step + 1)]
        assert seen.sizes == {1}


def test_a_model_of_the_users_that_watches() -> None:
    own = data()
    fit(Own(lr=0.1), own, max_epochs=1)
    assert own.batches_per_step == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_every_hundred_updates(method: type[ByHandModel], tmp_path: Path) -> None:
    every = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=100, save_top_k=-1)
    fit(method(lr=0.1), data(), max_epochs=1, enable_checkpointing=True, callbacks=[every])
    assert sorted(int(path.stem.split("=")[1]) for path in tmp_path.glob("*.ckpt")) == [
        *range(100, 1001, 100)
    ]


@pytest.mark.parametrize("method", METHODS)
def test_the_updates_are_the_same(method: type[ByHandModel]) -> None:
    found = []
    for settings in ({}, {"callbacks": [Watching()]}):
        model = method(lr=0.1)
        trainer = fit(model, data(shuffle=True), max_epochs=2, **settings)
        found.append((model.w.item(), trainer.global_step, trainer.callback_metrics["train_loss"].item()))
    (w, steps, loss), other = found
    assert (w, steps) == other[:2]
    assert loss == pytest.approx(other[2], rel=1e-5)


def test_what_was_asked_for_gives_way_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    own = data(updates_per_step=10)
    fit(GradientDescent(lr=0.1), own, max_epochs=1)
    assert own.batches_per_step == 10
    fit(GradientDescent(lr=0.1), own, max_epochs=1, callbacks=[Watching()])
    assert own.batches_per_step == 1
    assert "updates_per_step 10 is not used: Watching looks at single batches" in capsys.readouterr().out


class SavedInside(Callback):
    """Saves a checkpoint after the third step."""

    takes_several_batches = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 2 and not self.path.exists():
            trainer.save_checkpoint(self.path, weights_only=False)


def test_an_epoch_goes_on_in_the_steps_of_its_checkpoint(tmp_path: Path) -> None:
    """Another version may choose another number of batches, as it did for rows in order."""
    whole, rest = GradientDescent(lr=0.01), GradientDescent(lr=0.01)
    path = tmp_path / "inside.ckpt"
    fit(whole, data(updates_per_step=50), max_epochs=2, callbacks=[SavedInside(path)])
    own = data()
    quiet_trainer(max_epochs=2).fit(rest, datamodule=own, ckpt_path=path)
    assert own.batches_per_step == 50
    assert torch.equal(rest.w, whole.w)
