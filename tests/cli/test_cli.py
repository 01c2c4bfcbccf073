"""The command line: what it takes, what it refuses, and how it says so."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Run

from linlight.cli.console import COMMANDS
from linlight.cli.main import main

Linlight = Callable[..., Run]
Refused = Callable[..., str]
METHODS = ["ExhaustiveSearch", "GradientDescent", "Backpropagation", "LinearRegression"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no command: type one of " + ", ".join(COMMANDS)),
        ("fti", "there is no command 'fti': did you mean fit?"),
        ("--model GradientDescent", "--model comes before a command"),
        ("fit", "no method: add --model with one of ExhaustiveSearch, GradientDescent"),
        ("fit --model GradientDescnt", "no method 'GradientDescnt': did you mean GradientDescent?"),
        ("fit --model gradientdescent", "did you mean GradientDescent?"),
        ("fit --model GradientDescent --lr 1", "there is no option --lr: did you mean --model.lr?"),
        ("fit --model GradientDescent --epochs 1", "--epochs: did you mean --trainer.max_epochs?"),
        ("fit --model GradientDescent --max_epochs=1", "--max_epochs: did you mean --trainer.max_epochs?"),
        ("fit --model GradientDescent --batch_size 1", "--batch_size: did you mean --data.batch_size?"),
        (
            "fit --model LinearRegression --model.lr 0.1 --optimizer Adam --optimizer.lr 0.2",
            "model.lr is 0.1 and optimizer.lr is 0.2: Adam has one rate, give one",
        ),
        ("fit --modle GradientDescent", "there is no option --modle: did you mean --model?"),
        ("fit --model GradientDescent --model.lrr 1", "no option --model.lrr: did you mean --model.lr?"),
        ("fit --model GradientDescent --model.step 1", "it takes --model.lr, --model.bias, --model.w0"),
        ("fit --model.lr 1 --model GradientDescent", "--model.lr needs a method before it"),
        (
            "fit --model LinearRegression --optimizer.lr 0.1 --optimizer SGD",
            "--optimizer.lr needs an optimizer before it, such as --optimizer SGD",
        ),
        (
            "fit --model LinearRegression --lr_scheduler.gamma 0.1 --lr_scheduler StepLR",
            "--lr_scheduler.gamma needs a lr scheduler before it, such as --lr_scheduler StepLR",
        ),
        ("fit --model GradientDescent --model.lr x", "--model.lr must be of type float"),
        ("fit --model GradientDescent --model.lr -1", "lr must be a positive finite number, got -1"),
        ("fit --model GradientDescent --data.batchsize 1", "did you mean --data.batch_size?"),
        ("fit --model GradientDescent --data.batch_size x", "batch_size must be of type int or null"),
        ("fit --model GradientDescent --data.dtype half", "must be one of 'float32', 'float64', got half"),
        ("fit --model GradientDescent --data.x [] --data.y []", "x is empty"),
        ("fit --model GradientDescent --data.x [1,2] --data.y [1]", "x has 2 rows and y has 1"),
        ("fit --model GradientDescent --data.x [1,.nan] --data.y [1,2]", "x has nan at row 1, column 0"),
        ("fit --model GradientDescent --data.x [1,2]", "x is given without y"),
        ("fit --model GradientDescent --config nope.yaml", "there is no config file"),
        ("fit --model GradientDescent --config torn.yaml", "the config torn.yaml is not valid YAML"),
        ("fit --config typo.yaml", "no option --trainer.max_epochz: did you mean --trainer.max_epochs?"),
        ("fit --model GradientDescent stray", "'stray' is not an option"),
        (
            "fit --model GradientDescent --trainer.strategy ddp_spawn --trainer.devices 2",
            "strategy ddp_spawn leaves what it trained in processes that are gone: use --trainer.strategy",
        ),
        (
            "fit --model LinearRegression --trainer.strategy ModelParallelStrategy",
            "there is no strategy 'ModelParallelStrategy': use ddp",
        ),
        (
            "fit --model LinearRegression --trainer.strategy DDPStrategy",
            "there is no strategy 'DDPStrategy': did you mean ddp?",
        ),
        ("fit --model GradientDescent --optimizer Adam", "by hand and takes no --optimizer"),
        ("fit --model LinearRegression --optimizer Adm", "there is no class 'Adm': did you mean Adam?"),
        ("fit --model LinearRegression --model.criterion HuberLos", "did you mean HuberLoss?"),
        ("fit --model LinearRegression --model.criterion CrossEntropyLoss", "does not compare numbers"),
        ("fit --model LinearRegression --model.criterion HingeEmbeddingLoss", "does not compare numbers"),
        (
            "fit --model LinearRegression --model.criterion HuberLoss --model.criterion.delta x",
            "--model.criterion.delta must be of type float, got x",
        ),
        (
            "fit --model LinearRegression --model.criterion HuberLoss --model.criterion.nope 1",
            "HuberLoss has no option --model.criterion.nope",
        ),
        ("fit --model GradientDescent --trainer.gradient_clip_val 1", "use a smaller --model.lr"),
        ("fit --model Backpropagation --trainer.accumulate_grad_batches 2", "a larger --data.batch_size"),
        ("fit --model GradientDescent --trainer.accelerator gpu", "gpu"),
        ("predict", "predict needs a trained model: add --ckpt_path"),
        ("predict --ckpt_path nope.ckpt", "there is no checkpoint nope.ckpt"),
        ("predict --ckpt_path torn.yaml", "torn.yaml is not a checkpoint"),
        ("compare --model mine.M", "there is no option --model: did you mean --methods?"),
        ("sweep --model=mine.M", "there is no option --model: did you mean --methods?"),
        (
            "fit --model GradientDescent --model.metrics torchmetrics.PearsonCorrCoef",
            "--model.metrics must be a list of names, such as '[PearsonCorrCoef]'",
        ),
        ("fit --model GradientDescent --model.metrics [Pearsn]", "such as PearsonCorrCoef"),
        ("compare --lrr 1", "there is no option --lrr: did you mean --lr?"),
        ("compare --epochs 0", "epochs must be at least 1"),
        ("compare --at [1,2]", "at has 2 numbers, the data have 1 features"),
        ("compare --data.x [1]", "x is given without y"),
        ("compare --lr -1", "lr must be a positive"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_line(refused: Refused, words: str, message: str) -> None:
    if words.endswith("gpu"):
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    Path("torn.yaml").write_text("trainer: [1\n")
    Path("typo.yaml").write_text("model:\n  class_path: GradientDescent\ntrainer:\n  max_epochz: 3\n")
    assert message in refused(*words.split())


def test_a_refused_run_leaves_no_folder(refused: Refused) -> None:
    refused(
        "fit",
        "--model",
        "ExhaustiveSearch",
        "--data.x",
        "[[1,2,3]]",
        "--data.y",
        "[1]",
        "--model.step",
        "0.01",
    )
    assert not list(Path("lightning_logs").rglob("version_*"))


def test_a_diverged_run_fails_in_one_line_and_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--model=Backpropagation", "--model.lr=0.5", "--trainer.max_epochs=1000"])
    out, err = capsys.readouterr()
    assert err.startswith("linlight: error: the loss grows without end: lr 0.5 is above 0.2143, the largest")
    assert err.count("\n") == 1
    folder = Path("lightning_logs/Backpropagation/version_0")
    assert out.endswith(f"run: {folder}\n")
    assert list(folder.rglob("events*"))
    assert "grows without end" in json.loads((folder / "summary.json").read_text())["diverged"]


@pytest.mark.parametrize("words", ["--help", "--version"])
def test_front_door_answers_without_lightning(words: str) -> None:
    code = (
        "import sys; from linlight.cli.main import main; "
        f"main(['{words}']); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(("usage: linlight COMMAND", "linlight 0."))
    if words == "--help":
        assert all(f"\n  {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert {"board": "--port", "plot": "--to", "learn": "--lang"}.get(
        command, "--data.val_fraction"
    ) in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_runs(linlight: Linlight, path: Path) -> None:
    if path.stem in ("gpu", "two_processes"):
        pytest.skip("tested below, where there is what it needs")
    words: list[object] = ["--config", path]
    if "model" not in yaml.safe_load(path.read_text()):
        words = ["--config", ROOT / "configs" / "gradient_descent.yaml", *words]
    assert linlight("fit", *words).summary["rows"] == 3


def test_gpu_config_asks_for_the_gpu(refused: Refused) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    configs = ROOT / "configs"
    message = refused("fit", "--config", configs / "gradient_descent.yaml", "--config", configs / "gpu.yaml")
    assert "gpu" in message


@pytest.mark.parametrize("method", ["stochastic_gradient_descent", "linear_regression"])
def test_two_processes_walk_the_same_path(linlight: Linlight, method: str) -> None:
    """Three rows on two processes: no share is padded, and with one row a batch one of them is empty."""
    config = ROOT / "configs" / f"{method}.yaml"
    alone = linlight("fit", "--config", config).summary
    words = ["fit", "--config", str(config), "--config", str(ROOT / "configs" / "two_processes.yaml")]
    done = subprocess.run(
        [sys.executable, "-m", "linlight", *words], capture_output=True, text=True, check=True, timeout=300
    )
    run = Run(done.stdout, Path(done.stdout.splitlines()[-1].removeprefix("run: ")))
    assert done.stdout.count("run: ") == 1
    assert run.summary["weights"][0] == pytest.approx(alone["weights"][0], rel=1e-6)
    assert run.summary["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4, abs=1e-12)
    assert (run.summary["steps"], run.summary["rows"]) == (alone["steps"], 3)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fits_validates_tests_and_predicts(linlight: Linlight, method: str) -> None:
    data = ["--data.x", "[1,2,3,4,5,6]", "--data.y", "[2,4,6,8,10,12]", "--data.val_fraction", "0.3"]
    run = linlight("fit", "--model", method, "--trainer.max_epochs", 2, *data)
    assert run.summary["method"] == method
    assert run.summary["rows"] == 4
    validated = linlight("validate", "--ckpt_path", run.checkpoint)
    assert validated.summary["rows"] == 2  # the checkpoint remembers data and split
    assert validated.summary["val_loss"] == pytest.approx(run.summary["val_loss"])
    tested = linlight("test", "--ckpt_path", run.checkpoint, "--data.x", "[7]", "--data.y", "[14]")
    assert tested.summary["rows"] == 1
    predicted = linlight("predict", "--ckpt_path", run.checkpoint)
    assert len((predicted.folder / "predictions.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize("method", ["GradientDescent", "LinearRegression"])
def test_a_finished_run_goes_on(linlight: Linlight, method: str) -> None:
    whole = linlight("fit", "--model", method, "--trainer.max_epochs", 20).summary
    half = linlight("fit", "--model", method, "--trainer.max_epochs", 10)
    rest = linlight("fit", "--ckpt_path", half.checkpoint, "--trainer.max_epochs", 20).summary
    assert rest["weights"] == whole["weights"]
    assert (rest["epochs"], rest["steps"]) == (20, 20)


def test_optimizer_scheduler_and_criterion_from_the_command_line(linlight: Linlight) -> None:
    words = "fit --model LinearRegression --model.criterion HuberLoss --model.criterion.delta 0.5 "
    words += "--optimizer Adam --optimizer.lr 0.1 --lr_scheduler StepLR --lr_scheduler.step_size 30"
    run = linlight(*words.split())
    config: dict[str, Any] = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert config["optimizer"]["init_args"]["lr"] == 0.1
    assert linlight("predict", "--ckpt_path", run.checkpoint, "--data.x", "4").out.startswith("x = 4.0 ->")


def test_optimizer_and_scheduler_change_the_path(linlight: Linlight) -> None:
    words = ["fit", "--model", "LinearRegression", "--trainer.max_epochs", 10, "--optimizer"]
    adam = linlight(*words, "Adam", "--optimizer.lr", 0.1).summary["weights"]
    halved = linlight(*words, "Adam", "--optimizer.lr", 0.1, "--lr_scheduler", "ExponentialLR",
                      "--lr_scheduler.gamma", 0.5).summary["weights"]  # fmt: skip
    assert adam != halved


@pytest.mark.parametrize("logger", ["false", "CSVLogger"])
def test_any_logger_two_runs_two_folders(linlight: Linlight, logger: str) -> None:
    words = ["fit", "--model", "GradientDescent", "--trainer.logger", logger]
    if logger == "CSVLogger":
        words += ["--trainer.logger.save_dir", "elsewhere"]
    first, second = linlight(*words), linlight(*words)
    assert first.folder != second.folder
    assert first.checkpoint.exists()
    assert first.summary["weights"] == second.summary["weights"]
    assert not Path("config.yaml").exists()


LOGGERS = {
    "in a list": ["--trainer.logger=[CSVLogger, TensorBoardLogger]"],
    "added": ["--trainer.logger+=CSVLogger", "--trainer.logger+=TensorBoardLogger"],
    "in a config": ["--config=loggers.yaml"],
}


@pytest.mark.parametrize("how", LOGGERS)
def test_several_loggers_write_to_the_runs_folder_and_go_on(how: str, linlight: Linlight) -> None:
    classes = [{"class_path": "CSVLogger"}, {"class_path": "lightning.pytorch.loggers.TensorBoardLogger"}]
    Path("loggers.yaml").write_text(yaml.safe_dump({"trainer": {"logger": classes}}))
    run = linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=2", *LOGGERS[how])
    again = linlight("fit", f"--ckpt_path={run.checkpoint}", "--trainer.max_epochs=3")
    for one in (run, again):
        assert (one.folder / "csv" / "metrics.csv").exists()
        assert list(one.folder.glob("events*"))
    assert {path.name for path in Path().iterdir()} == {"lightning_logs", "loggers.yaml"}


@pytest.mark.parametrize("name", ["CSVLogger", "TensorBoardLogger"])
def test_a_run_with_a_logger_goes_on(name: str, linlight: Linlight, refused: Refused) -> None:
    words = ["fit", "--model=GradientDescent", f"--trainer.logger={name}"]
    run = linlight(*words, "--trainer.max_epochs=2")
    again = linlight("fit", f"--ckpt_path={run.checkpoint}", "--trainer.max_epochs=3")
    config = yaml.safe_load((again.folder / "config.yaml").read_text())
    assert config["trainer"]["logger"]["class_path"].endswith(f".{name}")
    elsewhere = linlight(*words, "--trainer.max_epochs=2", "--trainer.logger.save_dir=elsewhere")
    for path in Path().rglob("summary.json"):
        path.unlink()
    line = refused("fit", f"--ckpt_path={elsewhere.checkpoint}", "--trainer.max_epochs=3")
    assert "trainer.logger of" in line


def test_an_option_of_a_few_words_names_them(refused: Callable[..., str]) -> None:
    message = refused("fit", "--model", "LeastSquares", "--model.robust", "HC9")
    assert message == "--model.robust must be one of 'HC0', 'HC1', 'HC2', 'HC3', got HC9"
    message = refused("fit", "--model", "LeastSquares", "--data.dtype", "float16")
    assert message == "--data.dtype must be one of 'float32', 'float64', got float16"


def test_the_optimizer_is_given_the_methods_learning_rate(linlight: Linlight) -> None:
    words = ["fit", "--model=LinearRegression", "--trainer.max_epochs=5", "--optimizer"]
    own = linlight(*words, "Adam", "--optimizer.lr=0.1").summary["weights"]
    passed = linlight(*words, "Adam", "--model.lr=0.1")
    assert "Adam is given --model.lr as its learning rate, 0.1" in passed.out
    assert passed.summary["weights"] == own
    assert linlight(*words, "Adam").summary["weights"] != own  # its own rate
    again = linlight("fit", "--ckpt_path", passed.checkpoint, "--trainer.max_epochs=6")
    assert "learning rate" not in again.out
    assert linlight(*words, "LBFGS").summary["train_loss"] < 1e-6  # needs one flag


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("word", ["--help", "--version"])
def test_a_full_disk_has_one_line_for_help_too(word: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "linlight", word], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (2, "linlight: error: No space left on device\n")


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_help_fits_on_a_screen(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    short = capsys.readouterr().out
    assert short.count("\n") <= 66
    assert max(map(len, short.splitlines())) <= 101
    for option in ("--data.path", "--trainer.max_epochs", "--optimizer", "--model.help METHOD"):
        assert option in short
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help", "all"])
    assert "--trainer.detect_anomaly" in capsys.readouterr().out


def test_help_of_one_method(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "--model.help", "GradientDescent"])
    out = capsys.readouterr().out
    assert "--model.lr" in out
    assert "--model.criterion" not in out
