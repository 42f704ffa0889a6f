"""Dropout and noise: what they draw, that they do nothing in evaluation, and training with them."""

import numpy as np
import pytest

from scratchnet import Adam, Affine, MultiLayerNet, Network, ReLU, Trainer
from scratchnet.errors import ParameterError
from scratchnet.layers import Dropout, GaussianNoise
from scratchnet.layers.regularization import random_bits
from scratchnet.parallel import Shard
from scratchnet.training import EarlyStopping

ONES = np.ones((200, 500), "float32")
X = np.random.default_rng(0).normal(size=(53, 6)).astype("float32")
T = np.random.default_rng(1).integers(0, 3, 53)


# Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_the_share_that_was_asked_for_and_keeps_the_mean(rate):
    y = Dropout(rate).forward(ONES, train=True)
    standard_error = np.sqrt(rate * (1 - rate) / y.size)
    assert abs((y == 0).mean() - rate) < 4 * standard_error
    assert abs(y.mean(dtype=float) - 1) < 4 * standard_error / (1 - rate)
    assert len(np.unique(y)) == 2


def test_the_mean_over_many_masks_is_x():
    x = np.random.default_rng(0).normal(size=(4, 5))
    layer, rate, n = Dropout(0.3), 0.3, 2000
    mean = np.mean([layer.forward(x, train=True) for _ in range(n)], axis=0)
    assert (np.abs(mean - x) < 4 * np.abs(x) * np.sqrt(rate / (1 - rate) / n)).all()


@pytest.mark.parametrize("rate", [0.25, 0.3, 1 / 3, 0.999])
def test_what_is_kept_is_scaled_by_exactly_one_over_its_probability_in_16_bits(rate):
    class EveryWord:
        """A generator of all the 65,536 values there are."""

        bit_generator = property(lambda self: self)

        def random_raw(self, n):
            return np.arange(4 * n, dtype=np.uint16).view(np.uint64)

    layer = Dropout(rate)
    layer.rng = EveryWord()
    y = layer.forward(np.ones((256, 256)), train=True)
    assert (y == 0).sum() == round(rate * 2**16)
    assert y.mean() == pytest.approx(1, rel=1e-12)


def test_dropout_in_evaluation_and_at_rate_0_is_the_identity_and_draws_nothing():
    for layer, train in ((Dropout(0.5, 3), False), (Dropout(0.0, 3), True)):
        assert layer.forward(X, train=train) is X
        assert layer.backward(X) is X
        assert layer.rng.random() == np.random.default_rng(3).random()


def test_the_gradient_passes_where_the_value_did():
    layer = Dropout(0.5)
    for _ in range(2):
        y = layer.forward(ONES, train=True)
        np.testing.assert_array_equal(layer.backward(ONES), y)
        np.testing.assert_array_equal(layer.backward(3 * ONES), 3 * y)


def test_evaluation_between_a_pass_and_its_gradient_is_that_of_the_last_pass():
    layer = Dropout(0.5)
    layer.forward(X, train=True)
    layer.forward(X)
    assert layer.backward(X) is X


def test_the_same_state_gives_the_same_mask_and_another_another():
    first, same, other = Dropout(0.5, 1), Dropout(0.5, np.random.default_rng(1)), Dropout(0.5, 2)
    y = first.forward(ONES, train=True)
    np.testing.assert_array_equal(same.forward(ONES, train=True), y)
    assert (other.forward(ONES, train=True) != y).any()
    assert (first.forward(ONES, train=True) != y).any()


def test_units_are_dropped_independently_of_each_other():
    y = Dropout(0.5).forward(ONES, train=True) == 0
    pairs = {
        "columns": (y[:, 1:], y[:, :-1]),
        "rows": (y[1:], y[:-1]),
        "of a 64-bit word": (y[:, ::4], y[:, 3::4]),
    }
    for name, (a, b) in pairs.items():
        assert abs((a == b).mean() - 0.5) < 4 * 0.5 / np.sqrt(a.size), name


