"""`linlight compare`: the README's main job."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import ROOT, Run

Linlight = Callable[..., Run]
NAMES = [
    "exhaustive search",
    "gradient descent",
    "stochastic gradient descent",
    "back-propagation",
    "linear regression",
]


def methods(run: Run) -> dict[str, dict[str, Any]]:
    content = json.loads((run.folder / "compare.json").read_text())
    return {method["name"]: method for method in content["methods"]}


def test_compare_is_the_five_configs_side_by_side(linlight: Linlight) -> None:
    compared = methods(linlight("compare"))
    assert list(compared) == NAMES
    for name, method in compared.items():
        config = ROOT / "configs" / f"{name.replace(' ', '_').replace('-', '')}.yaml"
        summary = linlight("fit", "--config", config).summary
        for key in ("method", "weights", "bias", "epochs", "steps"):
            assert method[key] == summary[key], (name, key)


def test_table_picture_and_runs(linlight: Linlight) -> None:
    run = linlight("compare")
    assert max(map(len, run.out.splitlines())) <= 80
    assert [line[:27].rstrip() for line in run.out.splitlines()[1:6]] == NAMES
    assert (run.folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (run.folder / "compare.svg").read_text()
    for name in NAMES:
        folder = run.folder / name.replace(" ", "_").replace("-", "")
        assert list(folder.glob("events*"))
        assert (folder / "checkpoints" / "last.ckpt").exists()


def test_path_of_gradient_descent(linlight: Linlight) -> None:
    path = methods(linlight("compare", "--epochs", 2))["gradient descent"]["path"]
    assert [point["weights"][0][0] for point in path] == pytest.approx(
        [1, 1.0933333333333333, 1.1779555555555556]
    )
    assert [point["loss"] for point in path] == pytest.approx(
        [14 / 3, 14 / 3 * (1 - 0.02 * 14 / 3) ** 2, 3.153688], rel=1e-4
    )


def test_prediction_where_asked(linlight: Linlight) -> None:
    method = methods(linlight("compare", "--at", "10"))["exhaustive search"]
    assert method["prediction"] == [20.0]


def test_other_data_and_a_method_that_gives_up(linlight: Linlight) -> None:
    run = linlight(
        "compare", "--data.x", "[[1,2],[2,1],[3,5],[4,2]]", "--data.y", "[1,2,3,5]", "--lr", 0.2,
        "--epochs", 400,
    )  # fmt: skip
    compared = methods(run)
    assert "is above 0.06401, the largest stable step" in compared["linear regression"]["error"]
    assert compared["linear regression"]["weights"] is None
    assert compared["exhaustive search"]["error"] is None
    assert len(compared["exhaustive search"]["weights"][0]) == 2
    assert "gave up, see below" in run.out
