"""Augmentation: images distorted at random, anew in every epoch, so that no two are the same.

Distortions of shape all say where each pixel of the new image comes from in the old one. What they
say is put together first, and the image is looked up once, between the four pixels around each
place (bilinear); beyond the edge it is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np

from scratchnet.checks import (
    Range,
    check_share,
)
from scratchnet.errors import DtypeError, ParameterError, ShapeError
from scratchnet.parallel import Shard
from scratchnet.parameters import Array
from scratchnet.registry import canonical

FARTHEST = 1000
"""Pixels by which an image may be distorted, at most."""
Drawn = tuple[Array | None, Array | None, Array | None]
"""A matrix, an offset and a field of n images, as a distortion has drawn them."""
CHUNK = 2**14
"""Pixels whose places are computed at a time; fewer cost more calls, more leave the cache."""


@dataclass(frozen=True)
class Distortion:
    """One way of distorting n images: a subclass gives some of these, by default nothing."""

    def matrix(self, n: int, rng: np.random.Generator) -> Array | None:
        """A (n, 2, 2): the pixel at p = (row, column) from the centre comes from A p."""
        return None

    def offset(self, n: int, rng: np.random.Generator) -> Array | None:
        """b (n, 2), in pixels: the pixel at p comes from p + b."""
        return None

    def field(self, n: int, shape: tuple[int, int], rng: np.random.Generator) -> Array | None:
        """d (n, 2, H, W), in pixels: the pixel at p comes from p + d(p)."""
        return None

    def blank(self, n: int, shape: tuple[int, int], rng: np.random.Generator) -> Array | None:
        """Which pixels (n, H, W) become 0, after all that moves them."""
        return None


@dataclass(frozen=True)
class Shift(Distortion):
    """By a whole number of pixels from -pixels to pixels along each axis, all equally likely."""

    pixels: int

    def __post_init__(self) -> None:
        Range(at_least=0, at_most=FARTHEST, integer=True).check("shift", self.pixels)

    def offset(self, n: int, rng: np.random.Generator) -> Array:
        """Whole numbers (n, 2)."""
        return rng.integers(-self.pixels, self.pixels, (n, 2), endpoint=True)


@dataclass(frozen=True)
class Rotate(Distortion):
    """About the centre by an angle from U(-degrees, degrees)."""

    degrees: float

    def __post_init__(self) -> None:
        Range(at_least=0, at_most=180).check("rotate", self.degrees)

    def matrix(self, n: int, rng: np.random.Generator) -> Array:
        """[[cos, sin], [-sin, cos]] of each angle (n, 2, 2)."""
        angle = np.radians(rng.uniform(-self.degrees, self.degrees, n))
        rows = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        return np.moveaxis(np.array(rows), 2, 0)


@dataclass(frozen=True)
class Scale(Distortion):
    """Each axis by a factor of its own from U(1 - share, 1 + share), about the centre."""

    share: float

    def __post_init__(self) -> None:
        check_share("scale", self.share)

    def matrix(self, n: int, rng: np.random.Generator) -> Array:
        """diag(1 / factor) (n, 2, 2): what is twice as large comes from half as far."""
        return np.eye(2) / rng.uniform(1 - self.share, 1 + self.share, (n, 1, 2))


@dataclass(frozen=True)
class Shear(Distortion):
    """Rows slide along each other, by U(-share, share) pixels for each pixel of height."""

    share: float

    def __post_init__(self) -> None:
        Range(at_least=0, at_most=FARTHEST).check("shear", self.share)

    def matrix(self, n: int, rng: np.random.Generator) -> Array:
        """[[1, 0], [share, 1]] (n, 2, 2)."""
        made = np.tile(np.eye(2), (n, 1, 1))
        made[:, 1, 0] = rng.uniform(-self.share, self.share, n)
        return made


@dataclass(frozen=True)
class Elastic(Distortion):
    """As if drawn on rubber: d = alpha G u, u ~ U(-1, 1) for each pixel and axis.

    `alpha` and the standard deviation `sigma` of the Gaussian blur G are in pixels (Simard et al.
    2003, with 34 and 4 for handwriting; Ciresan et al. 2010 take 36 and 6). u is drawn as normal
    numbers of the same variance, 1 / 3, which looks the same once blurred. Normal noise u
    blurred along both axes, B u B^T with the blur B (H, H) of one axis, has the distribution of
    (U s) z (U s)^T, where B = U s V^T is its singular value decomposition and z is normal; only the
    first few s are not 0, so z is 10 by 10 where u was 28 by 28.
    """

    alpha: float = 34.0
    sigma: float = 4.0

    def __post_init__(self) -> None:
        Range(at_least=0, at_most=FARTHEST).check("elastic", self.alpha)
        Range(above=0, at_most=FARTHEST).check("the sigma of elastic", self.sigma)

    def field(self, n: int, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        """Smooth displacements (n, 2, H, W)."""
        high, wide = (_blur_factor(size, self.sigma) for size in shape)
        z = rng.standard_normal((n, 2, high.shape[1], wide.shape[1]), dtype=np.float32)
        z *= self.alpha / math.sqrt(3.0)
        return np.asarray(high @ z @ wide.T)


@dataclass(frozen=True)
class Erase(Distortion):
    """With this probability a rectangle becomes 0, the background.

    Its area is a share of the image from U(0.02, 0.2), its height over its width from 0.3 to
    1 / 0.3 (log-uniform), its place any that the image holds (Zhong et al. 2017, algorithm 1, who
    fill it with random values, and take areas up to 0.4).
    """

    probability: float

    def __post_init__(self) -> None:
        Range(at_least=0, at_most=1).check("erase", self.probability)

    def blank(self, n: int, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        """The pixels (n, H, W) of a rectangle in some of the images."""
        high, wide = shape
        erased = np.asarray(rng.random(n) < self.probability)
        area = rng.uniform(0.02, 0.2, n) * high * wide
        ratio = np.exp(rng.uniform(math.log(0.3), -math.log(0.3), n))
        inside: Array = erased[:, np.newaxis, np.newaxis]
        for size, length, axis in (
            (high, np.sqrt(area * ratio), 1),
            (wide, np.sqrt(area / ratio), 2),
        ):
            length = np.clip(np.rint(length), 1, size)
            start = np.floor(rng.random(n) * (size - length + 1))
            k = np.expand_dims(np.arange(size), (0, 3 - axis))
            start, stop = (np.expand_dims(v, (1, 2)) for v in (start, start + length))
            inside = inside & (k >= start) & (k < stop)
        return inside


class Augmentation:
    """Distorts batches of images x (n, H W C) by all of `distortions`, each image in its own way.

    >>> augment = make_augmentation((28, 28), shift=2, rotate=10, elastic=[34, 4])
    >>> x_distorted = augment(x_batch, np.random.default_rng(0))

    Everything random is drawn for the whole batch at once; places are computed for a few images at
    a time, so that they stay in the cache. All channels of an image are distorted alike. Raises
    ParameterError unless `image_shape` is (height, width) or (height, width, channels), and where
    one kind of distortion is given twice.
    """

    def __init__(self, image_shape: Sequence[int] | None, *distortions: Distortion) -> None:
        self.shape, self.channels = _sizes(image_shape)
        self.distortions = distortions
        kinds = [type(distortion).__name__ for distortion in distortions]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise ParameterError(
                    f"each distortion may be given once, got {kind} {kinds.count(kind)} times; "
                    "keep one of them"
                )
        rows, columns = (np.arange(size) - (size - 1) / 2 for size in self.shape)
        grid = np.meshgrid(rows, columns, indexing="ij")
        self._grid = np.stack(grid).reshape(2, -1).astype(np.float32)  # p from the centre (2, D)
        self._kept = np.empty((0, math.prod(self.shape) * self.channels), np.float32)

    def __call__(self, x: Array, rng: np.random.Generator, shard: Shard | None = None) -> Array:
        """Distorted images (n, D) in the dtype of x (n, D), which is left as it is.

        Where ranks share a batch, x is the `shard` of it that is distorted here, as it would be
        among the others. The result is the first n rows of kept memory, which the next call
        overwrites. Raises ShapeError
        where the images have another size, DtypeError where x is not float32 or float64.
        """
        wide = math.prod(self.shape) * self.channels
        if x.ndim != 2 or x.shape[1] != wide:
            raise ShapeError(f"x must have the shape (N, {wide}), got {x.shape}")
        if x.dtype not in (np.float32, np.float64):
            raise DtypeError(f"x must be float32 or float64, got {x.dtype}; convert it with astype")
        if len(x) > len(self._kept) or x.dtype != self._kept.dtype:
            self._kept = np.empty_like(x, order="C")
        images = self._kept[: len(x)]
        if len(x):  # of no images there is nothing to draw
            shard = Shard(0, len(x), len(x)) if shard is None else shard
            n = shard.total
            drawn = [
                (one.matrix(n, rng), one.offset(n, rng), one.field(n, self.shape, rng))
                for one in self.distortions
            ]
            for channel in range(self.channels):
                plane, moved = (
                    pixels.reshape(len(x), -1, self.channels)[:, :, channel]
                    for pixels in (x, images)
                )
                self._move(plane, moved, drawn, shard)
            for distortion in self.distortions:
                blank = distortion.blank(n, self.shape, rng)
                if blank is not None:
                    images.reshape(-1, *self.shape, self.channels)[blank[shard.rows]] = 0.0
        return images

    def _move(self, x: Array, out: Array, drawn: Sequence[Drawn], shard: Shard) -> None:
        """Write into out (n, D) what the distortions of shape make of x (n, D)."""
        matrices = [A[shard.rows] for A, _, _ in drawn if A is not None]
        offsets = [b[shard.rows] for _, b, _ in drawn if b is not None]
        displacements = [d[shard.rows] for _, _, d in drawn if d is not None]
        if not (matrices or offsets or displacements):
            out[:] = x
        elif not (matrices or displacements) and all(b.dtype.kind == "i" for b in offsets):
            self._shift(x, sum(offsets[1:], offsets[0]), out)
        else:
            A = reduce(np.matmul, matrices, np.eye(2))
            self._interpolate(x, A, sum(offsets, np.zeros(2)), displacements, out)

    def _shift(self, x: Array, b: Array, out: Array) -> None:
        """Move images x (n, D) by whole pixels b (n, 2): windows of images with a border of 0."""
        n, (high, wide) = len(x), self.shape
        b = np.clip(b, -np.array(self.shape), self.shape)  # farther out there is nothing but 0
        border = int(np.abs(b).max())
        padded = np.zeros((n, high + 2 * border, wide + 2 * border), x.dtype)
        padded[:, border : border + high, border : border + wide] = x.reshape(n, high, wide)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.shape, axis=(1, 2))
        row, column = (border + b).T
        out.reshape(n, high, wide)[:] = windows[np.arange(n), row, column]

    def _interpolate(
        self, x: Array, A: Array, b: Array, displacements: Sequence[Array], out: Array
    ) -> None:
        """Write into out (n, D) what images x (n, D) hold at A p + b + d(p), d the sum of these."""
        n = len(x)
        A = np.broadcast_to(A, (n, 2, 2)).astype(np.float32)
        b = np.broadcast_to(b + (np.array(self.shape) - 1) / 2, (n, 2)).astype(np.float32)
        step = max(1, CHUNK // x.shape[1])
        for start in range(0, n, step):
            part = slice(start, start + step)
            where = A[part] @ self._grid
            where += b[part, :, np.newaxis]
            for d in displacements:
                where += d[part].reshape(where.shape)
            self._look_up(x[part], where, out[part])

    def _look_up(self, x: Array, where: Array, out: Array) -> None:
        """Values of images x (n, D) at the places `where` (n, 2, D), between pixels in line."""
        n, (high, wide) = len(x), self.shape
        # Beyond the edge there is a border of 0; on the far sides two, a place and the next of it.
        padded = np.zeros((n, high + 3, wide + 3), x.dtype)
        padded[:, 1:-2, 1:-2] = x.reshape(n, high, wide)
        flat, across = padded.reshape(-1), wide + 3
        row, column = where[:, 0], where[:, 1]
        for place, size in ((row, high), (column, wide)):
            place += 1.0
            np.clip(place, 0.0, size + 1.0, out=place)
        top, left = row.astype(np.int32), column.astype(np.int32)
        row -= top  # from here on the share of the lower pixel
        column -= left  # and of the right one
        index = top * across + left + (np.arange(n, dtype=np.int32) * padded[0].size)[:, np.newaxis]
        y, lower = flat.take(index), flat.take(index + across)
        y += column * (flat.take(index + 1) - y)
        lower += column * (flat.take(index + across + 1) - lower)
        np.add(y, row * (lower - y), out=out)

    def config(self) -> dict[str, Any]:
        """The amounts by name, as `make_augmentation` takes them and JSON can hold them."""
        names = {kind: name for name, kind in AUGMENTATIONS.items()}
        found = {}
        for distortion in self.distortions:
            kind = type(distortion)
            amounts = [
                value.item() if isinstance(value, np.generic) else value
                for value in asdict(distortion).values()
            ]
            found[names.get(kind, kind.__name__)] = amounts[0] if len(amounts) == 1 else amounts
        return found

    def __repr__(self) -> str:
        return f"Augmentation({self.shape}, {', '.join(map(repr, self.distortions))})"


def make_augmentation(image_shape: Sequence[int] | None, **amounts: Any) -> Augmentation:
    """The augmentation with each of `amounts` by its name in AUGMENTATIONS.

    `shift=2` is Shift(2), `elastic=[34, 4]` is Elastic(34, 4). Raises ParameterError for an unknown
    name, an amount out of its range, or data that are no images.
    """
    distortions = []
    for name, amount in amounts.items():
        kind = canonical(AUGMENTATIONS, name, "augmentation")
        values = list(amount) if isinstance(amount, list | tuple) else [amount]
        options = [field.name for field in fields(AUGMENTATIONS[kind])]
        if not 0 < len(values) <= len(options):
            raise ParameterError(f"{kind} takes {', '.join(options)}; got {values}")
        distortions.append(AUGMENTATIONS[kind](*values))
    return Augmentation(image_shape, *distortions)


def _sizes(image_shape: Sequence[int] | None) -> tuple[tuple[int, int], int]:
    """Height and width, and the number of channels; raises ParameterError for another shape."""
    sizes = tuple(image_shape) if isinstance(image_shape, Sequence) else ()
    whole = all(size in Range(at_least=1, integer=True) for size in sizes)
    if len(sizes) not in (2, 3) or not whole:
        raise ParameterError(
            "augmentation needs images of shape (height, width) or (height, width, channels), the "
            f"data set has {'no images' if image_shape is None else image_shape}; leave it out"
        )
    high, wide, channels = (int(size) for size in (*sizes, 1)[:3])
    return (high, wide), channels


def _blur_factor(size: int, sigma: float) -> Array:
    """U s of the blur along an axis, (size, r): those of its r directions that are not 0."""
    k = np.arange(size)
    far = np.arange(-math.ceil(8 * sigma), math.ceil(8 * sigma) + 1)
    total = np.exp(-(far**2) / (2 * sigma**2)).sum()  # sigma sqrt(2 pi), unless sigma is small
    blur = np.exp(-((k[:, np.newaxis] - k) ** 2) / (2 * sigma**2)) / total
    u, s, _ = np.linalg.svd(blur)
    return np.asarray((u * s)[:, s > 1e-4 * s[0]], np.float32)


AUGMENTATIONS: Mapping[str, type[Distortion]] = MappingProxyType(
    {
        "shift": Shift,
        "rotate": Rotate,
        "scale": Scale,
        "shear": Shear,
        "elastic": Elastic,
        "erase": Erase,
    }
)
"""The distortions by name."""
