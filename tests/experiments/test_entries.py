"""Who takes part in a comparison, what they are called, and what data they get."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Run

Linlight = Callable[..., Run]


def methods(run: Run) -> dict[str, dict[str, Any]]:
    content = json.loads((run.folder / "compare.json").read_text())
    return {method["name"]: method for method in content["methods"]}


def test_chosen_methods_configs_and_seeds(linlight: Linlight) -> None:
    Path("adam.yaml").write_text(
        "model: {class_path: LinearRegression}\ntrainer: {max_epochs: 7}\n"
        "optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.1}}\n"
    )
    words = ["--methods", "LeastSquares,LinearRegression", "--config", "adam.yaml"]
    words += ["--config", str(ROOT / "configs" / "stochastic_gradient_descent.yaml"), "--seeds", "[3, 4]"]
    compared = methods(linlight("compare", *words, "--epochs", 5))
    assert list(compared) == [
        *("least squares", "linear regression, 3", "linear regression, 4", "adam, 3", "adam, 4"),
        "stochastic gradient descent",
    ]
    assert compared["least squares"]["loss"] < 1e-20
    assert compared["linear regression, 3"]["weights"] != compared["linear regression, 4"]["weights"]
    assert [compared["adam, 3"]["epochs"], compared["stochastic gradient descent"]["epochs"]] == [7, 100]
    alone = linlight("fit", "--config", "adam.yaml", "--seed_everything", 3).summary
    assert compared["adam, 3"]["weights"] == alone["weights"]


def test_one_seed_is_taken(linlight: Linlight) -> None:
    Path("adam.yaml").write_text(
        "model: {class_path: LinearRegression}\noptimizer: {class_path: Adam, init_args: {lr: 0.1}}\n"
        "trainer: {max_epochs: 2}\n"
    )
    (found,) = methods(linlight("compare", "--config", "adam.yaml", "--seeds", "[7]")).values()
    alone = linlight("fit", "--config", "adam.yaml", "--seed_everything", 7)
    assert (found["name"], found["weights"]) == ("adam, 7", alone.summary["weights"])
    (again,) = methods(linlight("compare", "--config", alone.folder / "config.yaml")).values()
    assert (again["name"], again["weights"]) == ("LinearRegression", found["weights"])


def test_contenders_of_one_name_are_told_apart(linlight: Linlight) -> None:
    words = []
    for i, lr in enumerate((0.02, 0.03, 0.03)):
        Path(f"run{i}").mkdir()
        Path(f"run{i}/config.yaml").write_text(
            f"model: {{class_path: GradientDescent, init_args: {{lr: {lr}}}}}\ndata: {{batch_size: null}}\n"
        )
        words += ["--config", f"run{i}/config.yaml"]
    run = linlight("compare", *words, "--epochs", 2)
    names = ["GradientDescent, lr=0.02", "GradientDescent, lr=0.03", "GradientDescent, lr=0.03 2"]
    assert list(methods(run)) == names
    assert len(list(run.folder.glob("*/summary.json"))) == 3


def test_a_config_brings_its_data(linlight: Linlight) -> None:
    Path("t.csv").write_text("a,b,c\n1,5,2\n2,3,3\n3,4,5\n4,4,6\n")
    data = "data: {path: t.csv, target: c, standardize: true, batch_size: 2}"
    model = "model: {class_path: GradientDescent, init_args: {bias: true}}"
    Path("mine.yaml").write_text(f"{model}\n{data}\ntrainer: {{max_epochs: 9}}\n")
    run = linlight("compare", "--config", "mine.yaml", "--methods", "LeastSquares,LinearRegression")
    found = methods(run)
    alone = linlight("fit", "--config", "mine.yaml").summary
    assert found["mine"]["weights"] == alone["weights"]
    assert found["mine"]["loss"] == pytest.approx(alone["train_loss"], rel=1e-6)
    assert found["least squares"]["error"] is None
    # A run's own config names all there is, and goes with the data that is typed.
    run = linlight("fit", "--model", "GradientDescent", "--trainer.max_epochs", 3)
    words = ["--data.path", "t.csv", "--data.target", "c"]
    run = linlight("compare", "--config", run.folder / "config.yaml", *words)
    assert len(methods(run)["GradientDescent"]["weights"][0]) == 2


def test_no_method_at_all_is_refused(refused: Callable[..., str]) -> None:
    for none in ("[]", ""):
        assert "there is nothing to compare: name --methods" in refused("compare", "--methods", none)
        assert "there is no method to sweep: name --methods" in refused("sweep", "--methods", none)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--methods", "GradientDecent,LeastSquares"],
            "no method 'GradientDecent': did you mean GradientDescent",
        ),
        (["--methods", "LeastSquares,LeastSquares"], "LeastSquares is named twice"),
        (["--data.standardize", "true"], "exhaustive search has none: set --bias true"),
        (["--config", "nope.yaml"], "there is no config file nope.yaml"),
        (["--config", "cpu.yaml"], "cpu.yaml names no method"),
        (["--config", "wrong.yaml"], "wrong.yaml: .*GradientDescent has no option .*low"),
        (["--config", "optimizer.yaml"], "GradientDescent takes no optimizer"),
        (["--config", "broken.yaml"], "broken.yaml is not valid YAML"),
        (["--config", "typo.yaml"], "typo.yaml: --optimizer: there is no class 'Adammm': did you mean Adam"),
        (["--config", "adam.yaml"], "adam: --optimizer Adam: Invalid learning rate: -1"),
        (["--data.path", "constant.csv"], "the target 'y' is 2 in every row: there is nothing to learn"),
        (["--config", "seed.yaml"], "seed.yaml: seed_everything must be a whole number from 0, got 'abc'"),
        (["--config", "trainer.yaml"], "trainer.yaml: trainer must hold settings, .* got 3"),
        (["--config", "half.yaml"], "half.yaml: max_epochs must be a whole number from 1, got 1.5"),
        (["--config", "endless.yaml"], "endless.yaml: max_epochs must be a whole number from 1, got -1"),
        (["--config", "data.yaml"], "data.yaml: data must hold settings"),
        (["--config", "epoch.yaml"], "epoch.yaml: .*--trainer.max_epoch: did you mean --trainer.max_epochs"),
        (["--config", "trainr.yaml"], "trainr.yaml: there is no option --trainr.max_epochs: did you mean"),
        (["--config", "stop.yaml"], "stop.yaml: there is no option --stop_at: did you mean --stop_at_se"),
        (["--config", "british.yaml"], "option --data.standardise: did you mean --data.standardize"),
        (["--config", "steps.yaml"], "steps.yaml: compare trains without trainer.max_steps: take it out"),
        (["--config", "clip.yaml"], "clip.yaml: compare trains without trainer.gradient_clip_val"),
        (["--config", "se.yaml"], "se.yaml: compare trains without stop_at_se: take it out"),
        (["--config", "nofile.yaml"], "there is no file nope.csv"),
        (
            ["--config", "nofile.yaml", "--config", "x.yaml"],
            "the configs of nofile and x differ in data.x",
        ),
        (["--config", "x.yaml", "--data.x", "[2, 3, 4]"], "the config of x and --data.x differ in data.x"),
        (["--seeds", "[-1, 2]"], "a seed must be a whole number from 0 to 4294967295, got -1"),
        (["--seeds", "[2, 3, 2]"], "seeds names one twice"),
        (["--seed", "-1"], "a seed must be a whole number from 0"),
        (["--data.reduce", "true"], "reduce leaves a single batch, and stochastic .* of 1: leave out reduce"),
    ],
)
def test_contestants_that_cannot_take_part(
    words: list[str], message: str, refused: Callable[..., str]
) -> None:
    Path("cpu.yaml").write_text("trainer: {accelerator: cpu}")
    Path("wrong.yaml").write_text("model: {class_path: GradientDescent, init_args: {low: 0}}")
    Path("optimizer.yaml").write_text("model: {class_path: GradientDescent}\noptimizer: {class_path: Adam}")
    Path("broken.yaml").write_text("model: [")
    Path("constant.csv").write_text("x,y\n1,2\n2,2\n")
    for name, more in {
        "typo": "optimizer: {class_path: Adammm, init_args: {lr: 0.1}}",
        "adam": "optimizer: {class_path: Adam, init_args: {lr: -1}}",
        "seed": "seed_everything: abc",
        "trainer": "trainer: 3",
        "half": "trainer: {max_epochs: 1.5}",
        "endless": "trainer: {max_epochs: -1}",
        "data": "data: 3",
        "epoch": "trainer: {max_epoch: 30}",
        "trainr": "trainr: {max_epochs: 30}",
        "stop": "stop_at: 5",
        "british": "data: {standardise: true}",
        "steps": "trainer: {max_steps: 5}",
        "clip": "trainer: {gradient_clip_val: 0.001}",
        "se": "stop_at_se: 5",
        "nofile": "data: {path: nope.csv}",
        "x": "data: {x: [1, 2, 3], y: [1, 2, 2]}",
    }.items():
        Path(f"{name}.yaml").write_text(f"model: {{class_path: LinearRegression}}\n{more}\n")
    assert re.search(message, refused("compare", *words))
