"""The gradient checker: it must fail on a wrong gradient, and not pass where it proved nothing."""

import numpy as np
import pytest

from scratchnet import (
    Affine,
    MultiLayerNet,
    Network,
    ReLU,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
    check_gradients,
)
from scratchnet.errors import (
    DtypeError,
    GradientCheckError,
    InconclusiveCheckError,
    ParameterError,
)
from scratchnet.layers import BatchNorm, Dropout, GaussianNoise, Layer, Standardize

X = np.random.default_rng(0).normal(size=(4, 5))
T = np.array([0, 1, 2, 0])


class BatchMean(Layer):
    """y = x - mean(x) over the batch: a statistic of the batch, as in batch normalisation."""

    def forward(self, x, *, train=False):
        return x - x.mean(axis=0)

    def input_grad(self, dout):
        return dout - dout.mean(axis=0)


def wrong(kind, method, change):
    """A subclass of a layer whose `method` returns or writes something else."""

    def changed(self, dout):
        result = getattr(kind, method)(self, dout)
        if result is None:
            for g in self.grads.values():
                g[...] = change(g)
            return None
        return change(result)

    return type(f"Wrong{kind.__name__}", (kind,), {method: changed})


def one_off(g):
    g = g.copy()
    g.flat[-1] += 1e-6 * np.abs(g).max()
    return g


