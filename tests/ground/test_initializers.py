"""Starting weights: their spread by formula, and the book's chapter 6 statistics."""

import numpy as np
import pytest

from scratchnet import ReLU, Sigmoid, Tanh
from scratchnet.errors import ParameterError
from scratchnet.initializers import INITIALIZERS, find_initializer

SHAPE = (400, 300)
STD = {
    "he": (2 / 400) ** 0.5,
    "he-uniform": (2 / 400) ** 0.5,
    "xavier": (2 / 700) ** 0.5,
    "xavier-uniform": (2 / 700) ** 0.5,
    "lecun": (1 / 400) ** 0.5,
    "lecun-uniform": (1 / 400) ** 0.5,
    "orthogonal": (1 / 400) ** 0.5,
    "relu": (2 / 400) ** 0.5,
    "sigmoid": (1 / 400) ** 0.5,
}


def draw(which, shape=SHAPE, seed=0):
    return find_initializer(which)(np.random.default_rng(seed), shape)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_spread_is_that_of_the_formula(name):
    W = draw(name)
    assert W.shape == SHAPE
    assert W.std() == pytest.approx(STD[name], rel=0.01)  # 120,000 draws: sd of std is 0.2 %
    assert abs(W.mean()) < 5 * STD[name] / W.size**0.5


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name.endswith("uniform")])
def test_uniform_weights_stay_within_sqrt_3_standard_deviations(name):
    assert np.abs(draw(name)).max() <= 3**0.5 * STD[name]


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_same_seed_draws_the_same_weights(name):
    np.testing.assert_array_equal(draw(name), draw(name))
    assert (draw(name) != draw(name, seed=1)).any()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (7, 1)])
def test_orthogonal_weights_have_orthonormal_columns_or_rows(shape):
    W = draw("orthogonal", shape)
    gram = W.T @ W if shape[0] >= shape[1] else W @ W.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-14)


def test_a_number_is_the_standard_deviation_of_normal_weights():
    assert draw(0.01).std() == pytest.approx(0.01, rel=0.01)
    assert not draw(0.0).any()


def test_a_function_is_used_as_it_is():
    np.testing.assert_array_equal(draw(lambda rng, shape: np.ones(shape)), np.ones(SHAPE))


@pytest.mark.parametrize("std", [-1.0, float("nan"), float("inf")])
def test_a_standard_deviation_is_finite_and_not_negative(std):
    with pytest.raises(ParameterError, match="std must be a finite number >= 0, got"):
        find_initializer(std)


def test_b24_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(ParameterError, match="did you mean 'xavier'"):
        find_initializer("xavir")


BOOK = [  # std, layer, activation; mean and standard deviation of the fifth layer's outputs
    (Sigmoid, 1.0, 0.542967326137, 0.436805316314),
    (Sigmoid, 0.01, 0.501074693421, 0.0115082470718),
    (Sigmoid, 0.1, 0.509921094759, 0.116056127535),
    (Sigmoid, 0.02**0.5, 0.513148502176, 0.161790537987),
    (Tanh, 1.0, 0.000993460828191, 0.956448476877),
    (Tanh, 0.01, -1.80452802973e-08, 9.65938988214e-06),
    (Tanh, 0.1, -0.000625715003178, 0.313520365955),
    (Tanh, 0.02**0.5, -0.00124701531107, 0.558273810029),
    (ReLU, 1.0, 11658.8647709, 17695.6459848),
    (ReLU, 0.01, 1.16588647709e-06, 1.76956459848e-06),
    (ReLU, 0.1, 0.116588647709, 0.176956459848),
    (ReLU, 0.02**0.5, 0.659524987237, 1.00101690187),
]


@pytest.mark.parametrize(("kind", "std", "mean", "spread"), BOOK)
def test_the_book_s_five_layers_of_100_units_have_the_known_activations(kind, std, mean, spread):
    # Protocol: RandomState(0) anew for each cell; 1,000 inputs, then w five times, of N(0, 1).
    random, layer = np.random.RandomState(0), kind()
    x = random.randn(1000, 100)
    for _ in range(5):
        x = layer.forward(x @ (random.randn(100, 100) * std))
    assert x.mean() == pytest.approx(mean, rel=1e-9)
    assert x.std() == pytest.approx(spread, rel=1e-9)


def test_the_book_s_words_are_those_of_the_activations():
    assert INITIALIZERS["relu"] is INITIALIZERS["he"]
    assert INITIALIZERS["sigmoid"] is INITIALIZERS["lecun"]  # the book's sqrt(1 / n_in)
