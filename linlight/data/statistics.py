"""The statistic over several processes."""

from linlight.distributed import gather
from linlight.functional.statistic import Moments, merge


def merge_over_processes(mine: Moments) -> Moments:
    """The statistic of all processes' rows, equal to the bit on all of them; every process must call it."""
    return merge([Moments.load(state) for state in gather(mine.cpu().state_dict())])
