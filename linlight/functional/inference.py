"""Standard errors, t, p, confidence intervals, R² and F of a fit, classical and robust."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.special import fdtrc, stdtr, stdtrit
from torch import Tensor

from linlight.functional.solve import Optimum
from linlight.functional.statistic import Moments

ROBUST = ("HC0", "HC1", "HC2", "HC3")
EPS = torch.finfo(torch.float64).eps
LEAST_REST = 1e-10
"""A row whose leverage is 1 to within this counts as one of leverage 1."""
COEFFICIENT = ("estimate", "std_error", "t", "p", "ci_low", "ci_high")
"""What `summary.json` holds of a coefficient, besides its name."""


@dataclass(frozen=True)
class Inference:
    """The inference for one target of a fit; NaN where the data do not determine a figure.

    Attributes:
        estimates: Coefficients, the bias first where there is one, (K,).
        std_errors: (K,).
        t: Estimates over their standard errors, (K,).
        p: Two-sided p-values of Student's t, (K,).
        low: Lower ends of the 95 % intervals, (K,).
        high: Upper ends, (K,).
        degrees: Residual degrees of freedom.
        residual_sd: Residual standard deviation.
        r_squared: About the mean; about zero for a model without bias.
        adjusted: R² adjusted for the number of coefficients.
        f: The F statistic (Wald's, with robust standard errors) of all slopes being zero.
        f_degrees: Its first degrees of freedom; the second are `degrees`.
        f_p: Its p-value.
    """

    estimates: Tensor
    std_errors: Tensor
    t: Tensor
    p: Tensor
    low: Tensor
    high: Tensor
    degrees: int
    residual_sd: float
    r_squared: float
    adjusted: float
    f: float
    f_degrees: int
    f_p: float


@dataclass(frozen=True)
class Meat:
    """The middle of the sandwich of heteroscedasticity-robust standard errors, as sums over rows.

    Attributes:
        sums: Σ e² q qᵀ of each target, (T, rank, rank).
        void: Σ q qᵀ over the rows of leverage 1, (rank, rank): coefficients that depend on them have no HC2
            or HC3.
        rows: The number of those rows, ().
    """

    sums: Tensor
    void: Tensor
    rows: Tensor


def infer(
    m: Moments, fit: Optimum, target: int = 0, meat: Meat | None = None, hc: str = "", rows: int | None = None
) -> Inference:
    """Infers from a fit without penalty.

    Args:
        m: The statistic that was fitted.
        fit: Its optimum.
        target: The target's number.
        meat: For robust standard errors, the sums over all rows; see `robust_meat`.
        hc: The kind of robust standard errors, one of `ROBUST`.
        rows: The number of observations. Default: the statistic's rows.
    """
    bias = fit.b is not None
    estimates = fit.w[target] if fit.b is None else torch.cat([fit.b[target, None], fit.w[target]])
    rows = int(m.rows) if rows is None else rows
    degrees = rows - fit.rank
    squares = fit.residual_squares[target].item()
    variance = squares / degrees if degrees > 0 else math.nan
    core = variance * torch.eye(fit.rank, dtype=torch.float64) if meat is None else meat.sums[target]
    if hc == "HC1" and degrees > 0:
        core = core * (rows / degrees)
    void = void_coefficients(fit, meat)
    std_errors = torch.full_like(estimates, math.nan)
    if degrees > 0:  # rows that are all fitted exactly say nothing of their errors
        # Clamped before the root is taken: rounding may make the diagonal of a covariance of rank 0 negative.
        units, basis = _in_units(fit.basis)
        std_errors = units * ((basis @ core) * basis).sum(1).clamp(min=0).sqrt()
        std_errors[void] = math.nan
    t = estimates / std_errors
    reach = float(stdtrit(degrees, 0.975)) if degrees > 0 else math.nan

    total = m.triangle_of(bias).cpu()[:, m.features + target].square().sum().item()
    # A target that varies only by its rounding leaves nothing to explain. A fit with a bias is never worse
    # than the mean, but where both are exact, rounding could make R² negative.
    mean = m.mean[m.features + target].item()
    constant = total <= m.weight.item() * (EPS * mean) ** 2 if bias else total == 0
    r_squared = math.nan if constant else max(1 - squares / total, 0.0)
    slopes = fit.rank - bias
    adjusted = 1 - (1 - r_squared) * (rows - bias) / degrees if degrees > 0 else math.nan
    f = _wald(fit, estimates, core, bias) if slopes and degrees > 0 and not void[bias:].any() else math.nan
    return Inference(
        estimates=estimates,
        std_errors=std_errors,
        t=t,
        p=2 * torch.as_tensor(stdtr(max(degrees, 1), -t.abs().numpy())),
        low=estimates - reach * std_errors,
        high=estimates + reach * std_errors,
        degrees=degrees,
        residual_sd=math.sqrt(variance),
        r_squared=r_squared,
        adjusted=adjusted,
        f=f,
        f_degrees=slopes,
        f_p=float(fdtrc(slopes, degrees, f)) if math.isfinite(f) else (0.0 if f == math.inf else math.nan),
    )


def void_coefficients(fit: Optimum, meat: Meat | None) -> Tensor:
    """Which coefficients, (K,), depend on rows of leverage 1, so that their robust errors are unknown."""
    if meat is None:
        return torch.zeros(len(fit.basis), dtype=torch.bool)
    basis = _in_units(fit.basis)[1]
    return ((basis @ meat.void) * basis).sum(1) > 1e-10 * basis.square().sum(1)


def _in_units(basis: Tensor) -> tuple[Tensor, Tensor]:
    """A power of two for each coefficient, (K,), and the basis over them, (K, rank), safe to square."""
    if not basis.shape[1]:  # columns of nothing but zeros have none
        return basis.new_ones(len(basis)), basis
    units = basis.abs().amax(1).log2().floor().exp2()
    units = units.where(units > 0, 1.0)
    return units, basis / units[:, None]


def _wald(fit: Optimum, estimates: Tensor, core: Tensor, bias: bool) -> float:
    """gᵀ C⁻¹ g / slopes, where g are the slopes' coordinates in the basis and C is their covariance.

    NaN where a robust C is singular.
    """
    slopes = fit.basis[bias:, bias:]
    # Unscaled, the driver would take small rows for zero.
    units, slopes = _in_units(slopes)
    g = torch.linalg.lstsq(slopes, (estimates[bias:] / units)[:, None], driver="gelsd").solution
    core = core[bias:, bias:]
    if not core.any():
        return math.inf if g.any() else math.nan
    spread = torch.linalg.eigvalsh(core)
    if spread[0] <= len(g) * torch.finfo(core.dtype).eps * spread[-1]:  # rows are fitted exactly
        return math.nan
    square: float = (g.T @ torch.linalg.solve(core, g)).item()
    return square / len(g)


def robust_meat(
    x: Tensor,
    y: Tensor,
    fit: Optimum,
    hc: str,
    weight: Tensor | None = None,
    *,
    frequency: bool = False,
) -> Meat:
    """Sums e² q qᵀ over some rows for each target; such sums over all rows add up to the whole.

    q = x̃ L is a row in the basis, so |q|² is its leverage h. HC2 divides e² by 1 − h and HC3 by (1 − h)²,
    because a row with leverage draws the fit to itself, so that its residual e is smaller than its error.
    See MacKinnon and White, "Some heteroskedasticity-consistent covariance matrix estimators with improved
    finite sample properties", 1985.

    Args:
        x: Features, (N, D).
        y: Targets, (N, T).
        fit: The optimum over all rows.
        hc: One of `ROBUST`.
        weight: Weights with which the rows were fitted, (N,): each row and its residual are multiplied by
            their square root.
        frequency: Whether a weight counts equal rows instead, each with a residual and leverage of its own.
    """
    x, y = x.double(), y.double()
    w, basis = fit.w.to(x), fit.basis.to(x)
    if fit.b is None:
        residual, q = y - x @ w.T, x @ basis
    else:
        residual = y - x @ w.T - fit.b.to(x)
        q = x @ basis[1:] + basis[0]  # (N, rank)
    if weight is not None and not frequency:
        root = weight.to(x).sqrt()[:, None]
        residual, q = root * residual, root * q
    squares = residual.square()
    alone = torch.zeros(len(q), dtype=torch.bool, device=q.device)
    if hc in ("HC2", "HC3"):
        left = 1 - q.square().sum(1)
        # A row that alone determines a coefficient is fitted exactly: it has leverage 1 and no residual.
        alone = left <= LEAST_REST
        left = torch.where(alone, torch.inf, left)[:, None]
        squares = squares / (left if hc == "HC2" else left.square())
    if weight is not None and frequency:
        squares = weight.to(squares)[:, None] * squares
    sums = torch.stack([(q * e[:, None]).T @ q for e in squares.T])
    return Meat(sums, q[alone].T @ q[alone], alone.sum().to(q))


def as_json(names: Sequence[str], found: Inference) -> dict[str, Any]:
    """An inference as `summary.json` holds it, None where a figure is not finite.

    Args:
        names: The K coefficients' names, the bias first.
        found: The inference.

    Returns:
        `coefficients`, a list of K dictionaries, and the figures of the whole fit.
    """
    columns = (found.estimates, found.std_errors, found.t, found.p, found.low, found.high)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {
        "coefficients": [
            {"name": name} | dict(zip(COEFFICIENT, map(finite, row), strict=True))
            for name, row in zip(names, rows, strict=True)
        ],
        "residual_sd": finite(found.residual_sd),
        "r_squared": finite(found.r_squared),
        "adjusted_r_squared": finite(found.adjusted),
        "f": finite(found.f),
        "f_p": finite(found.f_p),
    }


def without_inference(names: Sequence[str], estimates: Tensor) -> list[dict[str, Any]]:
    """Coefficients, (K,), as in `as_json`, for a fit whose standard errors are unknown."""
    unknown = dict.fromkeys(COEFFICIENT)
    return [
        {"name": name} | unknown | {"estimate": value}
        for name, value in zip(names, estimates.tolist(), strict=True)
    ]


def finite(value: float) -> float | None:
    """The number, or None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None
