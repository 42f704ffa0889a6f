"""Processes that fork after threads have shared their training: each child trains, and none hangs.

python stress/forks.py [--count 1000]
"""

import os
import signal
import sys
import warnings
from collections.abc import Sequence

import numpy as np
from figures import Figure, run

from scratchnet import MultiLayerNet, Samples, Trainer

SECONDS = 20


def trainer() -> Trainer:
    """A Trainer whose batches two threads share."""
    x = np.random.default_rng(0).standard_normal((600, 300)).astype("float32")
    network = MultiLayerNet(300, [130, 70], 4, seed=1)
    return Trainer(network, Samples(x, np.arange(600) % 4), batch_size=300, threads=2)


def measure(count: int, seed: int) -> Sequence[Figure]:
    """Fork so often; `seed` has no part in it."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: a fork beside threads
    before = trainer()
    list(before.run(1))
    hung = wrong = 0
    for _ in range(count):
        child = os.fork()
        if not child:
            signal.alarm(SECONDS)
            other = trainer()
            list(other.run(1))
            same = np.array_equal(other.network.vector, before.network.vector)
            os._exit(0 if same else 1)
        _, status = os.waitpid(child, 0)
        hung += os.WIFSIGNALED(status)
        wrong += os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
    return [
        Figure("a child that trains after a fork does not hang", hung, count),
        Figure("it comes to the same weights", wrong, count),
    ]


if __name__ == "__main__":
    sys.exit(run(measure, 1000, __doc__))
