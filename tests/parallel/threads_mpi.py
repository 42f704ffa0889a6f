"""A communicator whose ranks are threads: what scratchnet uses of mpi4py, where there is no MPI.

Reductions go from rank 0 upwards, so results are the same from run to run. `run_ranks` starts the
threads; where one of them fails the others are told, as `mpiexec` would, instead of waiting.
"""

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

IN_PLACE = object()
SUM, MAX = np.add, np.maximum
SECONDS = 60
"""A rank that waits longer than that for the others is taken for a deadlock."""


class _Room:
    """What the ranks have in common."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=SECONDS)
        self.places: list[Any] = [None] * size


class ThreadComm:
    """One rank of a communicator of threads."""

    def __init__(self, room: _Room, rank: int) -> None:
        self._room, self._rank = room, rank
        self.calls: list[str] = []

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return len(self._room.places)

    def Dup(self) -> "ThreadComm":
        return self

    def Allreduce(self, sendbuf: Any, array: Any, op: Any = SUM) -> None:
        assert sendbuf is IN_PLACE
        assert array.flags.c_contiguous
        self.calls.append(f"Allreduce {array.dtype} {array.size}")
        parts = self.allgather(array)
        total = parts[0]
        for part in parts[1:]:
            total = op(total, part)
        array[...] = total

    def allgather(self, value: Any) -> list[Any]:
        self._room.barrier.wait()
        self._room.places[self._rank] = copy.deepcopy(value)
        self._room.barrier.wait()
        found = list(self._room.places)
        self._room.barrier.wait()
        return found

    def bcast(self, value: Any, root: int = 0) -> Any:
        return self.allgather(value)[root]

    def Ibarrier(self) -> "ThreadComm":
        return self

    def Wait(self) -> None:
        self._room.barrier.wait()

    def Test(self) -> bool:
        self.Wait()
        return True

    def fail(self) -> None:
        """Let all others know that this rank does not come."""
        self._room.barrier.abort()


def run_ranks(size: int, work: Callable[[ThreadComm], Any]) -> list[Any]:
    """What `work(comm)` returns on each of `size` ranks; raises what the lowest to fail raised."""
    room = _Room(size)
    results: list[Any] = [None] * size
    failures: dict[int, BaseException] = {}

    def run(rank: int) -> None:
        comm = ThreadComm(room, rank)
        try:
            results[rank] = work(comm)
        except threading.BrokenBarrierError as error:  # another rank failed, which says why
            failures[rank + size] = error
        except BaseException as error:
            failures[rank] = error
            comm.fail()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[min(failures)]
    return results


def Finalize() -> None:
    """Nothing: threads end by themselves."""
