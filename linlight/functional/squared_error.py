"""The mathematics of the squared error, as pure functions.

Conventions of the whole package: N rows, D features, T targets; `x` is (N, D), `y` is (N, T), `w` is
(T, D), `b` is (T,), and the prediction is `x @ w.T + b`, (N, T), as in `torch.nn.Linear`. The mean
squared error is the mean over all N·T residuals, as in `torch.nn.MSELoss`.
"""

import torch
from torch import Tensor


def check_same_shape(y_hat: Tensor, y: Tensor) -> None:
    """Raises unless predictions and targets have the same two-dimensional shape.

    (N,) against (N, 1) would broadcast to (N, N) and train, silently, to a wrong answer.

    Args:
        y_hat: Predictions, (N, T).
        y: Targets, (N, T).

    Raises:
        ValueError: If the shapes differ or are not two-dimensional.
    """
    if y_hat.shape != y.shape or y_hat.ndim != 2:
        raise ValueError(
            f"predictions of shape {tuple(y_hat.shape)} do not fit targets of shape {tuple(y.shape)}: "
            "both must be (rows, targets); use y.reshape(-1, 1) for a single target"
        )


def squared_error_sums(
    x: Tensor, y: Tensor, w: Tensor, b: Tensor | None = None, weight: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Squared error and its gradient, summed over the rows, by the formula.

    For one row and one target the loss is (x·w + b − y)², so by the chain rule its derivative with
    respect to w is 2·x·(x·w + b − y), and with respect to b it is 2·(x·w + b − y). Sums, rather than
    means, can be added over batches and processes; divide them by N·T for the mean squared error.

    Args:
        x: Features, (N, D).
        y: Targets, (N, T).
        w: Weights, (T, D).
        b: Bias, (T,), or None for none.
        weight: How many times each row counts, (N,); once, by default.

    Returns:
        The sum of the squared residuals, (); its gradient in w, (T, D); its gradient in b, (T,).

    Raises:
        ValueError: If the prediction and `y` differ in shape.

    Examples:
        >>> x, y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])
        >>> squared_error_sums(x, y, w=torch.tensor([[1.0]]))
        (tensor(14.), tensor([[-28.]]), tensor([-12.]))
    """
    y_hat = x @ w.T  # (N, T)
    if b is not None:
        y_hat = y_hat + b
    check_same_shape(y_hat, y)
    residual = y_hat - y  # (N, T)
    if weight is None:
        return residual.square().sum(), 2 * (residual.T @ x), 2 * residual.sum(0)
    weighted = residual * weight[:, None]  # (N, T)
    return (weighted * residual).sum(), 2 * (weighted.T @ x), 2 * weighted.sum(0)


def candidate_squared_errors(
    x: Tensor, y: Tensor, w: Tensor, b: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Squared error of every candidate, summed over the rows: all candidates at once.

    Args:
        x: Features, (N, D).
        y: Targets, (N, T).
        w: Candidate weights, (C, D).
        b: Candidate biases, (C,).
        weight: How many times each row counts, (N,); once, by default.

    Returns:
        (T, C): for each target, the sum of squared residuals of each candidate.
    """
    sums = torch.zeros(y.shape[1], len(w), dtype=y.dtype, device=y.device)
    # Rows are taken in blocks, so that the (rows, C) residuals stay within the processor's cache.
    rows = max(1, 2**18 // len(w))
    tensors = (x, y) if weight is None else (x, y, weight[:, None])
    for xs, ys, *ws in zip(*(tensor.split(rows) for tensor in tensors), strict=True):
        y_hat = torch.addmm(b, xs, w.T)  # (rows, C)
        for target in range(y.shape[1]):
            squares = (y_hat - ys[:, target, None]).square_()
            sums[target] += (squares.mul_(*ws) if ws else squares).sum(0)
    return sums
