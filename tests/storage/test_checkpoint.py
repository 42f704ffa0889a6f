import errno
import gc
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchnet import MultiLayerNet, TwoLayerNet, __version__
from scratchnet.errors import DataError, DivergenceError, OutputError
from scratchnet.storage.archive import read_archive, write_archive
from scratchnet.training.resuming import load_weights, save_weights


def network(**options: Any) -> MultiLayerNet:
    net = MultiLayerNet(3, [4, 2], 3, **options)
    net.vector[:] = np.random.default_rng(1).standard_normal(net.vector.size)
    return net


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "weights.npz"
    save_weights(network(), path)
    return path


def refused(path: Path, *words: str) -> str:
    with pytest.raises(DataError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert repr(str(path)) in message
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [[], [5], [4, 3, 2]])
def test_what_is_saved_is_loaded_to_the_bit(dtype, hidden, tmp_path):
    net = MultiLayerNet(3, hidden, 2, "tanh", 0.5, 0.01, 2**80, dtype)
    net.vector[:3] = [-0.0, np.finfo(dtype).tiny / 2, np.finfo(dtype).max]
    save_weights(net, tmp_path / "w.npz")
    other = load_weights(tmp_path / "w.npz")
    assert other.vector.tobytes() == net.vector.tobytes()
    assert other.vector.dtype == dtype
    assert other.config() == net.config()
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(dtype)
    net.vector[:3] = other.vector[:3] = 0
    assert other.predict(x).tobytes() == net.predict(x).tobytes()


def test_a_loaded_network_owns_its_memory_and_can_be_trained(saved):
    net = load_weights(saved)
    os.remove(saved)
    net.params["W1"] -= 1.0
    assert np.shares_memory(net.params["W1"], net.vector)
    assert net.vector.flags.writeable


def test_a_two_layer_net_comes_back_as_the_network_that_it_is(tmp_path):
    net = TwoLayerNet(3, 4, 2)
    save_weights(net, tmp_path / "w.npz")
    other = load_weights(tmp_path / "w.npz")
    assert type(other) is MultiLayerNet
    np.testing.assert_array_equal(other.vector, net.vector)


def test_any_reader_of_numpy_files_finds_the_arrays_by_name(saved):
    with np.load(saved, allow_pickle=False) as members:
        assert set(members.files) == {"W1", "W2", "W3", "b1", "b2", "b3", "header"}
        np.testing.assert_array_equal(members["W1"], network().params["W1"])
        assert json.loads(str(members["header"]))["network"]["hidden_sizes"] == [4, 2]
    with zipfile.ZipFile(saved) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_saving_twice_gives_the_same_arrays_and_replaces_the_file(saved):
    net = network()
    net.vector[:] = 7
    save_weights(net, saved)
    np.testing.assert_array_equal(load_weights(saved).vector, net.vector)
    assert os.listdir(saved.parent) == ["weights.npz"]


# A system that refuses


