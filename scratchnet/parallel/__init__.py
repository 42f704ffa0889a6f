"""Training that processes share: the protocol that the Trainer knows, and MPI behind it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scratchnet.parallel.ranks import BATCH_STATS, Alone, Parallel, Shard, fingerprint

if TYPE_CHECKING:
    from scratchnet.parallel.mpi import MPIGradients, launched, launched_here, mpi_world

OF_MPI = ("MPIGradients", "launched", "launched_here", "mpi_world")
"""Names that are imported when they are used: most processes have no ranks."""

__all__ = [
    "BATCH_STATS",
    "Alone",
    "MPIGradients",
    "Parallel",
    "Shard",
    "fingerprint",
    "launched",
    "launched_here",
    "mpi_world",
]


def __getattr__(name: str) -> Any:
    if name not in OF_MPI:
        raise AttributeError(f"module 'scratchnet.parallel' has no attribute {name!r}")
    return getattr(import_module("scratchnet.parallel.mpi"), name)
