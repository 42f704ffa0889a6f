"""Drawings of single characters, brought to the size and the place of those in a data set.

A network knows its characters in one size, at one place, light on dark. What somebody draws or
photographs has others: the ink is found, and moved to where the network expects it.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from scratchnet.parameters import Array

SIDE = 1024
"""Pixels of a side that are enough to find a character: larger pictures are made smaller first."""
FAINT = 0.25
"""The share of the darkest ink above which a pixel counts as ink, when its borders are looked for.

Noise of a camera and of JPEG lies below."""
STEEPEST = 1.0
"""The largest slant of handwriting, in columns a row: 45 degrees."""
SHARPNESS = -0.5
"""The a of Keys' cubic kernel, as in Pillow's BICUBIC."""


class Style(NamedTuple):
    """How the characters of a data set lie in its images."""

    shape: tuple[int, int]
    """The images."""
    box: tuple[int, int]
    """Height and width that the ink fits into, in pixels."""
    centre: str
    """What lies at `middle`: the centre of "mass" of the ink, or of its "box"."""
    middle: float
    """Where that is, down and across, in pixels; the first one ends at 1."""
    normalized: bool
    """Whether the slant is taken out, and height and width fill the box each by itself.

    The width does from half of it on.
    """


STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "mnist": Style((28, 28), (20, 20), "mass", 14.5, normalized=False),
        "digits": Style((8, 8), (8, 6), "box", 4.0, normalized=True),
    }
)
"""MNIST's (LeCun et al. 1998), and that of scikit-learn's digits, both as measured."""
LOOKED_AT = 500
"""How many images of a data set are looked at to find its style."""
ALIKE = 0.9
"""The share of them that must have the style."""


def find_ink(grey: Array) -> tuple[Array, bool]:
    """How much each pixel of a picture (H, W), any range, differs from its paper: from 0 to 1.

    And whether the ink is darker than the paper. The paper is what the border shows: the median of
    its pixels. Ink is all that is lighter than it, or all that is darker, whichever goes further.
    A picture that shows nothing has ink 0 everywhere.
    """
    grey = np.asarray(grey, np.float64)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    dark = paper - float(grey.min()) > float(grey.max()) - paper
    ink = np.maximum(paper - grey if dark else grey - paper, 0.0)
    largest = float(ink.max())
    return (ink / largest if largest else ink), dark


def box_of(ink: Array) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of the ink, the ends excluded; None where there is none."""
    seen = ink > FAINT
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def draw_like(ink: Array, style: Style) -> Array:
    """The ink (H, W) of a character as an image of the style; from 0 to 1.

    Its box is scaled to the style's size, its centre moved to the style's middle. Ink of 0
    everywhere stays so.
    """
    if style.normalized:
        ink = upright(ink)
    box = box_of(ink)
    if box is None:
        return np.zeros(style.shape)
    top, bottom, left, right = box
    inside = ink[top:bottom, left:right]
    if style.centre == "mass":
        y, x = centre_of_mass(inside)
    else:
        y, x = (bottom - top) / 2, (right - left) / 2
    tall, wide = style.box[0] / (bottom - top), style.box[1] / (right - left)
    if not style.normalized:
        tall = wide = min(tall, wide)
    elif wide > 2 * tall:  # a stroke, as of a 1, stays one
        wide = tall
    down = resampling(style.shape[0], bottom - top, tall, y, style.middle)
    across = resampling(style.shape[1], right - left, wide, x, style.middle)
    drawn = np.maximum(down @ inside @ across.T, 0.0)
    return np.asarray(drawn / drawn.max())


def upright(ink: Array) -> Array:
    """The ink without its slant: each row is moved so that x does not change with y.

    The slant is the regression of x on y, cov(x, y) / var(y), over the ink, from -1 to 1: a line
    that is nearly level has no slant. Margins are added, so that no ink is lost.
    """
    if not ink.any():
        return ink
    y, x = centre_of_mass(ink)
    down, across = np.arange(ink.shape[0]) + 0.5 - y, np.arange(ink.shape[1]) + 0.5 - x
    spread = float(down**2 @ ink.sum(axis=1))
    slant = float(down @ ink @ across) / spread if spread else 0.0
    slant = min(max(slant, -STEEPEST), STEEPEST)
    margin = math.ceil(abs(slant) * ink.shape[0])
    places = np.arange(ink.shape[1] + 2 * margin) - margin
    return np.array(
        [
            np.interp(places + slant * away, np.arange(ink.shape[1]), row, 0.0, 0.0)
            for away, row in zip(down, ink, strict=True)
        ]
    )


