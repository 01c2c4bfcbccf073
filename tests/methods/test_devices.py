"""What would make a GPU wait is not done in a step: nothing on the device is read back."""

from typing import Any

import pytest
import torch
from conftest import fit

from linlight import ExhaustiveSearch, GradientDescent, LinearRegression, XYDataModule
from linlight.methods.base import LinearModel

READS = ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: GradientDescent(lr=0.01),
        lambda: ExhaustiveSearch(bias=True, step=0.5),
        lambda: LinearRegression(lr=0.01),
    ],
)
def test_no_step_reads_a_number_back(
    make: Any, weighted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    model: LinearModel = make()
    step, steps = model.training_step, []

    def watched(batch: Any, batch_idx: int) -> Any:
        with monkeypatch.context() as patch:
            for name in READS if model.trainer.global_step else ():  # what the first finds out is kept
                patch.setattr(torch.Tensor, name, lambda *_, name=name: pytest.fail(f"{name} in a step"))
            result = step(batch, batch_idx)
        steps.append(batch_idx)
        return result

    monkeypatch.setattr(model, "training_step", watched)
    rows = ["x,y,weight", *(f"{i / 10},{i / 5},{1 + i % 3}" for i in range(20))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    data = XYDataModule(path="t.csv", target="y", weight="weight" if weighted else None, features=["x"])
    data.batch_size = 6
    fit(model, data, max_epochs=2)
    assert len(steps) == (4 if isinstance(model, ExhaustiveSearch) else 8)  # a search needs one pass
