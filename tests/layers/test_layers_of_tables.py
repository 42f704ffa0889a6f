"""Layers for tables: numbers of any scale, categories, and columns of several kinds."""

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder, RobustScaler

from scratchnet import Network, Trainer
from scratchnet.errors import ParameterError
from scratchnet.layers import (
    Affine,
    Columns,
    Embedding,
    Identity,
    MeanSquaredError,
    PiecewiseLinear,
    RobustScale,
    Scale,
)
from scratchnet.layers.numbers import column_quantiles

RNG = np.random.default_rng(0)
LARGEST = float(np.finfo(np.float32).max)


def adapted(layer, x, weights=None, scale=1.0):
    layer.build(x.shape[1:])
    layer.initialize()
    layer.adapt(np.asarray(x), scale, weights)
    return layer


def test_robust_scaling_is_scikit_learns_before_the_soft_bound():
    x = RNG.standard_cauchy((41, 3)) * [1, 100, 1e-5] + [0, 7, 0]  # quartiles are values of 41
    z = RobustScaler().fit_transform(x)
    y = adapted(RobustScale(dtype="float64"), x).forward(x)
    np.testing.assert_allclose(y, z / np.sqrt(1 + (z / 3) ** 2), atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_value_comes_beyond_the_bound(dtype):
    x = np.linspace(-1, 1, 9)[:, None]
    layer = adapted(RobustScale(dtype=dtype), x)
    far = np.array([[LARGEST], [-LARGEST], [1e30], [-40.0]], dtype)
    y = layer.forward(far)
    np.testing.assert_allclose(y[:3, 0], [3, -3, 3], rtol=1e-6)
    assert (np.abs(y) <= 3).all()
    assert np.isfinite(layer.backward(np.ones_like(y))).all()


def test_a_column_whose_quartiles_are_equal_is_scaled_by_its_range():
    x = np.array([[0.0], [0.0], [0.0], [0.0], [0.0], [0.0], [0.0], [8.0]])
    z = x / 4
    y = adapted(RobustScale(dtype="float64"), x).forward(x)
    np.testing.assert_allclose(y, z / np.sqrt(1 + (z / 3) ** 2))


@pytest.mark.parametrize("kind", [RobustScale, PiecewiseLinear])
def test_a_constant_column_becomes_0(kind):
    x = np.full((5, 1), 1234.5, "float32")
    layer = adapted(kind(), x)
    for given in (x, x + 100):
        assert not layer.forward(given).any()
        assert not layer.backward(np.ones((5, layer.output_shape((1,))[0]), "float32")).any()


def test_codes_say_how_far_a_value_is_in_each_bin():
    layer = PiecewiseLinear(1, bins=2, dtype="float64")
    layer.adapt(np.array([[0.0], [1.0], [3.0]]), 1.0)
    assert layer.statistics["input_edges"].tolist() == [0, 1]
    codes = layer.forward(np.array([[-1.0], [0.5], [1.0], [2.0], [9.0]]))
    assert codes.tolist() == [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1]]


def test_an_affine_layer_behind_codes_is_any_curve_of_straight_pieces():
    x = RNG.exponential(size=(200, 1))
    layer = adapted(PiecewiseLinear(bins=7, dtype="float64"), x)
    edges = np.append(layer.statistics["input_edges"], x.max())
    heights = RNG.standard_normal(8)
    given = np.linspace(-1, 9, 50)[:, None]
    curve = heights[0] + layer.forward(given) @ np.diff(heights)
    np.testing.assert_allclose(curve, np.interp(given[:, 0], edges, heights), atol=1e-12)


def test_bins_are_equally_full():
    x = RNG.lognormal(size=(2400, 2))
    layer = adapted(PiecewiseLinear(bins=24, dtype="float64"), x)
    for values, edges in zip(x.T, layer.statistics["input_edges"].reshape(2, -1), strict=True):
        edges = np.append(edges, values.max())
        assert np.histogram(values, edges)[0].tolist() == pytest.approx([100] * 24, abs=1)


def test_equal_quantiles_make_fewer_bins():
    x = np.repeat([0.0, 1.0, 5.0], [70, 20, 10])[:, None]
    layer = adapted(PiecewiseLinear(bins=10, dtype="float64"), x)
    assert layer.statistics["input_edges"].tolist() == [0, 1, *[5] * 8]
    codes = layer.forward(np.array([[0.5], [3.0], [5.0]]))
    assert codes[:, :2].tolist() == [[0.5, 0], [1, 0.5], [1, 1]]
    assert not codes[:, 2:].any()