def centre_of_mass(ink: Array) -> tuple[float, float]:
    """Where the ink has its centre of mass, y and x in pixels; the first ends at 1."""
    total = float(ink.sum())
    y = float(ink.sum(axis=1) @ (np.arange(ink.shape[0]) + 0.5)) / total
    x = float(ink.sum(axis=0) @ (np.arange(ink.shape[1]) + 0.5)) / total
    return y, x


def shrink(picture: Array) -> Array:
    """A picture (H, W, ...) with no side longer than SIDE, by means of whole blocks of pixels."""
    for axis in (0, 1):
        n = picture.shape[axis]
        together = math.ceil(n / SIDE)
        if together > 1:
            kept = np.moveaxis(picture, axis, 0)[: n - n % together]
            blocks = kept.reshape(-1, together, *kept.shape[1:]).mean(axis=1, dtype=np.float32)
            picture = np.moveaxis(blocks, 0, axis)
    return picture


def resize(picture: Array, shape: tuple[int, int]) -> Array:
    """A picture (H, W) or (H, W, C) stretched to this shape, in the same range of values."""
    (height, width), (h, w) = shape, picture.shape[:2]
    down = resampling(height, h, height / h, h / 2, height / 2, ends=True)
    across = resampling(width, w, width / w, w / 2, width / 2, ends=True)
    stretched = np.tensordot(down, np.asarray(picture, np.float64), 1)
    stretched = np.moveaxis(np.tensordot(across, stretched, (1, 1)), 0, 1)
    return np.asarray(np.clip(stretched, picture.min(), picture.max()))


def resampling(
    n_out: int, n_in: int, scale: float, centre: float, middle: float, *, ends: bool = False
) -> Array:
    """The matrix (n_out, n_in) that scales a row of pixels and moves its `centre` to `middle`.

    Pixel i of the result shows the place p = centre + (i + 1/2 - middle) / scale of the row: the
    mean of its pixels j, weighted by Keys' cubic kernel of (j + 1/2 - p) * min(scale, 1). Where the
    result is smaller the kernel is as much wider, so that no pixel is passed over (Keys 1981).
    Beyond its ends the row is 0; with `ends` the weights of pixels that are there count alone.
    """
    places = centre + (np.arange(n_out) + 0.5 - middle) / scale
    reach = min(scale, 1.0)
    weights = _cubic(np.abs(np.arange(n_in) + 0.5 - places[:, None]) * reach)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True) if ends else weights * reach)


def _cubic(x: Array) -> Array:
    """Keys' kernel of x >= 0: 1 at 0, 0 at 1 and from 2 on, the sum over integers 1."""
    a = SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def find_style(x: Array, shape: tuple[int, ...]) -> str | None:
    """The name of the style that images of this shape, rows of x (N, D), have, if one is known.

    They must be light on dark. A few hundred are looked at.
    """
    for name, style in STYLES.items():
        if style.shape == shape:
            some = x[:: max(1, len(x) // LOOKED_AT)][:LOOKED_AT].reshape(-1, *shape)
            if np.mean(_have(style, some.astype(np.float64))) >= ALIKE:
                return name
    return None


def _have(style: Style, images: Array) -> Array:
    """Whether the ink of each image (N, H, W) has the size and the place of the style."""
    total = images.sum(axis=(1, 2))
    found = (images.min(axis=(1, 2)) >= 0) & (total > 0)
    seen = images > 0.1 * images.max(axis=(1, 2), keepdims=True)
    sides = []
    for axis in (1, 2):
        lines = seen.any(axis=3 - axis)  # the rows that have ink, then the columns
        n = lines.shape[1]
        first, last = lines.argmax(axis=1), n - lines[:, ::-1].argmax(axis=1)
        centre = (first + last) / 2
        if style.centre == "mass":
            weights = images.sum(axis=3 - axis)
            centre = weights @ (np.arange(n) + 0.5) / np.where(total > 0, total, 1)
        found &= np.abs(centre - style.middle) <= 1
        sides.append(last - first)
    (tall, wide), (most, across) = sides, style.box
    longest = tall if style.normalized else np.maximum(tall, wide)
    return np.asarray(found & (np.abs(longest - most) <= 1) & (wide <= across + 1))
