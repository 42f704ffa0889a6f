"""Samples, and data sets of them: checked once, then trusted.

Everything is checked at the border (`data.border`); what comes after relies on it.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer, is_sparse
from scratchnet.data.border import (
    LARGEST,
    check_features,
    check_targets,
    check_weights,
    refuse_not_finite,
    transposed,
)
from scratchnet.data.mapped import (
    POOL_BLOCKS,
    FileArray,
    advise_dontneed,
    map_rows,
    place_of,
    read_targets,
    rows_in_block,
)
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.parameters import Array
from scratchnet.randomness import permutation


class Samples:
    """N samples `x` (N, D) with targets `t`; as floats they are `x * scale`.

    `t` are integer labels (N,), or floats (N, K), the values that K outputs should have. `weights`
    (N,) >= 0 say how much each sample counts in the loss, 1 as much as one of them without weights.

    `x` may be any numbers of shape (N, D) or, as images, (N, H, W, ...), which are flattened. Bytes
    stay bytes (uint8, as booleans become too); float16 and 16-bit integers become float32, wider
    integers float64; foreign byte order is put right. `t` becomes intp. Where nothing had to
    be converted the memory stays the caller's: it is never written to, and `samples.x`,
    `samples.t` and `samples.weights` are read-only.

    Raises DtypeError (no numbers), ShapeError (shapes, lengths, labels below 0), DataError (NaN,
    infinity or a value beyond float32, with its row and column), ParameterError (scale, weights).

    `Samples.open` leaves `x` in its file, for data larger than memory. `block_rows` is then how
    many rows are read together; of samples in memory it is None.

    >>> samples = Samples(np.array([[0, 255]], dtype=np.uint8), [7], scale=1 / 255)
    >>> samples[:]
    (array([[0., 1.]], dtype=float32), array([7]))
    """

    __slots__ = ("_digest", "block_rows", "scale", "t", "vouched", "weights", "x")

    def __init__(
        self,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        scale: float = 1.0,
        weights: npt.ArrayLike | None = None,
    ) -> None:
        self._take(check_features(x), t, scale, weights, None, np.shape(x))

    @classmethod
    def checked(
        cls, x: Array, t: Array, scale: float = 1.0, weights: Array | None = None
    ) -> "Samples":
        """Samples of arrays that were checked elsewhere, taken as they are.

        x (N, D) may be a sparse array of SciPy's as well, compressed by rows: so batches are, too.
        Whoever makes such samples vouches for them: no warning says what is doubtful about them.
        """
        samples = object.__new__(cls)
        samples.x = x if is_sparse(x) else _read_only(x)
        samples.t = _read_only(t)
        samples.weights = None if weights is None else _read_only(weights)
        samples.scale, samples.block_rows, samples._digest = float(scale), None, None
        samples.vouched = True
        return samples

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        t: npt.ArrayLike | str | os.PathLike[str],
        scale: float = 1.0,
        weights: npt.ArrayLike | None = None,
        *,
        rows: slice = slice(None),
        block_rows: int | None = None,
    ) -> "Samples":
        """Samples whose x stays in its file, mapped into memory, and may be larger than memory.

        `path` is a .npy of uint8, float32 or float64 in C order, or an IDX file, not packed: x
        (N, D) or images (N, H, W, ...). `t` are the targets or the path of a .npy or IDX file of
        them. Only `rows` of both are taken: a slice of step 1, as of one part for training, another
        for validation, where the file is in no particular order. Floats are read through once, to
        be checked; bytes are not. The file must not change while it is used: where it is cut short
        the system ends the process.

        The Trainer visits them by blocks of `block_rows` rows, by default as many as fit into 2
        MiB, each once an epoch. 32 blocks, drawn from all, are a pool, whose rows are shuffled: so
        the order is less random than that of samples in memory, the more so where the file is
        sorted. Up to 32 blocks it is the very same order. Memory holds one pool and the targets.

        Raises DataError for a file that cannot be used as it lies there, else what `Samples` does.

        >>> samples = Samples.open("images.npy", "labels.npy", scale=1 / 255)
        """
        x = map_rows(os.path.expanduser(path))
        if rows.step not in (None, 1) or not len(x[rows]):
            raise ParameterError(f"rows must be a slice of step 1 of {len(x)} rows, got {rows}")
        if block_rows is None:
            block_rows = rows_in_block(x)
        check_integer("block_rows", block_rows, 1)
        targets = read_targets(t) if isinstance(t, str | os.PathLike) else t
        samples = object.__new__(cls)
        samples._take(x, targets, scale, weights, block_rows)
        samples = samples._part(rows)
        if x.dtype != np.uint8:
            refuse_not_finite(samples.x)
        return samples

    def _take(
        self,
        x: Array,
        t: npt.ArrayLike,
        scale: float,
        weights: npt.ArrayLike | None,
        block_rows: int | None,
        given: tuple[int, ...] = (),
    ) -> None:
        """Keep x (N, D), which was checked, and check the rest; x came in the shape `given`."""
        if not (isinstance(scale, int | float | np.integer | np.floating) and 0 < scale <= LARGEST):
            raise ParameterError(f"scale must be a finite number above 0, got {scale!r}")
        self.x: Array = _read_only(x)
        self.t: Array = _read_only(check_targets(t))
        self.scale = float(scale)
        self.block_rows = block_rows
        self._digest: str | None = None
        self.vouched = False
        if len(self.x) != len(self.t):
            raise ShapeError(
                f"x has {len(self.x)} rows, t has {len(self.t)}; "
                f"{transposed(given, len(self.t)) or 'give one label for each sample'}"
            )
        self.weights: Array | None = None
        if weights is not None:
            self.weights = _read_only(check_weights(weights, len(self.x)))

    def __len__(self) -> int:
        """N, the number of samples."""
        return len(self.t)

    def __repr__(self) -> str:
        """One line: how many, how wide, what kind."""
        return f"Samples(x={self.x.shape} {self.x.dtype}, t={self.t.shape}, scale={self.scale:.6g})"

    def __getitem__(self, index: slice | npt.ArrayLike) -> tuple[npt.NDArray[np.float32], Array]:
        """Fresh arrays (x float32 (n, D), t (n,)) of the samples in a slice, index array or mask.

        Raises ParameterError for a single number, IndexError for one that is out of range.
        """
        which: Any = index if isinstance(index, slice) else np.asarray(index)
        if not isinstance(which, slice) and which.ndim != 1:
            raise ParameterError(
                f"samples[...] takes a slice, an array of indices or a mask, got {index!r}; "
                "write samples[i : i + 1] for one sample, samples[:] for all"
            )
        x = np.multiply(self.x[which], np.float32(self.scale), dtype=np.float32)
        return x, self.t[which].copy()

    def digest(self) -> str:
        """SHA-256 (hex) of the content: dtype, shape and bytes of all arrays, and the scale.

        Bytes are taken in little-endian order, so it is the same anywhere. It is computed once.

        Of an x that stays in its file and has more than 32 blocks, these are taken: `block_rows`,
        and of the bytes those of 32 blocks at even distances, the first and the last among them.
        So a change within other blocks is not seen.
        """
        if self._digest is None:
            self._digest = self._hash()
        return self._digest

    def _hash(self) -> str:
        import hashlib  # slow to import, and only needed for a digest

        total = hashlib.sha256()
        targets = self.t.astype("<i8") if self.t.ndim == 1 else self.t
        weights = () if self.weights is None else (self.weights,)
        x = parts_of(self.x) if is_sparse(self.x) else (self.x,)
        for array in (*x, targets, *weights):
            plain = array.dtype.newbyteorder("<")
            total.update(f"{plain.str} {array.shape} {self.scale!r}\n".encode())
            for part in self._hashed_parts(total) if array is self.x else [array]:
                total.update(part.astype(plain, copy=False).data)
                advise_dontneed(part)
        return total.hexdigest()

    def _hashed_parts(self, total: Any) -> Iterator[Array]:
        """The parts of x that `digest` covers; notes in `total` where these are not all."""
        step = self.block_rows or len(self)
        starts = np.arange(0, len(self), step)
        if len(starts) > POOL_BLOCKS:
            total.update(f"{POOL_BLOCKS} of {len(starts)} blocks of {step} rows\n".encode())
            starts = starts[np.linspace(0, len(starts) - 1, POOL_BLOCKS).astype(np.intp)]
        return (self.x[start : start + step] for start in starts)

    def first(self, n: int) -> "Samples":
        """The first n samples, in the same memory; raises ParameterError where there are fewer."""
        if check_integer("n", n, 1) > len(self):
            raise ParameterError(f"there are {len(self)} samples, got {n}; choose fewer")
        return self._part(slice(n))

    def split(self, fraction: float, seed: int) -> tuple["Samples", "Samples"]:
        """(kept, held_out), held_out being `fraction` of every class, drawn by `seed` alone.

        ceil(fraction N) samples are shared out over the classes in proportion (largest remainders
        first); a class of two or more always has one on either side, a class of one is kept. Which
        ones: the N raw 64-bit words of the seed's "split" stream (PCG64, `scratchnet.randomness`)
        are ranked, and each class gives up those of its rows that rank lowest. Raw
        words and not a Generator's methods, because NumPy promises never to change them. Both
        sides keep the order of the rows.

        Where targets are values all samples are taken for one class.

        Raises ParameterError for a fraction outside (0, 1), a seed below 0, an empty side, or for
        samples that stay in their file, of which both sides would be copies in memory.
        """
        if self.block_rows is not None:
            raise ParameterError(
                "samples to be split must be in memory, these stay in their file; open one part "
                "with rows=slice(0, n), the other with rows=slice(n, None)"
            )
        if not (isinstance(fraction, float | np.floating) and 0 < fraction < 1):
            raise ParameterError(f"fraction must lie between 0 and 1, got {fraction!r}")
        labels = self.t if self.t.ndim == 1 else np.zeros(len(self), np.intp)
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        quotas = _share_out(counts, float(fraction))
        if not quotas.any():
            raise ParameterError(
                f"fraction={fraction} of {len(self)} samples holds out none: no class of the "
                f"{len(counts)} has two samples; give at least one class two"
            )
        shuffled = permutation(len(self), seed, "split")
        by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
        rank_in_class = np.arange(len(self)) - np.repeat(np.cumsum(counts) - counts, counts)
        held = np.zeros(len(self), dtype=bool)
        held[by_class] = rank_in_class < np.repeat(quotas, counts)
        return self._part(~held), self._part(held)

    def _part(self, which: slice | npt.NDArray[np.bool_]) -> "Samples":
        weights = None if self.weights is None else self.weights[which]
        if self.block_rows is None:
            part = Samples.checked(self.x[which], self.t[which], self.scale, weights)
            part.vouched = self.vouched
            return part
        part = object.__new__(Samples)
        part._take(self.x[which], self.t[which], self.scale, weights, self.block_rows)
        return part

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process: of an x that stays in its file, the place of that."""
        state = {name: getattr(self, name) for name in self.__slots__}
        return state if self.block_rows is None else {**state, "x": place_of(self.x)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.vouched = False
        for name, value in state.items():
            setattr(self, name, value.open() if isinstance(value, FileArray) else value)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: `train` and `test` samples, the number of `classes`, perhaps an `image_shape`.

    `class_names` are what the classes are called, if not by their numbers. Of a table `columns` are
    the names of the features, and `label` that of the column with the classes.

    It unpacks: `train, test = load("digits")`. Raises ShapeError when the two parts differ in
    width, a label is not below `classes`, or `image_shape` does not have D elements.
    """

    name: str
    train: Samples
    test: Samples
    classes: int
    image_shape: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        wide, other = self.train.x.shape[1], self.test.x.shape[1]
        if wide != other:
            raise ShapeError(f"{self.name}: train has {wide} features, test has {other}")
        if self.image_shape is not None and math.prod(self.image_shape) != wide:
            raise ShapeError(f"{self.name}: image_shape {self.image_shape} does not fit {wide}")
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ShapeError(
                f"{self.name}: {len(self.class_names)} class_names for {self.classes} classes"
            )
        labelled = [
            (part, samples)
            for part, samples in (("train", self.train), ("test", self.test))
            if samples.t.ndim == 1
        ]
        for part, samples in labelled:
            row = int(samples.t.argmax())
            if samples.t[row] >= self.classes:
                raise ShapeError(
                    f"{self.name}: label {samples.t[row]} at row {row} of {part}, but the labels "
                    f"of {self.classes} classes are 0..{self.classes - 1}"
                )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of a row: (height, width) or (height, width, channels), else (D,)."""
        return self.image_shape or (self.train.x.shape[1],)

    def __iter__(self) -> Iterator[Samples]:
        """Yield train, then test."""
        return iter((self.train, self.test))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the digests of train and test; the name does not count."""
        import hashlib

        return hashlib.sha256("".join(part.digest() for part in self).encode()).hexdigest()


def _share_out(counts: npt.NDArray[np.intp], fraction: float) -> npt.NDArray[np.intp]:
    """How many of each class to hold out: in proportion, and never all or none of two or more."""
    # The tiny step back keeps 0.1 * 30 = 3.0000000000000004 from being rounded up to 4.
    total = math.ceil(fraction * counts.sum() - 1e-9)
    exact = fraction * counts
    quotas = np.floor(exact + 1e-9).astype(np.intp)
    neediest = np.argsort(quotas - exact, kind="stable")
    quotas[neediest[: max(total - int(quotas.sum()), 0)]] += 1
    clipped: npt.NDArray[np.intp] = np.clip(quotas, np.minimum(counts // 2, 1), counts - 1)
    return clipped


def parts_of(x: Any) -> tuple[Array, Array, Array]:
    """The arrays that a sparse array of compressed rows is made of."""
    return x.data, x.indices, x.indptr


def _read_only(array: Array) -> Array:
    """Return a view that refuses writing, so that no one alters the caller's array by mistake."""
    view = array.view()
    view.flags.writeable = False
    return view
