"""A network at rest: its loss and accuracy on samples, and its running statistics."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import zip_longest

import numpy as np

from scratchnet.data import Batches, Samples
from scratchnet.networks import Network
from scratchnet.parallel.ranks import Parallel
from scratchnet.parameters import Array


def evaluate(
    network: Network, samples: Samples, ranks: Parallel, threads: int = 1
) -> tuple[float, float]:
    """Mean loss, without the penalty, and accuracy; each of `ranks` takes some of the batches.

    So do the `threads` of a rank; the sums are the same to the bit for any number of them.
    """
    rows, every = network.evaluation_rows, ranks.size * threads

    def visit(thread: int) -> list[tuple[float, int]]:
        """The sum of the losses, and the correct rows, of each batch of a thread."""
        own = network.for_thread()
        batches = Batches(samples, rows, own.dtype)
        first = ranks.rank * threads + thread
        found = []
        with np.errstate(over="ignore", invalid="ignore"):
            for k, (x, t) in enumerate(batches.in_order(first, every)):
                start = (first + k * every) * rows
                w = batches.weights(slice(start, start + len(t)))
                loss = own.forward(x, t, w) * len(t)
                found.append((loss, own.loss_layer.count_correct()))
        return found

    with ThreadPoolExecutor(threads - 1) if threads > 1 else nullcontext() as pool:
        others = [] if pool is None else [pool.submit(visit, k) for k in range(1, threads)]
        each = [visit(0), *(future.result() for future in others)]
    sums = np.zeros(2)
    for together in zip_longest(*each):
        for pair in filter(None, together):
            sums += pair
    ranks.all_reduce(sums)
    total, correct = sums.tolist()
    count = len(samples) if samples.weights is None else float(samples.weights.sum())
    return total / count, correct / len(samples)


def remeasure(network: Network, samples: Samples, count: int) -> None:
    """Compute the running statistics of the network from the first `count` of the samples."""
    samples = samples.first(min(count, len(samples)))
    pieces = -(-len(samples) // network.evaluation_rows)  # of one size, because all count alike
    batches = Batches(samples, -(-len(samples) // pieces), network.dtype)
    recompute_statistics(network, (x for x, _ in batches.in_order()))


def recompute_statistics(network: Network, batches: Iterable[Array]) -> None:
    """Take running statistics from these inputs (N, D) alone, undisturbed, as evaluation is."""
    for layer in network.all_layers:
        layer.reset_statistics()
        layer.noisy = False
    try:
        for x in batches:
            for layer in network.layers:
                x = layer.forward(x, train=True)
    finally:
        for layer in network.all_layers:
            layer.noisy = True
