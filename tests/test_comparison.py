"""`linlight compare`: the README's main job."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Run

from linlight.compare_plot import comparison, ground_of, place
from linlight.comparison import Result
from linlight.data import XYDataModule

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


def results_of(run: Run) -> list[Result]:
    return [Result(**method) for method in methods(run).values()]


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


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def opened(page: Path, epoch: int, tmp_path: Path) -> str:
    """The page as a browser leaves it once its script has run."""
    assert BROWSER is not None
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    quiet += " --disable-background-networking --disable-component-update --virtual-time-budget=2000"
    words = [BROWSER, *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    address = f"{page.absolute().as_uri()}#epoch={epoch}"
    done = subprocess.run([*words, address], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")
def test_the_pages_slider_moves_the_points(linlight: Linlight, tmp_path: Path) -> None:
    run = linlight("compare", "--epochs", 40)
    paths = {name: method["path"] for name, method in methods(run).items()}
    places = {}
    for epoch in (0, 7):
        page = opened(run.folder / "compare.html", epoch, tmp_path)
        assert f"epoch {epoch} of 40" in page
        rows = re.findall(r"<tr>(.*?)</tr>", page)[1:]
        found = {
            re.sub("<.*?>", "", cells[0]): cells
            for cells in (re.findall(r"<td.*?>(.*?)</td>", r) for r in rows)
        }
        assert list(found) == NAMES
        for name in NAMES[1:]:
            assert found[name][2] == str(epoch)
            assert float(found[name][3]) == pytest.approx(paths[name][epoch]["loss"], rel=0.05)
        circles = re.findall(r'<circle[^>]*data-method="([^"]*)"[^>]*cx="([^"]*)" cy="([^"]*)"', page)
        places[epoch] = {name: (float(x), float(y)) for name, x, y in circles}
    assert places[0]["exhaustive search"] == places[7]["exhaustive search"]
    # Along the axis as far as the weight has moved: the scale is the same for all.
    moved = [places[7][name][0] - places[0][name][0] for name in NAMES[1:]]
    by = [paths[name][7]["weights"][0][0] - paths[name][0]["weights"][0][0] for name in NAMES[1:]]
    np.testing.assert_allclose(np.divide(moved, by), moved[0] / by[0], rtol=1e-6)


def test_the_page_needs_nothing_beside_it(linlight: Linlight) -> None:
    Path("t.csv").write_text("a</script>,y\n1,2\n2,3\n3,5\n")
    page = (linlight("compare", "--data.path", "t.csv", "--epochs", 2).folder / "compare.html").read_text()
    addresses = set(re.findall(r"https?://[^\"' ]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a language, not an address
    assert page.count("</script>") == 2
    assert not re.search(r"(src|href)=", page)


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


def test_losses_count_rows_as_often_as_their_weights_say(linlight: Linlight, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("y,x,n\n2,1,1\n5,2,3\n6,3,2\n")
    data = ["--data.path=t.csv", "--data.weight=n"]
    expected = linlight("fit", "--model=GradientDescent", *data, "--trainer.max_epochs=5").summary
    run = linlight("compare", *data, "--methods=GradientDescent", "--epochs=5", "--lr=0.01")
    (found,) = json.loads((run.folder / "compare.json").read_text())["methods"]
    assert found["loss"] == pytest.approx(expected["train_loss"], rel=1e-6)


def test_no_method_at_all_is_refused(refused: Callable[..., str]) -> None:
    assert "there is nothing to compare: name --methods" in refused("compare", "--methods", "[]")


def test_contours_hold_the_paths_of_several_features(linlight: Linlight) -> None:
    rows = "--data.x", "[[1,2],[2,1],[3,5],[4,2]]", "--data.y", "[1,2,3,5]"
    results = results_of(linlight("compare", *rows, "--lr", 0.01, "--epochs", 20))
    data = XYDataModule([[1, 2], [2, 1], [3, 5], [4, 2]], [1, 2, 3, 5], dtype="float64")
    ground = ground_of(results, data)
    assert ground is not None
    x, y = ground.limits()
    for result in results:
        for point in result.path:
            a, b = place(ground, point)
            assert x[0] <= a <= x[1]
            assert y[0] <= b <= y[1]
    design = np.column_stack([np.ones(4), data.x])
    best = np.linalg.lstsq(design, data.y.numpy()[:, 0], rcond=None)[0]  # type: ignore[union-attr]
    assert ground.land.lowest == pytest.approx(tuple(best[1:]))
    labels = [line.get_label() for line in comparison(results, data, ground).axes[0].lines]
    assert labels == ["the optimum", *NAMES]


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
    ],
)
def test_contestants_that_cannot_take_part(
    words: list[str], message: str, refused: Callable[..., str]
) -> None:
    Path("cpu.yaml").write_text("trainer: {accelerator: cpu}")
    Path("wrong.yaml").write_text("model: {class_path: GradientDescent, init_args: {low: 0}}")
    Path("optimizer.yaml").write_text("model: {class_path: GradientDescent}\noptimizer: {class_path: Adam}")
    Path("broken.yaml").write_text("model: [")
    assert re.search(message, refused("compare", *words))