@pytest.mark.parametrize("kind", [RobustScale, PiecewiseLinear])
def test_a_row_of_weight_k_counts_as_k_rows(kind):
    x, k = RNG.standard_normal((60, 2)), RNG.integers(0, 4, 60)
    weighted = adapted(kind(dtype="float64"), x, weights=k * 0.37)
    repeated = adapted(kind(dtype="float64"), np.repeat(x, k, axis=0))
    for name in set(weighted.statistics) - {"input_rows"}:
        np.testing.assert_array_equal(weighted.statistics[name], repeated.statistics[name])


@pytest.mark.parametrize("kind", [RobustScale, PiecewiseLinear])
def test_raw_bytes_are_measured_as_they_are_scaled_and_only_once(kind):
    x = RNG.integers(0, 256, (80, 3), dtype=np.uint8)
    layer = adapted(kind(dtype="float64"), x, scale=1 / 255)
    other = adapted(kind(dtype="float64"), x / 255)
    for name in layer.statistics:
        np.testing.assert_allclose(layer.statistics[name], other.statistics[name], rtol=1e-12)
    before = {name: array.copy() for name, array in layer.statistics.items()}
    layer.adapt(x, 1.0)
    assert all((layer.statistics[name] == before[name]).all() for name in before)


def test_quantiles_are_those_of_numpy_by_the_inverted_distribution():
    x, shares = RNG.standard_normal((37, 4)), np.linspace(0, 1, 12)
    found = column_quantiles(x, 2.0, shares)
    np.testing.assert_array_equal(
        found.T, np.quantile(x, shares, axis=0, method="inverted_cdf") * 2
    )


def test_an_embedding_is_an_affine_layer_behind_one_hot_codes():
    sizes, width = [3, 5], 4
    x = np.column_stack([RNG.integers(0, n, 50) for n in sizes]).astype(float)
    layer = Embedding(sizes, width, rng=3, dtype="float64")
    dout = RNG.standard_normal((50, 8))
    y = layer.forward(x)
    layer.backward(dout)
    hot = OneHotEncoder(categories=[np.arange(n) for n in sizes], sparse_output=False)
    codes, E = hot.fit_transform(x), layer.params["E"]
    np.testing.assert_allclose(y, np.hstack([codes[:, :3] @ E[:3], codes[:, 3:] @ E[3:]]))
    dE = np.vstack([codes[:, :3].T @ dout[:, :4], codes[:, 3:].T @ dout[:, 4:]])
    np.testing.assert_allclose(layer.grads["E"], dE, atol=1e-14)


@pytest.mark.parametrize("unknown", [-1.0, 3.0, 1e9, -np.inf, np.inf, np.nan])
def test_what_is_no_category_counts_as_the_first(unknown):
    layer = adapted(Embedding([3], 2), np.zeros((1, 1)))
    x = np.array([[unknown]], "float32")
    np.testing.assert_array_equal(layer.forward(x)[0], layer.params["E"][0])


def test_vectors_of_categories_have_a_length_of_about_1():
    layer = adapted(Embedding([2000], 16, rng=1), np.zeros((1, 1)))
    lengths = np.linalg.norm(layer.params["E"], axis=1)
    assert np.sqrt((lengths**2).mean()) == pytest.approx(1, abs=0.02)


def test_columns_go_through_layers_of_their_own():
    x = RNG.standard_normal((6, 5))
    parts = Scale(dtype="float64"), Affine(2, dtype="float64"), Identity()
    layer = adapted(Columns([2, 2, 1], parts), x)
    y, dout = layer.forward(x), RNG.standard_normal((6, 5))
    dx = layer.backward(dout)
    for part, piece in zip(parts, (slice(0, 2), slice(2, 4), slice(4, 5)), strict=True):
        np.testing.assert_array_equal(y[:, piece], part.forward(x[:, piece].copy()))
        np.testing.assert_array_equal(dx[:, piece], part.backward(dout[:, piece].copy()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Columns([2], [Scale(), Scale()]),
        lambda: Columns([], []),
        lambda: Columns([0], [Scale()]),
        lambda: Embedding([]),
    ],
)
def test_columns_without_a_layer_are_refused(make):
    with pytest.raises(ParameterError):
        make()


def test_a_network_learns_what_jumps_and_what_a_category_says():
    x = np.column_stack([RNG.uniform(-1e4, 1e4, 600), RNG.integers(0, 3, 600)])
    t = np.where(np.abs(x[:, 0]) < 3e3, 1.0, -1.0) + np.array([0.0, 2.0, -1.0])[x[:, 1].astype(int)]
    layers = [Columns([1, 1], [PiecewiseLinear(bins=40), Embedding([3], 2)]), Affine(1)]
    network = Network(layers, MeanSquaredError(), input_shape=(2,))
    trainer = Trainer(network, (x.astype("float32"), t[:, None]), batch_size=50, lr=0.03, seed=0)
    losses = [epoch.loss for epoch in trainer.run(60)]
    assert losses[-1] < 0.1 < 0.5 < losses[0]
