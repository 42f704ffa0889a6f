"""Mini-batches: the order of an epoch, and rows gathered into reused memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_dtype, check_integer, is_sparse
from scratchnet.data.mapped import advise_dontneed, mapped_batches
from scratchnet.data.samples import Samples
from scratchnet.errors import ParameterError
from scratchnet.loops.kernels import gather
from scratchnet.parameters import Array
from scratchnet.randomness import permutation

Labels = npt.NDArray[np.intp]
Indices = npt.NDArray[np.integer[Any]] | Sequence[int]


class Batches:
    """Mini-batches of `samples` in reused memory: what one call returns, the next overwrites.

    `dtype` is that of the network, float32 or float64. Raises ParameterError for a batch_size below
    1 or another dtype; a batch_size above N means one batch of N.
    """

    def __init__(self, samples: Samples, batch_size: int, dtype: npt.DTypeLike = "float32") -> None:
        self.samples = samples
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.dtype = np.dtype(check_dtype(dtype))
        rows = min(self.batch_size, len(samples))
        self._t = np.empty((rows, *samples.t.shape[1:]), samples.t.dtype)
        self._scale = np.array([samples.scale], self.dtype)
        self.is_sparse = is_sparse(samples.x)
        width = 0 if self.is_sparse else samples.x.shape[1]
        self._x = np.empty((rows, width), self.dtype)
        # Floats that need no factor are gathered straight into the batch.
        self._ready = samples.scale == 1.0 and samples.x.dtype == self.dtype
        self._raw: Array | None = None  # rows as they are, where NumPy has to convert them

    def __len__(self) -> int:
        """ceil(N / batch_size): the batches of one epoch, a short last one included."""
        return -(-len(self.samples) // self.batch_size)

    def gather(self, index: Indices) -> tuple[Array, Array]:
        """(x, t) of the samples in `index` (n,), n <= batch_size: x (n, D) scaled, t (n,) intp.

        Both are the first n rows of kept memory; of sparse samples x is a sparse array of its own.
        Raises ParameterError when `index` holds more than batch_size entries or one outside
        0..N-1.
        """
        rows = np.asarray(index, dtype=np.intp)
        n = len(rows)
        # Seen as unsigned, a negative index is a huge one: one pass checks both ends.
        if not 0 < n <= len(self._t) or rows.view(np.uintp).max() >= len(self.samples):
            raise ParameterError(
                f"index must hold 1 to {len(self._t)} numbers from 0 to {len(self.samples) - 1}, "
                f"got {n} of them" + (f" from {rows.min()} to {rows.max()}" if n else "")
            )
        t = self._t[:n]
        np.take(self.samples.t, rows, axis=0, out=t, mode="clip")
        if self.is_sparse:
            return self._scaled(self.samples.x[rows]), t
        x = self._x[:n]
        gather(self.samples.x, rows, self._scale, self._raw_rows, out=x)
        return x, t

    def memory(self, n: int) -> tuple[Array, Array]:
        """Where the first n rows of batches are: x (n, D) and t (n,), which `gather` writes."""
        return self._x[:n], self._t[:n]

    def _raw_rows(self, n: int) -> Array:
        """Memory for n rows as they are in the samples."""
        if self._raw is None:
            self._raw = np.empty_like(self._x, dtype=self.samples.x.dtype)
        return self._raw[:n]

    def _scaled(self, x: Array) -> Array:
        """Sparse rows in the dtype of the network, times the scale."""
        return x if self._ready else x.astype(self.dtype) * self._scale

    def weights(self, index: Indices | slice) -> Array | None:
        """How much each of these samples counts (n,); None where all count alike."""
        return None if self.samples.weights is None else self.samples.weights[index]

    def slices(self, order: Indices) -> Iterator[Labels]:
        """Cut `order`, a permutation of 0..N-1, into len(self) pieces; the last may be shorter."""
        rows = np.asarray(order, dtype=np.intp)
        for start in range(0, len(rows), self.batch_size):
            yield rows[start : start + self.batch_size]

    def epoch(self, seed: int | None, number: int, done: int = 0) -> Iterator[Labels]:
        """The indices (n,) of each batch of epoch `number`, from batch `done` on.

        Every sample once, in an order drawn from the seed's stream ("shuffle", number), or as they
        stand with seed None. Of samples that stay in their file see `Samples.open`.
        """
        samples = self.samples
        if samples.block_rows is not None:
            return mapped_batches(
                samples.x, samples.block_rows, self.batch_size, seed, number, done
            )
        n = len(samples)
        order = np.arange(n) if seed is None else permutation(n, seed, "shuffle", number)
        return self.slices(order[done * self.batch_size :])

    def in_order(self, first: int = 0, every: int = 1) -> Iterator[tuple[Array, Array]]:
        """All samples once, row after row, as (x, t) like `gather`'s; for evaluation.

        Or of these batches only the `first`, and from it on one of `every` so many.
        x is reused memory or a read-only view of the samples, so do not keep it or write to it.
        """
        size = self.batch_size
        for start in range(first * size, len(self.samples), every * size):
            part = slice(start, start + size)
            raw, t = self.samples.x[part], self.samples.t[part]
            x = self._scaled(raw) if self.is_sparse else raw
            if not (self._ready or self.is_sparse):
                x = np.multiply(
                    raw, self._scale, out=self._x[: len(t)], dtype=self.dtype, casting="same_kind"
                )
            yield x, t
            if not self.is_sparse:
                advise_dontneed(raw)
