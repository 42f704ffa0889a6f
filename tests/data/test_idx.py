import gzip
import io
import os
import pickle
import random
import sys
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchnet.data import opening
from scratchnet.data.idx import header, read_idx, read_images, read_labels, read_stream
from scratchnet.data.npz import read_npz
from scratchnet.data.opening import looks_like
from scratchnet.errors import DataError

IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
PLAIN = header(IMAGES.shape) + IMAGES.tobytes()
PACKED = gzip.compress(PLAIN, mtime=0)


def write(folder, content, name="data"):
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path, *words, read=read_idx, **options):
    with pytest.raises(DataError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("content", [PLAIN, PACKED], ids=["plain", "gzip"])
def test_a_whole_file_is_read_whatever_its_name(tmp_path, content):
    array = read_images(write(tmp_path, content))
    np.testing.assert_array_equal(array, IMAGES)
    assert array.dtype == np.uint8
    assert array.flags.writeable
    assert array.flags.c_contiguous


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)),
    packed=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read(array, packed):
    content = header(array.shape) + array.tobytes()
    content = gzip.compress(content) if packed else content
    found = read_stream(io.BytesIO(content), len(content))
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_gzip_of_several_members_and_zero_padding_is_still_gzip(tmp_path):
    content = gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:]) + bytes(512)
    np.testing.assert_array_equal(read_idx(write(tmp_path, content)), IMAGES)


@pytest.mark.parametrize("cut", [11, 30, len(PACKED) - 9, len(PACKED) - 1])
def test_a_gzip_cut_short_says_after_how_many_bytes(tmp_path, cut):
    refused(write(tmp_path, PACKED[:cut]), "ended after", "delete it and download it again")


