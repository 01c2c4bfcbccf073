"""The methods that `--model` knows by their short names, in the order of the notes; then ours."""

from linlight.methods.backpropagation import Backpropagation
from linlight.methods.base import LinearModel
from linlight.methods.exhaustive_search import ExhaustiveSearch
from linlight.methods.gradient_descent import GradientDescent
from linlight.methods.least_squares import LeastSquares
from linlight.methods.linear_regression import LinearRegression

METHODS: dict[str, type[LinearModel]] = {
    method.__name__: method
    for method in (ExhaustiveSearch, GradientDescent, Backpropagation, LinearRegression, LeastSquares)
}
