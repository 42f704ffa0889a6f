"""What a trained network is asked about: pictures, tables and arrays, as rows of its inputs."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchnet.data.arrays import CHANNELS, DELIMITERS, PIXEL, channels_last
from scratchnet.data.border import is_one_hot
from scratchnet.data.csv import read_rows
from scratchnet.data.drawings import STYLES, draw_like, find_ink, resize, shrink
from scratchnet.data.idx import read_idx
from scratchnet.data.npz import NUMBERS, read_npy, read_npz
from scratchnet.data.opening import BLOCK, MAX_BYTES, open_regular
from scratchnet.data.paths import CONVERSIONS, SUFFIXES, name_format
from scratchnet.data.pictures import FORMATS, pictures_in, read_picture
from scratchnet.data.preparation import Preparation
from scratchnet.data.samples import Dataset
from scratchnet.data.sets import DATASETS, load
from scratchnet.errors import DataError
from scratchnet.parameters import Array, Shape

GREY = np.array([0.299, 0.587, 0.114])
"""The shares of red, green and blue in grey (ITU-R BT.601)."""
PICTURES = 256
"""Pictures that are read together."""
VALUES = 2**26
"""Values of rows that are made together, at most."""
STDIN = "-"
KINDS = (
    "pictures, folders of them, .csv, .npz, .npy, IDX files, the name of a data set, or - for "
    "standard input"
)
PICTURE = {"a PNG picture", "a JPEG picture"}
X_NAMES = ("x_test", "x", "images", "X", "x_train")
"""Names of the inputs in an .npz, the first that is there."""


class Part(NamedTuple):
    """Some rows of inputs, what they are called, and their labels as texts, if they have any."""

    names: list[str]
    x: Array
    labels: list[str] | None
    pictures: bool = False
    """Whether they were pictures, which were prepared."""


class Wanted(NamedTuple):
    """The inputs that a network takes, and how they are made."""

    shape: Shape
    """Of a row: (D,), (H, W) or (H, W, C)."""
    preparation: Preparation
    as_is: bool = False
    """Whether pictures are left as they are, but for their scale."""
    label: str | None = None
    """The column of the labels in a CSV."""
    home: str | None = None
    """Where the files of data sets by name are."""

    @property
    def image_shape(self) -> Shape | None:
        """The shape of its images, if it takes any; (H, W) where they are grey."""
        shape = self.preparation.image_shape or self.shape
        shape = shape[:2] if shape[2:] == (1,) else shape
        return shape if len(shape) > 1 else None

    @property
    def wide(self) -> int:
        """The values of a row."""
        return int(np.prod(self.shape))


def read_inputs(paths: Sequence[str], wanted: Wanted) -> Iterator[Part]:
    """The inputs in these files and folders, in this order, a few hundred pictures at a time.

    Raises DataError, naming the file, for what cannot be read or does not fit the network.
    """
    for path in paths:
        if path == STDIN:
            with _standard_input() as copy:
                yield from _read(copy, STDIN, wanted)
        else:
            yield from _read(os.path.expanduser(path), path, wanted)


def describe(wanted: Wanted) -> str:
    """What is done with pictures, in words."""
    shape, style = wanted.image_shape, wanted.preparation.style
    assert shape is not None  # as there are pictures
    size = f"{shape[1]}x{shape[0]}"
    if wanted.as_is:
        return f"pictures are taken as they are, {size}"
    if style is None:
        return f"pictures are resized to {size}"
    (tall, wide), middle = STYLES[style].box, STYLES[style].centre
    return (
        f"pictures are prepared as the images of {style} were: grey, ink told from paper by the "
        f"border, {'slant taken out, ' if STYLES[style].normalized else ''}scaled into "
        f"{wide}x{tall} of {size} pixels, centre of {middle} in the middle; --as-is leaves them"
    )


def count_pictures(paths: Sequence[str]) -> int | None:
    """How many inputs there are, if all are pictures."""
    if any(path == STDIN for path in paths):
        return None
    count = 0
    for path in map(os.path.expanduser, paths):
        if os.path.isdir(path):
            count += len(pictures_in(Path(path)))
        elif os.path.splitext(path)[1].lower() in FORMATS:
            count += 1
        else:
            return None
    return count


@contextmanager
def _standard_input() -> Iterator[str]:
    """The path of a copy of standard input, while inside; raises DataError where it is too long."""
    if sys.stdin is None:
        raise DataError("standard input is closed; give the path of a file")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "input")
        total = 0
        with open(path, "wb") as file:
            while block := sys.stdin.buffer.read(BLOCK):
                total += len(block)
                if total > MAX_BYTES:
                    raise DataError(
                        f"standard input goes on after {MAX_BYTES} bytes; give the path of a file"
                    )
                file.write(block)
        yield path


def _read(path: str, name: str, wanted: Wanted) -> Iterator[Part]:
    """The inputs in one file or folder, which is called `name`."""
    if os.path.isdir(path) and pictures_in(Path(path)):
        yield from _read_folder(Path(path), wanted)
        return
    if os.path.isdir(path) or (name in DATASETS and not os.path.lexists(path)):
        yield _test_part(path, name, wanted)
        return
    with open_regular(path) as file:
        start = file.read(2**16)
    kind = name_format(path, start)
    suffix = os.path.splitext(path)[1].lower()
    if suffix in SUFFIXES and b"\0" not in start:
        kind = "CSV"
    if kind in PICTURE or suffix in FORMATS or _is_picture(start):
        yield Part([name], _from_picture(Path(path), wanted)[np.newaxis], None, pictures=True)
    elif kind == "an .npz":
        yield _from_npz(path, name, wanted)
    elif kind == "a NumPy .npy file":
        yield _part(name, read_npy(path), None, wanted)
    elif kind in ("an IDX file", "gzip"):
        yield _part(name, read_idx(path), _labels_beside(path), wanted)
    elif kind == "CSV" or (kind.startswith("nothing known") and _is_row(start, wanted.wide)):
        kept = wanted.preparation
        rows = read_rows(path, wanted.wide, wanted.label, kept.columns, kept.label)
        part = _part(name, rows.x, rows.labels, wanted)
        yield part if rows.names is None else part._replace(names=rows.names)
    else:
        cure = CONVERSIONS.get(kind, f"give {KINDS}")
        raise DataError(f"{name!r} looks like {kind}; {cure}")


def _is_picture(start: bytes) -> bool:
    """Whether it is one of the other formats of pictures, by its first bytes."""
    return (
        start.startswith((b"GIF8", b"P5\n", b"P6\n", b"II*\0", b"MM\0*"))
        or (start.startswith(b"BM") and start[6:10] == b"\0\0\0\0")
        or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")
    )


def _is_row(start: bytes, wide: int) -> bool:
    """Whether it is text, of which the first line has so many cells, or a label or a name more."""
    line = start.decode("utf-8-sig", "replace").strip().partition("\n")[0]
    cells = 1 + max(line.count(one) for one in DELIMITERS)
    return line.isprintable() and wide <= cells <= wide + 2 and b"\0" not in start


def _read_folder(folder: Path, wanted: Wanted) -> Iterator[Part]:
    """The pictures in a folder; where they lie in folders of classes, these are their labels."""
    paths = pictures_in(folder)
    labelled = all(path.parent != folder for path in paths)
    together = max(1, min(PICTURES, VALUES // wanted.wide))
    for k in range(0, len(paths), together):
        some = paths[k : k + together]
        x = np.stack([_from_picture(path, wanted) for path in some])
        labels = [path.parent.name for path in some] if labelled else None
        yield Part([str(path) for path in some], x, labels, pictures=True)


def _test_part(path: str, name: str, wanted: Wanted) -> Part:
    """The test samples of a data set, by its name or the folder of its IDX files."""
    if os.path.isdir(path) and not any("idx" in each for each in os.listdir(path)):
        raise DataError(f"{name!r} holds no pictures; give {KINDS}")
    dataset = load(path, home=wanted.home)
    x = dataset.test.x.reshape(-1, *dataset.input_shape)
    return _part(name, x, [_label_of(dataset, k) for k in dataset.test.t], wanted)


def _label_of(dataset: Dataset, k: int) -> str:
    return str(k) if dataset.class_names is None else dataset.class_names[k]


def _from_npz(path: str, name: str, wanted: Wanted) -> Part:
    members = read_npz(path, kinds=NUMBERS + "US")
    x_name = next((one for one in X_NAMES if one in members), None)
    if x_name is None and len(members) == 1:
        (x_name,) = members
    if x_name is None:
        raise DataError(
            f"{name!r} must hold an array x, or x_test; it holds {', '.join(members) or 'nothing'}"
        )
    end = x_name[x_name.find("_") :] if "_" in x_name else ""
    names = [f"{letter}{end}" for letter in "tyTY"] + [*"tyTY", "labels"]
    t = next((members[one] for one in names if one in members), None)
    return _part(name, members[x_name], None if t is None else _as_texts(name, t), wanted)


def _as_texts(name: str, t: Array) -> list[str]:
    """Labels of an array as texts; raises DataError for what is neither labels nor one-hot."""
    if t.ndim == 2 and t.shape[1] == 1:
        t = t[:, 0]
    if t.ndim == 2 and is_one_hot(t):
        t = t.argmax(axis=1)
    if t.ndim != 1 or (t.dtype.kind == "f" and not np.isfinite(t).all()):
        raise DataError(
            f"{name!r} must hold labels (N,), or one-hot (N, K) with one 1 a row, got other values "
            f"{t.shape}"
        )
    if t.dtype.kind == "b" or (t.dtype.kind == "f" and (np.abs(t) < 2**31).all()):
        t = t.astype(np.int64) if (t == np.floor(t)).all() else t
    return [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in t]


def _labels_beside(path: str) -> list[str] | None:
    """The labels in the IDX file that belongs to one of images, if it is there."""
    folder, name = os.path.split(path)
    other = name.replace("images", "labels").replace("idx3", "idx1")
    if other == name or not os.path.isfile(os.path.join(folder, other)):
        return None
    return [str(k) for k in read_idx(os.path.join(folder, other), ndim=1)]


def _part(name: str, x: Array, labels: list[str] | None, wanted: Wanted) -> Part:
    """Rows or images of an array as inputs."""
    if x.dtype.kind not in NUMBERS:
        raise DataError(f"{name!r} must hold numbers, got dtype {x.dtype}")
    if x.ndim < 2 or x.shape == wanted.image_shape:
        x = x[np.newaxis]
    x = channels_last(x)
    if not x.size or x.ndim > 4 or (x.ndim == 4 and x.shape[3] not in CHANNELS):
        raise DataError(
            f"{name!r} must hold rows (N, D) or images (N, H, W) or (N, H, W, C) of 1, 3 or 4 "
            f"channels, its shape is {x.shape}"
        )
    if labels is not None and len(labels) != len(x):
        raise DataError(f"{name!r}: {len(x)} inputs, {len(labels)} labels: files of two sets?")
    names = [f"{name}:{k + 1}" for k in range(len(x))]
    if int(np.prod(x.shape[1:])) == wanted.wide:
        return Part(names, _as_rows(x, wanted.preparation), labels)
    if x.ndim < 3 or wanted.image_shape is None or wanted.as_is:
        raise DataError(
            f"{name!r} must hold rows of {wanted.wide} values, its shape is {x.shape}; give what "
            "the network was trained on"
        )
    if not np.isfinite(x).all():
        raise DataError(f"{name!r} must hold finite numbers; remove or replace the others")
    x = x * PIXEL if x.dtype.kind == "f" and x.max() <= 1 else x
    if len(x) * wanted.wide > VALUES * 4:
        raise DataError(f"{name!r} holds too many images for so large a network; give a few")
    rows = np.stack([prepare_picture(one, wanted) for one in x])
    return Part(names, rows, labels, pictures=True)


def _as_rows(x: Array, preparation: Preparation) -> Array:
    """Raw values as rows of inputs; those that are in 0..1 already are not scaled again."""
    scaled = preparation.scale != 1.0 and x.dtype.kind == "f" and x.size and x.max() <= 1.0
    if scaled and preparation.image_shape is not None:
        x = x * preparation.white
    return preparation.rows(x)


def _from_picture(path: Path, wanted: Wanted) -> Array:
    if wanted.image_shape is None:
        raise DataError(
            f"{str(path)!r} is a picture, and the network takes {wanted.wide} values that are no "
            "image; give a .csv or an .npz"
        )
    picture = read_picture(path)
    shape = wanted.image_shape
    if wanted.as_is and picture.shape[:2] != shape[:2]:
        raise DataError(
            f"{str(path)!r} is {picture.shape[1]}x{picture.shape[0]}, the network takes "
            f"{shape[1]}x{shape[0]}; leave out --as-is"
        )
    return prepare_picture(picture, wanted)


def prepare_picture(picture: Array, wanted: Wanted) -> Array:
    """A picture (H, W) or (H, W, C) of bytes, or of any range, as a row of inputs.

    As the style of the network's images has it; without a style it is resized.
    """
    shape, preparation = wanted.image_shape, wanted.preparation
    assert shape is not None  # as callers have checked
    style = None if preparation.style is None else STYLES[preparation.style]
    channels = shape[2] if len(shape) > 2 else 1
    picture = _with_channels(picture, channels)
    if wanted.as_is:
        light = picture / PIXEL
        return np.asarray(light.ravel() * (preparation.white * preparation.scale), np.float32)
    picture = shrink(picture)
    if style is not None:
        light = draw_like(find_ink(picture)[0], style)
    else:
        light = resize(picture, (shape[0], shape[1])) / PIXEL
    row = light.ravel() * (preparation.white * preparation.scale)
    return np.asarray(row, np.float32)


def _with_channels(picture: Array, channels: int) -> Array:
    """The picture in grey (H, W), or with so many channels."""
    if picture.ndim == 3 and channels == 1:
        return np.asarray(picture[..., 0] if picture.shape[2] == 1 else picture[..., :3] @ GREY)
    if picture.ndim == 2:
        picture = picture[..., np.newaxis]
    if channels > 1 and picture.shape[2] == 1:
        return np.repeat(picture, channels, axis=2)
    return picture[..., :channels] if channels > 1 else picture[..., 0]
