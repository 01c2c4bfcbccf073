"""The explanations of a trace: where a method's update comes from, and its first update step by step."""

import inspect
import math
from functools import cache
from importlib.resources import files
from typing import Any

import torch
import yaml
from lightning.pytorch import Trainer
from torch import Tensor

from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.base.batch import Batch
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression
from linlight.text import count

MOST_NUMBERS = 6
"""The most numbers of a tensor that are shown."""


@cache
def texts() -> dict[str, dict[str, str]]:
    """The texts of `lesson.yaml`, by key and language."""
    found: dict[str, dict[str, str]] = yaml.safe_load(
        files("linlight.training").joinpath("lesson.yaml").read_text(encoding="utf-8")
    )
    return found


def said(key: str, lang: str, **values: object) -> str:
    """A text of `lesson.yaml` in a language, with its braces filled in."""
    return texts()[key][lang].format(**values)


def shown(tensor: Tensor | None) -> str:
    """A tensor's one number, or the first of its rows or of its numbers, in full precision."""
    if tensor is None:
        return "None"
    numbers = tensor.detach()
    if 1 in numbers.shape or numbers.ndim < 2:
        return str(numbers.item()) if numbers.numel() == 1 else _listed(numbers.flatten())
    rows = [_listed(row) for row in numbers[: max(1, MOST_NUMBERS // numbers.shape[1])]]
    rest = [f"... {len(numbers) - len(rows)} more"] if len(numbers) > len(rows) else []
    return f"[{', '.join(rows + rest)}]"


def _listed(numbers: Tensor) -> str:
    listed = ", ".join(map(str, numbers[:MOST_NUMBERS].tolist()))
    rest = len(numbers) - MOST_NUMBERS
    return f"[{listed}, ... {rest} more]" if rest > 0 else f"[{listed}]"


def explanation(model: LinearModel, trainer: Trainer, lang: str) -> list[str]:
    """Paragraphs on how a method learns, with the optimizer and the criterion that are in use."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    lr = f"{model.hparams.get('lr', 0):g}"
    formula = "x*w" if model.b is None else "x*w + b"
    if isinstance(model, ExhaustiveSearch):
        grids = model.grids()
        return [
            said("search", lang, candidates=math.prod(map(len, grids)), formula=formula),
            said({1: "search_curve", 2: "search_surface"}.get(len(grids), "search_sorted"), lang),
        ]
    if isinstance(model, LeastSquares):
        return [said("least_squares", lang, formula=formula)]
    if isinstance(model, LinearRegression):
        return _linear_regression(model, trainer, lang)
    if isinstance(model, Backpropagation):
        keys = ("data_grad", "item", "tensor")
        return [
            said("backpropagation", lang),
            _requires_grad(model, lang),
            *(said(key, lang) for key in keys),
        ]
    if isinstance(model, GradientDescent):
        of_bias = [] if model.b is None else [said("bias", lang)]
        if data.batches == data.passes:
            return [said("gradient", lang, formula=formula), said("downhill", lang, lr=lr), *of_bias]
        size = data.batch_size or 1
        batch = f"{size:,} 个样本" if lang == "zh" else count(size, "row")
        return [
            said("stochastic", lang, batch=batch, rows=data.train_size, lr=lr, formula=formula),
            *of_bias,
            said("noise_buys", lang, updates=data.batches),
            said("noise_costs", lang),
        ]
    return [" ".join((inspect.getdoc(type(model)) or type(model).__name__).split("\n\n")[0].split())]


def _requires_grad(model: LinearModel, lang: str) -> str:
    """Which tensors of the graph need gradients, as torch says."""
    x = model.w.new_ones(1, model.w.shape[1])
    with torch.enable_grad():
        y_pred = model(x)
        loss = model.loss(y_pred, torch.zeros_like(y_pred))
    needs = {"w": model.w, "y_pred": y_pred, "loss": loss, "x": x}
    return said("requires_grad", lang, **{name: tensor.requires_grad for name, tensor in needs.items()})


def _linear_regression(model: LinearRegression, trainer: Trainer, lang: str) -> list[str]:
    parameters = "weight" if model.b is None else "weight, bias"
    formula = "x*weight" if model.b is None else "x*weight + bias"
    reduction = getattr(model.criterion, "reduction", "")
    settings = trainer.optimizers[0].param_groups[0]
    variant, lr = "momentum" if settings.get("momentum") else "", f"{settings.get('lr', math.nan):g}"
    return [
        said("linear", lang, parameters=parameters, formula=formula),
        _of_class(model.criterion, reduction, "criterion", lang),
        _of_class(trainer.optimizers[0], variant, "optimizer", lang, lr=lr),
        said("automatic", lang),
    ]


_ALIKE = {"AdamW": "Adam", "SmoothL1Loss": "HuberLoss"}
"""Classes, and those whose text fits them too."""


def _of_class(one: object, variant: str, otherwise: str, lang: str, **values: object) -> str:
    """The text about a class: of its variant if there is one, else the one called `otherwise`."""
    own = type(one).__name__
    name = _ALIKE.get(own, own)
    key = next(key for key in (f"{name} {variant}", name, otherwise) if key in texts())
    return said(key, lang, name=name, **values).replace(name, own, 1)


_JOINT = {"en": "; ", "zh": "；"}


def _parameters(model: LinearModel) -> list[tuple[str, Tensor]]:
    """The parameters that an update changes, by their names in the notes."""
    return [("w", model.w), *([] if model.b is None else [("b", model.b)])]


class FirstUpdate:
    """The four steps of the notes, with the numbers of the first update of a training."""

    def __init__(self, model: LinearModel, batch: Batch, lang: str) -> None:
        self._lang = lang
        x, y, *weight = batch
        with torch.no_grad():
            y_pred = model(x)
            loss = model.loss(y_pred, y, *weight)
        self._before = {name: (one.detach().clone(), shown(one.grad)) for name, one in _parameters(model)}
        self._grads: dict[str, Tensor | None] = {}
        b = "" if model.b is None else f", b = {shown(model.b)}"
        weights = f"w = {shown(model.w)}{b}"
        self._forward = said("forward", lang, x=shown(x), weights=weights, y_pred=shown(y_pred))
        self._loss = said("loss", lang, y_pred=shown(y_pred), y=shown(y), loss=shown(loss))

    def until_gradient(self, model: LinearModel) -> list[str]:
        """Explains forward, loss and backward, once the gradient is computed and before it is used."""
        self._grads = {
            name: None if one.grad is None else one.grad.detach().clone() for name, one in _parameters(model)
        }
        gradients = [
            said("gradient_of", self._lang, name=name, before=self._before[name][1], grad=shown(grad))
            for name, grad in self._grads.items()
        ]
        key = "by_formula" if isinstance(model, GradientDescent) else "backward"
        backward = said(key, self._lang, gradients=_JOINT[self._lang].join(gradients))
        return [self._forward, self._loss, backward]

    def update(self, model: LinearModel, lr: float | None) -> list[str]:
        """Explains the update, as `w - lr*grad` where it is, and that the gradient is set back to zero.

        Args:
            model: The model, at the weights after the update.
            lr: The learning rate of a plain gradient step, None for other rules.
        """
        steps = []
        for name, parameter in _parameters(model):
            before, grad = self._before[name][0], self._grads.get(name)
            values = {"name": name, "before": shown(before), "after": shown(parameter)}
            if lr is None or grad is None or before.numel() > 1:
                steps.append(said("step", self._lang, **values))
            else:
                steps.append(said("step_by", self._lang, **values, lr=lr, grad=shown(grad)))
        lines = [said("update", self._lang, steps=_JOINT[self._lang].join(steps))]
        if isinstance(model, Backpropagation):
            lines.append(said("zero", self._lang, grad=shown(model.w.grad)))
        return lines
