"""Normalization: layers that bring what passes through them to mean 0 and variance 1."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_above_zero, check_integer, check_share, check_word
from scratchnet.data.mapped import advise_dontneed
from scratchnet.layers.image import image_of
from scratchnet.layers.layer import Layer, remembered
from scratchnet.layers.per_column import Measured, PerColumn, Shapes
from scratchnet.parameters import Array, Shape


class BatchNorm(Layer):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, each column of x (N, n) over its batch.

    With xhat = (x - mean) / sqrt(var + eps), var being the mean square (Ioffe and Szegedy 2015,
    algorithm 1), the derivatives are, with sums over the batch,

        dgamma = sum dout xhat,  dbeta = sum dout,
        dx = gamma / sqrt(var + eps) (dout - dbeta / N - xhat dgamma / N).

    In evaluation mean and var are the running ones, r <- r + rate (batch - r), of which var takes
    the unbiased estimate. The rate is 1 / k at the k-th batch until that falls below 1 - momentum:
    a plain average at first, so that no starting value has a share in it. A batch of one row has
    no variance: it is normalised with the running statistics, as in evaluation, and leaves them
    alone. `scale=False` leaves gamma out, at 1. Where ranks share a batch, all sums are over the
    rows of all of them, unless each is to measure its own.

    Of images (H, W, C) it normalizes each channel, over batch and pixels: x (N, H W C) is seen as
    (N H W, C), and N above is N H W. In a network n is left out: it is the number of channels, or
    of columns where rows are no images.

    Raises ParameterError for an option out of its range.
    """

    tracks_statistics = True
    normalizes = True
    centred: Array | None = None  # x - mean (N, n)
    inverse: Array | None = None  # 1 / sqrt(var + eps) (n,)
    sums: tuple[Array, Array] | None = None  # of dout, and of dout (x - mean), (n,) each
    own_batch = True  # whether mean and var are those of the batch itself
    rows = 0  # that they are of

    def __init__(
        self,
        n: int | None = None,
        *,
        momentum: float = 0.9,
        eps: float = 1e-5,
        scale: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.momentum = check_share("momentum", momentum)
        self.eps = check_above_zero("eps", eps)
        self.scale = scale
        self.n = n if n is None else check_integer("n", n, 1)
        if self.n is not None:
            self.build((self.n,))
            self.initialize()

    def build(self, input_shape: Shape) -> None:
        """Take the number of columns or channels, if it was left out, and how long a row is."""
        image, size = image_of(input_shape), math.prod(input_shape)
        columns = size if image is None else image[2]
        self.n = self.n or columns
        if self.n == columns:
            self.n_in = size
        self.declare(
            ({"gamma": (self.n,)} if self.scale else {}) | {"beta": (self.n,)},
            {"running_mean": (self.n,), "running_var": (self.n,), "batches": (1,)},
        )

    def initialize(self) -> None:
        """gamma and the running variance start at 1, all else at 0."""
        if not self.params:
            self.allocate()
            if self.scale:
                self.params["gamma"] += 1
            self.statistics["running_var"] += 1

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return y, the shape of x; in training, of more than one row, by the statistics of x."""
        self.rows = len(x) if self._all_reduce is None else remembered(self.shard).total
        self.rows *= x.shape[1] // remembered(self.n)
        self.own_batch = train and self.rows > 1
        centred = self.keep("centred", x.shape, x.dtype)
        if self.own_batch:
            mean = self._over_ranks(self._sums(x)) / self.rows
            np.subtract(x, self._wide(mean), out=centred)
            var = self._over_ranks(self._sums(centred, centred)) / self.rows
            self._follow(mean, var * (self.rows / (self.rows - 1)))
        else:
            mean, var = self.statistics["running_mean"], self.statistics["running_var"]
            np.subtract(x, self._wide(mean), out=centred)
        self.centred, self.inverse = centred, 1.0 / np.sqrt(var + self.eps)
        y = self.keep("y", x.shape, x.dtype)
        np.multiply(centred, self._wide(self._slope()), out=y)  # gamma xhat
        return np.add(y, self._wide(self.params["beta"]), out=y)

    def _sums(self, x: Array, y: Array | None = None) -> Array:
        """The sum over each column of x, or of x y, or over each channel of images (n,)."""
        sums = column_sums(x, y)
        return sums if len(sums) == self.n else sums.reshape(-1, remembered(self.n)).sum(axis=0)

    def _wide(self, values: Array) -> Array:
        """A value for each column or channel (n,), for all values of a row (D,)."""
        # Arithmetic on rows of D values is several times as quick as on pixels of n.
        n = len(values)
        return values if self.n_in in (None, n) else np.tile(values, remembered(self.n_in) // n)

    @property
    def _all_reduce(self) -> Callable[[Array], object] | None:
        """The sum over ranks, if they share a batch and measure all of it."""
        return None if self.shard is None else self.shard.all_reduce

    def _over_ranks(self, sums: Array) -> Array:
        """Sums over the rows of all ranks, given those over the rows here."""
        if self._all_reduce is not None:
            self._all_reduce(sums)
        return sums

    def _follow(self, mean: Array, var: Array) -> None:
        """Move the running statistics towards those of a batch."""
        self.statistics["batches"] += 1
        rate = max(1.0 - self.momentum, 1.0 / float(self.statistics["batches"][0]))
        self.statistics["running_mean"] += rate * (mean - self.statistics["running_mean"])
        self.statistics["running_var"] += rate * (var - self.statistics["running_var"])

    def reset_statistics(self) -> None:
        """Let the next batch be the first that counts for the running statistics."""
        self.statistics["batches"] = np.zeros(1)

    def _slope(self) -> Array:
        """gamma / sqrt(var + eps) (n,)."""
        inverse = remembered(self.inverse)
        return self.params["gamma"] * inverse if self.scale else inverse

    def param_grads(self, dout: Array) -> None:
        """Write dgamma = sum of dout xhat over the batch, and dbeta = sum of dout."""
        centred, inverse = remembered(self.centred), remembered(self.inverse)
        self.sums = self._sums(dout), self._sums(dout, centred)
        self.grads["beta"] = self.sums[0]
        if self.scale:
            np.multiply(self.sums[1], inverse, out=self.grads["gamma"])

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, n), from the sums that `param_grads` has taken of the same dout.

        In evaluation mean and var are constants, and it is gamma dout / sqrt(var + eps).
        """
        centred, inverse = remembered(self.centred), remembered(self.inverse)
        dx = self.keep("dx", dout.shape, dout.dtype)
        if not self.own_batch:
            return np.multiply(dout, self._wide(self._slope()), out=dx)
        of_dout, with_centred = self._over_ranks(np.stack(remembered(self.sums)))
        np.multiply(centred, self._wide(with_centred * inverse**2 / self.rows), out=dx)
        np.subtract(dout, dx, out=dx)  # dout - xhat dgamma / N
        np.subtract(dx, self._wide(of_dout / self.rows), out=dx)  # ... - dbeta / N
        return np.multiply(dx, self._wide(self._slope()), out=dx)

    def gradcheck_caveat(self, n_rows: int) -> str | None:
        """A batch of one row has no statistics whose derivative could be checked."""
        if n_rows > 1:
            return None
        return f"{self!r} normalises a batch of one row with constants; try x with 2 rows or more"

    def __repr__(self) -> str:
        return f"BatchNorm({self.n or ''})"


class LayerNorm(PerColumn):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, each row of x (N, n) on its own.

    The same in training and evaluation, for any batch; in a network n may be left out. With
    xhat = (x - mean) / sqrt(var + eps) and g = gamma dout: dgamma = sum of dout xhat and
    dbeta = sum of dout over the batch,
    dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps), with means over the row
    (Ba, Kiros, Hinton 2016, eq. 3). `scale=False` leaves gamma out, at 1.

    Raises ParameterError for an option out of its range.
    """

    xhat: Array | None = None  # (x - mean) / sqrt(var + eps) (N, n)
    inverse: Array | None = None  # 1 / sqrt(var + eps) (N, 1)

    normalizes = True

    def __init__(
        self,
        n: int | None = None,
        *,
        eps: float = 1e-5,
        scale: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self.eps = check_above_zero("eps", eps)
        self.scale = scale
        super().__init__(n, dtype=dtype)

    def arrays_for(self, n: int) -> Shapes:
        """gamma and beta."""
        return ({"gamma": (n,)} if self.scale else {}) | {"beta": (n,)}, {}

    def initialize(self) -> None:
        """gamma starts at 1, beta at 0."""
        if not self.params:
            self.allocate()
            if self.scale:
                self.params["gamma"] += 1

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return y (N, n)."""
        xhat, y = self.keep("xhat", x.shape, x.dtype), self.keep("y", x.shape, x.dtype)
        np.subtract(x, x.mean(axis=1, keepdims=True), out=xhat)
        var = np.einsum("ij,ij->i", xhat, xhat)[:, np.newaxis] / x.shape[1]
        self.inverse = 1.0 / np.sqrt(var + self.eps)
        self.xhat = np.multiply(xhat, self.inverse, out=xhat)
        np.multiply(xhat, self.params["gamma"] if self.scale else 1.0, out=y)
        return np.add(y, self.params["beta"], out=y)  # y = gamma xhat + beta

    def param_grads(self, dout: Array) -> None:
        """Write dgamma = sum of dout xhat over the batch, and dbeta = sum of dout."""
        xhat = remembered(self.xhat)
        if self.scale:
            self.grads["gamma"] = column_sums(dout, xhat)
        self.grads["beta"] = column_sums(dout)

    def input_grad(self, dout: Array) -> Array:
        """Return dx (N, n)."""
        xhat, inverse = remembered(self.xhat), remembered(self.inverse)
        n = dout.shape[1]
        dx, along = (self.keep(name, dout.shape, dout.dtype) for name in ("dx", "along"))
        np.multiply(dout, self.params["gamma"] if self.scale else 1.0, out=dx)  # g
        np.multiply(xhat, np.einsum("ij,ij->i", dx, xhat)[:, np.newaxis] / n, out=along)
        np.subtract(dx, dx.mean(axis=1, keepdims=True), out=dx)  # g - mean(g)
        np.subtract(dx, along, out=dx)  # ... - xhat mean(g xhat)
        return np.multiply(dx, inverse, out=dx)


