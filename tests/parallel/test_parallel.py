"""Ranks that share batches are one process, to rounding: with threads in the place of MPI."""

import copy
import json

import numpy as np
import pytest
from threads_mpi import run_ranks

from scratchnet import ConvNet, MultiLayerNet, Samples, Trainer, make_augmentation
from scratchnet.data import Batches
from scratchnet.errors import DivergenceError, OutputError, ParameterError
from scratchnet.layers import Affine, BatchNorm, Dropout, PReLU
from scratchnet.networks import Network
from scratchnet.optimizers import OPTIMIZERS, make_optimizer
from scratchnet.parallel import MPIGradients, Shard
from scratchnet.training import EarlyStopping

RANKS = (2, 3, 4)
BOUNDS = {"float32": 1e-5, "float64": 1e-12}
"""How far apart parameters may be after an epoch, as `difference` has it."""


def samples(n=97, width=36, classes=5, seed=0, weights=False):
    """Images of 6x6 that a network can learn; 97 is a prime, so that no batch size divides it."""
    rng = np.random.default_rng(seed)
    t = rng.integers(0, classes, n)
    x = rng.integers(0, 128, (n, width), np.uint8)
    x[np.arange(n), t * 7] = 255
    return Samples(x, t, 1 / 255, rng.random(n) * 2 if weights else None)


def network(dtype="float64", hidden=(16, 12), classes=5, conv=(), **options):
    if conv:
        return ConvNet((6, 6), conv, list(hidden), classes, dtype=dtype, seed=1, **options)
    return MultiLayerNet(36, list(hidden), classes, dtype=dtype, seed=1, **options)


def train(make, comm=None, epochs=1, batch_stats="all", **options):
    """A Trainer that has run so many epochs of a network of its own, alone or as a rank."""
    made = make()
    options = {"optimizer": "momentum", "lr": 0.05, "batch_size": 20, "seed": 3, **options}
    options["augment"] = copy.deepcopy(options.get("augment"))  # which keeps memory of its own
    data, validation = options.pop("data", None), options.pop("validation", None)
    parallel = None if comm is None else MPIGradients(comm, batch_stats)
    trainer = Trainer(made, data or samples(), validation, parallel=parallel, **options)
    for _ in trainer.run(epochs):
        pass
    return trainer


def difference(one, other):
    """How far apart the parameters of two networks are: |a - b| / |b|."""
    a, b = one.network.vector, other.network.vector
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def statistics_differ(one, other):
    """The largest difference in any array that layers have measured, relative to its largest."""
    return max(
        (
            np.abs(one.network.statistics[name] - array).max() / np.abs(array).max()
            for name, array in other.network.statistics.items()
        ),
        default=0.0,
    )


def same_course(make, size, bound, **options):
    """Assert that one process and `size` ranks come to the same, and all ranks to the same bits."""
    serial = train(make, **options)
    shared = run_ranks(size, lambda comm: train(make, comm, **options))
    for trainer in shared:
        assert np.array_equal(trainer.network.state_vector, shared[0].network.state_vector)
        assert difference(serial, trainer) < bound
        assert statistics_differ(serial, trainer) < bound
        for mine, theirs in zip(trainer.history, serial.history, strict=True):
            for name in ("loss", "accuracy", "penalty", "val_loss", "val_accuracy", "lr"):
                value = getattr(theirs, name)
                assert getattr(mine, name) == (
                    None if value is None else pytest.approx(value, rel=bound, abs=bound)
                ), name
    assert difference(serial, Start(make)) > 10 * bound  # it did train
    return shared


class Start:
    """A network before any training, in the place of a Trainer."""

    def __init__(self, make):
        self.network = make()


NETWORKS = {
    "plain": {},
    "L2": {"l2": 0.1},
    "dropout": {"dropout": 0.4, "input_dropout": 0.1},
    "noise": {"noise": 0.3, "input_noise": 0.1},
    "batch norm": {"batch_norm": True},
    "batch norm without gamma": {"batch_norm": True, "gamma": False},
    "batch norm, noise and dropout": {"batch_norm": True, "noise": 0.2, "dropout": 0.3},
    "layer norm": {"layer_norm": True},
    "max norm": {"max_norm": 1.0},
    "standardized": {"standardize": "features"},
    "prelu": {"activation": "prelu"},
    "mean squared error": {"loss": "mean-squared-error", "labels": "integer"},
    "binary cross-entropy": {"loss": "binary-cross-entropy", "labels": "integer"},
    "class weights and smoothing": {
        "class_weight": [1, 2, 0.5, 1, 3],
        "label_smoothing": 0.1,
    },
    "balanced": {"class_weight": "balanced"},
    "images": {"conv": ["4x3p", "pool2", "5x2"]},
    "images, batch norm of channels": {"conv": ["4x3p", "pool2", "5x2"], "batch_norm": True},
    "images, noise and dropout": {"conv": ["4x3p", "avg2"], "noise": 0.2, "dropout": [0.2] * 3},
}


