"""Samples in their file: the training that memory would give, every row once, little memory."""

import gzip
import io
import math
import pickle
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet import MultiLayerNet, Network, Samples, Standardize, Trainer
from scratchnet.data import Batches, mapped
from scratchnet.data.idx import header
from scratchnet.data.mapped import POOL_BLOCKS, mapped_batches
from scratchnet.errors import DataError, DataWarning, DtypeError, ParameterError, ShapeError
from scratchnet.layers import Affine

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (700, 2, 3), dtype=np.uint8)
T = RNG.integers(0, 3, 700)


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return tmp_path / "x.npy"


def trainer(samples, **options):
    return Trainer(MultiLayerNet(6, [5], 3), samples, batch_size=32, seed=4, **options)


def rows_seen(n, block_rows, batch_size, seed, epoch=0, done=0):
    return list(mapped_batches(np.empty((n, 1)), block_rows, batch_size, seed, epoch, done))


# Opening


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_an_npy_is_mapped_as_samples_in_memory_would_be(tmp_path, dtype):
    x = X.astype(dtype)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", T.astype(np.uint8))
    weights = RNG.random(700)
    ours = Samples.open(tmp_path / "x.npy", tmp_path / "t.npy", 1 / 255, weights)
    whole = Samples(x, T, 1 / 255, weights)
    assert isinstance(mapped._pages_of(ours.x), mapped.Pages)
    assert repr(ours) == repr(whole)
    assert ours.digest() == whole.digest()
    assert ours.t.dtype == np.intp
    np.testing.assert_array_equal(ours.weights, weights)
    for one, other in zip(ours[3:9], whole[3:9], strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="read-only"):
        ours.x[0] = 1


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_mapped_their_labels_may_be_packed(tmp_path, packed):
    pack = gzip.compress if packed else bytes
    (tmp_path / "x").write_bytes(header(X.shape) + X.tobytes())
    (tmp_path / "t").write_bytes(pack(header(T.shape) + T.astype(np.uint8).tobytes()))
    samples = Samples.open(str(tmp_path / "x"), str(tmp_path / "t"), scale=1 / 255)
    assert samples.digest() == Samples(X, T, scale=1 / 255).digest()


def test_a_block_is_two_mebibytes_of_rows_unless_told_otherwise(path):
    assert Samples(X, T).block_rows is None
    assert Samples.open(path, T).block_rows == 2**21 // 6
    assert Samples.open(path, T, block_rows=10).block_rows == 10
    assert mapped.rows_in_block(np.broadcast_to(np.uint8(0), (3, 2**22))) == 1
    with pytest.raises(ParameterError, match="block_rows must be an integer >= 1, got 0"):
        Samples.open(path, T, block_rows=0)


def test_two_parts_of_one_file_train_and_validate(path):
    train = Samples.open(path, T, rows=slice(0, 600), block_rows=7)
    held_out = Samples.open(path, T, rows=slice(600, None))
    np.testing.assert_array_equal(held_out.x, X[600:].reshape(100, 6))
    np.testing.assert_array_equal(train.t, T[:600])
    np.testing.assert_array_equal(train.first(9).x, X[:9].reshape(9, 6))
    assert np.shares_memory(train.first(9).x, train.x)
    assert train.first(9).block_rows == 7
    for rows in (slice(0, 9, 2), slice(700, None)):
        with pytest.raises(ParameterError, match="rows must be a slice of step 1 of 700 rows"):
            Samples.open(path, T, rows=rows)


def test_a_split_would_copy_and_says_what_to_do_instead(path):
    with pytest.raises(ParameterError, match=re.escape("rows=slice(0, n), the other")):
        Samples.open(path, T).split(0.2, 0)


def saved(x, **how):
    file = io.BytesIO()
    np.save(file, x, **how)
    return file.getvalue()