CHANGES = {
    "sign": lambda g: -g,
    "factor": lambda g: g * 1.0001,
    "zero": np.zeros_like,
    "a millionth in one element": one_off,
    "shifted": lambda g: g + 1e-6,
    "nan": lambda g: g * np.nan,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("kind", [ReLU, Sigmoid, Tanh])
def test_a_wrong_input_gradient_fails(kind, change):
    with pytest.raises(GradientCheckError, match="gradient check: failed"):
        check_gradients(wrong(kind, "input_grad", change)(), X)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("method", ["input_grad", "param_grads"])
def test_a_wrong_affine_fails_alone_and_in_a_network(method, change):
    kind = wrong(Affine, method, change)
    with pytest.raises(GradientCheckError):
        check_gradients(kind(5, 3), X)
    # In a network the wrong layer is the second, so that its input gradient matters.
    network = Network([Affine(5, 6), Tanh(), kind(6, 3, rng=1)])
    with pytest.raises(GradientCheckError):
        check_gradients(network, X, T)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_wrong_loss_fails(change):
    class Wrong(SoftmaxWithLoss):
        def backward(self, dout=1.0):
            return change(super().backward(dout))

    with pytest.raises(GradientCheckError) as caught:
        check_gradients(Wrong(), X, T)
    assert caught.value.report.status == "failed"
    assert caught.value.report.arrays[0].reason.startswith("at (")


def test_right_gradients_raise_no_alarm_over_100_seeds():
    for seed in range(100):
        x = np.random.default_rng(seed).normal(size=(3, 4))
        network = MultiLayerNet(4, [9], 3, activation="tanh", seed=seed)
        assert check_gradients(network, x, T[:3]).status == "passed"


def test_b06_gradients_that_are_all_zero_prove_nothing():
    with pytest.raises(InconclusiveCheckError, match="every gradient is 0"):
        check_gradients(ReLU(), -np.abs(X) - 1)
    network = MultiLayerNet(5, [6], 3)
    network.params["b1"] = np.full(6, -100)
    report = check_gradients(network, X, T, raises=False)
    assert report.status == "inconclusive"
    assert {c.name: c.status for c in report.arrays}["W1"] == "inconclusive"


def test_b06_a_single_sample_through_a_batch_statistic_proves_nothing():
    assert check_gradients(BatchMean(), X).status == "passed"
    with pytest.raises(InconclusiveCheckError):
        check_gradients(BatchMean(), X[:1])
    network = Network([Affine(5, 4), BatchMean(), Affine(4, 3)])
    assert check_gradients(network, X, T, raises=False).arrays[0].status == "passed"
    with pytest.raises(InconclusiveCheckError):
        check_gradients(network, X[:1], T[:1])


NORMALIZED = {
    "layer": BatchNorm(5),
    "network": Network([Affine(5, 6, bias=False), BatchNorm(6), Tanh(), Affine(6, 3, rng=1)]),
    "multi-layer": MultiLayerNet(5, [6, 6], 3, "tanh", batch_norm=True, dropout=0.2, noise=0.1),
}
ROWS = np.random.default_rng(8).normal(size=(8, 5))
LABELS = np.arange(8) % 3


@pytest.mark.parametrize("subject", NORMALIZED.values(), ids=NORMALIZED)
def test_b06_batch_norm_of_a_single_sample_is_inconclusive_and_of_eight_right(subject):
    with pytest.raises(InconclusiveCheckError, match="a batch of one row with constants; try x"):
        check_gradients(subject, ROWS[:1], LABELS[:1])
    report = check_gradients(subject, ROWS, LABELS)
    assert report.status == "passed"
    assert max(check.error for check in report.arrays) <= 1e-9
    # In evaluation the statistics are constants, and one row is as good as eight.
    assert check_gradients(subject, ROWS[:1], LABELS[:1], train=False).status == "passed"


def test_b06_a_bias_that_batch_norm_cancels_is_inconclusive_not_wrong():
    network = Network([Affine(6, 5), BatchNorm(5), ReLU(), Affine(5, 3, rng=1)])
    x = np.random.default_rng(0).normal(size=(8, 6))
    report = check_gradients(network, x, LABELS, raises=False)
    assert report.status == "inconclusive"
    found = {check.name: check for check in report.arrays}
    assert found["b1"].status == "inconclusive"
    assert "every gradient is 0" in found["b1"].reason
    assert {check.status for name, check in found.items() if name != "b1"} == {"passed"}
    # In evaluation it has its effect.
    assert check_gradients(network, x, LABELS, train=False).status == "passed"


def test_a_wrong_gradient_of_one_row_through_batch_norm_is_wrong_not_inconclusive():
    network = Network([Affine(5, 4), BatchNorm(4), wrong(Affine, "param_grads", one_off)(4, 3)])
    assert check_gradients(network, ROWS[:1], LABELS[:1], raises=False).status == "failed"


class ForgetsTheMean(BatchNorm):
    def input_grad(self, dout):
        return super().input_grad(dout) + dout.mean(axis=0) * self._slope()


class RedrawsTheMask(Dropout):
    def input_grad(self, dout):
        self.forward(dout, train=True)
        return super().input_grad(dout)


class PassesEverything(Dropout):
    def input_grad(self, dout):
        return dout


@pytest.mark.parametrize("layer", [ForgetsTheMean(5), RedrawsTheMask(), PassesEverything()])
def test_a_wrong_layer_of_training_fails(layer):
    with pytest.raises(GradientCheckError, match="gradient check: failed"):
        check_gradients(layer, ROWS)


def test_the_check_leaves_statistics_and_random_numbers_as_they_were():
    layers = [Standardize(5), GaussianNoise(), BatchNorm(5), Dropout(), Affine(5, 3)]
    network = Network(layers)
    network.adapt(ROWS, LABELS)
    network.gradient(ROWS, LABELS)
    before, state = network.state_vector.copy(), layers[1].rng.bit_generator.state
    check_gradients(network, ROWS, LABELS)
    for layer in layers[:-1]:
        check_gradients(layer, ROWS)
    np.testing.assert_array_equal(network.state_vector, before)
    assert layers[1].rng.bit_generator.state == state


def test_b06_points_on_a_kink_are_left_out_and_counted():
    x = np.where(np.arange(200).reshape(20, 10) == 7, 0.0, 1.0)
    report = check_gradients(ReLU(), x)
    assert report.status == "passed"
    assert (report.arrays[0].elements, report.arrays[0].excluded) == (200, 1)
    assert "199 of 200 elements" in str(report)


def test_b06_too_many_points_on_kinks_prove_nothing():
    x = np.ones((4, 5))
    x[:, 0] = 0
    with pytest.raises(InconclusiveCheckError, match="4 elements lie on kinks"):
        check_gradients(ReLU(), x)


def test_b06_a_kink_between_any_two_of_the_points_leaves_the_element_out():
    for side in (-1.5e-4, 1.5e-4):  # only the farthest of the points is beyond the kink
        x = np.ones((1, 20))
        x[0, 3] = side
        assert check_gradients(ReLU(), x).arrays[0].excluded == 1


def test_b06_a_kink_in_a_layer_of_a_layer_counts():
    class Rectified(Layer):
        def __init__(self):
            super().__init__()
            self.relu = ReLU()
            self.children = (self.relu,)

        def forward(self, x, *, train=False):
            return self.relu.forward(x, train=train)

        def input_grad(self, dout):
            return self.relu.input_grad(dout)

    x = np.ones((1, 20))
    x[0, 3] = 0.0
    layer = Rectified()
    assert check_gradients(layer, x).arrays[0].excluded == 1
    assert layer.relu.x is None


def test_b06_where_every_element_lies_on_a_kink_nothing_is_proved():
    report = check_gradients(ReLU(), np.zeros((2, 3)), raises=False)
    assert report.arrays[0].reason == "6 elements lie on kinks; try another x"
    assert report.status == "inconclusive"


def test_b06_a_tenth_of_the_elements_may_lie_on_kinks():
    x = np.ones((1, 10))
    x[0, 0] = 0.0
    assert check_gradients(ReLU(), x).status == "passed"


class Slope(Layer):
    """y = slope x, which claims another slope."""

    def __init__(self, slope, claimed=None):
        super().__init__()
        self.slope, self.claimed = slope, slope if claimed is None else claimed

    def forward(self, x, *, train=False):
        return self.slope * x

    def input_grad(self, dout):
        return self.claimed * dout


@pytest.mark.parametrize("slope", [1e-5, 1.0, 1e5])
def test_an_error_is_relative_to_the_gradient(slope):
    assert check_gradients(Slope(slope), X).status == "passed"
    with pytest.raises(GradientCheckError) as caught:
        check_gradients(Slope(slope, slope * 1.000001), X)
    assert not isinstance(caught.value, InconclusiveCheckError)
    assert caught.value.report.arrays[0].error == pytest.approx(1e-6, rel=1e-3)


def test_gradients_below_1e_10_of_the_function_count_as_0():
    x = np.array([[0.5]])
    weight = np.random.default_rng(271828).normal(size=(1, 1))[0, 0]  # of the only output
    for gradient, status in ((0.9e-10, "inconclusive"), (1.1e-10, "passed"), (1.9e-10, "passed")):
        assert check_gradients(Slope(gradient / weight), x, raises=False).status == status


class Constant(Layer):
    """y = 1e4 (sin^2 x + cos^2 x), which is constant up to rounding."""

    def forward(self, x, *, train=False):
        return 1e4 * (np.sin(x) ** 2 + np.cos(x) ** 2)

    def input_grad(self, dout):
        return np.zeros_like(dout)


def test_rounding_of_a_large_function_is_no_gradient():
    for value in np.linspace(0.1, 1.5, 8):
        report = check_gradients(Constant(), np.array([[value]]), raises=False)
        assert report.arrays[0].reason == "every gradient is 0; try another x"
        assert report.arrays[0].error == 0.0


def test_an_error_that_is_the_tolerance_passes_and_says_nothing():
    check = check_gradients(Tanh(), X).arrays[0]
    assert check.error > 0
    assert check.reason == ""
    assert str(check).endswith(" 20 of 20 elements")
    assert check_gradients(Tanh(), X, tolerance=check.error).status == "passed"
    assert check_gradients(Tanh(), X) == check_gradients(Tanh(), X)  # the same weights each time


def test_b06_the_subject_is_left_as_it_was():
    network = MultiLayerNet(5, [6], 3)
    network.gradient(X, T)
    vector, gradient = network.vector.copy(), network.gradient_vector.copy()
    check_gradients(network, X + 1, T)
    np.testing.assert_array_equal(network.vector, vector)
    np.testing.assert_array_equal(network.gradient_vector, gradient)
    layer, x = Affine(5, 3), X.copy()
    weights = layer.params["W"].copy()
    check_gradients(layer, x)
    np.testing.assert_array_equal(layer.params["W"], weights)
    np.testing.assert_array_equal(x, X)
    assert layer.params["W"].dtype == "float32"


def test_b07_integers_are_refused_and_float32_is_checked_in_float64():
    with pytest.raises(DtypeError, match=r"must be floats .* got int64"):
        check_gradients(ReLU(), np.arange(6).reshape(2, 3))
    report = check_gradients(MultiLayerNet(5, [9], 3, "tanh"), X.astype("float32"), T)
    assert max(check.error for check in report.arrays) < 1e-9


def test_b08_soft_labels_have_the_gradient_of_their_loss():
    t = np.random.default_rng(0).dirichlet(np.ones(5), 4)
    assert check_gradients(SoftmaxWithLoss(labels="soft"), X, t).status == "passed"
    assert check_gradients(SoftmaxWithLoss(labels="onehot"), X, np.eye(5)[T]).status == "passed"


def test_a_network_or_loss_needs_labels():
    for subject in (MultiLayerNet(5, [6], 3), SoftmaxWithLoss()):
        message = "^a network or a loss needs labels t for its gradient check, got None$"
        with pytest.raises(ParameterError, match=message):
            check_gradients(subject, X)


def test_the_report_names_every_array_and_the_worst_element():
    report = check_gradients(wrong(Affine, "param_grads", one_off)(5, 3), X, raises=False)
    assert [check.name for check in report.arrays] == ["x", "W", "b"]
    assert [check.status for check in report.arrays] == ["passed", "failed", "failed"]
    assert "at (4, 2) the gradient is" in report.arrays[1].reason
    assert str(report).splitlines()[0] == "gradient check: failed"
