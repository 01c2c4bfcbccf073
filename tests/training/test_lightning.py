"""Every Trainer flag and stock callback with every method: what Lightning documents, or one line."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run, fit, quiet_trainer
from lightning.pytorch.tuner.tuning import Tuner

from linlight import XYDataModule
from linlight.cli.main import main
from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression

METHODS = {
    "ExhaustiveSearch": ["--model=ExhaustiveSearch"],
    "GradientDescent": ["--model=GradientDescent", "--model.lr=0.05"],
    "Backpropagation": ["--model=Backpropagation", "--model.lr=0.05"],
    "LinearRegression": ["--model=LinearRegression", "--model.lr=0.05"],
    "Adam": ["--model=LinearRegression", "--optimizer=Adam", "--optimizer.lr=0.1"],
    "LeastSquares": ["--model=LeastSquares"],
}
BY_HAND = ("ExhaustiveSearch", "GradientDescent", "Backpropagation", "LeastSquares")
ONE_PASS = ("ExhaustiveSearch", "LeastSquares")


def callback(name: str, **arguments: Any) -> list[str]:
    settings = [f"--trainer.callbacks.{key}={value}" for key, value in arguments.items()]
    return [f"--trainer.callbacks={name}", *settings]


WORKS: dict[str, list[str]] = {
    "enable_checkpointing": ["--trainer.enable_checkpointing=false"],
    "barebones": ["--trainer.barebones=true"],
    "TensorBoardLogger": ["--trainer.logger=TensorBoardLogger"],
    "CSVLogger": ["--trainer.logger=CSVLogger"],
    "TensorBoardLogger, own folder": ["--trainer.logger=TensorBoardLogger", "--trainer.logger.save_dir=own"],
    "CSVLogger, own folder": ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=own"],
    "overfit_batches": ["--trainer.overfit_batches=2", "--data.shuffle=true"],
    "fast_dev_run": ["--trainer.fast_dev_run=true"],
    "limit_train_batches": ["--trainer.limit_train_batches=3"],
    "limit_val_batches": ["--trainer.limit_val_batches=0"],
    "val_check_interval": ["--trainer.val_check_interval=0.5"],
    "check_val_every_n_epoch": ["--trainer.check_val_every_n_epoch=null", "--trainer.val_check_interval=3"],
    "min_steps": ["--trainer.min_steps=12"],
    "num_sanity_val_steps": ["--trainer.num_sanity_val_steps=2"],
    "log_every_n_steps": ["--trainer.log_every_n_steps=0"],
    "profiler": ["--trainer.profiler=simple"],
    "detect_anomaly": ["--trainer.detect_anomaly=true"],
    "deterministic": ["--trainer.deterministic=true"],
    "reload_dataloaders": ["--trainer.reload_dataloaders_every_n_epochs=1"],
    "inference_mode": ["--trainer.inference_mode=false"],
    "max_time": ["--trainer.max_time=00:01:00:00"],
    "EarlyStopping": callback("EarlyStopping", monitor="train_loss"),
    "ModelCheckpoint": callback("ModelCheckpoint", monitor="val_loss"),
    "ModelCheckpoint, steps": callback("ModelCheckpoint", every_n_train_steps=2, save_top_k=-1),
    "Timer": callback("Timer", duration="00:01:00:00"),
    "ModelSummary": callback("ModelSummary"),
    "ThroughputMonitor": callback("ThroughputMonitor", batch_size_fn="builtins.len"),
    "TQDMProgressBar": callback("TQDMProgressBar"),
    "LambdaCallback": callback("LambdaCallback"),
    "OnExceptionCheckpoint": callback("OnExceptionCheckpoint", dirpath="own"),
    "EMAWeightAveraging": callback("EMAWeightAveraging"),
    "BatchSizeFinder": callback("BatchSizeFinder", max_trials=2, steps_per_trial=2),
}
SOME: dict[str, tuple[list[str], tuple[str, ...], str]] = {
    "LearningRateMonitor": (callback("LearningRateMonitor"), ONE_PASS, "has no learning rate"),
    "LearningRateFinder": (
        callback("LearningRateFinder", num_training_steps=10),
        ONE_PASS,
        "has no learning rate",
    ),
    "StochasticWeightAveraging": (
        callback("StochasticWeightAveraging", swa_lrs=0.01),
        ONE_PASS,
        "takes no steps down a loss",
    ),
    "SpikeDetection": (
        callback("lightning.pytorch.callbacks.spike.SpikeDetection"),
        ONE_PASS,
        "takes no steps down a loss",
    ),
    "GradientAccumulationScheduler": (
        callback("GradientAccumulationScheduler", scheduling="{0: 2}"),
        BY_HAND,
        "moves its weights by hand: use a larger batch_size",
    ),
    "ModelPruning": (
        callback("ModelPruning", pruning_fn="l1_unstructured"),
        BY_HAND,
        "moves its weights by hand: use LinearRegression",
    ),
    "accumulate_grad_batches": (["--trainer.accumulate_grad_batches=2"], BY_HAND, "larger --data.batch_size"),
    "gradient_clip_val": (
        ["--trainer.gradient_clip_val=0.1"],
        BY_HAND,
        "takes no --trainer.gradient_clip_val",
    ),
    "BackboneFinetuning": (callback("BackboneFinetuning"), tuple(METHODS), "has no backbone"),
    "DeviceStatsMonitor": (callback("DeviceStatsMonitor"), tuple(METHODS), "psutil"),
    "EarlyStopping, unknown": (callback("EarlyStopping", monitor="nix"), tuple(METHODS), "`nix`"),
    "max_epochs": (["--trainer.max_epochs=0"], tuple(METHODS), "nothing was trained"),
    "max_steps": (["--trainer.max_steps=0"], tuple(METHODS), "nothing was trained"),
    "limit_train_batches": (["--trainer.limit_train_batches=0"], tuple(METHODS), "nothing was trained"),
    "max_time": (["--trainer.max_time=00:00:00:00"], tuple(METHODS), "nothing was trained"),
    "val_check_interval": (["--trainer.val_check_interval=0"], tuple(METHODS), "val_check_interval"),
    "WandbLogger": (["--trainer.logger=WandbLogger"], tuple(METHODS), "wandb"),
    "MLFlowLogger": (["--trainer.logger=MLFlowLogger"], tuple(METHODS), "mlflow"),
    "16-mixed": (["--trainer.precision=16-mixed"], tuple(METHODS), "precision 16-mixed is not used here"),
    "bf16": (["--trainer.precision=bf16"], tuple(METHODS), "precision bf16 is not used here"),
    "fsdp": (["--trainer.strategy=fsdp"], tuple(METHODS), "requires a GPU"),
}
CASES = [(name, words, method, "") for name, words in WORKS.items() for method in METHODS]
CASES += [
    (name, words, method, reason if method in refusing else "")
    for name, (words, refusing, reason) in SOME.items()
    for method in METHODS
]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, generator=generator)
    y = 2 * x + 0.1 * torch.randn(40, generator=generator)
    lines = [f"{a},{b}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *lines]))
    fixed = [f"--data.path={tmp_path / 't.csv'}", "--data.batch_size=8", "--data.val_fraction=0.2"]
    return [*fixed, "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("name", "flags", "method", "reason"), CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES])
def test_a_flag_or_a_callback(
    name: str,
    flags: list[str],
    method: str,
    reason: str,
    words: list[str],
    linlight: Callable[..., Run],
    capsys: pytest.CaptureFixture[str],
    refused: Callable[..., str],
) -> None:
    logged = any(word.startswith("--trainer.logger") for word in flags)
    logged |= name in ("barebones", "LearningRateMonitor", "DeviceStatsMonitor")
    all_words = ["fit", *METHODS[method], *words, *([] if logged else ["--trainer.logger=false"]), *flags]
    if reason:
        assert reason in refused(*all_words)
        assert not list(Path().rglob("version_*"))
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if name == "LearningRateFinder":  # which shows a bar
            main(all_words)
            assert capsys.readouterr().out.splitlines()[-1].startswith("run: ")
            return
        run = linlight(*all_words)
    assert not [one for one in said if "overfit" in str(one.message)]
    assert run.summary["weights"][0][0] != 1
    if "Logger" in name:  # in the run's folder, unless told where
        written = [*Path().rglob("metrics.csv"), *Path().rglob("events.*")]
        place = Path("own") if "own" in name else run.folder
        assert written
        assert all(path.is_relative_to(place) for path in written)
    assert run.checkpoint.exists() is (name not in ("enable_checkpointing", "barebones", "fast_dev_run"))


def data() -> XYDataModule:
    x = torch.linspace(-1, 1, 40)
    return XYDataModule(x, 2 * x + 0.1 * (30 * x).sin(), batch_size=4, val_fraction=0.2, test_fraction=0.2)


def lr_found(model: LinearModel) -> list[float]:
    trainer = quiet_trainer(enable_checkpointing=True)
    finder = Tuner(trainer).lr_find(model, datamodule=data(), num_training=30, update_attr=True)
    assert finder is not None
    return [*finder.results["lr"], *finder.results["loss"]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", [GradientDescent, Backpropagation])
def test_the_learning_rate_finder_moves_the_rate_of_by_hand_methods(method: Any) -> None:
    plain = LinearRegression(bias=False, w0=1.0)
    model = method(bias=False, w0=1.0)
    assert lr_found(model) == pytest.approx(lr_found(plain), rel=1e-4)
    assert model.lr == pytest.approx(plain.lr)
    assert model.w.item() == 1  # as before the trial


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", [LeastSquares, ExhaustiveSearch, GradientDescent])
def test_the_batch_size_finder_leaves_the_model_as_it_was(method: Any) -> None:
    own, again = data(), data()
    model, fresh = method(), method()
    trainer = quiet_trainer(max_epochs=3, enable_checkpointing=True)
    Tuner(trainer).scale_batch_size(model, datamodule=own, max_trials=3, steps_per_trial=2)
    trainer.fit(model, own)
    again.batch_size = own.batch_size
    fit(fresh, again, max_epochs=3)
    assert model.w.item() == fresh.w.item() != 0


@pytest.mark.parametrize("method", [LeastSquares, ExhaustiveSearch, GradientDescent, LinearRegression])
def test_evaluations_from_python_return_what_they_found(method: Any) -> None:
    model = method()
    trainer = fit(model, data(), max_epochs=1)
    (validated,) = trainer.validate(model, data(), verbose=False)
    (tested,) = trainer.test(model, data(), verbose=False)
    assert validated["val_loss"] > 0
    assert tested["test_loss"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_weights_alone_are_not_gone_on_from(
    method: str, words: list[str], linlight: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    alone = callback("ModelCheckpoint", save_weights_only=True, dirpath="alone")
    linlight("fit", *METHODS[method], *words, "--trainer.logger=false", *alone)
    (path,) = Path("alone").glob("*.ckpt")
    before = [*Path().rglob("version_*")]
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--trainer.logger=false", f"--ckpt_path={path}"])
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(path) in err
    assert [*Path().rglob("version_*")] == before
    out = linlight("predict", "--trainer.logger=false", f"--ckpt_path={path}", "--data.x=[1.0]").out
    assert "prediction" in out


def test_a_trial_is_not_the_last_checkpoint(words: list[str], refused: Callable[..., str]) -> None:
    main(["fit", *METHODS["GradientDescent"], *words, "--trainer.fast_dev_run=true"])
    for path in Path().rglob("summary.json"):
        path.unlink()
    assert "there is no checkpoint" in refused("fit", "--ckpt_path=last")


@pytest.mark.parametrize("method", METHODS)
def test_going_on_with_a_folder_of_its_own_is_no_warning(
    method: str, words: list[str], linlight: Callable[..., Run]
) -> None:
    keep = callback("ModelCheckpoint", monitor="val_loss")
    first = linlight("fit", *METHODS[method], *words, "--trainer.logger=false", *keep)
    with warnings.catch_warnings(record=True) as said:
        linlight("fit", f"--ckpt_path={first.checkpoint}", "--trainer.logger=false", "--trainer.max_epochs=3")
    assert not [one for one in said if "dirpath" in str(one.message)]
