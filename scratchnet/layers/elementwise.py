"""Functions of single values as layers: two formulas, which NumPy computes, or a compiled loop."""

import re
from abc import abstractmethod
from typing import Any, ClassVar, final

import numpy as np

from scratchnet import loops
from scratchnet.layers.layer import Layer, remembered
from scratchnet.loops.translation import (
    Loop,
    Translator,
    UntranslatableError,
    source_of,
    translated,
)
from scratchnet.parameters import Array, blocks


class Elementwise(Layer):
    """y = f(x) for each value alone; dL/dx = dL/dy f'(x).

    A subclass writes the two as formulas on arrays: `value` writes y, and what it `remembers`
    besides; `derivative` writes dx. They see pieces of the arrays, of a size that the cache holds.
    """

    remembers: ClassVar[tuple[str, ...]] = ()
    """The names of further arrays that `value` writes, for `derivative`."""
    kinked: ClassVar[bool] = False
    """Whether the slope or the curvature of f jumps at 0."""

    x: Array | None = None
    y: Array | None = None

    @abstractmethod
    def value(self, x: Array, y: Array, *remembers: Any, **none: Any) -> None:
        """Write y = f(x), and the arrays that are remembered."""

    @abstractmethod
    def derivative(
        self, dx: Array, dout: Array, x: Array, y: Array, *remembers: Any, **none: Any
    ) -> None:
        """Write dx = dout f'(x)."""

    @final
    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return f(x), the shape and dtype of x; NaN stays NaN."""
        self.x, self.y = x, self.keep("y", x.shape, x.dtype)
        for name in self.remembers:
            setattr(self, name, self.keep(name, x.shape, x.dtype))
        arrays = [x, self.y, *(getattr(self, name) for name in self.remembers)]
        no_bias = np.empty(0, x.dtype)
        if not self._run("value", x, no_bias, *arrays):
            for block in blocks(*arrays):
                self.value(*block)
        return self.y

    @final
    def input_grad(self, dout: Array) -> Array:
        """Return dout f'(x), the shape and dtype of dout."""
        x, y = remembered(self.x), remembered(self.y)
        dx = self.keep("dx", dout.shape, dout.dtype)
        arrays = [dx, dout, x, y, *(getattr(self, name) for name in self.remembers)]
        if not self._run("derivative", x, *arrays):
            for block in blocks(*arrays):
                self.derivative(*block)
        return dx

    def _run(self, name: str, x: Array, *arrays: Array) -> bool:
        """Do a formula by its loop, and say whether there is one."""
        loop = find_formula(self, name)
        if loop is None:
            return False
        numbers = numbers_of(loop, self, x.dtype)
        return loops.run(loop.digest, 1, x.size, x.dtype, numbers, *arrays)

    def kink_pattern(self) -> Array | None:
        """Which units are on: x > 0, booleans (N, n); None for a smooth function."""
        if not self.kinked:
            return None
        x = remembered(self.x)
        return np.greater(x, 0, out=self.keep("mask", x.shape, np.bool_))


def numbers_of(loop: Loop, layer: Elementwise, dtype: np.dtype[Any]) -> Array:
    """The numbers of the layer's loop, as an array."""
    return np.array(loop.numbers(layer), dtype)


def find_formula(layer: Elementwise, name: str) -> Loop | None:
    """The loop of the layer's very `value` or `derivative`; None for a formula that is no loop."""
    if loops.compiled() is None:
        return None
    return translated(translate, (type(layer), name), (getattr(type(layer), name),))


def translate(kind: type[Elementwise], name: str) -> Loop:
    """The loop of the `value` or the `derivative` of a class of layers.

    Raises UntranslatableError, with the reason, for a formula that cannot be one.
    """
    formula = getattr(kind, name)
    arrays = [argument.arg for argument in source_of(formula).args.args[1:]]
    if len(arrays) != (2 if name == "value" else 4) + len(kind.remembers):
        raise UntranslatableError("does not name the arrays that it remembers")
    translator = Translator(kind, arrays)
    body = translator.translate(formula, arrays)
    first = 2 if name == "value" else 1  # behind the numbers, and the bias
    words = set(re.findall(r"\w+", " ".join(body)))
    places = {one: first + i for i, one in enumerate(arrays) if one in words}
    pointers = [f"*{one}_ = (REAL *)p[{place}] + r * d" for one, place in places.items()]
    read = [one for one in (arrays[:1] if name == "value" else arrays[1:]) if one in words]
    written = [one for one in places if one not in read]
    lines = [
        f"{name.upper()}({kind.__name__})",
        "{",
        *(["    const REAL *S = p[0];"] if translator.numbers else []),
        *translator.declarations(),
        "    for (ptrdiff_t r = 0; r < n; r++) {",
        f"        REAL {', '.join(pointers)};",
        *(["        ADD_BIAS(x_)"] if name == "value" else []),
        "        INDEPENDENT",
        "        for (ptrdiff_t i = 0; i < d; i++) {",
        f"            REAL {', '.join([*(f'{one} = {one}_[i]' for one in read), *written])};",
        *(f"            {line}" for line in body),
        *(f"            {one}_[i] = {one};" for one in written),
        "        }",
        "    }",
        "}",
    ]
    return Loop("\n".join(lines) + "\n", translator.compute_numbers(), len(translator.numbers))
