"""Steps in one call are those that are made one by one: the same bits, the same exceptions."""

import contextlib
import copy
import itertools

import numpy as np
import pytest

from scratchnet import Adam, MultiLayerNet, Trainer, loops
from scratchnet.data import Samples
from scratchnet.errors import DivergenceError
from scratchnet.layers import ACTIVATIONS, LOSSES, Affine, Dropout, ReLU, Tanh
from scratchnet.networks import Network
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.training import program
from scratchnet.training.epoch import Watch

pytestmark = pytest.mark.skipif(loops.compiled() is None, reason=f"loops: {loops.describe()}")
RNG = np.random.default_rng(8)
PIXELS = RNG.integers(0, 256, (103, 20), dtype=np.uint8)
CLASSES = np.arange(103) % 4
COLUMNS = Samples.checked(np.asfortranarray(PIXELS.astype("float32")), CLASSES)
NO_PROGRAM = {
    *("adafactor", "rprop", "lamb", "lars", "muon", "sam", "lookahead", "ema", "lbfgs"),
}


@contextlib.contextmanager
def one_by_one():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "why_none", lambda trainer: "the test wants single steps")
        yield


def end(network, samples, epochs=3, has_program=True, **options):
    """All that training leads to."""
    steps = []
    options = {"optimizer": "adam", "batch_size": 10, "threads": 1, "seed": 4} | options
    trainer = Trainer(network, samples, samples, **options)
    trainer.on_step = Watch(lambda step, loss: steps.append((step, loss, trainer.optimizer.lr)))
    found = [
        (e.loss, e.accuracy, e.penalty, e.val_loss, e.lr, e.steps) for e in trainer.run(epochs)
    ]
    assert (trainer._programs.reason is None) == has_program, trainer._programs.reason
    state = trainer.optimizer.state()
    kept = [*state["memory"].values()]
    arrays = [network.vector, network.gradient_vector, *(a for k in kept for a in k.values())]
    numbers = (state["steps"], state["numbers"], trainer.optimizer.lr, trainer.steps)
    return [array.copy() for array in arrays], (found, steps, numbers)


def check_same(make, samples, **options):
    ours, about = end(make(), samples, **options)
    with one_by_one():
        singly, about_singly = end(make(), samples, has_program=False, **options)
    for a, b in zip(ours, singly, strict=True):
        np.testing.assert_array_equal(a, b)
    assert about == about_singly


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - NO_PROGRAM))
def test_every_optimizer_with_a_loop_makes_the_same_steps(name, dtype):
    check_same(
        lambda: MultiLayerNet(20, [9], 4, seed=2, dtype=dtype),
        (PIXELS / 255, CLASSES),
        optimizer=name,
        weight_decay=0.01,
        schedule="cosine",
    )


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"prelu"}))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_activation_makes_the_same_steps(name, dtype):
    check_same(
        lambda: MultiLayerNet(20, [9, 7], 4, activation=name, seed=2, dtype=dtype, l2=0.01),
        Samples(PIXELS, CLASSES, scale=1 / 255),
        clip_norm=0.3,
    )


def targets_of(loss):
    if loss == "softmax":
        return CLASSES
    values = np.abs(RNG.standard_normal((103, 4)))
    return np.minimum(values, 1.0)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_makes_the_same_steps(loss):
    t = targets_of(loss)
    check_same(
        lambda: MultiLayerNet(20, [9], 4, seed=2, loss=LOSSES[loss]()),
        Samples(PIXELS, t, scale=1 / 255),
        clip_value=0.01,
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("of_network", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_samples_of_every_type_make_the_same_steps(dtype, of_network, scale):
    samples = Samples(PIXELS.astype(dtype), CLASSES, scale=scale)
    check_same(lambda: MultiLayerNet(20, [9], 4, seed=2, dtype=of_network), samples)


@pytest.mark.parametrize("batch_size", [1, 7, 50, 102, 103, 1000])
@pytest.mark.parametrize("hidden", [[], [1], [9]])
def test_every_size_of_a_batch_makes_the_same_steps(batch_size, hidden):
    check_same(
        lambda: MultiLayerNet(20, hidden, 4, seed=2),
        (PIXELS / 255, CLASSES),
        batch_size=batch_size,
    )


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [Tanh(), Affine(20, 5), ReLU(), Tanh(), Affine(5, 4)],
        lambda: [Affine(20, 5, bias=False), ReLU(), Affine(5, 4), Tanh()],
        lambda: [ACTIVATIONS["identity"](), Affine(20, 4)],
        lambda: [Affine(20, 5), ACTIVATIONS["identity"](), ReLU(), Affine(5, 4, bias=False)],
    ],
    ids=["begins-with-tanh", "no-bias", "identity", "identity-between"],
)
def test_layers_in_any_order_make_the_same_steps(layers):
    check_same(lambda: Network(layers()), (PIXELS / 255, CLASSES))


