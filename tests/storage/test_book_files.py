"""The book's pickles of weights, of arrays that the tests make; and those that are hostile."""

import contextlib
import os
import pickle
import subprocess
import tracemalloc

import numpy as np
import pytest

from scratchnet import DeepConvNet, MultiLayerNet, SimpleConvNet
from scratchnet.errors import DataError
from scratchnet.formats import book
from scratchnet.functions import softmax

RNG = np.random.default_rng(0)


def arrays_of(*shapes):
    """W1, b1, W2, ... as the book keeps them."""
    made = {}
    for k, shape in enumerate(shapes, 1):
        made[f"W{k}"] = RNG.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        made[f"b{k}"] = RNG.normal(size=shape[0] if len(shape) == 4 else shape[1])
    return made


SIMPLE = ((3, 1, 5, 5), (3 * 12 * 12, 9), (9, 10))
DEEP = (
    *((4, 1, 3, 3), (4, 4, 3, 3), (5, 4, 3, 3), (5, 5, 3, 3), (6, 5, 3, 3), (6, 6, 3, 3)),
    *((6 * 4 * 4, 7), (7, 10)),
)
DENSE = ((784, 5), (5, 6), (6, 10))


def write(path, content, protocol=3):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def convolved(x, W, b, pad=0):
    """The book's convolution of x (N, C, H, W), written out."""
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    seen = np.lib.stride_tricks.sliding_window_view(x, W.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,fcij->nfhw", seen, W) + b[:, None, None]


def pooled(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


def relu(x):
    return np.maximum(x, 0)


def simple(x, a):
    x = pooled(relu(convolved(x, a["W1"], a["b1"]))).reshape(len(x), -1)
    return relu(x @ a["W2"] + a["b2"]) @ a["W3"] + a["b3"]


def deep(x, a):
    for k in range(1, 7):
        x = relu(convolved(x, a[f"W{k}"], a[f"b{k}"], 2 if k == 4 else 1))
        x = pooled(x) if k % 2 == 0 else x
    x = relu(x.reshape(len(x), -1) @ a["W7"] + a["b7"]) * 0.5
    return (x @ a["W8"] + a["b8"]) * 0.5


def dense(x, a):
    x = x.reshape(len(x), -1)
    for k in (1, 2):
        x = 1 / (1 + np.exp(-(x @ a[f"W{k}"] + a[f"b{k}"])))
    return x @ a["W3"] + a["b3"]


CASES = {
    "params.pkl": (SIMPLE, simple, SimpleConvNet),
    "deep_convnet_params.pkl": (DEEP, deep, DeepConvNet),
    "sample_weight.pkl": (DENSE, dense, MultiLayerNet),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4"])
def test_the_networks_of_the_book_predict_what_its_own_code_predicts(
    name, protocol, dtype, tmp_path
):
    shapes, predict, kind = CASES[name]
    arrays = {key: array.astype(dtype) for key, array in arrays_of(*shapes).items()}
    network = book.load(write(tmp_path / name, arrays, protocol))
    assert type(network) is kind
    x = RNG.random((6, 1, 28, 28))
    found, expected = network.predict(x), predict(x, arrays)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(softmax(found), softmax(expected), atol=1e-5)


def test_colour_images_and_fortran_arrays_are_turned_too(tmp_path):
    arrays = arrays_of((3, 2, 3, 3), (3 * 4 * 3, 5), (5, 4))
    arrays = {name: np.asfortranarray(array) for name, array in arrays.items()}
    network = book.load(write(tmp_path / "p.pkl", arrays), input_dim=(2, 10, 8))
    x = RNG.random((5, 2, 10, 8))
    np.testing.assert_allclose(network.predict(x), simple(x, arrays), atol=1e-4)


class Runs:
    """Runs something when it is read as a pickle."""

    def __init__(self, function, *arguments):
        self.how = function, arguments

    def __reduce__(self):
        return self.how


def hostile(marker):
    """Pickles that would do something, by what they would do."""
    command = f"touch {marker}"
    array = np.zeros(3)
    return {
        "run a command": Runs(os.system, command),
        "run a command inside of the dictionary": {"W1": Runs(os.system, command), "b1": array},
        "start a process": Runs(subprocess.check_output, ["touch", str(marker)]),
        "evaluate": Runs(eval, f"open({str(marker)!r}, 'w')"),
        "make objects": {"W1": {1, 2}, "b1": array},
        "read a file": Runs(np.fromfile, "/etc/passwd", "u1"),
        "load another pickle": Runs(np.load, "x.npy"),
        "arrays of objects": {"W1": np.array([Runs(os.system, command)], object), "b1": array},
        "records": {"W1": np.zeros(3, "f4,f4"), "b1": array},
        "words": {"W1": np.array(["a"]), "b1": array},
    }


@pytest.mark.parametrize("case", hostile("x"))
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_is_refused_and_nothing_is_run(case, protocol, tmp_path):
    marker = tmp_path / "marker"
    path = write(tmp_path / "params.pkl", hostile(marker)[case], protocol)
    with pytest.raises(DataError, match=r"is refused|must hold|must be an array|is no pickle"):
        book.load(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\x80\x03.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x03B\xff\xff\xff\x7f.",
        b"\x80\x03Pabc\n.",
        b"\x80\x03(" * 1000,
        b"\x80\x03]" + b"]" * 100_000 + b"a" * 100_000 + b".",
        pickle.dumps([1, 2]),
        pickle.dumps({1: np.zeros(2)}),
        pickle.dumps({"W1": np.zeros((2, 2))}),
        pickle.dumps({}),
        pickle.dumps({"W1": np.zeros((2, 2)), "b1": np.array([1.0, np.nan])}),
        pickle.dumps({"W1": np.zeros((2, 3, 4)), "b1": np.zeros(2)}),
    ],
)
def test_what_is_no_file_of_the_book_is_refused(content, tmp_path):
    path = tmp_path / "params.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"params\.pkl"):
        book.load(path)


@pytest.mark.parametrize(
    "shapes",
    [
        ((30, 1, 5, 5), (10, 10**6), (10**6, 10)),
        ((10**5, 1, 1, 1), (10, 10), (10, 10)),
        ((3, 1, 29, 1), (432, 9), (9, 10)),
        ((784, 5), (6, 10)),
        ((4, 1, 3, 3), (4, 4, 3, 3)),
    ],
)
def test_weights_that_do_not_fit_together_are_refused_before_anything_is_allocated(
    shapes, tmp_path
):
    arrays = {}
    for k, shape in enumerate(shapes, 1):
        arrays[f"W{k}"] = np.zeros(shape, "f4")
        arrays[f"b{k}"] = np.zeros(shape[0] if len(shape) == 4 else shape[1], "f4")
    path = write(tmp_path / "params.pkl", arrays)
    size = path.stat().st_size
    del arrays
    tracemalloc.start()
    with pytest.raises(DataError, match="none of the book's networks"):
        book.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * size + 2**22


def test_an_array_that_says_it_is_huge_takes_no_memory(tmp_path):
    content = pickle.dumps({"W1": np.zeros((2, 2)), "b1": np.zeros(2)}, 3)
    fake = content.replace(b"K\x02K\x02\x86", b"J\xff\xff\xff\x7fK\x02\x86")
    assert fake != content
    path = tmp_path / "params.pkl"
    path.write_bytes(fake)
    with pytest.raises(DataError, match="must have as many values"):
        book.load(path)


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\x7f", b"r\x00\x00\x00\x10", b"p999999999\n"])
def test_a_value_under_a_huge_number_takes_no_memory(put, tmp_path):
    path = tmp_path / "params.pkl"
    path.write_bytes(b"\x80\x03}" + put + b".")
    tracemalloc.start()
    with pytest.raises(DataError, match="has the number"):
        book.load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_damaged_files_end_in_one_error(tmp_path):
    content = pickle.dumps(arrays_of((5, 4), (4, 3)), 3)
    path = tmp_path / "sample_weight.pkl"
    rng = np.random.default_rng(0)  # of its own: the order of tests must not matter
    for _ in range(600):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(bytes(damaged[: rng.integers(1, len(damaged) + 1)]))
        with contextlib.suppress(DataError):
            book.load(path)


def test_missing_files_and_folders_are_errors_of_data(tmp_path):
    for path in (tmp_path, tmp_path / "none.pkl"):
        with pytest.raises(DataError):
            book.load(path)
