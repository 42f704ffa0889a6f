"""Categories as vectors: a row of a table for each, which is learnt."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.layers.layer import Layer, remembered
from scratchnet.parameters import Array, Shape


class Embedding(Layer):
    """y = the rows E_j[x_j] of a table for each column of x (N, n), side by side, (N, n width).

    x_j is the number of a category, 0 ... sizes[j] - 1, as a float; any other number counts as
    category 0, which so stands for "none of those that are known". The tables E_j (sizes[j], width)
    lie one below the other in the parameter E. dE = the sum of those rows of dout that belong to a
    category; dL/dx = 0, as numbers of categories cannot move. It is an affine layer without a bias
    behind one-hot codes, whose zeros are not multiplied. (Guo and Berkhahn 2016, section 3.)

    E starts with standard normal values divided by the root of `width`, drawn from `rng`, a
    Generator or a seed for one: vectors of a length of about 1.

    Raises ParameterError for no sizes, or a size or width below 1.

    >>> layer = Embedding([3, 5], width=4)
    >>> layer.forward(np.array([[2.0, 0.0]])).shape, layer.params["E"].shape
    ((1, 8), (8, 4))
    """

    takes_categories = True
    rows: Array | None = None  # of E, for each value of x (N, n)

    def __init__(
        self,
        sizes: Sequence[int],
        width: int = 8,
        *,
        rng: np.random.Generator | int = 0,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        self.sizes = [check_integer("a size", size, 1) for size in sizes]
        if not self.sizes:
            raise ParameterError("sizes must hold a number of categories for each column, got []")
        self.width = check_integer("width", width, 1)
        super().__init__(dtype=dtype)
        self.n_in, self._rng = len(self.sizes), rng
        self.declare({"E": (sum(self.sizes), self.width)})

    def initialize(self) -> None:
        """Draw E. Not before: a file that names huge sizes is refused by what is declared."""
        if not self.params:
            self.allocate()
            E = self.params["E"]
            E[...] = np.random.default_rng(self._rng).standard_normal(E.shape) / np.sqrt(self.width)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(n width,)."""
        super().output_shape(input_shape)
        return (len(self.sizes) * self.width,)

    def first_rows(self) -> Array:
        """Where the table of each column begins in E (n,)."""
        return np.cumsum(self.sizes) - self.sizes

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the vectors (N, n width), in the layer's dtype."""
        self.initialize()
        codes = np.rint(x)
        known = np.where((codes > 0) & (codes < self.sizes), codes, 0).astype(np.intp)
        self.rows = known + self.first_rows()
        E = self.params["E"]
        y = self.keep("y", (*x.shape, self.width), E.dtype)
        np.take(E, self.rows, axis=0, out=y, mode="clip")
        return y.reshape(len(x), -1)

    def param_grads(self, dout: Array) -> None:
        """Write dE: the rows of dout that belong to each row of E, summed."""
        rows = remembered(self.rows).reshape(-1)
        dE = self.grads["E"]
        dE[...] = 0
        if len(rows):
            order = rows.argsort(kind="stable")
            found, starts = np.unique(rows[order], return_index=True)
            dE[found] = np.add.reduceat(dout.reshape(-1, self.width)[order], starts, axis=0)

    def input_grad(self, dout: Array) -> Array:
        """Return zeros (N, n)."""
        dx = self.keep("dx", remembered(self.rows).shape, dout.dtype)
        dx[...] = 0
        return dx

    def multiplications(self) -> int:
        """None: rows are looked up."""
        return 0

    def __repr__(self) -> str:
        return f"Embedding({self.sizes}, width={self.width})"