class Full(io.BytesIO):
    """A file that takes `room` bytes, then the disk is full."""

    room = 300

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def failing(number: int) -> Any:
    def fail(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", ["open", "os.fsync", "os.replace"])
def test_where_a_call_fails_the_old_file_stays_and_the_user_hears_of_it(
    call, number, saved, monkeypatch
):
    before = saved.read_bytes()
    net = network()
    net.vector[:] = 7
    monkeypatch.setattr(f"scratchnet.storage.atomic.{call}", failing(number), raising=False)
    with pytest.raises(OutputError) as caught:
        save_weights(net, saved)
    reason = f"{os.strerror(number)} ({errno.errorcode[number]})"
    assert f"cannot write {str(saved)!r}: {reason}; choose" in str(caught.value)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["weights.npz"]


@pytest.mark.parametrize("room", [0, 10, 300, 700, 1200])
def test_where_a_write_fails_the_old_file_stays(room, saved, monkeypatch):
    before = saved.read_bytes()
    assert room < len(before)

    def open_full(path: Path, mode: str) -> Full:
        Path(path).touch()
        file = Full()
        file.room = room
        return file

    monkeypatch.setattr("scratchnet.storage.atomic.open", open_full, raising=False)
    with pytest.raises(OutputError, match=r"No space left on device \(ENOSPC\); choose a folder"):
        save_weights(network(), saved)
    gc.collect()  # what is half written must not complain later either
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["weights.npz"]


def test_an_interrupt_while_saving_leaves_the_old_file_only(saved, monkeypatch):
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    before = saved.read_bytes()
    monkeypatch.setattr("scratchnet.storage.atomic.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_weights(network(), saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["weights.npz"]


def test_a_place_below_a_file_cannot_be_written(saved):
    with pytest.raises(OutputError, match=r"Not a directory \(ENOTDIR\); choose a folder"):
        save_weights(network(), saved / "below.npz")


def test_weights_reach_the_target_of_a_link(saved, tmp_path):
    (tmp_path / "link.npz").symlink_to(saved)
    net = network()
    net.vector[:] = 7
    save_weights(net, tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    np.testing.assert_array_equal(load_weights(saved).vector, net.vector)


# Files that are damaged or something else


def test_a_file_cut_short_anywhere_is_refused(saved, tmp_path):
    whole = saved.read_bytes()
    path = tmp_path / "cut.npz"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        refused(path, "only .npz files that scratchnet wrote are read")


def test_a_flipped_bit_anywhere_is_found_or_harmless(saved, tmp_path):
    whole, right = saved.read_bytes(), network()
    path = tmp_path / "flipped.npz"
    path.write_bytes(whole)
    found = 0
    for place in range(0, len(whole), 2):
        with open(path, "r+b", buffering=0) as file:
            file.seek(place)
            file.write(bytes([whole[place] ^ 1 << place // 2 % 8]))
            if place:
                file.seek(place - 2)
                file.write(whole[place - 2 : place - 1])
        try:
            net = load_weights(path)
        except DataError:
            found += 1
        else:
            assert net.vector.tobytes() == right.vector.tobytes()
            assert net.config() == right.config()
    assert found > len(whole) / 4


def zip_of(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04\x95not a model",
        b"\x89HDF\r\n\x1a\n",
        b"<html>",
        npy(np.eye(3)),
        zip_of(),
        zip_of(("archive/data.pkl", pickle.dumps({"W1": [1.0]}))),
        zip_of(("W1.npy", npy(np.eye(3)))),
        zip_of(("header.npy", b"\x93NUMPY\x01\x00\xff\xff{'descr': '<f4'}")),
        zip_of(("header.npy", npy("{")), ("W1.npy", npy(np.eye(3)))),
        zip_of(("header.npy", npy("[" * 100_000))),
    ],
    ids=[
        "empty",
        "pickle",
        "HDF5",
        "HTML",
        "npy",
        "empty zip",
        "PyTorch",
        "no header",
        "bad npy",
        "bad JSON",
        "deep JSON",
    ],
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    refused(path)


def test_a_file_of_another_kind_is_named_by_what_it_looks_like(tmp_path):
    path = tmp_path / "other.npz"
    for content, kind in (
        (pickle.dumps([1.0]), "looks like a Python pickle"),
        (b"\x89HDF\r\n\x1a\n", "looks like an HDF5 file"),
        (zip_of(("archive/data.pkl", b"")), "it is a PyTorch file"),
        (zip_of(("config.json", b"{}"), ("model.weights.h5", b"")), "it is no .npz of arrays"),
    ):
        path.write_bytes(content)
        refused(path, kind, "only .npz files that scratchnet wrote are read")


def test_a_missing_file_a_folder_and_a_device_are_refused(tmp_path):
    refused(tmp_path / "none.npz", "No such file or directory")
    refused(tmp_path, "is a folder")
    refused(Path("/dev/zero"), "a regular file is needed")


class Bomb:
    """Unpickled, it makes a folder: proof that code ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_never_run(saved, tmp_path):
    bomb, path = Bomb(tmp_path / "ran"), tmp_path / "bad.npz"
    with np.load(saved) as members:
        good = {name: members[name] for name in members.files}
    objects = np.array([bomb], dtype=object)
    for members in (good | {"W1": objects}, good | {"header": objects}, good | {"x": objects}):
        np.savez(path, **members)
        refused(path, "of dtype object")
    path.write_bytes(pickle.dumps(bomb))
    refused(path)
    assert not (tmp_path / "ran").exists()
    np.load(io.BytesIO(npy(objects)), allow_pickle=True)  # the control: it does go off
    assert (tmp_path / "ran").exists()


def test_a_zip_that_unpacks_to_more_than_its_size_is_refused_unread(saved):
    with np.load(saved) as members:
        arrays = {name: members[name] for name in members.files}
    np.savez_compressed(saved, **arrays | {"W1": np.zeros(10_000_000)})
    refused(saved, "compressed", "only .npz files that scratchnet wrote are read")


def test_a_member_that_is_there_twice_is_refused(saved):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("W1.npy", npy(np.zeros((3, 4), np.float32)))
    refused(saved, "'W1.npy' twice")


def with_header(path: Path, change: Any) -> None:
    """Write the weights in `path` again, with another header and the digest that fits it."""
    arrays, header = read_archive(path)
    write_archive(path, arrays, change(header))


NEEDS_NEWER = (
    f"has version 2 of its format, this scratchnet {__version__} reads up to version 1; "
    f"it needs scratchnet >= {__version__}"
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h | {"version": 2}, NEEDS_NEWER),
        (lambda h: h | {"version": None}, "version None"),
        (lambda h: h | {"format": "other"}, "its header says 'other'"),
        (lambda h: h | {"format": ["x"]}, "its header says ['x']"),
        (lambda h: {}, "scratchnet checkpoint or scratchnet estimator, its header says None"),
        (lambda h: h | {"version": 0}, "version 0"),
        (lambda h: h | {"version": "1"}, "version '1'"),
        (lambda h: {"format": h["format"], "version": 1}, "describes no network: 'network'"),
        (lambda h: h | {"network": 3}, "describes no network"),
        (lambda h: h | {"network": h["network"] | {"kind": "os"}}, "unknown network 'os'"),
        (lambda h: h | {"network": h["network"] | {"activation": "exec"}}, "unknown activation"),
        (lambda h: h | {"network": h["network"] | {"shell": "rm"}}, "unknown option"),
        (lambda h: h | {"network": h["network"] | {"dtype": "float64"}}, "must hold W1 with shape"),
        (lambda h: h | {"network": h["network"] | {"hidden_sizes": [10**9]}}, "the file holds 35"),
        (
            lambda h: h | {"network": h["network"] | {"hidden_sizes": [2, 2]}},
            "must hold W1 with",
        ),
        (lambda h: h | {"network": h["network"] | {"input_size": -1}}, "input_size must be"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(change, words, saved):
    with_header(saved, change)
    refused(saved, words)


def test_other_names_shapes_and_kinds_of_arrays_are_named(saved):
    good, header = read_archive(saved)
    renamed = {("V1" if name == "W1" else name): array for name, array in good.items()}
    write_archive(saved, renamed, header)
    refused(saved, "must hold W1 with shape and dtype (3, 4) float32, got nothing")
    write_archive(saved, good | {"W1": good["W1"].T}, header)
    refused(saved, "must hold W1 with shape and dtype (3, 4) float32, got (4, 3) float32")
    write_archive(saved, good | {"b1": good["b1"].astype("float64")}, header)
    refused(saved, "must hold b1 with shape and dtype (4,) float32, got (4,) float64")
    write_archive(saved, good | {"m": np.zeros(0)}, header)
    refused(saved, "holds m, which the network does not have")
    write_archive(saved, good | {"m": np.zeros(1)}, header)
    refused(saved, "holds m, which the network does not have")


def test_a_changed_weight_does_not_match_the_digest(saved):
    with np.load(saved) as members:
        arrays = {name: members[name] for name in members.files}
    arrays["W1"][0, 0] += 1
    np.savez(saved, **arrays)
    refused(saved, "is damaged: its content has the SHA-256")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_neither_saved_nor_loaded(value, saved):
    before = saved.read_bytes()
    net = network()
    net.params["b2"][1] = value
    with pytest.raises(DivergenceError, match="b2 is not finite, and was not saved; train anew"):
        save_weights(net, saved)
    assert saved.read_bytes() == before
    arrays, header = read_archive(saved)
    write_archive(saved, arrays | {"b2": net.params["b2"]}, header)
    refused(saved, "holds b2 with values that are not finite")
