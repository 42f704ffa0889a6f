"""Data sets of pictures: a folder for each class, as torchvision and Keras lay them out."""

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.data.arrays import make_dataset
from scratchnet.data.drawings import SIDE, shrink
from scratchnet.data.opening import MAX_BYTES, open_regular
from scratchnet.data.samples import Dataset
from scratchnet.errors import DataError, ParameterError
from scratchnet.parameters import Array

FORMATS = {
    ".bmp": "BMP",
    ".gif": "GIF",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".pgm": "PPM",
    ".png": "PNG",
    ".ppm": "PPM",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
"""The suffixes of pictures, and the formats by which Pillow may read them."""
GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L"}
MOST_PIXELS = 2**26
"""Pixels of a single picture, that may be of any size."""
DARK = 128
TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")
HINT = "pip install 'scratchnet[images]'"


def holds_pictures(folder: Path) -> bool:
    """Whether it has a folder of pictures for each class, or train and test folders of such."""
    return any(_classes(part) for part in _parts(folder))


def load_pictures(folder: Path, seed: int) -> Dataset:
    """The pictures in one folder a class, of which `seed` holds out a fifth for the test.

    If there are the folders train and test (or val), each with the classes, these are the parts.
    All pictures must be of one size; they are grey if every one is, else red, green and blue.
    Raises DataError, naming the file, for what cannot be read, ParameterError without Pillow.
    """
    parts = _parts(folder)
    names = sorted({name for part in parts for name in _classes(part)})
    listed = [list(_pictures(part, names)) for part in parts]
    size, grey = _survey([path for files in listed for path, _ in files])
    arrays = [
        (_read(files, size, grey), np.array([k for _, k in files], dtype=np.intp))
        for files in listed
    ]
    return make_dataset(str(folder), str(folder), arrays, seed=seed, class_names=names)


def read_picture(path: Path) -> Array:
    """A picture of any size as bytes (H, W) if it is grey, else (H, W, 3).

    It is turned as its camera says. What is transparent becomes paper: white below ink that is
    dark, else black. Raises DataError, naming the file, for what cannot be read or is too large,
    ParameterError without Pillow.
    """
    with open_regular(path) as file, _opened(path, file) as picture:
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise DataError(
                f"{str(path)!r} is {width}x{height} pixels, over the limit of {MOST_PIXELS:,}; "
                "make it smaller"
            )
        try:
            return _pixels(picture)
        except DataError as error:
            raise DataError(f"{str(path)!r} cannot be read: {error}") from error
        except Exception as error:  # of damaged bytes Pillow raises many kinds
            raise DataError(f"{str(path)!r} is a damaged picture: {error}") from error


def _sixteen_bits(picture: Any) -> Array | None:
    """The greys of a picture of 16 bits as bytes, which Pillow would cut off at 255; else None.

    Raises DataError for one of 32 bits, of which nobody says where its range ends.
    """
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM"):
        return np.asarray(np.asarray(picture).astype(np.int32) >> 8, np.uint8)
    if picture.mode in ("I", "F"):
        raise DataError(f"it has the mode {picture.mode}, of 32 bits; save it with 8 or 16")
    return None


def _pixels(picture: Any) -> Array:
    from PIL import ImageOps

    deep = _sixteen_bits(picture)
    if deep is not None:
        return shrink(deep)
    picture = ImageOps.exif_transpose(picture)
    grey = picture.mode in GREY
    together = [math.ceil(n / SIDE) for n in picture.size]
    if max(together) > 1:
        clear = picture.has_transparency_data
        picture = picture.convert("RGBA" if clear else "L" if grey else "RGB").reduce(together)
    if not picture.has_transparency_data:
        return np.asarray(picture.convert("L" if grey else "RGB"))
    pixels = np.asarray(picture.convert("RGBA"), np.float64)
    colours, opaque = pixels[..., :3], pixels[..., 3:] / 255
    ink = (colours.mean(axis=2) * opaque[..., 0]).sum() / max(opaque.sum(), 1e-9)
    flat = colours * opaque + (255 if ink < DARK else 0) * (1 - opaque)
    return np.rint(flat[..., 0] if grey else flat).astype(np.uint8)


def write_picture(image: Array, file: Any) -> None:
    """Write an image (H, W) or (H, W, 3), from 0 to 1, as PNG."""
    from PIL import Image

    pixels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, and in the folders within, in the order of their names."""
    return list(_files(folder))


def _parts(folder: Path) -> list[Path]:
    """The folders of train and test in it, as far as they are there, or the folder itself."""
    found = []
    for names in (TRAIN, TEST):
        found += [folder / name for name in names if _classes(folder / name)][:1]
    return found or [folder]


def _classes(folder: Path) -> list[str]:
    """The names of the folders in it that hold pictures."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []
    return sorted(name for name in names if next(_files(folder / name), None) is not None)


def _files(folder: Path) -> Iterator[Path]:
    """The pictures in it, and in the folders within, in the order of their names."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in FORMATS and not name.startswith("."):
                yield Path(root, name)


def _pictures(folder: Path, names: Sequence[str]) -> Iterator[tuple[Path, int]]:
    for k, name in enumerate(names):
        for path in _files(folder / name):
            yield path, k


def _survey(paths: Sequence[Path]) -> tuple[tuple[int, int], bool]:
    """Width and height of all pictures, and whether every one is grey."""
    grey, first = True, None
    for path in paths:
        with open_regular(path) as file, _opened(path, file) as picture:
            if first is None:
                first = (path, picture.size)
            elif picture.size != first[1]:
                (w, h), (other_w, other_h) = first[1], picture.size
                raise DataError(
                    f"pictures must be of one size, {str(first[0])!r} is {w}x{h}, {str(path)!r} is "
                    f"{other_w}x{other_h}; resize them, for example "
                    f"PIL.Image.open(path).resize(({w}, {h})).save(path)"
                )
            grey = grey and picture.mode in GREY
    assert first is not None  # as there are classes only where there are pictures
    width, height = first[1]
    total = width * height * len(paths) * (1 if grey else 3)
    if total > MAX_BYTES:
        raise DataError(
            f"{len(paths)} pictures of {width}x{height} are {total} bytes, over the limit of "
            f"{MAX_BYTES}; make them smaller"
        )
    return (width, height), grey


def _read(files: Sequence[tuple[Path, int]], size: tuple[int, int], grey: bool) -> Array:
    """The pictures as bytes (N, height, width), or (N, height, width, 3)."""
    width, height = size
    pixels = np.empty((len(files), height, width, *(() if grey else (3,))), dtype=np.uint8)
    for k, (path, _) in enumerate(files):
        with open_regular(path) as file, _opened(path, file) as picture:
            try:
                deep = _sixteen_bits(picture)
                if deep is None:
                    deep = np.asarray(picture.convert("L" if grey else "RGB"))
                pixels[k] = deep
            except Exception as error:  # of damaged bytes Pillow raises many kinds
                raise DataError(f"{str(path)!r} is a damaged picture: {error}") from error
    return pixels


def _opened(path: Path, file: Any) -> Any:
    """The picture, of which only the header has been read."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ParameterError(f"pictures need Pillow: {HINT}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are looked at
            return Image.open(file, formats=sorted(set(FORMATS.values())))
    except UnidentifiedImageError as error:
        raise DataError(f"{str(path)!r} is no picture that can be read; remove it") from error
    except Exception as error:  # of damaged bytes Pillow raises many kinds
        raise DataError(f"{str(path)!r} is a damaged picture: {error}") from error
