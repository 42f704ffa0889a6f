"""Numbers of a table, of any scale: brought to one, or written as codes of the bin they are in."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.data.mapped import advise_dontneed
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
    of the first column stand first in y (N, n T). The edges b are quantiles of each column of the
    training inputs, taken once: bins are equally full. Where quantiles are equal there are fewer
    bins, and the last codes are 0.
    dL/dx = the sum of dout_t / (b_t - b_(t-1)) over the bins with 0 < e_t < 1.
    (Gorishniy, Rubachev and Babenko 2022, section 3.2; there a value beyond all edges goes on in a
    straight line, here it counts as the nearest edge.)

    `bins` T is from 1. The edges are statistics of the network, saved with its weights; before
    `adapt` they go from 0 to 1 in even steps. In a network n may be left out.

    Raises ParameterError for bins or n below 1.
    """

    codes: Array | None = None  # e (N, n, T)

    def __init__(
        self, n: int | None = None, bins: int = 24, *, dtype: npt.DTypeLike = "float32"
    ) -> None:
        self.bins = check_integer("bins", bins, 1)
        super().__init__(n, dtype=dtype)

    def arrays_for(self, n: int) -> Shapes:
        """The edges of the bins of each column."""
        return {}, {"input_edges": (n, self.bins + 1), "input_rows": (1,)}

    def initialize(self) -> None:
        """The edges start as even steps from 0 to 1."""
        if not self.statistics:
            self.allocate()
            self.statistics["input_edges"] += np.linspace(0, 1, self.bins + 1)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(n T,)."""
        super().output_shape(input_shape)
        return (math.prod(input_shape) * self.bins,)

    def measure(self, x: Array, scale: float, weights: Array | None) -> None:
        """Take the edges for x * scale (N, n)."""
        edges = self.statistics["input_edges"]
        found = column_quantiles(x, scale, np.linspace(0, 1, self.bins + 1), weights)
        for row, values in zip(edges, found.astype(edges.dtype), strict=True):
            different = np.unique(values)
            row[: len(different)], row[len(different) :] = different, different[-1]

    def slopes(self) -> Array:
        """1 / (b_t - b_(t-1)) (n, T), 0 for bins that there are not."""
        edges = self.statistics["input_edges"]
        widths = np.diff(edges, axis=1)
        with np.errstate(over="ignore"):  # of the narrowest that there are
            slopes: Array = np.divide(1, widths, out=np.zeros_like(widths), where=widths > 0)
        largest = np.finfo(slopes.dtype).max
        return np.asarray(np.minimum(slopes, largest, out=slopes))

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the codes, (N, n T)."""
        lower = self.statistics["input_edges"][:, :-1]
        codes = self.keep("codes", (*x.shape, self.bins), x.dtype)
        with np.errstate(over="ignore"):
            np.subtract(x[:, :, np.newaxis], lower, out=codes)
            np.multiply(codes, self.slopes(), out=codes)
        self.codes = np.clip(codes, 0, 1, out=codes)
        return codes.reshape(len(x), -1)

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, n)."""
        codes = remembered(self.codes)
        inside = (codes > 0) & (codes < 1)
        dx = self.keep("dx", codes.shape[:2], dout.dtype)
        each = dout.reshape(codes.shape) * inside
        np.einsum("ijt,jt->ij", each, self.slopes(), out=dx)
        return dx

    def kink_pattern(self) -> Array:
        """Which values are beyond the lower and the upper edge of each bin, booleans (N, 2 n T)."""
        codes = remembered(self.codes)
        codes = codes.reshape(len(codes), -1)
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
