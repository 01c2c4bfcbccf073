"""The numbers of the notes, to the last digit, by command."""

from collections.abc import Callable
from pathlib import Path

import notes
import pytest
import torch
from conftest import ROOT, Run

from linlight import ExhaustiveSearch

Linlight = Callable[..., Run]
CONFIGS = ROOT / "configs"


def predict_at_4(linlight: Linlight, run: Run) -> float:
    table = linlight("predict", "--ckpt_path", run.checkpoint, "--data.x", "[4.0]").folder / "predictions.csv"
    header, line = table.read_text().splitlines()
    assert header == "row,prediction"
    return float(line.removeprefix("0,"))


def lines(run: Run, start: str) -> list[str]:
    return [line for line in run.out.splitlines() if line.startswith(start)]


def test_exhaustive_search(linlight: Linlight) -> None:
    run = linlight("fit", "--config", CONFIGS / "exhaustive_search.yaml", "--trace", "true")
    assert run.summary["weights"] == [[2.0]]
    assert run.summary["train_loss"] == 0
    assert (run.summary["epochs"], run.summary["steps"]) == (1, 1)
    curve = notes.exhaustive_search()
    assert lines(run, "w=") == [f"w= {w}" for w, _ in curve]
    assert lines(run, "MSE=") == [f"MSE= {mse}" for _, mse in curve]
    assert curve[0][1] == curve[40][1] == pytest.approx(18.666666666666668, rel=1e-15)
    assert {"loss_curve.png", "loss_curve.svg"} <= {path.name for path in run.folder.iterdir()}


def test_gradient_descent(linlight: Linlight) -> None:
    run = linlight("fit", "--config", CONFIGS / "gradient_descent.yaml", "--trace", "true")
    assert run.summary["weights"] == [[1.9999444396553017]]
    assert run.summary["bias"] is None
    assert predict_at_4(linlight, run) == 7.999777758621207
    printed = lines(run, "epoch:")
    assert printed[0] == "epoch: 0 w= 1.0933333333333333 loss= 4.666666666666667"
    assert printed == [
        f"epoch: {i} w= {w} loss= {loss}" for i, (loss, w) in enumerate(notes.gradient_descent())
    ]
    assert lines(run, "predict") == [
        "predict (before training) 4 4.0",
        "predict (after training) 4 7.999777758621207",
    ]


def test_stochastic_gradient_descent(linlight: Linlight) -> None:
    run = linlight("fit", "--config", CONFIGS / "stochastic_gradient_descent.yaml", "--trace", "true")
    assert run.summary["weights"] == [[1.9999999999999236]]
    assert (run.summary["epochs"], run.summary["steps"]) == (100, 300)
    assert predict_at_4(linlight, run) == 7.9999999999996945
    expected = []
    for i, (grads, loss, w) in enumerate(notes.stochastic_gradient_descent()):
        expected += [f"\tgrad: {x} {y} {g}" for x, y, g in zip(notes.X, notes.Y, grads, strict=True)]
        expected += [f"progress: {i} w= {w} loss {loss}"]
    assert [line for line in run.out.splitlines() if line.startswith(("progress:", "\t"))] == expected


def test_backpropagation(linlight: Linlight) -> None:
    run = linlight("fit", "--config", CONFIGS / "backpropagation.yaml", "--trace", "true")
    assert run.summary["weights"] == [[1.9999996423721313]]
    assert predict_at_4(linlight, run) == 7.999998569488525
    assert lines(run, "progress:") == [
        f"progress: {i} {loss}" for i, (loss, _) in enumerate(notes.backpropagation())
    ]


@pytest.mark.parametrize("seed", [0, 7])
def test_linear_regression(linlight: Linlight, seed: int) -> None:
    run = linlight("fit", "--config", CONFIGS / "linear_regression.yaml", "--seed_everything", seed)
    loss, w, b = notes.linear_regression(seed)
    assert run.summary["weights"] == [[w]]
    assert run.summary["bias"] == [b]
    assert run.summary["train_loss"] < loss  # at the final weights, a step after the notes' last loss


def test_errors_shrink_per_epoch_as_derived_by_hand() -> None:
    # In order each sample multiplies the error by 1 - 2 lr x^2; a whole batch by 1 - lr * 2 * 14/3.
    gradient = [2 - w for _, w in notes.gradient_descent(3)]
    stochastic = [2 - w for *_, w in notes.stochastic_gradient_descent(3)]
    assert gradient == pytest.approx([(1 - 0.02 * 14 / 3) ** k for k in (1, 2, 3)])
    assert stochastic == pytest.approx([(0.98 * 0.92 * 0.82) ** k for k in (1, 2, 3)])


def test_search_over_weight_and_bias(linlight: Linlight) -> None:
    run = linlight(
        "fit", "--model", "ExhaustiveSearch", "--model.bias", "true", "--data.y", "[1.5,3.5,5.5]",
        "--data.x", "[1,2,3]", "--data.dtype", "float64",
    )  # fmt: skip
    assert run.summary["weights"] == [[2.0]]
    assert run.summary["bias"] == [-0.5]
    search = ExhaustiveSearch.load_from_checkpoint(run.checkpoint)
    assert search(torch.tensor([[4.0]], dtype=torch.float64)).item() == 7.5


def test_run_folder_holds_what_was_promised(linlight: Linlight) -> None:
    run = linlight("fit", "--model", "GradientDescent")
    assert run.folder == Path("lightning_logs/GradientDescent/version_0")
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"checkpoints", "config.yaml", "history.csv", "lr=0.01,batch=all", "summary.json"}
    assert len(list((run.folder / "lr=0.01,batch=all").glob("events.out.tfevents.*"))) == 1
    assert set(run.summary) >= {
        "method", "weights", "bias", "train_loss", "epochs", "steps", "rows", "features", "targets",
    }  # fmt: skip
    again = linlight("fit", "--config", run.folder / "config.yaml")
    assert again.folder == Path("lightning_logs/GradientDescent/version_1")
    assert again.summary["weights"] == run.summary["weights"]
