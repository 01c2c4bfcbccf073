"""Features standardised to mean 0 and standard deviation 1, and models back in the original units."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linlight.functional.solve import Optimum
from linlight.functional.statistic import Moments, design


@dataclass(frozen=True, eq=False)
class Standardizer:
    """Standardises features: `(x − mean) / deviation`.

    Gradient descent then needs few steps whatever the features' units. The targets, and so the loss, stay
    as they are.

    Args:
        mean: Mean of each feature, (D,), in float64.
        deviation: Standard deviation of each, (D,); 1 where a feature is constant.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def fit(cls, m: Moments) -> "Standardizer":
        """The standardiser of the rows behind a statistic.

        Examples:
            >>> from linlight.functional.statistic import moments
            >>> rows = torch.tensor([[1.0], [3.0]])
            >>> Standardizer.fit(moments(rows, rows))
            Standardizer(mean=tensor([2.], dtype=torch.float64), deviation=tensor([1.], dtype=torch.float64))
        """
        return cls(m.mean[: m.features], torch.where(m.deviation > 0, m.deviation, 1.0))

    def scale(self, x: Tensor) -> Tensor:
        """Standardises features, (N, D), given in their original units."""
        return x.sub(self.mean.to(x)).div_(self.deviation.to(x))

    def moments(self, m: Moments) -> Moments:
        """The statistic of the rows with standardised features, from that with features as given."""
        targets = m.targets
        shift = torch.nn.functional.pad(self.mean.to(m.mean), (0, targets))
        divide = torch.nn.functional.pad(self.deviation.to(m.mean), (0, targets), value=1.0)
        return replace(
            m,
            origin=(m.mean - shift) / divide,
            offset=torch.zeros_like(shift),
            triangle=m.triangle / divide,
        )

    def optimum(self, fit: Optimum, m: Moments) -> Optimum:
        """The optimum with standardised features, from that with features as given.

        Where columns are collinear, it predicts the same as the optimum of least norm, without being it.

        Args:
            fit: The optimum in the original units, with a bias.
            m: The statistic of the standardised features.
        """
        assert fit.b is not None
        slopes = fit.basis[1:]
        basis = torch.cat([(fit.basis[0] + self.mean @ slopes)[None], self.deviation[:, None] * slopes])
        w, b = fit.w * self.deviation, fit.b + fit.w @ self.mean
        return replace(fit, w=w, b=b, basis=basis, design=design(m, bias=True)[0])

    def original_units(self, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """The model in the original units: w·(x − m)/s + b = (w/s)·x + (b − (w/s)·m).

        Args:
            w: Weights of the standardised features, (T, D).
            b: Bias, (T,).

        Returns:
            w and b in float64: where the means are large, rounding them would spoil the predictions.

        Examples:
            >>> from linlight.functional.statistic import moments
            >>> rows = torch.tensor([[1.0], [3.0]])
            >>> scaling = Standardizer.fit(moments(rows, rows))  # mean 2, deviation 1
            >>> scaling.original_units(torch.tensor([[4.0]]), torch.tensor([5.0]))
            (tensor([[4.]], dtype=torch.float64), tensor([-3.], dtype=torch.float64))
        """
        own = w.double() / self.deviation.to(w.device)
        return own, b.double() - own @ self.mean.to(w.device)
