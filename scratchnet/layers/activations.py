"""Activations: the non-linear functions between affine layers, applied to each value alone."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer, check_not_negative
from scratchnet.errors import ParameterError
from scratchnet.layers.elementary import Identity, Kinked, ReLU, Sigmoid, Tanh
from scratchnet.layers.layer import Layer, remembered
from scratchnet.parameters import Array


class LeakyReLU(Kinked):
    """y = x where x > 0, else slope x; dL/dx = dout, or slope dout where x <= 0.

    `slope`, 0 to 1, is small, so that a unit that is off still learns (Maas et al. 2013).
    Raises ParameterError for a slope outside of that.
    """

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = check_not_negative("slope", slope)
        if self.slope > 1:
            raise ParameterError(f"slope must be a number from 0 to 1, got {slope!r}")

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return max(x, slope x), the shape and dtype of x."""
        self.x = x
        y = self.keep("y", x.shape, x.dtype)
        np.multiply(x, self.slope, out=y)  # slope x
        return np.maximum(x, y, out=y)  # y = max(x, slope x), since slope <= 1

    def input_grad(self, dout: Array) -> Array:
        """Return dout where x > 0, else slope dout."""
        dx = self.keep("dx", dout.shape, dout.dtype)
        np.multiply(dout, self.slope, out=dx)
        np.copyto(dx, dout, where=self.kink_pattern())  # dx = dout [x > 0] + slope dout [x <= 0]
        return dx

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope:g})"


class PReLU(Kinked):
    """y = x where x > 0, else a x, with a slope a that is learnt (He et al. 2015, eq. 1).

    `a` (n,) is one slope for each of n inputs, or, with the default n = 1, one that all share; it
    starts at 0.25 and is spared by weight decay, as in the paper. dL/dx = dout, or a dout where
    x <= 0; dL/da is the sum of dout x over the values x <= 0 that a is the slope of.
    """

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

    def __repr__(self) -> str:
        return f"PReLU({self.n_in or 1})"


class ELU(Kinked):
    """y = x where x > 0, else exp(x) - 1; dL/dx = dout, or dout (y + 1) where x <= 0.

    The exponential linear unit with alpha = 1 (Clevert et al. 2016, eq. 15), whose slope has no
    jump at 0.
    """

    scale = 1.0
    alpha = 1.0
    y: Array | None = None

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return scale (max(x, 0) + alpha (exp(min(x, 0)) - 1)), the shape and dtype of x."""
        y, e = self.keep("y", x.shape, x.dtype), self.keep("e", x.shape, x.dtype)
        np.minimum(x, 0, out=e)
        np.expm1(e, out=e)
        np.multiply(e, self.scale * self.alpha, out=e)  # of the two terms one is 0
        np.maximum(x, 0, out=y)
        np.multiply(y, self.scale, out=y)
        self.x = x
        self.y = np.add(y, e, out=y)
        return self.y

    def input_grad(self, dout: Array) -> Array:
        """Return scale dout where y > 0, else dout (y + scale alpha)."""
        y = remembered(self.y)
        dx = self.keep("dx", dout.shape, dout.dtype)
        np.minimum(y, 0, out=dx)
        np.add(dx, self.scale * self.alpha, out=dx)  # scale alpha exp(x) where x <= 0
        np.copyto(dx, self.scale, where=self.kink_pattern())
        return np.multiply(dx, dout, out=dx)


class SELU(ELU):
    """y = scale x where x > 0, else scale alpha (exp(x) - 1): ELU that keeps mean 0, variance 1.

    scale = 1.0507, alpha = 1.6733 are the fixed point of that map for weights of variance 1 / n_in,
    so the initializer to use is "lecun" (Klambauer et al. 2017, eq. 2).
    """

    scale = 1.0507009873554805
    alpha = 1.6732632423543772


class GELU(Layer):
    """y = x P(x), P(x) = (1 + erf(x / sqrt 2)) / 2, the distribution function of N(0, 1).

    dL/dx = dout (P(x) + x exp(-x^2 / 2) / sqrt(2 pi)); exact, not the tanh approximation
    (Hendrycks and Gimpel 2016, eq. 1). erf is SciPy's, which comes with scikit-learn.
    """

    x: Array | None = None
    p: Array | None = None  # P(x) (N, n)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x P(x), the shape and dtype of x."""
        from scipy.special import erf

        p, y = self.keep("p", x.shape, x.dtype), self.keep("y", x.shape, x.dtype)
        np.multiply(x, math.sqrt(0.5), out=p)
        erf(p, out=p)
        np.add(p, 1.0, out=p)
        np.multiply(p, 0.5, out=p)  # P(x)
        self.x, self.p = x, p
        return np.multiply(x, p, out=y)  # y = x P(x)

    def input_grad(self, dout: Array) -> Array:
        """Return dout (P(x) + x N(x)), N being the density of the normal distribution."""
        x, p = remembered(self.x), remembered(self.p)
        dx = self.keep("dx", dout.shape, dout.dtype)
        np.clip(x, -40.0, 40.0, out=dx)  # beyond, N(x) is 0, and the square may overflow
        np.square(dx, out=dx)
        np.multiply(dx, -0.5, out=dx)
        np.exp(dx, out=dx)
        np.multiply(dx, 1.0 / math.sqrt(2.0 * math.pi), out=dx)  # N(x)
        np.multiply(dx, x, out=dx)
        np.add(dx, p, out=dx)  # P(x) + x N(x)
        return np.multiply(dx, dout, out=dx)


