"""The optimum to all digits of float64, by a second pass in more than twice its precision.

An ill-conditioned design loses digits to the rounding of the QR factorisation itself, and correcting the
weights with that factorisation recovers none of them where the residuals are large. So the second pass forms
the sums of products of the rows to about 2⁻¹⁰⁰ of their size, where even the squared condition number of XᵀX
leaves digits to spare, and the normal equations are solved in Python's integers, as fixed-point numbers with
400 bits after the binary point.

The products are exact: every column is cut into slices of few bits, so that the matrix product of two slices
has no rounding. See Ozaki, Ogita, Oishi and Rump, "Error-free transformations of matrix multiplication",
Numerical Algorithms 59, 2012.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from linlight.errors import InputError
from linlight.functional.solve import Optimum
from linlight.functional.statistic import Moments, column_norms

ROWS = 2048
"""Rows in an exact product: with slices of 20 bits, its 2·20 + 11 bits fit the 53 of a float64."""
SLICE_BITS = 20
SLICES = 6
POINT = 400
"""Bits after the binary point of a fixed-point number."""
LEAST_PIVOT = 1 << (POINT - 96)
"""The square of 2⁻⁴⁸: a column of which less than this share is independent of those before is collinear."""


class ExactProducts:
    """Sums of products of the columns (1, x, y), to about 2⁻¹⁰⁰ of their size, in any order of the rows.

    Columns are shifted by about their means (with a bias, which makes up for it) and divided by powers of two
    near their deviations; neither rounds.

    Args:
        m: The statistic of the rows that will be added.
        bias: Whether the model has a bias.
    """

    def __init__(self, m: Moments, bias: bool) -> None:
        m = m.cpu()
        self.bias = bias
        self.shift = m.mean if bias else torch.zeros_like(m.mean)
        spread = column_norms(m.triangle_of(bias)) / m.weight.sqrt()
        self.exponents = spread.where(spread > 0, 1.0).log2().ceil()
        p = len(self.shift) + 1
        self.sums = np.zeros((p, p), dtype=object)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Adds rows of x, (N, D), and y, (N, T)."""
        for xs, ys in zip(x.split(ROWS), y.split(ROWS), strict=True):
            if not len(xs):
                continue
            z = torch.cat([xs, ys], dim=1).double().cpu()
            # z − shift is exactly high + low (Knuth's TwoSum).
            high = z - self.shift
            back = high - z
            low = (z - (high - back)) - (self.shift + back)
            scale = torch.exp2(-self.exponents)
            self._add_products(
                torch.nn.functional.pad(high * scale, (1, 0), value=1.0),
                torch.nn.functional.pad(low * scale, (1, 0)),
            )

    def _add_products(self, high: Tensor, low: Tensor) -> None:
        top = int(torch.frexp(high.abs().max()).exponent) + 1
        slices = []
        for i in range(1, SLICES + 1):
            # Adding and subtracting 1.5·2^(k + 52) rounds to multiples of 2^k.
            grid = 1.5 * 2.0 ** (top - SLICE_BITS * i + 52)
            part = (high + grid) - grid
            slices.append(part * 2.0 ** (SLICE_BITS * i - top))  # whole numbers of 20 bits
            rest = high - part
            high = rest + low
            low = low - (high - rest)
        for i, a in enumerate(slices, 1):
            for j, b in enumerate(slices, 1):
                if i + j <= SLICES + 1 and a.any() and b.any():
                    whole = (a.T @ b).long().numpy().astype(object)
                    self.sums += whole << (POINT + 2 * top - SLICE_BITS * (i + j))

    def solve(self, fit: Optimum) -> Optimum:
        """Solves for the optimum, from the sums over all rows.

        Gaussian elimination of G = X̃ᵀX̃ gives G = L D Lᵀ; the optimum's basis is (D⁻¹ᐟ² L⁻¹)ᵀ.

        Args:
            fit: The optimum to refine.

        Raises:
            InputError: If columns are collinear.
        """
        first = 0 if self.bias else 1
        targets = len(fit.w)
        g = self.sums[first:, first:]
        k = len(g) - targets
        work = np.concatenate([g[:k], _identity(k)], axis=1)  # (K, K + T + K): G, X̃ᵀY and L⁻¹
        squares = g[k:, k:].diagonal().copy()
        for i in range(k):
            # Where `fit` finds collinear columns, exact sums would tell them apart by their rounding alone.
            if fit.rank < k or work[i, i] << POINT <= LEAST_PIVOT * g[i, i]:
                raise InputError("refine needs columns that do not depend on others: set refine to false")
            squares -= work[i, k : k + targets] ** 2 // work[i, i]
            below = work[i + 1 :, i : i + 1]
            work[i + 1 :] -= below * work[i] // work[i, i]
        pivots = work.diagonal()[:k, None]
        right, inverse = work[:, k : k + targets], work[:, k + targets :]
        weights = (inverse.T @ ((right << POINT) // pivots)) >> POINT  # (K, T)
        weights, inverse = self._about_zero(weights), self._about_zero(inverse.T)
        scale = torch.exp2(self.exponents)
        rows = torch.cat([scale.new_ones(int(self.bias)), scale[:-targets]])[:, None]  # of x̃, (K, 1)
        theta = _floats(weights) / rows * scale[-targets:]
        b = None
        if self.bias:
            offsets = [_fixed(v) for v in (self.shift / scale)[-targets:].tolist()]
            b = _floats(weights[0] + np.array(offsets, dtype=object)) * scale[-targets:]
        return dataclasses.replace(
            fit,
            w=theta[1 if self.bias else 0 :].T,
            b=b,
            basis=_floats(inverse) / _floats(pivots).sqrt().T / rows,
            residual_squares=_floats(squares).clamp(min=0) * scale[-targets:].square(),
        )

    def _about_zero(self, rows: np.ndarray) -> np.ndarray:
        """Coefficients of the scaled columns, (K, …), with the bias moved from the means to zero."""
        if not self.bias:
            return rows
        shifts = (self.shift / torch.exp2(self.exponents)).tolist()[: len(rows) - 1]
        fixed = np.array([[_fixed(v)] for v in shifts], dtype=object)
        return np.concatenate([rows[:1] - ((fixed * rows[1:]).sum(0) >> POINT), rows[1:]])


def _identity(k: int) -> np.ndarray:
    return np.array([[int(i == j) << POINT for j in range(k)] for i in range(k)], dtype=object)


def _fixed(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return (numerator << POINT) // denominator


def _floats(fixed: np.ndarray) -> Tensor:
    one = 1 << POINT
    numbers = [value / one for value in fixed.ravel()]  # correctly rounded
    return torch.tensor(numbers, dtype=torch.float64).reshape(fixed.shape)
