"""Networks: the book's interface, exact accuracy, and a border that lets no mistake through."""

import numpy as np
import pytest

from scratchnet import Affine, MultiLayerNet, Network, ReLU, SoftmaxWithLoss, TwoLayerNet, functions
from scratchnet.errors import DataWarning, DtypeError, ParameterError, ShapeError
from scratchnet.networks import plan

RNG = np.random.default_rng(0)
X = RNG.normal(size=(37, 6))
T = RNG.integers(0, 4, 37)


def by_hand(network, x):
    """The logits of a ReLU network in plain NumPy."""
    for k in range(1, len(network.sizes)):
        x = x @ network.params[f"W{k}"] + network.params[f"b{k}"]
        x = np.maximum(x, 0) if k < len(network.sizes) - 1 else x
    return x


@pytest.mark.parametrize("hidden", [[], [5], [5, 7, 3]])
def test_predict_is_the_plain_numpy_expression(hidden):
    network = MultiLayerNet(6, hidden, 4, dtype="float64")
    np.testing.assert_allclose(network.predict(X), by_hand(network, X), rtol=1e-12, atol=1e-14)


def test_predict_returns_a_copy():
    network = MultiLayerNet(6, [5], 4)
    first = network.predict(X)
    kept = first.copy()
    network.predict(X + 1)
    np.testing.assert_array_equal(first, kept)


def test_loss_and_gradient_are_those_of_cross_entropy_with_l2_on_weights_only():
    network = MultiLayerNet(6, [], 4, l2=0.3, dtype="float64")
    network.params["b1"] = [1, 2, 3, 4]
    W = network.params["W1"]
    logits = by_hand(network, X)
    data_loss = functions.cross_entropy(logits, T)
    assert network.penalty() == pytest.approx(0.15 * (W**2).sum())
    assert network.loss(X, T) == pytest.approx(data_loss + 0.15 * (W**2).sum())
    dy = (functions.softmax(logits) - np.eye(4)[T]) / len(T)
    grads = network.gradient(X, T)
    np.testing.assert_allclose(grads["W1"], X.T @ dy + 0.3 * W, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(grads["b1"], dy.sum(axis=0), rtol=1e-10, atol=1e-14)
    assert grads is network.grads
    assert grads.vector is network.gradient_vector


@pytest.mark.parametrize("n", [1, 2, 36, 37])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 10, 36, 37, 38, 1000])
def test_a09_b10_accuracy_is_a_hand_count_for_every_batch_size(n, batch_size):
    network = MultiLayerNet(6, [5], 4, dtype="float64")
    hits = sum(int(row.argmax()) == t for row, t in zip(by_hand(network, X[:n]), T, strict=False))
    assert network.accuracy(X[:n], T[:n], batch_size=batch_size) == hits / n


def test_two_layer_net_is_a_multi_layer_net_with_one_hidden_layer():
    two, multi = TwoLayerNet(6, 5, 4, seed=3), MultiLayerNet(6, [5], 4, seed=3)
    np.testing.assert_array_equal(two.vector, multi.vector)


def test_the_seed_alone_decides_the_starting_weights():
    same = [MultiLayerNet(6, [5, 5], 4, seed=7).vector for _ in range(2)]
    np.testing.assert_array_equal(*same)
    other = MultiLayerNet(6, [5, 5], 4, seed=8)
    assert (other.params["W1"] != MultiLayerNet(6, [5, 5], 4, seed=7).params["W1"]).all()
    assert (other.params["W2"][:5, :4] != other.params["W3"]).any()


def test_a_layer_s_start_does_not_depend_on_the_layers_behind_it():
    short, long = MultiLayerNet(6, [5], 4), MultiLayerNet(6, [5, 9, 9], 4)
    np.testing.assert_array_equal(short.params["W1"], long.params["W1"])


