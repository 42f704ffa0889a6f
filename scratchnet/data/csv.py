"""Data sets in a CSV file: a header, a column of labels, and all other columns numbers."""

import csv
import io
import math
import os
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from scratchnet.checks import is_number, quoted
from scratchnet.data.arrays import DELIMITERS, PIXEL, make_dataset, refuse_identifiers
from scratchnet.data.look import warn_of_data
from scratchnet.data.opening import MAX_BYTES, open_regular
from scratchnet.data.samples import Dataset
from scratchnet.errors import DataError
from scratchnet.parameters import Array
from scratchnet.registry import nearest

LABEL = "label"
"""The column of the labels, if there is one of this name and no other is named."""
LONGEST_LINE = 2**24
PIXELS = 64
"""Whole numbers 0..255 in at least so many columns are the bytes of pixels."""


class Rows(NamedTuple):
    """The rows of a CSV: numbers, and, where there are such columns, labels and names."""

    x: Array
    labels: list[str] | None
    names: list[str] | None


NAMES = ("id", "imageid", "index", "name", "file", "")
"""Columns that name rows, or count them, in any case."""


def read_rows(
    path: str,
    wide: int,
    label: str | None = None,
    features: Sequence[str] | None = None,
    of_classes: str | None = None,
) -> Rows:
    """The rows of a CSV for a network of `wide` inputs, with labels or without.

    `features` are the names of the columns that it was trained with, and `of_classes` that of the
    labels. Where a file has some of these names it must have all of them; other columns are left
    out.

    Where it has none, columns count by their order.
    A first line of numbers alone is a row; else it names the columns. Of one column more than
    inputs it is that of `label`, one of NAMES, or "label", else the last. Raises DataError.
    """
    with _open_text(path) as file:
        names, delimiter, _ = _first_line(path, file)
        if all(map(is_number, names)) and not _counts(names):
            names = [f"column {k + 1}" for k in range(len(names))]
            file.seek(0)
        if features is not None and set(features) & set(names) and len(features) == wide:
            if label is not None:
                of_classes = names[_label_column(path, names, label)]
            return _read_by_name(path, file, names, delimiter, features, of_classes)
        lower = [name.lower() for name in names]
        labels = _label_column(path, names, label) if label or LABEL in lower else None
        extra = len(names) - wide - (labels is not None)
        called = next((k for k, name in enumerate(lower) if name in NAMES and k != labels), None)
        called = called if extra > 0 else None
        extra -= called is not None
        if extra == 1 and labels is None:
            labels, extra = max(k for k in range(len(names)) if k != called), 0
        if extra:
            raise DataError(
                f"{path!r} has {wide + extra} columns of values, the network takes {wide}; give "
                "the columns that it was trained with, in their order"
            )
        texts = [k for k in (labels, called) if k is not None]
        x, words = _read_cells(path, file, names, delimiter, texts)
    return Rows(x, *(None if k is None else words[k] for k in (labels, called)))


