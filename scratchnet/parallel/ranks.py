"""Data-parallel training: every batch is shared between processes, the ranks, as in MPI.

The loss of a batch of B rows is a mean over rows. If rank r has B_r of them, and the gradient g_r
of their mean loss, the gradient of the batch is

    g = sum over r of (B_r / B) g_r,

one sum over all ranks of a vector the size of the parameters. Each rank then makes the same update,
so that parameters are never sent. The Trainer knows `Parallel`, and nothing of MPI.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from scratchnet.parameters import Array

T = TypeVar("T")

BATCH_STATS = ("all", "rank")
"""The rows that batch normalization measures: those of the whole batch, or each rank its own."""


@dataclass(frozen=True)
class Shard:
    """Rows `start` to `stop` of a batch of `total`: those of one rank, which may be none."""

    start: int
    stop: int
    total: int
    all_reduce: Callable[[Array], object] | None = None
    """Sums an array over all ranks, in place, for layers that measure the whole batch; None if
    each rank measures its own rows."""

    @property
    def rows(self) -> slice:
        """The rows, as an index."""
        return slice(self.start, self.stop)

    @property
    def share(self) -> float:
        """B_r / B."""
        return (self.stop - self.start) / self.total


class Parallel(Protocol):
    """The ranks, as training needs them; every rank makes the same calls in the same order."""

    @property
    def rank(self) -> int:
        """The number of this rank: 0 to size - 1."""

    @property
    def size(self) -> int:
        """The number of ranks."""

    @property
    def batch_stats(self) -> str:
        """The rows that batch normalization measures, a word of BATCH_STATS."""

    def shard(self, n: int) -> Shard | None:
        """The rows of a batch of n that are this rank's; None if all of them are."""

    def all_reduce(self, array: Array) -> None:
        """Sum `array` over all ranks, in place; the result has the same bits on each."""

    def check_equal(self, values: Mapping[str, Any]) -> None:
        """Raise ParameterError, on every rank, unless all ranks have the same values."""


class Alone:
    """One process, rank 0 of 1: it has every row, and nobody to exchange anything with."""

    rank = 0
    size = 1
    batch_stats = "all"

    def shard(self, n: int) -> None:
        """None: all rows of a batch are its own."""

    def all_reduce(self, array: Array) -> None:
        """Nothing: the sum over one rank is the array."""

    def check_equal(self, values: Mapping[str, Any]) -> None:
        """Nothing: there is no other rank to differ from."""

    def largest(self, value: int) -> int:
        """`value`."""
        return value

    def broadcast(self, make: Callable[[], T]) -> T:
        """`make()`."""
        return make()


def fingerprint(array: Array) -> str:
    """A few digits that are equal for equal arrays, and almost never for different ones."""
    return f"fingerprint {zlib.crc32(array.data):08x}"
