"""The optimizers' exercise: one method under several optimizers, learning rates and criteria."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run

from linlight import LinearRegression, XYDataModule, compare
from linlight.training.settings import run_label

EIGHT = "SGD,Adam,Adamax,Adagrad,ASGD,RMSprop,Rprop,LBFGS"


def methods(run: Run) -> dict[str, dict[str, Any]]:
    content = json.loads((run.folder / "compare.json").read_text())
    return {method["name"]: method for method in content["methods"]}


def test_the_notes_exercise_in_one_line(linlight: Callable[..., Run]) -> None:
    words = ["--methods", "LinearRegression", "--optimizers", EIGHT, "--lr", 0.01, "--epochs", 20]
    run = linlight("compare", *words)
    compared = methods(run)
    assert list(compared) == [f"{name}, lr 0.01, MSE" for name in EIGHT.split(",")]
    assert max(map(len, run.out.splitlines())) <= 80
    for name, method in compared.items():
        assert method["error"] is None
        assert f"{name} " in run.out  # in full
        config = {"class_path": f"torch.optim.{name.partition(',')[0]}", "init_args": {"lr": 0.01}}
        Path("one.yaml").write_text(
            json.dumps(
                {
                    "model": {
                        "class_path": "LinearRegression",
                        "init_args": {
                            "criterion": {
                                "class_path": "torch.nn.MSELoss",
                                "init_args": {"reduction": "sum"},
                            }
                        },
                    },
                    "optimizer": config,
                    "data": {"dtype": "float32"},
                    "trainer": {"max_epochs": 20},
                }
            )
        )
        alone = linlight("fit", "--config", "one.yaml").summary
        assert method["weights"] == alone["weights"], name
    for ending in ("png", "svg", "html"):
        assert (run.folder / f"compare.{ending}").stat().st_size > 1000


def test_every_rate_and_criterion(linlight: Callable[..., Run]) -> None:
    words = [
        "--optimizers=SGD,Adam",
        "--lr=0.001,0.01,0.1",
        "--criteria=MSELoss,L1Loss,HuberLoss",
        "--epochs=2",
    ]
    compared = methods(linlight("compare", *words))
    names = [
        f"{o}, lr {lr}, {c}"
        for o in ("SGD", "Adam")
        for lr in (0.001, 0.01, 0.1)
        for c in ("MSE", "L1", "Huber")
    ]
    assert list(compared) == names
    for name, method in compared.items():
        for word in (f"optimizer={name.partition(',')[0]}", f"lr={name.split()[2].rstrip(',')}"):
            assert word in method["settings"]
    ends = {json.dumps(method["weights"]) for method in compared.values()}
    assert len(ends) >= 12  # Huber is half the squared error nearby, and Adam does not mind


def test_several_rates_of_several_methods(linlight: Callable[..., Run]) -> None:
    run = linlight(
        "compare",
        "--methods=ExhaustiveSearch,GradientDescent,LinearRegression",
        "--lr=0.01,0.1",
        "--epochs=2",
    )
    assert list(methods(run)) == [
        "exhaustive search",
        "gradient descent, lr 0.01",
        "gradient descent, lr 0.1",
        "linear regression, SGD, lr 0.01, MSE",
        "linear regression, SGD, lr 0.1, MSE",
    ]
    assert json.loads((run.folder / "compare.json").read_text())["lr"] == [0.01, 0.1]


def test_another_rate_on_the_notes_points(linlight: Callable[..., Run]) -> None:
    run = linlight("compare", "--lr", 0.1)
    assert [method["error"] for method in methods(run).values()] == [None] * 5
    assert "linear regression takes the mean of the squared errors" in run.out
    assert "takes the mean" not in linlight("compare", "--epochs", 2).out


def test_one_that_diverges_among_eight(linlight: Callable[..., Run]) -> None:
    run = linlight("compare", "--optimizers", EIGHT, "--lr", 0.3, "--epochs", 60)
    compared = methods(run)
    gone = [name for name, method in compared.items() if method["error"] is not None]
    assert "SGD, lr 0.3, MSE" in gone
    assert len(gone) <= 2
    for name, method in compared.items():
        (row,) = (line for line in run.out.splitlines() if line.startswith(f"{name} "))
        assert ("gave up, see below" in row) == (name in gone)
        assert np.isfinite([point["loss"] for point in method["path"]]).all()
    assert "--lr" in run.out


def test_from_python() -> None:
    folder = compare(methods=["LinearRegression"], optimizers=["torch.optim.AdamW"], lr=[0.02], epochs=2)
    (one,) = json.loads((folder / "compare.json").read_text())["methods"]
    assert one["name"] == "AdamW, lr 0.02, MSE"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimizers=SGD,Admm"], "there is no optimizer 'Admm': did you mean Adam"),
        (["--optimizers=zzzzz"], "there is no optimizer 'zzzzz': name a class of torch.optim"),
        (["--optimizers=nowhere.Adam"], "there is no optimizer nowhere.Adam: No module named 'nowhere'"),
        (["--optimizers=pathlib.Path"], "pathlib.Path is no optimizer"),
        (["--optimizers=SparseAdam"], "optimizer SparseAdam cannot train a weight and a bias"),
        (["--optimizers=SGD", "--methods=GradientDescent"], "add LinearRegression to --methods"),
        (["--criteria=L1Loss", "--methods=StochasticGradientDescent"], "add LinearRegression to --methods"),
        (["--criteria=L1Los"], "there is no criterion 'L1Los': did you mean L1Loss"),
        (["--criteria=CrossEntropyLoss"], "criterion CrossEntropyLoss does not compare numbers"),
        (["--criteria=MSELoss,BCEWithLogitsLoss"], "BCEWithLogitsLoss does not compare numbers"),
        (["--criteria=GaussianNLLLoss"], "does not compare predictions with targets"),
        (["--lr=0.1,x"], "lr must be a number, or several as 0.001,0.01, got '0.1,x'"),
        (["--lr=0.1,-1"], "lr must be a positive finite number, got -1"),
        (["--optimizers=,"], "optimizers names none"),
        (["--criteria="], "criteria names none"),
        (["--lr=,"], "lr names no learning rate"),
    ],
)
def test_refused_in_one_line(words: list[str], message: str, refused: Callable[..., str]) -> None:
    assert message in refused("compare", *words)
    assert not Path("lightning_logs").exists()


def test_a_row_with_a_long_name_has_all_of_it(linlight: Callable[..., Run]) -> None:
    words = ["--methods=LinearRegression,GradientDescent", "--optimizers=SGD,Adam", "--epochs=2"]
    rows = linlight("compare", *words).out.splitlines()
    for optimizer in ("SGD", "Adam"):
        at = rows.index(f"linear regression, {optimizer}, lr 0.01, MSE")
        assert rows[at + 1].split()[0] == "2"
    assert max(map(len, rows[:-1])) <= 80


def test_labels_say_optimizer_criterion_and_data() -> None:
    Path("flights.csv").write_text("x,y\n1,2\n2,5\n")
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}}
    huber: Any = {"class_path": "torch.nn.HuberLoss", "init_args": {}}
    data = XYDataModule(path="flights.csv")
    label = run_label(LinearRegression(criterion=huber, optimizer=adam), data)
    assert label == "optimizer=Adam,lr=0.1,criterion=HuberLoss,batch=all,data=flights"
    total: Any = {"class_path": "torch.nn.MSELoss", "init_args": {"reduction": "sum"}}
    assert (
        run_label(LinearRegression(criterion=total), XYDataModule())
        == "lr=0.01,criterion=MSELoss-sum,batch=all"
    )
