"""Training that processes share: the protocol that the Trainer knows, and MPI behind it."""

from scratchnet.parallel.mpi import (
    MPIGradients,
    launched,
    launched_here,
    mpi_world,
)
from scratchnet.parallel.ranks import BATCH_STATS, Alone, Parallel, Part, fingerprint

__all__ = [
    "BATCH_STATS",
    "Alone",
    "MPIGradients",
    "Parallel",
    "Part",
    "fingerprint",
    "launched",
    "launched_here",
    "mpi_world",
]
