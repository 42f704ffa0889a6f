"""torch's layout: what torch computed of the exported networks, and the way back, to the bit."""

import contextlib
import json
import sys
from pathlib import Path

import exported
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import MultiLayerNet, Network
from scratchnet.data.preparation import Preparation
from scratchnet.errors import DataError, DivergenceError, OutputError, ParameterError
from scratchnet.formats import safetensors as files
from scratchnet.formats.packages import MissingPackageError
from scratchnet.formats.safetensors import from_safetensors, to_safetensors
from scratchnet.formats.torch import MODULES, from_torch, to_state_dict, torch_code
from scratchnet.layers import (
    Affine,
    BatchNorm,
    Conv2D,
    GaussianNoise,
    MaxPool,
    ReLU,
    Residual,
    Standardize,
)
from scratchnet.layers.layer import Layer
from scratchnet.networks.saving import arrays_of
from scratchnet.networks.weights import CLASSES

with np.load(Path(__file__).parents[1] / "reference/torch_export.npz") as stored:
    STORED = dict(stored)
TEXTS = json.loads(str(STORED["config"]))["texts"]


@pytest.mark.parametrize(("name", "shape"), exported.CASES)
def test_torch_computed_the_same_of_what_is_exported(name, shape):
    network, case = exported.network_of(name, shape, "float64"), exported.case_of(name, shape)
    x = STORED[exported.case_of("x", shape)]
    np.testing.assert_allclose(network.predict(x), STORED[f"{case}.y"], rtol=0, atol=1e-7)
    arrays = to_state_dict(network)
    assert torch_code(network) == TEXTS[case]["code"]
    assert {k: list(a.shape) for k, a in arrays.items()} == TEXTS[case]["shapes"]
    marks = [exported.mark_of(array) for array in arrays.values()]
    np.testing.assert_allclose(marks, STORED[f"{case}.marks"], rtol=1e-9, atol=1e-9)


def test_every_layer_that_a_file_may_name_is_exported():
    assert set(MODULES) == {kind for kind in CLASSES.values() if issubclass(kind, Layer)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "shape"), exported.CASES)
def test_there_and_back_every_bit_is_the_same(name, shape, dtype):
    network = exported.network_of(name, shape, dtype)
    arrays = to_state_dict(network)
    assert all(array.flags.c_contiguous for array in arrays.values())
    other = exported.at_random(exported.network_of(name, shape, dtype), 1)
    assert not np.array_equal(other.vector, network.vector)
    assert from_torch(arrays, other) is other
    np.testing.assert_array_equal(other.state_vector, network.state_vector)


def test_what_is_exported_is_a_copy():
    network = Network([Affine(3, 2)])
    to_state_dict(network)["0.weight"][...] = 7
    assert not (network.params["W1"] == 7).any()


def test_the_counter_of_batches_is_an_integer():
    arrays = to_state_dict(exported.network_of("batch-norm", (7,)))
    assert arrays["0.num_batches_tracked"].dtype == np.int64
    assert arrays["0.num_batches_tracked"] == 3


# What the text says.


def test_the_text_says_what_inputs_and_outputs_are():
    network = Network([Conv2D(2, 3), ReLU(), Affine(4)], input_shape=(6, 5))
    network.preparation = Preparation(scale=0.5)
    assert torch_code(network).splitlines()[1:] == [
        "# Inputs are raw values * 0.5, (N, 1, 6, 5).",
        "# Outputs are the logits, (N, 4).",
        "from torch import nn",
        "",
        "model = nn.Sequential(",
        "    nn.Conv2d(1, 2, (3, 3)),",
        "    nn.ReLU(),",
        "    nn.Flatten(),",
        "    nn.Linear(24, 4),",
        ")",
    ]
    assert "Inputs are raw values, (N, 3)." in torch_code(Network([Affine(3, 2)]))


@pytest.mark.parametrize(("name", "shape"), exported.CASES)
def test_the_text_is_python_of_short_lines(name, shape):
    text = torch_code(exported.network_of(name, shape))
    compile(text, "net.py", "exec")
    assert max(map(len, text.splitlines())) <= 100


# What is refused.


class Own(ReLU):
    """A layer of a user's own."""


def test_a_layer_of_a_users_own_is_refused_by_name():
    network = Network([Affine(3, 3), Residual([Own()])])
    for export in (to_state_dict, torch_code):
        with pytest.raises(ParameterError, match=r"a network for torch .* got Own\(\)"):
            export(network)