@pytest.mark.parametrize("kind", [np.random.Philox, np.random.SFC64, np.random.MT19937])
def test_any_bit_generator_of_numpy_will_do(kind):
    y = Dropout(0.5, np.random.Generator(kind(0))).forward(ONES, train=True)
    assert abs((y == 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(y.size)


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), "half", None])
def test_dropout_takes_a_rate_from_0_to_below_1(rate):
    with pytest.raises(ParameterError, match="dropout must be"):
        Dropout(rate)


def test_a_rate_of_almost_1_keeps_one_value_of_65536():
    assert (Dropout(1 - 1e-9).forward(ONES, train=True) == 0).mean() > 0.999


def test_a_rate_of_one_value_of_65536_drops_that_one():
    layer = Dropout(1 / 65536)
    x = np.ones((400, 1000))
    y = layer.forward(x, train=True)
    assert layer.disturbed
    assert y.max() == 65536 / 65535
    assert 0 < (y == 0).sum() < 30  # 6 are expected
    assert Dropout(1 - 1e-9).dropped == 65535


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937])
def test_the_bits_of_every_generator_take_all_values_of_16_bits(kind):
    bits = random_bits(np.random.Generator(kind(0)), 2**21 + 1)
    assert (bits.dtype, bits.size) == (np.uint16, 2**21 + 1)
    counts = np.bincount(bits, minlength=2**16)
    assert counts.min() > 0
    assert ((counts - 32.0) ** 2 / 32).sum() / 2**16 == pytest.approx(1, abs=0.03)


def test_shards_of_a_batch_are_disturbed_as_its_rows():
    x = np.ones((10, 7), "float32")
    for layer in (Dropout(0.5, 3), GaussianNoise(0.1, 3)):
        state = layer.rng.bit_generator.state
        whole = layer.forward(x, train=True).copy()
        parts = []
        for start, stop in ((0, 3), (3, 6), (6, 10)):
            layer.rng.bit_generator.state = state
            layer.shard = Shard(start, stop, 10)
            parts.append(layer.forward(x[start:stop], train=True).copy())
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_without_a_seed_the_seed_is_0():
    for kind in (Dropout, GaussianNoise):
        one, other = kind(0.3), kind(0.3, 0)
        np.testing.assert_array_equal(
            one.forward(ONES, train=True), other.forward(ONES, train=True)
        )


def test_noise_of_float64_is_finer_than_that_of_float32():
    coarse, fine = (
        GaussianNoise(0.1, 0).forward(np.zeros((50, 9), d), train=True)
        for d in ("float32", "float64")
    )
    assert (fine != coarse).any()
    np.testing.assert_allclose(fine, coarse, rtol=1e-6)


def test_b13_a_network_that_drops_its_logits_is_warned_of():
    with pytest.warns(UserWarning, match=r"Dropout\(0.5\) is the last layer and drops logits"):
        Network([Affine(6, 5), ReLU(), Affine(5, 3), Dropout()])


def test_b13_no_named_network_drops_or_disturbs_its_logits():
    for hidden in ([], [5], [5, 4]):
        network = MultiLayerNet(
            6, hidden, 3, dropout=0.5, noise=0.1, input_dropout=0.2, input_noise=0.1
        )
        assert isinstance(network.layers[-1], Affine)
        assert {type(layer) for layer in network.layers[:2]} == {GaussianNoise, Dropout}


# GaussianNoise


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_has_mean_0_its_standard_deviation_and_the_tails_of_a_normal_distribution(dtype):
    noise = GaussianNoise(0.1).forward(np.zeros((1000, 1000), dtype), train=True).astype(float)
    assert abs(noise.mean()) < 4 * 0.1 / 1000
    assert noise.std() == pytest.approx(0.1, rel=0.005)
    assert (noise**4).mean() / noise.var() ** 2 == pytest.approx(3, abs=0.03)
    for z, share in ((1, 0.31731), (2, 0.0455), (3, 0.0027)):
        assert (np.abs(noise) > z * 0.1).mean() == pytest.approx(share, abs=4e-3 * share**0.5)