@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_ranks_are_one_process_to_rounding_with_every_layer_and_loss(dtype, options, size):
    same_course(lambda: network(dtype, **options), size, BOUNDS[dtype])


COURSES = {
    "momentum": {},
    "augmented": {
        "augment": make_augmentation(
            (6, 6), shift=1, rotate=20, scale=0.2, shear=0.2, elastic=[2, 2], erase=0.5
        )
    },
    "shifted alone": {"augment": make_augmentation((6, 6), shift=2)},
    "in order": {"shuffle": False},
    "one-cycle": {"schedule": "one-cycle"},
    "plateau": {"schedule": "plateau", "validation": samples(1501, seed=5)},
    "weights of samples": {"data": samples(weights=True), "validation": samples(31, weights=True)},
    "remeasured": {"remeasure": 50},
    "clipped": {"clip_norm": 0.5},
    "a batch of all": {"batch_size": 500},
    "a last batch of one row": {"data": samples(41)},
    "as many rows as ranks": {"batch_size": 4, "data": samples(21)},
}


@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("options", COURSES.values(), ids=COURSES)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_ranks_are_one_process_to_rounding_in_every_course(options, batch_norm, size):
    def make():
        return network(batch_norm=batch_norm)

    same_course(make, size, BOUNDS["float64"] * (100 if batch_norm else 1), epochs=3, **options)


@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_ranks_are_one_process_to_rounding_with_every_optimizer(dtype, name, size):
    full = make_optimizer(name).full_batch
    options = {"optimizer": name, "lr": None, "batch_size": None if full else 20}
    same_course(lambda: network(dtype), size, BOUNDS[dtype], **options)


@pytest.mark.parametrize("size", RANKS)
def test_averages_and_early_stopping_are_those_of_one_process(size):
    validation = samples(61, seed=9)

    def course(comm=None):
        parallel = None if comm is None else MPIGradients(comm)
        trainer = Trainer(
            network(dropout=0.3),
            samples(),
            validation,
            optimizer="ema",
            lr=0.3,
            batch_size=20,
            decay=0.9,
            parallel=parallel,
        )
        stopping = EarlyStopping(trainer.network, patience=2)
        for epoch in trainer.run(40):
            if stopping.should_stop(epoch):
                break
        stopping.restore_best()
        return trainer, stopping.best_epoch

    serial, best = course()
    assert serial.epochs < 40
    for trainer, theirs in run_ranks(size, course):
        assert (trainer.epochs, theirs) == (serial.epochs, best)
        assert difference(serial, trainer) < 1e-10


def test_the_same_ranks_give_the_same_bits_twice():
    def course(comm):
        return train(lambda: network("float32", batch_norm=True, dropout=0.3), comm, epochs=3)

    one, other = (run_ranks(3, course)[1] for _ in range(2))
    assert np.array_equal(one.network.state_vector, other.network.state_vector)
    assert [e.loss for e in one.history] == [e.loss for e in other.history]


def test_one_rank_is_one_process_to_the_bit():
    alone = run_ranks(1, lambda comm: (train(network, comm), comm.calls))[0]
    assert np.array_equal(alone[0].network.vector, train(network).network.vector)
    assert alone[1] == []  # nothing is sent


def test_a_step_sends_the_gradient_once_and_two_numbers():
    def course(comm):
        trainer = train(lambda: network("float32"), comm)
        return trainer, comm.calls

    trainer, calls = run_ranks(2, course)[0]
    assert calls == [f"Allreduce float32 {trainer.network.vector.size}", "Allreduce float64 2"] * 5


def test_each_rank_computes_its_share_of_the_rows_only():
    seen = []

    class Counted(Affine):
        def forward(self, x, *, train=False):
            seen.append(len(x))
            return super().forward(x, train=train)

    run_ranks(4, lambda comm: train(lambda: Network([Counted(36, 5)]), comm, data=samples(46)))
    assert sorted(seen) == [1, 1, 2, 2] + [5] * 8


