"""Features with mean 0 and standard deviation 1, and the way back to the data's own units."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scaling:
    """Standardises features: `(x − mean) / deviation`.

    Gradient descent then needs few steps whatever the features' units. The targets, and with them the
    loss, stay as they are.

    Args:
        mean: Mean of each feature, (D,), in float64.
        deviation: Standard deviation of each, (D,); 1 where a feature is constant.
    """

    mean: Tensor
    deviation: Tensor

    def scale(self, x: Tensor) -> Tensor:
        """Features (N, D) in their own units in, standardised out."""
        return (x - self.mean.to(x)) / self.deviation.to(x)

    def own_units(self, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """The model of the data's own units: w·(x − m)/s + b = (w/s)·x + (b − (w/s)·m).

        Args:
            w: Weights of the standardised features, (T, D).
            b: Bias, (T,).

        Examples:
            >>> scaling = fit(torch.tensor([[1.0], [3.0]]))  # mean 2, deviation 1
            >>> scaling.own_units(torch.tensor([[4.0]]), torch.tensor([5.0]))
            (tensor([[4.]]), tensor([-3.]))
        """
        own = w.double() / self.deviation.to(w.device)
        return own.to(w), (b.double() - own @ self.mean.to(w.device)).to(b)


def fit(x: Tensor) -> Scaling:
    """Measures features, (N, D), in float64, a block at a time."""
    blocks = x.split(2**16)
    mean = torch.stack([block.double().sum(0) for block in blocks]).sum(0) / len(x)
    squares = torch.stack([(block.double() - mean).square().sum(0) for block in blocks]).sum(0)
    deviation = (squares / len(x)).sqrt()
    return Scaling(mean, torch.where(deviation > 0, deviation, 1.0))
