"""A network at rest: its loss and accuracy on samples, and its running statistics."""

import numpy as np

from scratchnet.data import Batches, Samples
from scratchnet.networks import EVALUATION_ROWS, Network
from scratchnet.parallel.ranks import Parallel


def evaluate(network: Network, samples: Samples, ranks: Parallel) -> tuple[float, float]:
    """Mean loss, without the penalty, and accuracy; each of `ranks` takes some of the batches."""
    network = network.for_thread()
    sums = np.zeros(2)  # of the losses, and of the correct rows
    batches = Batches(samples, EVALUATION_ROWS, network.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for k, (x, t) in enumerate(batches.in_order(ranks.rank, ranks.size)):
            start = (ranks.rank + k * ranks.size) * EVALUATION_ROWS
            w = batches.weights(slice(start, start + len(t)))
            loss = network.forward(x, t, w) * len(t)
            sums += (loss, network.loss_layer.count_correct())
    ranks.all_reduce(sums)
    total, correct = sums.tolist()
    count = len(samples) if samples.weights is None else float(samples.weights.sum())
    return total / count, correct / len(samples)


def remeasure(network: Network, samples: Samples, count: int) -> None:
    """Compute the running statistics of the network from the first `count` of the samples."""
    samples = samples.first(min(count, len(samples)))
    pieces = -(-len(samples) // EVALUATION_ROWS)  # of one size, because all count alike
    batches = Batches(samples, -(-len(samples) // pieces), network.dtype)
    network._recompute_statistics(x for x, _ in batches.in_order())
