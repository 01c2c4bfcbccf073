"""The computational graph (计算图) of a run's first row, with its values and gradients."""

import math
from functools import cache
from typing import Any

import matplotlib as mpl
import torch
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from linlight.methods.base import LinearModel
from linlight.runs.style import FALLBACK
from linlight.text import number

_WORDS = {
    "en": (
        "forward",
        "backward: gradients",
        "computational graph of the first row, at the {when} of the run",
        "start",
        "end",
    ),
    "zh": ("前向传播", "反向传播：梯度", "计算图：第一个样本，训练{when}时", "开始", "结束"),
}
ASIDE = 0.14
"""The distance of an arrow from the line between its nodes, which leaves room for the one back."""


@cache
def drawable(lang: str) -> str:
    """The language to draw in: English if no font here has Chinese, which is printed once."""
    if lang == "zh" and not set(font_manager.get_font_names()).intersection(FALLBACK):
        print("there is no Chinese font here: the graph is drawn with English words")
        return "en"
    return lang


def _short(tensor: Tensor, separator: str = ", ") -> str:
    """The numbers of a node: all of up to three, or the first two."""
    numbers = [number(value, 4) for value in tensor.detach().flatten().tolist()]
    if len(numbers) == 1:
        return numbers[0]
    shown = numbers if len(numbers) <= 3 else [*numbers[:2], "…"]
    return f"[{separator.join(shown)}]"


def draw_graph(
    model: LinearModel, x: Tensor, y: Tensor, theta: Tensor, *, at_start: bool, colors: Any, lang: str
) -> Figure:
    """Draws x, w → y_pred → loss, and the gradients that flow back.

    Args:
        model: The run's model, whose loss is taken.
        x: A row's features, (1, D).
        y: Its first target, (1, 1).
        theta: Bias, if there is one, and weights of the first target, (K,).
        at_start: Whether `theta` is where the run began.
        colors: The colours of ink, of the forward pass and of the gradients.
        lang: `en` or `zh`.
    """
    ink, first, second = colors
    forward, backward, title, *when = _WORDS[drawable(lang)]
    has_bias = len(theta) > x.shape[1]
    w = theta[has_bias:].reshape(1, -1).clone().requires_grad_()
    b = theta[:has_bias].clone().requires_grad_()
    with torch.enable_grad():
        y_pred = x @ w.T + b if has_bias else x @ w.T
        y_pred.retain_grad()
        loss = model.loss(y_pred, y)
        loss.backward()
    figure = Figure(figsize=(9, 4.2))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 10), ylim=(0, 4.6))
    axes.axis("off")
    top, low = (4.0, 0.8) if has_bias else (3.0, 1.2)
    nodes = {"x": (1.0, top, x), "w": (1.0, (top + low) / 2 if has_bias else low, w)}
    nodes |= {"b": (1.0, low, b)} if has_bias else {}
    nodes |= {"y_pred": (5.0, 2.1, y_pred), "y": (8.6, 3.7, y), "loss": (8.6, 2.1, loss)}
    for name, (at_x, at_y, value) in nodes.items():
        style = {"boxstyle": "round,pad=0.3", "facecolor": "none", "edgecolor": ink}
        text = f"{name} = {_short(value, f',{chr(10)}')}"  # on one line they would reach the arrows
        axes.text(at_x, at_y, text, ha="center", va="center", bbox=style, fontsize=11)
    formula = "x·w + b" if has_bias else "x·w"
    axes.text(5.0, 2.8, f"y_pred = {formula}", ha="center", color=ink, fontsize=10)
    for start, end, gradient in (
        ("x", "y_pred", None),
        ("w", "y_pred", w.grad),
        *([("b", "y_pred", b.grad)] if has_bias else []),
        ("y_pred", "loss", y_pred.grad),
        ("y", "loss", None),
    ):
        _arrow(axes, nodes[start][:2], nodes[end][:2], first, "-")
        if gradient is not None:
            text = f"∂loss/∂{start} = {_short(gradient)}"
            _arrow(axes, nodes[end][:2], nodes[start][:2], second, "--", text)
    for at, color, line, text in ((0.3, first, "-", forward), (3.2, second, "--", backward)):
        axes.plot([at, at + 0.6], [0.15, 0.15], color=color, ls=line)
        axes.text(at + 0.75, 0.15, text, color=color, va="center")
    axes.set_title(title.format(when=when[0] if at_start else when[1]))
    return figure


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    style: str,
    text: str = "",
) -> None:
    """Draws an arrow between two nodes, with a text along it."""
    (x0, y0), (x1, y1) = start, end
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    right, up = (x1 - x0) / length, (y1 - y0) / length
    ends = [(x - up * ASIDE, y + right * ASIDE) for x, y in (start, end)]
    gap = 18 if abs(up) > abs(right) else 56  # between an arrow and the middle of its node
    looks = {"arrowstyle": "-|>", "color": color, "ls": style, "shrinkA": gap, "shrinkB": gap, "lw": 1.6}
    axes.annotate("", xy=ends[1], xytext=ends[0], arrowprops=looks)
    if text:
        # Nearer to the end: arrows that start at one node are further apart there.
        x, y = (0.4 * a + 0.6 * b for a, b in zip(*ends, strict=True))
        angle = math.degrees(math.atan2(y0 - y1, x0 - x1))  # read from left to right
        axes.text(
            x - up * 0.3, y + right * 0.3, text, color=color, ha="center", va="center", fontsize=9,
            rotation=angle, transform_rotates_text=True, rotation_mode="anchor", zorder=4,
            path_effects=[withStroke(linewidth=3, foreground=mpl.rcParams["axes.facecolor"])],
        )  # fmt: skip
