"""Work shared between threads: the same bits, the same errors, the same warnings switched off."""

import threading

import numpy as np
import pytest

from scratchnet import Adam, MultiLayerNet, Samples, Trainer
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.optimizers.optimizer import SHARED
from scratchnet.sharing import share
from scratchnet.trainer import suggest_threads


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 2, 10])
def test_every_piece_is_done_once(threads, n):
    done = []
    share(done.append, list(range(n)), threads)
    assert sorted(done) == list(range(n))


def test_several_threads_work_at_once():
    meeting = threading.Barrier(2, timeout=10)
    share(lambda _: meeting.wait(), [0, 1], 2)  # hangs, and breaks, where they do not


def test_an_error_of_any_thread_is_raised_when_all_have_ended():
    done = []

    def work(piece):
        if piece in (0, 1):
            raise ValueError(piece)
        done.append(piece)

    with pytest.raises(ValueError, match=r"0|1"):
        share(work, [0, 1, 2, 3], 2)


def test_what_numpy_is_told_to_ignore_is_ignored_in_all_threads():
    large = np.full(4, 3e38, np.float32)
    with np.errstate(over="ignore"):
        share(lambda _: large * large, [0, 1], 2)  # a warning is an error in tests


@pytest.mark.parametrize("name", [n for n, kind in OPTIMIZERS.items() if not kind().full_batch])
def test_an_optimizer_gives_the_same_bits_with_any_number_of_threads(name, monkeypatch):
    monkeypatch.setattr("scratchnet.optimizers.optimizer.SHARED", 1)
    monkeypatch.setattr("scratchnet.optimizers.optimizer.BLOCK", 7)
    x = np.random.default_rng(0).normal(size=(40, 6))
    samples, found = Samples(x, np.arange(40) % 3), []
    for threads in (1, 2, 3):
        network = MultiLayerNet(6, [5], 3)
        trainer = Trainer(network, samples, optimizer=name, batch_size=10, threads=threads)
        assert trainer.optimizer.threads == threads
        list(trainer.run(3))
        found.append(network.vector.copy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_only_large_vectors_are_shared(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "scratchnet.optimizers.optimizer.share",
        lambda work, pieces, threads: asked.append(threads) or share(work, pieces, 1),
    )
    for n in (SHARED - 1, SHARED):
        optimizer, w = Adam(), np.zeros(n, np.float32)
        optimizer.threads = 2
        optimizer.update({"w": w}, {"w": w.copy()})
    assert asked == [1, 2]


@pytest.mark.parametrize(
    ("sizes", "batch", "processors", "threads"),
    [
        ((784, 100, 10), 128, 64, 1),
        ((784, 512, 10), 128, 64, 1),
        ((784, 1000, 10), 250, 64, 5),
        ((784, 1000, 10), 250, 2, 2),
        ((64, 10), 1, 8, 1),
    ],
)
def test_the_number_of_threads_goes_by_the_largest_product(
    sizes, batch, processors, threads, monkeypatch
):
    monkeypatch.setattr("scratchnet.trainer.processors", lambda: processors)
    network = MultiLayerNet(sizes[0], list(sizes[1:-1]), sizes[-1])
    assert suggest_threads(network, batch) == threads
    samples = Samples(np.zeros((300, sizes[0])), np.zeros(300, int))
    assert Trainer(network, samples, batch_size=batch).threads == threads
    assert Trainer(network, samples, batch_size=batch, threads=3).threads == 3
    assert Trainer(network, samples, batch_size=batch, threads=None).threads is None