@pytest.mark.parametrize(
    ("network", "match"),
    [
        (lambda: Network([Conv2D(3, 2)], input_shape=(4, 5)), r"ends in images \(3, 4, 3\)"),
        (
            lambda: Network([Affine(7, 24), Conv2D(3, 2, image=(4, 3, 2)), Affine(4)]),
            r"give Conv2D\(3, 2\) images \(4, 3, 2\), got rows \(24,\)",
        ),
    ],
)
def test_values_that_would_stand_in_another_order_are_refused(network, match):
    with pytest.raises(ParameterError, match=match):
        to_state_dict(network())


def test_images_of_one_channel_keep_their_order():
    layers = [Affine(7, 24), Conv2D(2, 2, image=(4, 6)), MaxPool((3, 5), image=(3, 5, 2))]
    network = Network([*layers, Conv2D(1, 1, image=(1, 2))])
    modules = [line.strip() for line in torch_code(network).splitlines()[6:-1]]
    assert modules == [
        "nn.Linear(7, 24),",
        "nn.Unflatten(1, (1, 4, 6)),",
        "nn.Conv2d(1, 2, (2, 2)),",
        "nn.MaxPool2d((3, 5)),",
        "nn.Flatten(),",
        "nn.Unflatten(1, (1, 1, 2)),",
        "nn.Conv2d(1, 1, (1, 1)),",
        "nn.Flatten(),",
    ]


def test_noise_is_left_out():
    network = Network([GaussianNoise(), Affine(3, 2)])
    assert set(to_state_dict(network)) == {"0.weight", "0.bias"}


def test_values_that_are_not_finite_are_not_exported():
    network = Network([Affine(3, 2)])
    network.params["b1"][1] = np.inf
    with pytest.raises(DivergenceError, match="b1 is not finite"):
        to_state_dict(network)


def test_all_that_does_not_fit_is_named_and_nothing_is_changed():
    network = exported.at_random(Network([Affine(3, 2), BatchNorm(scale=False), Affine(2)]))
    before = network.state_vector.copy()
    arrays = to_state_dict(network)
    del arrays["0.bias"]
    arrays["0.weight"] = arrays["0.weight"].T
    arrays["1.weight"] = np.array([1.0, 2.0])
    arrays["1.running_mean"] = np.array(["a", "b"])
    arrays["2.weight"] = np.full((2, 2), 1e300)
    arrays["9.bias"] = np.zeros(3)
    with pytest.raises(DataError) as found:
        from_torch(arrays, network)
    assert str(found.value) == (
        "the state dict must have 0.weight with the shape (2, 3), got (3, 2); lacks 0.bias; must "
        "have 1 in all of 1.weight, which is not learnt; must have numbers in 1.running_mean, got "
        "the dtype <U1; must have finite numbers in 2.weight; has 9.bias, which the network has "
        "not; take the network that it is of"
    )
    np.testing.assert_array_equal(network.state_vector, before)


def test_what_numpy_cannot_read_is_named():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("it is on a GPU")

    network = Network([Affine(3, 2)])
    with pytest.raises(DataError, match=r"has in 0.bias no array \(it is on a GPU\)"):
        from_torch(to_state_dict(network) | {"0.bias": Tensor()}, network)


# Files.


def saved(tmp_path, network):
    path = tmp_path / "net.safetensors"
    to_safetensors(network, path)
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_makes_the_network_again(tmp_path, dtype):
    layers = [
        *(Conv2D(3, 3, padding="same"), BatchNorm(), ReLU(), MaxPool(2)),
        *(Residual([Conv2D(4, 3, padding=1, stride=2)]), Affine(2)),
    ]
    network = exported.at_random(Network(layers, input_shape=(8, 8), l2=0.1, dtype=dtype))
    network.preparation = Preparation(1 / 16, 16.0, (8, 8), "digits", ("zéro", "one"))
    made = from_safetensors(saved(tmp_path, network))
    assert made.config() == network.config()
    assert made.preparation == network.preparation
    for name, array in arrays_of(network).items():
        np.testing.assert_array_equal(arrays_of(made)[name], array)


def test_a_network_of_options_comes_back_as_one(tmp_path):
    network = MultiLayerNet(5, [4], 3, "prelu", batch_norm=True, standardize="features")
    made = from_safetensors(saved(tmp_path, exported.at_random(network)))
    assert type(made) is MultiLayerNet
    np.testing.assert_array_equal(made.state_vector, network.state_vector)