def _read_by_name(
    path: str,
    file: io.TextIOWrapper,
    names: Sequence[str],
    delimiter: str,
    features: Sequence[str],
    label: str | None,
) -> Rows:
    """The columns of these names, in this order, whatever others there are."""
    lacking = [name for name in features if name not in names]
    if lacking:
        raise DataError(
            f"{path!r} must have the columns that the network was trained with, it lacks "
            f"{', '.join(map(quoted, lacking[:5]))}{' and more' if len(lacking) > 5 else ''}"
        )
    twice = next((name for name in features if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path!r} must have one column {twice!r}, it has several")
    labels = names.index(label) if label in names else None
    called = next((k for k, name in enumerate(names) if name.lower() in NAMES), None)
    called = (
        None if called == labels or (called is not None and names[called] in features) else called
    )
    texts = [k for k, name in enumerate(names) if name not in features]
    x, words = _read_cells(path, file, names, delimiter, texts)
    order = [name for name in names if name in features]
    x = x[:, [order.index(name) for name in features]]
    return Rows(x, *(None if k is None else words[k] for k in (labels, called)))


def _counts(names: Sequence[str]) -> bool:
    """Whether names are 0, 1, 2, ... or 1, 2, 3, ..., as pandas calls columns without names."""
    n = len(names)
    return n > 2 and list(names) in ([str(k) for k in range(n)], [str(k + 1) for k in range(n)])


def load_csv(path: str, seed: int, label: str | None = None) -> Dataset:
    """The data set in a CSV file, of which `seed` holds out a fifth for the test.

    The first line names the columns. `label` is the name of the one with the classes, which are
    numbers or words; by default "label", else the last. Raises DataError, naming line or column.
    """
    with _open_text(path) as file:
        names, delimiter = _read_header(path, file)
        column = _label_column(path, names, label)
        x, texts = _read_cells(path, file, names, delimiter, {column})
    words = texts[column]
    if names[0] == "" and x.shape[1] > 1 and (x[:, 0] == np.arange(len(x))).all():
        warn_of_data("the first column has no name and counts the rows; it was left out")
        x = x[:, 1:]
    once = len(set(names)) == len(names)
    others = [name for k, name in enumerate(names) if k != column][-x.shape[1] :]
    t, classes = _number_classes(path, names[column], words)
    parts, label = [(as_pixels(x), t)], names[column]
    return make_dataset(
        path,
        path,
        parts,
        seed=seed,
        class_names=classes,
        columns=others if once else None,
        label=label,
    )


def as_pixels(x: Array) -> Array:
    """x (N, D) as bytes, if it holds whole numbers up to 255 as the pixels of images do.

    As images (N, n, n), if they can be square.
    """
    if x.shape[1] < PIXELS or x.min() < 0 or not PIXEL // 2 < x.max() <= PIXEL:
        return x
    pixels, n = x.astype(np.uint8), math.isqrt(x.shape[1])
    if x.dtype.kind != "i" and (pixels != x).any():
        return x
    return pixels.reshape(-1, n, n) if n * n == x.shape[1] else pixels


@contextmanager
def _open_text(path: str) -> Iterator[io.TextIOWrapper]:
    """The text of a file; raises DataError for one that is too large or no UTF-8."""
    with open_regular(path) as raw:
        size = os.fstat(raw.fileno()).st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{path!r} has {size} bytes, over the limit of {MAX_BYTES}; use an .npz"
            )
        try:
            yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path!r} must be text in UTF-8, got the byte {error.object[error.start]:#04x}; "
                "save it as CSV UTF-8"
            ) from error


def _first_line(path: str, file: io.TextIOWrapper) -> tuple[list[str], str, str]:
    """The cells of the first line that is not empty, what is between them, and the line."""
    line = file.readline(LONGEST_LINE)
    while line and not line.strip():
        line = file.readline(LONGEST_LINE)
    if "\0" in line:
        raise DataError(f"{path!r} must be text in UTF-8, got NUL characters; save it as CSV UTF-8")
    if len(line) == LONGEST_LINE:
        raise DataError(f"{path!r} must be lines of text, its first has no end")
    delimiter = max(DELIMITERS, key=line.count)
    try:
        (names,) = csv.reader([line], delimiter=delimiter) if line else ([],)
    except (csv.Error, ValueError) as error:
        raise DataError(f"{path!r} has a header that is no CSV: {error}") from error
    return [name.strip() for name in names], delimiter, line


def _read_header(path: str, file: io.TextIOWrapper) -> tuple[list[str], str]:
    """The names of the columns, and what is between them."""
    names, delimiter, line = _first_line(path, file)
    if len(names) < 2:
        raise DataError(
            f"{path!r} must begin with the names of at least two columns, one of them the label, "
            f"got {line.strip()[:80]!r}"
        )
    if all(map(is_number, names)):
        raise DataError(
            f"{path!r} must begin with the names of the columns, got numbers; put a line such as "
            f"`{LABEL}{delimiter}x1{delimiter}x2` above them"
        )
    return names, delimiter


