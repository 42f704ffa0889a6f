"""Any network is written to a file and made again from it."""

import json

import numpy as np
import pytest

from scratchnet import (
    Affine,
    BatchNorm,
    Dropout,
    Layer,
    LayerNorm,
    MeanSquaredError,
    MultiLayerNet,
    Network,
    PReLU,
    ReLU,
    SiLU,
    Standardize,
    Trainer,
    TwoLayerNet,
    load_network,
)
from scratchnet.errors import DataError, DivergenceError
from scratchnet.layers import LOSSES, Embedding, Huber, MemberAffine, PiecewiseLinear
from scratchnet.networks.saving import describe
from scratchnet.networks.weights import CLASSES
from scratchnet.storage.archive import read_archive, write_archive

X = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
T = np.arange(20) % 3


class Block(Layer):
    """y = x + f(x), a layer made of two others."""

    def __init__(self, n, hidden=4):
        super().__init__()
        self.n, self.hidden = n, hidden
        self.first, self.second = Affine(n, hidden, rng=1), Affine(hidden, n, rng=2)
        self.norm = BatchNorm(n)
        self.children = (self.first, self.second, self.norm)

    def forward(self, x, *, train=False):
        """Apply both layers and add x."""
        f = self.second.forward(self.first.forward(x, train=train), train=train)
        return x + self.norm.forward(f, train=train)

    def param_grads(self, dout):
        """Those of the layers within."""
        self.norm.param_grads(dout)
        self.inner = self.norm.input_grad(dout)
        self.second.param_grads(self.inner)
        self.first.param_grads(self.second.input_grad(self.inner))

    def input_grad(self, dout):
        """Of x, and of f."""
        return dout + self.first.input_grad(self.second.input_grad(self.inner))


def residual():
    return Network([Affine(6, 5), Block(5), Block(5, hidden=3), Affine(5, 3)])


