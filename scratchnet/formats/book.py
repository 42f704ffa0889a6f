"""The pickles of weights that come with *Deep Learning from Scratch*, read as networks of ours.

The book keeps dictionaries of arrays: "W1", "b1", and so on. Its images are (C, H, W), its filters
(F, C, KH, KW), and the rows of the first affine layer behind images go channel by channel.

A pickle can run any program when it is read. Here it cannot: whatever it asks for by name is
refused, but for the three constructors of NumPy's arrays, and in the place of these stand ours,
which take no more memory than the file.
"""

import math
import os
import pickle
import pickletools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.data.opening import open_regular
from scratchnet.errors import DataError, ScratchnetError
from scratchnet.layers import Affine, Conv2D
from scratchnet.networks import DeepConvNet, MultiLayerNet, SimpleConvNet, plan
from scratchnet.networks.convolutional import channels_last, in_pairs, word_of
from scratchnet.parameters import Array, Shape

MOST_BYTES = 2**28
"""The largest file that is read; the book's largest has 7 MB."""
PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
"""The opcodes that remember a value under a number."""
DROPPED = 0.5
"""The share of units that the book's deep network drops, and scales by in evaluation."""


def load(path: str | Path, input_dim: Sequence[int] = (1, 28, 28)) -> MultiLayerNet:
    """The network of one of the book's files of weights, which predicts what the book's predicts.

    `params.pkl` of chapter 7 is a SimpleConvNet, `deep_convnet_params.pkl` of chapter 8 a
    DeepConvNet, `sample_weight.pkl` of chapter 3 a network with sigmoids and 50 and 100 hidden
    units. `input_dim` is (channels, height, width) of the images. Inputs are pixels from 0 to 1.

    The book's dropout divides nothing in training and halves in evaluation: so the weights of the
    last layer are halved here, and so are its outputs, which the book drops too.

    Raises DataError for a file that is missing, damaged, hostile or something else.

    >>> from scratchnet.formats import book
    >>> book.load("deep_convnet_params.pkl").accuracy(x, t)  # doctest: +SKIP
    0.9935
    """
    arrays = read_arrays(path)
    shapes = [arrays[name].shape for name in _names(path, arrays)[0]]
    ranks = "".join(str(len(shape)) for shape in shapes)
    try:
        if ranks == "422":
            return _simple(arrays, shapes, input_dim)
        if ranks == "44444422":
            return _deep(arrays, shapes, input_dim)
        if set(ranks) == {"2"}:
            return _dense(arrays, shapes)
    except (ScratchnetError, ValueError) as error:
        raise DataError(f"{str(path)!r} is none of the book's networks: {error}") from error
    raise DataError(
        f"{str(path)!r} is none of the book's networks: its weights have the shapes {shapes}"
    )


def _names(path: str | Path, arrays: Mapping[str, Array]) -> tuple[list[str], list[str]]:
    """W1, W2, ... and b1, b2, ...; raises DataError where there are others, or none."""
    n = len(arrays) // 2
    weights, biases = ([f"{kind}{k + 1}" for k in range(n)] for kind in "Wb")
    if not n or set(arrays) != {*weights, *biases}:
        raise DataError(
            f"{str(path)!r} must hold W1, b1, W2, b2, ..., it holds "
            f"{', '.join(sorted(arrays)[:20]) or 'nothing'}"
        )
    return weights, biases


def _dense(arrays: Mapping[str, Array], shapes: Sequence[Shape]) -> MultiLayerNet:
    n_in, hidden, classes = shapes[0][0], [shape[1] for shape in shapes[:-1]], shapes[-1][1]
    _check_size((n_in,), [], hidden, classes, shapes)
    return _fill(MultiLayerNet(n_in, hidden, classes, "sigmoid"), arrays, None)


def _simple(
    arrays: Mapping[str, Array], shapes: Sequence[Shape], input_dim: Sequence[int]
) -> MultiLayerNet:
    param = {"filter_num": shapes[0][0], "filter_size": shapes[0][2]}
    hidden, classes = shapes[1][1], shapes[2][1]
    _check_size(channels_last(input_dim), [word_of(param), "pool2"], [hidden], classes, shapes)
    return _fill(SimpleConvNet(input_dim, param, hidden, classes), arrays, None)


def _deep(
    arrays: Mapping[str, Array], shapes: Sequence[Shape], input_dim: Sequence[int]
) -> MultiLayerNet:
    params = [
        {"filter_num": shape[0], "filter_size": shape[2], "pad": 2 if k == 3 else 1}
        for k, shape in enumerate(shapes[:6])
    ]
    conv = in_pairs([word_of(param) for param in params])
    hidden, classes = shapes[6][1], shapes[7][1]
    _check_size(channels_last(input_dim), conv, [hidden], classes, shapes)
    network = DeepConvNet(input_dim, *params, hidden, classes)  # type: ignore[arg-type,call-arg]
    return _fill(network, arrays, DROPPED)


def _check_size(
    shape: Shape,
    conv: Sequence[str],
    hidden: Sequence[int],
    classes: int,
    shapes: Sequence[Shape],
) -> None:
    """Raise DataError, before anything of that size is allocated, where the weights are others."""
    needed, _ = plan(shape, conv, hidden, classes)
    if needed != sum(map(math.prod, shapes)):
        raise DataError(f"images of {shape} need {needed} weights, it has the shapes {shapes}")


