"""Softmax with cross-entropy: exact from the logits, and strict about labels."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import SoftmaxWithLoss, functions
from scratchnet.errors import DtypeError, ParameterError, ScratchnetError, ShapeError

T = np.array([0, 2, 1])
Y = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 3.0, 5.0]])


def exact(y, t):
    """The mean cross-entropy with 60 digits."""
    with mpmath.workdps(60):
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
    ("integer", [[0], [2], [1]], ShapeError, r"\(N,\), got \(3, 1\); use t.ravel\(\)"),
    ("integer", np.eye(3, dtype=int), ShapeError, r"got \(3, 3\); use .*labels='onehot'"),
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


def test_labels_are_never_guessed_from_their_shape():
    with pytest.raises(ParameterError, match="integer, onehot, soft, got 'auto'"):
        SoftmaxWithLoss(labels="auto")
    assert repr(SoftmaxWithLoss()) == "SoftmaxWithLoss(labels='integer')"