@pytest.mark.parametrize("loss", ["softmax", "mean-squared-error"])
def test_samples_with_weights_make_the_same_steps(loss):
    weights = np.random.default_rng(1).uniform(0, 2, 103)
    samples = Samples(PIXELS, targets_of(loss), scale=1 / 255, weights=weights)
    check_same(lambda: MultiLayerNet(20, [9], 4, seed=2, loss=LOSSES[loss]()), samples)


def test_options_of_a_loss_are_no_obstacle():
    from scratchnet.layers import SoftmaxWithLoss

    for options in ({"label_smoothing": 0.1}, {"class_weight": "balanced"}):
        check_same(
            lambda o=options: MultiLayerNet(20, [9], 4, seed=2, loss=SoftmaxWithLoss(**o)),
            (PIXELS / 255, CLASSES),
        )


def reason(network=None, samples=None, **options):
    network = network or MultiLayerNet(20, [9], 4, seed=2)
    options = {"batch_size": 10} | options
    trainer = Trainer(network, samples or (PIXELS / 255, CLASSES), **options)
    next(iter(trainer.run(1)))
    return trainer._programs.reason


class Own(ReLU):
    def value(self, x, y):
        np.maximum(x, 0.25, out=y)


class OwnAffine(Affine):
    def forward(self, x, *, train=False):
        return super().forward(x, train=train) * 2


class OwnAdam(Adam):
    def update(self, params, grads, closure=None):
        super().update(params, grads, closure)


class OwnNetwork(MultiLayerNet):
    def forward(self, x, t, w=None, *, train=False):
        return super().forward(x, t, w, train=train)


class OwnTrainer(Trainer):
    def step(self, batch):
        return super().step(batch)


@pytest.mark.parametrize(
    ("about", "text"),
    [
        (lambda: reason(Network([Affine(20, 9), Dropout(0.1), Affine(9, 4)])), "Dropout"),
        (lambda: reason(Network([Affine(20, 4), Own()])), "Own"),
        (lambda: reason(Network([OwnAffine(20, 4)])), "methods of its own"),
        (lambda: reason(OwnNetwork(20, [], 4)), "methods of its own"),
        (lambda: reason(Network([Affine(20, 4, max_norm=1.0)])), "Affine"),
        (lambda: reason(optimizer=OwnAdam()), "methods of its own"),
        (lambda: reason(optimizer="ema"), "methods of its own"),
        (lambda: reason(optimizer="rprop", batch_size=None), "has no loop"),
        (lambda: reason(samples=COLUMNS), "column by column"),
        (lambda: reason(augment=lambda x, rng, shard: x), "distorted"),
    ],
    ids=range(10),
)
def test_whatever_is_done_otherwise_is_done_step_by_step(about, text):
    assert text in about()


def test_a_trainer_with_a_step_of_its_own_makes_each_of_them():
    trainer = OwnTrainer(MultiLayerNet(20, [9], 4), (PIXELS / 255, CLASSES), batch_size=10)
    list(trainer.run(1))
    assert "step of its own" in trainer._programs.reason


def test_without_loops_the_trainer_makes_single_steps():
    with loops.without():
        assert "no loops" in reason()