class SiLU(Layer):
    """y = x s, s = 1 / (1 + exp(-x)); dL/dx = dout s (1 + x (1 - s)).

    Called swish too (Elfwing et al. 2018; Ramachandran et al. 2017).
    """

    x: Array | None = None

    def __init__(self) -> None:
        super().__init__()
        self.sigmoid = Sigmoid()
        self.children = (self.sigmoid,)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x s(x), the shape and dtype of x."""
        self.x = x
        s = self.sigmoid.forward(x)
        return np.multiply(x, s, out=self.keep("y", x.shape, x.dtype))  # y = x s

    def input_grad(self, dout: Array) -> Array:
        """Return dout s (1 + x (1 - s))."""
        x, s = remembered(self.x), remembered(self.sigmoid.y)
        dx = self.keep("dx", dout.shape, dout.dtype)
        np.subtract(1.0, s, out=dx)
        np.multiply(dx, x, out=dx)
        np.add(dx, 1.0, out=dx)  # 1 + x (1 - s)
        np.multiply(dx, s, out=dx)
        return np.multiply(dx, dout, out=dx)


class Softplus(Layer):
    """y = log(1 + exp(x)), a smooth ReLU; dL/dx = dout / (1 + exp(-x)) (Dugas et al. 2001).

    Computed as max(x, 0) + log(1 + exp(-|x|)), in which no exp overflows.
    """

    y: Array | None = None

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return log(1 + exp(x)), the shape and dtype of x."""
        y, e = self.keep("y", x.shape, x.dtype), self.keep("e", x.shape, x.dtype)
        np.abs(x, out=e)
        np.negative(e, out=e)
        np.exp(e, out=e)
        np.log1p(e, out=e)  # log(1 + exp(-|x|))
        np.maximum(x, 0, out=y)
        self.y = np.add(y, e, out=y)
        return self.y

    def input_grad(self, dout: Array) -> Array:
        """Return dout (1 - exp(-y)), which is dout / (1 + exp(-x))."""
        y = remembered(self.y)
        dx = self.keep("dx", dout.shape, dout.dtype)
        np.negative(y, out=dx)
        np.expm1(dx, out=dx)  # exp(-y) - 1
        np.negative(dx, out=dx)
        return np.multiply(dx, dout, out=dx)


class Mish(Layer):
    """y = x w, w = tanh(log(1 + exp(x))); dL/dx = dout (w + x s (1 - w^2)) (Misra 2020).

    s = 1 / (1 + exp(-x)) is the slope of the softplus within.
    """

    x: Array | None = None

    def __init__(self) -> None:
        super().__init__()
        self.softplus, self.tanh = Softplus(), Tanh()
        self.children = (self.softplus, self.tanh)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x tanh(log(1 + exp(x))), the shape and dtype of x."""
        self.x = x
        w = self.tanh.forward(self.softplus.forward(x))
        return np.multiply(x, w, out=self.keep("y", x.shape, x.dtype))  # y = x w

    def input_grad(self, dout: Array) -> Array:
        """Return dout (w + x s (1 - w^2))."""
        x, w = remembered(self.x), remembered(self.tanh.y)
        dx = self.keep("dx", dout.shape, dout.dtype)
        np.multiply(x, dout, out=dx)
        inner = self.softplus.input_grad(self.tanh.input_grad(dx))  # dout x (1 - w^2) s
        np.multiply(w, dout, out=dx)
        return np.add(dx, inner, out=dx)


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
