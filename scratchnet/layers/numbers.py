"""Numbers of a table, of any scale: brought to one, or written as codes of the bin they are in."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.data.mapped import advise_dontneed
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.layers.layer import remembered
from scratchnet.layers.normalization import column_sums
from scratchnet.layers.per_column import Measured, PerColumn, Shapes
from scratchnet.parameters import Array, Shape

SOFT_BOUND = 3.0
"""What `RobustScale` never gives more than."""
FAR = 1e6
"""A scaled value at which the bound is reached to the last digit, also in float64."""


class RobustScale(Measured):
    """y = z / sqrt(1 + (z / 3)^2), z = s (x - median): scaled by quantiles, and clipped softly.

    median and s = 1 / (q_75 - q_25) are of each column of the training inputs x (N, n), taken once.
    Where the quartiles are equal s = 2 / (max - min), and where all values are, 0. Values in the
    middle are nearly z; none comes beyond -3 and 3, however far outside it lies.
    dL/dx = dout s / (1 + (z / 3)^2)^(3/2). (Holzmueller, Grinsztajn and Steinwart 2024, section 3.)

    The constants are statistics of the network, saved with its weights. Before `adapt` the median
    is 0 and s = 1. In a network n may be left out.
    """

    z: Array | None = None  # s (x - median) / 3 (N, n)

    def arrays_for(self, n: int) -> Shapes:
        """Median and scale of each column."""
        return {}, {"input_median": (n,), "input_scale": (n,), "input_rows": (1,)}

    def initialize(self) -> None:
        """The scale starts at 1, all else at 0."""
        if not self.statistics:
            self.allocate()
            self.statistics["input_scale"] += 1

    def measure(self, x: Array, scale: float, weights: Array | None) -> None:
        """Take median and s of x * scale (N, n)."""
        lowest, low, median, high, highest = column_quantiles(
            x, scale, [0, 0.25, 0.5, 0.75, 1], weights
        ).T
        quartiles = high - low
        width = np.where(quartiles > 0, quartiles, (highest - lowest) / 2)
        self.statistics["input_median"] = median
        self.statistics["input_scale"] = np.divide(
            1, width, out=np.zeros_like(width), where=width > 0
        )

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return y (N, n)."""
        z, y = self.keep("z", x.shape, x.dtype), self.keep("y", x.shape, x.dtype)
        with np.errstate(over="ignore"):  # what is beyond all numbers is far
            np.subtract(x, self.statistics["input_median"], out=z)
            np.multiply(z, self.statistics["input_scale"], out=z)
        self.z = np.divide(np.clip(z, -FAR, FAR, out=z), SOFT_BOUND, out=z)
        np.divide(z, np.sqrt(1 + z * z), out=y)
        return np.multiply(y, SOFT_BOUND, out=y)

    def input_grad(self, dout: Array) -> Array:
        """Return dout s / (1 + (z / 3)^2)^(3/2) (N, n)."""
        z = remembered(self.z)
        dx = self.keep("dx", dout.shape, dout.dtype)
        root = np.sqrt(1 + z * z)
        np.divide(dout, root * root * root, out=dx)
        return np.multiply(dx, self.statistics["input_scale"], out=dx)


