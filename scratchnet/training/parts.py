"""A batch in parts, each the work of a thread with memory of its own.

It is the scheme of ranks within one process: NumPy lets other threads run while it computes, so two
threads with one thread of BLAS each share a batch of images better than one with two. Gradients and
statistics are added in the order of the parts, so that the same number gives the same bits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, Self

import numpy as np

from scratchnet.networks import Network
from scratchnet.networks.views import training_view
from scratchnet.parallel.ranks import Shard
from scratchnet.parameters import Array
from scratchnet.training.sharing import Batch


class PartError(RuntimeError):
    """Another part has failed, so that there is nothing to wait for."""


class Parts:
    """`n` threads that share the batches of a network, this one being the first.

    Inside of its `with` the others are there; they see the layers as they were at its beginning.
    """

    def __init__(self, network: Network, n: int) -> None:
        self.network, self.n = network, n
        self._networks: list[Network] = []
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        others = range(1, self.n)
        self._networks = [self.network, *(training_view(self.network) for _ in others)]
        self._threads = ThreadPoolExecutor(len(others)) if others else None
        return self

    def __exit__(self, *error: object) -> None:
        if self._threads is not None:
            self._threads.shutdown()
        self._networks, self._threads = [], None

    def forward_backward(
        self, batch: Batch, noise: Callable[[], np.random.Generator] | None
    ) -> tuple[float, int]:
        """Mean loss and correct rows of the batch; its gradient is in `gradient_vector` then.

        `noise` makes the generator that layers draw from.
        """
        n = min(self.n, len(batch.t))
        if n < 2 or self._threads is None:
            return _pass(self.network, batch, noise)
        meeting = Meeting(n)
        ends = [len(batch.t) * k // n for k in range(n + 1)]
        shards = [
            Shard(start, stop, ends[-1], meeting.sum_of(k))
            for k, (start, stop) in enumerate(pairwise(ends))
        ]
        work = [partial(self._part, k, batch, shard, noise) for k, shard in enumerate(shards)]
        waiting = [self._threads.submit(meeting.guard, part) for part in work[1:]]
        try:
            own = meeting.guard(work[0])
        except PartError:
            for future in waiting:
                future.result()  # raises what has failed there
            raise
        found = [own, *(future.result() for future in waiting)]
        for other in self._networks[1:n]:
            self.network.gradient_vector += other.gradient_vector
        return sum(loss for loss, _ in found), sum(right for _, right in found)

    def _part(
        self, k: int, batch: Batch, shard: Shard, noise: Callable[[], np.random.Generator] | None
    ) -> tuple[float, int]:
        """What part k adds to the mean loss of the batch, and its correct rows."""
        own = Batch(
            batch.x[shard.rows],
            batch.t[shard.rows],
            None if batch.w is None else batch.w[shard.rows],
            shard,
        )
        with np.errstate(over="ignore", invalid="ignore"):  # as the Trainer's, in each thread
            loss, right = _pass(self._networks[k], own, noise)
        return shard.share * loss, right


def _pass(
    network: Network, batch: Batch, noise: Callable[[], np.random.Generator] | None
) -> tuple[float, int]:
    """Mean loss and correct rows of these rows; their share of the gradient is in the network."""
    if noise is not None:
        network._set_rng(noise())
    if batch.shard is not None:
        network._set_shard(batch.shard)
    try:
        loss = network.forward(batch.x, batch.t, batch.w, train=True)
        right = network.loss_layer.count_correct()
        network.backward(batch.share)
    finally:
        if batch.shard is not None:
            network._set_shard(None)
    return loss, right


class Meeting:
    """Sums over parts that run at the same time, each of which calls for the same ones."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._between: list[list[SimpleQueue[Any]]] = [
            [SimpleQueue() for _ in range(n)] for _ in range(n)
        ]

    def sum_of(self, k: int) -> Callable[[Array], None]:
        """What part k calls to have an array summed over all parts, in place."""
        return partial(self._sum, k)

    def _sum(self, k: int, array: Array) -> None:
        own = array.copy()
        for j in range(self._n):
            self._between[k][j].put(own)
        found = [self._between[j][k].get() for j in range(self._n)]
        if any(one is None for one in found):
            raise PartError("another part of the batch failed")
        array[...] = sum(found[1:], found[0])

    def guard(self, work: Callable[[], Any]) -> Any:
        """The result of `work`; if it fails, no other part waits for it."""
        try:
            return work()
        except BaseException:
            for row in self._between:
                for queue in row:
                    queue.put(None)
            raise