@pytest.mark.parametrize("n", [1, 3, 4, 20, 97])
def test_parts_of_a_batch_cover_it_once_and_evenly(n):
    parts = run_ranks(4, lambda comm: MPIGradients(comm).shard(n))
    rows = [range(n)[part.rows] for part in parts]
    assert [row for own in rows for row in own] == list(range(n))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    assert sum(part.share for part in parts) == pytest.approx(1.0)


# Batch normalization by rank.


@pytest.mark.parametrize("size", RANKS)
def test_statistics_of_each_rank_are_another_network_with_equal_statistics_everywhere(size):
    def course(comm, stats):
        return train(lambda: network(batch_norm=True), comm, epochs=2, batch_stats=stats)

    every = run_ranks(size, lambda comm: course(comm, "all"))
    own = run_ranks(size, lambda comm: course(comm, "rank"))
    for trainer in own:
        assert np.array_equal(trainer.network.state_vector, own[0].network.state_vector)
        assert trainer.history[-1].accuracy > 0.3
    assert difference(every[0], own[0]) > 1e-4


def test_statistics_of_each_rank_send_nothing_within_a_layer():
    def calls(stats):
        return run_ranks(
            2, lambda comm: (train(lambda: network(batch_norm=True), comm, batch_stats=stats), comm)
        )[0][1].calls

    # Two layers: three sums each; against three averages each, and a count.
    assert len(calls("all")) == 5 * (2 + 2 * 3)
    assert len(calls("rank")) == 5 * (2 + 1 + 2 * 3)


def test_statistics_by_rank_are_those_of_each_ranks_rows():
    def make():
        return Network(
            [BatchNorm(36, dtype="float64"), Affine(36, 5, dtype="float64")], dtype="float64"
        )

    data = samples(20)
    shared = run_ranks(
        2, lambda comm: train(make, comm, batch_stats="rank", data=data, shuffle=False)
    )
    x = data.x * (1 / 255)
    halves = [x[:10], x[10:]]
    expected = np.mean([half.var(axis=0, ddof=1) for half in halves], axis=0)
    assert np.allclose(shared[0].network.statistics["running_var0"], expected, rtol=1e-9)


# Refusals, and what must not go on in silence.


def refused(size, work):
    with pytest.raises(ParameterError) as caught:
        run_ranks(size, work)
    return str(caught.value)


def test_more_ranks_than_rows_of_a_batch_are_refused():
    message = refused(4, lambda comm: train(network, comm, batch_size=3))
    assert "each rank needs a row of a batch, got 4 ranks for batches of 3" in message
    message = refused(4, lambda comm: train(network, comm, data=samples(2)))
    assert "got 4 ranks for batches of 2" in message


DIFFERENT = {
    "train": lambda r: {"data": samples(seed=r)},
    "validation": lambda r: {"validation": samples(50, seed=r)},
    "seed": lambda r: {"seed": r},
    "batch_size": lambda r: {"batch_size": 10 + r},
    "optimizer": lambda r: {"lr": 0.1 + r},
    "schedule": lambda r: {"schedule": ["constant", "cosine"][r]},
    "augment": lambda r: {"augment": make_augmentation((6, 6), shift=1 + r)},
    "starting weights": lambda r: {"make": lambda: network(initializer=0.1 + r)},
    "layers": lambda r: {"make": lambda: network(hidden=[16 + r])},
    "l2": lambda r: {"make": lambda: network(l2=0.1 * r)},
    "batch_stats": lambda r: {"batch_stats": ["all", "rank"][r]},
}


def test_options_of_layers_that_no_name_shows_are_compared():
    def work(comm):
        momentum = [0.9, 0.5][comm.Get_rank()]
        return train(lambda: Network([BatchNorm(36, momentum=momentum), Affine(36, 5)]), comm)

    assert "all ranks must have the same layers" in refused(2, work)


def test_statistics_of_each_rank_need_two_rows_a_rank():
    def work(comm):
        return train(lambda: network(batch_norm=True), comm, batch_size=5, batch_stats="rank")

    assert "need two rows a rank, got batches of 5 for 3 ranks" in refused(3, work)


def test_a_rank_with_a_single_row_leaves_the_statistics_to_the_others():
    """Of 41 rows in batches of 20 the last has one: no rank measures, and nothing moves."""

    def course(comm, n):
        return train(
            lambda: network(batch_norm=True), comm, batch_stats="rank", data=samples(n)
        ).network.statistics

    whole, short = (run_ranks(2, lambda comm, n=n: course(comm, n))[1] for n in (40, 41))
    assert whole["batches1"] == short["batches1"] == 2
    assert run_ranks(2, lambda comm: course(comm, 43))[0]["batches1"] == 3