def _label_column(path: str, names: Sequence[str], label: str | None) -> int:
    """Where the labels are."""
    wanted = LABEL if label is None else label
    lower = [name.lower() for name in names]
    found = [k for k, name in enumerate(names) if name == wanted]
    found = found or [k for k, name in enumerate(lower) if name == wanted.lower()]
    if len(found) > 1:
        raise DataError(f"{path!r} must have one column {wanted!r}, it has {len(found)}")
    if found:
        return found[0]
    if label is not None:
        near = nearest(label, names)
        hint = f"did you mean {near!r}?" if near else f"the columns are {', '.join(names[:20])}"
        raise DataError(f"{path!r} has no column {label!r}; {hint}")
    return len(names) - 1


def _read_cells(
    path: str, file: io.TextIOWrapper, names: Sequence[str], delimiter: str, texts: Collection[int]
) -> tuple[Array, dict[int, list[str]]]:
    """All columns as numbers, integers if all are, but for `texts`, which are words, by number."""
    start = file.tell()
    problem: Exception | None = None
    ends = [-1, *sorted(texts), len(names)]  # between two words stand numbers
    for kind in (np.int32, np.float64):  # reading integers takes an eighth of the time
        file.seek(start)
        fields: list[Any] = []
        for k in range(1, len(ends)):
            fields.append((f"n{k}", kind, (ends[k] - ends[k - 1] - 1,)))
            fields.append((f"t{ends[k]}", object))
        dtype = np.dtype([field for field in fields[:-1] if field[-1] != (0,)])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                rows = np.loadtxt(
                    file,
                    dtype,
                    delimiter=delimiter,
                    comments=None,
                    quotechar='"',
                    converters=dict.fromkeys(texts, _word),
                    ndmin=1,
                )
        except UnicodeDecodeError:
            raise
        except UserWarning as error:  # there is no data
            raise DataError(f"{path!r} must have rows below its header, it has none") from error
        except (ValueError, DeprecationWarning, OverflowError) as error:
            problem = error
            continue
        numbers = [rows[name] for name in dtype.names or () if name.startswith("n")]
        x = np.concatenate(numbers, axis=1) if numbers else np.empty((len(rows), 0))
        return x, {k: rows[f"t{k}"].tolist() for k in texts}
    raise DataError(f"{path!r}: {_explained(str(problem), names)}") from problem


def _word(text: str) -> str:
    return text.strip()


def _explained(problem: str, names: Sequence[str]) -> str:
    """The words of NumPy's reader about a cell, with the name of its column and a cure."""
    cell = re.search(r"could not convert string (.*) to \w+ at row (\d+), column (\d+)", problem)
    if cell is None:
        return problem.partition(";")[0] + "; give every row as many cells as the header has names"
    text, row, column = cell[1], int(cell[2]), int(cell[3]) - 1
    empty = text == "''"
    fix = "fill it in, or drop the row" if empty else "number its words, or drop the column"
    what = "an empty cell" if empty else text
    return f"column {names[column]!r} must hold numbers, got {what} at row {row + 1}; {fix}"


def _number_classes(
    path: str, name: str, words: Sequence[str]
) -> tuple[Array, tuple[str, ...] | None]:
    """The labels as integers, and the names of the classes unless these are 0, 1, 2, ..."""
    found: list[Any] = sorted(set(words))
    if all(map(is_number, found)):
        found.sort(key=float)
        if any(float(word) != int(float(word)) for word in found if abs(float(word)) < 1e300):
            broken = next(word for word in found if float(word) != int(float(word)))
            raise DataError(
                f"{path!r}: column {name!r} must hold classes, got numbers such as {broken}; the "
                "command line classifies"
            )
    refuse_identifiers(path, f"column {name!r}", len(found), len(words))
    if "" in found:
        raise DataError(
            f"{path!r}: column {name!r} must have a label in every row, row {words.index('') + 1} "
            "has none; fill it in, or drop the row"
        )
    number = {word: k for k, word in enumerate(found)}
    plain = found == [str(k) for k in range(len(found))]
    return np.array([number[word] for word in words]), None if plain else tuple(found)
