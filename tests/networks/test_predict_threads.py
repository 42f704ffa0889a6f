"""Any number of threads may predict with one network or estimator."""

import threading

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from scratchnet import (
    Affine,
    Conv2D,
    ConvNet,
    GlobalAvgPool,
    MultiLayerNet,
    Network,
    Residual,
    SiLU,
)
from scratchnet.estimator import MLPClassifier

THREADS, CALLS = 6, 120
RNG = np.random.default_rng(0)
BATCHES = [RNG.normal(size=(n, 12)).astype("float32") for n in (1, 3, 40, 7, 200, 2)]


def together(work):
    """What goes wrong when `work(k)` runs in several threads at once, that many times each."""
    wrong, gate = [], threading.Barrier(THREADS)

    def run(number):
        gate.wait()
        for k in range(CALLS):
            try:
                if not work((number + k) % len(BATCHES)):
                    wrong.append("another result")
            except Exception as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def batch_norm():
    network = MultiLayerNet(12, [30, 20], 4, batch_norm=True, dropout=0.5)
    for _ in range(3):
        network.gradient(BATCHES[4], np.arange(200) % 4)
    return network


NETWORKS = {
    "dense": lambda: MultiLayerNet(12, [30, 20], 4),
    "batch norm": batch_norm,
    "every other layer": lambda: MultiLayerNet(
        12, [30, 20], 4, activation=["mish", "silu"], layer_norm=True, standardize="features"
    ),
    "images": lambda: ConvNet((3, 4), ["4x3p", "pool1x2", "5x2"], [6], 4, batch_norm=True),
    "residual": lambda: Network(
        [Residual([Conv2D(2, 3, padding="same"), SiLU()]), GlobalAvgPool(), Affine(4)],
        input_shape=(2, 3, 2),
    ),
    "layers of layers": lambda: Network([Affine(12, 9), SiLU(), Affine(9, 4)]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_threads_that_predict_at_once_get_what_one_alone_gets(name):
    network = NETWORKS[name]()
    expected = [network.predict(x) for x in BATCHES]
    assert together(lambda k: np.array_equal(network.predict(BATCHES[k]), expected[k])) == []


def test_threads_that_evaluate_at_once_get_what_one_alone_gets():
    network = batch_norm()
    labels = [np.arange(len(x)) % 4 for x in BATCHES]
    pairs = list(zip(BATCHES, labels, strict=True))
    expected = [(network.loss(*pair), network.accuracy(*pair)) for pair in pairs]
    found = together(
        lambda k: (network.loss(*pairs[k]), network.accuracy(*pairs[k])) == expected[k]
    )
    assert found == []


def test_threads_may_predict_with_one_estimator():
    model = MLPClassifier((8,), max_iter=3, random_state=0, batch_norm=True)
    with pytest.warns(ConvergenceWarning):
        model.fit(BATCHES[4], np.arange(200) % 3)
    expected = [model.predict_proba(x) for x in BATCHES]
    assert together(lambda k: np.array_equal(model.predict_proba(BATCHES[k]), expected[k])) == []


def test_another_thread_sees_the_weights_of_today():
    network = NETWORKS["dense"]()
    found = []

    def predict():
        found.append(network.predict(BATCHES[2]))

    for _ in range(2):
        thread = threading.Thread(target=predict)
        thread.start()
        thread.join()
        network.vector[:] *= 0.5
    network.vector[:] *= 2
    assert np.array_equal(found[1], network.predict(BATCHES[2]))
    assert not np.array_equal(found[0], found[1])
