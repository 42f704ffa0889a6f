"""What a step costs, in counts and not in time: allocations, NumPy calls, passes over memory."""

import gc
import tracemalloc
from collections import Counter
from typing import ClassVar

import numpy as np
import pytest

from scratchnet import MultiLayerNet, Samples, Trainer, functions
from scratchnet.layers import activations, affine, losses
from scratchnet.optimizers import OPTIMIZERS, make_optimizer
from scratchnet.parameters import BLOCK
from scratchnet.training import Batch

SIZES = (784, 100, 10)
BATCH = 128
RNG = np.random.default_rng(0)
IMAGES = Samples(
    RNG.integers(0, 256, (1000, SIZES[0]), dtype=np.uint8), RNG.integers(0, 10, 1000), 1 / 255
)


def make(optimizer="adam", **options):
    network = MultiLayerNet(SIZES[0], list(SIZES[1:-1]), SIZES[-1], **options)
    return Trainer(network, IMAGES, IMAGES.first(500), optimizer=optimizer, batch_size=BATCH)


def steps(trainer, n):
    """Steps as the Trainer makes them, from gathering to update."""
    for k in range(n):
        trainer.step(Batch(*trainer.batches.gather(np.arange(k, k + BATCH))))


def traced():
    """Blocks and bytes of arrays that are there."""
    gc.collect()
    arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    found = tracemalloc.take_snapshot().filter_traces([arrays]).statistics("filename")
    return sum(one.count for one in found), sum(one.size for one in found)


@pytest.fixture
def tracing():
    tracemalloc.start()
    yield
    tracemalloc.stop()


OPTIONS = {
    "plain": {},
    "batch norm": {"batch_norm": True},
    "dropout": {"dropout": 0.5, "input_dropout": 0.2},
    "noise": {"noise": 0.1, "input_noise": 0.1},
    "max-norm": {"max_norm": 1.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_after_the_first_steps_no_array_is_added(options, tracing):
    trainer = make(**options)
    steps(trainer, 5)
    before = traced()
    steps(trainer, 20)
    assert traced() == before


@pytest.mark.parametrize("name", [n for n, kind in OPTIMIZERS.items() if not kind().full_batch])
def test_no_optimizer_adds_an_array_after_its_first_steps(name, tracing):
    trainer = make(name)
    steps(trainer, 5)
    before = traced()
    steps(trainer, 5)
    assert traced() == before


def test_a_check_that_an_added_array_is_noticed(tracing):
    trainer, leak = make(), []
    trainer.on_step = lambda step, loss: leak.append(np.zeros(10))
    steps(trainer, 5)
    before = traced()
    for _ in trainer.run(1):
        pass
    assert traced() != before


def test_a_step_needs_room_for_the_optimizers_blocks_and_a_few_batches_of_outputs(tracing):
    trainer = make()
    steps(trainer, 5)
    gc.collect()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    steps(trainer, 5)
    _, peak = tracemalloc.get_traced_memory()
    temporaries = 3 * 4 * BLOCK  # of Adam's rule, float32
    assert peak - before <= temporaries + 20 * 4 * BATCH * SIZES[-1] + 20_000


def test_training_has_room_for_its_vectors_and_buffers_and_no_more(tracing):
    next(make().run(1))  # what is read once in a process, as the formulas of loops
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    trainer = make()
    for _ in trainer.run(2):
        pass
    peak = tracemalloc.get_traced_memory()[1] - before
    vectors = 4 * 4 * trainer.network.vector.size  # w, g, m, v
    batches = BATCH * (SIZES[0] * 5 + sum(SIZES[1:]) * 4 * 4)  # pixels as bytes and as floats
    evaluation = 500 * (SIZES[0] * 4 + sum(SIZES[1:]) * 4 * 3)
    epoch = 3 * 8 * len(IMAGES)  # the order of an epoch, and what it is ranked by
    assert peak <= 1.25 * (vectors + batches + evaluation + epoch + 3 * 4 * BLOCK)


def test_evaluation_leaves_the_memory_of_training_alone():
    trainer = make()
    steps(trainer, 2)
    kept = [
        (layer, name, array, array.copy())
        for layer in trainer.network.layers
        for name, array in layer._apart[True].items()
    ]
    assert len(kept) >= 4
    trainer.evaluate(IMAGES)
    trainer.network.predict(IMAGES[:][0])
    for layer, name, array, before in kept:
        assert layer._apart[True][name] is array
        np.testing.assert_array_equal(array, before)
        assert len(array) == BATCH


class Counted(np.ndarray):
    """An array that counts the element-wise operations it takes part in."""

    counts: ClassVar[Counter] = Counter()

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        Counted.counts[ufunc.__name__] += 1
        plain = [np.asarray(x) if isinstance(x, Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) for x in out)
        found = getattr(ufunc, method)(*plain, **options)
        return out[0] if out is not None else found.view(Counted)


PASSES = {
    "sgd": 2,
    "momentum": 4,
    "nesterov": 7,
    "adagrad": 7,
    "rmsprop": 9,
    "adam": 12,
    "adamw": 12,
    "lion": 9,
}


@pytest.mark.parametrize(("name", "passes"), PASSES.items())
def test_a_rule_passes_over_memory_so_many_times(name, passes):
    optimizer = make_optimizer(name)
    arrays = [np.ones(10, np.float32).view(Counted) for _ in range(2 + len(optimizer.slots))]
    optimizer.step = 1
    Counted.counts = Counter()
    optimizer.rule(*arrays)
    assert Counted.counts.total() == passes, Counted.counts


class Spy:
    """NumPy, with a count of the functions that are called."""

    def __init__(self):
        self.calls = Counter()

    def __getattr__(self, name):
        found = getattr(np, name)
        if not callable(found) or isinstance(found, type):
            return found

        def counted(*values, **options):
            self.calls[name] += 1
            return found(*values, **options)

        return counted


def test_a_step_calls_numpy_so_many_times_and_makes_no_product_that_nobody_needs(monkeypatch):
    trainer = make()
    steps(trainer, 1)
    spies = {}
    for module in (affine, functions, activations, losses):
        spies[module] = Spy()
        monkeypatch.setattr(module, "np", spies[module])
    steps(trainer, 1)
    # Forward: x W and h W. Backward: x^T dout, h^T dout, and dout W^T but for the first layer.
    products = spies[functions].calls["matmul"] + spies[affine].calls["matmul"]
    assert products == 2 + 2 + 1
    assert spies[affine].calls.total() <= 9
    assert spies[activations].calls.total() <= 5
    assert spies[losses].calls.total() <= 15
