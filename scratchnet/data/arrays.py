"""Arrays from files, put together as a data set: what bytes mean, what labels are, what fits."""

from collections.abc import Sequence

import numpy as np

from scratchnet.data.border import is_one_hot, transposed
from scratchnet.data.look import look_at_both, warn_of_data
from scratchnet.data.samples import Dataset, Samples
from scratchnet.errors import DataError, ScratchnetError
from scratchnet.parameters import Array

DELIMITERS = ",;\t|"
"""What stands between the columns of a CSV."""
PIXEL = 255
DARKEST = 127
"""Bytes of pixels go beyond; where the largest is at most this, it tells the range."""
GLANCE = 256
CHANNELS = (1, 3, 4)
"""How many numbers a pixel of a picture has: grey, colours, and colours with transparency."""
MANY, USED = 1000, 0.1
"""Of more than this many classes, this share must occur."""
UNIQUE = "np.unique(t, return_inverse=True)[1]"


def make_dataset(
    name: str,
    where: str,
    parts: Sequence[tuple[Array, Array]],
    *,
    seed: int,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    published: bool = False,
    columns: Sequence[str] | None = None,
    label: str | None = None,
) -> Dataset:
    """The data set of one part (x, t), of which `seed` holds out a fifth, or of train and test.

    `classes` is how many there are, if that is known, and `class_names` what they are called;
    `columns` are the names of the features of a table, `label` that of its classes.
    Labels may also be words, one-hot rows, a column, or whole numbers as floats. Bytes are pixels.
    Raises DataError, naming `where`, for what does not fit.
    """
    xs = [channels_last(x) for x, _ in parts]
    for x, t in parts:
        _check_lengths(where, x, t)
    labels, names = read_labels(where, [t for _, t in parts])
    if len(xs) == 2 and xs[0].shape[1:] != xs[1].shape[1:]:
        raise DataError(
            f"{where!r}: train images are {xs[0].shape[1:]}, test images {xs[1].shape[1:]}: "
            "files of different sets?"
        )
    scale = 1 / PIXEL if published else _scale_of(xs)
    try:
        made = [Samples(x, t, scale) for x, t in zip(xs, labels, strict=True)]
        train, test = made if len(made) == 2 else made[0].split(0.2, seed)
        class_names = names or class_names
        count = classes or _count_classes([part.t for part in made], class_names)
        shape = xs[0].shape[1:] if xs[0].ndim > 2 else None
        called = tuple(class_names) if class_names else None
        features = None if columns is None else tuple(columns)
        found = Dataset(name, train, test, count, shape, called, features, label)
    except ScratchnetError as error:
        raise DataError(f"{where!r}: {error}") from error
    if len(parts) == 2 and not published:
        warn_of_data(*look_at_both(train, test, "test samples"))
    return found


def channels_last(x: Array) -> Array:
    """Images (N, C, H, W) as (N, H, W, C), where only one of the two has few channels."""
    if x.ndim == 4 and x.shape[1] in CHANNELS and x.shape[3] not in CHANNELS:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return x


def read_labels(where: str, ts: Sequence[Array]) -> tuple[list[Array], list[str] | None]:
    """The labels of all parts as integers, and the names of the classes where they were words.

    Raises DataError, naming `where`, for targets that are no labels of classes.
    """
    ts = [t[:, 0] if t.ndim == 2 and t.shape[1] == 1 else t for t in ts]
    if all(t.ndim == 2 for t in ts):
        return [_from_one_hot(where, t) for t in ts], None
    joined = np.concatenate([np.ravel(t) for t in ts])
    if joined.dtype.kind not in "US":
        return [_whole(t) for t in ts], None
    words = (
        np.char.decode(joined, "utf-8", "backslashreplace") if joined.dtype.kind == "S" else joined
    )
    names, index = np.unique(words, return_inverse=True)
    refuse_identifiers(where, "the labels", len(names), len(words))
    ends = np.cumsum([len(t) for t in ts])[:-1]
    return np.split(index, ends), [str(name) for name in names]


def refuse_identifiers(where: str, what: str, n_classes: int, n: int) -> None:
    """Raise DataError where nearly every sample would be a class of its own."""
    if n > 20 and n_classes > n / 2:
        raise DataError(
            f"{where!r}: {what} must be classes, but {n} samples have {n_classes} different ones; "
            "name the column of the classes by --label, or number the classes"
        )


def _check_lengths(where: str, x: Array, t: Array) -> None:
    if x.ndim < 2 <= t.ndim and len(x) == len(t) and t.shape[1] > 1:
        raise DataError(f"{where!r}: x is {x.shape} and t is {t.shape}: are they swapped?")
    if x.ndim and t.ndim and len(x) != len(t):
        why = transposed(x.shape, len(t)) or "files of different sets?"
        raise DataError(f"{where!r}: {len(x)} images, {len(t)} labels: {why}")


def _from_one_hot(where: str, t: Array) -> Array:
    """The labels that one-hot rows stand for."""
    if not is_one_hot(t):
        raise DataError(
            f"{where!r}: t must be labels (N,), or one-hot (N, K) with one 1 a row, got other "
            f"values {t.shape}; the command line classifies, in Python a Trainer takes "
            "Samples(x, t) with values and the loss mean-squared-error"
        )
    return np.asarray(t.argmax(axis=1))


def _whole(t: Array) -> Array:
    """Floats as the integers that they are, if they are."""
    whole = t.dtype.kind == "f" and t.ndim == 1 and (t == np.floor(t)).all() and (t < 2**31).all()
    return t.astype(np.intp) if whole else t


def _scale_of(xs: Sequence[Array]) -> float:
    """The factor that brings bytes to 0..1: by the largest, if that is too dark for pixels."""
    if any(x.dtype != np.uint8 for x in xs):
        return 1.0
    for x in xs:  # of nearly all data a few rows are enough
        if x[:: max(1, len(x) // GLANCE)].max(initial=0) > DARKEST:
            return 1 / PIXEL
    largest = max(int(x.max(initial=0)) for x in xs)
    if largest > DARKEST or largest == 0:
        return 1 / PIXEL
    if largest > 1:
        warn_of_data(f"x holds bytes from 0 to {largest}, divided by {largest} and not by 255")
    return 1 / largest


def _count_classes(labels: Sequence[Array], names: Sequence[str] | None) -> int:
    """One more than the largest label; raises DataError where few of so many classes occur."""
    if names:
        return len(names)
    count = 1 + max(int(t.max()) for t in labels)
    used = len(np.unique(np.concatenate(labels)))
    if count > MANY and used < USED * count:
        raise DataError(
            f"labels must be classes 0, 1, 2, ..., got {used} different ones up to {count - 1}, "
            f"as identifiers are; {UNIQUE} numbers them"
        )
    return count
