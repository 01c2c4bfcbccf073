"""The methods that `--model` knows by their short names, in the order of the notes; then ours."""

from linlight.backpropagation import Backpropagation
from linlight.base import LinearModel
from linlight.exhaustive_search import ExhaustiveSearch
from linlight.gradient_descent import GradientDescent
from linlight.least_squares import LeastSquares
from linlight.linear_regression import LinearRegression

METHODS: dict[str, type[LinearModel]] = {
    method.__name__: method
    for method in (ExhaustiveSearch, GradientDescent, Backpropagation, LinearRegression, LeastSquares)
}
