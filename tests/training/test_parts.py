"""Threads that share a batch of images are one thread, to rounding, and the same bits each time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from scratchnet import (
    ConvNet,
    MultiLayerNet,
    Network,
    Samples,
    Trainer,
    environment,
    make_augmentation,
)
from scratchnet.errors import DivergenceError
from scratchnet.layers import Affine, BatchNorm, Conv2D, Dropout, Layer, Residual, Tanh
from scratchnet.optimizers import OPTIMIZERS, make_optimizer
from scratchnet.parallel import Alone
from scratchnet.training.evaluation import evaluate
from scratchnet.training.parts import Meeting
from scratchnet.training.threads import choose_threads, count_parts, suggest_threads

RNG = np.random.default_rng(0)
BOUNDS = {"float32": 2e-5, "float64": 1e-12}


@pytest.fixture(autouse=True)
def four_processors(monkeypatch):
    """As many processors as the tests have parts."""
    monkeypatch.setattr("scratchnet.training.threads.os.cpu_count", lambda: 4)


def samples(n=53, seed=0, weights=False):
    """Images of 6x6 that a network can learn; 53 is a prime, so that no batch size divides it."""
    rng = np.random.default_rng(seed)
    t = rng.integers(0, 4, n)
    x = rng.integers(0, 128, (n, 36), np.uint8)
    x[np.arange(n), t * 7] = 255
    return Samples(x, t, 1 / 255, rng.random(n) * 2 if weights else None)


def make(dtype="float64", **options):
    return ConvNet((6, 6), ["4x3p", "pool2", "5x2"], [7], 4, dtype=dtype, seed=1, **options)


def train(threads, network=None, epochs=2, data=None, **options):
    options = {"optimizer": "momentum", "lr": 0.05, "batch_size": 10, "seed": 3, **options}
    network = make() if network is None else network
    trainer = Trainer(network, data or samples(), samples(31, 5), threads=threads, **options)
    for _ in trainer.run(epochs):
        pass
    return trainer


def assert_same(one, other, bound):
    for name, array in one.network.params.items():
        scale = max(float(np.abs(array).max()), 1e-3)
        assert np.abs(array - other.network.params[name]).max() <= bound * scale, name
    for name, array in one.network.statistics.items():
        np.testing.assert_allclose(array, other.network.statistics[name], rtol=bound, atol=bound)
    for mine, theirs in zip(one.history, other.history, strict=True):
        for name in ("loss", "accuracy", "penalty", "val_loss", "val_accuracy"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=bound), name


OPTIONS = {
    "plain": {},
    "l2": {"l2": 0.1},
    "batch norm": {"batch_norm": True},
    "batch norm, noise and dropout": {"batch_norm": True, "noise": 0.2, "dropout": 0.3},
    "layer norm": {"layer_norm": True},
    "max norm": {"max_norm": 1.0},
    "standardized": {"standardize": "all"},
    "prelu": {"activation": "prelu"},
    "class weights": {"class_weight": "balanced"},
    "mean squares": {"loss": "mean-squared-error", "labels": "integer"},
}


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_parts_are_one_thread_to_rounding_with_every_option(dtype, options, threads):
    one, other = (train(n, make(dtype, **options)) for n in (1, threads))
    assert (one.parts, other.parts) == (1, threads)
    assert_same(one, other, BOUNDS[dtype] * (50 if options.get("batch_norm") else 1))


def test_parts_see_layers_within_layers():
    def nested():
        block = [Conv2D(4, 3, padding="same", bias=False), BatchNorm(), Dropout(0.3), Tanh()]
        layers = [Conv2D(4, 3), Residual(block), Residual([Conv2D(6, 3, stride=2)]), Affine(4)]
        return Network(layers, input_shape=(6, 6), dtype="float64")

    one, other = (train(n, nested()) for n in (1, 3))
    assert_same(one, other, 1e-9)


COURSES = {
    "augmented": {"augment": {"shift": 1, "rotate": 20, "elastic": [2, 2], "erase": 0.5}},
    "one-cycle": {"schedule": "one-cycle"},
    "weights of samples": {"data": samples(weights=True)},
    "remeasured": {"remeasure": 30},
    "a last batch of one row": {"data": samples(41)},
    "fewer rows than threads": {"batch_size": 2, "lr": 0.001},
}


@pytest.mark.parametrize("options", COURSES.values(), ids=COURSES)
def test_parts_are_one_thread_to_rounding_in_every_course(options):
    found = []
    for threads in (1, 3):
        own = dict(options)
        if "augment" in own:
            own["augment"] = make_augmentation((6, 6), **own["augment"])
        found.append(train(threads, make(batch_norm=True), **own))
    assert_same(*found, 1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parts_are_one_thread_to_rounding_with_every_optimizer(name):
    size = None if make_optimizer(name).full_batch else 10
    one, other = (
        train(n, make(batch_norm=True), optimizer=name, lr=None, batch_size=size) for n in (1, 2)
    )
    assert_same(one, other, 1e-6)


def test_the_same_threads_give_the_same_bits():
    one, other = (train(2, make("float32", batch_norm=True, dropout=0.3)) for _ in range(2))
    assert np.array_equal(one.network.state_vector, other.network.state_vector)
    assert [e.val_loss for e in one.history] == [e.val_loss for e in other.history]


@pytest.mark.parametrize("stop", range(1, 13))
def test_training_is_resumed_to_the_bit_at_every_step(stop, tmp_path):
    class Enough(Exception):
        pass

    def watch(step, loss):
        if step == stop:
            trainer.save(tmp_path / "c.npz")
            raise Enough

    def fresh(**options):
        return Trainer(
            make("float32", batch_norm=True, dropout=0.3),
            samples(),
            samples(31, 5),
            optimizer="adam",
            batch_size=10,
            threads=2,
            **options,
        )

    whole, trainer = fresh(), fresh(on_step=watch)
    list(whole.run(2))
    with pytest.raises(Enough):
        list(trainer.run(2))
    again = fresh()
    assert again.resume(tmp_path / "c.npz") == []
    list(again.run(2 - again.epochs))
    assert np.array_equal(again.network.state_vector, whole.network.state_vector)
    assert again.history[-1].loss == whole.history[-1].loss


def test_another_number_of_threads_is_noted_when_resumed(tmp_path):
    train(2).save(tmp_path / "c.npz")
    other = Trainer(
        make(),
        samples(),
        samples(31, 5),
        optimizer="momentum",
        lr=0.05,
        batch_size=10,
        seed=3,
        threads=1,
    )
    notes = other.resume(tmp_path / "c.npz")
    assert any("parts" in note for note in notes)


def test_evaluation_gives_the_same_bits_for_any_number_of_threads():
    network, data = make("float32"), samples(997, weights=True)
    network.evaluation_rows = 50
    results = {evaluate(network, data, Alone(), threads) for threads in (1, 2, 3, 5)}
    assert len(results) == 1


class Failing(Layer):
    """A layer that fails in the part that does not begin the batch."""

    def forward(self, x, *, train=False):
        """Fail, or do nothing."""
        if train and self.shard is not None and self.shard.start > 0:
            raise ArithmeticError("a fault in a part")
        return x

    def input_grad(self, dout):
        """Return dout itself."""
        return dout


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_fault_in_one_part_ends_the_step_and_leaves_no_thread_behind(batch_norm):
    layers = [Conv2D(2, 3), Failing(), *([BatchNorm()] if batch_norm else []), Affine(4)]
    network = Network(layers, input_shape=(6, 6))
    before, threads = network.vector.copy(), threading.active_count()
    trainer = Trainer(network, samples(), threads=2, batch_size=10)
    with pytest.raises(ArithmeticError, match="a fault in a part"):
        list(trainer.run(1))
    assert np.array_equal(network.vector, before)
    assert threading.active_count() == threads


def test_a_network_that_diverges_in_parts_says_so():
    with pytest.raises(DivergenceError, match="not finite"), np.errstate(all="raise"):
        train(2, make("float32"), optimizer="sgd", lr=1e30, epochs=3)


def test_a_meeting_adds_in_the_order_of_the_parts():
    meeting, n = Meeting(3), 200
    arrays = [RNG.normal(size=4) * 10.0**k for k in range(3)]
    results = [[] for _ in arrays]

    def run(k):
        for _ in range(n):
            array = arrays[k].copy()
            meeting.sum_of(k)(array)
            results[k].append(array)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = arrays[0] + arrays[1] + arrays[2]
    assert all(np.array_equal(found, expected) for row in results for found in row)


def test_sizes_decide_how_many_threads_share_a_batch(monkeypatch):
    monkeypatch.setattr("scratchnet.training.threads.processors", lambda: 4)
    large = ConvNet((28, 28), ["16x5/2", "32x3", "pool2"], [], 10)
    assert suggest_threads(large, 200) == 4
    assert suggest_threads(large, 4) == 1
    assert suggest_threads(make(), 10) == 1
    assert count_parts(4, large, 1) == 4
    assert count_parts(4, large, 2) == 1
    assert count_parts(4, MultiLayerNet(784, [100], 10), 1) == 1
    assert count_parts(None, large, 1) == 1
    assert count_parts(10**30, large, 1) == 4
    assert choose_threads("auto", large, 100, 2) == 1


def test_blas_has_one_thread_where_threads_share_a_batch():
    assert Trainer(make(), samples(), threads=2).blas_threads == 1
    assert Trainer(MultiLayerNet(36, [5], 4), samples(), threads=2).blas_threads == 2


def blas_threads():
    return max(pool["threads"] for pool in environment.describe()["blas"])


def test_products_of_windows_have_one_thread_of_blas_whoever_calls(monkeypatch):
    seen = []
    multiply = np.matmul

    def watched(*arguments, **more):
        seen.append(blas_threads())
        return multiply(*arguments, **more)

    network, x = make("float32"), RNG.normal(size=(5, 36)).astype("float32")
    with environment.limit_threads(2):
        before = blas_threads()
        monkeypatch.setattr("scratchnet.layers.convolution.np.matmul", watched)
        network.predict(x)
        Conv2D.forward(network.layers[0], x)
        monkeypatch.undo()
        assert blas_threads() == before
    assert 1 in seen


def test_many_threads_inside_of_one_limit_leave_blas_as_it_was():
    before = blas_threads()

    def work():
        for _ in range(300):
            with environment.limit_threads(1):
                assert blas_threads() == 1

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work) for _ in range(6)]:
            future.result()
    assert blas_threads() == before
