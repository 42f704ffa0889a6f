"""The Trainer: every sample once an epoch, the loss that was paid, the same bits for a seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import SGD, Adam, MultiLayerNet, Samples, Trainer, load
from scratchnet.errors import DivergenceError, DtypeError, ParameterError, ShapeError
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.training import EarlyStopping

RNG = np.random.default_rng(0)
X = RNG.normal(size=(53, 6)).astype("float32")
T = RNG.integers(0, 3, 53)


def network(**options):
    return MultiLayerNet(6, [8], 3, **options)


class Recorder(Trainer):
    """A Trainer that remembers which rows each batch held."""

    def step(self, batch):
        self.seen.append([int(v) for v in batch.x[:, 0]])
        return super().step(batch)


def numbered(n):
    x = np.zeros((n, 2), "float32")
    x[:, 0] = range(n)
    return x, np.arange(n) % 2


@given(st.integers(1, 40), st.integers(1, 45), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_b01_b03_every_index_once_per_epoch_partial_batch_kept_one_evaluation_each(n, size, epochs):
    data = numbered(n)
    trainer = Recorder(MultiLayerNet(2, [], 2), data, data, optimizer=SGD(1e-9), batch_size=size)
    trainer.seen = []
    found = list(trainer.run(epochs))
    per_epoch = -(-n // size)
    assert [e.number for e in found] == list(range(1, epochs + 1))
    assert [e.steps for e in found] == [per_epoch * k for k in range(1, epochs + 1)]
    assert all(e.val_accuracy is not None for e in found)
    for k in range(epochs):
        batches = trainer.seen[k * per_epoch : (k + 1) * per_epoch]
        assert sorted(i for batch in batches for i in batch) == list(range(n))
        assert all(len(batch) == size for batch in batches[:-1])


def test_the_order_differs_from_epoch_to_epoch_and_from_seed_to_seed():
    orders = []
    for seed in (0, 1):
        trainer = Recorder(MultiLayerNet(2, [], 2), numbered(30), batch_size=30, seed=seed)
        trainer.seen = []
        list(trainer.run(2))
        orders += trainer.seen
    assert len({tuple(order) for order in orders}) == 4


def test_b01_digits_at_batch_100_give_20_points():
    train, test = load("digits")
    assert len(list(Trainer(MultiLayerNet(64, [10], 10), train, test).run(20))) == 20


def test_b02_the_last_epoch_s_figures_are_those_of_the_final_weights():
    trainer = Trainer(network(), (X, T), (X, T), batch_size=10)
    last = list(trainer.run(3))[-1]
    assert last.val_accuracy == trainer.network.accuracy(X, T)
    assert (last.val_loss, last.val_accuracy) == trainer.evaluate((X, T))


def test_b04_the_loss_is_that_of_the_passes_that_gave_the_gradients_weighted_by_batch_size():
    trainer = Trainer(network(l2=0.1), (X, T), optimizer="sgd", batch_size=10, seed=5)
    reference = trainer.network.copy()
    paid, right = [], []

    class Watched(Trainer):
        def step(self, batch):
            x, t = batch.x, batch.t
            paid.append((reference.loss(x, t) - reference.penalty(), len(t)))
            right.append(reference.accuracy(x, t) * len(t))
            loss = super().step(batch)
            reference.vector[:] = self.network.vector
            return loss

    trainer.__class__ = Watched
    epoch = next(trainer.run(1))
    assert len({n for _, n in paid}) == 2  # a short last batch
    assert epoch.loss == pytest.approx(sum(loss * n for loss, n in paid) / 53, rel=1e-12)
    assert epoch.accuracy == pytest.approx(sum(right) / 53, rel=1e-12)
    assert epoch.penalty == pytest.approx(trainer.network.penalty())


def test_b04_a_step_makes_one_forward_pass():
    trainer, calls = Trainer(network(), (X, T), batch_size=10), []
    layer = trainer.network.layers[0]
    forward = layer.forward
    layer.forward = lambda x, **how: calls.append(how) or forward(x, **how)
    next(trainer.run(1))
    assert calls == [{"train": True}] * 6


def test_b05_the_optimizer_s_own_rate_is_the_default():
    assert Trainer(network(), (X, T)).optimizer == Adam(0.001)
    assert Trainer(network(), (X, T), optimizer="adagrad").optimizer.lr == 0.01
    assert Trainer(network(), (X, T), optimizer="adam", lr=0.5).optimizer == Adam(0.5)
    assert Trainer(network(), (X, T), optimizer="adam", beta1=0.5).optimizer == Adam(beta1=0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_seed_gives_the_same_bits(dtype):
    def weights(seed):
        trainer = Trainer(network(seed=seed, dtype=dtype), (X, T), batch_size=10, seed=seed)
        losses = [e.loss for e in trainer.run(3)]
        return trainer.network.vector, losses

    (first, losses), (again, same), (other, _) = weights(1), weights(1), weights(2)
    np.testing.assert_array_equal(first, again)
    assert losses == same
    assert (first != other).any()


def test_running_twice_goes_on_where_the_first_run_ended():
    once, twice = (Trainer(network(), (X, T), batch_size=10) for _ in range(2))
    all_at_once = [e.loss for e in once.run(4)]
    in_parts = [e.loss for _ in range(2) for e in twice.run(2)]
    assert in_parts == all_at_once
    np.testing.assert_array_equal(once.network.vector, twice.network.vector)


def test_evaluating_changes_nothing_in_what_follows():
    plain, watched = (Trainer(network(), (X, T), batch_size=10) for _ in range(2))
    watched.validation = Samples(X, T)
    for _ in zip(plain.run(3), watched.run(3), strict=True):
        watched.evaluate((X, T))
    np.testing.assert_array_equal(plain.network.vector, watched.network.vector)


def test_without_validation_there_is_no_validation_figure():
    epoch = next(Trainer(network(), (X, T)).run(1))
    assert epoch.val_loss is None
    assert epoch.val_accuracy is None
    assert epoch.seconds > 0
    assert epoch.samples_per_second == pytest.approx(53 / epoch.seconds)


def test_every_step_is_reported():
    seen = []
    trainer = Trainer(
        network(), (X, T), batch_size=10, on_step=lambda step, loss: seen.append((step, loss))
    )
    epoch = next(trainer.run(1))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5, 6]
    paid = [loss for _, loss in seen]
    assert epoch.loss == pytest.approx(np.dot(paid, [10, 10, 10, 10, 10, 3]) / 53)


def test_the_caller_s_arrays_are_never_written_to():
    x, t = X.copy(), T.copy()
    x.flags.writeable = t.flags.writeable = False
    list(Trainer(network(), (x, t), (x, t)).run(1))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(t, T)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a04_a10_every_named_optimizer_learns_digits_by_backpropagation(name):
    train, test = load("digits")
    batch_size = None if OPTIMIZERS[name].full_batch else 10
    trainer = Trainer(MultiLayerNet(64, [100], 10), train, optimizer=name, batch_size=batch_size)
    list(trainer.run(30))
    assert trainer.evaluate(test)[1] >= 0.95


@pytest.mark.parametrize("lr", [1e20, 1e38])
def test_divergence_stops_the_run_with_step_place_and_a_usual_rate(lr):
    trainer = Trainer(network(), (X, T), optimizer="sgd", lr=lr, batch_size=10)
    with pytest.raises(
        DivergenceError, match=r"at step \d+: .*not finite; try an lr below .* 0.01"
    ):
        list(trainer.run(5))


def test_divergence_names_the_parameter_that_is_not_finite_and_leaves_the_others():
    trainer = Trainer(network(), (X, T))
    trainer.network.params["W2"][0, 0] = np.nan
    before = trainer.network.params["W1"].copy()
    with pytest.raises(DivergenceError, match="step 1: the loss is nan, the parameter W2 is not"):
        next(trainer.run(1))
    np.testing.assert_array_equal(trainer.network.params["W1"], before)


def test_divergence_that_only_an_evaluation_sees_is_an_error_too():
    trainer = Trainer(network(initializer=30.0), (X, T), (X * 1e37, T), optimizer="sgd", lr=1e-30)
    with pytest.raises(DivergenceError, match="by step 1: the loss is nan; try an lr below 1e-30"):
        next(trainer.run(1))
    trainer.network.params["b1"][:] = np.inf
    with pytest.raises(DivergenceError):
        trainer.evaluate((X, T))


def test_bytes_that_nobody_scaled_bring_a_hint():
    x = np.arange(53 * 6).reshape(53, 6).astype(np.uint8)
    with pytest.warns(UserWarning, match="scale=1 / 255"):
        Trainer(network(), (x, T))
    Trainer(network(), Samples(x, T, scale=1 / 255))


def test_divergence_names_the_layer_whose_output_overflowed():
    trainer = Trainer(network(initializer=1e20), (X, T))
    with pytest.raises(DivergenceError, match=r"the output of layer 3, Affine\(8, 3\), is not"):
        next(trainer.run(1))


BAD = [
    (lambda: Trainer(network(), (X[:, :5], T)), ShapeError, "train must have the 6 columns"),
    (lambda: Trainer(network(), (X, T), (X[:, :5], T)), ShapeError, "validation must have the 6"),
    (lambda: Trainer(network(), (X, T + 1)), ShapeError, "from 0 to 2, .*got 3 at row"),
    (lambda: Trainer(network(), (X, T[:-1])), ShapeError, "53 rows, t has 52"),
    (lambda: Trainer(network(), (X, T * 1.5)), DtypeError, "integer"),
    (lambda: Trainer(network(), (X, T), batch_size=0), ParameterError, "batch_size must .* got 0"),
    (lambda: Trainer(network(), (X, T), batch_size=2.5), ParameterError, "batch_size .* got 2.5"),
    (lambda: Trainer(network(), (X, T), optimizer="adaam"), ParameterError, "mean 'adam'"),
    (lambda: Trainer(network(), (X, T), lr=float("nan")), ParameterError, "lr must .* got nan"),
    (lambda: Trainer(network(), (X, T), momentum=1), ParameterError, "no option 'momentum'"),
    (lambda: Trainer(network(), (X, T), seed=-1), ParameterError, "seed must .* got -1"),
    (lambda: Trainer(network(), (X, T), threads=0), ParameterError, "threads must .* got 0"),
    (lambda: Trainer(network(), (X, T)).run(0), ParameterError, "epochs must .* got 0"),
    (lambda: Trainer(network(), (X, T)).run(1.5), ParameterError, "epochs must .* got 1.5"),
]


@pytest.mark.parametrize(("use", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_before_anything_runs(use, error, message):
    with pytest.raises(error, match=message):
        use()


def test_a_batch_size_above_the_data_means_all_of_it():
    assert next(Trainer(network(), (X, T), batch_size=10_000).run(1)).steps == 1


def test_early_stopping_keeps_the_weights_of_the_lowest_validation_loss():
    # Validation labels are shuffled: its loss rises once training begins to fit.
    trainer = Trainer(network(), (X, T), (X, T[::-1].copy()), optimizer="adam", lr=0.05)
    stopping, seen = EarlyStopping(trainer.network, patience=3), []
    for epoch in trainer.run(200):
        seen.append((epoch.val_loss, trainer.network.vector.copy()))
        if stopping.should_stop(epoch):
            break
    best = min(range(len(seen)), key=lambda k: seen[k][0])
    assert len(seen) == best + 1 + 3 < 200
    stopping.restore_best()
    np.testing.assert_array_equal(trainer.network.vector, seen[best][1])


def test_early_stopping_needs_validation_and_a_patience():
    trainer = Trainer(network(), (X, T))
    with pytest.raises(ParameterError, match="needs validation samples"):
        EarlyStopping(trainer.network, 1).should_stop(next(trainer.run(1)))
    with pytest.raises(ParameterError, match="patience must be an integer >= 1 or None, got 0"):
        EarlyStopping(trainer.network, 0)


@pytest.mark.parametrize("step", [1, 5, 6, 7, 13])
def test_a_trainer_resumes_a_checkpoint_of_any_step_to_the_same_bits(step, tmp_path):
    def make(**options):
        return Trainer(network(), (X, T), (X, T), batch_size=10, schedule="one-cycle", **options)

    def save(number, loss):
        if number == step:
            broken.save(tmp_path / "c.npz")
            raise KeyboardInterrupt

    whole, broken, resumed = make(), make(on_step=save), make()
    list(whole.run(3))
    with pytest.raises(KeyboardInterrupt):
        list(broken.run(3))
    assert resumed.resume(tmp_path / "c.npz") == []
    list(resumed.run(3 - resumed.epochs))
    np.testing.assert_array_equal(resumed.network.vector, whole.network.vector)
    assert [e.loss for e in resumed.history] == [e.loss for e in whole.history]
    with pytest.raises(ParameterError, match=r"optimizer lr was 0.001, is 0.5"):
        make(lr=0.5).resume(tmp_path / "c.npz")


def test_an_interrupted_trainer_is_usable_and_can_go_on():
    def interrupt(number, loss):
        if number == 4:
            raise KeyboardInterrupt

    trainer = Trainer(network(), (X, T), batch_size=10, on_step=interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(trainer.run(2))
    assert 0 <= trainer.network.accuracy(X, T) <= 1
    trainer.on_step = None
    unbroken = Trainer(network(), (X, T), batch_size=10)
    list(unbroken.run(2))
    list(trainer.run(2))
    np.testing.assert_array_equal(trainer.network.vector, unbroken.network.vector)
