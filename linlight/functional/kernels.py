"""Gradient descent compiled by numba: many updates in one call, without PyTorch's cost per operation.

Importing this takes a third of a second, and the first call compiles once for each type of numbers (kept in
numba's cache), so it is imported only where updates are many. The readable reference is
`linlight.methods.gradient_descent`; the two agree to rounding.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

Numbers = np.ndarray
# Sums may be reordered and fused; `inf` and `nan` keep their meaning, because they end a training.
_SUMS = {"reassoc", "contract"}


# Not fused, as PyTorch's `w -= lr * grad` is not; without this, the caller's rules would apply.
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

    The last batch's gradient is returned for the caller to step with, so the weights do not depend on where
    a block of batches ends. All arrays are C-contiguous and of one type.

    Args:
        x: Features, (N, D).
        y: Targets, (N, T).
        weight: How many times each row counts, (N,), or of length 0 where each counts once.
        w: Weights, (T, D), updated in place.
        b: Bias, (T,), updated in place, or of length 0 where there is none.
        grad_w: Receives the last batch's gradient in w, (T, D).
        grad_b: Receives the last batch's gradient in b, (T,), also where there is no bias.
        size: Rows in a batch; the last may have fewer.
        mean_weight: The mean weight of a row; a batch's loss is divided by it, its rows and its targets.
        lr: Learning rate, of the arrays' type.

    Returns:
        The weighted sum of the squared errors, each at the weights before its batch's update.
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


CACHE_LINE = 64
"""Bytes that are fetched from memory at a time."""
AHEAD = 32
"""How many rows ahead of the copying a row is fetched: with fewer, the copying waits for memory."""


@intrinsic
def _fetch(context: Any, rows: Any, i: Any, j: Any) -> Any:
    """Begins to fetch `rows[i, j]` into the cache, without waiting for it: `llvm.prefetch`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, *place = arguments
        kind = signature.args[0]
        view = context.make_array(kind)(context, builder, array)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        item: Any = cgutils.get_item_pointer
        pointer = item(context, builder, kind, view, place, wraparound=False)
        of_type = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], of_type)
        # Its arguments: to read, to be kept in all caches, data rather than instructions.
        builder.call(prefetch, [builder.bitcast(pointer, byte), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp), generate


@njit(cache=True, nogil=True)
def gather(rows: Numbers, numbers: Numbers, chosen: Numbers) -> None:
    """Copies the rows of (N, D) that `numbers`, (n,), name into `chosen`, (n, D)."""
    step = max(1, CACHE_LINE // rows.itemsize)
    for i in range(numbers.size):
        if i + AHEAD < numbers.size:
            coming = numbers[i + AHEAD]
            for j in range(0, rows.shape[1], step):
                _fetch(rows, coming, j)  # type: ignore[call-arg]
        row = numbers[i]
        for j in range(rows.shape[1]):
            chosen[i, j] = rows[row, j]
