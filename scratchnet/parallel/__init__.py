"""Training that processes share: the protocol that the Trainer knows, and MPI behind it."""

from scratchnet.parallel.mpi import (
    MPIGradients,
    fingerprint,
    launched,
    launched_here,
    mpi_world,
)
from scratchnet.parallel.ranks import BATCH_STATS, Parallel, Part

__all__ = [
    "BATCH_STATS",
    "MPIGradients",
    "Parallel",
    "Part",
    "fingerprint",
    "launched",
    "launched_here",
    "mpi_world",
]
