"""Normalization: whose mean and variance are used, when they move, and that they are kept."""

import pickle

import numpy as np
import pytest

from scratchnet import Affine, MultiLayerNet, Network, ReLU, Samples, Trainer
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.layers import BatchNorm, LayerNorm, Standardize
from scratchnet.layers.normalization import column_sums
from scratchnet.training.resuming import load_weights, save_weights

X = np.random.default_rng(0).normal(3.0, 2.0, size=(40, 5))


def batch(k, rows=8):
    rng = np.random.default_rng(k)
    return rng.normal(k, 1 + k / 10, size=(rows, 5))


def trained(batches=3, **options):
    """A BatchNorm that has seen so many batches."""
    layer = BatchNorm(5, dtype="float64", **options)
    for k in range(batches):
        layer.forward(batch(k), train=True)
    return layer


# BatchNorm


def test_batch_norm_gives_every_column_the_mean_beta_and_the_variance_gamma_squared():
    layer = BatchNorm(5, eps=1e-12, dtype="float64")
    layer.params["gamma"], layer.params["beta"] = np.arange(1.0, 6), np.arange(-2.0, 3)
    y = layer.forward(X, train=True)
    np.testing.assert_allclose(y.mean(axis=0), layer.params["beta"], atol=1e-14)
    np.testing.assert_allclose(y.var(axis=0), layer.params["gamma"] ** 2, rtol=1e-11)


