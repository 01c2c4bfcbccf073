"""Nothing in a checkpoint or in the config beside it is imported or called, or leads elsewhere."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Run

import linlight as package
from linlight import InputError, load
from linlight.cli.main import main

Linlight = Callable[..., Run]

CALL = {"class_path": "os.system", "init_args": {"command": "touch pwned"}}
MINE = {"class_path": "of_a_stranger.Thing"}
PL = "lightning.pytorch."
NAN = {"linear.weight": torch.full((1, 1), float("nan")), "linear.bias": torch.zeros(1)}
WIDE = {"linear.weight": torch.ones(1, 3), "linear.bias": torch.zeros(1)}
BYTES = {"linear.weight": torch.ones(1, 1, dtype=torch.int8), "linear.bias": torch.zeros(1)}

CROSSING = [
    ("method", "os.system", "name it again by --model"),
    ("method", "linlight.cli.main.main", "not one of linlight's"),
    ("hyper_parameters.criterion", CALL, "which is not one of torch's: name it again, by --model.criterion"),
    ("hyper_parameters.criterion", {"class_path": "torch.nn.MSELoss", "init_args": {"x": CALL}}, "no plain"),
    ("hyper_parameters.lr", CALL, "lr names a class"),
    ("datamodule_hyper_parameters.path", CALL, "name a class"),
    ("datamodule_hyper_parameters.path", str(CALL), "there is no file"),
    ("datamodule_hyper_parameters.x", CALL, "x is no list of numbers"),
    ("datamodule_hyper_parameters.x", [CALL], "hold numbers only"),
    ("state_dict", NAN, "weights that are not finite"),
    ("state_dict", WIDE, "3 features"),
]  # fmt: skip
"""Where a value stands, the value, and what is said of it; every command meets these."""
LOADED = [
    ("method", 3, "its method is of type int"),
    ("hyper_parameters", None, "its hyper_parameters is of type NoneType"),
    ("hyper_parameters.unknown", 1, "LinearRegression has no setting unknown"),
    ("hyper_parameters.lr", "fast", "LinearRegression takes no lr such as fast"),
    ("hyper_parameters.optimizer", CALL, "not one of torch's: name it again, by --optimizer"),
    ("hyper_parameters.optimizer", "os.system", "its optimizer is no class"),
    ("hyper_parameters.optimizer", {"class_path": "torch.optim.lr_scheduler.StepLR"}, "not one of torch's"),
    ("hyper_parameters.optimizer", {"class_path": "torch.optim.sys.exit"}, "not one of torch's"),
    ("hyper_parameters.lr_scheduler", {"class_path": "torch.hub.load"}, "not one of torch's"),
    ("datamodule_hyper_parameters.features", [CALL], "name a class"),
    ("datamodule_hyper_parameters.categorical", {"a": CALL}, "name a class"),
    ("datamodule_hyper_parameters.dtype", "float16", "takes no dtype such as float16"),
    *(
        (f"datamodule_hyper_parameters.{name}", None, f"takes no {name} such as None")
        for name in ("val_fraction", "test_fraction", "seed", "window", "shuffle", "decimal", "skip_rows")
    ),
    ("hyper_parameters.bias", None, "LinearRegression takes no bias such as None"),
    ("datamodule_hyper_parameters.path", "s3://bucket/t.csv", "not on this machine"),
    ("datamodule_hyper_parameters.path", "simplecache::file://t.csv", "not on this machine"),
    ("datamodule_hyper_parameters.unknown", 1, "XYDataModule has no setting unknown"),
    ("state_dict", BYTES, "neither float32 nor float64"),
    ("state_dict", {"linear.weight": torch.ones(3)}, "no weights of shape"),
    ("state_dict", {"layer.weight": torch.ones(3, 3)}, "no weights of shape"),
    ("columns", {"feature": ["a", "b"], "target": ["y"]}, "2 feature names and weights for 1"),
    ("until", {"max_epochs": CALL}, "it was to end at max_epochs"),
    ("epoch_so_far", {"loss": "x"}, "of type str"),
    ("optimizer_states", 3, "not list"),
    ("epoch", -1, "epoch is -1"),
]


OPTIM, SCHED = "torch.optim.", "torch.optim.lr_scheduler."
ARGUMENTS: list[tuple[str, str, dict[str, Any]]] = [
    ("optimizer", OPTIM + "Adam", {"lr": "of_a_stranger.Thing"}),
    ("optimizer", OPTIM + "Adam", {"lr": str(MINE)}),
    ("optimizer", OPTIM + "Adam", {"lr": '{"class_path": "of_a_stranger\\x2eThing"}'}),
    ("optimizer", OPTIM + "Adam", {"lr": "file"}),
    ("optimizer", OPTIM + "Adam", {"betas": ["of_a_stranger.Thing", 0.9]}),
    ("lr_scheduler", SCHED + "LambdaLR", {"lr_lambda": "of_a_stranger.thing"}),
    ("lr_scheduler", SCHED + "LambdaLR", {"lr_lambda": ["of_a_stranger.thing"]}),
    ("lr_scheduler", SCHED + "CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "scale_fn": "of_a_stranger.thing"}),
    ("criterion", "torch.nn.BCELoss", {"weight": "of_a_stranger.Thing"}),
    ("criterion", "torch.nn.TripletMarginWithDistanceLoss", {"distance_function": "of_a_stranger.thing"}),
    ("criterion", "torch.nn.Linear", {"in_features": 10**9, "out_features": 10**9}),
]
"""What a class of torch's own is given: a text that the parser would make an object of."""


