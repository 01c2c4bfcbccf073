"""What a sweep keeps of each of its runs."""

from dataclasses import dataclass


@dataclass
class Cell:
    """One run of a sweep.

    Attributes:
        method: Its class.
        batch_size: Rows per update.
        lr: Learning rate.
        largest_stable_step: Of this method, data and batch size; None where it is infinite.
        diverged: Whether it was stopped because its loss grew.
        gap: How far above the optimum's loss it ended, over how far it began; None where it diverged.
        epochs_to_tolerance: Epochs until that was a millionth; None where it never was.
    """

    method: str
    batch_size: int
    lr: float
    largest_stable_step: float | None = None
    diverged: bool = False
    gap: float | None = None
    epochs_to_tolerance: int | None = None
