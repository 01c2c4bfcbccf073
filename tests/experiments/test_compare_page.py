"""`compare.html`, in a browser."""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, needs_browser, opened

Linlight = Callable[..., Run]
DRAG = """
const input = document.querySelector("input[type=range]");
input.value = EPOCH;
input.dispatchEvent(new Event("input", {bubbles: true}));
"""

MEASURE = b"""<script>
const sizes = [...document.querySelectorAll("svg text")].map(text => {
  const drawing = text.ownerSVGElement;
  const scale = drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width;
  return scale * parseFloat(getComputedStyle(text).fontSize);
});
parent.postMessage("sizes " + sizes.join(" "), "*");
</script>"""


def circles(page: str) -> dict[str, tuple[float, float]]:
    """Where each method is on the ground."""
    found = re.findall(r'<circle[^>]*data-method="([^"]*)"[^>]*cx="([^"]*)" cy="([^"]*)"', page)
    return {name: (float(x), float(y)) for name, x, y in found}


@needs_browser
def test_the_pages_slider_moves_the_points(linlight: Linlight, tmp_path: Path) -> None:
    run = linlight("compare", "--epochs", 40)
    methods = json.loads((run.folder / "compare.json").read_text())["methods"]
    paths = {method["name"]: method["path"] for method in methods}
    names = list(paths)
    places = {}
    for epoch, drag in ((0, False), (7, True), (9, False)):
        how = {"script": DRAG.replace("EPOCH", str(epoch))} if drag else {"fragment": f"epoch={epoch}"}
        page = opened(run.folder / "compare.html", tmp_path, **how)
        assert f"epoch {epoch} of 40" in page
        rows = re.findall(r"<tr>(.*?)</tr>", page)[1:]
        found = {
            re.sub("<.*?>", "", cells[0]): cells
            for cells in (re.findall(r"<td.*?>(.*?)</td>", r) for r in rows)
        }
        assert list(found) == names
        assert found["exhaustive search"][3] == "1"  # it trained for one epoch, wherever the slider is
        for name in names[1:]:
            assert found[name][3] == str(epoch)
            assert float(found[name][1]) == pytest.approx(paths[name][epoch]["loss"], rel=0.05)
        places[epoch] = circles(page)
        under, trail = (re.findall(f'<polyline class="{kind}"[^>]*', page) for kind in ("under", "trail"))
        drawn = [re.findall('points="([^"]*)"', " ".join(lines)) for lines in (under, trail)]
        assert len(drawn[0]) == len(names)
        assert set(drawn[0]) <= set(drawn[1])  # on paper of its own each trail is seen on any ground
    assert places[0]["exhaustive search"] == places[7]["exhaustive search"]
    # Along the axis as far as the weight has moved: the scale is the same for all.
    moved = [places[7][name][0] - places[0][name][0] for name in names[1:]]
    by = [paths[name][7]["weights"][0][0] - paths[name][0]["weights"][0][0] for name in names[1:]]
    np.testing.assert_allclose(np.divide(moved, by), moved[0] / by[0], rtol=1e-6)


@needs_browser
def test_text_on_a_phone_is_as_large_as_on_a_desk(linlight: Linlight, tmp_path: Path) -> None:
    page = linlight("compare", "--epochs", 3, "--methods=GradientDescent").folder / "compare.html"
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<html><iframe src="data:text/html;base64,{b64encode(page.read_bytes() + MEASURE).decode()}" '
        "style='width: 360px'></iframe><script>onmessage = e => document.body.append(e.data)</script></html>"
    )
    sizes = re.search("sizes ([0-9. ]+)", opened(frame, tmp_path))
    assert sizes is not None
    assert min(map(float, sizes[1].split())) > 10
    assert max(map(float, sizes[1].split())) < 16