def test_a_long_gzip_cut_short_names_both_byte_counts(tmp_path):
    big = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    packed = gzip.compress(header(big.shape) + big.tobytes(), mtime=0)
    message = refused(write(tmp_path, packed[: len(packed) // 2]), f"of {16 + big.size} bytes")
    done = int(message.split("ended after ")[1].split()[0])
    assert abs(done - big.size // 2) < 2**16


def test_a_gzip_that_declares_more_than_it_holds_says_so(tmp_path):
    content = gzip.compress(header((9, 4, 3)) + IMAGES.tobytes())
    refused(write(tmp_path, content), "ended after 76 of 124 bytes")


@pytest.mark.parametrize(
    ("place", "words"), [(-8, "CRC check failed"), (-1, "Incorrect length")], ids=["crc", "length"]
)
def test_a_gzip_with_a_wrong_trailer_is_damaged(tmp_path, place, words):
    content = bytearray(PACKED)
    content[place] ^= 1
    refused(write(tmp_path, bytes(content)), "damaged", words)


def test_damaged_deflate_data_is_named(tmp_path):
    content = bytearray(PACKED)
    content[10] = 0xFF
    refused(write(tmp_path, bytes(content)), "gzip data is damaged after 0 bytes")


def test_junk_after_the_gzip_data_is_named(tmp_path):
    refused(write(tmp_path, PACKED + b"junk"), "other bytes follow its gzip data")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", "HTML"),
        (b"<html><body>moved</body></html>", "HTML"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "XML"),
        (pickle.dumps({"x": 1}), "a Python pickle"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "a NumPy .npy file"),
        (b"PK\x03\x04\x14\x00\x00\x00", "a zip archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"BZh91AY", "bzip2"),
        (b"abc", "nothing known (it starts 61 62 63)"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_idx_file_is_named_as_what_it_looks_like(tmp_path, content, kind, packed):
    content = gzip.compress(content) if packed else content
    refused(write(tmp_path, content), f"looks like {kind}", "not IDX or gzip")


def test_labels_where_images_are_expected_are_named(tmp_path):
    path = write(tmp_path, header((3,)) + bytes(3))
    refused(
        path,
        "it is a label file (magic 0x00000801); images (0x00000803) expected",
        read=read_images,
    )
    refused(
        write(tmp_path, PLAIN, "images"),
        "it is an image file (magic 0x00000803)",
        "labels (0x00000801) expected",
        read=read_labels,
    )


@pytest.mark.parametrize(
    ("code", "word"), [(0x0B, "int16"), (0x0D, "float32"), (0x0A, "an unknown type")]
)
def test_other_type_codes_are_named(tmp_path, code, word):
    content = bytes((0, 0, code, 1)) + (2).to_bytes(4, "big") + bytes(8)
    refused(write(tmp_path, content), f"0x{code:02X} ({word})", "byte 2")


@pytest.mark.parametrize("dimensions", [0, 5, 255])
def test_one_to_four_dimensions_can_be_read(tmp_path, dimensions):
    refused(write(tmp_path, bytes((0, 0, 8, dimensions)) + bytes(99)), f"{dimensions} dimensions")


def test_a_header_cut_short_is_named(tmp_path):
    refused(write(tmp_path, PLAIN[:10]), "ended after 10 of 16 header bytes")


@pytest.mark.parametrize("shape", [(0,), (5, 0, 3)])
def test_a_dimension_of_zero_is_refused(tmp_path, shape):
    refused(write(tmp_path, header(shape)), "is 0, so it holds nothing")


def test_a_product_that_would_wrap_at_64_bits_is_refused(tmp_path):
    for packed in (False, True):
        content = header((2**32 - 1,) * 3)
        content = gzip.compress(content) if packed else content
        refused(write(tmp_path, content), str((2**32 - 1) ** 3), "over the limit", "max_bytes")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PLAIN + b"xy", "make 76 bytes, but the file has 78 (2 too many)"),
        (PLAIN[:-3], "make 76 bytes, but the file has 73 (3 too few)"),
        (gzip.compress(PLAIN + b"x", mtime=0), "has more than the 76 bytes"),
        (gzip.compress(PLAIN[:-3], mtime=0), "ended after 73 of 76 bytes"),
    ],
)
def test_more_or_fewer_bytes_than_declared_are_counted(tmp_path, content, words):
    refused(write(tmp_path, content), words)


def test_a_plain_file_that_shrinks_while_it_is_read_is_noticed():
    with pytest.raises(DataError, match="ended after 70 of 76 bytes"):
        read_stream(io.BytesIO(PLAIN[:70]), len(PLAIN))


def test_the_limit_can_be_raised(tmp_path):
    path = write(tmp_path, PLAIN)
    refused(path, "5 x 4 x 3 = 60 bytes, over the limit of 59", max_bytes=59)
    assert read_idx(path, max_bytes=60).size == 60


def deflate_zeros(start, size):
    """A gzip of `start` and `size` zeros, quickly: one compressed block over and over."""
    packer = zlib.compressobj(9, wbits=31)
    begin = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return begin + block * (size // 2**20)


@pytest.fixture(scope="module")
def bombs():
    return [
        deflate_zeros(header((2_000_000, 28, 28)), 1500 * 2**20),
        deflate_zeros(header((10, 28, 28)), 1500 * 2**20),
    ]


@pytest.mark.parametrize("which", [0, 1], ids=["a lying header", "a modest header"])
def test_a_gzip_bomb_is_refused_at_once_and_in_little_memory(tmp_path, bombs, which):
    assert len(bombs[which]) < 2e6
    path = write(tmp_path, bombs[which])
    answer = refused(path)
    path.write_bytes(bombs[which][:50_000])
    assert refused(path) == answer  # so the rest was never unpacked
    path.write_bytes(bombs[which])
    tracemalloc.start()
    try:
        refused(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    refused(tmp_path, "is a folder")
    if hasattr(os, "mkfifo"):
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        refused(fifo, "is a pipe, socket or device")
    if os.path.exists("/dev/zero"):
        refused("/dev/zero", "is a pipe, socket or device")


def test_what_the_system_says_of_a_path_is_passed_on(tmp_path):
    refused(tmp_path / "nothing", "No such file or directory")
    with pytest.raises(DataError, match="null"):
        read_idx("a\0b")


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_dangling_and_looping_links_are_named(tmp_path):
    dangling, loop = tmp_path / "dangling", tmp_path / "loop"
    dangling.symlink_to(tmp_path / "nothing")
    loop.symlink_to(loop)
    refused(dangling, "(a symbolic link)", "No such file")
    refused(loop, "symbolic link")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_a_file_without_read_permission_is_named(tmp_path):
    path = write(tmp_path, PLAIN)
    path.chmod(0)
    refused(path, "Permission denied")


def test_a_failing_disk_is_named(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("scratchnet.data.idx.read_stream", broken)
    refused(write(tmp_path, PLAIN), "Input/output error")


def test_lack_of_memory_is_named(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("scratchnet.data.idx.np.empty", full)
    refused(write(tmp_path, PLAIN), "no memory for the 60 bytes")


FIELDS = [n.to_bytes(4, "big") for n in (0, 1, 4, 6, 2**31, 2**32 - 1)]


def mutate(rng, content):
    data = bytearray(content)
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(data)) if data else 0
        match rng.randrange(8):
            case 0:
                del data[place:]
            case 1 if data:
                data[place] ^= 1 << rng.randrange(8)
            case 2 if data:
                data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 3:
                field = 4 * rng.randrange(1, 4)
                data[field : field + 4] = rng.choice(FIELDS)
            case 4:
                data += rng.randbytes(rng.randint(1, 9))
            case 5:
                data[place:place] = data[: rng.randint(1, 20)]
            case 6:
                data[place : place + 8] = rng.randbytes(8)
            case _:
                data[:4] = bytes((0, 0, rng.choice((8, 9, 13)), rng.randrange(6)))
    return bytes(data)


@pytest.mark.parametrize("layer", ["plain", "packed", "inside gzip"])
def test_only_data_errors_come_out_of_mutated_files(layer):
    rng = random.Random(f"idx {layer}")
    source = PACKED if layer == "packed" else PLAIN
    accepted = 0
    for _ in range(10_000):
        content = mutate(rng, source)
        if layer == "inside gzip":
            content = gzip.compress(content, 1)
        try:
            array = read_stream(io.BytesIO(content), len(content), max_bytes=2**20)
        except DataError:
            continue
        accepted += 1
        whole = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        assert header(array.shape) + array.tobytes() == whole
    assert 0 < accepted < 5_000


def test_no_single_flipped_bit_of_a_gzip_changes_what_is_read():
    for bit in range(8 * len(PACKED)):
        content = bytearray(PACKED)
        content[bit // 8] ^= 1 << bit % 8
        try:
            array = read_stream(io.BytesIO(content), len(content))
        except DataError:
            continue
        np.testing.assert_array_equal(array, IMAGES)


def zipped(*members, compression=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return target.getvalue()


def npy(array, **options):
    target = io.BytesIO()
    np.lib.format.write_array(target, np.asarray(array), **options)
    return target.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_is_read_as_numpy_wrote_it(tmp_path, save):
    path = tmp_path / "set.npz"
    written = {
        "x": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "t": np.array([1, 0], dtype=">i2"),
        "mask": np.array([True]),
    }
    save(path, **written)
    found = read_npz(path)
    assert found.keys() == written.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


class Evil:
    def __reduce__(self):
        return os.abort, ()


def test_b27_an_npz_with_objects_is_refused_and_nothing_is_unpickled(tmp_path):
    content = zipped(("x.npy", npy(np.array([Evil()], dtype=object), allow_pickle=True)))
    refused(write(tmp_path, content), "'x.npy' is of dtype object", read=read_npz)


@pytest.mark.parametrize("values", ["text", [1j], ["2020-01-01"]], ids=["str", "complex", "dates"])
def test_an_npz_holds_real_numbers_only(tmp_path, values):
    array = np.array(values, dtype="M8[D]" if values == ["2020-01-01"] else None)
    refused(write(tmp_path, zipped(("x.npy", npy(array)))), "only numbers", read=read_npz)


def test_an_npz_that_unpacks_to_more_than_the_limit_is_refused_unread(tmp_path):
    bomb = zipped(("x.npy", npy(np.zeros(2**26, dtype=np.uint8))))
    path = write(tmp_path, bomb)
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        refused(path, "unpack to", "over the limit of 1048576", read=read_npz, max_bytes=2**20)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_an_npz_whose_header_declares_more_than_the_member_has_is_refused(tmp_path):
    content = npy(np.zeros(10)).replace(b"(10,)", b"(1099511627776,)".ljust(5))
    refused(write(tmp_path, zipped(("x.npy", content))), "needs", read=read_npz)
    negative = npy(np.zeros(10)).replace(b"(10,)", b"(-1,)")
    refused(write(tmp_path, zipped(("x.npy", negative))), "needs", read=read_npz)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_npz_with_a_name_twice_is_refused(tmp_path):
    content = zipped(("x.npy", npy([1])), ("x.npy", npy([2])))
    refused(write(tmp_path, content), "holds 'x.npy' twice", read=read_npz)


def test_other_zip_files_are_named(tmp_path):
    torch = zipped(("archive/data.pkl", b"\x80\x02}q\x00."))
    refused(write(tmp_path, torch), "a PyTorch file", read=read_npz)
    refused(write(tmp_path, zipped(("a.txt", b"hello"))), "no .npz of arrays", read=read_npz)
    refused(write(tmp_path, pickle.dumps([1])), "looks like a Python pickle", read=read_npz)
    refused(write(tmp_path, b"\x89HDF\r\n\x1a\n"), "looks like an HDF5 file", read=read_npz)


def test_an_npz_with_a_wrong_crc_or_cut_short_is_damaged(tmp_path):
    content = zipped(("x.npy", npy(np.arange(99))), compression=zipfile.ZIP_STORED)
    flipped = bytearray(content)
    flipped[400] ^= 1
    refused(write(tmp_path, bytes(flipped)), "damaged .npz", "CRC", read=read_npz)
    refused(write(tmp_path, content[:300]), "damaged .npz", read=read_npz)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_only_data_errors_come_out_of_mutated_npz_files(tmp_path, compression):
    rng = random.Random(f"npz {compression}")
    source = zipped(("x.npy", npy([[1.0, 2.0]])), ("t.npy", npy([3])), compression=compression)
    path = tmp_path / "x.npz"
    for _ in range(1_000):
        path.write_bytes(mutate(rng, source))
        try:
            found = read_npz(path, max_bytes=2**20)
        except DataError:
            continue
        if found.keys() == {"x", "t"}:
            np.testing.assert_array_equal(found["x"], [[1.0, 2.0]])
            np.testing.assert_array_equal(found["t"], [3])


def test_the_start_of_an_idx_file_is_known():
    assert looks_like(PLAIN[:16]) == "an IDX file"
    assert looks_like(PACKED[:16]) == "gzip"


def test_what_unpacks_to_far_more_than_it_is_is_refused_before_memory_is_taken(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(opening, "SMALL", 2**16)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(2**20, np.uint8))
    packed = gzip.compress(header((2**10, 2**10)) + bytes(2**20))
    (tmp_path / "a.gz").write_bytes(packed)
    for name, read in (("a.npz", read_npz), ("a.gz", read_idx)):
        with pytest.raises(DataError, match="more than 200 times as many; if"):
            read(tmp_path / name)
    noise = np.random.default_rng(0).integers(0, 2, 2**20, dtype=np.uint8)
    np.savez_compressed(tmp_path / "b.npz", x=noise)
    assert read_npz(tmp_path / "b.npz")["x"].tobytes() == noise.tobytes()
