"""Plain JSON: every bit comes back, and a file of a stranger ends in a DataError."""

import json

import exported
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import ConvNet, MultiLayerNet, Network
from scratchnet.data.preparation import Preparation
from scratchnet.errors import DataError, DivergenceError, OutputError, ParameterError
from scratchnet.formats import plain_json
from scratchnet.formats.plain_json import from_json, to_json
from scratchnet.layers import Affine, BatchNorm, QuantileLoss, ReLU


def saved(tmp_path, network):
    path = tmp_path / "net.json"
    to_json(network, path)
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "shape"), exported.CASES)
def test_every_kind_of_layer_comes_back_to_the_bit(tmp_path, name, shape, dtype):
    network = exported.network_of(name, shape, dtype)
    made = from_json(saved(tmp_path, network))
    assert made.config() == network.config()
    np.testing.assert_array_equal(made.state_vector, network.state_vector)
    x = exported.inputs_of(network, 3)
    np.testing.assert_array_equal(made.predict(x), network.predict(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_comes_back_to_the_bit(tmp_path, dtype):
    network = Network([Affine(100, 200)], dtype=dtype)
    bits = np.random.default_rng(0).integers(0, 256, network.vector.nbytes, dtype=np.uint8)
    values = bits.view(dtype)
    network.vector[...] = np.where(np.isfinite(values), values, -0.0)
    made = from_json(saved(tmp_path, network))
    assert made.vector.tobytes() == network.vector.tobytes()


def test_numbers_of_float32_are_written_with_few_digits(tmp_path):
    network = Network([Affine(1, 1)])
    network.params["W1"][...], network.params["b1"][...] = 0.1, 1e-3
    assert json.loads(saved(tmp_path, network).read_text())["parameters"] == {
        "W1": [[0.1]],
        "b1": [0.001],
    }


def test_the_file_says_what_it_is(tmp_path):
    from scratchnet import __version__

    network = Network([Affine(64, 2), BatchNorm()])
    network.preparation = Preparation(1 / 16, 16.0, (8, 8), "digits", ("zéro", "one"))
    found = json.loads(saved(tmp_path, network).read_text())
    assert found["format"] == "scratchnet network as JSON"
    assert (found["version"], found["scratchnet"]) == (1, __version__)
    assert found["network"] == network.config()
    assert found["preparation"]["class_names"] == ["zéro", "one"]
    assert np.shape(found["parameters"]["W1"]) == (64, 2)
    assert set(found["statistics"]) == {"running_mean1", "running_var1", "batches1"}
    assert from_json(tmp_path / "net.json").preparation == network.preparation


@pytest.mark.parametrize(
    "network",
    [
        lambda: MultiLayerNet(5, [4], 3, "prelu", batch_norm=True, standardize="all"),
        lambda: ConvNet((6, 6), ["3x3p", "pool2"], [4], 3),
        lambda: Network([Affine(4, 3)], QuantileLoss(center=2.5, scale=0.1), l2=0.1),
    ],
)
def test_a_network_of_options_comes_back_as_one(tmp_path, network):
    network = exported.at_random(network())
    made = from_json(saved(tmp_path, network))
    assert type(made) is type(network)
    assert made.config() == network.config()
    np.testing.assert_array_equal(made.state_vector, network.state_vector)


class Own(ReLU):
    """A layer of a user's own."""


def test_a_layer_of_a_users_own_needs_its_class(tmp_path):
    path = saved(tmp_path, Network([Affine(3, 2), Own()]))
    with pytest.raises(DataError, match="'Own', which is not known here"):
        from_json(path)
    assert type(from_json(path, classes=[Own]).layers[1]) is Own


# What is refused.


def rewritten(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def put(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (put("format", value="other"), "must be a file of to_json"),
        (put("version", value=2), "must be a file of to_json, version 1"),
        (put("parameters", value=[]), "must have a table of parameters"),
        (put("statistics", value=None), "must have a table of statistics"),
        (put("parameters", "b1", value=[1, [2]]), "hold 'b1' as lists of numbers"),
        (put("parameters", "b1", value=["1", "2"]), "hold 'b1' as lists of numbers"),
        (put("parameters", "b1", value=[True, False]), "hold 'b1' as lists of numbers"),
        (put("parameters", "b1", value=3), "hold 'b1' as lists of numbers"),
        (put("parameters", "b1", value=[10**90, 1]), "hold 'b1' as lists of numbers"),
        (put("parameters", "b1", value=[1e300, 1]), "holds b1 with numbers beyond float32"),
        (put("parameters", "b1", value=[[1.0, 2]]), r"must hold b1 with shape and dtype \(2,\)"),
        (put("parameters", "b7", value=[1.0]), "holds b7, which the network does not have"),
        (put("network", value={}), "describes no network"),
        (put("network", "layers", 0, "n_out", value=10**9), "describes no network"),
        (put("preparation", "scale", value=0), "describes no network: scale must be"),
    ],
)
def test_files_of_a_stranger_are_refused(tmp_path, change, match):
    path = rewritten(saved(tmp_path, Network([Affine(3, 2)])), change)
    with pytest.raises(DataError, match=match):
        from_json(path)


def test_integers_are_numbers_too(tmp_path):
    path = saved(tmp_path, Network([Affine(3, 2)]))
    made = from_json(rewritten(path, put("parameters", "b1", value=[1, 2])))
    np.testing.assert_array_equal(made.params["b1"], [1, 2])


def test_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "net.json"
    for content, match in (("[]", "file of to_json"), ("{", "JSON"), ('{"format": NaN}', "NaN")):
        path.write_text(content)
        with pytest.raises(DataError, match=match):
            from_json(path)
    with pytest.raises(DataError, match="none"):
        from_json(tmp_path / "none")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_files_end_in_a_data_error_or_in_a_network(tmp_path_factory, data):
    path = saved(tmp_path_factory.mktemp("damaged"), Network([Affine(3, 2), BatchNorm()]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.sampled_from(b'0123456789-.e[]{}",:ntx \xff'))
    path.write_bytes(content)
    try:
        made = from_json(path)
    except DataError:
        return
    assert isinstance(made, Network)


def test_what_could_not_be_read_is_not_written(tmp_path, monkeypatch):
    network = Network([Affine(3, 2)])
    for largest in (15, 200):
        monkeypatch.setattr(plain_json, "LARGEST", largest)
        with pytest.raises(ParameterError, match=r"this one has 8; use network\.save"):
            to_json(network, tmp_path / "net.json")
    monkeypatch.undo()
    network.params["W1"][0, 0] = np.nan
    with pytest.raises(DivergenceError, match="W1"):
        to_json(network, tmp_path / "net.json")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="no-folder"):
        to_json(Network([Affine(3, 2)]), tmp_path / "no-folder" / "net.json")
