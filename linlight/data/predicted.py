"""A batch of predictions, with the places of its rows in the table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

SHOWN = 10


@dataclass
class Predicted:
    """The predictions of one process for one batch.

    Attributes:
        first: Where it begins in the table; rows from there up to `end` are dealt with by it.
        end: Where the next begins.
        rows: The rows' numbers, (B,).
        ids: Their id columns, a pyarrow table, or None.
        values: The predictions, (B, T).
        x: The features of the first few, (up to 10, D).
    """

    first: int
    end: int
    rows: np.ndarray
    ids: Any
    values: Tensor
    x: Tensor
