"""Killed and resumed, a run ends with the weights of one that was never stopped, to the bit."""

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from linlight.cli.main import main

ROWS = 90
ONE_PASS = ("ExhaustiveSearch", "LeastSquares")
METHODS = {
    "LeastSquares": ["--model.robust=HC1"],
    "ExhaustiveSearch": ["--model.bias=true", "--model.step=0.2"],
    "GradientDescent": ["--model.lr=0.001"],
    "Backpropagation": ["--model.lr=0.001", "--model.bias=true"],
    "LinearRegression": ["--model.lr=0.001"],
    "LinearRegression, Adam": [
        *("--optimizer=Adam", "--optimizer.lr=0.01", "--lr_scheduler=ExponentialLR"),
        *("--lr_scheduler.gamma=0.9", "--data.val_fraction=0.2"),
    ],
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # lightning's own command line uses them


def command(folder: Path, method: str, *more: str) -> list[str]:
    if not (folder / "t.csv").exists():
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(ROWS, generator=generator)
        y = 2 * x + 0.1 * torch.randn(ROWS, generator=generator)
        lines = [f"{a},{b}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        (folder / "t.csv").write_text("\n".join(["x,y", *lines]))
    epochs = 1 if method in ONE_PASS else 3
    words = [
        "fit",
        f"--model={method.partition(',')[0]}",
        *METHODS[method],
        f"--data.path={folder / 't.csv'}",
    ]
    words += [f"--trainer.default_root_dir={folder}", "--trainer.logger=false", "--trainer.accelerator=cpu"]
    return [*words, f"--trainer.max_epochs={epochs}", "--data.batch_size=3", *more]


def finish(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    main(words)
    out = capsys.readouterr().out
    folder = Path(out.split("run: ")[-1].strip())
    summary = json.loads((folder / "summary.json").read_text())
    return out, {key: value for key, value in summary.items() if key != "seconds"}


def stopped(words: list[str], steps: int) -> None:
    """Runs until so many steps are made, and dies there as by `kill -9`."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    from lightning.pytorch.callbacks import Callback

    from linlight import callbacks

    class Die(Callback):
        def on_train_batch_start(self, trainer: Any, model: Any, batch: Any, batch_idx: int) -> None:
            # The exact answer is one step, after the last batch.
            done = batch_idx if type(model).__name__ == "LeastSquares" else trainer.global_step
            if done == steps:
                os.kill(os.getpid(), signal.SIGKILL)

    vars(callbacks)["Charts"] = lambda diagnostics: Die()
    main(words)


@pytest.fixture(scope="module")
def server() -> Any:
    """Starts processes from one that has done the imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["linlight.cli.fit", "linlight.data.columns"])
    return context


@pytest.mark.parametrize("shuffle", ["true", "false"])
@pytest.mark.parametrize("method", METHODS)
def test_killed_in_the_middle_of_an_epoch(
    method: str, shuffle: str, tmp_path: Path, server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(tmp_path, method, f"--data.shuffle={shuffle}")
    _, expected = finish(words, capsys)
    batches = -(-(72 if "Adam" in method else ROWS) // 3)
    # In the middle of an epoch, at its last batch, and at the first of the next.
    kills = [13] if method in ONE_PASS else [20, batches - 1, batches, batches + 1, 2 * batches + 7]
    for i, steps in enumerate(kills):
        (tmp_path / str(i)).mkdir()
        again = command(tmp_path / str(i), method, f"--data.shuffle={shuffle}", "--checkpoint.every_steps=1")
        process = server.Process(target=stopped, args=(again, steps))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        root = f"--trainer.default_root_dir={tmp_path / str(i)}"
        out, found = finish(
            ["fit", "--ckpt_path=last", root, "--trainer.logger=false", "--trainer.accelerator=cpu"], capsys
        )
        assert "going on from" in out
        assert found == expected, f"killed at step {steps}"


@pytest.mark.parametrize(
    "method", ["LeastSquares", "ExhaustiveSearch", "GradientDescent", "LinearRegression"]
)
def test_a_stream_goes_on_at_the_next_row(
    method: str, tmp_path: Path, server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = ["--data.stream=true", "--data.window=8", "--data.shuffle=true"]
    stream += ["--data.batch_size=null"] if method in ONE_PASS else []
    _, expected = finish(command(tmp_path, method, *stream), capsys)
    often = "--checkpoint.every_steps=1"
    for i, steps in enumerate([7] if method in ONE_PASS else [40, 60]):
        (tmp_path / str(i)).mkdir()
        process = server.Process(
            target=stopped, args=(command(tmp_path / str(i), method, *stream, often), steps)
        )
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        root = f"--trainer.default_root_dir={tmp_path / str(i)}"
        again = ["fit", "--ckpt_path=last", root, "--trainer.logger=false", "--trainer.accelerator=cpu"]
        out, found = finish(again, capsys)
        assert "going on from" in out
        assert found == expected, f"killed at step {steps}"


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("GradientDescent", ["--data.batch_size=1"]),
        ("LinearRegression, Adam", ["--data.batch_size=2"]),
        ("Backpropagation", ["--data.batch_size=1", "--data.stream=true", "--data.window=16"]),
    ],
)
def test_killed_at_random_moments(
    method: str, own: list[str], tmp_path: Path, server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data.shuffle=true", "--trainer.max_epochs=60", *own]
    (tmp_path / "whole").mkdir()
    start = time.perf_counter()
    _, expected = finish(command(tmp_path / "whole", method, *options), capsys)
    whole = time.perf_counter() - start
    words = command(tmp_path, method, *options, "--checkpoint.every_steps=5", "--ckpt_path=last")
    moments = random.Random(0)
    kills = 0
    for _ in range(12):  # also while it starts, and while it writes a checkpoint
        process = server.Process(target=stopped, args=(words, -1))
        process.start()
        # However fast the machine is, five of them are not enough for the whole.
        process.join(moments.uniform(0.05, 0.3) + moments.uniform(0, 0.16) * whole)
        kills += process.is_alive()
        process.kill()
        process.join()
    assert kills > 5
    _, found = finish(words, capsys)
    assert found == expected
    _, found = finish(words, capsys)  # at its end already
    assert found == expected


def test_what_is_typed_wins_over_the_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("GradientDescent", "LinearRegression", "LinearRegression, Adam"):
        words = command(tmp_path, method, "--trainer.max_epochs=1")
        finish(words, capsys)
        option = "--optimizer.lr=1e-30" if "Adam" in method else "--model.lr=1e-30"
        out, found = finish([*words, "--trainer.max_epochs=2", "--ckpt_path=last", option], capsys)
        assert "1e-30" in out
        assert "where the checkpoint has" in out
        before = finish([*words, "--trainer.max_epochs=1"], capsys)[1]
        assert found["weights"] == before["weights"]  # so short a step moves nothing
        assert found["epochs"] == 2


def test_what_was_asked_of_the_trainer_and_the_data_is_not_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: Any
) -> None:
    asked = ["--trainer.gradient_clip_val=0.01", "--trainer.limit_train_batches=25", "--data.shuffle=true"]
    words = command(tmp_path, "LinearRegression", *asked, "--checkpoint.every_steps=1")
    _, expected = finish(words, capsys)
    process = server.Process(target=stopped, args=(words, 40))
    process.start()
    process.join(60)
    root = f"--trainer.default_root_dir={tmp_path}"
    out, found = finish(["fit", "--ckpt_path=last", root, f"--data.path={tmp_path / 't.csv'}"], capsys)
    assert found == expected
    assert "where" not in out
    longer = ["--trainer.max_epochs=4", "--data.seed=3"]
    out, _ = finish(["fit", "--ckpt_path=last", root, *longer], capsys)
    assert "trainer.max_epochs is 4, where that run had 3" in out
    assert "data.seed is 3, where the checkpoint has 0" in out


def test_other_rows_of_the_same_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("a,town,y\n1,u,1\n2,v,3\n3,w,2\n4,u,5\n")
    (tmp_path / "few.csv").write_text("extra,a,town,y\n0,1,u,1\n9,3,u,2\n")
    root = [f"--trainer.default_root_dir={tmp_path}", "--trainer.logger=false"]
    words = ["--model=GradientDescent", f"--data.path={tmp_path / 't.csv'}", "--data.categorical=town"]
    finish(["fit", *words, *root, "--trainer.max_epochs=2", "--model.lr=0.001", "--quiet=true"], capsys)
    again = ["fit", "--ckpt_path=last", *root, "--trainer.max_epochs=3", "--verbose=true"]
    out, found = finish([*again, f"--data.path={tmp_path / 'few.csv'}"], capsys)
    assert "data.path is" in out
    assert found["feature_names"] == ["a", "town=u", "town=v", "town=w"]
    assert (found["rows"], found["epochs"]) == (2, 3)


@pytest.mark.parametrize(
    "content", ["", "[", "learning_rate: 3", "model: {class_path: linlight.LinearRegression}", "trainer: {}"]
)
def test_a_config_that_is_not_the_runs_own(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = [f"--trainer.default_root_dir={tmp_path}", "--trainer.logger=false"]
    finish(["fit", "--model=GradientDescent", *root, "--trainer.max_epochs=2"], capsys)
    (config,) = tmp_path.rglob("config.yaml")
    config.write_text(content)
    assert finish(["fit", "--ckpt_path=last", *root, "--trainer.max_epochs=3"], capsys)[1]["epochs"] == 3


def test_what_would_not_be_the_same_training_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = torch.arange(12.0).reshape(6, 2).sin()
    lines = [f"{a},{b},{a + 2 * b}" for a, b in x.tolist()]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *lines]))
    root = [f"--trainer.default_root_dir={tmp_path}", "--trainer.logger=false"]
    words = [f"--data.path={tmp_path / 't.csv'}", "--model.bias=true", "--model=GradientDescent"]
    _, first = finish(["fit", *words, *root, "--trainer.max_epochs=3"], capsys)
    out, _ = finish(["fit", "--ckpt_path=last", *root, "--trainer.max_epochs=4"], capsys)
    assert f"forecast: gap {first['gap']:.4g} now" in out
    for changed, message in (
        ("--data.features=b,a", "feature 0 (counted from 0) is 'a' in the checkpoint and 'b' in the data"),
        ("--data.target=b", "column 'b' is named as target and features"),
        ("--data.standardize=true", "trained without standardize"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["fit", "--ckpt_path=last", *root, "--trainer.max_epochs=5", changed])
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "--ckpt_path=last", *root, "--data.features=b,a", words[0]])
    assert "leave out --data.features" in capsys.readouterr().err
    # Another learning rate, or other batches: what was foretold for those before holds no more.
    out, _ = finish(
        ["fit", "--ckpt_path=last", *root, "--trainer.max_epochs=9", "--data.batch_size=2"], capsys
    )
    gaps = [float(line.split()[1]) for line in out.splitlines() if line.startswith("gap: ")]
    predicted = float(out.split("predicted ")[1].split()[0].rstrip(";"))
    assert gaps == [pytest.approx(predicted, rel=1e-3)]


def test_resuming_other_data_or_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: Any
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--ckpt_path=last", f"--trainer.default_root_dir={tmp_path}"])
    assert "there is no checkpoint below lightning_logs" in capsys.readouterr().err
    words = command(tmp_path, "GradientDescent", "--checkpoint.every_steps=1")
    process = server.Process(target=stopped, args=(words, 20))
    process.start()
    process.join(60)
    with (tmp_path / "t.csv").open("a") as file:
        file.write("\n1,2")
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--ckpt_path=last"])
    assert "with rows 90, and now it is 91" in capsys.readouterr().err