def test_noise_is_added_and_the_gradient_passes_unchanged():
    noise = GaussianNoise(0.5, 1).forward(np.zeros_like(X), train=True)
    layer = GaussianNoise(0.5, 1)
    np.testing.assert_array_equal(layer.forward(X, train=True), X + noise)
    assert layer.backward(X) is X
    assert (layer.forward(np.zeros_like(X), train=True) != noise).any()


def test_noise_in_evaluation_and_of_0_is_the_identity():
    for layer, train in ((GaussianNoise(0.5, 3), False), (GaussianNoise(0.0, 3), True)):
        assert layer.forward(X, train=train) is X
        assert layer.rng.random() == np.random.default_rng(3).random()


@pytest.mark.parametrize("std", [-0.1, float("inf"), "much"])
def test_noise_takes_a_finite_standard_deviation(std):
    with pytest.raises(ParameterError, match="noise must be"):
        GaussianNoise(std)


def test_regularizers_say_what_they_are():
    assert [repr(Dropout(0.25)), repr(GaussianNoise())] == ["Dropout(0.25)", "GaussianNoise(0.1)"]


# A network with both


def disturbed(seed=0, **options):
    return MultiLayerNet(
        6,
        [8, 8],
        3,
        seed=seed,
        **{"dropout": 0.3, "noise": 0.1, "input_noise": 0.1, "batch_norm": True, **options},
    )


def test_layers_of_a_network_draw_different_masks_and_a_copy_draws_the_same_ones():
    network = disturbed(noise=0.0, dropout=0.5)
    other = network.copy()
    for each in (network, other):
        each.gradient(X, T)
    masks, same = (
        [layer.factor for layer in each.layers if isinstance(layer, Dropout)]
        for each in (network, other)
    )
    assert (masks[0] != masks[1]).any()
    np.testing.assert_array_equal(masks, same)


def test_predictions_and_loss_are_not_disturbed():
    network = disturbed()
    network.gradient(X, T)
    np.testing.assert_array_equal(network.predict(X), network.predict(X))
    assert network.loss(X, T) == network.loss(X, T)


# Training with them


def trainer(optimizer="adam", seed=0, monitor=True, **options):
    made = Trainer(
        disturbed(seed, standardize="features", **options),
        (X, T),
        (X[::-1], (T + 1) % 3) if monitor else None,
        optimizer=optimizer,
        batch_size=None if optimizer == "lbfgs" else 10,
        seed=seed,
    )
    return made, EarlyStopping(made.network, None)


def finish(made, stopping):
    for epoch in made.run(3 - made.epochs):
        stopping.should_stop(epoch)


def test_the_seed_decides_what_is_drawn():
    vectors = []
    for seed in (1, 1, 2):
        made, _ = trainer(seed=seed)
        list(made.run(1))
        vectors.append(made.network.state_vector)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()


def test_a_run_broken_off_within_an_epoch_goes_on_to_the_same_bits(tmp_path):
    whole, best = trainer()
    finish(whole, best)

    class Broken(Exception):
        pass

    def stop(step, loss):
        if step == 8:  # of six an epoch
            cut.save(tmp_path / "checkpoint.npz", cut_best)
            raise Broken

    cut, cut_best = trainer()
    cut.on_step = stop
    with pytest.raises(Broken):
        finish(cut, cut_best)
    resumed, resumed_best = trainer()
    resumed.network.gradient(X, T)  # whatever was drawn and measured before does not matter
    assert resumed.resume(tmp_path / "checkpoint.npz", resumed_best) == []
    finish(resumed, resumed_best)
    np.testing.assert_array_equal(resumed.network.state_vector, whole.network.state_vector)
    np.testing.assert_array_equal(resumed_best.weights, best.weights)
    losses = ([e.loss for e in made.history] for made in (whole, resumed))
    assert next(losses) == next(losses)


@pytest.mark.parametrize("optimizer", ["sam", "lbfgs"])
def test_a_second_look_at_a_batch_sees_the_same_masks_and_moves_no_statistics(optimizer):
    made, _ = trainer(optimizer, noise=0.0)
    network, looks = made.network, []
    forward = network.forward

    def watched(*batch, train=False):
        loss = forward(*batch, train=train)
        if train:
            masks = [layer.factor.copy() for layer in network.layers if isinstance(layer, Dropout)]
            looks.append((masks, network.state_vector[network.vector.size :].copy()))
        return loss

    def compare(step, loss):
        (masks, measured), *again = looks
        assert again
        for others, _ in again:
            np.testing.assert_array_equal(others, masks)
        np.testing.assert_array_equal(network.state_vector[network.vector.size :], measured)
        assert network.statistics["batches1"] == step
        looks.clear()

    network.forward, made.on_step = watched, compare
    list(made.run(2))
    assert made.steps >= 2


