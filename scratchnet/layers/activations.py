"""Activations: the non-linear functions between affine layers, applied to each value alone."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer, check_not_negative
from scratchnet.errors import ParameterError
from scratchnet.layers.elementary import Identity, ReLU, Sigmoid, Tanh
from scratchnet.layers.elementwise import Elementwise
from scratchnet.layers.layer import Layer, remembered
from scratchnet.parameters import Array


class LeakyReLU(Elementwise):
    """y = x where x > 0, else slope x; dL/dx = dout, or slope dout where x <= 0.

    `slope`, 0 to 1, is small, so that a unit that is off still learns (Maas et al. 2013).
    Raises ParameterError for a slope outside of that.
    """

    kinked = True

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = check_not_negative("slope", slope)
        if self.slope > 1:
            raise ParameterError(f"slope must be a number from 0 to 1, got {slope!r}")

    def value(self, x: Array, y: Array) -> None:
        y[...] = np.maximum(x, self.slope * x)  # since slope <= 1

    def derivative(self, dx: Array, dout: Array, x: Array, y: Array) -> None:
        dx[...] = np.where(x > 0, dout, self.slope * dout)

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope:g})"


class PReLU(Layer):
    """y = x where x > 0, else a x, with a slope a that is learnt (He et al. 2015, eq. 1).

    `a` (n,) is one slope for each of n inputs, or, with the default n = 1, one that all share; it
    starts at 0.25 and is spared by weight decay, as in the paper. dL/dx = dout, or a dout where
    x <= 0; dL/da is the sum of dout x over the values x <= 0 that a is the slope of.
    """

    x: Array | None = None

    def __init__(self, n: int = 1, dtype: npt.DTypeLike = "float32") -> None:
        n = check_integer("n", n, 1)
        super().__init__({"a": (n,)}, dtype)
        self.n, self.n_in = n, None if n == 1 else n
        self.params["a"] = np.full(n, 0.25)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x where x > 0, else a x, the shape of x."""
        self.x = x
        y = self.keep("y", x.shape, x.dtype)
        np.multiply(x, self.params["a"], out=y)
        np.copyto(y, x, where=self.kink_pattern())  # y = x [x > 0] + a x [x <= 0]
        return y

    def param_grads(self, dout: Array) -> None:
        """Write da = the sum of dout min(x, 0)."""
        x = remembered(self.x)
        product = self.keep("product", x.shape, x.dtype)
        np.minimum(x, 0, out=product)
        np.multiply(product, dout, out=product)
        self.grads["a"] = product.sum(axis=0) if self.n_in else product.sum(keepdims=True).ravel()

    def input_grad(self, dout: Array) -> Array:
        """Return dout where x > 0, else a dout."""
        dx = self.keep("dx", dout.shape, dout.dtype)
        np.multiply(dout, self.params["a"], out=dx)
        np.copyto(dx, dout, where=self.kink_pattern())
        return dx

    def kink_pattern(self) -> Array:
        """Which units are on: x > 0, booleans (N, n)."""
        x = remembered(self.x)
        return np.greater(x, 0, out=self.keep("mask", x.shape, np.bool_))

    def __repr__(self) -> str:
        return f"PReLU({self.n_in or 1})"


class ELU(Elementwise):
    """y = x where x > 0, else exp(x) - 1; dL/dx = dout, or dout (y + 1) where x <= 0.

    The exponential linear unit with alpha = 1 (Clevert et al. 2016, eq. 15), whose slope has no
    jump at 0.
    """

    kinked = True
    scale = 1.0
    alpha = 1.0

    def value(self, x: Array, y: Array) -> None:
        below = np.expm1(np.minimum(x, 0)) * (self.scale * self.alpha)  # of the two one is 0
        y[...] = np.maximum(x, 0) * self.scale + below

    def derivative(self, dx: Array, dout: Array, x: Array, y: Array) -> None:
        below = np.minimum(y, 0) + self.scale * self.alpha  # scale alpha exp(x) where x <= 0
        dx[...] = np.where(x > 0, self.scale, below) * dout