def test_far_from_0_batch_norm_keeps_the_digits_that_float32_has():
    x = (1e4 + np.random.default_rng(1).integers(0, 8, size=(64, 5)) / 4).astype("float32")
    y = BatchNorm(5).forward(x, train=True)
    exact = (x - x.mean(axis=0, dtype=float)) / np.sqrt(x.var(axis=0, dtype=float) + 1e-5)
    assert np.abs(y - exact).max() < 2e-3  # the mean itself is known to 1e-3 / 2 of a step


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_running_statistics_are_plain_averages_until_1_over_k_falls_below_1_minus_momentum(
    momentum,
):
    layer = BatchNorm(5, momentum=momentum, dtype="float64")
    means, variances = [], []
    for k in range(1, 14):
        x = batch(k)
        layer.forward(x, train=True)
        means.append(x.mean(axis=0))
        variances.append(x.var(axis=0, ddof=1))
        if 1 / k >= 1 - momentum - 1e-12:
            mean, var = np.mean(means, axis=0), np.mean(variances, axis=0)
        else:
            mean = momentum * mean + (1 - momentum) * means[-1]
            var = momentum * var + (1 - momentum) * variances[-1]
        np.testing.assert_allclose(layer.statistics["running_mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(layer.statistics["running_var"], var, rtol=1e-12)
        assert layer.statistics["batches"] == k


def test_evaluation_uses_the_running_statistics_and_moves_nothing():
    layer = trained()
    before = {name: array.copy() for name, array in layer.statistics.items()}
    y = layer.forward(X)
    expected = (X - before["running_mean"]) / np.sqrt(before["running_var"] + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-13)
    for name, array in before.items():
        np.testing.assert_array_equal(layer.statistics[name], array)


def test_evaluation_of_a_row_does_not_depend_on_the_rows_beside_it():
    layer = trained()
    together = layer.forward(X)
    for row in range(0, 40, 7):
        np.testing.assert_array_equal(layer.forward(X[row : row + 1])[0], together[row])


def test_b15_before_any_training_evaluation_is_the_identity_up_to_eps():
    y = BatchNorm(5, dtype="float64").forward(X)
    np.testing.assert_allclose(y, X / np.sqrt(1 + 1e-5), rtol=1e-15)


@pytest.mark.parametrize("batches", [0, 3])
def test_a_batch_of_one_row_is_normalised_with_running_statistics_and_leaves_them_alone(batches):
    layer = trained(batches)
    before = {name: array.copy() for name, array in layer.statistics.items()}
    y = layer.forward(X[:1], train=True)
    dx, dgamma = layer.backward(np.ones((1, 5))), layer.grads["gamma"].copy()
    assert np.isfinite(dx).all()
    np.testing.assert_array_equal(y, layer.forward(X[:1]))
    np.testing.assert_array_equal(dx, layer.backward(np.ones((1, 5))))
    np.testing.assert_array_equal(dgamma, layer.grads["gamma"])
    for name, array in before.items():
        np.testing.assert_array_equal(layer.statistics[name], array)


def test_an_epoch_whose_last_batch_has_one_row_trains():
    network = MultiLayerNet(5, [6], 3, batch_norm=True)
    trainer = Trainer(network, (X[:21], np.arange(21) % 3), batch_size=10)
    assert np.isfinite([epoch.loss for epoch in trainer.run(3)]).all()
    assert network.statistics["batches1"] == 6  # of nine


def test_a_column_that_does_not_vary_becomes_beta():
    layer = BatchNorm(5, dtype="float64")
    y = layer.forward(np.full((4, 5), 2.5), train=True)
    np.testing.assert_array_equal(y, np.zeros((4, 5)))
    assert np.isfinite(layer.backward(X[:4])).all()


def test_without_scale_there_is_no_gamma_and_all_else_is_the_same():
    plain, scaled = trained(scale=False), trained()
    assert list(plain.params) == ["beta"]
    np.testing.assert_array_equal(plain.forward(X, train=True), scaled.forward(X, train=True))
    np.testing.assert_array_equal(plain.backward(X), scaled.backward(X))


def test_statistics_are_no_parameters_but_part_of_the_network_s_state():
    network = MultiLayerNet(5, [6, 4], 3, batch_norm=True)
    # The inner layers have no bias: in front of a mean that is subtracted it has no effect.
    assert " ".join(network.params) == "W1 W2 W3 gamma1 beta1 gamma2 beta2 b3"
    assert list(network.statistics)[:3] == ["running_mean1", "running_var1", "batches1"]
    size = sum(array.size for array in network.statistics.values())
    assert network.state_vector.size == network.vector.size + size
    assert np.shares_memory(network.state_vector, network.statistics["running_var2"])


COPIES = {
    "file": lambda network, path: (save_weights(network, path), load_weights(path))[1],
    "copy": lambda network, path: network.copy(),
    "pickle": lambda network, path: pickle.loads(pickle.dumps(network)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_b15_statistics_go_where_the_network_goes(copied, dtype, tmp_path):
    network = MultiLayerNet(5, [6, 4], 3, batch_norm=True, standardize="all", dtype=dtype)
    list(Trainer(network, (X, np.arange(40) % 3), batch_size=16).run(2))
    fresh = network.copy()
    for name, array in fresh.statistics.items():
        array[...] = MultiLayerNet(5, [6, 4], 3, batch_norm=True, standardize="all").statistics[
            name
        ]
    other = copied(network, tmp_path / "weights.npz")
    np.testing.assert_array_equal(other.predict(X), network.predict(X))
    assert (fresh.predict(X) != network.predict(X)).any()  # so they do matter
    network.gradient(X, np.arange(40) % 3)
    assert (other.predict(X) != network.predict(X)).any()  # and are not shared


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, "momentum must be"),
        ({"momentum": -0.1}, "momentum must be"),
        ({"eps": 0.0}, "eps must be"),
    ],
)
def test_batch_norm_names_an_option_out_of_its_range(options, message):
    with pytest.raises(ParameterError, match=message):
        BatchNorm(5, **options)


def test_normalizations_take_the_size_they_were_made_for():
    for layer in (BatchNorm(4), LayerNorm(4), Standardize(4)):
        with pytest.raises(ShapeError, match=r"takes 4 inputs, the layer before gives 5"):
            Network([Affine(6, 5), layer, ReLU(), Affine(5, 3)])


def test_statistics_measured_anew_are_those_of_the_undisturbed_samples_at_the_weights_there_are():
    network = MultiLayerNet(5, [6], 3, batch_norm=True, input_noise=1.0, dtype="float64")
    made = Trainer(network, (X, np.arange(40) % 3), batch_size=16, remeasure=30)
    list(made.run(2))
    inner = X[:30] @ network.params["W1"]
    np.testing.assert_allclose(network.statistics["running_mean1"], inner.mean(axis=0), rtol=1e-12)
    expected = inner.var(axis=0, ddof=1)
    np.testing.assert_allclose(network.statistics["running_var1"], expected, rtol=1e-12)


# LayerNorm


def test_layer_norm_gives_every_row_the_mean_0_and_the_variance_1_whatever_the_batch():
    layer = LayerNorm(5, eps=1e-12, dtype="float64")
    y = layer.forward(X, train=True)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=1), 1, rtol=1e-9)
    np.testing.assert_allclose(layer.forward(X[3:4]), y[3:4], rtol=1e-13)
    assert not layer.statistics


