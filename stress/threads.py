"""Predictions from several threads: every one equal to what a thread alone gets.

python stress/threads.py --count 100000
"""

import os
import sys
import threading
import warnings
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from figures import Figure, run

from scratchnet import MultiLayerNet
from scratchnet.estimator import MLPClassifier

THREADS = 8
RNG = np.random.default_rng(0)
BATCHES = [RNG.normal(size=(n, 16)).astype("float32") for n in (1, 2, 5, 3, 8, 1)]


def subjects() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What predicts: a dense network, one with batch normalization, an estimator."""
    dense = MultiLayerNet(16, [20], 4)
    normed = MultiLayerNet(16, [20, 10], 4, batch_norm=True)
    x = RNG.normal(size=(200, 16)).astype("float32")
    normed.gradient(x, np.arange(200) % 4)
    model = MLPClassifier((10,), max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, np.arange(200) % 4)
    return {
        "dense network": dense.predict,
        "batch-norm network": normed.predict,
        "estimator": model.predict,
    }


def wrong_calls(predict: Callable[[np.ndarray], np.ndarray], threads: int, calls: int) -> int:
    """How many of `calls` in each of the threads give another result, or raise."""
    expected = [predict(x) for x in BATCHES]
    wrong = [0] * threads
    gate = threading.Barrier(threads)

    def work(number: int) -> None:
        gate.wait()
        for k in range(calls):
            which = (number + k) % len(BATCHES)
            try:
                wrong[number] += not np.array_equal(predict(BATCHES[which]), expected[which])
            except Exception:
                wrong[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(wrong)


def measure(count: int, seed: int) -> list[Figure]:
    """`count` predictions in each of THREADS threads, for each kind of model."""
    found = []
    for name, predict in subjects().items():
        wrong = wrong_calls(predict, THREADS, count)
        promise = f"{THREADS} threads predict with one {name}"
        found.append(Figure(promise, wrong, THREADS * count))
    return found


if __name__ == "__main__":
    sys.exit(run(measure, 100_000, __doc__))
