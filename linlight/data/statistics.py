"""Statistics of the training rows, computed once and merged over processes."""

from functools import cached_property

from torch import Tensor

from linlight.data.sources import ProcessInfo, Source
from linlight.distributed import gather
from linlight.errors import InputError
from linlight.functional.standardize import Standardizer
from linlight.functional.statistic import Moments, merge, reduced


def merge_over_processes(mine: Moments) -> Moments:
    """The statistic of all processes' rows, equal to the bit on all of them; every process must call it."""
    return merge([Moments.load(state) for state in gather(mine.cpu().state_dict())])


def constant_target(name: str, value: float) -> str:
    """The message about a target that is the same in every row."""
    return f"the target {name!r} is {value:g} in every row: there is nothing to learn"


class Statistics:
    """What is known of the rows to train on: their moments, mean weight, ranges, and a sample of them.

    All are in the data's own units. Every process must ask for the same.

    Args:
        source: The rows.
        target_names: The targets' names.
        counts_rows: Whether a weight is the number of rows that a row stands for.

    Attributes:
        place: Where they are measured.
    """

    place = ProcessInfo()

    def __init__(self, source: Source, target_names: list[str], *, counts_rows: bool = False) -> None:
        self._source = source
        self._target_names = target_names
        self._counts_rows = counts_rows

    @cached_property
    def moments(self) -> Moments:
        """The statistic of all rows to train on."""
        return self._source.moments(self.place)

    def scaled(self, scaling: Standardizer | None) -> Moments:
        """The statistic of standardised features."""
        return self.moments if scaling is None else scaling.moments(self.moments)

    def stand_in(self, scaling: Standardizer | None) -> tuple[Tensor, Tensor]:
        """A few rows of the same mean squared error as all of them, for every model; see `reduce`."""
        return reduced(self.scaled(scaling))

    @cached_property
    def mean_weight(self) -> float:
        """The mean weight of a row."""
        return float(self.moments.weight / self.moments.rows) if self._source.weighted else 1.0

    def observations(self, m: Moments) -> int:
        """The number of observations behind a statistic: its rows, or what their weights add up to."""
        return int((m.weight if self._counts_rows else m.rows).round())

    def ranges(self) -> tuple[Tensor, Tensor]:
        """The least and the greatest value of each feature, (D,) each."""
        return self._source.ranges(self.place)

    def sample(self, most: int) -> tuple[Tensor, Tensor]:
        """Some rows, x (n, D) and y (n, T), spread over all of them.

        Of a stream they are the first rows of some of its parts.
        """
        return self._source.sample(most)

    def check_not_constant(self, m: Moments) -> None:
        """Raises where a stream has no rows, or a target that is the same in every row."""
        if not m.rows:
            raise InputError("the table has no rows to train on: give at least one")
        spread = m.triangle[:, m.features :].abs().amax(dim=0)  # squares could underflow
        for name, size, mean in zip(self._target_names, spread, m.mean[m.features :], strict=True):
            if m.rows > 1 and size == 0:
                raise InputError(constant_target(name, float(mean)))
