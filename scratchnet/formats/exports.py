"""The formats that a network can be written in, by the words for them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from scratchnet.networks.network import Network


class Export(NamedTuple):
    """A format: what writes it, and what to know of it before."""

    write: Callable[[Network, Path], list[Path]]
    """Writes the network to a path, and returns the files that it has written."""
    suffix: str
    """How its files usually end."""
    packages: tuple[str, ...]
    """What has to be installed besides scratchnet."""
    help: str
    """One line on what it is for."""


def _writer(module: str, function: str) -> Callable[[Network, Path], list[Path]]:
    """What writes one file, or one more whose path it returns; imported when it is used."""

    def write(network: Network, path: Path) -> list[Path]:
        other = getattr(import_module(f"scratchnet.formats.{module}"), function)(network, path)
        return [path, other] if isinstance(other, Path) else [path]

    return write


EXPORTS: Mapping[str, Export] = MappingProxyType(
    {
        "onnx": Export(
            _writer("onnx", "to_onnx"),
            ".onnx",
            ("onnx",),
            "a graph for onnxruntime and other languages, from raw values to probabilities",
        ),
        "safetensors": Export(
            _writer("safetensors", "to_safetensors"),
            ".safetensors",
            ("safetensors",),
            "the weights in torch's layout, and what makes the network again",
        ),
        "torch": Export(
            _writer("torch_script", "to_torch_script"),
            ".py",
            ("safetensors",),
            "Python that builds the network in torch, and its weights as .safetensors beside it",
        ),
        "sklearn": Export(
            _writer("sklearn", "save_sklearn"),
            ".joblib",
            (),
            "scikit-learn's MLPClassifier or MLPRegressor, as a pickle of joblib",
        ),
        "json": Export(
            _writer("plain_json", "to_json"),
            ".json",
            (),
            "plain JSON: layers, options, and parameters as lists",
        ),
    }
)
"""By the word for it. Importing this table imports none of their packages."""
