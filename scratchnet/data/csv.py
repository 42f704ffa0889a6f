"""Data sets in a CSV file: a header, a column of labels, and all other columns numbers."""

import csv
import io
import math
import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.checks import is_number
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


def load_csv(path: str, seed: int, label: str | None = None) -> Dataset:
    """The data set in a CSV file, of which `seed` holds out a fifth for the test.

    The first line names the columns. `label` is the name of the one with the classes, which are
    numbers or words; by default "label", else the last. Raises DataError, naming line or column.
    """
    with open_regular(path) as raw:
        size = os.fstat(raw.fileno()).st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{path!r} has {size} bytes, over the limit of {MAX_BYTES}; use an .npz"
            )
        try:
            file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            names, delimiter = _read_header(path, file)
            column = _label_column(path, names, label)
            words, x = _read_columns(path, file, names, delimiter, column)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path!r} must be text in UTF-8, got the byte {error.object[error.start]:#04x}; "
                "save it as CSV UTF-8"
            ) from error
    if names[0] == "" and x.shape[1] > 1 and (x[:, 0] == np.arange(len(x))).all():
        warn_of_data("the first column has no name and counts the rows; it was left out")
        x = x[:, 1:]
    t, classes = _number_classes(path, names[column], words)
    return make_dataset(path, path, [(as_pixels(x), t)], seed=seed, class_names=classes)


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


def _read_header(path: str, file: io.TextIOWrapper) -> tuple[list[str], str]:
    """The names of the columns, and what is between them."""
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
    names = [name.strip() for name in names]
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


def _read_columns(
    path: str, file: io.TextIOWrapper, names: Sequence[str], delimiter: str, label: int
) -> tuple[list[str], Array]:
    """The column of the labels as text, and all others as numbers: integers, if all are."""
    start = file.tell()
    problem: Exception | None = None
    for kind in (np.int32, np.float64):  # reading integers takes an eighth of the time
        file.seek(start)
        parts = [("a", kind, (label,)), ("t", object), ("b", kind, (len(names) - label - 1,))]
        dtype = np.dtype([part for part in parts if part[-1] != (0,)])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                rows = np.loadtxt(
                    file,
                    dtype,
                    delimiter=delimiter,
                    comments=None,
                    quotechar='"',
                    converters={label: _word},
                    ndmin=1,
                )
        except UnicodeDecodeError:
            raise
        except UserWarning as error:  # there is no data
            raise DataError(f"{path!r} must have rows below its header, it has none") from error
        except (ValueError, DeprecationWarning, OverflowError) as error:
            problem = error
            continue
        x = np.concatenate(
            [rows[name] for name in ("a", "b") if name in (dtype.names or ())], axis=1
        )
        return rows["t"].tolist(), x
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