class PiecewiseLinear(Measured):
    """e_t = min(max((x - b_(t-1)) / (b_t - b_(t-1)), 0), 1) for each value x and bin t = 1 ... T.

    A value becomes T codes: 1 for each bin below its own, how far it is in its own, 0 for those
    above. So an affine layer behind it learns a curve of straight pieces for every input. The codes
    of the first column stand first in y (N, C). The edges b are quantiles of each column of the
    training inputs, taken once: bins are equally full. Where quantiles are equal there are fewer
    bins, and the last codes are 0.
    dL/dx = the sum of dout_t / (b_t - b_(t-1)) over the bins with 0 < e_t < 1.
    (Gorishniy, Rubachev and Babenko 2022, section 3.2; there a value beyond all edges goes on in a
    straight line, here it counts as the nearest edge.)

    `bins` T is from 1. `counts` says how many codes each column has, 0 to T, where it is known that
    its quantiles are no more (`count_bins`); of more bins the first ones are left out. By default
    all have T. The lower edges b_(t-1) and the slopes 1 / (b_t - b_(t-1)) are statistics of the
    network, saved with its weights; before `adapt` the edges go from 0 to 1 in even steps. In a
    network n may be left out.

    Raises ParameterError for bins or n below 1, or counts that are not one from 0 to T a column.
    """

    codes: Array | None = None  # e (N, C)

    def __init__(
        self,
        n: int | None = None,
        bins: int = 24,
        counts: Sequence[int] | None = None,
        *,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self.bins = check_integer("bins", bins, 1)
        self.counts = counts
        if counts is not None:
            self.counts = [check_integer("a count", count, 0) for count in counts]
            if max(self.counts, default=0) > self.bins or not any(self.counts):
                raise ParameterError(
                    f"counts must be 0 to {self.bins}, and not all 0, got {counts}"
                )
        super().__init__(n, dtype=dtype)

    def counts_for(self, n: int) -> list[int]:
        """How many codes each of n columns has."""
        if self.counts is None:
            return [self.bins] * n
        if len(self.counts) != n:
            raise ShapeError(f"{self!r} has counts of {len(self.counts)} columns, got {n} columns")
        return list(self.counts)

    @property
    def columns(self) -> Array:
        """The column that each code is of (C,)."""
        counts = self.counts_for(self.n or 0)
        return np.repeat(np.arange(len(counts)), counts)

    def arrays_for(self, n: int) -> Shapes:
        """The lower edge of each bin, and 1 over its width."""
        codes = (sum(self.counts_for(n)),)
        return {}, {"input_edges": codes, "input_slopes": codes, "input_rows": (1,)}

    def initialize(self) -> None:
        """The edges start as even steps from 0 to 1."""
        if not self.statistics:
            self.allocate()
            counts = np.array(self.counts_for(self.n or 0))
            first = np.cumsum(counts) - counts
            place = np.arange(counts.sum()) - first[self.columns]
            self.statistics["input_slopes"] += counts[self.columns]
            self.statistics["input_edges"] += place / self.statistics["input_slopes"]

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C,)."""
        super().output_shape(input_shape)
        return (sum(self.counts_for(math.prod(input_shape))),)

    def measure(self, x: Array, scale: float, weights: Array | None) -> None:
        """Take the edges for x * scale (N, n)."""
        lower, slopes = (self.statistics[f"input_{name}"] for name in ("edges", "slopes"))
        lower[:], slopes[:] = 0, 0
        start = 0
        for edges, count in zip(
            edges_of(x, scale, self.bins, weights, lower.dtype),
            self.counts_for(x.shape[1]),
            strict=True,
        ):
            edges = edges[max(0, len(edges) - 1 - count) :]
            n = len(edges) - 1
            lower[start : start + count] = edges[-1]
            lower[start : start + n] = edges[:-1]
            with np.errstate(over="ignore"):  # of the narrowest bins that there are
                slopes[start : start + n] = 1 / np.diff(edges)
            start += count
        np.minimum(slopes, np.finfo(slopes.dtype).max, out=slopes)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the codes, (N, C)."""
        edges = self.statistics["input_edges"]
        codes = self.keep("codes", (len(x), edges.size), x.dtype)
        np.take(x, self.columns, axis=1, out=codes, mode="clip")
        with np.errstate(over="ignore"):
            np.subtract(codes, edges, out=codes)
            np.multiply(codes, self.statistics["input_slopes"], out=codes)
        self.codes = np.clip(codes, 0, 1, out=codes)
        return codes

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, n)."""
        codes = remembered(self.codes)
        each = dout * ((codes > 0) & (codes < 1)) * self.statistics["input_slopes"]
        dx = self.keep("dx", (len(codes), self.n or 0), dout.dtype)
        dx[...] = 0
        np.add.at(dx.T, self.columns, each.T)
        return dx

    def kink_pattern(self) -> Array:
        """Which values are beyond the lower and the upper edge of each bin, booleans (N, 2 C)."""
        codes = remembered(self.codes)
        n = codes.shape[1]
        pattern = self.keep("pattern", (len(codes), 2 * n), np.bool_)
        np.greater(codes, 0, out=pattern[:, :n])
        np.less(codes, 1, out=pattern[:, n:])
        return pattern

    def __repr__(self) -> str:
        return f"PiecewiseLinear({self.n_in or ''}, bins={self.bins})"


class Scale(PerColumn):
    """y = s x, with a learnt factor s for each column of x (N, n), which starts at 1.

    ds = sum of dout x over the batch, dL/dx = dout s. An optimizer whose steps are equally long for
    all weights can so make an input more or less important by one number. (Holzmueller, Grinsztajn
    and Steinwart 2024, section 3.) In a network n may be left out.
    """

    x: Array | None = None

    def arrays_for(self, n: int) -> Shapes:
        """A factor for each column."""
        return {"s": (n,)}, {}

    def initialize(self) -> None:
        """The factors start at 1."""
        if not self.params:
            self.allocate()
            self.params["s"] += 1

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return s x (N, n)."""
        self.x = x
        return np.multiply(x, self.params["s"], out=self.keep("y", x.shape, x.dtype))

    def param_grads(self, dout: Array) -> None:
        """Write ds = sum of dout x over the batch."""
        self.grads["s"] = column_sums(dout, remembered(self.x))

    def input_grad(self, dout: Array) -> Array:
        """Return dout s (N, n)."""
        return np.multiply(dout, self.params["s"], out=self.keep("dx", dout.shape, dout.dtype))


def edges_of(
    x: Array, scale: float, bins: int, weights: Array | None, dtype: npt.DTypeLike
) -> list[Array]:
    """The different edges of so many bins, equally full, of each column of x * scale (N, n)."""
    found = column_quantiles(x, scale, np.linspace(0, 1, bins + 1), weights)
    return [np.unique(values) for values in found.astype(dtype)]


def count_bins(
    x: Array, bins: int, weights: Array | None = None, dtype: npt.DTypeLike = "float32"
) -> list[int]:
    """How many of so many bins `PiecewiseLinear` finds in each column of x (N, n)."""
    return [len(edges) - 1 for edges in edges_of(x, 1.0, bins, weights, dtype)]


def column_quantiles(x: Array, scale: float, shares: Any, weights: Array | None = None) -> Array:
    """The quantiles of each column of x * scale (N, n), in float64 (n, K), for K shares 0 to 1.

    One is the lowest value that at least this share of the rows, by their `weights` (N,), does not
    exceed: so a row of weight k counts as k rows.
    """
    rows = slice(None) if weights is None else np.flatnonzero(weights)
    w = np.ones(len(x)) if weights is None else weights[rows]
    found = np.empty((x.shape[1], len(shares)))
    for column in range(x.shape[1]):
        values = x[rows, column].astype(np.float64)
        order = values.argsort(kind="stable")
        up_to = np.cumsum(w[order])
        # What rounding adds to a sum of weights makes no value another one.
        at = np.searchsorted(up_to, np.multiply(shares, up_to[-1] * (1 - 1e-12)))
        found[column] = values[order[at]]
    advise_dontneed(x)
    return found * scale