def test_others_read_the_arrays_and_the_text(tmp_path):
    network = exported.network_of("channels", (7, 5, 3))
    path = saved(tmp_path, network)
    found = safetensors.numpy.load_file(path)
    for name, array in to_state_dict(network).items():
        np.testing.assert_array_equal(found[name], array)
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["format"] == "pt"
        assert file.metadata()["torch_code"] == torch_code(network)


def test_a_standardized_network_is_not_measured_anew(tmp_path):
    network = Network([Standardize(), Affine(2)], input_shape=(3,))
    x = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    network.adapt(x, np.zeros(4, int))
    made = from_safetensors(saved(tmp_path, network))
    made.adapt(2 * x, np.zeros(4, int))
    np.testing.assert_array_equal(made.state_vector, network.state_vector)


def rewritten(path, arrays=None, **metadata):
    """The file with other arrays or metadata."""
    found, about = files.read_arrays(path)
    about = {k: v for k, v in {**about, **metadata}.items() if v is not None}
    path.write_bytes(safetensors.numpy.save(found if arrays is None else arrays, about))
    return path


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"network": None}, "must be a file of to_safetensors"),
        ({"version": "2"}, "must be a file of to_safetensors, version 1"),
        ({"network": "{"}, "damaged metadata"),
        ({"network": "[]"}, "describes no network"),
        ({"network": '{"kind": "layers"}'}, "describes no network"),
        ({"preparation": '{"scale": -1}'}, "describes no network: scale must be"),
        ({"preparation": "3"}, "describes no network"),
    ],
)
def test_metadata_of_a_stranger_are_refused(tmp_path, change, match):
    path = rewritten(saved(tmp_path, Network([Affine(3, 2)])), **change)
    with pytest.raises(DataError, match=match):
        from_safetensors(path)


def test_a_network_that_the_file_cannot_hold_is_not_made(tmp_path):
    path = saved(tmp_path, Network([Affine(3, 2)]))
    about = json.loads(files.read_arrays(path)[1]["network"])
    about["layers"][0]["n_out"] = 10**9
    with pytest.raises(DataError, match="describes no network"):
        from_safetensors(rewritten(path, network=json.dumps(about)))


def test_a_layer_that_is_not_known_is_named(tmp_path):
    path = saved(tmp_path, Network([Affine(3, 2)]))
    about = json.loads(files.read_arrays(path)[1]["network"])
    about["layers"][0]["class"] = "Mine"
    with pytest.raises(DataError, match="'Mine', which is not known"):
        from_safetensors(rewritten(path, network=json.dumps(about)))


def test_arrays_of_another_network_are_named(tmp_path):
    path = saved(tmp_path, Network([Affine(3, 2)]))
    arrays = {"0.weight": np.zeros((3, 2), np.float32), "b": np.zeros(9, np.float32)}
    with pytest.raises(DataError, match=r"own network: .* lacks 0.bias; has b, which"):
        from_safetensors(rewritten(path, arrays))


def test_files_that_are_none_are_refused(tmp_path, monkeypatch):
    path = saved(tmp_path, Network([Affine(3, 2)]))
    content = path.read_bytes()
    for wrong in (b"", b"abc", b"\xff" * 40, content[:-1], content[:40], content + b"\0"):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match="safetensors file"):
            from_safetensors(path)
    header = b"[]      "
    path.write_bytes(files.LENGTH.pack(len(header)) + header)
    with pytest.raises(DataError, match="damaged"):
        from_safetensors(path)
    with pytest.raises(DataError, match="none"):
        from_safetensors(tmp_path / "none")
    path.write_bytes(content)
    monkeypatch.setattr(files, "LARGEST", 10)
    with pytest.raises(DataError, match="at most 10 bytes"):
        from_safetensors(path)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_end_in_a_data_error_or_in_a_network(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    path = saved(folder, exported.network_of("channels", (6, 5)))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 3000) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert isinstance(from_safetensors(path), Network)


def test_names_that_no_reader_would_take_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_HEADER", 100)
    with pytest.raises(ParameterError, match="at most 100 bytes"):
        to_safetensors(Network([Affine(3, 2)]), tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match="no-folder"):
        to_safetensors(Network([Affine(3, 2)]), tmp_path / "no-folder" / "net.safetensors")


def test_without_safetensors_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingPackageError, match="needs the package safetensors: pip install"):
        to_safetensors(Network([Affine(3, 2)]), tmp_path / "net.safetensors")
