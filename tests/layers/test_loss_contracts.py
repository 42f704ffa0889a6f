"""What every loss of the table promises, whichever it is."""

import numpy as np
import pytest
from contracts import CLASSES, COPIES, DTYPES, inputs

from scratchnet import check_gradients
from scratchnet.errors import CallOrderError
from scratchnet.layers import (
    LOSSES,
    BinaryCrossEntropy,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonLoss,
    QuantileLoss,
    SoftmaxWithLoss,
)

ONE_HOT = np.eye(5)[CLASSES]
SOFT = np.random.default_rng(5).dirichlet(np.ones(5), 7)
WEIGHTS = (0.5, 2.0, 0.0, 1.0, 3.0)
FIVE = (0.05, 0.25, 0.5, 0.75, 0.95)
LOSS_CASES = {
    "softmax": (lambda: SoftmaxWithLoss(), CLASSES),
    "softmax-onehot": (lambda: SoftmaxWithLoss("onehot"), ONE_HOT),
    "softmax-soft": (lambda: SoftmaxWithLoss("soft"), SOFT),
    "smoothed": (lambda: SoftmaxWithLoss(label_smoothing=0.1), CLASSES),
    "smoothed-soft": (lambda: SoftmaxWithLoss("soft", label_smoothing=0.3), SOFT),
    "weighted": (lambda: SoftmaxWithLoss(class_weight=WEIGHTS), CLASSES),
    "weighted-soft": (lambda: SoftmaxWithLoss("soft", class_weight=WEIGHTS), SOFT),
    "smoothed-weighted": (
        lambda: SoftmaxWithLoss("onehot", label_smoothing=0.2, class_weight=WEIGHTS),
        ONE_HOT,
    ),
    "squares": (lambda: MeanSquaredError(), SOFT * 3 - 1),
    "squares-integer": (lambda: MeanSquaredError("integer"), CLASSES),
    "binary": (lambda: BinaryCrossEntropy(), SOFT),
    "binary-integer": (lambda: BinaryCrossEntropy("integer"), CLASSES),
    "poisson": (lambda: PoissonLoss(), np.floor(SOFT * 8)),
    "poisson-integer": (lambda: PoissonLoss("integer"), CLASSES),
    "absolute": (lambda: MeanAbsoluteError(), SOFT * 3 - 1),
    "absolute-integer": (lambda: MeanAbsoluteError("integer"), CLASSES),
    "huber": (lambda: Huber(delta=0.7), SOFT * 3 - 1),
    "huber-integer": (lambda: Huber("integer"), CLASSES),
    "quantile": (lambda: QuantileLoss(FIVE, center=0.2, scale=2.0), SOFT[:, :1] * 3 - 1),
    "quantile-single": (lambda: QuantileLoss([0.9]), SOFT[:, :1] * 3 - 1),
    "squares-single": (lambda: MeanSquaredError("integer"), CLASSES % 2),
    "binary-single": (lambda: BinaryCrossEntropy("integer"), CLASSES % 2),
}
LOSS_NAMES = pytest.mark.parametrize("name", LOSS_CASES)


def make_loss_case(name, dtype="float32", seed=0):
    """A loss, outputs for it, and targets."""
    make, t = LOSS_CASES[name]
    return make(), inputs(columns=1 if name.endswith("single") else 5, dtype=dtype, seed=seed), t


def test_every_loss_is_under_contract_and_made_by_its_name_alone():
    assert {type(make()) for make, _ in LOSS_CASES.values()} == {*LOSSES.values(), QuantileLoss}
    for kind in LOSSES.values():
        assert kind().labels == kind.known_labels[0]


@LOSS_NAMES
@pytest.mark.parametrize("seed", range(3))
def test_a_loss_has_the_right_gradient(name, seed):
    loss, y, t = make_loss_case(name, seed=seed)
    report = check_gradients(loss, y, t)
    assert report.status == "passed"
    assert report.arrays[0].error <= 1e-9


@LOSS_NAMES
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loss_keeps_the_dtype_and_its_arguments(name, dtype):
    loss, y, t = make_loss_case(name, dtype)
    y_before, t_before = y.copy(), t.copy()
    value = loss.forward(y, t)
    dy = loss.backward()
    assert type(value) is float
    assert value >= 0
    assert dy.shape == y.shape
    assert dy.dtype == dtype
    np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(t, t_before)


@LOSS_NAMES
def test_b25_scaling_a_loss_scales_its_gradient(name):
    loss, y, t = make_loss_case(name)
    loss.forward(y, t)
    once = loss.backward()
    assert np.abs(once).max() > 0
    np.testing.assert_allclose(loss.backward(3.0), 3.0 * once, rtol=1e-6)


@LOSS_NAMES
def test_b16_a_loss_refuses_backward_before_forward(name):
    loss = LOSS_CASES[name][0]()
    for method in (loss.backward, loss.count_correct):
        with pytest.raises(CallOrderError, match="call forward"):
            method()


@LOSS_NAMES
def test_a_loss_is_a_mean_over_rows(name):
    loss, y, t = make_loss_case(name, "float64")
    whole, dy = loss.forward(y, t), loss.backward()
    rows = [(loss.forward(y[k : k + 1], t[k : k + 1]), loss.backward()) for k in range(7)]
    assert whole == pytest.approx(np.mean([value for value, _ in rows]), rel=1e-14)
    np.testing.assert_allclose(dy, np.concatenate([g for _, g in rows]) / 7, rtol=1e-13, atol=1e-16)


@LOSS_NAMES
def test_a_row_of_weight_2_counts_as_if_it_stood_there_twice_and_one_of_0_not_at_all(name):
    loss, y, t = make_loss_case(name, "float64")
    w = np.array([2.0, 1, 0, 2, 1, 0, 1])  # of mean 1
    twice = np.repeat(np.arange(7), w.astype(int))
    expected, dy = loss.forward(y[twice], t[twice]), loss.backward()
    assert loss.compute(y, loss.check_targets(t, *y.shape), w) == pytest.approx(expected, rel=1e-13)
    for row, slope in enumerate(loss.backward()):
        np.testing.assert_allclose(slope, dy[twice == row].sum(axis=0), rtol=1e-12, atol=1e-16)
    assert loss.compute(y, loss.check_targets(t, *y.shape), 0 * w) == 0
    assert not loss.backward().any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_float32_outputs_is_summed_in_float64(name):
    n = 10_000
    y, t = np.zeros((n + 1, 2), "float32"), np.ones(n + 1, int)
    # Beside a loss of 1e8 a float32 has steps of 8, and 10,000 small ones are lost.
    y[0, 0] = 18.5 if name == "poisson" else 2.0**27
    y[1:] = (0.25, 0.5)
    loss = LOSSES[name]("integer")
    first, small = loss.forward(y[:1], t[:1]), loss.forward(y[1:2], t[1:2])
    assert loss.forward(y, t) * (n + 1) - first == pytest.approx(
        n * small, abs=0.01 + 1e-15 * first
    )


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@LOSS_NAMES
def test_a_copied_loss_behaves_the_same(name, copied):
    loss, y, t = make_loss_case(name)
    loss.forward(y, t)
    again = type(loss)(**loss.config())
    for other in (copied(loss), again):
        assert other.forward(y[::-1], t[::-1]) == loss.forward(y[::-1], t[::-1])
        np.testing.assert_array_equal(other.backward(), loss.backward())
    assert repr(again) == repr(loss)
