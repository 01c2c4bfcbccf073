"""The notes' programs, less their printing: the oracle of the five methods."""

from collections.abc import Iterator

import torch

X = [1.0, 2.0, 3.0]
Y = [2.0, 4.0, 6.0]


def exhaustive_search() -> list[tuple[float, float]]:
    """Every candidate of `np.arange(0.0, 4.1, 0.1)` with its mean squared error."""
    curve = []
    for i in range(41):
        w = i * 0.1
        total = 0.0
        for x, y in zip(X, Y, strict=True):
            total += (x * w - y) * (x * w - y)
        curve.append((w, total / 3))
    return curve


def gradient_descent(epochs: int = 100) -> Iterator[tuple[float, float]]:
    """The loss before and w after every epoch."""
    w = 1.0
    for _ in range(epochs):
        cost = 0.0
        grad = 0.0
        for x, y in zip(X, Y, strict=True):
            cost += (x * w - y) ** 2
            grad += 2 * x * (x * w - y)
        w -= 0.01 * (grad / len(X))
        yield cost / len(X), w


def stochastic_gradient_descent(epochs: int = 100) -> Iterator[tuple[list[float], float, float]]:
    """The gradients of the samples, and the loss of the last and w after every epoch."""
    w = 1.0
    for _ in range(epochs):
        grads = []
        loss = 0.0
        for x, y in zip(X, Y, strict=True):
            grad = 2 * x * (x * w - y)
            w -= 0.01 * grad
            grads.append(grad)
            loss = (x * w - y) ** 2
        yield grads, loss, w


def backpropagation(epochs: int = 100) -> Iterator[tuple[float, float]]:
    """The loss of the last sample before its update, and w after, every epoch."""
    w = torch.tensor([1.0], requires_grad=True)
    for _ in range(epochs):
        last = 0.0
        for x, y in zip(X, Y, strict=True):
            loss = (x * w - y) ** 2
            loss.backward()
            assert w.grad is not None
            w.data -= 0.01 * w.grad.data
            w.grad.data.zero_()
            last = loss.item()
        yield last, w.item()


def linear_regression(seed: int, epochs: int = 100) -> tuple[float, float, float]:
    """The last loss, w and b of the fifth program."""
    torch.manual_seed(seed)
    x, y = torch.tensor(X)[:, None], torch.tensor(Y)[:, None]
    model = torch.nn.Linear(1, 1)
    criterion = torch.nn.MSELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss = torch.zeros(())
    for _ in range(epochs):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), model.weight.item(), model.bias.item()
