"""Damaged files: mutated checkpoints and mutated IDX files, read by the real readers.

Only DataError may come of them, whatever they claim, and memory stays within bounds. What is read
of a checkpoint all the same is to the bit what was saved. Some mutants are sealed anew, with a
digest that is right: for those, only errors of scratchnet's own may come of loading them.
"""

import copy
import gzip
import io
import json
import random
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, folder, run, shout
from resume import Case, finish

from scratchnet.data import idx
from scratchnet.errors import DataError, ScratchnetError
from scratchnet.storage.archive import digest, read_archive
from scratchnet.training.resuming import (
    load_weights,
    restore_checkpoint,
    save_checkpoint,
    save_weights,
)

LENGTHS = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x1F, 0x8B, 0x50)
CAP = 2**16
"""Bytes that a mutated IDX file may declare."""
Mutation = Callable[[random.Random, bytearray], bytearray]


def mutate(rng: random.Random, data: bytes) -> bytes:
    """One mutation of the bytes, sometimes two or three."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = rng.choice(MUTATIONS)(rng, found)
    return bytes(found)


def _flip(rng: random.Random, data: bytearray) -> bytearray:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _set(rng: random.Random, data: bytearray) -> bytearray:
    if data:
        data[rng.randrange(len(data))] = rng.choice(BYTES)
    return data


def _cut(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _remove(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 2, 4, 16, 64))]
    return data


def _length(rng: random.Random, data: bytearray) -> bytearray:
    size = rng.choice((2, 4, 8))
    value = rng.choice((*LENGTHS, len(data), len(data) + 1, max(len(data) - 1, 0)))
    start = rng.randrange(len(data) + 1)
    order = rng.choice(("little", "big"))
    data[start : start + size] = (value % 256**size).to_bytes(size, order)
    return data


def _append(rng: random.Random, data: bytearray) -> bytearray:
    return data + rng.choice(
        (b"\0" * rng.randrange(1, 64), rng.randbytes(rng.randrange(1, 64)), data)
    )


def _splice(rng: random.Random, data: bytearray) -> bytearray:
    a, b, n = (rng.randrange(len(data) + 1) for _ in range(3))
    data[a : a + n] = data[b : b + n]
    return data


def _noise(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data) + 1)
    n = rng.choice((1, 4, 16, 64))
    data[start : start + n] = rng.randbytes(n)
    return data


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _flip, _set, _set, _length, _length),
    *(_cut, _remove, _append, _splice, _noise),
)


# Checkpoints


class Archives:
    """A checkpoint and a weights file, their mutants, and what must come of reading them."""

    def __init__(self, where: Path) -> None:
        self.path = where / "mutant.npz"
        self.trainer, self.stopping = Case("adam", "plateau", "float32").make()
        finish(self.trainer, self.stopping)
        save_checkpoint(where / "checkpoint.npz", self.trainer, self.stopping)
        save_weights(self.trainer.network, where / "weights.npz")
        paths = [where / "checkpoint.npz", where / "weights.npz"]
        self.files = [path.read_bytes() for path in paths]
        self.contents = [_content(*read_archive(path)) for path in paths]
        self.raw = []
        for file in self.files:
            with np.load(io.BytesIO(file)) as members:
                self.raw.append({name: members[name] for name in members.files})
        self.slowest = 0.0

    def read(self, data: bytes, which: int) -> str:
        """Read a mutant of a file: "refused", "harmless", or what is wrong."""
        self.path.write_bytes(data)
        start = time.perf_counter()
        try:
            found = read_archive(self.path)
        except DataError as error:
            return "refused" if repr(str(self.path)) in str(error) else f"no path: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self.slowest = max(self.slowest, time.perf_counter() - start)
        return "harmless" if _content(*found) == self.contents[which] else "other content"

    def load(self, data: bytes) -> str:
        """Load a mutant whose digest is right: "refused", "loaded", or what is wrong."""
        self.path.write_bytes(data)
        for load in (load_weights, self._restore):
            try:
                load(self.path)
            except ScratchnetError:
                continue
            except Exception as error:
                return f"{load.__name__}: {type(error).__name__}: {error}"
        return "loaded or refused"

    def _restore(self, path: Path) -> None:
        restore_checkpoint(path, self.trainer, self.stopping, override=True)

    def sealed(self, rng: random.Random) -> bytes:
        """A checkpoint with something else in its header or arrays, and the right digest."""
        arrays = dict(self.raw[0])
        header = json.loads(str(arrays.pop("header")))
        del header["sha256"]
        for _ in range(rng.choice((1, 1, 2))):
            if rng.random() < 0.7:
                _change(rng, header)
            else:
                name = rng.choice(list(arrays))
                arrays[name] = rng.choice(_arrays(arrays[name]))
        if rng.random() < 0.1:
            del arrays[rng.choice(list(arrays))]
        try:
            header["sha256"] = digest(arrays, header)
            text = json.dumps(header)
        except ValueError:  # NaN has no digest of ours
            text = json.dumps(header)
        whole = io.BytesIO()
        np.savez(whole, header=np.array(text), **arrays)
        return whole.getvalue()


def _arrays(array: Any) -> list[Any]:
    """Others in the place of an array."""
    return [
        np.transpose(array),
        np.asarray(array, np.float64),
        np.zeros(np.shape(array), np.int8),
        np.atleast_1d(array)[:0],
        np.full(np.shape(array), np.nan, np.float32),
        np.zeros((2, 2), bool),
        np.array(1, np.float32),
    ]


VALUES = (
    *(None, True, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, float("inf"), 0.5, "", "W1", "../x"),
    *([], [1], {}, {"array": "W1"}, {"array": "none"}, [[]], "vector", "float16"),
)


def _change(rng: random.Random, tree: Any) -> None:
    """Replace or remove one value in a tree of dicts and lists."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(tree[key], dict | list) and tree[key] and rng.random() < 0.8:
            tree = tree[key]
            continue
        if rng.random() < 0.2:
            del tree[key]
        else:
            tree[key] = copy.deepcopy(rng.choice(VALUES))  # it may be changed in its turn
        return