def _fill(
    network: MultiLayerNet, arrays: Mapping[str, Array], dropped: float | None
) -> MultiLayerNet:
    """The network with these weights, turned as its layers have them."""
    shape: Shape = network.input_shape
    layers = zip(network.layers, [network.input_shape, *network.output_shapes], strict=False)
    own = [(layer, shape) for layer, shape in layers if isinstance(layer, Affine | Conv2D)]
    for k, (layer, shape) in enumerate(own, 1):
        W, b = arrays[f"W{k}"].astype(network.dtype), arrays[f"b{k}"].astype(network.dtype)
        if isinstance(layer, Conv2D):
            W = W.transpose(2, 3, 1, 0)  # (F, C, KH, KW) to (KH, KW, C, F)
        elif len(shape) == 3:  # rows by channel, then height and width
            height, width, channels = shape
            W = W.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
            W = W.reshape(height * width * channels, -1)
        if dropped is not None and k == len(own):
            W, b = W * (1 - dropped) ** 2, b * (1 - dropped)
        layer.params["W"], layer.params["b"] = W, b
    return network


# Reading.


def read_arrays(path: str | Path) -> dict[str, Array]:
    """The arrays of floats in a pickle of a dictionary, by name; nothing in it is run.

    Raises DataError for a file that is missing or damaged, or that holds anything else.
    """
    import io

    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise DataError(
                f"{str(path)!r} must have at most {MOST_BYTES >> 20} MiB, it has {size >> 20}; is "
                "it a file of the book?"
            )
        content = file.read(size)
    try:
        _check_memo(content)
        found = _Reader(io.BytesIO(content), encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{str(path)!r} is refused: {error}") from error
    except Exception as error:  # whatever a damaged stream of opcodes ends in
        raise DataError(f"{str(path)!r} is no pickle of arrays, or damaged: {error}") from error
    if type(found) is not dict or not all(type(name) is str for name in found):
        raise DataError(f"{str(path)!r} must hold a dictionary of arrays by name")
    return {name: _array_of(path, name, value) for name, value in found.items()}


def _check_memo(content: bytes) -> None:
    """Raise DataError where a pickle remembers a value under a number beyond what it could count.

    Python's reader makes room for as many values as the largest number says, before they are there:
    five bytes would take 64 GB.
    """
    for opcode, number, _ in pickletools.genops(content):
        if opcode.name in PUTS and isinstance(number, int) and number > len(content):
            raise DataError(f"it has the number {number:,} for a value, and {len(content):,} bytes")


def _array_of(path: str | Path, name: str, value: Any) -> Array:
    array = value.array if type(value) is _Piece else None
    if array is None or not np.isfinite(array).all():
        raise DataError(f"{str(path)!r}: {name!r} must be an array of finite numbers")
    return array


class _Dtype:
    """What stands for a dtype: its code, for example f4, and its order of bytes."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def made(self) -> np.dtype[Any]:
        """The dtype; raises DataError for anything but plain numbers."""
        if self.code not in ("f4", "f8", "i4", "i8") or self.order not in ("<", ">", "=", "|"):
            raise DataError(f"an array must be of plain numbers, it is of {self.code!r}")
        made: np.dtype[Any] = np.dtype(self.code).newbyteorder(self.order)
        return made


class _Piece:
    """What stands for an array, until its content comes."""

    array: Array | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self.fill(content, dtype, shape, "F" if fortran else "C")

    def fill(self, content: Any, dtype: Any, shape: Any, order: str) -> None:
        """Take the content, of which there must be as much as the shape says."""
        if isinstance(content, str):  # of Python 2
            content = content.encode("latin1")
        sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
        if not all(type(n) is int and n >= 0 for n in sizes) or type(dtype) is not _Dtype:
            raise DataError("an array must have a shape and a dtype")
        kind = dtype.made()
        if not isinstance(content, bytes | bytearray) or len(content) != (
            math.prod(sizes) * kind.itemsize
        ):
            raise DataError(f"an array of the shape {sizes} must have as many values")
        flat = np.frombuffer(bytes(content), kind)
        self.array = flat.reshape(sizes, order="F" if order == "F" else "C").astype(np.float64)


def _reconstruct(*_: Any) -> _Piece:
    return _Piece()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any = "C", *_: Any) -> _Piece:
    piece = _Piece()
    piece.fill(content, dtype, shape, order)
    return piece


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """What `_codecs.encode` does in pickles of protocol 2: bytes, written as text."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise DataError("bytes must be written as text of latin-1")
    return text.encode("latin1")


STAND_INS: Mapping[tuple[str, str], Callable[..., Any]] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    ("numpy", "ndarray"): _Piece,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
"""What stands in the place of the names that a pickle of arrays asks for."""


class _Reader(pickle.Unpickler):
    """Reads pickles of arrays; asks for nothing by name."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of NumPy's; raises DataError for any other."""
        made = STAND_INS.get((module, name))
        if made is None:
            raise DataError(f"it asks for {module}.{name}, and may ask for NumPy's arrays alone")
        return made

    def persistent_load(self, pid: Any) -> Any:
        """Raise DataError: nothing outside of the file is looked at."""
        raise DataError("it asks for something outside of the file")
