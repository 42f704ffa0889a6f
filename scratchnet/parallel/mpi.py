"""The ranks of MPI: processes that `mpiexec` started together, by mpi4py."""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchnet.checks import check_word
from scratchnet.errors import ParameterError, ScratchnetError
from scratchnet.parallel.ranks import BATCH_STATS, Shard, T
from scratchnet.parameters import Array

PATIENCE = 2.0
"""Seconds that a rank which fails waits for the others to fail too, before it ends them."""
DRAIN = 0.2
"""Seconds in which the launcher passes on what was said, before it hears that all is over."""
LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE"),  # MPICH and what comes from it
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)
"""The variables in which launchers tell a process its rank and how many there are."""


class MPIGradients:
    """The ranks of an MPI communicator, for example `mpi4py.MPI.COMM_WORLD`.

    `batch_stats` is "all" where batch normalization measures whole batches, which costs four small
    sums for each such layer and step, or "rank" where each rank measures its own rows, which is
    quicker and another, noisier, network; the running statistics are then the mean over all rows.

    >>> from mpi4py import MPI
    >>> trainer = Trainer(network, train, parallel=MPIGradients(MPI.COMM_WORLD))

    Run it as `mpiexec -n 2 python -m mpi4py script.py`, which ends all ranks where one fails.
    Raises ParameterError for another word.
    """

    def __init__(self, comm: Any, batch_stats: str = "all") -> None:
        self.comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self.batch_stats = check_word("batch_stats", batch_stats, BATCH_STATS)
        # Where the communicator is from, so that mpi4py is imported by those alone who have it.
        modules = (sys.modules[kind.__module__] for kind in type(comm).__mro__)
        self._mpi: Any = next(module for module in modules if hasattr(module, "IN_PLACE"))
        self._shards: dict[int, Shard] = {}
        self._leaving = comm.Dup()  # apart, so that it fits whatever the others are in
        self.check_equal({"batch_stats": batch_stats})

    def shard(self, n: int) -> Shard:
        """Rows n r / size to n (r + 1) / size: no rank has two more than another."""
        if n not in self._shards:
            start, stop = (n * r // self.size for r in (self.rank, self.rank + 1))
            whole = self.all_reduce if self.batch_stats == "all" else None
            self._shards[n] = Shard(start, stop, n, whole)
        return self._shards[n]

    def all_reduce(self, array: Array) -> None:
        """One Allreduce, in place; `array` must be contiguous."""
        self.comm.Allreduce(self._mpi.IN_PLACE, array)

    def largest(self, value: int) -> int:
        """The largest of the values of all ranks."""
        found = np.array([value])
        self.comm.Allreduce(self._mpi.IN_PLACE, found, op=self._mpi.MAX)
        return int(found[0])

    def check_equal(self, values: Mapping[str, Any]) -> None:
        """Compare with rank 0; the error names what differs, and one rank where it does."""
        everyone = self.comm.allgather({name: _plain(value) for name, value in values.items()})
        for rank, theirs in enumerate(everyone):
            for name in dict.fromkeys((*everyone[0], *theirs)):
                if theirs.get(name) != everyone[0].get(name):
                    raise ParameterError(
                        f"all ranks must have the same {name}, rank {rank} has "
                        f"{_short(theirs.get(name))}, rank 0 {_short(everyone[0].get(name))}; "
                        "start all of them with the same arguments, code, data and libraries"
                    )

    def broadcast(self, make: Callable[[], T]) -> T:
        """The result of `make()` on rank 0, or its error, on every rank; the others do not call it.

        Only a ScratchnetError is handed on; of anything else rank 0 dies, and all with it.
        """
        outcome: Any = None
        if self.rank == 0:
            try:
                outcome = make()
            except ScratchnetError as error:
                outcome = error
        outcome = self.comm.bcast(outcome, root=0)
        if isinstance(outcome, ScratchnetError):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    def all_leave(self, hurry: bool) -> bool:
        """Whether every rank has come to its end; in a hurry, within PATIENCE seconds."""
        request = self._leaving.Ibarrier()
        if not hurry:
            request.Wait()
            return True
        end = time.monotonic() + PATIENCE
        while not (left := bool(request.Test())) and time.monotonic() < end:
            time.sleep(0.01)
        return left

    def finalize(self) -> None:
        """The end of MPI in this process, after which its exit status means no more than it says.

        Without it `python -m mpi4py` takes every status but 0 for a failure of this rank alone.
        """
        self._mpi.Finalize()

    def abort(self, code: int) -> None:
        """End all ranks, with this exit status."""
        sys.stderr.flush()
        time.sleep(DRAIN)
        self.comm.Abort(code)


def mpi_world() -> MPIGradients:
    """All the ranks that were started together; a process by itself is the only one.

    Raises ParameterError if there is no mpi4py or no MPI, or the launcher is of another one.
    """
    try:
        import mpi4py
    except ImportError as error:
        raise ParameterError(
            "--parallel mpi needs mpi4py and an MPI, and there is no mpi4py here; `pip install "
            "mpi4py mpich`, or mpi4py beside the MPI of your cluster"
        ) from error
    if "mpi4py.MPI" not in sys.modules:  # so that the launcher is looked at before MPI begins
        mpi4py.rc(initialize=False, finalize=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of another launcher: we say it below
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ParameterError(
            f"--parallel mpi found mpi4py, but no MPI to go with it: {reason}; install one that it "
            "finds, for example `pip install mpich`"
        ) from error
    name, started = MPI.get_vendor()[0], launched()
    if not MPI.Is_initialized():
        foreign = name != "Open MPI" and "OMPI_COMM_WORLD_SIZE" in os.environ
        if foreign and started is not None:  # MPI would end the process, with words of its own
            raise _another_launcher(started[1], "runs on", name)
        MPI.Init_thread()
    size = MPI.COMM_WORLD.Get_size()
    if started is not None and started[1] != size:
        raise _another_launcher(started[1], f"sees {size} and runs on", name)
    return MPIGradients(MPI.COMM_WORLD)


def _another_launcher(started: int, found: str, name: str) -> ParameterError:
    return ParameterError(
        f"{started} processes were started together, but mpi4py {found} {name}, which has another "
        "launcher; use the mpiexec that came with it"
    )


def launched() -> tuple[int, int] | None:
    """Rank and number of processes, as a launcher told them; None where there was none.

    Known before anything of MPI is loaded, and not proof of it.
    """
    for rank, size in LAUNCHERS:
        try:
            return int(os.environ[rank]), int(os.environ[size])
        except (KeyError, ValueError):
            continue
    return None


def launched_here() -> int:
    """How many of the processes that were started together are on this machine; 1 if unknown."""
    for name in ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE"):
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    return 1


def _plain(value: Any) -> str:
    """The value as text, equal for equal values."""
    return json.dumps(value, sort_keys=True, default=str)


def _short(text: str | None) -> str:
    """The text, or where it is long its beginning."""
    text = "none" if text is None else text
    return text if len(text) <= 60 else f"{text[:57]}..."
