"""How raw values become the inputs of a network, kept with it: scale, shape, style, names."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scratchnet.checks import Range, check_integer
from scratchnet.data.arrays import DARKEST, PIXEL
from scratchnet.data.drawings import LOOKED_AT, STYLES, find_style
from scratchnet.data.samples import Dataset, Samples
from scratchnet.errors import ParameterError
from scratchnet.parameters import Array, Shape
from scratchnet.registry import canonical

NORMAL = Range(at_least=1e-37, at_most=1e37)
"""The values of scale and white: what float32 holds."""
MOST_NAMES = 10**6
"""Names of classes or columns that a network may have."""


@dataclass(frozen=True)
class Preparation:
    """What a network was trained on, as far as its user must know.

    scale: raw values times this are its inputs, as `Samples.scale` has it.
    white: the raw value of a pixel that is as light as it can be.
    image_shape: (height, width) or (height, width, channels) of the images that rows are; None
        where they are none.
    style: how single characters lie in these images, a name of STYLES; None for other pictures.
    class_names: what the classes are called, if not by their numbers.
    table: how the columns of a table become inputs, a dictionary for each, as TableClassifier
        learns it; `TablePreparation.from_config` of `scratchnet.estimator.frames` reads it.
    columns, label: the names of the features of a table, and of the column with its classes.

    Raises ParameterError for a value that is none of these.
    """

    scale: float = 1.0
    white: float = 1.0
    image_shape: Shape | None = None
    style: str | None = None
    class_names: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    label: str | None = None
    table: tuple[Mapping[str, Any], ...] | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__  # as the class is frozen
        set_(self, "scale", NORMAL.check("scale", self.scale))
        set_(self, "white", NORMAL.check("white", self.white))
        if self.image_shape is not None:
            shape = tuple(check_integer("image_shape", n, 1) for n in self.image_shape)
            if not 2 <= len(shape) <= 3:
                raise ParameterError(
                    f"image_shape must be (height, width) or (height, width, channels), got {shape}"
                )
            set_(self, "image_shape", shape)
        if self.style is not None:
            set_(self, "style", canonical(STYLES, self.style, "style"))
            if self.image_shape != STYLES[self.style].shape:
                raise ParameterError(
                    f"images of the style {self.style} must have the shape "
                    f"{STYLES[self.style].shape}, got {self.image_shape}"
                )
        for option, each in (("class_names", "class"), ("columns", "column")):
            names = getattr(self, option)
            if names is not None:
                names = tuple(names)
                if not all(isinstance(name, str) for name in names) or len(names) > MOST_NAMES:
                    raise ParameterError(f"{option} must be a text for each {each}")
                set_(self, option, names)
        if self.table is not None:
            set_(self, "table", tuple(self.table))
            if not all(isinstance(one, Mapping) for one in self.table or (None,)):
                raise ParameterError("table must be a dictionary for each column of a table")
        if not (self.label is None or isinstance(self.label, str)):
            raise ParameterError(f"label must be the name of a column, got {self.label!r}")

    @classmethod
    def of(cls, data: Dataset | Samples, shape: Shape = ()) -> Self:
        """How these samples are prepared; the style of images is found by a look at them.

        Samples know no shape; `shape` is that of a network's rows, (D,) where they may be anything.
        Then a square of at least 8x8 that has a style is taken for an image.
        """
        if isinstance(data, Dataset):
            shape, names, samples = data.image_shape or (), data.class_names, data.train
        else:
            names, samples = None, data
        wide = samples.x.shape[1]
        shape = shape[:2] if shape[2:] == (1,) else shape
        guess = shape if len(shape) > 1 else square(wide)
        # Samples that stay in their file are not looked at: that would read all of it.
        looked = isinstance(samples.x, np.ndarray) and samples.block_rows is None
        style = None
        if guess is not None and len(guess) == 2 and looked:
            style = find_style(samples.x, guess)
        known = guess if style is not None or len(shape) > 1 else None
        table = (data.columns, data.label) if isinstance(data, Dataset) else (None, None)
        scale = samples.scale if samples.scale in NORMAL else 1.0
        white = _white(samples) if known is not None and looked else 1 / scale
        return cls(scale, white if white in NORMAL else 1.0, known, style, names, *table)

    def name_of(self, k: int) -> str:
        """What class k is called."""
        return str(k) if self.class_names is None else self.class_names[k]

    def rows(self, x: npt.ArrayLike) -> Array:
        """Raw values (N, ...) as rows (N, D) of inputs; in float32 where the scale is not 1."""
        values = np.asarray(x)
        values = values.reshape(len(values), -1)
        if self.scale == 1:
            return values
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf and is named
            return values.astype(np.float32) * np.float32(self.scale)

    def config(self) -> dict[str, Any]:
        """The values as plain data."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The preparation that `config` was of; raises ParameterError or TypeError."""
        return cls(**config)

    def check_fits(self, n_inputs: int, n_outputs: int) -> None:
        """Raise ParameterError where a network of so many inputs and outputs cannot have it."""
        if self.image_shape is not None and math.prod(self.image_shape) != n_inputs:
            raise ParameterError(f"images of {self.image_shape} are not {n_inputs} inputs")
        if self.columns is not None and len(self.columns) != n_inputs:
            raise ParameterError(f"{len(self.columns)} columns are not {n_inputs} inputs")
        if self.class_names is not None and len(self.class_names) != max(n_outputs, 2):
            raise ParameterError(
                f"{len(self.class_names)} class_names are not those of {n_outputs} outputs"
            )


def _white(samples: Samples) -> float:
    """The raw value of a full pixel: what the scale brings to 1, else the usual end of a range."""
    if samples.scale != 1.0:
        return 1 / samples.scale
    largest = float(samples.x[:: max(1, len(samples) // LOOKED_AT)].max())
    if largest <= 1.0:
        return 1.0
    return float(PIXEL) if DARKEST < largest <= PIXEL else largest


def square(n: int) -> Shape | None:
    """The shape of a square image of n values, from 8x8 on; None where n is no square."""
    side = math.isqrt(n)
    return (side, side) if side * side == n and side >= 8 else None