def test_a_layer_that_was_exchanged_is_noticed_between_epochs():
    network = MultiLayerNet(20, [9], 4, seed=2)
    trainer = Trainer(network, (PIXELS / 255, CLASSES), batch_size=10)
    run = trainer.run(3)
    next(run)
    assert trainer._programs.reason is None
    network.layers[1].forward = type(network.layers[1]).forward.__get__(network.layers[1])
    next(run)
    assert "has no loop" in trainer._programs.reason
    del network.layers[1].forward
    next(run)
    assert trainer._programs.reason is None


@pytest.mark.parametrize("change", ["l2", "slope", "clip", "optimizer", "decay"])
def test_what_changes_between_epochs_has_its_effect(change):
    def train():
        network = MultiLayerNet(20, [9], 4, seed=2, activation="leaky-relu")
        trainer = Trainer(network, (PIXELS / 255, CLASSES), batch_size=10)
        run = trainer.run(2)
        next(run)
        if change == "l2":
            network.l2 = 0.1
        elif change == "slope":
            network.layers[1].slope = 0.5
        elif change == "clip":
            trainer.optimizer.clip_value = 1e-4
        elif change == "decay":
            trainer.optimizer.weight_decay = 0.5
        else:
            trainer.optimizer = Adam(0.1)
        next(run)
        return network.vector

    ours = train()
    with one_by_one():
        np.testing.assert_array_equal(ours, train())


def test_a_function_on_step_sees_the_network_after_every_step():
    def train(on_step_of):
        network = MultiLayerNet(20, [9], 4, seed=2)
        trainer = Trainer(network, (PIXELS / 255, CLASSES), batch_size=10)
        seen = []
        trainer.on_step = on_step_of(trainer, seen)
        list(trainer.run(2))
        return seen

    def look(trainer, seen):
        return lambda step, loss: seen.append((step, loss, trainer.network.vector.sum()))

    ours = train(look)
    with one_by_one():
        assert ours == train(look)
    late = train(lambda trainer, seen: Watch(look(trainer, seen)))
    assert [s[:2] for s in late] == [s[:2] for s in ours]
    assert [s[2] for s in late] != [s[2] for s in ours]  # it was called late


def test_a_watch_is_called_in_time_where_it_says_so():
    network = MultiLayerNet(20, [9], 4, seed=2)
    trainer = Trainer(network, (PIXELS / 255, CLASSES), batch_size=10)
    at_rest = []
    trainer.on_step = Watch(
        lambda step, loss: at_rest.append(step) if not trainer.ahead else None,
        lambda step: 4 - step % 4,
    )
    list(trainer.run(2))
    assert at_rest == [4, 8, 11, 12, 16, 20, 22]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lr", [1e30, 1e300])
def test_training_that_diverges_ends_at_the_same_step_with_the_same_words(lr, dtype):
    def train():
        network = MultiLayerNet(20, [9, 9], 4, seed=2, dtype=dtype)
        trainer = Trainer(network, (PIXELS / 255, CLASSES), optimizer="sgd", lr=lr, batch_size=10)
        with pytest.raises(DivergenceError) as raised:
            list(trainer.run(5))
        return str(raised.value), trainer.steps, network.vector.copy(), trainer.optimizer.state()

    ours, step, weights, state = train()
    with one_by_one():
        theirs, step_singly, weights_singly, state_singly = train()
    assert (ours, step, state) == (theirs, step_singly, state_singly)
    np.testing.assert_array_equal(weights, weights_singly)


@pytest.mark.parametrize("name", ["schedule-free-sgd", "nadam"])
def test_numbers_that_are_no_floats_end_as_in_single_steps(name):
    def train():
        network = MultiLayerNet(20, [9], 4, seed=2)
        options = {"lr": 1e300} if name != "nadam" else {"psi": 1e308}
        trainer = Trainer(
            network, (PIXELS / 255, CLASSES), optimizer=name, batch_size=10, **options
        )
        try:
            list(trainer.run(1))
        except DivergenceError as error:
            return str(error), trainer.steps, network.vector.tobytes()
        return None, trainer.steps, network.vector.tobytes()

    ours = train()
    with one_by_one():
        assert ours == train()