def test_both_dtypes_start_from_the_same_weights():
    single, double = (MultiLayerNet(6, [5], 4, dtype=d) for d in ("float32", "float64"))
    np.testing.assert_array_equal(single.vector, double.vector.astype("float32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_b11_b19_everything_has_the_network_s_dtype_whatever_comes_in(dtype):
    network = MultiLayerNet(6, [5], 4, dtype=dtype)
    for x in (X, X.astype("float32"), X.astype(">f8"), X.astype("float16")):
        assert network.predict(x).dtype == dtype
        network.gradient(x, T)
    kept = [array for layer in network.layers for array in layer._kept.values()]
    assert {array.dtype.name for array in kept} <= {dtype, "bool"}
    assert {a.dtype.name for a in (*network.params.values(), *network.grads.values())} == {dtype}


def test_the_input_gradient_of_the_first_layer_is_never_computed():
    network = MultiLayerNet(6, [5], 4)
    network.gradient(X, T)
    assert "dx" not in network.layers[0]._kept
    assert "dx" in network.layers[2]._kept


def test_no_step_allocates_in_a_layer_once_the_buffers_are_there():
    network = MultiLayerNet(6, [5, 5], 4)
    network.gradient(X, T)
    before = [(id(a), name) for layer in network.layers for name, a in layer._kept.items()]
    network.gradient(X[:9], T[:9])
    network.gradient(X, T)
    assert before == [(id(a), name) for layer in network.layers for name, a in layer._kept.items()]


def test_images_are_flattened():
    network = MultiLayerNet(6, [5], 4)
    np.testing.assert_array_equal(network.predict(X.reshape(37, 2, 3)), network.predict(X))


def test_bytes_above_1_are_taken_with_a_hint_to_scale_them():
    network = MultiLayerNet(6, [5], 4)
    with pytest.warns(DataWarning, match=r"x has the mean 255; .*divide pixels by 255"):
        network.predict(np.full((2, 6), 255, np.uint8))
    network.predict(np.ones((2, 6), np.uint8))
    network.predict(np.ones((2, 6), bool))


BAD_INPUTS = [
    (X[0], ShapeError, r"\(N, 6\), got \(6,\).*x.reshape\(1, -1\)"),
    (X[:, :5], ShapeError, r"\(N, 6\), got \(37, 5\)"),
    (X[:0], ShapeError, r"\(N, 6\), got \(0, 6\)"),
    (X.astype(str), DtypeError, "real numbers, got dtype <U"),
    (X.astype(object), DtypeError, "real numbers, got dtype object"),
    (X.astype(complex), DtypeError, "real numbers, got dtype complex128"),
    (
        np.where(np.arange(222).reshape(37, 6) == 105, np.nan, X),
        ShapeError,
        "nan at row 17, column 3",
    ),
    (np.where(np.arange(222).reshape(37, 6) == 105, -np.inf, X), ShapeError, "-inf at row 17, col"),
]


@pytest.mark.parametrize(("x", "error", "message"), BAD_INPUTS)
def test_inputs_that_do_not_fit_are_named(x, error, message):
    network = MultiLayerNet(6, [5], 4)
    for use in (network.predict, lambda x: network.gradient(x, T), lambda x: network.loss(x, T)):
        with pytest.raises(error, match=message):
            use(x)


def test_large_but_finite_inputs_are_no_error():
    network = MultiLayerNet(6, [5], 4, initializer=1e-30)
    assert np.isfinite(network.predict(np.full((9, 6), 3e38))).all()


def test_b09_labels_are_checked_wherever_they_come_in():
    network = MultiLayerNet(6, [5], 4)
    for use in (network.loss, network.gradient, network.accuracy):
        with pytest.raises(ShapeError, match="got 4 at row 2"):
            use(X[:3], [0, 1, 4])
        with pytest.raises(ShapeError, match=r"use t.ravel\(\)"):
            use(X, T.reshape(-1, 1))


def test_soft_labels_train_through_an_explicit_option():
    network = Network([Affine(6, 4)], SoftmaxWithLoss(labels="soft"))
    assert network.loss(X, np.full((37, 4), 0.25)) > 0
    assert 0 <= network.accuracy(X, np.eye(4)[T]) <= 1


BAD_OPTIONS = [
    ({"input_size": 0}, "input_size must be an integer >= 1, got 0"),
    ({"hidden_sizes": [50, -3]}, r"hidden_sizes\[1\] must be an integer >= 1, got -3"),
    ({"hidden_sizes": (50.0,)}, r"hidden_sizes\[0\] must be an integer >= 1, got 50.0"),
    ({"hidden_sizes": "50"}, r"hidden_sizes\[0\] must be an integer >= 1, got '5'"),
    ({"hidden_sizes": None}, "hidden_sizes must be integers >= 1, .*got None"),
    ({"output_size": True}, "output_size must be an integer >= 1, got True"),
    ({"activation": "tanhh"}, "unknown activation 'tanhh'; did you mean 'tanh'"),
    ({"activation": np.tanh}, "activation must be one of the names relu, .*got <ufunc"),
    ({"initializer": "glorot"}, "unknown initializer 'glorot'"),
    ({"l2": -1}, "l2 must be a finite number >= 0, got -1"),
    ({"l2": float("nan")}, "l2 must be a finite number >= 0, got nan"),
    ({"l2": "0"}, "l2 must be a finite number >= 0, got '0'"),
    ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ({"seed": 1.5}, "seed must be an integer >= 0, got 1.5"),
    ({"dtype": "float8"}, "dtype must be one of float32, float64, got 'float8'"),
    ({"dtype": "int32"}, "dtype must be one of float32, float64, got .int32."),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ParameterError, match=message):
        MultiLayerNet(**{"input_size": 6, "hidden_sizes": [5], "output_size": 4} | options)


def test_b24_sizes_may_be_any_sequence_and_names_have_any_case():
    for sizes in ([5, 3], (5, 3), np.array([5, 3]), range(5, 2, -2), iter([5, 3])):
        assert MultiLayerNet(6, sizes, 4, activation="ReLU").sizes == (6, 5, 3, 4)
    assert MultiLayerNet(6, 5, 4, seed=2**200).sizes == (6, 5, 4)


def test_layers_that_do_not_fit_together_are_refused():
    with pytest.raises(ShapeError, match=r"Affine\(5, 2\) takes 5 inputs, .* gives 4"):
        Network([Affine(6, 4), ReLU(), Affine(5, 2)])
    for layers in ([], [ReLU()]):
        with pytest.raises(ParameterError, match="at least one layer with parameters"):
            Network(layers)


def test_layers_without_parameters_may_come_first():
    network = Network([ReLU(), Affine(6, 4)])
    network.gradient(X, T)
    np.testing.assert_allclose(network.predict(X), network.predict(np.maximum(X, 0)))


def test_b24_the_summary_counts_the_parameters_of_every_layer():
    network = MultiLayerNet(784, [100, 50], 10)
    lines = network.summary().splitlines()
    assert lines[2].split() == ["1", "Affine(784,", "100)", "(N,", "100)", "78,500"]
    assert "84,060 parameters, float32, 328.4 KiB" in lines[-1]
    assert network.vector.size == plan((784,), [], [100, 50], 10)[0] + 160 == 84_060
    assert "MiB" in MultiLayerNet(784, [1000], 10).summary()
    assert repr(TwoLayerNet(6, 5, 4)) == "TwoLayerNet(Affine(6, 5), ReLU(), Affine(5, 4))"
