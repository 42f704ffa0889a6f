"""ONNX: what onnxruntime computes of a graph is what the network predicts, from raw values."""

import json
import subprocess
import sys
from types import SimpleNamespace

import exported
import numpy as np
import onnx
import onnxruntime
import pytest

from scratchnet import ConvNet, MultiLayerNet, Network
from scratchnet.data.preparation import Preparation
from scratchnet.errors import DivergenceError, OutputError, ParameterError
from scratchnet.formats.onnx import LAYERS, to_onnx
from scratchnet.formats.packages import MissingPackageError
from scratchnet.layers import (
    Affine,
    BinaryCrossEntropy,
    Conv2D,
    Huber,
    MaxPool,
    MeanSquaredError,
    PoissonLoss,
    QuantileLoss,
    ReLU,
    Residual,
    SoftmaxWithLoss,
)
from scratchnet.networks.weights import CLASSES

RNG = np.random.default_rng(0)


def computed(model, x):
    """The outputs by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    x = np.asarray(x, np.float32)
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def check(network, x):
    found = computed(to_onnx(network), x)
    expected = network.predict(x)
    size = max(1.0, np.abs(expected).max())
    assert found["logits"].dtype == np.float32
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-5 * size)
    np.testing.assert_allclose(found["probabilities"], network.predict_proba(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "shape"), exported.CASES)
def test_every_kind_of_layer_gives_what_the_network_predicts(name, shape, dtype):
    network = exported.network_of(name, shape, dtype)
    for n in (1, 7):
        check(network, exported.inputs_of(network, n))


def test_the_cases_have_every_kind_of_layer():
    seen = {type(one) for case in exported.CASES for one in exported.network_of(*case).all_layers}
    assert seen >= set(LAYERS)


def test_every_layer_that_a_file_may_name_is_exported():
    from scratchnet.layers import Layer

    assert set(LAYERS) == {kind for kind in CLASSES.values() if issubclass(kind, Layer)}


@pytest.mark.parametrize("seed", range(25))
def test_random_stacks_give_what_the_network_predicts_from_raw_values(seed):
    network = exported.stack(seed)
    raw = RNG.integers(0, 256, (5, *network.input_shape))
    found = computed(to_onnx(network), raw)
    rows = network.preparation.rows(raw)
    expected = network.predict(rows)
    size = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-5 * size)
    p = network.predict_proba(rows)
    np.testing.assert_allclose(found["probabilities"], p, rtol=0, atol=2e-5)


LOSSES = {
    "one-output": (BinaryCrossEntropy("integer"), 1),
    "several-labels": (BinaryCrossEntropy("values"), 3),
    "shares": (BinaryCrossEntropy("integer"), 3),
    "squares-of-classes": (MeanSquaredError("integer"), 3),
    "squares-of-two": (MeanSquaredError("integer"), 1),
    "counts-of-classes": (PoissonLoss("integer"), 3),
    "softmax-of-one": (SoftmaxWithLoss(), 1),
    "soft": (SoftmaxWithLoss("soft"), 3),
}


@pytest.mark.parametrize("case", LOSSES)
def test_probabilities_are_those_of_the_loss(case):
    loss, n = LOSSES[case]
    network = exported.at_random(Network([Affine(5, n)], loss))
    check(network, 3 * exported.inputs_of(network, 9))


def test_where_no_class_has_a_share_all_are_equally_likely():
    network = Network([Affine(2, 3)], MeanSquaredError("integer"))
    network.params["b1"] = np.array([-5.0, -5.0, -5.0])
    found = computed(to_onnx(network), np.zeros((2, 2)))
    np.testing.assert_allclose(found["probabilities"], np.full((2, 3), 1 / 3), rtol=1e-6)


VALUES = {
    "squares": (MeanSquaredError(), 2),
    "huber": (Huber(), 1),
    "counts": (PoissonLoss(), 2),
    "quantiles": (QuantileLoss((0.05, 0.25, 0.5, 0.9, 0.95), center=40.0, scale=7.0), 5),
    "two-quantiles": (QuantileLoss((0.1, 0.3)), 2),
    "one-quantile": (QuantileLoss((0.9,), center=3.0, scale=2.0), 1),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_network_for_values_gives_the_predictions_of_its_loss_alone(case):
    loss, n = VALUES[case]
    network = exported.at_random(Network([Affine(5, n)], loss))
    x = exported.inputs_of(network, 9)
    found = computed(to_onnx(network), x)
    assert set(found) == {"values"}
    expected = loss.predictions(network.predict(x))
    np.testing.assert_allclose(found["values"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("filters", [1, 3])
def test_rows_behind_the_last_convolution_keep_their_order(filters):
    network = exported.at_random(Network([Conv2D(filters, 2)], input_shape=(4, 5, 2)))
    check(network, exported.inputs_of(network, 3))


def test_a_convolution_behind_an_affine_layer_sees_the_image_it_was_given():
    layers = [Affine(7, 24), Conv2D(3, 2, image=(4, 3, 2)), MaxPool(2), Affine(4)]
    check(exported.at_random(Network(layers)), RNG.normal(size=(3, 7)))


def test_rows_of_four_axes_are_flat():
    network = exported.at_random(Network([Affine(3)], input_shape=(2, 3, 2, 2)))
    x = exported.inputs_of(network, 3)
    logits = computed(to_onnx(network), x)["logits"]
    np.testing.assert_allclose(logits, network.predict(x.reshape(3, -1)), atol=1e-5)


def test_the_networks_of_options_are_exported():
    dense = MultiLayerNet(9, [8, 7], 3, "prelu", batch_norm=True, dropout=0.2, standardize="all")
    check(exported.at_random(dense), RNG.normal(size=(7, 9)))
    images = ConvNet((8, 9, 3), ["5x3p", "pool2", "4x2", "global"], [], 3, layer_norm=True)
    check(exported.at_random(images), RNG.normal(size=(7, 8, 9, 3)))


# What the file says.


def test_the_input_is_named_and_any_number_of_rows():
    model = to_onnx(Network([Conv2D(2, 3), Affine(4)], input_shape=(6, 5)))
    sizes = [
        one.dim_param or one.dim_value for one in model.graph.input[0].type.tensor_type.shape.dim
    ]
    assert (model.graph.input[0].name, sizes) == ("x", ["N", 6, 5])
    ends = {
        one.name: [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim]
        for one in model.graph.output
    }
    assert ends == {"logits": ["N", 4], "probabilities": ["N", 4]}
    assert {one.name for one in model.graph.initializer} >= {"W1", "b1", "W2", "b2"}


def test_the_metadata_hold_names_shape_and_style():
    from scratchnet import __version__

    network = Network([Affine(64, 2)])
    network.preparation = Preparation(1 / 16, 16.0, (8, 8), "digits", ("zéro", "one"))
    model = to_onnx(network)
    assert (model.producer_name, model.producer_version) == ("scratchnet", __version__)
    found = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert found == {"class_names": ["zéro", "one"], "image_shape": [8, 8], "style": "digits"}


def test_a_network_that_says_nothing_has_no_metadata():
    assert not to_onnx(Network([Affine(3, 2)])).metadata_props


def test_the_file_holds_the_model_and_is_the_same_each_time(tmp_path):
    network = exported.network_of("channels", (7, 5, 3))
    model = to_onnx(network, tmp_path / "net.onnx")
    content = (tmp_path / "net.onnx").read_bytes()
    assert onnx.load_model_from_string(content) == model
    to_onnx(network, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    x = exported.inputs_of(network, 3)
    np.testing.assert_allclose(computed(content, x)["logits"], network.predict(x), atol=1e-5)


def test_dropout_and_noise_are_left_out():
    network = exported.network_of("dropout", (7,))
    assert [node.op_type for node in to_onnx(network).graph.node][:2] == ["Gemm", "Gemm"]


# What is refused.


class Doubled(ReLU):
    """A layer of a user's own."""

    def forward(self, x, *, train=False):
        return 2 * super().forward(x, train=train)


