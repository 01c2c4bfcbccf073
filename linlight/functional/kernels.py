"""Descent compiled: many updates in one call, where PyTorch's cost per operation dominates.

Importing this takes a third of a second, and the first call compiles once for each type of numbers (kept in
numba's cache); so it is imported where rows are many. The readable reference is
`linlight.methods.gradient_descent`, whose numbers these are to rounding.
"""

import numpy as np
from numba import njit

Numbers = np.ndarray
# Sums may be taken in any order and fused; `inf` and `nan` keep their meaning, for they end a training.
_SUMS = {"reassoc", "contract"}


# Not fused, as PyTorch's `w -= lr * grad` is not; unsaid, the caller's rules would hold.
@njit(cache=True, fastmath=False)
def _move(w: Numbers, grad: Numbers, lr: float) -> None:
    for i in range(w.size):
        w.flat[i] -= lr * grad.flat[i]


@njit(cache=True, nogil=True, fastmath=_SUMS, error_model="numpy")
def descend(
    x: Numbers,
    y: Numbers,
    weight: Numbers,
    w: Numbers,
    b: Numbers,
    grad_w: Numbers,
    grad_b: Numbers,
    size: int,
    mean_weight: float,
    lr: float,
) -> float:
    """Takes a step of gradient descent on the mean squared error after each batch but the last.

    All arrays are C-contiguous and of one type. The gradient of the last batch is left to the caller, so that
    where a block of batches ends leaves no trace in the numbers.

    Args:
        x: Features, (N, D).
        y: Targets, (N, T).
        weight: How many times each row counts, (N,); of length 0: once.
        w: Weights, (T, D), moved in place.
        b: Bias, (T,), moved in place; of length 0: none.
        grad_w: Filled with the last batch's gradient in w, (T, D).
        grad_b: Filled with the last batch's gradient in b, (T,), used or not.
        size: Rows in a batch; the last may have fewer.
        mean_weight: What a batch's gradient is divided by, for each of its rows and targets.
        lr: Learning rate, of the arrays' type.

    Returns:
        The sum of the squared errors, each at the weights before its batch's update.
    """
    rows, features = x.shape
    targets = y.shape[1]
    error = 0.0
    for first in range(0, rows, size):
        end = min(first + size, rows)
        scale = x.dtype.type(2 / ((end - first) * mean_weight * targets))
        for i in range(first, end):
            counts = weight[i] if weight.size else x.dtype.type(1)
            for t in range(targets):
                residual = x.dtype.type(0)
                for j in range(features):
                    residual += x[i, j] * w[t, j]
                if b.size:
                    residual += b[t]
                residual -= y[i, t]
                error += counts * residual * residual
                slope = counts * scale * residual
                if i == first:
                    for j in range(features):
                        grad_w[t, j] = slope * x[i, j]
                    grad_b[t] = slope
                else:
                    for j in range(features):
                        grad_w[t, j] += slope * x[i, j]
                    grad_b[t] += slope
        if end < rows:
            _move(w, grad_w, lr)
            if b.size:
                _move(b, grad_b, lr)
    return error