def test_early_stopping_brings_the_statistics_of_the_best_epoch_back():
    made, stopping = trainer(Adam(0.1))
    states = []
    for epoch in made.run(6):
        stopping.should_stop(epoch)
        states.append(made.network.state_vector.copy())
    assert stopping.best_epoch < 6
    stopping.restore_best()
    np.testing.assert_array_equal(made.network.state_vector, states[stopping.best_epoch - 1])
    mean = made.network.statistics["running_mean1"]
    assert np.shares_memory(mean, made.network.state_vector)
    assert made.network.statistics["batches1"] == 6 * stopping.best_epoch


def test_balanced_class_weights_are_scikit_learn_s_and_taken_from_the_training_samples():
    from sklearn.utils.class_weight import compute_class_weight

    t = np.repeat([0, 1, 2], [30, 13, 10])
    network = MultiLayerNet(6, [4], 3, class_weight="balanced")
    list(Trainer(network, (X, t), (X, T)).run(1))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=t)
    np.testing.assert_allclose(network.loss_layer.class_weight, expected, rtol=1e-14)
    assert network.loss_layer.class_weight[t].mean() == pytest.approx(1)


# max_norm


def test_max_norm_shortens_long_columns_and_leaves_the_others_alone():
    layer = Affine(4, 5, max_norm=2.0, dtype="float64")
    layer.params["W"] = np.random.default_rng(0).normal(size=(4, 5)) * [0.1, 0.3, 1, 10, 0]
    before = layer.params["W"].copy()
    lengths = np.linalg.norm(before, axis=0)
    layer.apply_constraints()
    after = np.linalg.norm(layer.params["W"], axis=0)
    assert set(lengths > 2) == {True, False}
    np.testing.assert_allclose(after, np.minimum(lengths, 2), rtol=1e-14)
    np.testing.assert_array_equal(layer.params["W"][:, lengths <= 2], before[:, lengths <= 2])
    long = lengths > 2
    direction = (before / np.where(long, lengths, 1))[:, long]
    np.testing.assert_allclose(layer.params["W"][:, long], 2 * direction, rtol=1e-14)


@pytest.mark.parametrize("max_norm", [0.5, 3.0, 1000.0])
def test_a_column_of_zeros_beside_a_long_one_stays(max_norm):
    layer = Affine(3, 2, max_norm=max_norm)
    layer.params["W"] = np.array([[0, 1e6], [0, 0], [0, 0]])
    layer.apply_constraints()
    np.testing.assert_allclose(layer.params["W"], [[0, max_norm], [0, 0], [0, 0]], rtol=1e-6)


def test_after_every_step_of_training_no_column_is_longer_than_max_norm():
    network = MultiLayerNet(6, [8, 8], 3, max_norm=0.4)
    lengths = []

    def watch(step, loss):
        inner = (network.params["W1"], network.params["W2"])
        lengths.append(max(np.linalg.norm(W, axis=0).max() for W in inner))

    list(Trainer(network, (X, T), optimizer="sgd", lr=0.5, batch_size=10, on_step=watch).run(2))
    assert len(lengths) == 12
    assert max(lengths) <= 0.4 * (1 + 1e-6)
    assert np.linalg.norm(network.params["W3"], axis=0).max() > 0.4  # the logits are free


def test_without_max_norm_nothing_is_shortened_and_it_must_be_above_0():
    layer = Affine(3, 2)
    layer.params["W"] = np.full((3, 2), 1e6)
    layer.apply_constraints()
    assert (layer.params["W"] == 1e6).all()
    with pytest.raises(ParameterError, match="max_norm must be"):
        Affine(3, 2, max_norm=0.0)
