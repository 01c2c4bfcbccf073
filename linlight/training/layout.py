"""How TensorBoard's custom-scalars tab arranges the curves of a run."""

from typing import Any

LAYOUT: dict[str, dict[str, list[Any]]] = {
    "by epoch": {
        "loss: training, validation, optimum": [r"^epoch/(train|val|optimum)_loss$"],
        "gap to the optimum's loss, log10: actual, predicted": [r"^epoch/log10_(predicted_)?gap$"],
        "weights, and the exact answer": [r"^epoch/(optimum_)?w(_\d+){0,2}$", r"^epoch/(optimum_)?w_norm$"],
        "bias, and the exact answer": [r"^epoch/(optimum_)?b(_\d+)?$", r"^epoch/(optimum_)?b_norm$"],
        "gradient": [r"^epoch/grad_"],
    },
    "by step": {
        "loss of the batch": [r"^step/train_loss$"],
        "weights and bias": [r"^step/[wb](_\d+){0,2}$", r"^step/[wb]_norm$"],
        "gradient": [r"^step/grad_"],
    },
}
"""Category, chart, and the expressions that match the tags of its lines."""


def write_layout(writer: Any) -> None:
    """Writes the layout to a `SummaryWriter`; the runs of one log folder share it."""
    writer.add_custom_scalars(
        {
            category: {title: ["Multiline", tags] for title, tags in charts.items()}
            for category, charts in LAYOUT.items()
        }
    )
