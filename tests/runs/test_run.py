"""A finished run opens again, or says why not."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import fit

from linlight import GradientDescent, InputError, XYDataModule, load
from linlight.cli.main import main


def test_what_a_notebook_shows(linlight: Callable[..., Any]) -> None:
    run = load(
        linlight("fit", "--model=LeastSquares", "--data.x=[1, 2, 3, 4]", "--data.y=[2, 4, 5, 9]").folder
    )
    assert repr(run).endswith("LeastSquares: y = 2.2 x - 0.5, loss 0.45 on 4 rows after 1 epoch, 1 step)")
    assert "| x | 2.2 | 0.424264 |" in run._repr_markdown_()
    shown = run._repr_html_()
    assert "<tr><td>x</td><td>2.2</td><td>0.424264</td>" in shown
    pictures = re.findall(r'<img alt="(\w+)"[^>]* src="data:image/png;base64,iVBOR', shown)
    assert pictures == list(run.plot())  # type: ignore[arg-type]


def test_a_notebook_shows_names_as_they_are(tmp_path: Path, linlight: Callable[..., Any]) -> None:
    (tmp_path / "t.csv").write_text("<script>a|b</script>,y\n1,2\n2,4\n3,7\n")
    shown = load(linlight("fit", "--model=LeastSquares", "--data.path=t.csv").folder)._repr_html_()
    assert "<script>" not in shown
    assert "<td>&lt;script&gt;a|b&lt;/script&gt;</td>" in shown


def test_folders_that_are_no_finished_run(linlight: Callable[..., Any], tmp_path: Path) -> None:
    done = linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=1").folder
    with pytest.raises(InputError, match="there is no folder nowhere"):
        load("nowhere")
    with pytest.raises(InputError, match=f"no summary.json, but {done} has"):
        load(done.parent)
    with pytest.raises(InputError, match="is not the folder of a run"):
        load(tmp_path)
    with pytest.raises(InputError, match="no picture 'coefficients' of this run: there are loss, fit"):
        load(done).plot("coefficients")
    with pytest.raises(InputError, match="no theme 'blue': it is light or dark"):
        load(done).plot(theme="blue")
    summary = json.loads((done / "summary.json").read_text())
    (done / "summary.json").write_text(json.dumps(summary | {"format": 99}))
    with pytest.raises(InputError, match="written by a newer linlight"):
        load(done)
    for written in ("x", None, 1.5):
        (done / "summary.json").write_text(json.dumps(summary | {"format": written}))
        with pytest.raises(InputError, match=r"summary.json is damaged: its format is"):
            load(done)
    (done / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"summary.json is damaged"):
        load(done)
    (done / "summary.json").unlink()
    with pytest.raises(InputError, match="has not finished: linlight fit --ckpt_path"):
        load(done)


def test_arrays_are_given_again(tmp_path: Path) -> None:
    from linlight.training.last_checkpoint import LastCheckpoint
    from linlight.training.run_summary import RunSummary

    x = torch.tensor([[1.0], [2.0]])
    data = XYDataModule(x, 3 * x)
    callbacks = [RunSummary(), LastCheckpoint()]
    fit(
        GradientDescent(),
        data,
        max_epochs=2,
        enable_checkpointing=True,
        default_root_dir=tmp_path,
        callbacks=callbacks,
    )
    with pytest.raises(InputError, match="trained on arrays"):
        load(tmp_path)
    run = load(tmp_path, XYDataModule(x, 3 * x))
    assert list(run.plot()) == ["loss", "fit", "residuals", "graph"]  # type: ignore[arg-type]


def test_a_sweep_is_no_run(linlight: Callable[..., Any]) -> None:
    folder = linlight("sweep", "--epochs=2", "--lr=[0.1]", "--batch_size=[3]").folder
    with pytest.raises(InputError, match=r"is the folder of a sweep: its picture is .*sweep.png"):
        load(folder)
    with pytest.raises(InputError, match=r"it has no summary.json$"):  # and names none that it would refuse
        load(folder.parent)
    (cell,) = {path.parent for path in folder.rglob("summary.json")}
    with pytest.raises(
        InputError, match=r"has no checkpoints/last.ckpt, which the runs of a sweep do not keep"
    ):
        load(cell)


def test_plot_refuses_in_one_line(
    refused: Callable[..., str], linlight: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no folder nowhere" in refused("plot", "nowhere")
    assert "folder" in refused("plot")
    assert "plot draws one run at a time: give one folder, not 2" in refused("plot", "../a/b", "../a/c")
    Path("file").touch()
    done = linlight("fit", "--model=GradientDescent", "--trainer.max_epochs=1").folder
    with pytest.raises(SystemExit, match="2"):
        main(["plot", str(done), "--to", "file"])
    assert capsys.readouterr().err == "linlight: error: File exists: file\n"
