"""How rows are divided at random into those for training, validation and testing.

Rows in memory are shuffled and cut, so that the fractions hold exactly. Of a stream, whose rows may not be
counted yet, each row is drawn by itself, so that they hold nearly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from linlight.errors import InputError

NAMES = {"train": "training", "val": "validation", "test": "test"}
"""What the kinds of rows are called in what is printed."""


@dataclass(frozen=True)
class Split:
    """Fractions of the rows.

    Attributes:
        seed: Seed of the division, and of shuffling.
        val: Fraction of the rows kept for validation.
        test: Fraction of the rows kept for testing.
    """

    seed: int = 0
    val: float = 0.0
    test: float = 0.0

    @property
    def held_back(self) -> float:
        """The fraction that is not trained on."""
        return self.val + self.test

    @property
    def fractions(self) -> dict[str, float]:
        """The fractions kept, by kind."""
        return {"val": self.val, "test": self.test}

    def divided(self, weight: Tensor | None, rows: int) -> dict[str, Tensor | None]:
        """Divides rows whose number is known.

        Args:
            weight: Their weights, (N,), if they have any; a row of weight 0 is of no kind.
            rows: N.

        Returns:
            The numbers of the rows, in order, of each kind that has any: `train`, `val`, `test` and `all`;
            None for every row.

        Raises:
            InputError: If a kind would have none.
        """
        counted = None if weight is None or weight.all() else weight.nonzero()[:, 0]
        n = rows if counted is None else len(counted)
        if not n:
            raise InputError("all weights are 0: there are no rows to train on")
        if not self.held_back:
            return {"all": counted, "train": counted}
        sizes = {"test": round(n * self.test), "val": round(n * self.val)}
        sizes["train"] = n - sum(sizes.values())
        self.check(sizes)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(self.seed))
        order = order if counted is None else counted[order]
        parts = dict(zip(sizes, order.split(list(sizes.values())), strict=True))
        return {"all": counted} | {kind: part.sort().values for kind, part in parts.items() if len(part)}

    def check(self, sizes: Mapping[str, int]) -> None:
        """Checks that there are rows of each kind that is asked for.

        Args:
            sizes: Number of rows for `train`, `val` and `test`.

        Raises:
            InputError: If there are none.
        """
        n = sum(sizes.values())
        if not sizes["train"]:
            raise InputError(f"the split leaves no rows to train on: {n:,} rows are too few for it")
        for kind, fraction in self.fractions.items():
            if fraction and not sizes[kind]:
                raise InputError(
                    f"{kind}_fraction {fraction} of {n:,} rows comes to no row: raise it, or set it to 0"
                )

    def drawn(self, numbers: np.ndarray, kind: str) -> np.ndarray:
        """Whether each row is of a kind, (N,), by its number, (N,), and the seed alone."""
        u = uniform(numbers, self.seed)
        low, high = {
            "test": (0.0, self.test),
            "val": (self.test, self.held_back),
            "train": (self.held_back, 1.0),
        }[kind]
        found: np.ndarray = (u >= low) & (u < high)
        return found


def uniform(numbers: np.ndarray, seed: int) -> np.ndarray:
    """For each whole number another in [0, 1), that looks random and depends on it and the seed alone.

    The mixing is that of SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.

    Args:
        numbers: Whole numbers, (N,).
        seed: The seed.

    Returns:
        (N,) in float64.
    """
    (start,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    with np.errstate(over="ignore"):
        z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    found: np.ndarray = (z >> np.uint64(11)) * 2.0**-53
    return found