def test_layer_norm_of_equal_values_is_beta():
    layer = LayerNorm(5, dtype="float64")
    np.testing.assert_array_equal(layer.forward(np.full((2, 5), 2.5)), np.zeros((2, 5)))
    assert np.isfinite(layer.backward(X[:2])).all()


# Standardize


def test_standardize_is_scikit_learn_s_standard_scaler_on_the_training_samples_alone():
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(X)
    network = MultiLayerNet(5, [4], 3, standardize="features", dtype="float64")
    held_out = (X * 7 - 100, np.arange(40) % 3)
    list(Trainer(network, (X, np.arange(40) % 3), held_out).run(1))
    layer = network.layers[0]
    np.testing.assert_allclose(layer.statistics["input_mean"], scaler.mean_, rtol=1e-13)
    np.testing.assert_allclose(layer.statistics["input_std"], scaler.scale_, rtol=1e-13)
    np.testing.assert_allclose(
        layer.forward(held_out[0]), scaler.transform(held_out[0]), rtol=1e-12, atol=1e-13
    )


def test_standardize_of_more_rows_than_a_block_is_right_far_from_0_too():
    x = np.random.default_rng(0).normal(size=(2500, 2)) * [1.0, 1e-3] + [0.0, 1e6]
    layer = Standardize(2, dtype="float64")
    layer.adapt(x, 1.0)
    np.testing.assert_allclose(layer.statistics["input_mean"], x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.statistics["input_std"], x.std(axis=0), rtol=1e-9)


@pytest.mark.parametrize("over", ["features", "all"])
def test_a_column_that_never_varies_is_only_centred(over):
    for value in (0.0, 2.5, -7.0):
        layer = Standardize(2, over, dtype="float64")
        layer.adapt(np.full((7, 2), value), 1.0)
        np.testing.assert_array_equal(layer.forward(np.full((1, 2), value + 1)), [[1, 1]])


@pytest.mark.parametrize(("value", "rows"), [(0.1, 7), (1 / 3, 997), (-1e30, 2500), (1.0, 60_000)])
def test_nor_is_it_divided_by_what_rounding_leaves_of_its_mean(value, rows):
    layer = Standardize(1, dtype="float64")
    layer.adapt(np.full((rows, 1), value), 1.0)
    assert layer.statistics["input_std"] == 1


def test_a_deviation_that_float32_cannot_hold_is_none():
    layer = Standardize(1)
    layer.adapt(np.array([[0.0], [1e-50]]), 1.0)
    np.testing.assert_array_equal(layer.forward(np.zeros((1, 1), "float32")), [[0]])


def test_over_all_there_is_one_mean_and_one_deviation():
    layer = Standardize(5, "all", dtype="float64")
    layer.adapt(X * [1, 2, 3, 4, 0], 1.0)
    x = X * [1, 2, 3, 4, 0]
    np.testing.assert_allclose(layer.statistics["input_mean"], np.full(5, x.mean()), rtol=1e-13)
    np.testing.assert_allclose(layer.statistics["input_std"], np.full(5, x.std()), rtol=1e-13)