@pytest.mark.parametrize("what", DIFFERENT)
def test_ranks_that_differ_are_refused_before_the_first_step(what):
    def work(comm):
        options = DIFFERENT[what](comm.Get_rank())
        return train(options.pop("make", network), comm, **options)

    message = refused(2, work)
    assert f"all ranks must have the same {what}" in message
    assert "rank 1 has" in message


def test_ranks_that_would_run_other_epochs_are_refused():
    def work(comm):
        trainer = Trainer(network(), samples(), batch_size=20, parallel=MPIGradients(comm))
        return list(trainer.run(1 + comm.Get_rank()))

    assert "all ranks must have the same epochs to run" in refused(2, work)


def test_ranks_that_drift_apart_are_found_at_the_end_of_the_epoch():
    def work(comm):
        trainer = Trainer(network(), samples(), batch_size=20, parallel=MPIGradients(comm))

        def disturb(step, loss):
            if comm.Get_rank() == 1 and step == 3:
                trainer.network.vector[0] += 1e-9

        trainer.on_step = disturb
        return list(trainer.run(1))

    assert "all ranks must have the same parameters, rank 1" in refused(2, work)


@pytest.mark.parametrize("bad", [0, 1])
def test_a_loss_that_is_not_finite_on_one_rank_ends_all(bad):
    raised = []

    def work(comm):
        trainer = Trainer(network(), samples(), batch_size=20, parallel=MPIGradients(comm))
        gather = trainer.batches.gather

        def spoilt(index):
            x, t = gather(index)
            if comm.Get_rank() == bad and trainer.steps == 2:
                x[0, 0] = np.nan
            return x, t

        trainer.batches.gather = spoilt
        with pytest.raises(DivergenceError) as caught:
            list(trainer.run(1))
        raised.append(str(caught.value))

    run_ranks(2, work)
    assert len(raised) == 2
    assert all("diverged at step 3: the loss is nan" in message for message in raised)
    assert all("is not finite" in message for message in raised)


def test_an_unknown_word_for_statistics_is_refused():
    assert "batch_stats" in refused(1, lambda comm: MPIGradients(comm, "some"))


def test_an_error_on_rank_0_is_raised_on_all():
    def work(comm):
        def make():
            raise OutputError("cannot write")

        with pytest.raises(OutputError, match="cannot write"):
            MPIGradients(comm).broadcast(make)
        return MPIGradients(comm).broadcast(lambda: {"of rank": comm.Get_rank()})

    assert run_ranks(3, work) == [{"of rank": 0}] * 3


def test_the_largest_value_is_that_of_any_rank():
    assert run_ranks(3, lambda c: MPIGradients(c).largest([0, 15, 2][c.Get_rank()])) == [15] * 3


# What a rank does by itself.


def test_a_rank_draws_the_bits_of_its_rows():
    x = np.ones((10, 7))
    whole = Dropout(0.5, np.random.default_rng(0)).forward(x, train=True)
    parts = []
    for rank in range(3):
        layer = Dropout(0.5, np.random.default_rng(0))
        layer.shard = Shard(10 * rank // 3, 10 * (rank + 1) // 3, 10)
        parts.append(layer.forward(x[layer.shard.rows], train=True))
    assert np.array_equal(np.concatenate(parts), whole)


def test_images_are_distorted_as_among_all_of_the_batch():
    augment = make_augmentation((6, 6), shift=1, rotate=20, elastic=[2, 2], erase=0.7)
    x = np.random.default_rng(0).random((11, 36))
    whole = augment(x, np.random.default_rng(1)).copy()
    parts = []
    for rank in range(3):
        part = Shard(11 * rank // 3, 11 * (rank + 1) // 3, 11)
        parts.append(augment(x[part.rows], np.random.default_rng(1), part).copy())
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("layer", [PReLU, BatchNorm])
def test_no_rows_give_no_gradient(layer):
    made = Network([Affine(36, 8), layer(8), Affine(8, 5)])
    x, t = Batches(samples(), 20).gather(np.arange(1))
    loss = made.forward(x[:0], t[:0], train=True)
    made.backward(0.0)
    assert loss == 0.0
    assert not made.gradient_vector.any()


def test_values_that_json_does_not_know_can_be_agreed_on():
    run_ranks(2, lambda comm: MPIGradients(comm).check_equal({"object": json}))