NETWORKS = {
    "multi": lambda: MultiLayerNet(6, [5, 4], 3, batch_norm=True, standardize="all", dropout=0.1),
    "two": lambda: TwoLayerNet(6, 5, 3, "tanh", dtype="float64"),
    "layers": lambda: Network(
        [Standardize(6), Affine(6, 5), LayerNorm(5), PReLU(5), Dropout(0.2), Affine(5, 3)], l2=0.1
    ),
    "values": lambda: Network([Affine(6, 2), SiLU(), Affine(2, 1)], MeanSquaredError()),
    "nested": residual,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_loaded_to_the_bit(name, tmp_path):
    network = NETWORKS[name]()
    network.vector[:] = np.random.default_rng(1).normal(size=network.vector.size)
    network.save(tmp_path / "net.npz")
    other = load_network(tmp_path / "net.npz", classes=[Block])
    assert other.dtype == network.dtype
    assert other.l2 == network.l2
    assert repr(other.layers) == repr(network.layers)
    assert np.array_equal(other.state_vector, network.state_vector)
    assert np.array_equal(other.predict(X), network.predict(X))
    assert list(other.params) == list(network.params)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_layer_and_loss_is_made_again_from_what_it_says_of_itself(name):
    kind = CLASSES[name]
    sizes = {"Affine": (3, 2), "BatchNorm": (3,), "LayerNorm": (3,), "Standardize": (3, "all")}
    sizes |= {"Conv2D": (4, (3, 2)), "Residual": ([ReLU()],), "Embedding": ([3, 2], 4)}
    sizes |= {"RobustScale": (3,), "PiecewiseLinear": (3, 5), "Scale": (3,)}
    sizes |= {"Columns": ([3, 2], [ReLU(), ReLU()]), "Concat": ([ReLU(), ReLU()],)}
    sizes |= {"MemberAffine": (2, 3, 4), "MemberLoss": (Huber(delta=2), 3)}
    layer = kind(*sizes.get(name, ()))
    written = json.loads(json.dumps(describe(layer)))
    assert not {"rng", "dtype", "shapes", "statistics"} & set(written)
    again = kind(**layer.config())
    assert describe(again) == describe(layer)
    assert repr(again) == repr(layer)


def test_names_count_the_layers_with_weights_and_go_by_depth():
    network = residual()
    assert list(network.params) == [
        *("W1", "W2", "W3", "W4", "W5", "W6", "b1", "b2", "b3", "gamma3", "beta3"),
        *("b4", "b5", "gamma5", "beta5", "b6"),
    ]
    normed = MultiLayerNet(4, [3, 3], 2, batch_norm=True)
    assert list(normed.params) == ["W1", "W2", "W3", "gamma1", "beta1", "gamma2", "beta2", "b3"]


def test_a_network_of_layers_of_layers_trains_copies_and_is_checked():
    from scratchnet import check_gradients

    network = residual()
    check_gradients(network, X, T, train=False)
    found = check_gradients(network, X, T, train=True, raises=False)
    assert {check.status for check in found.arrays} == {"passed", "inconclusive"}
    losses = [epoch.loss for epoch in Trainer(network, (X, T), lr=0.01, batch_size=10).run(30)]
    assert losses[-1] < 0.5 * losses[0]
    other = network.copy()
    other.vector[:] = 0
    assert np.abs(network.vector).sum() > 0
    assert network.layers[1].norm.statistics["running_mean"].any()


class Noisy(Block):
    """A Block with dropout inside."""

    def __init__(self, n, hidden=4):
        super().__init__(n, hidden)
        self.dropout = Dropout(0.5)
        self.children = (*self.children, self.dropout)

    def forward(self, x, *, train=False):
        f = self.second.forward(self.first.forward(x, train=train), train=train)
        return x + self.norm.forward(self.dropout.forward(f, train=train), train=train)

    def param_grads(self, dout):
        self.norm.param_grads(dout)
        self.inner = self.dropout.input_grad(self.norm.input_grad(dout))
        self.second.param_grads(self.inner)
        self.first.param_grads(self.second.input_grad(self.inner))


def noisy():
    network = Network([Affine(6, 5, dtype="float64"), Noisy(5), Affine(5, 3)], dtype="float64")
    return Trainer(network, (X, T), (X, T), lr=0.01, batch_size=10, seed=3, remeasure=20)


def test_layers_within_layers_draw_from_the_stream_of_their_step_and_resume_to_the_bit(tmp_path):
    whole, begun, resumed = noisy(), noisy(), noisy()
    list(whole.run(4))
    list(begun.run(2))
    begun.save(tmp_path / "checkpoint.npz")
    resumed.resume(tmp_path / "checkpoint.npz")
    list(resumed.run(2))
    assert np.array_equal(resumed.network.state_vector, whole.network.state_vector)


def test_statistics_of_a_layer_within_a_layer_are_recomputed_without_its_noise():
    trainer = noisy()
    list(trainer.run(2))
    network, block = trainer.network, trainer.network.layers[1]
    f = block.second.forward(block.first.forward(network.layers[0].forward(X.astype(float))))
    found = network.statistics["running_mean3"]
    np.testing.assert_allclose(found, f.mean(axis=0), rtol=1e-10)


def test_a_class_that_is_not_known_is_named(tmp_path):
    residual().save(tmp_path / "net.npz")
    with pytest.raises(DataError, match=r"class 'Block', .* classes=\[Block\]"):
        load_network(tmp_path / "net.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"layers": [{"class": "Affine", "n_in": 10**6, "n_out": 10**6}]},
        {"layers": [{"class": "Affine", "n_in": 6}]},
        {"layers": [{"class": "Affine", "n_in": -1, "n_out": 2}]},
        {"layers": []},
        {"layers": "Affine"},
        {"layers": [{"n_in": 6}]},
        {"layers": [["Affine"]]},
        {"loss": {"class": "Affine", "n_in": 1, "n_out": 1}},
        {"loss": None},
        {"dtype": "object"},
        {"l2": "x"},
        {"kind": "layer"},
        {"more": 1},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_a_header_that_describes_no_network_is_refused(change, tmp_path):
    path = tmp_path / "net.npz"
    Network([Affine(6, 3)]).save(path)
    arrays, header = read_archive(path)
    write_archive(path, arrays, {**header, "network": {**header["network"], **change}})
    with pytest.raises(DataError, match=r"net\.npz"):
        load_network(path)


def test_values_that_are_not_finite_are_not_saved(tmp_path):
    network = Network([Affine(6, 3)])
    network.params["W1"][0, 0] = np.nan
    with pytest.raises(DivergenceError, match="W1 is not finite"):
        network.save(tmp_path / "net.npz")
    assert not (tmp_path / "net.npz").exists()


def test_every_loss_can_be_named_in_a_file():
    assert set(LOSSES.values()) <= set(CLASSES.values())


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [10**12, 2]},
        {"width": 10**12},
        {"sizes": [3] * 10**6},
        {"sizes": ["a", 2]},
        {"sizes": [[3], 2]},
        {"sizes": 3},
    ],
    ids=lambda change: str(change)[:30],
)
def test_a_file_of_huge_or_strange_embeddings_is_refused(change, tmp_path):
    Network([Embedding([3, 2], 4), Affine(2)], input_shape=(2,)).save(tmp_path / "net.npz")
    arrays, header = read_archive(tmp_path / "net.npz")
    header["network"]["layers"][0] |= change
    write_archive(tmp_path / "other.npz", arrays, header)
    with pytest.raises(DataError):
        load_network(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("k", "change"),
    [
        (0, {"counts": [10**7] * 2, "bins": 10**7, "n": None}),
        (0, {"counts": [3] * 10**6}),
        (0, {"counts": "many"}),
        (0, {"bins": 10**12}),
        (1, {"members": 10**9}),
        (1, {"members": 2, "n_out": 10**9}),
        (1, {"members": 0}),
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_file_of_huge_or_strange_bins_and_members_is_refused(k, change, tmp_path):
    layers = [PiecewiseLinear(bins=3, counts=[3, 1]), MemberAffine(2, 3), Affine(2)]
    Network(layers, input_shape=(2,)).save(tmp_path / "net.npz")
    arrays, header = read_archive(tmp_path / "net.npz")
    header["network"]["layers"][k] |= change
    write_archive(tmp_path / "other.npz", arrays, header)
    with pytest.raises(DataError):
        load_network(tmp_path / "other.npz")