def test_training_is_resumed_from_loops_to_numpy_and_back(tmp_path):
    def trainer(step=None):
        network = MultiLayerNet(20, [9], 4, seed=2)
        return Trainer(network, (PIXELS / 255, CLASSES), batch_size=10, on_step=step, seed=1)

    whole = trainer()
    list(whole.run(3))
    for first, second in itertools.product((True, False), repeat=2):
        with contextlib.nullcontext() if first else loops.without():
            begun = trainer()
            next(iter(begun.run(1, planned=3)))
            begun.save(tmp_path / "c.npz")
        with contextlib.nullcontext() if second else loops.without():
            other = trainer()
            notes = other.resume(tmp_path / "c.npz")
            list(other.run(2))
        if first != second:
            assert any("loops" in note for note in notes), notes
        else:
            assert notes == []
        np.testing.assert_allclose(other.network.vector, whole.network.vector, atol=1e-5)
        if first and second:
            np.testing.assert_array_equal(other.network.vector, whole.network.vector)


def test_an_epoch_that_was_broken_off_is_gone_on_with_at_every_step():
    samples = Samples(PIXELS, CLASSES, scale=1 / 255)

    def trainer():
        return Trainer(MultiLayerNet(20, [9], 4, seed=2), samples, batch_size=10, seed=1)

    whole = trainer()
    list(whole.run(2))
    for stop in range(1, 22):
        begun = trainer()

        def end_at(step, loss, stop=stop):
            if step == stop:
                raise KeyboardInterrupt

        begun.on_step = end_at
        with pytest.raises(KeyboardInterrupt):
            list(begun.run(2))
        assert begun.steps == stop
        begun.on_step = None
        list(begun.run(2 - begun.epochs, planned=2))
        np.testing.assert_array_equal(begun.network.vector, whole.network.vector)