@needs_browser
def test_a_method_without_a_path_leaves_no_dot(linlight: Linlight, tmp_path: Path) -> None:
    # So many features make too many candidates for a search.
    rows = "--data.x", "[[1,2,3,1],[2,1,5,2],[3,5,1,1],[4,2,2,2],[5,1,1,3]]", "--data.y", "[1,2,3,5,4]"
    run = linlight("compare", *rows, "--epochs", 2)
    page = opened(run.folder / "compare.html", tmp_path)
    assert "exhaustive search (gave up)" in page
    assert "exhaustive search" not in circles(page)
    assert all("cx=" in circle for circle in re.findall("<circle[^>]*>", page))


def test_the_page_needs_nothing_beside_it(linlight: Linlight) -> None:
    Path("t.csv").write_text("a</script>,y\n1,2\n2,3\n3,5\n")
    page = (linlight("compare", "--data.path", "t.csv", "--epochs", 2).folder / "compare.html").read_text()
    addresses = set(re.findall(r"https?://[^\"' ]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a language, not an address
    assert page.count("</script>") == 2
    assert not re.search(r"(src|href)=", page)


@needs_browser
def test_a_loss_of_zero_has_its_own_place(linlight: Linlight, tmp_path: Path) -> None:
    page = opened(linlight("compare", "--epochs", 3).folder / "compare.html", tmp_path)
    (at,) = re.findall(r'<text class="zero"[^>]* y="([^"]*)"[^>]*>0</text>', page)
    others = re.findall(r'<text x="56" y="([^"]*)" text-anchor="end">1e', page)
    assert float(at) > max(map(float, others))  # below every power of ten
    marks = re.findall(r'<circle r="[^"]*" fill="([^"]*)" class="halo" cx="[^"]*" cy="([^"]*)"', page)
    assert min(abs(float(y) + 4 - float(at)) for _, y in marks) < 1e-6  # the search is on it
    # Without a loss of 0 the axis has no break.
    words = ["--methods=GradientDescent", "--epochs=3", "--folder=other"]
    assert 'class="zero"' not in opened(linlight("compare", *words).folder / "compare.html", tmp_path)


@needs_browser
def test_the_legend_has_every_dash(linlight: Linlight, tmp_path: Path) -> None:
    words = ["--optimizers=SGD,Adam,Rprop", "--lr=0.01,0.1", "--epochs=3", "--bias=true"]
    page = opened(linlight("compare", *words).folder / "compare.html", tmp_path)
    legend = re.search('<ul class="legend".*?</ul>', page, re.DOTALL)
    assert legend is not None
    items = re.findall("<li><svg.*?</svg>(.*?)</li>", legend[0])
    names = [f"{o}, lr {lr}, MSE" for o in ("SGD", "Adam", "Rprop") for lr in (0.01, 0.1)]
    assert items == [*names, "the optimum"]
    looks = re.findall('stroke="(#[^"]*)" stroke-dasharray="([^"]*)"', legend[0])
    assert len(set(looks)) == len(names)
    assert "<image" in page  # a smooth ground
    assert "mean squared error 0" in page  # and its scale


@needs_browser
def test_on_a_phone_a_hint_says_that_the_table_goes_on(linlight: Linlight, tmp_path: Path) -> None:
    page = linlight("compare", "--epochs", 3).folder / "compare.html"
    for width, hidden in ((400, False), (1400, True)):
        frame = tmp_path / "frame.html"
        measure = (
            b"<script>parent.postMessage('hidden ' + document.getElementById('hint').hidden, '*')</script>"
        )
        frame.write_text(
            f'<html><iframe src="data:text/html;base64,{b64encode(page.read_bytes() + measure).decode()}" '
            f"style='width: {width}px'></iframe>"
            "<script>onmessage = e => document.body.append(e.data)</script></html>"
        )
        assert f"hidden {str(hidden).lower()}" in opened(frame, tmp_path)


def test_the_weight_is_called_w(linlight: Linlight) -> None:
    page = (linlight("compare", "--epochs", 2).folder / "compare.html").read_text()
    assert '"labels": ["w", "mean squared error at b = 0"]' in page
    assert '"text": "w 1.9' in page or '"text": "w 1.' in page
    assert "weight of x" not in page
