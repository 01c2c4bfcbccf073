"""The mathematics against autograd, finite differences and plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from linlight.functional.descent import largest_stable_step
from linlight.functional.squared_error import candidate_squared_errors, check_same_shape, squared_error_sums
from linlight.functional.statistic import moments

sizes = st.integers(min_value=1, max_value=5)


def problem(n: int, d: int, t: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x, y, w, b = (
        torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((n, d), (n, t), (t, d), (t,))
    )
    return x, y, w, b


@given(sizes, sizes, sizes, st.integers(0, 10**6), st.booleans())
@settings(max_examples=50, deadline=None)
def test_gradient_agrees_with_autograd(n: int, d: int, t: int, seed: int, bias: bool) -> None:
    x, y, w, b = problem(n, d, t, seed)
    w.requires_grad_()
    b.requires_grad_(bias)
    loss = (x @ w.T + (b if bias else 0) - y).square().sum()
    loss.backward()
    with torch.no_grad():
        error, grad_w, grad_b = squared_error_sums(x, y, w, b if bias else None)
    torch.testing.assert_close(error, loss.detach())
    torch.testing.assert_close(grad_w, w.grad)
    if bias:
        torch.testing.assert_close(grad_b, b.grad)


def test_gradient_agrees_with_central_differences() -> None:
    x, y, w, b = problem(7, 3, 2, seed=1)
    _, grad_w, grad_b = squared_error_sums(x, y, w, b)
    h = 1e-6
    for parameter, gradient in ((w, grad_w), (b, grad_b)):
        for index in range(parameter.numel()):
            step = torch.zeros(parameter.numel(), dtype=torch.float64)
            step[index] = h
            step = step.reshape(parameter.shape)
            up, down = (
                squared_error_sums(x, y, *((w + s, b) if parameter is w else (w, b + s)))[0]
                for s in (step, -step)
            )
            assert gradient.flatten()[index].item() == pytest.approx(((up - down) / (2 * h)).item(), rel=1e-7)


def test_candidates_agree_with_one_at_a_time() -> None:
    x, y, _, _ = problem(1000, 2, 3, seed=2)
    w = torch.randn(500, 2, dtype=torch.float64)  # so many that the rows are taken in several blocks
    b = torch.randn(500, dtype=torch.float64)
    sums = candidate_squared_errors(x, y, w, b)
    for c in (0, 1, 499):
        expected = (x @ w[c] + b[c])[:, None] - y
        torch.testing.assert_close(sums[:, c], expected.square().sum(0))


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 2), (2, 1)])
def test_shapes_that_would_broadcast_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit targets"):
        check_same_shape(torch.zeros(shape), torch.zeros(3, 1))


@pytest.mark.parametrize(("bias", "total"), [(False, False), (True, False), (False, True), (True, True)])
def test_stable_step_separates_convergence_from_divergence(bias: bool, total: bool) -> None:
    x, y, w0, b0 = problem(20, 3, 2, seed=3)
    stable = largest_stable_step(moments(x, y), bias, total)
    scale = 1 if total else y.numel()

    def loss_after(lr: float) -> float:
        w, b = w0.clone(), b0.clone()
        for _ in range(3000):
            _, grad_w, grad_b = squared_error_sums(x, y, w, b if bias else None)
            w -= lr / scale * grad_w
            b -= lr / scale * grad_b * bias
        return squared_error_sums(x, y, w, b if bias else None)[0].item()

    assert loss_after(0.99 * stable) < 1e3
    assert not loss_after(1.01 * stable) < 1e9


def test_stable_step_of_the_textbook() -> None:
    x = torch.tensor([[1.0], [2.0], [3.0]])
    assert largest_stable_step(moments(x, 2 * x), bias=False) == pytest.approx(3 / 14)
    assert largest_stable_step(moments(0 * x, x), bias=False) == float("inf")