class Standardize(Measured):
    """y = (x - mean) / std with constants taken from the training inputs, once; dL/dx = dout / std.

    `over` says of what: "features", each column of x (N, n) by itself, as scikit-learn's
    StandardScaler; "all", one mean and one std of all values, which keeps an image an image. A
    column that never varies is only centred. The constants are statistics of the network: saved
    with its weights, so that it takes the same raw inputs wherever it goes. Before `adapt` y = x.
    In a network n may be left out.

    Raises ParameterError for another word.
    """

    def __init__(
        self, n: int | None = None, over: str = "features", *, dtype: npt.DTypeLike = "float32"
    ) -> None:
        self.over = check_word("standardize", over, STANDARDIZATIONS)
        super().__init__(n, dtype=dtype)

    def arrays_for(self, n: int) -> Shapes:
        """Mean and standard deviation of each column."""
        return {}, {"input_mean": (n,), "input_std": (n,), "input_rows": (1,)}

    def initialize(self) -> None:
        """The standard deviation starts at 1, all else at 0."""
        if not self.statistics:
            self.allocate()
            self.statistics["input_std"] += 1

    def measure(self, x: Array, scale: float, weights: Array | None) -> None:
        """Take mean and std of x * scale (N, n)."""
        mean, var = column_moments(x, scale, weights)
        if self.over == "all":
            total = mean.mean()
            mean, var = (
                np.full_like(mean, total),
                np.full_like(var, (var + (mean - total) ** 2).mean()),
            )
        self.statistics["input_mean"] = mean
        std = np.sqrt(var).astype(self.statistics["input_std"].dtype)
        # What rounding leaves of a column that never varies is no deviation.
        varies = std > len(x) * np.finfo(np.float64).eps * np.abs(mean)
        self.statistics["input_std"] = np.where(varies, std, 1.0)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return (x - mean) / std (N, n)."""
        y = self.keep("y", x.shape, x.dtype)
        np.subtract(x, self.statistics["input_mean"], out=y)
        return np.divide(y, self.statistics["input_std"], out=y)

    def input_grad(self, dout: Array) -> Array:
        """Return dout / std (N, n)."""
        dx = self.keep("dx", dout.shape, dout.dtype)
        return np.divide(dout, self.statistics["input_std"], out=dx)

    def __repr__(self) -> str:
        return f"Standardize({self.n_in}, over={self.over!r})"


def column_sums(x: Array, y: Array | None = None) -> Array:
    """The sum over each column of x (N, n), or of x y: sum_i x_ij y_ij (n,)."""
    # The product with a row of ones is the quickest sum over an axis: 2 to 3 times np.sum.
    return np.ones(len(x), x.dtype) @ x if y is None else np.einsum("ij,ij->j", x, y)


def column_moments(x: Array, scale: float, weights: Array | None = None) -> tuple[Array, Array]:
    """Mean and mean squared deviation of each column of x * scale (N, n), in float64 (n,).

    `weights` (N,) say how much each row counts.
    """
    w = None if weights is None else weights[:, np.newaxis] / weights.sum()
    mean, var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    blocks = [slice(start, start + ROWS) for start in range(0, len(x), ROWS)]
    for rows in blocks:
        block = x[rows].astype(np.float64)
        mean += column_sums(block) / len(x) if w is None else column_sums(block * w[rows])
        advise_dontneed(x[rows])
    for rows in blocks:
        d = x[rows] - mean
        var += column_sums(d, d) / len(x) if w is None else column_sums(d * w[rows], d)
        advise_dontneed(x[rows])
    return mean * scale, var * scale**2


ROWS = 1024
"""Rows of one block where all samples are looked at, so that little memory is needed."""

STANDARDIZATIONS = ("features", "all")

NORMALIZATIONS: Mapping[str, type[BatchNorm | LayerNorm]] = MappingProxyType(
    {"batch": BatchNorm, "layer": LayerNorm}
)
