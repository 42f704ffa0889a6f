"""What was trained is used: probabilities, classes, and the same again from a file."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from scratchnet import (
    Affine,
    AvgPool,
    BatchNorm,
    Conv2D,
    Dropout,
    GlobalAvgPool,
    LayerNorm,
    MaxPool,
    MultiLayerNet,
    Network,
    ReLU,
    Residual,
    Samples,
    Standardize,
    Trainer,
    load,
    load_network,
)
from scratchnet.cli import main
from scratchnet.data.preparation import Preparation
from scratchnet.errors import DataError, ParameterError
from scratchnet.estimator import MLPClassifier
from scratchnet.functions import sigmoid, softmax
from scratchnet.layers import (
    ACTIVATIONS,
    BinaryCrossEntropy,
    Huber,
    MeanSquaredError,
    QuantileLoss,
    SoftmaxWithLoss,
)
from scratchnet.storage.archive import read_archive, write_archive

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 6)).astype(np.float32)


def net(loss, n_out=3):
    return Network([Affine(6, 4, rng=0), ReLU(), Affine(4, n_out, rng=1)], loss)


def test_probabilities_of_softmax():
    network = net(SoftmaxWithLoss())
    np.testing.assert_array_equal(network.predict_proba(X), softmax(network.predict(X)))
    np.testing.assert_array_equal(network.predict_classes(X), network.predict(X).argmax(axis=1))


def test_probabilities_of_one_output_are_those_of_both_classes():
    network = net(BinaryCrossEntropy("integer"), 1)
    p = sigmoid(network.predict(X))
    np.testing.assert_array_equal(network.predict_proba(X), np.hstack([1 - p, p]))
    np.testing.assert_array_equal(network.predict_classes(X), (p[:, 0] > 0.5).astype(int))


def test_labels_that_do_not_exclude_each_other_have_probabilities_of_their_own():
    network = net(BinaryCrossEntropy())
    p = sigmoid(network.predict(X))
    np.testing.assert_array_equal(network.predict_proba(X), p)
    np.testing.assert_array_equal(network.predict_classes(X), p > 0.5)


@pytest.mark.parametrize("loss", [MeanSquaredError, Huber, BinaryCrossEntropy])
def test_probabilities_of_other_losses_of_labels_have_the_sum_1(loss):
    network = net(loss("integer"))
    np.testing.assert_allclose(network.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    network.vector[:] = 0  # no class has any share
    if loss is MeanSquaredError:
        np.testing.assert_allclose(network.predict_proba(X), 1 / 3)


@pytest.mark.parametrize("loss", [MeanSquaredError(), Huber(), QuantileLoss([0.1, 0.5, 0.9])])
def test_a_network_for_values_has_no_probabilities(loss):
    with pytest.raises(ParameterError, match="network that classifies"):
        net(loss).predict_proba(X)
    with pytest.raises(ParameterError, match="use predict"):
        net(loss).predict_classes(X)


def random_network(rng, dtype):
    """A stack of layers at random, of rows or of images."""
    images = rng.random() < 0.5
    layers = []
    if images:
        for _ in range(rng.integers(1, 4)):
            kind = rng.integers(6)
            n = int(rng.integers(1, 5))
            layers += [
                [Conv2D(n, int(rng.integers(1, 4)), padding="same")],
                [Conv2D(n, (1, 3), stride=(1, 2), padding="same"), BatchNorm()],
                [MaxPool((1, 2))],
                [AvgPool((1, 2))] if layers else [AvgPool((2, 1))],
                [Residual([Conv2D(n, 3, padding="same"), ReLU()])],
                [Standardize()] if not layers else [BatchNorm()],
            ][kind]
        if rng.random() < 0.3:
            layers.append(GlobalAvgPool())
    else:
        layers += [Standardize()] if rng.random() < 0.3 else []
        for _ in range(rng.integers(0, 4)):
            layers.append(Affine(int(rng.integers(1, 9)), bias=bool(rng.random() < 0.7)))
            layers += [[], [BatchNorm()], [LayerNorm()], [Dropout(0.3)]][rng.integers(4)]
            layers.append(list(ACTIVATIONS.values())[rng.integers(len(ACTIVATIONS))]())
    layers.append(Affine(3))
    shape = (int(rng.integers(4, 8)), int(rng.integers(4, 8)), 2)[: 2 + (rng.random() < 0.5)]
    network = Network(layers, dtype=dtype, input_shape=shape if images else (6,))
    network.state_vector[:] += rng.normal(0, 0.3, network.state_vector.size)
    return network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(100))
def test_random_stacks_are_loaded_to_the_same_predictions(seed, dtype, tmp_path):
    rng = np.random.default_rng(seed)
    network = random_network(rng, dtype)
    shape = network.input_shape if len(network.input_shape) > 1 else None
    names = ("a", "b", "c") if seed % 2 else None
    network.preparation = Preparation(0.25, 4.0, shape, None, names)
    x = rng.normal(size=(5, network.input_size))
    with np.errstate(all="ignore"):
        expected = network.predict(x)
    network.save(tmp_path / "net.npz")
    again = load_network(tmp_path / "net.npz")
    with np.errstate(all="ignore"):
        assert again.predict(x).tobytes() == expected.tobytes()
    assert again.preparation == network.preparation
    assert again.dtype == dtype


def test_a_trainer_tells_the_network_how_its_inputs_were_prepared(tmp_path):
    train, test = load("digits")
    network = MultiLayerNet(64, [10], 10)
    assert network.preparation == Preparation()
    list(Trainer(network, train).run(1))
    network.save(tmp_path / "net.npz")
    again = load_network(tmp_path / "net.npz")
    assert again.preparation == Preparation(1 / 16, 16.0, (8, 8), "digits")
    rows = again.preparation.rows(test.x)
    np.testing.assert_array_equal(again.predict_classes(rows), network.predict_classes(test[:][0]))
    assert network.copy().preparation == network.preparation


def test_what_was_said_of_a_preparation_stays_unless_the_scale_is_another():
    network = MultiLayerNet(4, [3], 2)
    samples = Samples(RNG.random((20, 4)), np.arange(20) % 2, scale=0.5)
    own = Preparation(0.5, 2.0, (2, 2), None, ("no", "yes"))
    network.preparation = own
    Trainer(network, samples)
    assert network.preparation == own
    Trainer(network, Samples(RNG.random((20, 4)), np.arange(20) % 2))
    assert network.preparation == Preparation()


def test_the_folder_of_a_run_is_a_model_too(here):
    assert main(["--epochs", "1", "--quiet", "--no-report", "--out", "run"]) == 0
    network = load_network("run")
    assert network.preparation.style == "digits"
    for name in ("weights.npz", "checkpoint-best.npz"):
        assert load_network(f"run/{name}").preparation == network.preparation
    with pytest.raises(DataError, match=r"a folder without weights\.npz"):
        load_network(str(here))


@pytest.mark.parametrize("labels", [["no", "yes"], ["a", "b", "c"], [3, 5, 8]])
def test_the_file_of_an_estimator_has_the_names_of_its_classes(labels, tmp_path):
    y = np.array(labels)[np.arange(30) % len(labels)]
    made = MLPClassifier(max_iter=5, batch_size=10, solver="sgd")
    with pytest.warns(ConvergenceWarning):
        made.fit(X, y)
    made.save(tmp_path / "made.npz")
    network = load_network(tmp_path / "made.npz")
    assert network.preparation.class_names == tuple(map(str, labels))
    p = network.predict_proba(X)
    np.testing.assert_allclose(p, made.predict_proba(X), rtol=1e-6)
    found = [network.preparation.class_names[k] for k in network.predict_classes(X)]
    assert found == [str(one) for one in made.predict(X)]


@pytest.mark.parametrize(
    "preparation",
    [
        3,
        {"scale": -1},
        {"shell": "rm"},
        {"image_shape": [3, 3]},
        {"class_names": ["a"]},
        {"class_names": "abc", "scale": None},
        {"style": "mnist"},
        {"white": True},
    ],
)
def test_a_preparation_that_does_not_fit_is_refused_with_the_file(preparation, tmp_path):
    net(SoftmaxWithLoss()).save(tmp_path / "net.npz")
    arrays, header = read_archive(tmp_path / "net.npz")
    write_archive(tmp_path / "net.npz", arrays, {**header, "preparation": preparation})
    with pytest.raises(DataError, match=r"net\.npz"):
        load_network(tmp_path / "net.npz")
