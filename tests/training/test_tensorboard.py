"""What TensorBoard is given, read back as TensorBoard reads it."""

from collections.abc import Callable

import notes
import pytest
from conftest import ROOT, Run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

Linlight = Callable[..., Run]


def events(run: Run) -> EventAccumulator:
    return EventAccumulator(
        str(next(run.folder.rglob("events*")).parent), size_guidance={"scalars": 0}
    ).Reload()


def series(run: Run, tag: str) -> dict[int, float]:
    return {event.step: event.value for event in events(run).Scalars(tag)}


def test_whole_batch_by_step_and_by_epoch(linlight: Linlight) -> None:
    run = linlight("fit", "--config", ROOT / "configs" / "gradient_descent.yaml")
    path = dict(enumerate(notes.gradient_descent(), start=1))
    for axis in ("step", "epoch"):
        assert series(run, f"{axis}/train_loss") == pytest.approx({k: loss for k, (loss, _) in path.items()})
        weights = series(run, f"{axis}/w")
        assert weights.pop(0, 1.0) == 1.0
        assert weights == pytest.approx({k: w for k, (_, w) in path.items()})
        assert series(run, f"{axis}/grad_w")[1] == pytest.approx(-28 / 3)


def test_single_rows_by_step_and_by_epoch(linlight: Linlight) -> None:
    run = linlight("fit", "--config", ROOT / "configs" / "stochastic_gradient_descent.yaml")
    path = list(notes.stochastic_gradient_descent())
    gradients = [gradient for grads, *_ in path for gradient in grads]
    assert series(run, "step/grad_w") == pytest.approx(dict(enumerate(gradients, start=1)))
    assert series(run, "epoch/w") == pytest.approx({k: w for k, (*_, w) in enumerate(path, start=1)})
    assert series(run, "epoch/grad_w") == pytest.approx({k: g[2] for k, (g, *_) in enumerate(path, start=1)})


def test_validation_loss_and_several_weights(linlight: Linlight) -> None:
    run = linlight(
        "fit", "--model", "LinearRegression", "--data.x", "[[1,2],[3,1],[0,1],[2,2]]",
        "--data.y", "[[1,2],[3,4],[5,6],[7,8]]", "--data.val_fraction", 0.25, "--trainer.max_epochs", 5,
    )  # fmt: skip
    assert list(series(run, "epoch/val_loss")) == [1, 2, 3, 4, 5]
    assert series(run, "epoch/val_loss")[5] == pytest.approx(run.summary["val_loss"])
    assert series(run, "epoch/w_1_0")[5] == pytest.approx(run.summary["weights"][1][0])
    assert series(run, "epoch/b_1")[5] == pytest.approx(run.summary["bias"][1])


def test_more_weights_than_curves_are_a_norm(linlight: Linlight) -> None:
    row = str(list(range(1, 18)))
    words = ["--data.x", f"[{row}]", "--data.y", "[1]", "--trainer.max_epochs", 1]
    run = linlight("fit", "--model", "GradientDescent", "--model.lr", 1e-5, *words)
    norm = sum(w * w for w in run.summary["weights"][0]) ** 0.5
    assert series(run, "epoch/w_norm")[1] == pytest.approx(norm)


def test_short_epochs_are_logged_and_long_ones_not_too_often(linlight: Linlight) -> None:
    words = ["fit", "--model", "GradientDescent", "--data.batch_size", 1, "--trainer.max_epochs", 2]
    assert list(series(linlight(*words), "step/w")) == [0, 3, 6]
    assert list(series(linlight(*words, "--trainer.log_every_n_steps", 2), "step/w")) == [0, 2, 4, 6]


def test_hyperparameters_have_the_same_keys_and_final_metrics(linlight: Linlight) -> None:
    keys = set()
    for method in ("ExhaustiveSearch", "GradientDescent", "Backpropagation", "LinearRegression"):
        run = linlight("fit", "--model", method, "--trainer.max_epochs", 3)
        loaded = events(run)
        content = loaded.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        hparams = HParamsPluginData.FromString(content).session_start_info.hparams
        keys.add(frozenset(hparams))
        assert hparams["method"].string_value == method
        assert hparams["data"].string_value == "the textbook's points"
        assert (hparams["rows"].number_value, hparams["features"].number_value) == (3, 1)
        assert hparams["standardize"].string_value == "no"
        assert series(run, "final/train_loss") == {0: pytest.approx(run.summary["train_loss"])}
        assert series(run, "final/epochs") == {0: run.summary["epochs"]}
        assert "hp_metric" not in loaded.Tags()["scalars"]
    assert len(keys) == 1


def test_search_curve_is_an_image(linlight: Linlight) -> None:
    run = linlight("fit", "--model", "ExhaustiveSearch")
    image = events(run).Images("loss_curve")[0]
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert (run.folder / "loss_curve.png").read_bytes().startswith(b"\x89PNG")


def test_an_evaluation_logs_what_it_found_and_no_chart_of_its_epoch(linlight: Linlight) -> None:
    trained = linlight("fit", "--model", "GradientDescent", "--trainer.max_epochs", 2)
    tags = events(linlight("test", "--ckpt_path", trained.checkpoint)).Tags()["scalars"]
    assert set(tags) == {f"test_{name}" for name in ("loss", "mse", "rmse", "mae", "r2")}