class SELU(ELU):
    """y = scale x where x > 0, else scale alpha (exp(x) - 1): ELU that keeps mean 0, variance 1.

    scale = 1.0507, alpha = 1.6733 are the fixed point of that map for weights of variance 1 / n_in,
    so the initializer to use is "lecun" (Klambauer et al. 2017, eq. 2).
    """

    scale = 1.0507009873554805
    alpha = 1.6732632423543772


class GELU(Elementwise):
    """y = x P(x), P(x) = (1 + erf(x / sqrt 2)) / 2, the distribution function of N(0, 1).

    dL/dx = dout (P(x) + x exp(-x^2 / 2) / sqrt(2 pi)); exact, not the tanh approximation
    (Hendrycks and Gimpel 2016, eq. 1). erf is SciPy's, which comes with scikit-learn.
    """

    remembers = ("p",)
    p: Array | None = None  # P(x) (N, n)

    def value(self, x: Array, y: Array, p: Array) -> None:
        from scipy.special import erf

        p[...] = (erf(x * math.sqrt(0.5)) + 1) * 0.5
        y[...] = x * p

    def derivative(self, dx: Array, dout: Array, x: Array, y: Array, p: Array) -> None:
        z = np.clip(x, -40.0, 40.0)  # beyond, the density is 0, and the square may overflow
        density = np.exp(z * z * -0.5) * (1 / math.sqrt(2 * math.pi))
        dx[...] = (density * x + p) * dout


class SiLU(Elementwise):
    """y = x s, s = 1 / (1 + exp(-x)); dL/dx = dout s (1 + x (1 - s)).

    Called swish too (Elfwing et al. 2018; Ramachandran et al. 2017).
    """

    remembers = ("s",)
    s: Array | None = None  # (N, n)

    def value(self, x: Array, y: Array, s: Array) -> None:
        s[...] = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
        y[...] = x * s

    def derivative(self, dx: Array, dout: Array, x: Array, y: Array, s: Array) -> None:
        dx[...] = ((1 - s) * x + 1) * s * dout


class Softplus(Elementwise):
    """y = log(1 + exp(x)), a smooth ReLU; dL/dx = dout / (1 + exp(-x)) (Dugas et al. 2001).

    Computed as max(x, 0) + log(1 + exp(-|x|)), in which no exp overflows.
    """

    def value(self, x: Array, y: Array) -> None:
        y[...] = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def derivative(self, dx: Array, dout: Array, x: Array, y: Array) -> None:
        dx[...] = -np.expm1(-y) * dout  # 1 - exp(-y) is 1 / (1 + exp(-x))


class Mish(Elementwise):
    """y = x w, w = tanh(log(1 + exp(x))); dL/dx = dout (w + x s (1 - w^2)) (Misra 2020).

    s = 1 / (1 + exp(-x)) is the slope of the softplus within.
    """

    remembers = ("softplus", "w")
    softplus: Array | None = None  # log(1 + exp(x)) (N, n)
    w: Array | None = None  # (N, n)

    def value(self, x: Array, y: Array, softplus: Array, w: Array) -> None:
        softplus[...] = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        np.tanh(softplus, out=w)
        y[...] = x * w

    def derivative(
        self, dx: Array, dout: Array, x: Array, y: Array, softplus: Array, w: Array
    ) -> None:
        s = -np.expm1(-softplus)
        dx[...] = w * dout + (1 - w * w) * (x * dout) * s


ACTIVATIONS: Mapping[str, type[Layer]] = MappingProxyType(
    {
        "relu": ReLU,
        "sigmoid": Sigmoid,
        "tanh": Tanh,
        "identity": Identity,
        "leaky-relu": LeakyReLU,
        "prelu": PReLU,
        "elu": ELU,
        "selu": SELU,
        "gelu": GELU,
        "silu": SiLU,
        "softplus": Softplus,
        "mish": Mish,
    }
)
