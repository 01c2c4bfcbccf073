"""What a checkpoint says of its run, and whether it fits a model and the data that go on with it."""

from typing import Any

from lightning.pytorch import Trainer
from torch import nn

from linlight.data.datamodule import XYDataModule
from linlight.errors import InputError
from linlight.methods.base.checks import check_sizes
from linlight.methods.base.run_rows import our_data


def described(method: type, trainer: Trainer) -> dict[str, Any]:
    """What a checkpoint adds to what Lightning keeps of a run, so that it opens without `--model`."""
    data, given = our_data(trainer), getattr(trainer, "datamodule", None)
    # For `linlight fit --ckpt_path last`, which goes on to where the run was to end.
    until = {"max_epochs": trainer.max_epochs, "max_steps": trainer.max_steps}
    found: dict[str, Any] = {"method": _path(method), "until": until}
    if data is not None and data.is_table:
        found["columns"] = {"feature": data.feature_names, "target": data.target_names}
    if data is None and given is not None:
        found["data"] = _path(type(given))
    return found


def _path(owner: type) -> str:
    return f"{owner.__module__}.{owner.__qualname__}"


def read_in_memory(checkpoint: dict[str, Any]) -> bool:
    """Whether the position that a training goes on from is one of rows in memory."""
    progress = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [{}])
    return not any("rows_in_a_piece" in state for state in progress)


def check_checkpoint(
    checkpoint: dict[str, Any], linear: nn.Linear | None, bias: bool, data: XYDataModule | None
) -> None:
    """Raises where a checkpoint's weights are not for a model, or not for the data and their columns.

    Args:
        checkpoint: The checkpoint.
        linear: The model's weights, if they are made.
        bias: Whether the model has a bias.
        data: The data, where they are ours.
    """
    learned = checkpoint.get("columns")
    if learned is not None and data is not None and data.is_table:
        present = {"feature": data.feature_names, "target": data.target_names if data.targets else []}
        for kind, names in present.items():
            for i, (was, now) in enumerate(zip(learned[kind], names, strict=False)):
                if was != now:
                    raise InputError(
                        f"{kind} {i} (counted from 0) is {was!r} in the checkpoint and {now!r} in the data: "
                        "leave out --data.features, --data.categorical and --data.target, which it remembers"
                    )
    if ("linear.bias" in checkpoint["state_dict"]) != bias:
        has = "no bias" if bias else "a bias"
        raise InputError(f"the checkpoint has {has}: use --model.bias {str(not bias).lower()}")
    targets, features = checkpoint["state_dict"]["linear.weight"].shape
    present_features = features if linear is None else linear.in_features
    check_sizes("checkpoint", features, targets, present_features, None if data is None else data.targets)


def check_units(checkpoint: dict[str, Any], data: XYDataModule) -> None:
    """Raises where features were standardised and no longer are, or the other way round."""
    standardized = "standardized" in checkpoint
    if data.standardize != standardized:
        raise InputError(
            f"the checkpoint was trained {'with' if standardized else 'without'} standardize, which makes "
            f"its steps others: set standardize to {str(standardized).lower()}"
        )
