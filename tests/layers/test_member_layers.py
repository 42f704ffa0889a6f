"""Members: networks side by side are what each of them would be alone."""

import numpy as np
import pytest

from scratchnet import Affine, Network, Trainer, check_gradients
from scratchnet.errors import DtypeError, ParameterError, ShapeError
from scratchnet.layers import (
    BinaryCrossEntropy,
    Concat,
    MeanSquaredError,
    MemberAffine,
    MemberLoss,
    RobustScale,
    Scale,
    SoftmaxWithLoss,
    Tanh,
)
from scratchnet.networks.members import average_members

RNG = np.random.default_rng(0)
M, N, D, H, K = 3, 8, 7, 5, 2


def members(loss, outputs=K, **options):
    layers = [
        Affine(D, M * H, dtype="float64", rng=1),
        Tanh(),
        MemberAffine(M, H, H, dtype="float64", rng=2, **options),
        Tanh(),
        MemberAffine(M, H, outputs, dtype="float64", rng=3),
    ]
    return Network(layers, MemberLoss(loss, M), dtype="float64")


def one_of(network, m, loss, outputs=K):
    """Member m as a network of its own."""
    first, _, second, _, third = network.layers
    layers = [Affine(*sizes, dtype="float64") for sizes in ((D, H), (H, H), (H, outputs))]
    layers[0].params["W"] = first.params["W"].reshape(D, M, H)[:, m]
    layers[0].params["b"] = first.params["b"].reshape(M, H)[m]
    for own, of_all in zip(layers[1:], (second, third), strict=True):
        own.params["W"] = of_all.params["W"][m]
        own.params["b"] = of_all.params["b"].reshape(M, -1)[m]
    a, b, c = layers
    return Network([a, Tanh(), b, Tanh(), c], loss, dtype="float64")


def test_each_member_gives_what_it_would_give_alone():
    network = members(SoftmaxWithLoss())
    x = RNG.standard_normal((N, D))
    y = network.predict(x).reshape(N, M, K)
    for m in range(M):
        alone = one_of(network, m, SoftmaxWithLoss())
        np.testing.assert_allclose(y[:, m], alone.predict(x), atol=1e-14)


LOSSES = {
    "softmax": (SoftmaxWithLoss, RNG.integers(0, K, N)),
    "squares": (MeanSquaredError, RNG.standard_normal((N, K))),
    "binary": (lambda: BinaryCrossEntropy("values"), RNG.random((N, K))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_each_member_by_its_shares(name):
    make, t = LOSSES[name]
    network = members(make())
    x, s = RNG.standard_normal((N, D)), RNG.integers(0, 2, (N, M)) * 1.5
    joined = network.loss_layer.join(s, t)
    loss = network.loss_and_gradient(x, joined)
    losses = []
    for m in range(M):
        alone = one_of(network, m, make())
        losses.append(alone.loss_and_gradient(x, t, s[:, m]))
        third = network.grads["W3"][m] * M
        np.testing.assert_allclose(third, alone.grads["W3"], atol=1e-13)
        first = network.grads["W1"].reshape(D, M, H)[:, m] * M
        np.testing.assert_allclose(first, alone.grads["W1"], atol=1e-13)
    assert loss == pytest.approx(np.mean(losses), rel=1e-13)
    report = check_gradients(network, x, joined)
    assert max(check.error for check in report.arrays) <= 1e-9


def test_a_member_learns_nothing_from_rows_that_it_holds_out():
    network = members(SoftmaxWithLoss())
    s = np.ones((N, M))
    s[:, 1] = 0
    before = network.params["W3"].copy()
    data = RNG.standard_normal((N, D)), network.loss_layer.join(s, RNG.integers(0, K, N))
    for _ in Trainer(network, data, optimizer="sgd", lr=0.1).run(3):
        pass
    after = network.params["W3"]
    np.testing.assert_array_equal(after[1], before[1])
    assert (after[0] != before[0]).any()


def test_the_average_of_members_is_a_network_of_plain_layers():
    network = members(MeanSquaredError())
    x = RNG.standard_normal((N, D))
    mean = network.predict(x).reshape(N, M, K).mean(axis=1)
    plain = average_members(network)
    np.testing.assert_allclose(plain.predict(x), mean, atol=1e-14)
    assert isinstance(plain.loss_layer, MeanSquaredError)
    back = average_members(network, ([10.0, 20.0], [2.0, 3.0]))
    np.testing.assert_allclose(back.predict(x), mean * [2, 3] + [10, 20], atol=1e-13)


def test_members_of_one_affine_layer_are_averaged_too():
    network = Network([Affine(D, M * K, dtype="float64")], MemberLoss(MeanSquaredError(), M))
    x = RNG.standard_normal((N, D)).astype("float32")
    mean = network.predict(x).reshape(N, M, K).mean(axis=1)
    np.testing.assert_allclose(average_members(network).predict(x), mean, atol=1e-6)


def test_the_weights_of_each_member_are_kept_short_by_themselves():
    network = members(SoftmaxWithLoss(), max_norm=0.5)
    network._apply_constraints()
    lengths = np.linalg.norm(network.params["W2"], axis=1)
    assert lengths.shape == (M, H)
    assert lengths.max() <= 0.5 + 1e-12


def test_columns_beside_each_other_are_what_each_layer_gives():
    layer = Concat([RobustScale(dtype="float64"), Scale(dtype="float64")])
    layer.build((3,))
    layer.initialize()
    x = RNG.standard_normal((7, 3))
    layer.adapt(x, 1.0)
    y = layer.forward(x)
    np.testing.assert_array_equal(y[:, 3:], x)
    alone = RobustScale(3, dtype="float64")
    alone.adapt(x, 1.0)
    np.testing.assert_array_equal(y[:, :3], alone.forward(x))


WRONG = [
    (lambda: MemberAffine(0, 3, 2), ParameterError, "members"),
    (lambda: MemberAffine(2, 3, 0), ParameterError, "n_out"),
    (lambda: Network([Affine(4, 7), MemberAffine(2, 3)]), ShapeError, "equal parts, got 7"),
    (lambda: MemberLoss("softmax", 2), ParameterError, "must be a Loss"),
    (lambda: Concat([]), ParameterError, "needs a layer"),
    (
        lambda: MemberLoss(MeanSquaredError(), 2).forward(np.ones((3, 4)), [["a"]] * 3),
        DtypeError,
        "numbers",
    ),
    (
        lambda: MemberLoss(MeanSquaredError(), 2).forward(np.ones((3, 4)), np.ones((3, 2))),
        ShapeError,
        "shares",
    ),
    (
        lambda: MemberLoss(MeanSquaredError(), 1).forward(np.ones((2, 1)), [[-1, 0], [1, 0]]),
        ShapeError,
        ">= 0",
    ),
]


@pytest.mark.parametrize(("make", "error", "match"), WRONG)
def test_what_cannot_be_is_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()