GOOD = saved(X)
BAD = {
    "short": (GOOD[:-1], "makes 4328 bytes, but the file has 4327"),
    "long": (GOOD + b"\0", "makes 4328 bytes, but the file has 4329"),
    "header cut": (GOOD[:50], "is a damaged .npy"),
    "header wrong": (GOOD.replace(b"'descr'", b"'zzzzz'"), "is a damaged .npy"),
    "a size that is True": (GOOD.replace(b"(700, 2", b"(True,2"), "is a damaged .npy"),
    "negative": (GOOD.replace(b"(700, 2, 3), ", b"(-700,-2, 3),"), "its header says (-700, -2, 3)"),
    "fortran": (saved(np.asfortranarray(X)), "must hold row after row (C order), got Fortran"),
    "objects": (saved(np.array([[None]]), allow_pickle=True), "which are never unpickled"),
    "int16": (saved(X.astype("int16")), "got '<i2' (int16); save it anew as one of these"),
    "bool": (saved(X > 9), "must hold uint8, float32, float64 of this machine's byte order"),
    "foreign order": (saved(X.astype(">f4")), "got '>f4' (float32)"),
    "text": (saved(np.array([["a"]])), "got '<U1'"),
    "one dimension": (saved(X.ravel()), "must have the shape (samples, features)"),
    "no rows": (saved(X[:0]), "none of them 0, got (0, 2, 3)"),
    "gzip": (gzip.compress(GOOD), "but looks like gzip; unpack it first"),
    "npz": (b"PK\x03\x04" + bytes(20), "such as .npz or a PyTorch file; unpack it first"),
    "text file": (b"1,2,3\n4,5,6\n", "must be .npy or IDX to be mapped, but looks like nothing"),
    "empty": (b"", "but looks like an empty file; convert it"),
    "idx short": (header((700, 6)) + bytes(4199), "but the file has 4211 (1 too few)"),
    "idx long": (header((700, 6)) + bytes(4201), "but the file has 4213 (1 too many)"),
    "idx of labels": (header((700,)) + bytes(700), "must have the shape (samples, features)"),
    "idx of floats": (b"\0\0\x0d\x02" + bytes(40), "nothing known (it starts 00 00 0d 02)"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_used_as_it_lies_there_is_refused(tmp_path, name):
    content, words = BAD[name]
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        Samples.open(tmp_path / "x", T)
    assert str(tmp_path / "x") in str(caught.value)


def test_files_that_are_not_there_are_named(tmp_path, path):
    with pytest.raises(DataError, match=r"cannot read '.*nowhere': No such file"):
        Samples.open(tmp_path / "nowhere", T)
    with pytest.raises(DataError, match=r"cannot read '.*nowhere': No such file"):
        Samples.open(path, tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a folder; a regular file is needed"):
        Samples.open(tmp_path, T)


def test_a_file_that_the_system_does_not_map_is_named(path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mapped, "Pages", refuse)
    with pytest.raises(DataError, match=r"cannot map '.*x.npy' into memory: .*Cannot allocate"):
        Samples.open(path, T)


def test_what_samples_check_is_checked(tmp_path, path):
    with pytest.raises(ShapeError, match="x has 700 rows, t has 699"):
        Samples.open(path, T[1:])
    with pytest.raises(DtypeError, match="t must hold integer labels"):
        Samples.open(path, T / 2)
    with pytest.raises(ParameterError, match="scale must be a finite number above 0"):
        Samples.open(path, T, scale=0)
    with pytest.raises(ParameterError, match="weights must be finite numbers >= 0"):
        Samples.open(path, T, weights=-np.ones(700))
    x = X.astype("float32")
    x[600, 1, 2] = np.nan
    np.save(tmp_path / "nan.npy", x)
    with pytest.raises(DataError, match=r"x has NaN at row 600, column 5 \(1 of 700 rows\)"):
        Samples.open(tmp_path / "nan.npy", T)
    assert len(Samples.open(tmp_path / "nan.npy", T, rows=slice(0, 600))) == 600


# The order of an epoch


@given(
    n=st.integers(1, 400),
    block_rows=st.integers(1, 9),
    batch_size=st.integers(1, 90),
    epoch=st.integers(0, 3),
)
@settings(deadline=None, max_examples=80)
def test_every_row_comes_once_an_epoch_in_full_batches(n, block_rows, batch_size, epoch):
    found = rows_seen(n, block_rows, batch_size, 3, epoch)
    assert sorted(np.concatenate(found)) == list(range(n))
    assert all(len(rows) == batch_size for rows in found[:-1])
    assert len(found) == math.ceil(n / batch_size)
    again = rows_seen(n, block_rows, batch_size, 3, epoch)
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(again))
    for done in {0, 1, len(found) // 2, len(found) - 1, len(found)}:
        rest = rows_seen(n, block_rows, batch_size, 3, epoch, done)
        assert [list(rows) for rows in rest] == [list(rows) for rows in found[done:]]


@pytest.mark.parametrize("pools", [1, 2, 3])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("batch_size", [5 * POOL_BLOCKS - 1, 5 * POOL_BLOCKS, 5 * POOL_BLOCKS + 1])
def test_sizes_around_the_bounds_of_pools_and_batches(pools, more, batch_size):
    n = 5 * POOL_BLOCKS * pools + more
    found = rows_seen(n, 5, batch_size, 0)
    assert sorted(np.concatenate(found)) == list(range(n))
    np.testing.assert_array_equal(np.concatenate(rows_seen(n, 5, batch_size, None)), range(n))


def test_a_pool_holds_the_rows_of_whole_blocks_from_all_over_the_file():
    order = np.concatenate(rows_seen(40_000, 10, 100, 0))
    blocks = [np.unique(order[k : k + 320] // 10) for k in range(0, 39_680, 320)]
    assert all(len(found) == POOL_BLOCKS for found in blocks)
    assert np.mean([np.ptp(found) for found in blocks]) > 3600
    inside = order[:320]
    assert np.mean(np.diff(inside) == 1) < 0.01  # and within it no block is left together


def test_orders_differ_between_epochs_seeds_and_pools():
    orders = [np.concatenate(rows_seen(1280, 10, 64, s, e)) for s, e in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3
    first, second = (np.argsort(orders[0][k : k + 320]) for k in (0, 320))
    assert not np.array_equal(first, second)


def test_up_to_one_pool_the_order_is_that_of_samples_in_memory(path):
    batches = Batches(Samples.open(path, T, block_rows=22), 32)  # 700 rows are 32 blocks
    plain = Batches(Samples(X, T), 32)
    for seed in (None, 5):
        for one, other in zip(batches.epoch(seed, 2), plain.epoch(seed, 2), strict=True):
            np.testing.assert_array_equal(one, other)
    longer = np.concatenate(list(Batches(Samples.open(path, T, block_rows=21), 32).epoch(5, 2)))
    assert not np.array_equal(longer, np.concatenate(list(plain.epoch(5, 2))))


def test_the_order_of_a_seed_never_changes():
    order = np.concatenate(rows_seen(200, 2, 32, 0))
    assert order[:12].tolist() == [118, 42, 34, 56, 127, 49, 12, 166, 167, 192, 193, 16]


def test_only_opening_maps_and_a_memory_map_that_is_handed_in_is_shuffled_as_ever(path):
    plain = np.load(path, mmap_mode="r")
    samples = Samples(plain, T)
    assert samples.block_rows is None
    order = np.concatenate(list(Batches(samples, 32).epoch(5, 2)))
    np.testing.assert_array_equal(
        order, np.concatenate(list(Batches(Samples(X, T), 32).epoch(5, 2)))
    )
    assert mapped._pages_of(samples.x) is None


# Training


@pytest.mark.parametrize("block_rows", [5, 22])
@pytest.mark.parametrize("shuffle", [True, False])
def test_training_equals_that_in_memory_in_the_same_order_to_the_bit(path, block_rows, shuffle):
    ours = trainer(Samples.open(path, T, 1 / 255, block_rows=block_rows), shuffle=shuffle)
    found = list(ours.run(2))
    plain = Samples(X, T, 1 / 255)
    batches = Batches(plain, 32)
    batches.epoch = lambda seed, epoch, done=0: mapped_batches(
        plain.x, block_rows, 32, seed, epoch, done
    )
    other = trainer(plain, shuffle=shuffle)
    other.batches = batches
    losses = [epoch.loss for epoch in other.run(2)]
    np.testing.assert_array_equal(ours.network.vector, other.network.vector)
    assert [epoch.loss for epoch in found] == losses
    assert ours.evaluate(ours.train) == other.evaluate(plain)


@pytest.mark.parametrize("cut", [1, 11, 22, 30])
def test_a_run_cut_within_an_epoch_goes_on_to_the_same_bits(path, tmp_path, cut):
    samples = Samples.open(path, T, 1 / 255, block_rows=5)
    whole = trainer(samples)
    list(whole.run(2))

    def stop(step, loss):
        if step == cut:
            raise KeyboardInterrupt

    broken = trainer(samples, on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        list(broken.run(2))
    broken.save(tmp_path / "checkpoint.npz")
    ours = trainer(Samples.open(path, T, 1 / 255, block_rows=5))
    assert ours.resume(tmp_path / "checkpoint.npz") == []
    list(ours.run(2 - ours.epochs))
    np.testing.assert_array_equal(ours.network.vector, whole.network.vector)
    assert ours.state()["history"] == whole.state()["history"]


def test_another_size_of_blocks_is_another_course_and_not_gone_on_with(path, tmp_path):
    trainer(Samples.open(path, T, block_rows=5, scale=0.1)).save(tmp_path / "checkpoint.npz")
    with pytest.raises(ParameterError, match="other settings: train was"):
        trainer(Samples.open(path, T, block_rows=6, scale=0.1)).resume(tmp_path / "checkpoint.npz")


@pytest.mark.parametrize("over", ["features", "all"])
def test_standardize_measures_a_file_as_it_does_an_array(tmp_path, over):
    x = RNG.normal(size=(3000, 6))
    np.save(tmp_path / "x.npy", x)
    t, weights = np.arange(3000) % 3, RNG.random(3000)
    found = []
    for samples in (Samples.open(tmp_path / "x.npy", t, 2.0, weights), Samples(x, t, 2.0, weights)):
        network = Network([Standardize(6, over), Affine(6, 3)])
        Trainer(network, samples)
        found.append(network.state_vector.copy())
    np.testing.assert_array_equal(*found)


def test_bytes_that_nobody_has_scaled_are_warned_of_from_the_first_block(path):
    with pytest.warns(DataWarning, match="x holds values from 0 to 255"):
        trainer(Samples.open(path, T, block_rows=5))


# The digest, and other processes


def test_a_digest_is_computed_once_and_of_a_long_file_from_32_blocks(path, monkeypatch):
    short, long = Samples.open(path, T, block_rows=22), Samples.open(path, T, block_rows=7)
    whole = Samples(X, T)
    assert short.digest() == whole.digest() != long.digest()
    assert Samples.open(path, T, block_rows=6).digest() != long.digest()
    known = long.digest()
    monkeypatch.setattr(Samples, "_hash", None)
    assert long.digest() == known


@pytest.mark.parametrize(("row", "seen"), [(0, True), (699, True), (444, True), (450, False)])
def test_a_digest_sees_a_change_where_it_says_so(tmp_path, path, row, seen):
    """Of 100 blocks of 7 rows a third is taken: that of row 444, not that of 450."""
    x = X.copy()
    x[row] ^= 1
    np.save(tmp_path / "other.npy", x)
    one, other = (Samples.open(p, T, block_rows=7) for p in (path, tmp_path / "other.npy"))
    assert (one.digest() != other.digest()) is seen


def test_pickles_hold_the_place_in_the_file_and_not_the_rows(path):
    samples = Samples.open(path, T, 0.5, rows=slice(100, 600), block_rows=9)
    content = pickle.dumps(samples)
    assert len(content) < 8 * 500 + 1000  # the labels
    again = pickle.loads(content)
    assert again.digest() == samples.digest()
    assert again.block_rows == 9
    assert isinstance(mapped._pages_of(again.x), mapped.Pages)
    np.testing.assert_array_equal(again.x, samples.x)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="had 4328 bytes and now has 4329; open it anew"):
        pickle.loads(content)
    plain = pickle.loads(pickle.dumps(Samples(X, T)))
    assert plain.digest() == Samples(X, T).digest()
    with pytest.raises(TypeError, match="no part of a mapped file"):
        mapped.place_of(plain.x)


# Memory

CHILD = """
import resource, sys
import numpy as np
from scratchnet import Affine, Network, Samples, Standardize, Trainer
from scratchnet.data import mapped
from scratchnet.training.state import settings_of

def peak():
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit

path, keep = sys.argv[1], sys.argv[2] == "keep"
if keep:
    mapped._DONE = None
network = Network([Standardize(1024, "all"), Affine(1024, 2)])
before = peak()
samples = Samples.open(path, np.arange(204_800) % 2)
trainer = Trainer(network, samples, batch_size=500, optimizer="sgd", lr=1e-3)
next(trainer.run(1))
trainer.evaluate(samples)
samples.first(200_000)
settings_of(trainer)
print(peak() - before)
"""


def growth(path, how):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, path, how],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(mapped._DONE is None, reason="this system takes no advice on memory")
def test_a_pool_at_a_time_is_in_memory_and_without_letting_go_all_of_it():
    """800 MiB of floats, a hole in the file: finite check, moments, epoch, evaluation, digest."""
    with tempfile.TemporaryDirectory() as folder:  # on a disk, where tmp_path may be in memory
        path = Path(folder) / "x.npy"
        x = np.lib.format.open_memmap(path, "w+", np.float32, (204_800, 1024))
        del x
        advise_dontneed = growth(path, "let go")
        assert advise_dontneed < 300
        assert (
            growth(path, "keep") > advise_dontneed
        )  # all 800, where the system does not take pages back