def _content(arrays: Any, header: Any) -> tuple[Any, ...]:
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}, header


# IDX


def idx_files() -> list[bytes]:
    """Images and labels, plain and packed."""
    rng = np.random.default_rng(2)
    images = idx.header((5, 4, 3)) + rng.integers(0, 256, 60, dtype=np.uint8).tobytes()
    labels = idx.header((9,)) + rng.integers(0, 10, 9, dtype=np.uint8).tobytes()
    return [images, labels, gzip.compress(images, mtime=0), gzip.compress(labels, mtime=0)]


def read_idx(data: bytes, ndim: int | None) -> str:
    """Read a mutant: "refused", "whole" where that is what the file holds, or what is wrong."""
    try:
        found = idx.read_stream(io.BytesIO(data), len(data), max_bytes=CAP, ndim=ndim)
    except DataError:
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    held = gzip.decompress(data) if data.startswith(idx.GZIP) else data
    return "whole" if held == idx.header(found.shape) + found.tobytes() else "other content"


def flipped(data: bytes) -> Any:
    """Every mutant with one bit flipped."""
    for place in range(8 * len(data)):
        mutant = bytearray(data)
        mutant[place // 8] ^= 1 << place % 8
        yield bytes(mutant)


class Tally:
    """What came of the mutants, and the most memory that reading one of them took."""

    def __init__(self, fine: set[str]) -> None:
        self.fine, self.seen, self.peak = fine, Counter[str](), 0

    def add(self, read: Callable[[], str], traced: bool) -> None:
        """Read one more."""
        if traced:
            tracemalloc.start()
        what = read()
        if traced:
            self.peak = max(self.peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        if what not in self.fine and self.seen[what] < 1 and len(self.seen) < 40:
            shout(f"mutant: {what[:300]}")
        self.seen[what] += 1

    def figure(self, promise: str, note: str = "") -> Figure:
        """The figure that it makes."""
        n = sum(self.seen.values())
        wrong = sum(count for what, count in self.seen.items() if what not in self.fine)
        parts = [f"{self.seen[what]:,} {what}" for what in sorted(self.fine) if self.seen[what]]
        if self.peak:
            parts.append(f"at most {self.peak / 2**10:.0f} kB of memory")
        return Figure(promise, wrong, n, "; ".join(parts + [note] * bool(note)))


def archives(count: int, seed: int) -> list[Figure]:
    """So many mutated checkpoints, a tenth of them sealed anew, and all flips of single bits."""
    rng = random.Random(seed)
    torn, sealed = Tally({"refused", "harmless"}), Tally({"loaded or refused"})
    flips = Tally({"refused", "harmless"})
    with folder(memory=True) as where:
        found = Archives(where)
        for k in range(count):
            if k % 10 == 9:
                data = found.sealed(rng)
                sealed.add(lambda data=data: found.load(data), k % 1000 == 9)
                continue
            which = rng.randrange(2)
            data = mutate(rng, found.files[which])
            torn.add(lambda data=data, which=which: found.read(data, which), k % 1000 == 0)
        for which, file in enumerate(found.files):
            for k, data in enumerate(flipped(file)):
                if count >= 100_000 or k % 50 == 0:
                    flips.add(lambda data=data, which=which: found.read(data, which), False)
        largest = max(map(len, found.files))
    return [
        torn.figure("mutated checkpoints: only DataError, or what was saved", f"{largest:,} bytes"),
        sealed.figure("mutants with the right digest: only scratchnet's errors"),
        flips.figure("single flipped bits of a checkpoint: found or harmless"),
    ]


def idxs(count: int, seed: int) -> list[Figure]:
    """So many mutated IDX files, and all flips of single bits of the packed ones."""
    rng = random.Random(seed)
    torn, flips = Tally({"refused", "whole"}), Tally({"refused", "same"})
    files = idx_files()
    for k in range(count):
        data, ndim = mutate(rng, rng.choice(files)), rng.choice((None, 1, 3))
        torn.add(lambda data=data, ndim=ndim: read_idx(data, ndim), k % 1000 == 0)
    for file in files[2:]:
        whole = gzip.decompress(file)
        for data in flipped(file):
            flips.add(lambda data=data, whole=whole: _same(data, whole), False)
    return [
        torn.figure("mutated IDX files: only DataError, or what the file holds"),
        flips.figure("single flipped bits of a packed IDX file: found or harmless"),
    ]


def _same(data: bytes, whole: bytes) -> str:
    what = read_idx(data, None)
    if what != "whole":
        return what
    found = idx.read_stream(io.BytesIO(data), len(data))
    return "same" if idx.header(found.shape) + found.tobytes() == whole else "other content"


def measure(count: int, seed: int) -> list[Figure]:
    """So many of each."""
    return [*archives(count, seed), *idxs(count, seed)]


if __name__ == "__main__":
    sys.exit(run(measure, 1_000_000, __doc__))
