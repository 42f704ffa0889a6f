"""Members: several networks of one form, trained at once, each with weights of its own.

They stand side by side: a row (N, M n) holds the n values of each of M members, one after the
other. What takes each value by itself, as activations and dropout do, is of no concern to them. An
`Affine(n_in, M n)` in front is the first layer of all of them, in one product.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.errors import DtypeError, ParameterError, ShapeError
from scratchnet.initializers import Initializer, find_initializer
from scratchnet.layers.affine import MAX_NORM, shorten_columns
from scratchnet.layers.layer import Layer, remembered
from scratchnet.layers.softmax import Loss
from scratchnet.loops import kernels
from scratchnet.parameters import Array, Shape


class MemberAffine(Layer):
    """y_m = x_m W_m + b_m for each of M members: x (N, M n_in), y (N, M n_out).

    W (M, n_in, n_out) holds the weights of all, b (M n_out,) their biases; it is an affine layer
    whose other weights, from one member to another, are 0 and not multiplied.
    dL/dW_m = x_m^T dout_m, dL/db = sum of dout over the batch, dL/dx_m = dout_m W_m^T.

    In a network n_in may be left out. `initializer`, `rng`, `bias` and `max_norm` are those of
    Affine, for each member by itself.

    Raises ParameterError for a number below 1, ShapeError for rows that do not fall into M parts.

    >>> layer = MemberAffine(3, 4, 2)
    >>> layer.forward(np.ones((5, 12), "float32")).shape, layer.params["W"].shape
    ((5, 6), (3, 4, 2))
    """

    x: Array | None = None

    def __init__(
        self,
        members: int,
        n_inputs: int,
        n_out: int | None = None,
        *,
        initializer: str | float | Initializer = "he",
        rng: np.random.Generator | int = 0,
        dtype: npt.DTypeLike = "float32",
        bias: bool = True,
        max_norm: float | None = None,
    ) -> None:
        super().__init__(dtype=dtype)
        self.members = check_integer("members", members, 1)
        self.n_out = check_integer("n_out", n_inputs if n_out is None else n_out, 1)
        self.bias, self.max_norm = bias, MAX_NORM.check("max_norm", max_norm)
        self._draw = find_initializer(initializer), rng
        if n_out is not None:
            self.build((self.members * check_integer("n_inputs", n_inputs, 1),))
            self.initialize()

    @property
    def n_inputs(self) -> int | None:
        """The values of a row that one member takes; None before it is known."""
        return None if self.n_in is None else self.n_in // self.members

    def build(self, input_shape: Shape) -> None:
        """Take the size of a row, if the layer was made without it."""
        if self.n_in is None:
            n = math.prod(input_shape)
            if n % self.members:
                raise ShapeError(
                    f"{self.members} members need rows of as many equal parts, got {n} values"
                )
            self.n_in = n
            shapes: dict[str, Shape] = {"W": (self.members, n // self.members, self.n_out)}
            self.declare(shapes | ({"b": (self.members * self.n_out,)} if self.bias else {}))

    def initialize(self) -> None:
        """Draw W, member after member; b is 0."""
        if not self.params:
            self.allocate()
            draw, seed = self._draw
            rng = np.random.default_rng(seed)
            for W in self.params["W"]:
                W[...] = draw(rng, W.shape)

    def _by_member(self, rows: Array) -> Array:
        """Rows (N, M n) as (M, N, n), in the same memory."""
        return rows.reshape(len(rows), self.members, -1).swapaxes(0, 1)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return y (N, M n_out), in the layer's dtype; raises ShapeError unless x is (N, n_in)."""
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ShapeError(f"x must have the shape (N, {self.n_in}), got {x.shape}")
        self.x = x
        W = self.params["W"]
        y = self.keep("y", (len(x), self.members * self.n_out), W.dtype)
        if self.n_out == 1:  # BLAS would sum a row in an order that depends on how many there are
            np.einsum("nmi,mi->nm", x.reshape(len(x), self.members, -1), W[:, :, 0], out=y)
        else:
            np.matmul(self._by_member(x), W, out=self._by_member(y))
        if self.bias:
            kernels.add_bias(y, self.params["b"])
        return y

    def param_grads(self, dout: Array) -> None:
        """Write dW_m = x_m^T dout_m and db = sum of dout over the batch."""
        x = self._by_member(remembered(self.x))
        np.matmul(x.swapaxes(1, 2), self._by_member(dout), out=self.grads["W"])
        if self.bias:
            kernels.column_sums(dout, out=self.grads["b"])

    def input_grad(self, dout: Array) -> Array:
        """Return dx_m = dout_m W_m^T, (N, M n_in)."""
        W = self.params["W"]
        dx = self.keep("dx", (len(dout), self.members * W.shape[1]), W.dtype)
        np.matmul(self._by_member(dout), W.swapaxes(1, 2), out=self._by_member(dx))
        return dx

    def apply_constraints(self) -> None:
        """Shorten each column of each W_m that is longer than `max_norm`."""
        for W in self.params["W"]:
            shorten_columns(W, self.max_norm)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(M n_out,); raises ShapeError if the layer before has another size."""
        super().output_shape(input_shape)
        return (self.members * self.n_out,)

    def mean(self) -> tuple[Array, Array]:
        """W (M n_in, n_out) and b (n_out,) of the affine layer that gives the members' mean y."""
        W = self.params["W"].reshape(-1, self.n_out) / self.members
        if not self.bias:
            return W, np.zeros(self.n_out, W.dtype)
        return W, self.params["b"].reshape(self.members, -1).mean(axis=0)

    def config(self) -> dict[str, Any]:
        """The arguments that make a layer like this one."""
        of_row = {} if self.n_in is None else {"n_inputs": self.n_inputs, "n_out": self.n_out}
        options = {"bias": self.bias, "max_norm": self.max_norm}
        return {"members": self.members, **(of_row or {"n_inputs": self.n_out}), **options}

    def __repr__(self) -> str:
        sizes = self.n_out if self.n_in is None else f"{self.n_inputs}, {self.n_out}"
        return f"MemberAffine({self.members}, {sizes})"