@pytest.mark.parametrize("place", [lambda one: one, lambda one: Residual([one])])
def test_a_layer_of_a_users_own_is_refused_by_name(place):
    network = Network([Affine(3, 3), place(Doubled())])
    with pytest.raises(ParameterError, match=r"got Doubled\(\) of the class Doubled"):
        to_onnx(network)


def test_a_loss_of_a_users_own_is_refused_by_name_if_it_predicts_otherwise():
    class Alike(MeanSquaredError):
        pass

    class Halved(MeanSquaredError):
        def predictions(self, y):
            return y / 2

        def confidences(self, y):
            return y / 2

    to_onnx(Network([Affine(3, 2)], Alike()))
    for labels in ("values", "integer"):
        with pytest.raises(ParameterError, match="got Halved"):
            to_onnx(Network([Affine(3, 2)], Halved(labels)))


def test_values_that_no_file_should_hold_are_refused():
    network = Network([Affine(3, 2)])
    network.params["W1"][0, 0] = np.nan
    with pytest.raises(DivergenceError, match="W1 is not finite"):
        to_onnx(network)
    network = Network([Affine(3, 2)], dtype="float64")
    network.params["W1"][0, 0] = 1e300
    with pytest.raises(ParameterError, match="W1 must fit into float32"):
        to_onnx(network)


def test_a_network_too_large_for_protobuf_is_refused(monkeypatch):
    monkeypatch.setattr("scratchnet.formats.onnx.MOST_BYTES", 20)
    with pytest.raises(ParameterError, match=r"at most 20 bytes, the network has 32"):
        to_onnx(Network([Affine(3, 2)]))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match="no-folder"):
        to_onnx(Network([Affine(3, 2)]), tmp_path / "no-folder" / "net.onnx")


def test_without_onnx_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"needs the package onnx: pip install") as found:
        to_onnx(Network([Affine(3, 2)]))
    assert found.value.name == "onnx"


def test_another_module_that_is_missing_keeps_its_own_error(monkeypatch):
    from scratchnet.formats import packages

    def missing(name):
        raise ModuleNotFoundError("no google", name="google.protobuf")

    monkeypatch.setattr(packages, "import_module", missing)
    with pytest.raises(ModuleNotFoundError, match="no google"):
        to_onnx(SimpleNamespace())


def test_formats_are_imported_without_the_packages_they_need():
    code = (
        "import sys, scratchnet.formats, scratchnet.formats.onnx;"
        "print({'onnx', 'safetensors', 'sklearn', 'torch', 'joblib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
