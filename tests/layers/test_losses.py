"""Losses: exact from the outputs, strict about targets, and what their options mean."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import MultiLayerNet, SoftmaxWithLoss, functions
from scratchnet.errors import (
    CallOrderError,
    DtypeError,
    ParameterError,
    ScratchnetError,
    ShapeError,
)
from scratchnet.layers import BinaryCrossEntropy, MeanSquaredError, PoissonLoss

T = np.array([0, 2, 1])
Y = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 3.0, 5.0]])


def exact(y, t):
    """The mean cross-entropy with 400 digits: 60 of a loss of exp(-700) must be left of 1 + it."""
    with mpmath.workdps(400):
        rows = [
            mpmath.log(
                mpmath.fsum(mpmath.exp(mpmath.mpf(float(v)) - mpmath.mpf(float(r[k]))) for v in r)
            )
            for r, k in zip(y, t, strict=True)
        ]
        return mpmath.fsum(rows) / len(rows)


def test_the_loss_is_the_mean_cross_entropy():
    assert SoftmaxWithLoss().forward(Y, T) == pytest.approx(
        functions.cross_entropy(Y, T), rel=1e-14
    )


def test_a07_the_gradient_is_softmax_minus_one_hot_over_n():
    loss = SoftmaxWithLoss()
    loss.forward(Y, T)
    expected = (functions.softmax(Y) - np.eye(3)[T]) / 3
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-12, atol=1e-16)


@given(
    st.integers(2, 5).flatmap(
        lambda k: st.lists(
            st.lists(st.floats(-1e30, 1e30), min_size=k, max_size=k), min_size=1, max_size=4
        )
    ),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_p11_the_loss_is_exact_for_all_finite_logits(rows, data):
    y = np.array(rows)
    t = np.array(
        data.draw(st.lists(st.integers(0, y.shape[1] - 1), min_size=len(y), max_size=len(y)))
    )
    loss = SoftmaxWithLoss()
    with np.errstate(all="raise", under="ignore"):
        value, dy = loss.forward(y, t), loss.backward()
    true = exact(y, t)
    assert value >= 0
    assert abs(mpmath.mpf(value) - true) <= 1e-14 * true + mpmath.mpf(10) ** -320
    assert np.isfinite(dy).all()
    np.testing.assert_allclose(dy.sum(axis=1), 0, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("row", "label", "true"),
    [
        ([1e4, 0.0], 1, 1e4),
        ([1e30, -1e30], 1, 2e30),
        ([1e30, -1e30], 0, 0.0),
        ([50.0, 0.0], 1, 50.0),
        ([1000.0, 0.0, 0.0], 1, 1000.0),
        ([20.0, 0.0], 0, math.log1p(math.exp(-20))),
        ([0.0, 0.0], 0, math.log(2)),
        ([-3e38, 3e38], 0, 6e38),
    ],
)
def test_b08_nothing_is_added_inside_the_logarithm(dtype, row, label, true):
    loss = SoftmaxWithLoss()
    with np.errstate(all="raise", under="ignore"):
        value = loss.forward(np.array([row], dtype), np.array([label]))
        dy = loss.backward()
    assert value == pytest.approx(true, rel=1e-6 if dtype == "float32" else 1e-14)
    assert np.isfinite(dy).all()


def test_b09_soft_labels_have_the_loss_that_fits_their_gradient():
    t = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    loss = SoftmaxWithLoss(labels="soft")
    assert loss.forward(Y, t) == pytest.approx(-(t * functions.log_softmax(Y)).sum() / 3, rel=1e-14)
    np.testing.assert_allclose(loss.backward(), (functions.softmax(Y) - t) / 3, rtol=1e-12)


def test_one_hot_labels_are_the_integers_they_stand_for():
    loss = SoftmaxWithLoss(labels="onehot")
    value, dy = loss.forward(Y, np.eye(3)[T]), loss.backward()
    plain = SoftmaxWithLoss()
    assert value == plain.forward(Y, T)
    np.testing.assert_array_equal(dy, plain.backward())


def test_correct_rows_are_counted_by_the_largest_logit():
    for labels, t in (("integer", T), ("onehot", np.eye(3)[T]), ("soft", np.eye(3)[T])):
        loss = SoftmaxWithLoss(labels=labels)
        loss.forward(Y, t)
        assert loss.count_correct() == 1


BAD_LABELS = [
    ("integer", [[0], [2], [1]], ShapeError, r"\(3, 3\), got \(3, 1\); use t.ravel\(\)"),
    ("integer", np.full((3, 3), 1 / 3), ShapeError, r"got \(3, 3\); use .*labels='soft'"),
    ("integer", [[1, 1, 0]] * 3, ShapeError, r"one-hot \(3, 3\), got \(3, 3\)"),
    ("integer", [0, -1, 1], ShapeError, "from 0 to 2, .* got -1 at row 1"),
    ("integer", [0, 2, 3], ShapeError, "from 0 to 2, .* got 3 at row 2"),
    (
        "integer",
        [0.0, 1.0, 2.0],
        DtypeError,
        r"integers, got .*0.0.* at row 0 .*use t.astype\(int\)",
    ),
    ("integer", ["0", "1", "2"], DtypeError, "integers, got"),
    ("integer", [True, False, True], DtypeError, "integers, got"),
    ("integer", [0, 1], ShapeError, "x has 3, t has 2"),
    ("integer", [], ShapeError, "x has 3, t has 0"),
    ("integer", [[0, 1], [1, 2], [2, 0]], ShapeError, r"got \(3, 2\); use t.argmax"),
    ("integer", np.zeros((3, 1, 1)), ShapeError, r"use t.argmax\(axis=1\)"),
    ("integer", np.array([0, 1, 2], "m8[s]"), DtypeError, "integers, got"),
    ("onehot", [[1, 0, 0], [1, 1, 0], [0, 1, 0]], ShapeError, "hold one 1 and else 0, got"),
    ("soft", [[1, 0, 0], [0.5, 0.4999, 0], [0, 1, 0]], ShapeError, "hold numbers >= 0 that sum"),
    ("soft", np.ones((3, 3), "S1"), DtypeError, "must be numbers, got dtype"),
    ("onehot", T, ShapeError, r"must have the shape \(3, 3\), got \(3,\)"),
    ("onehot", [[1, 0, 0], [0, 0, 0], [0, 1, 0]], ShapeError, "one 1 .* at row 1"),
    ("onehot", [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0]], ShapeError, "one 1 .* at row 1"),
    ("soft", [[1, 0, 0], [0.5, 0.5, 0], [0, 1.5, -0.5]], ShapeError, "sum to 1, .* at row 2"),
    ("soft", [[1, 0, 0], [0.5, 0.2, 0], [0, 1, 0]], ShapeError, "sum to 1, .* at row 1"),
    ("soft", [["1", "0", "0"]] * 3, DtypeError, "must be numbers"),
]


@pytest.mark.parametrize(("labels", "t", "error", "message"), BAD_LABELS)
def test_b09_labels_that_do_not_fit_are_named_with_row_and_fix(labels, t, error, message):
    with pytest.raises(error, match=message) as caught:
        SoftmaxWithLoss(labels=labels).forward(Y, t)
    assert isinstance(caught.value, ScratchnetError)
    assert isinstance(caught.value, ValueError | TypeError)


def test_no_rows_of_labels_that_are_no_integers_are_named_by_their_dtype():
    with pytest.raises(DtypeError, match="integers, got dtype float64; use"):
        SoftmaxWithLoss().check_targets(np.zeros(0), 0, 3)


def test_soft_labels_sum_to_1_up_to_a_millionth_in_float32_too():
    loss = SoftmaxWithLoss("soft")
    shares = np.random.default_rng(0).dirichlet(np.ones(1000), 3).astype("float32")
    assert loss.check_targets(shares, 3, 1000) is shares
    rng = np.random.default_rng(0)
    for _ in range(100):  # a sum that float32 rounds to more than a millionth off
        row = rng.dirichlet(np.ones(36)).astype("float32")[np.newaxis]
        row[0, -1] += np.float32(0.97e-6)
        if abs(row.sum(dtype=float) - 1) <= 1e-6 < abs(float(row.sum()) - 1):
            break
    assert loss.check_targets(row, 1, 36) is row
    assert len(loss.check_targets([[0.5, 0.5 + 0.9e-6]], 1, 2)) == 1
    with pytest.raises(ShapeError, match="that sum to 1"):
        loss.check_targets([[0.5, 0.5 + 1.1e-6]], 1, 2)


def test_one_hot_labels_become_integers_and_soft_ones_stay():
    for labels, t in (("onehot", np.eye(3)[T]), ("soft", np.eye(3)[T])):
        found = SoftmaxWithLoss(labels).check_targets(t, 3, 3)
        np.testing.assert_array_equal(found, T if labels == "onehot" else t)


def test_another_form_of_labels_is_refused_by_name():
    with pytest.raises(ParameterError, match=r"^labels must be one of integer, onehot, soft, got"):
        SoftmaxWithLoss("hot")


def test_labels_are_never_guessed_from_their_shape():
    with pytest.raises(ParameterError, match="integer, onehot, soft, got 'auto'"):
        SoftmaxWithLoss(labels="auto")
    assert repr(SoftmaxWithLoss()) == "SoftmaxWithLoss(labels='integer')"


# Label smoothing


def smoothed(t, e, k):
    return (1 - e) * np.eye(k)[t] + e / k


@pytest.mark.parametrize("e", [0.1, 0.5, 0.99])
def test_label_smoothing_is_the_loss_of_labels_smoothed_by_hand(e):
    loss, by_hand = SoftmaxWithLoss(label_smoothing=e), SoftmaxWithLoss("soft")
    value, dy = loss.forward(Y, T), loss.backward()
    assert value == pytest.approx(by_hand.forward(Y, smoothed(T, e, 3)), rel=1e-14)
    np.testing.assert_allclose(dy, by_hand.backward(), rtol=1e-12, atol=1e-16)
    one_hot = SoftmaxWithLoss("onehot", label_smoothing=e)
    assert one_hot.forward(Y, np.eye(3)[T]) == value
    soft = SoftmaxWithLoss("soft", label_smoothing=e)
    assert soft.forward(Y, np.eye(3)[T]) == pytest.approx(value, rel=1e-14)


def test_smoothing_of_0_is_no_smoothing_to_the_bit():
    assert SoftmaxWithLoss(label_smoothing=0.0).forward(Y, T) == SoftmaxWithLoss().forward(Y, T)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e6, 2.0**23])
def test_with_smoothing_too_a_common_shift_of_the_logits_changes_nothing(shift, dtype):
    y = np.array([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
    shifted = (y + shift).astype(dtype)
    assert (shifted - np.dtype(dtype).type(shift) == y).all()  # the shift itself loses no digit
    t = np.array([0, 2])
    expected = SoftmaxWithLoss("soft").forward(y, smoothed(t, 0.1, 3))
    found = SoftmaxWithLoss(label_smoothing=0.1).forward(shifted, t)
    assert found == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("row", [[1e4, -1e4, 0.0], [1e30, -1e30, 1e30], [800.0, 0.0, 0.0]])
def test_smoothed_losses_of_extreme_logits_are_exact(row):
    y, e = np.array([row]), 0.1
    loss = SoftmaxWithLoss(label_smoothing=e)
    with np.errstate(all="raise", under="ignore"):
        value, dy = loss.forward(y, np.array([1])), loss.backward()
    with mpmath.workdps(60):
        logits = [mpmath.mpf(v) for v in row]
        top = max(logits)
        total = top + mpmath.log(mpmath.fsum(mpmath.exp(v - top) for v in logits))
        targets = [mpmath.mpf(e) / 3 + (1 - mpmath.mpf(e)) * (k == 1) for k in range(3)]
        true = mpmath.fsum(t * (total - v) for t, v in zip(targets, logits, strict=True))
    assert value == pytest.approx(float(true), rel=1e-14)
    assert np.isfinite(dy).all()


@pytest.mark.parametrize("value", [1.0, -0.1, "0.1"])
def test_label_smoothing_is_from_0_to_below_1(value):
    with pytest.raises(ParameterError, match="label_smoothing must be"):
        SoftmaxWithLoss(label_smoothing=value)


# Class weights


def test_class_weights_multiply_the_loss_of_a_row_and_the_mean_is_over_rows():
    w = np.array([2.0, 0.5, 3.0])
    loss = SoftmaxWithLoss(class_weight=w)
    rows = -functions.log_softmax(Y)[np.arange(3), T]
    assert loss.forward(Y, T) == pytest.approx((w[T] * rows).sum() / 3, rel=1e-14)
    expected = w[T][:, np.newaxis] * (functions.softmax(Y) - np.eye(3)[T]) / 3
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-12, atol=1e-16)
    half = SoftmaxWithLoss("soft", class_weight=w)
    t = np.array([[0.5, 0.5, 0.0]])
    plain = SoftmaxWithLoss("soft").forward(Y[:1], t)
    assert half.forward(Y[:1], t) == pytest.approx(1.25 * plain, rel=1e-14)


def test_weights_of_smoothed_float32_logits_are_summed_in_float64():
    y = np.array([[1e8, 1e8 - 8, 3.0]], "float32")
    loss = SoftmaxWithLoss(label_smoothing=0.5)
    exactly = 0.5 * 8 + 0.5 * (8 + (1e8 - 3)) / 3
    assert loss.forward(y, np.array([1])) == pytest.approx(
        exactly + np.log1p(np.exp(-8)), rel=1e-15
    )


def test_balanced_weights_of_soft_labels_count_their_shares():
    loss = SoftmaxWithLoss("soft", class_weight="balanced")
    with pytest.raises(
        CallOrderError,
        match=r"^balanced class weights .* or call network.adapt\(x, t\)$",
    ):
        loss.forward(Y, np.eye(3)[T])
    loss.adapt(np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]]), 3)
    np.testing.assert_allclose(loss.class_weight, [2 / (2 * 1), 2 / (2 * 1.25), 2 / (2 * 1)])


def test_balanced_weights_wait_for_the_training_labels_and_are_counted_once():
    loss = SoftmaxWithLoss(class_weight="balanced")
    assert loss.config()["class_weight"] == "balanced"
    loss.adapt(np.array([0, 0, 0, 2]), 3)
    assert loss.config()["class_weight"] == [4 / 6, 2, 2]  # of the two classes that there are
    loss.adapt(np.array([1, 1, 1, 1]), 3)
    assert loss.config()["class_weight"] == [4 / 6, 2, 2]
    with pytest.raises(CallOrderError, match="make a Trainer, or call"):
        SoftmaxWithLoss(class_weight="balanced").forward(Y, T)
    assert SoftmaxWithLoss(**loss.config()).forward(Y, T) == loss.forward(Y, T)


BAD_WEIGHTS = [
    ([1.0, -1.0, 1.0], "class_weight.1. must be"),
    ([1.0, float("nan"), 1.0], "class_weight.1. must be"),
    (["1", "2", "3"], "class_weight.0. must be"),
    ("even", "class_weight must be one of balanced, got 'even'"),
    (2.0, "class_weight must be"),
    (
        {0: 5.0, 1: 1.0},
        "a number for each class, 'balanced' or None, got",
    ),
]


@pytest.mark.parametrize(("weights", "message"), BAD_WEIGHTS)
def test_class_weights_are_a_number_for_each_class(weights, message):
    with pytest.raises(ParameterError, match=message):
        SoftmaxWithLoss(class_weight=weights)


def test_class_weights_of_another_number_of_classes_are_refused():
    with pytest.raises(ShapeError, match="one number for each of the 3 outputs, got 2"):
        SoftmaxWithLoss(class_weight=[1.0, 2.0]).forward(Y, T)


@pytest.mark.parametrize("weights", [[1.0, 2.0, 3.0], np.ones(3), "balanced"])
def test_class_weights_and_smoothing_are_options_of_softmax_alone(weights):
    with pytest.raises(ParameterError, match="class_weight is an option of the loss softmax"):
        MultiLayerNet(4, [], 3, loss="mean-squared-error", class_weight=weights)
    with pytest.raises(ParameterError, match="label_smoothing is an option of the losses softm"):
        MultiLayerNet(4, [], 3, loss="huber", label_smoothing=0.1)


def test_smoothed_targets_of_binary_cross_entropy_lie_nearer_to_a_half():
    y, t = np.random.default_rng(0).standard_normal((5, 1)), np.array([0, 1, 1, 0, 1])
    smooth = BinaryCrossEntropy("integer", label_smoothing=0.2)
    plain = BinaryCrossEntropy("values")
    assert smooth.forward(y, t) == pytest.approx(plain.forward(y, 0.1 + 0.8 * t[:, None]))
    np.testing.assert_allclose(smooth.backward(), plain.backward())
    assert smooth.count_correct() == int(((y[:, 0] > 0) == t).sum())
    net = MultiLayerNet(
        4, [], 1, loss="binary-cross-entropy", labels="integer", label_smoothing=0.1
    )
    assert net.loss_layer.config() == {"labels": "integer", "label_smoothing": 0.1}


# Losses of each output by itself


def test_the_mean_squared_error_is_the_book_s_sum_of_squares_a_row():
    loss, t = MeanSquaredError(), np.eye(3)[T]
    assert loss.forward(Y, t) == pytest.approx(0.5 * ((Y - t) ** 2).sum() / 3, rel=1e-15)
    np.testing.assert_allclose(loss.backward(), (Y - t) / 3, rtol=1e-15)
    labels = MeanSquaredError("integer")
    assert labels.forward(Y, T) == loss.forward(Y, t)
    np.testing.assert_array_equal(labels.backward(), loss.backward())


def test_binary_cross_entropy_of_two_classes_is_softmax_with_the_other_logit_at_0():
    y, t = np.array([[2.0], [-1.0], [0.0]]), np.array([1, 1, 0])
    loss, softmax = BinaryCrossEntropy("integer"), SoftmaxWithLoss()
    pairs = np.hstack([np.zeros((3, 1)), y])
    assert loss.forward(y, t) == pytest.approx(softmax.forward(pairs, t), rel=1e-14)
    np.testing.assert_allclose(loss.backward()[:, 0], softmax.backward()[:, 1], rtol=1e-13)


@pytest.mark.parametrize("t", [0.0, 1.0, 0.25])
@pytest.mark.parametrize("y", [-1e4, -745.0, -40.0, -1e-9, 0.0, 3.0, 40.0, 745.0, 1e4])
def test_b29_binary_cross_entropy_is_exact_for_extreme_logits(y, t):
    loss = BinaryCrossEntropy()
    with np.errstate(all="raise", under="ignore"):
        value, dy = loss.forward(np.array([[y]]), [[t]]), loss.backward()
    with mpmath.workdps(5000):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(y)))
        true = -(t * mpmath.log(p) + (1 - t) * mpmath.log(1 - p))
        slope = float(p - t)
    assert value == pytest.approx(float(true), rel=1e-13, abs=1e-300)
    assert dy[0, 0] == pytest.approx(slope, rel=1e-13, abs=1e-16)


def test_the_poisson_loss_is_half_the_deviance_and_0_where_the_mean_is_the_count():
    from sklearn.metrics import mean_poisson_deviance

    y, t = np.array([[0.3], [-1.0], [2.0]]), np.array([[0.0], [2.0], [7.0]])
    loss = PoissonLoss()
    expected = mean_poisson_deviance(t, np.exp(y)) / 2
    assert loss.forward(y, t) == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(loss.backward(), (np.exp(y) - t) / 3, rtol=1e-14)
    assert loss.forward(np.log(t[1:]), t[1:]) == pytest.approx(0, abs=1e-14)


BAD_TARGETS = [
    (MeanSquaredError(), np.ones((3, 2)), ShapeError, r"targets must have the shape \(3, 3\)"),
    (MeanSquaredError(), [["a"] * 3] * 3, DtypeError, "targets must be numbers"),
    (MeanSquaredError(), [[0, 0, 0], [0, np.inf, 0], [0, 0, 0]], ShapeError, "row 1, column 1"),
    (MeanSquaredError("integer"), [0, 3, 1], ShapeError, "from 0 to 2, .* got 3 at row 1"),
    (MeanSquaredError(), np.full((3, 3), np.nan), ShapeError, "targets must be finite, got nan"),
    (MeanSquaredError(), np.ones((3, 3), "m8[s]"), DtypeError, "must be numbers, got dtype"),
    (MeanSquaredError(), np.ones(3), ShapeError, r"shape \(3, 3\), got \(3,\)$"),
    (MeanSquaredError("integer"), np.full((3, 3), 0.5), ShapeError, r"shape \(N,\)"),
    (BinaryCrossEntropy(), [[0, 0, 0], [0, 0, 1.5], [0, 0, 0]], ShapeError, "from 0 to 1, got 1.5"),
    (BinaryCrossEntropy(), [[0, 0, 0], [0, 0, 0], [-1, 0, 0]], ShapeError, "row 2, column 0"),
    (PoissonLoss(), [[0, 0, 0], [0, -1, 0], [0, 0, 0]], ShapeError, "got -1 at row 1, column 1"),
]


@pytest.mark.parametrize(("loss", "t", "error", "message"), BAD_TARGETS)
def test_b09_targets_that_do_not_fit_are_named_with_row_and_column(loss, t, error, message):
    with pytest.raises(error, match=message):
        loss.forward(Y, t)


def test_targets_without_their_column_are_told_how_to_get_it():
    with pytest.raises(ShapeError, match=r"got \(3,\); use t\[:, np.newaxis\]$"):
        MeanSquaredError().forward(Y[:, :1], np.ones(3))
    with pytest.raises(ShapeError, match=r"got \(3, 2\)$"):
        MeanSquaredError().forward(Y[:, :1], np.ones((3, 2)))


def test_with_a_single_output_labels_are_0_and_1():
    for kind in (MeanSquaredError, BinaryCrossEntropy, PoissonLoss):
        np.testing.assert_array_equal(kind("integer").check_targets([0, 1], 2, 1), [0, 1])
        with pytest.raises(ShapeError, match=r"from 0 to 1, .* got 2 at row 1"):
            kind("integer").check_targets([0, 2], 2, 1)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (MeanSquaredError(), [0.0, 0.0, 0.25, 1.0, 1.0]),
        (BinaryCrossEntropy(), [0.5, 1 / (1 + math.e**2), 0.5621765, 0.7310586, 0.8807971]),
        (PoissonLoss(), [1.0, math.e**-2, 1.0, 1.0, 1.0]),
    ],
)
def test_confidences_are_probabilities(loss, expected):
    y = np.array([[0.0, -2.0, 0.25, 1.0, 2.0]])
    np.testing.assert_allclose(loss.confidences(y), [expected], rtol=1e-6)


def test_where_an_output_or_a_target_is_a_half_it_counts_as_below():
    for y, t, right in ((0.5, 0.5, 1), (0.5, 1.0, 0), (0.6, 0.5, 0), (0.6, 1.0, 1)):
        squares, binary = MeanSquaredError(), BinaryCrossEntropy()
        squares.forward(np.array([[y]]), [[t]])
        binary.forward(np.array([[y - 0.5]]), [[t]])
        assert squares.count_correct() == binary.count_correct() == right


def test_of_two_labelled_logits_the_larger_one_counts():
    loss = BinaryCrossEntropy("integer")
    loss.forward(np.array([[2.0, 1.0], [-2.0, -1.0]]), np.array([0, 1]))
    assert loss.count_correct() == 2


def test_the_poisson_loss_of_a_count_below_1_has_its_logarithm():
    loss = PoissonLoss()
    assert loss.forward(np.log([[0.5]]), np.array([[0.5]])) == pytest.approx(0, abs=1e-15)
    assert loss.forward(np.array([[0.0]]), np.array([[0.5]])) == pytest.approx(
        1 + 0.5 * math.log(0.5) - 0.5
    )


@pytest.mark.parametrize(
    ("loss", "y", "t", "right"),
    [
        (MeanSquaredError(), Y, np.eye(3)[T], 1),
        (MeanSquaredError("integer"), Y, T, 1),
        (MeanSquaredError("integer"), Y[:, :1] / 3, np.array([1, 0, 1]), 2),
        (BinaryCrossEntropy("integer"), Y, T, 1),
        (BinaryCrossEntropy("integer"), Y[:, :1], np.array([1, 1, 0]), 2),
        (BinaryCrossEntropy(), Y, (Y > 0).astype(float), 3),
        (BinaryCrossEntropy(), Y, np.eye(3)[T], 0),
        (PoissonLoss(), Y, np.eye(3)[T], 1),
    ],
)
def test_rows_of_an_elementwise_loss_are_right_by_the_largest_output_or_its_side(loss, y, t, right):
    loss.forward(y, t)
    assert loss.count_correct() == right


def test_losses_say_what_they_are():
    loss = SoftmaxWithLoss("onehot", label_smoothing=0.1, class_weight=[1, 2])
    assert repr(loss) == (
        "SoftmaxWithLoss(labels='onehot', label_smoothing=0.1, class_weight=[1.0, 2.0])"
    )
    assert repr(BinaryCrossEntropy()) == "BinaryCrossEntropy(labels='values')"
