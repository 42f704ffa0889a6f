"""The table of formats: each writes its files, and docs/formats.md says what each holds."""

from importlib.util import find_spec
from pathlib import Path

import exported
import numpy as np
import pytest
import safetensors.numpy

from scratchnet import Network
from scratchnet.errors import ParameterError
from scratchnet.formats import EXPORTS
from scratchnet.formats.torch import to_state_dict, torch_code
from scratchnet.formats.torch_script import to_torch_script
from scratchnet.layers import ACTIVATIONS, REGULARIZERS, Affine, Layer, ReLU
from scratchnet.networks.weights import CLASSES

PAGE = Path(__file__).parents[2] / "docs/formats.md"


@pytest.mark.parametrize("word", EXPORTS)
def test_a_format_writes_the_files_it_names(word, tmp_path):
    export = EXPORTS[word]
    written = export.write(Network([Affine(3, 2)]), tmp_path / f"net{export.suffix}")
    assert written[0] == tmp_path / f"net{export.suffix}"
    assert set(written) == set(tmp_path.iterdir())
    assert all(find_spec(package) for package in export.packages)
    assert export.help


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        EXPORTS["mine"] = None


def test_the_text_for_torch_loads_the_weights_beside_it(tmp_path):
    network = exported.network_of("residual", (6, 5))
    weights = to_torch_script(network, tmp_path / "net.py")
    text = (tmp_path / "net.py").read_text()
    compile(text, "net.py", "exec")
    assert torch_code(network) in text
    assert 'load_file(Path(__file__).with_suffix(".safetensors"))' in text
    assert weights == tmp_path / "net.safetensors"
    found = safetensors.numpy.load_file(weights)
    assert set(found) == set(to_state_dict(network))


def test_the_text_for_torch_does_not_take_the_place_of_its_weights(tmp_path):
    with pytest.raises(ParameterError, match=r"must go into a \.py"):
        to_torch_script(Network([Affine(3, 2)]), tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


# The page.


def network_with(kind):
    """A network with a layer of that kind, in a place where most formats have it."""
    if kind is Affine:
        return Network([Affine(4, 3)])
    if kind in ACTIVATIONS.values():
        return Network([Affine(4, 5), kind(), Affine(3)])
    if kind in REGULARIZERS.values():
        return Network([Affine(4, 5), ReLU(), kind(), Affine(3)])
    each = (exported.network_of(*case) for case in exported.CASES)
    return next(one for one in each if kind in map(type, one.all_layers))


def holds(word, kind, tmp_path):
    """Whether a format holds such a network."""
    try:
        EXPORTS[word].write(network_with(kind), tmp_path / f"net{EXPORTS[word].suffix}")
    except ParameterError:
        return False
    return True


def rows():
    """The table of the page: what it says of each layer."""
    table = PAGE.read_text("utf-8").split("<!-- layers -->\n")[1].split("<!-- /layers")[0]
    lines = table.splitlines()
    each = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return each[0][1:], {row[0].strip("`"): row[1:] for row in each[2:]}


def test_the_page_has_every_layer_and_every_format():
    words, found = rows()
    assert words == list(EXPORTS)
    assert set(found) == {name for name, kind in CLASSES.items() if issubclass(kind, Layer)}


@pytest.mark.parametrize("name", [n for n, kind in CLASSES.items() if issubclass(kind, Layer)])
def test_the_page_says_which_formats_hold_a_layer(name, tmp_path):
    words, found = rows()
    for word, said in zip(words, found[name], strict=True):
        assert (said != "no") is holds(word, CLASSES[name], tmp_path), f"{word}: {said}"


def test_numbers_of_the_same_network_agree_in_all_formats(tmp_path):
    import joblib

    from scratchnet.formats.plain_json import from_json
    from scratchnet.formats.safetensors import from_safetensors

    network = exported.network_of("relu", (7,))
    network = exported.at_random(Network([Affine(7, 5), *network.layers[:1], Affine(3)]))
    for word in ("safetensors", "sklearn", "json"):
        EXPORTS[word].write(network, tmp_path / f"net{EXPORTS[word].suffix}")
    x = exported.inputs_of(network, 9)
    for read, name in ((from_json, "net.json"), (from_safetensors, "net.safetensors")):
        np.testing.assert_array_equal(read(tmp_path / name).predict(x), network.predict(x))
    theirs = joblib.load(tmp_path / "net.joblib").predict(x)
    np.testing.assert_array_equal(theirs, network.predict_classes(x))
