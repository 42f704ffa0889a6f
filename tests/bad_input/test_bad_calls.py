"""Arrays and hyper-parameters in Python that cannot be, and unusual ones that can."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from desk import GOOD, RIGHT, net
from scipy import sparse

from scratchnet import (
    SGD,
    AdaGrad,
    Adam,
    MultiLayerNet,
    Nesterov,
    Network,
    RMSprop,
    Samples,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
)
from scratchnet.errors import (
    DataError,
    DataWarning,
    DtypeError,
    ParameterError,
    ScratchnetError,
    ShapeError,
)
from scratchnet.layers import Affine
from scratchnet.optimizers import Momentum
from scratchnet.training import EarlyStopping

RNG = np.random.default_rng(3)


def cell(value: float, dtype: str = "float64") -> np.ndarray:
    x = GOOD.astype(dtype)
    x[2, 3] = value
    return x


def with_label(value: Any) -> np.ndarray:
    t = RIGHT.astype(type(value))
    t[5] = value
    return t


def onehot_net() -> Network:
    return Network([Affine(4, 3, rng=np.random.default_rng(0))], SoftmaxWithLoss(labels="onehot"))


CALLS: list[tuple[int, Callable[[], object], type[ScratchnetError], str]] = [
    (24, lambda: Samples(cell(np.nan), RIGHT), DataError,
     "x has NaN at row 2, column 3 .1 of 6 rows.; drop these rows or fill them in"),
    (24, lambda: Trainer(net(), (cell(np.nan), RIGHT)), DataError, "x has NaN at row 2, column 3"),
    (24, lambda: net().loss(cell(np.nan), RIGHT), ShapeError,
     "x must hold finite numbers, got nan at row 2, column 3; remove or replace"),
    (25, lambda: Samples(cell(-np.inf), RIGHT), DataError, "x has -inf at row 2, column 3"),
    (25, lambda: Samples(cell(1e300), RIGHT), DataError,
     "x has 1e.300 .beyond float32. at row 2, column 3"),
    (25, lambda: net().predict(cell(np.inf)), ShapeError, "finite.* inf at row 2, column 3"),
    (26, lambda: Samples(GOOD[0], [0]), ShapeError, r"got \(4,\); write x.reshape\(1, -1\)"),
    (26, lambda: net().predict(GOOD[0]), ShapeError,
     r"x must have the shape \(N, 4\), got \(4,\); .*x.reshape\(1, -1\)"),
    (28, lambda: Samples(GOOD[:0], []), ShapeError, r"at least 1 sample .*got shape \(0, 4\)"),
    (28, lambda: Samples(GOOD[:, :0], RIGHT), ShapeError, r"1 feature, got shape \(6, 0\)"),
    (28, lambda: net().predict(GOOD[:0]), ShapeError, r"\(N, 4\), got \(0, 4\)"),
    (29, lambda: Samples([["a", "b"]], [0]), DtypeError, "x must hold real numbers, got .*<U1"),
    (29, lambda: Samples(np.array([[None]]), [0]), DtypeError, "real numbers, got .*object"),
    (29, lambda: Samples(GOOD * 1j, RIGHT), DtypeError, "real numbers, got .*complex128"),
    (29, lambda: Samples([[1, 2], [3]], [0, 1]), ShapeError, "x must be an array with rows of one"),
    (29, lambda: Samples(sparse.eye(3).tocsr(), [0, 1, 2]), DtypeError, r"sparse.*x.toarray\(\)"),
    (29, lambda: Samples(np.ma.masked_less(GOOD, 0), RIGHT), DtypeError, r"masked.*x.filled\("),
    (29, lambda: Samples(np.zeros((2, 1), "M8[s]"), [0, 1]), DtypeError, r"datetime64\[s\]"),
    (29, lambda: net().predict(GOOD * 1j), DtypeError, "real numbers, got dtype complex128"),
    (31, lambda: Samples(GOOD, RIGHT[1:]), ShapeError, "x has 6 rows, t has 5; give one label"),
    (31, lambda: net().loss(GOOD, RIGHT[1:]), ShapeError, "as many rows, x has 6, t has 5"),
    (32, lambda: Samples(GOOD, with_label(0.5)), DtypeError,
     r"integer labels, got float64 \(0.5 at row 5\); number the classes 0, 1, 2"),
    (32, lambda: Samples(GOOD, RIGHT * 1.0), DtypeError, r"got float64 .*write t.astype\(int\)"),
    (32, lambda: net().loss(GOOD, RIGHT * 1.0), DtypeError,
     r"labels must be integers, got .*float64.*use t.astype\(int\)"),
    (33, lambda: Samples(GOOD, with_label(-1)), ShapeError,
     r"t has the label -1 at row 5; labels must be 0, 1, 2.*np.unique\(t, return_inverse"),
    (33, lambda: net().gradient(GOOD, with_label(-1)), ShapeError,
     "labels must be from 0 to 2, the outputs of the network, got -1 at row 5"),
    (34, lambda: Trainer(net(), (GOOD, with_label(3))), ShapeError,
     "labels must be from 0 to 2, the outputs of the network, got 3 at row 5"),
    (34, lambda: Trainer(net(), (GOOD, RIGHT), (GOOD, with_label(3))), ShapeError, "3 at row 5"),
    (34, lambda: net().accuracy(GOOD, with_label(3)), ShapeError, "from 0 to 2.* got 3 at row 5"),
    (35, lambda: Samples(GOOD, RIGHT[:, None]), ShapeError, r"got \(6, 1\); try t.ravel\(\)"),
    (35, lambda: net().loss(GOOD, RIGHT[:, None]), ShapeError, r"got \(6, 1\); use t.ravel\(\)"),
    (36, lambda: Trainer(net(), (GOOD, np.full((6, 3), 1 / 3))), ShapeError,
     r"\(N,\), or one-hot \(6, 3\), got \(6, 3\); use .*labels='soft'"),
    (36, lambda: Samples(GOOD, np.eye(3, dtype=int)[RIGHT]), ShapeError,
     r"t must have the shape \(samples,\), got \(6, 3\); try t.argmax\(axis=1\)"),
    (36, lambda: net().loss(GOOD, np.eye(5)[RIGHT]), ShapeError, r"one-hot \(6, 3\), got \(6, 5\)"),
    (36, lambda: onehot_net().loss(GOOD, RIGHT), ShapeError,
     r"onehot labels must have the shape \(6, 3\), got \(6,\)"),
    (36, lambda: onehot_net().loss(GOOD, np.full((6, 3), 1 / 3)), ShapeError,
     "one 1 and else 0, got .*at row 0"),
    (40, lambda: net().predict(GOOD[:, :3]), ShapeError, r"shape \(N, 4\), got \(6, 3\)"),
    (40, lambda: Trainer(net(), (GOOD[:, :3], RIGHT)), ShapeError,
     "train must have the 4 columns that the network takes, got 3"),
    (43, lambda: Samples(np.eye(3), [0, 1, 2]).split(0.1, 0), ParameterError,
     "fraction=0.1 of 3 samples holds out none: .*give at least one class two"),
    (43, lambda: Samples(GOOD, RIGHT).split(1.5, 0), ParameterError,
     "fraction must lie between 0 and 1, got 1.5"),
    (45, lambda: MultiLayerNet(4, (50.0,), 3), ParameterError, r"hidden_sizes\[0\] must.*got 50.0"),
    (45, lambda: MultiLayerNet(4, (5, 0), 3), ParameterError, r"hidden_sizes\[1\] must.*got 0"),
    (45, lambda: TwoLayerNet(4, True, 3), ParameterError, "hidden_size must.*got True"),
    (46, lambda: MultiLayerNet(4, "50", 3), ParameterError, "hidden_sizes.* must.*, got '5"),
    (46, lambda: MultiLayerNet(4, None, 3), ParameterError, r"for example \[100, 50\], got None"),
    (47, lambda: net(activation=np.tanh), ParameterError,
     "activation must be one of the names relu, .*got <ufunc 'tanh'>"),
    (47, lambda: net(activation="tahn"), ParameterError, "unknown activation 'tahn'; did you mean"),
    (47, lambda: Trainer(net(), (GOOD, RIGHT), optimizer="adma"), ParameterError,
     "unknown optimizer 'adma'; did you mean 'adam'.*sgd"),
    (47, lambda: net(initializer="hee"), ParameterError, "unknown initializer 'hee'.*'he'"),
    (48, lambda: Momentum(momentum=1.5), ParameterError, "momentum must .*>= 0 and < 1, got 1.5"),
    (48, lambda: Nesterov(momentum=-0.1), ParameterError, "momentum must .*< 1, got -0.1"),
    (48, lambda: Adam(beta1=1.0), ParameterError, "beta1 must be .*>= 0 and < 1, got 1.0"),
    (48, lambda: Adam(beta2=float("nan")), ParameterError, "beta2 must .*< 1, got nan"),
    (48, lambda: RMSprop(decay=1), ParameterError, "decay must be .*>= 0 and < 1, got 1"),
    (48, lambda: AdaGrad(eps=0), ParameterError, "eps must be a finite number > 0, got 0"),
    (48, lambda: SGD(lr="fast"), ParameterError, "lr must be a finite number > 0, got 'fast'"),
    (48, lambda: SGD(True), ParameterError, "lr must be a finite number > 0, got True"),
    (48, lambda: net(l2=-1), ParameterError, "l2 must .*>= 0, got -1"),
    (48, lambda: net(initializer=-0.1), ParameterError, "std must be .*>= 0, got -0.1"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT), batch_size=0), ParameterError,
     "batch_size must be .* got 0"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT), batch_size=2.5), ParameterError,
     "batch_size must be .* got 2.5"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT), lr=0), ParameterError, "lr must .*> 0.*, got 0"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT), threads=0), ParameterError, "threads .*None, got 0"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT)).run(0), ParameterError, "epochs .*>= 1, got 0"),
    (48, lambda: Trainer(net(), (GOOD, RIGHT)).run(1.5), ParameterError, "epochs .*>= 1, got 1.5"),
    (48, lambda: EarlyStopping(net(), 0), ParameterError, "patience must be .*>= 1 or None, got 0"),
    (48, lambda: Samples(GOOD, RIGHT, scale=0), ParameterError, "scale must be .*above 0, got 0"),
    (49, lambda: net(seed=-1), ParameterError, "seed must be an integer >= 0, got -1"),
    (49, lambda: net(seed="a"), ParameterError, "seed must be an integer >= 0, got 'a'"),
    (49, lambda: Trainer(net(), (GOOD, RIGHT), seed=RNG), ParameterError,
     "seed must be an integer >= 0, got Generator"),
    (50, lambda: net(dtype="float8"), ParameterError, "dtype must be .*float32, float64, got"),
    (50, lambda: net(dtype="int32"), ParameterError, "dtype must .*float64, got '?int32"),
    (51, lambda: Trainer(net(), (GOOD, RIGHT), optimizer="sgd", beta1=0.9), ParameterError,
     "sgd has no option 'beta1'; it has lr"),
    (51, lambda: Trainer(net(), (GOOD, RIGHT), optimizer=SGD(), lr=1.0), ParameterError,
     "to the optimizer itself, or give its name"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "call", "kind", "message"), CALLS, ids=[f"{row[0]} {row[3][:40]}" for row in CALLS]
)
def test_a_bad_array_or_hyper_parameter_is_an_error_that_names_it(number, call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert issubclass(kind, ScratchnetError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "x",
    [
        GOOD.astype("float16"),
        GOOD.astype(">f8"),
        np.asfortranarray(GOOD),
        GOOD > 0,
        GOOD.tolist(),
        (GOOD * 9).astype(int),
        GOOD.reshape(6, 2, 2),
        np.ma.masked_array(GOOD),
    ],
    ids=["float16", "big-endian", "F-order", "bool", "list", "int", "images", "unmasked"],
)
def test_numbers_of_every_kind_train_and_are_never_written_to(x):
    before = np.array(x)
    plain = before.reshape(6, 4).astype(np.float32)
    network, other = net(), net()
    list(Trainer(network, (x, RIGHT), batch_size=4).run(3))
    list(Trainer(other, (plain, RIGHT), batch_size=4).run(3))
    np.testing.assert_array_equal(np.array(x), before)
    np.testing.assert_array_equal(network.vector, other.vector)


def test_a_read_only_array_trains_and_a_later_change_by_the_caller_is_no_crash():
    x = GOOD.copy()
    x.flags.writeable = False
    list(Trainer(net(), (x, RIGHT), batch_size=4).run(2))
    same = RNG.standard_normal((6, 4))
    trainer = Trainer(net(), (same, RIGHT), (same, RIGHT), batch_size=4)
    for _ in trainer.run(2):
        same[:] = 0


def test_bytes_that_are_not_scaled_are_accepted_with_a_hint():
    pixels = RNG.integers(0, 256, (6, 4), dtype=np.uint8)
    with pytest.warns(DataWarning, match="x has the mean 1.*divide pixels by 255"):
        assert net().predict(pixels).shape == (6, 3)


@pytest.mark.parametrize("sizes", [(np.int64(5),), [5], 5, np.int32(5), (5 for _ in range(1))])
def test_sizes_of_hidden_layers_may_be_any_integers(sizes):
    assert MultiLayerNet(4, sizes, 3).sizes == (4, 5, 3)