def test_standardize_looks_once():
    layer = Standardize(5, dtype="float64")
    np.testing.assert_array_equal(layer.forward(X), X)  # before it has looked
    layer.adapt(X, 1.0)
    before = layer.forward(X).copy()
    layer.adapt(X * 100, 1.0)
    np.testing.assert_array_equal(layer.forward(X), before)


def test_a_loaded_network_trained_on_other_samples_keeps_its_first_constants(tmp_path):
    network = MultiLayerNet(5, [4], 3, standardize="features")
    list(Trainer(network, (X, np.arange(40) % 3)).run(1))
    save_weights(network, tmp_path / "w.npz")
    loaded = load_weights(tmp_path / "w.npz")
    list(Trainer(loaded, (X * 9, np.arange(40) % 3)).run(1))
    for name in ("input_mean0", "input_std0", "input_rows0"):
        np.testing.assert_array_equal(loaded.statistics[name], network.statistics[name])


@pytest.mark.parametrize("over", ["features", "all"])
def test_bytes_with_a_scale_are_standardized_as_the_floats_they_stand_for(over):
    pixels = np.random.default_rng(0).integers(0, 256, size=(30, 5), dtype=np.uint8)
    by_bytes, by_floats = (MultiLayerNet(5, [4], 3, standardize=over) for _ in range(2))
    Trainer(by_bytes, Samples(pixels, np.arange(30) % 3, scale=1 / 255))
    Trainer(by_floats, (pixels / 255, np.arange(30) % 3))
    for name, array in by_floats.statistics.items():
        np.testing.assert_allclose(by_bytes.statistics[name], array, rtol=1e-6)
    x = (pixels / 255).astype("float32")
    y = by_bytes.layers[0].forward(x)
    assert abs(y.mean()) < 1e-6
    assert y.std() == pytest.approx(1, rel=1e-5)


def test_standardize_knows_two_words():
    with pytest.raises(
        ParameterError, match="standardize must be one of features, all, got 'rows'"
    ):
        Standardize(5, "rows")


def test_normalizations_say_what_they_are():
    layers = (BatchNorm(5), LayerNorm(5), Standardize(5))
    assert [repr(layer) for layer in layers] == [
        "BatchNorm(5)",
        "LayerNorm(5)",
        "Standardize(5, over='features')",
    ]


@pytest.mark.parametrize("over", ["features", "all"])
def test_a_weighted_row_counts_for_the_constants_as_if_it_stood_there_so_often(over):
    times = np.arange(40) % 4
    weighted, repeated = (
        Standardize(5, over, dtype="float64"),
        Standardize(5, over, dtype="float64"),
    )
    weighted.adapt(X, 0.5, times / 8.0)
    repeated.adapt(np.repeat(X, times, axis=0), 0.5)
    for name in ("input_mean", "input_std"):
        np.testing.assert_allclose(
            weighted.statistics[name], repeated.statistics[name], rtol=1e-12, atol=1e-14
        )


def test_sums_over_columns_have_the_dtype_of_what_is_summed():
    for dtype in ("float32", "float64"):
        x = X.astype(dtype)
        assert column_sums(x).dtype == column_sums(x, x).dtype == dtype


def test_one_row_alone_proves_nothing_about_batch_norm():
    assert BatchNorm(3).gradcheck_caveat(2) is None
    assert BatchNorm(3).gradcheck_caveat(1)


def test_float32_inputs_are_summed_in_float64_for_the_constants():
    x = (1000 + np.random.default_rng(0).normal(size=(3000, 1))).astype("float32")
    layer = Standardize(1, dtype="float64")
    layer.adapt(x, 1.0)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(layer.statistics["input_mean"], wide.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(layer.statistics["input_std"], wide.std(axis=0), rtol=1e-10)