def large(threads, epochs=2, loss=None, **options):
    """Training in which threads share each batch, if there are several."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((700, 300)).astype("float32"), np.arange(700) % 4
    t = np.eye(4)[t] if loss is not None else t
    network = MultiLayerNet(300, [130, 70], 4, seed=2, l2=0.001, loss=loss or "softmax")
    options = {"batch_size": 300, "optimizer": "adam", "weight_decay": 0.01} | options
    trainer = Trainer(network, Samples(x, t), threads=threads, **options)
    results = [(e.loss, e.accuracy) for e in trainer.run(epochs)]
    assert trainer._programs.reason is None
    return network.vector, results, trainer._programs.threads


@pytest.mark.parametrize(
    "options", [{}, {"clip_norm": 0.01}, {"loss": LOSSES["mean-squared-error"]()}], ids=str
)
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_a_batch_with_the_same_result(threads, options, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    alone, results, n = large(1, **options)
    assert n == 1
    shared, with_threads, n = large(threads, **options)
    assert n == threads
    np.testing.assert_allclose(shared, alone, atol=2e-5)
    np.testing.assert_allclose(with_threads, results, rtol=1e-4)
    again, same, _ = large(threads, **options)
    np.testing.assert_array_equal(shared, again)
    assert with_threads == same


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("batch_size", [40, 41])
def test_threads_share_the_columns_of_wide_layers(threads, batch_size, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(program, "share_program", lambda threads, *about: threads)
    rng = np.random.default_rng(0)
    samples = Samples(rng.standard_normal((205, 300)).astype("float32"), np.arange(205) % 4)

    def train(threads):
        network = MultiLayerNet(300, [260, 300, 20], 4, seed=2, activation="tanh", l2=1e-3)
        trainer = Trainer(network, samples, batch_size=batch_size, threads=threads)
        results = [(e.loss, e.accuracy) for e in trainer.run(2)]
        made = max(trainer._programs._made.values(), key=lambda one: one.rows)
        return network.vector, results, len(made.step.phases())

    alone, results, phases = train(1)
    assert phases == 1
    shared, with_threads, phases = train(threads)
    # gather; y1; tanh; y2; tanh, y3, loss and back to dx2; dx1; tanh back; gradients; update
    assert phases == 9
    np.testing.assert_allclose(shared, alone, atol=2e-5)
    np.testing.assert_allclose(with_threads, results, rtol=1e-4)
    np.testing.assert_array_equal(shared, train(threads)[0])


def test_without_products_of_their_own_programs_call_those_of_numpy(monkeypatch):
    found = []
    for has in (True, False):
        monkeypatch.setattr(loops, "has_products", lambda has=has: has)
        found.append(large(1)[0])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("n", [601, 605, 308])
@pytest.mark.parametrize("loss", ["softmax", "mean-squared-error"])
def test_a_last_batch_may_be_too_short_for_all_threads(n, loss, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    rng = np.random.default_rng(0)
    t = np.arange(n) % 4 if loss == "softmax" else np.eye(4)[np.arange(n) % 4]
    samples = Samples(rng.standard_normal((n, 300)).astype("float32"), t)
    found = []
    for threads in (1, 2):
        network = MultiLayerNet(300, [130, 70], 4, seed=1, loss=loss)
        trainer = Trainer(network, samples, batch_size=300, threads=threads)
        found.append((network.vector, [epoch.loss for epoch in trainer.run(2)]))
        assert trainer._programs.threads == threads
    (alone, losses), (shared, same) = found
    np.testing.assert_allclose(shared, alone, atol=2e-5)
    np.testing.assert_allclose(same, losses, rtol=1e-4)


def test_a_small_step_is_left_to_one_thread():
    trainer = Trainer(MultiLayerNet(20, [9], 4), (PIXELS / 255, CLASSES), threads=2, batch_size=10)
    next(trainer.run(1))
    assert trainer._programs.threads == 1


class Failing(LOSSES["mean-squared-error"]):
    calls = 0

    def per_sample_loss(self, y, t):
        type(self).calls += 1
        if type(self).calls == 11:
            raise ValueError("the loss of this test fails once")
        return super().per_sample_loss(y, t)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_fails_in_a_thread_is_raised_behind_the_steps_that_were_made(threads, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(Failing, "calls", 0)
    rng = np.random.default_rng(0)
    samples = Samples(rng.standard_normal((900, 300)), rng.standard_normal((900, 4)))
    network = MultiLayerNet(300, [130, 70], 4, seed=2, loss=Failing())
    trainer = Trainer(network, samples, threads=threads, batch_size=300)
    with pytest.raises(ValueError, match="fails once"):
        list(trainer.run(20))
    assert trainer._programs.threads == threads
    assert trainer.steps == (10 if threads == 1 else 5)
    assert trainer.optimizer.steps == {"vector": trainer.steps}
    list(trainer.run(1))
    assert np.isfinite(network.vector).all()


def test_samples_at_odd_places_in_memory_are_left_to_single_steps():
    memory = np.zeros(103 * 20 * 4 + 1, np.uint8)
    x = memory[1:].view("float32").reshape(103, 20)
    x[...] = PIXELS / 255
    assert "odd places" in reason(samples=Samples.checked(x, CLASSES))


def test_a_copy_of_a_trainer_makes_programs_of_its_own():
    trainer = Trainer(MultiLayerNet(20, [9], 4, seed=2), (PIXELS / 255, CLASSES), batch_size=10)
    list(trainer.run(1))
    other = copy.deepcopy(trainer)
    list(other.run(1))
    before = trainer.network.vector.copy()
    assert (trainer.steps, other.steps) == (11, 22)
    list(trainer.run(1))
    np.testing.assert_array_equal(trainer.network.vector, other.network.vector)
    assert not np.array_equal(before, other.network.vector)


def test_weights_of_samples_in_any_precision_make_the_same_steps():
    weights = np.random.default_rng(1).uniform(0, 2, 103).astype("float32")
    samples = Samples.checked(PIXELS, CLASSES, 1 / 255, weights)
    check_same(lambda: MultiLayerNet(20, [9], 4, seed=2), samples)
