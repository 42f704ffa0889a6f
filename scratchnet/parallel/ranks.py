"""Data-parallel training: every batch is shared between processes, the ranks, as in MPI.

The loss of a batch of B rows is a mean over rows. Where rank r has B_r of them and the gradient g_r
of their mean loss, that of the batch is

    g = sum over r of (B_r / B) g_r,

one sum over all ranks of a vector the size of the parameters. Each rank then makes the same update,
so that parameters never have to be sent. The Trainer knows `Parallel`, and nothing of MPI.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from scratchnet.parameters import Array

BATCH_STATS = ("all", "rank")
"""What batch normalization measures: all rows of a batch, or those of each rank by themselves."""


@dataclass(frozen=True)
class Part:
    """Rows `start` to `stop` of a batch of `total`: those of one rank, which may be none."""

    start: int
    stop: int
    total: int
    add_up: Callable[[Array], object] | None = None
    """Adds an array up over all ranks, in place, for what is measured of the whole batch; None
    where each rank measures its own rows."""

    @property
    def rows(self) -> slice:
        """The rows, as an index."""
        return slice(self.start, self.stop)

    @property
    def share(self) -> float:
        """B_r / B."""
        return (self.stop - self.start) / self.total


class Parallel(Protocol):
    """What the Trainer needs of the ranks; every rank makes the same calls in the same order."""

    rank: int
    """Which one this is: 0 to size - 1."""
    size: int
    """How many there are."""
    batch_stats: str
    """What batch normalization measures, a word of BATCH_STATS."""

    def part(self, n: int) -> Part:
        """The rows of a batch of n that are this rank's."""

    def add_up(self, array: Array) -> None:
        """Add `array` up over all ranks, in place; the result has the same bits on each."""

    def agree(self, values: Mapping[str, Any]) -> None:
        """Raise ParameterError, on every rank, where they do not all have the same values."""