class MemberLoss(Loss):
    """L_n = (1/M) sum_m s_nm l(y_nm, t_n): each of M members has a loss of its own.

    y (N, M K) holds the K outputs of each member, and l is another Loss. The targets (N, M + K')
    hold the shares s first, then the targets of l, in one column if they are integer labels. A
    share says how much a row counts in the training of a member, 0 that it holds it out: so each
    can hold out other rows, and all are trained on one batch.
    dL_n/dy_nm = s_nm dl/dy_nm / M.

    Raises ParameterError unless loss is a Loss and members an integer from 1.
    """

    s: Array | None = None  # (N, M)

    def __init__(self, loss: Loss, members: int) -> None:
        if not isinstance(loss, Loss):
            raise ParameterError(f"loss must be a Loss, got {loss!r}")
        self.loss, self.members = loss, check_integer("members", members, 1)
        super().__init__(loss.labels)

    @property
    def known_labels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the loss of a member."""
        return self.loss.known_labels

    def join(self, s: Array, t: Array) -> Array:
        """Targets of shares s (N, M) and targets t of a member's loss, (N,) or (N, K)."""
        return np.column_stack([s, t]).astype(np.float64)

    def split(self, joined: Array) -> tuple[Array, Array]:
        """The shares and targets of which `join` made these."""
        t = joined[:, self.members :]
        if self.labels == "integer":
            return joined[:, : self.members], t[:, 0].astype(np.intp)
        return joined[:, : self.members], t

    def check_targets(self, t: npt.ArrayLike, n_rows: int, n_outputs: int) -> Array:
        """`t` with shares >= 0 and targets that the loss of a member takes."""
        t = np.asarray(t)
        if t.dtype.kind not in "biuf":
            raise DtypeError(f"targets must be numbers, got dtype {t.dtype}")
        if t.ndim != 2 or len(t) != n_rows or t.shape[1] <= self.members:
            raise ShapeError(
                f"targets must have the shape ({n_rows}, {self.members} shares and a member's "
                f"targets), got {t.shape}"
            )
        s, own = self.split(t)
        if not (np.isfinite(s).all() and (s >= 0).all()):
            raise ShapeError("the shares of members must be finite numbers >= 0")
        self.loss.check_targets(own, n_rows, n_outputs // self.members)
        return t

    def adapt(self, t: Array, n_outputs: int) -> None:
        """Let the loss of a member see all training targets."""
        self.loss.adapt(self.split(t)[1], n_outputs // self.members)

    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """L_n (N,), in float64."""
        self.s, own = self.split(t)
        each = self.loss.per_sample_loss(self._rows(y), np.repeat(own, self.members, axis=0))
        return np.asarray((each.reshape(self.s.shape) * self.s).sum(axis=1) / self.members)

    def per_sample_gradient(self) -> Array:
        """s_nm dl/dy_nm / M, (N, M K)."""
        s = remembered(self.s)
        dy = self.loss.per_sample_gradient()
        np.multiply(dy, (s / self.members).reshape(-1, 1), out=dy)
        return dy.reshape(len(s), -1)

    def _rows(self, y: Array) -> Array:
        """The outputs of each member in a row of their own, (N M, K)."""
        return y.reshape(len(y) * self.members, -1)

    def predictions(self, y: Array) -> Array:
        """What each member predicts, side by side."""
        return self.loss.predictions(self._rows(y)).reshape(len(y), -1)

    def confidences(self, y: Array) -> Array:
        """How sure each member is, side by side."""
        return self.loss.confidences(self._rows(y)).reshape(len(y), -1)

    def config(self) -> dict[str, Any]:
        """The options that make a loss like this one."""
        return {"loss": self.loss, "members": self.members}
