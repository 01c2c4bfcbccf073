"""Finished runs as TensorBoard's own server tells of them over HTTP."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from conftest import Run

from linlight.training.tensorboard import LAYOUT

Linlight = Callable[..., Run]
METHODS = ("ExhaustiveSearch", "GradientDescent", "Backpropagation", "LinearRegression", "LeastSquares")


class Board:
    """A TensorBoard server over a folder."""

    def __init__(self, folder: Path) -> None:
        words = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
        # Everything is read before the first answer.
        words += ["--reload_interval", "0", "--reload_task", "blocking"]
        command = [sys.executable, "-m", "tensorboard.main", *words]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = ""
        for line in self._process.stderr:
            said += line
            if found := re.search(r"at (http://127.0.0.1:\d+)", line):
                self.url = found[1]
                return
        raise AssertionError(f"the server ended: {said}")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def raw(self, path: str, body: Any = None, **query: Any) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.url}/data/{path}?{urlencode(query)}", data, headers)
        with urlopen(request, timeout=20) as answer:
            content: bytes = answer.read()
        return content

    def ask(self, path: str, body: Any = None, **query: Any) -> Any:
        return json.loads(self.raw(path, body, **query))


@pytest.fixture
def board(linlight: Linlight) -> Iterator[Callable[[], Board]]:
    boards: list[Board] = []

    def start() -> Board:
        boards.append(Board(Path("lightning_logs").absolute()))
        return boards[-1]

    yield start
    for each in boards:
        each.close()


DATA = ["--data.x", "[1,2,3,4,5]", "--data.y", "[2,4,5,9,11]", "--data.val_fraction", 0.2]


def test_ten_runs_on_a_real_server(linlight: Linlight, board: Callable[[], Board]) -> None:
    runs = {}
    for method in METHODS:
        for bias in ("true", "false"):
            words = ["--model", method, "--model.bias", bias, *DATA, "--trainer.max_epochs", 20]
            run = linlight("fit", *words)
            label = next(run.folder.rglob("events*")).parent.relative_to("lightning_logs")
            runs[str(label)] = run
    assert len(runs) == 10
    server = board()
    assert set(server.ask("runs")) == set(runs)
    name = "GradientDescent/version_0/lr=0.01,bias=yes,batch=all"
    assert {name, "GradientDescent/version_1/lr=0.01,batch=all"} < set(runs)
    summary = runs[name].summary

    # The layout, and a line in each of its charts that have one for every run of descent.
    layout = server.ask("plugin/custom_scalars/layout")
    charts = {c["title"]: c["multiline"]["tag"] for part in layout["category"] for c in part["chart"]}
    assert charts == {title: tags for part in LAYOUT.values() for title, tags in part.items()}
    shown = {}
    for title, (*tags,) in charts.items():
        found: dict[str, Any] = {}
        for tag in tags:
            found |= server.ask("plugin/custom_scalars/scalars", run=name, tag=tag)["tag_to_events"]
        shown[title] = {tag for tag, events in found.items() if events}
    first, gap, weights, biases, *_ = shown.values()
    assert first == {"epoch/train_loss", "epoch/val_loss", "epoch/optimum_loss"}
    assert gap == {"epoch/log10_gap", "epoch/log10_predicted_gap"}
    assert weights == {"epoch/w", "epoch/optimum_w"}
    assert biases == {"epoch/b", "epoch/optimum_b"}
    assert all(shown.values())

    # Scalars: (time, x, value).
    def last(tag: str) -> float:
        value: float = server.ask("plugin/scalars/scalars", run=name, tag=tag)[-1][2]
        return value

    assert last("epoch/optimum_loss") == pytest.approx(summary["optimum"]["loss"])
    assert last("epoch/optimum_w") == pytest.approx(summary["optimum"]["weights"][0][0])
    assert last("epoch/w") == pytest.approx(summary["weights"][0][0])
    assert last("epoch/log10_gap") == pytest.approx(math.log10(summary["gap"]))

    # The HParams table: every run has every column, and figures wherever there are any.
    experiment = server.ask("plugin/hparams/experiment", {"experimentName": ""})
    columns = {column["name"] for column in experiment["hparamInfos"]}
    shown_unasked = [column["name"] for column in experiment["hparamInfos"]][:5]
    assert set(shown_unasked) == {"method", "optimizer", "lr", "batch", "criterion"}
    assert {
        *("method", "lr", "bias", "batch", "optimizer", "criterion", "shuffle", "dtype"),
        *("data", "rows", "features", "standardize"),
    } == columns
    figures = [one["name"]["tag"] for one in experiment["metricInfos"]][:2]
    assert figures == ["final/train_loss", "final/gap"]
    metrics = [{"group": "", "tag": f"final/{tag}"} for tag in ("train_loss", "epochs", "steps", "seconds")]
    groups = server.ask(
        "plugin/hparams/session_groups",
        {
            "experimentName": "",
            "allowedStatuses": ["STATUS_SUCCESS", "STATUS_RUNNING", "STATUS_UNKNOWN", "STATUS_FAILURE"],
            "colParams": [{"metric": metrics[0], "order": "ORDER_ASC"}],
            "startIndex": 0,
            "sliceSize": 100,
        },
    )["sessionGroups"]
    assert len(groups) == 10
    losses = []
    for group in groups:
        # A learning rate that is not there is sent as nothing.
        assert set(group["hparams"]) | {"lr"} == columns
        assert ("lr" in group["hparams"]) == (
            "largest_stable_step" in runs[group["sessions"][0]["name"]].summary
        )
        values = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
        run = runs[group["sessions"][0]["name"]]
        assert values["final/val_loss"] == pytest.approx(run.summary["val_loss"])
        assert values["final/steps"] == run.summary["steps"]
        if "gap" in run.summary:
            assert values["final/gap"] == pytest.approx(run.summary["gap"])
        losses.append(values["final/train_loss"])
    assert losses == sorted(losses)

    # The card, the graph, the residuals, and the picture of the search.
    text = server.ask("plugin/text/text", run=name, tag="card/text_summary")[0]["text"]
    assert "<table>" in text
    assert f"{summary['largest_stable_step']:.6g}" in text
    assert f"{summary['condition_number']:.6g}" in text
    least = next(n for n in runs if n.startswith("LeastSquares/version_0"))
    text = server.ask("plugin/text/text", run=least, tag="card/text_summary")[0]["text"]
    assert "<th>std error</th>" in text
    assert "<td>gap to the optimum's loss</td>" in text  # which has no row of its own here
    assert f"{runs[least].summary['coefficients'][1]['p']:.6g}" in text
    assert not server.ask("plugin/histograms/tags")  # of four rows one would show nothing
    assert b'op: "MSELoss"' in server.raw("plugin/graphs/graph", run=name, conceptual="false")
    search = next(n for n in runs if n.startswith("ExhaustiveSearch/version_1"))
    image = server.ask("plugin/images/images", run=search, tag="loss_curve", sample=0)[0]
    assert server.raw(f"plugin/images/individualImage?{image['query']}").startswith(b"\x89PNG")


def test_large_data_show_a_sample_of_their_residuals(linlight: Linlight, board: Callable[[], Board]) -> None:
    import numpy as np

    x = np.random.default_rng(0).normal(size=20_001)
    np.savez("data.npz", x=x, y=x + 1)
    linlight("fit", "--model", "LeastSquares", "--data.path", "data.npz")
    server = board()
    (tags,) = server.ask("plugin/histograms/tags").values()
    assert set(tags) == {"residuals_of_10000_rows_of_20001"}