@pytest.mark.parametrize(("setting", "class_path", "arguments"), ARGUMENTS)
def test_what_torchs_own_are_given_is_data(
    setting: str, class_path: str, arguments: dict[str, Any], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("of_a_stranger.py").write_text("open('pwned', 'w')\nthing = Thing = print\n")
    Path("file").write_text("class_path: of_a_stranger.Thing\n")
    spoilt(run, f"hyper_parameters.{setting}", {"class_path": class_path, "init_args": arguments})
    if setting == "criterion":
        refusals(run, capsys)
    else:  # the other commands make no optimizer
        with pytest.raises(SystemExit, match="2"):
            main(["fit", "--ckpt_path", str(run.checkpoint), "--trainer.max_epochs=3"])
        assert capsys.readouterr().err.count("\n") == 1
    assert not Path("pwned").exists()


def test_no_file_is_removed_on_a_checkpoints_word(
    linlight: Linlight, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.monitor=train_loss"]
    run = linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=2", *words)
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    (state,) = (state for name, state in checkpoint["callbacks"].items() if name.startswith("ModelCheckp"))
    Path("mine").write_text("precious")
    state["dirpath"] = folder = "lightning_logs/GradientDescent/version_1/checkpoints"
    mine = f"{folder}/../../../../mine"
    state |= {"best_k_models": {mine: torch.tensor(1e9)}, "kth_best_model_path": mine}
    torch.save(checkpoint, run.checkpoint)
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--ckpt_path", str(run.checkpoint), "--trainer.max_epochs=4"])
    assert "which is not in its folder" in capsys.readouterr().err
    assert Path("mine").exists()


@pytest.mark.parametrize(
    "module", ["linlight.methods.optim", "linlight.optim", "linlight.methods.base.optim"]
)
def test_our_own_optimizer_is_found_wherever_it_was(module: str, run: Run) -> None:
    ours = {"class_path": f"{module}.ManualSGD", "init_args": {"lr": 0.01}}
    spoilt(run, "hyper_parameters.optimizer", ours)
    main(["plot", str(run.folder)])
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    checkpoint["optimizer_states"][0] = {"state": {}, "param_groups": [{"lr": 0.01, "params": [0, 1]}]}
    torch.save(checkpoint, run.checkpoint)
    main(["fit", "--ckpt_path", str(run.checkpoint), "--trainer.max_epochs=4"])


@pytest.mark.parametrize("module", ["linlight.methods.optim", "linlight.optim", "linlight"])
def test_a_config_of_an_earlier_version_names_what_is_elsewhere_now(module: str, linlight: Linlight) -> None:
    old = {
        "model": {"class_path": f"{module}.LinearRegression"},
        "optimizer": {"class_path": f"{module}.ManualSGD", "init_args": {"lr": 0.01}},
        "trainer": {"max_epochs": 2, "callbacks": [{"class_path": f"{module}.Audit"}]},
    }
    Path("old.yaml").write_text(yaml.safe_dump(old))
    run = linlight("fit", "--config=old.yaml")
    words = [f"--model={module}.LinearRegression", f"--optimizer={module}.ManualSGD", "--optimizer.lr=0.01"]
    typed = linlight("fit", *words, "--trainer.max_epochs=2")
    assert typed.summary["weights"] == run.summary["weights"]


@pytest.fixture
def run(linlight: Linlight) -> Run:
    return linlight("fit", "--model=LinearRegression", "--trainer.max_epochs=2", "--quiet=true")


def spoilt(run: Run, where: str, value: Any) -> None:
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    *folders, last = where.split(".")
    place = checkpoint
    for folder in folders:
        place = place[folder]
    place[last] = copy.deepcopy(value)
    torch.save(checkpoint, run.checkpoint)


def refusals(run: Run, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What each command says that opens a checkpoint; each must refuse it in one line."""
    said = {}
    for words in (
        ["fit", "--ckpt_path", str(run.checkpoint), "--trainer.max_epochs=3"],
        *([command, "--ckpt_path", str(run.checkpoint)] for command in ("validate", "test", "predict")),
        ["plot", str(run.folder)],
    ):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        said[words[0]] = capsys.readouterr().err
        assert said[words[0]].count("\n") == 1
    with pytest.raises(InputError) as error:
        load(run.folder)
    said["load"] = str(error.value)
    return said


@pytest.mark.parametrize(("where", "value", "message"), CROSSING)
def test_every_command_refuses_in_one_line(
    where: str, value: Any, message: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt(run, where, value)
    for command, said in refusals(run, capsys).items():
        assert message in said, command
    assert not list(Path().rglob("pwned"))
    assert [path.name for path in Path("lightning_logs").glob("*/*")] == [run.folder.name]


def test_what_is_loaded_is_checked(run: Run) -> None:
    good = run.checkpoint.read_bytes()
    for where, value, message in LOADED:
        run.checkpoint.write_bytes(good)
        spoilt(run, where, value)
        with pytest.raises(InputError) as error:
            load(run.folder)
        assert message in str(error.value), where
    for name in ("method", "hyper_parameters", "state_dict", "epoch"):
        run.checkpoint.write_bytes(good)
        checkpoint = torch.load(run.checkpoint, weights_only=True)
        del checkpoint[name]
        torch.save(checkpoint, run.checkpoint)
        with pytest.raises(InputError, match=name):
            load(run.folder)
    others: list[Any] = [[], {}, torch.ones(3), {"state_dict": {}}]
    for content in others:
        torch.save(content, run.checkpoint)
        with pytest.raises(InputError, match="is not a checkpoint of linlight"):
            load(run.folder)
    assert not list(Path().rglob("pwned"))


class Pickled:
    def __reduce__(self) -> Any:
        return (open, ("pwned", "w"))


def test_a_pickle_is_not_executed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"method": Pickled()}, run.checkpoint)
    Path("pwned").unlink(missing_ok=True)
    assert all("is not a checkpoint" in said for said in refusals(run, capsys).values())
    assert not Path("pwned").exists()


@pytest.mark.parametrize("method", sorted(package.methods.METHODS))
def test_what_an_earlier_version_wrote_opens(method: str, linlight: Linlight) -> None:
    run = linlight("fit", f"--model={method}", "--trainer.max_epochs=2", "--quiet=true")
    for path in (f"linlight.{method.lower()}.{method}", f"linlight.{method}", method):
        spoilt(run, "method", path)
        assert type(load(run.folder).model).__name__ == method
        assert linlight("predict", "--ckpt_path", run.checkpoint, "--data.x=4").out.startswith("x = 4.0 ->")


def test_a_training_of_an_earlier_version_goes_on(
    linlight: Linlight, recwarn: pytest.WarningsRecorder
) -> None:
    run = linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=2")
    callbacks = torch.load(run.checkpoint, weights_only=True)["callbacks"]
    spoilt(run, "callbacks", {"Explain": callbacks["Diagnostics"]})
    went_on = linlight("fit", "--ckpt_path", run.checkpoint, "--trainer.max_epochs=4")
    first_gap = callbacks["Diagnostics"]["first_gap"]
    assert (
        torch.load(went_on.checkpoint, weights_only=True)["callbacks"]["Diagnostics"]["first_gap"]
        == first_gap
    )
    linlight("validate", "--ckpt_path", run.checkpoint)
    assert not [warning for warning in recwarn if "Explain" in str(warning.message)]


@pytest.mark.parametrize("robust", ["null", "HC3"])
def test_an_exact_answer_of_an_earlier_version_goes_on(linlight: Linlight, robust: str) -> None:
    settings = ["--data.x=[1, 2, 3, 4]", "--data.y=[2, 4, 6, 7]", f"--model.robust={robust}"]
    run = linlight("fit", "--model=LeastSquares", *settings)
    so_far = torch.load(run.checkpoint, weights_only=True)["epoch_so_far"]
    spoilt(run, "epoch_so_far", {"moments": so_far["moments"]})
    went_on = linlight("fit", "--ckpt_path", run.checkpoint, *settings).summary
    assert went_on["weights"] == run.summary["weights"]
    assert went_on["coefficients"] == run.summary["coefficients"]


def test_a_method_of_the_users_own_is_named_again(
    linlight: Linlight, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("own_steps.py").write_text(
        "from linlight import GradientDescent\n\nclass Steps(GradientDescent):\n    '''Own.'''\n"
    )
    run = linlight("fit", "--model=own_steps.Steps", "--trainer.max_epochs=2", "--quiet=true")
    for said in refusals(run, capsys).values():
        assert "was trained by own_steps.Steps, which is not one of linlight's: name it again by" in said
    again = ["--ckpt_path", run.checkpoint, "--model=own_steps.Steps"]
    assert linlight("fit", *again, "--trainer.max_epochs=3").summary["epochs"] == 3
    assert linlight("predict", *again).out.startswith("x = 1.0 ->")
    assert "loss.png" in linlight("plot", run.folder, "--model=own_steps.Steps").out
    from own_steps import Steps  # type: ignore[import-not-found]

    assert isinstance(load(run.folder, method=Steps).model, Steps)
    assert isinstance(load(run.folder, method=Steps()).model, Steps)


BESIDE = [
    ("callbacks", [CALL]),
    ("callbacks", "os.system"),
    ("callbacks", [{"class_path": PL + "callbacks.ModelCheckpoint", "init_args": {"dirpath": "out"}}]),
    ("callbacks", [{"class_path": PL + "callbacks.ModelCheckpoint", "init_args": {"filename": "../x"}}]),
    ("callbacks", [{"class_path": PL + "callbacks.ModelCheckpoint", "init_args.dirpath": "out"}]),
    ("callbacks", [{"class_path": PL + "callbacks.ModelCheckpoint", "dict_kwargs": {"dirpath": "out"}}]),
    ("callbacks", [{"class_path": PL + "callbacks.WeightAveraging", "init_args": {"avg_fn": str(MINE)}}]),
    ("callbacks", [{"class_path": PL + "callbacks.SpikeDetection"}]),
    ("callbacks", [{"class_path": PL + "callbacks.Timer", "init_args": {"duration": CALL}}]),
    ("callbacks", [{"class_path": PL + "callbacks.LambdaCallback", "init_args": {"setup": "os.getcwd"}}]),
    ("logger", CALL),
    ("logger", {"class_path": PL + "loggers.CSVLogger", "init_args": {"save_dir": "out"}}),
    ("strategy", CALL),
    ("strategy", "os.system"),
    ("accelerator", "os.system"),
    ("plugins", [CALL]),
    ("profiler", {"class_path": PL + "profilers.SimpleProfiler", "init_args": {"dirpath": "out"}}),
    ("profiler", '{"class_path": "of_a_stranger\\x2eThing"}'),
    ("max_time", CALL),
    ("devices", [CALL]),
    ("max_epochs", CALL),
]  # fmt: skip


def test_the_config_beside_a_checkpoint_is_data(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    config = run.folder / "config.yaml"
    good = yaml.safe_load(config.read_text())
    for key, value in BESIDE:
        config.write_text(yaml.safe_dump(good | {"trainer": good["trainer"] | {key: value}}))
        with pytest.raises(SystemExit, match="2"):
            main(["fit", "--ckpt_path", str(run.checkpoint), "--trainer.max_epochs=3"])
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"trainer.{key} of" in said
        assert "if you trust it" in said
    assert not Path("pwned").exists()
    assert not Path("out").exists()


def test_where_a_config_says_that_runs_go(run: Run, linlight: Linlight, tmp_path: Path) -> None:
    """A run goes on below the folder in which its own lies, wherever its config points."""
    config = run.folder / "config.yaml"
    content = yaml.safe_load(config.read_text())
    for root in ("elsewhere", str(tmp_path / "elsewhere"), "../elsewhere"):
        content["trainer"]["default_root_dir"] = root
        config.write_text(yaml.safe_dump(content))
        again = linlight("fit", "--ckpt_path", run.checkpoint, "--trainer.max_epochs=3", "--quiet=true")
        assert again.folder.parent == run.folder.parent
    assert not list(tmp_path.parent.rglob("elsewhere"))


def test_callbacks_of_lightning_go_on(linlight: Linlight, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=train_loss"]
    run = linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=2", *words)
    again = linlight("fit", "--ckpt_path", run.checkpoint, "--trainer.max_epochs=3")
    config = yaml.safe_load((again.folder / "config.yaml").read_text())
    assert config["trainer"]["callbacks"][0]["init_args"]["monitor"] == "train_loss"


def test_remote_data_are_given_anew(linlight: Callable[..., Run], refused: Callable[..., str]) -> None:
    run = linlight("fit", "--model=LinearRegression", "--trainer.max_epochs=2")
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    checkpoint["datamodule_hyper_parameters"]["path"] = "s3://bucket/t.csv"
    torch.save(checkpoint, run.checkpoint)
    Path("t.csv").write_text("x\n1\n2\n")
    assert linlight("predict", f"--ckpt_path={run.checkpoint}", "--data.path=t.csv")
    assert linlight("predict", f"--ckpt_path={run.checkpoint}", "--data.x=[4.0]")
    for summary in Path().rglob("summary.json"):
        summary.unlink()
    assert "not on this machine" in refused("predict", f"--ckpt_path={run.checkpoint}")


def test_pictures_stay_in_the_folder_of_the_run(
    linlight: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = linlight("fit", "--model=LinearRegression", "--trainer.max_epochs=2")
    Path("elsewhere").mkdir()
    (run.folder / "pictures").symlink_to(Path("elsewhere").absolute())
    with pytest.raises(SystemExit, match="2"):
        main(["plot", str(run.folder)])
    assert "leads out of the run's folder" in capsys.readouterr().err
    assert not any(Path("elsewhere").iterdir())
    (run.folder / "pictures").unlink()
    (run.folder / "pictures").mkdir()
    for name in ("pictures/loss.png", "run.html"):
        (run.folder / name).symlink_to(Path("elsewhere/mine").absolute())
    Path("elsewhere/mine").write_text("mine")
    main(["plot", str(run.folder), "--html"])
    assert Path("elsewhere/mine").read_text() == "mine"
