"""Tables as they come, as a matrix of numbers: what each column is, learnt from the training rows.

A frame of pandas or polars is taken column by column, and neither is imported; an array is a table
whose columns have no names. In the matrix numbers come first, then flags of 0 and 1, then the
numbers of categories, of which 0 is none that training saw.
"""

import datetime
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any, Self

import numpy as np

from scratchnet.checks import printable
from scratchnet.errors import DtypeError
from scratchnet.layers.numbers import column_quantiles
from scratchnet.parameters import Array
from scratchnet.tables import align

NUMBER, CATEGORY, DATE = "number", "category", "date"
FLAGS = 32
"""Levels of a category up to which each has a flag of its own."""
DAY = 86_400.0
"""Seconds."""
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SHOWN = 3
"""Levels that a summary names."""
DATE_PARTS = ("time", "month", "weekday", "hour")
"""The numbers that a date becomes; the first in days since 1970."""


@dataclass(frozen=True)
class Number:
    """How the numbers of a column are brought to one scale: (x - center) * factor, 0 for a gap."""

    center: float
    factor: float
    lowest: float
    highest: float
    """The range of training, which no later number leaves."""

    @classmethod
    def of(cls, values: Array, w: Array) -> Self:
        """The median, and 1 over the distance of the quartiles or half the range; 0 of none.

        `w` (N,) say how much each value counts.
        """
        known = np.isfinite(values)
        if not known.any():
            return cls(0.0, 0.0, 0.0, 0.0)
        shares, column = [0, 0.25, 0.5, 0.75, 1], values[known][:, np.newaxis]
        lowest, low, middle, high, highest = column_quantiles(column, 1.0, shares, w[known])[0]
        width = high - low if high > low else (highest - lowest) / 2
        factor = 1 / width if width > 0 and math.isfinite(1 / width) else 0.0
        return cls(float(middle), factor, float(lowest), float(highest))

    def apply(self, values: Array) -> Array:
        """The numbers of later rows; what is infinite is the end of the range."""
        inside = np.clip(values, self.lowest, self.highest)
        return np.where(np.isnan(values), 0.0, (inside - self.center) * self.factor)


@dataclass(frozen=True)
class Column:
    """What a column is, and how its values become numbers."""

    name: str
    kind: str
    numbers: tuple[Number, ...] = ()
    """Of a number itself, of a date for each of DATE_PARTS."""
    levels: tuple[str, ...] = ()
    """The categories, the most frequent first: number k + 1 stands for the k-th."""
    gaps: bool = False
    """Whether training had missing values, which have a flag, or a number behind all levels."""

    @classmethod
    def of(cls, name: str, values: Array, w: Array) -> Self:
        """What the column is in the training rows, whose weights are `w`.

        Raises DtypeError for what no table holds.
        """
        kind, read = read_values(values, name)
        if kind == CATEGORY:
            counts = Counter[str | None]()
            for level, weight in zip(read, w.tolist(), strict=True):
                counts[level] += weight
            gaps = counts.pop(None, None) is not None
            known = {level: count for level, count in counts.items() if level is not None}
            levels = sorted(known, key=lambda level: (-known[level], level))
            return cls(name, kind, (), tuple(levels), gaps)
        gaps = bool(np.isnan(read).any() and not np.isnan(read).all())
        each = [read] if kind == NUMBER else list(parts_of_dates(read))
        numbers = tuple(Number.of(part, w) for part in each)
        return cls(name, kind, numbers, (), gaps)

    @property
    def used(self) -> list[int]:
        """Which of its numbers vary."""
        return [k for k, one in enumerate(self.numbers) if one.factor]

    @property
    def size(self) -> int:
        """How many categories there are, a gap and what training did not see counted."""
        return 1 + len(self.levels) + self.gaps

    @property
    def n_flags(self) -> int:
        """How many flags it has."""
        if self.kind != CATEGORY:
            return int(self.gaps)
        return self.size - 1 if 2 < self.size <= FLAGS + 1 else 0

    @property
    def embedded(self) -> bool:
        """Whether its categories are numbers for an embedding."""
        return self.kind == CATEGORY and self.size > FLAGS + 1

    @cached_property
    def _numbers_of_levels(self) -> dict[str | None, int]:
        """The number of each category, and of a gap where training had some."""
        levels = (*self.levels, None) if self.gaps else self.levels
        return {level: k + 1 for k, level in enumerate(levels)}

    def apply(self, values: Array) -> tuple[list[Array], list[Array], list[Array]]:
        """Numbers, flags, and numbers of categories of later rows."""
        kind, read = read_values(values, self.name, self.kind)
        if self.kind == CATEGORY:
            codes = np.array([self._numbers_of_levels.get(level, 0) for level in read], np.float64)
            if self.embedded:
                return [], [], [codes]
            return [], [codes == k + 1.0 for k in range(self.n_flags)], []
        each = [read] if kind == NUMBER else list(parts_of_dates(read))
        numbers = [self.numbers[k].apply(each[k]) for k in self.used]
        return numbers, [np.isnan(read)] if self.gaps else [], []

    def describe(self) -> tuple[str, str, str]:
        """Name, kind, and what becomes of it, for a summary."""
        what = []
        if self.kind == CATEGORY:
            shown = ", ".join(self.levels[:SHOWN]) + (", ..." if len(self.levels) > SHOWN else "")
            into = "an embedding" if self.embedded else "flags" if self.n_flags else "nothing"
            levels = "level" if len(self.levels) == 1 else "levels"
            what.append(f"{len(self.levels):,} {levels} ({printable(shown)}): {into}")
        elif not self.used:
            what.append("holds one value or none: left out")
        elif self.kind == NUMBER:
            one = self.numbers[0]
            what.append(f"{one.lowest:g} to {one.highest:g}, median {one.center:g}")
        else:
            what.append(", ".join(DATE_PARTS[k] for k in self.used))
        if self.gaps:
            what.append("gaps have a flag" if not self.embedded else "gaps are a level")
        return printable(self.name), self.kind, "; ".join(what)


class TablePreparation:
    """How the rows of a table become a matrix of numbers."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)

    @classmethod
    def learn(cls, table: Any, w: Array | None = None) -> Self:
        """From the training rows; one with the weight k in `w` (N,) counts as k rows."""
        columns = list(columns_of(table))
        n = len(columns[0][1])
        w = np.ones(n) if w is None else w
        there = w > 0
        return cls([Column.of(name, values[there], w[there]) for name, values in columns])

    @property
    def sizes(self) -> tuple[int, int, list[int]]:
        """How many numbers and flags there are, and the sizes of the categories behind them.

        A table of which nothing varies has one flag, which is 0.
        """
        numbers = sum(len(one.used) for one in self.columns)
        flags = sum(one.n_flags for one in self.columns)
        sizes = [one.size for one in self.columns if one.embedded]
        return numbers, flags if numbers or flags or sizes else 1, sizes

    def apply(self, table: Any, dtype: str) -> Array:
        """The matrix of the rows of a table with the same columns, (N, all of `sizes`)."""
        numbers, flags, codes = list[Array](), list[Array](), list[Array]()
        rows = 0
        for column, (_, values) in zip(self.columns, columns_of(table), strict=True):
            rows = len(values)
            for whole, some in zip((numbers, flags, codes), column.apply(values), strict=True):
                whole.extend(some)
        if not (numbers or flags or codes):
            flags = [np.zeros(rows)]
        made = np.empty((rows, len(numbers) + len(flags) + len(codes)), dtype)
        for k, values in enumerate((*numbers, *flags, *codes)):
            made[:, k] = values
        return made

    def config(self) -> list[dict[str, Any]]:
        """All of it as plain values."""
        return [asdict(one) for one in self.columns]

    @classmethod
    def from_config(cls, config: Iterable[Mapping[str, Any]]) -> Self:
        """What `config` gave; raises TypeError or ValueError for anything else."""
        return cls([_read_column(one) for one in config])

    def __str__(self) -> str:
        """A line for each column: name, kind, what becomes of it."""
        head = ("column", "kind", "what becomes of it")
        return align([head, *(one.describe() for one in self.columns)], left=(0, 1, 2))


def _read_column(config: Mapping[str, Any]) -> Column:
    if set(config) != {one.name for one in fields(Column)}:
        raise ValueError(f"a column of a table has {sorted(config)}")
    numbers = tuple(Number(**{k: float(v) for k, v in one.items()}) for one in config["numbers"])
    levels = tuple(config["levels"])
    kind, gaps, name = config["kind"], config["gaps"], config["name"]
    texts = (name, kind, *levels)
    if not all(isinstance(text, str) for text in texts) or not isinstance(gaps, bool):
        raise TypeError("a column of a table has texts and a truth value")
    expected = {NUMBER: 1, DATE: len(DATE_PARTS), CATEGORY: 0}
    finite = all(math.isfinite(value) for one in numbers for value in vars(one).values())
    if len(numbers) != expected[kind] or not finite:
        raise ValueError(f"a column of the kind {kind!r} has {len(numbers)} numbers")
    return Column(name, kind, numbers, levels, gaps)


# Values.


def is_frame(table: Any) -> bool:
    """Whether it is a frame of pandas or polars."""
    return hasattr(table, "columns") and (hasattr(table, "iloc") or hasattr(table, "get_columns"))


def columns_of(table: Any) -> Iterator[tuple[str, Array]]:
    """Name and values of each column of a frame, or of an array (N, D)."""
    if not is_frame(table):
        for k in range(table.shape[1]):
            yield f"x{k}", table[:, k]
    elif hasattr(table, "iloc"):
        for k, name in enumerate(table.columns):
            column = table.iloc[:, k]
            if str(column.dtype) == "category":  # also where the categories are numbers
                levels = [*map(_level, column.cat.categories.tolist()), None]
                yield str(name), np.array(levels, dtype=object)[column.cat.codes.to_numpy()]
            else:
                yield str(name), column.to_numpy()
    else:
        for name, column in zip(table.columns, table.get_columns(), strict=True):
            yield str(name), column.to_numpy()


def read_values(values: Array, name: str, wanted: str | None = None) -> tuple[str, Any]:
    """What kind of values these are, and they themselves.

    Numbers are float64, dates seconds since 1970, both NaN where there is none; categories are a
    list of texts, None where there is none. `wanted` is the kind that they had in training.
    Raises DtypeError for anything else, naming the column.
    """
    kind = values.dtype.kind
    found: Any
    if kind in "biuf":
        read, found = NUMBER, values.astype(np.float64)
    elif kind == "m":
        read, found = NUMBER, _seconds(values, "m8[us]")
    elif kind == "M":
        read, found = DATE, _seconds(values, "M8[us]")
    elif kind in "OUST":
        read, found = _read_objects(values.tolist(), name)
    else:
        raise _refuse(name, values.dtype)
    if wanted is None or read == wanted:
        return read, found
    if wanted == CATEGORY and read == NUMBER:
        return CATEGORY, [None if math.isnan(value) else _level(value) for value in found.tolist()]
    if read == NUMBER and np.isnan(found).all():  # nothing but gaps is of any kind
        return wanted, found
    raise DtypeError(
        f"column {printable(name)!r} must hold a {wanted} as in training, got a {read}; bring it "
        "into the same form"
    )


def _seconds(values: Array, unit: str) -> Array:
    """Dates or durations in seconds, NaN for what is none."""
    ticks = values.astype(unit)
    return np.where(np.isnat(ticks), np.nan, ticks.astype(np.int64) / 1e6)


def _read_objects(items: list[Any], name: str) -> tuple[str, Any]:
    """Values of any types: numbers, dates or durations if all are, else texts."""
    kinds = set(map(type, items))
    if str in kinds and kinds <= {str, type(None)}:  # most of them, and so the quickest
        return CATEGORY, items
    items = [None if _is_gap(item) else item for item in items]
    kinds = {type(item) for item in items if item is not None}
    if all(issubclass(kind, Real | Decimal | np.bool_) for kind in kinds):
        return NUMBER, np.array([np.nan if item is None else _number(item) for item in items])
    if all(issubclass(kind, datetime.date) for kind in kinds):
        return DATE, np.array([np.nan if item is None else _timestamp(item) for item in items])
    if all(issubclass(kind, datetime.timedelta) for kind in kinds):
        seconds = (np.nan if item is None else item.total_seconds() for item in items)
        return NUMBER, np.array(list(seconds))
    for kind in kinds:
        if issubclass(kind, complex) or (
            hasattr(kind, "__len__") and not issubclass(kind, str | bytes)
        ):
            raise _refuse(name, kind.__name__)
    return CATEGORY, [None if item is None else _level(item) for item in items]


def _refuse(name: str, kind: object) -> DtypeError:
    return DtypeError(
        f"column {printable(name)!r} must hold numbers, texts or dates, got {kind}; make columns "
        "of its parts"
    )


def _is_gap(item: Any) -> bool:
    """Whether it stands for no value: None, NaN, NaT, pandas' NA."""
    if item is None:
        return True
    try:
        return bool(item != item)
    except (TypeError, ValueError):  # NA says that it does not know; an array says too much
        return type(item).__name__ == "NAType"


def _level(item: Any) -> str:
    """A category as a text: whole numbers are the same with and without a point."""
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _number(item: Any) -> float:
    """As a float; infinite where it is larger than all floats."""
    try:
        return float(item)
    except OverflowError:
        return math.inf if item > 0 else -math.inf


def _timestamp(item: datetime.date) -> float:
    """Seconds since 1970; without a zone it is taken for UTC."""
    if not isinstance(item, datetime.datetime):
        item = datetime.datetime(item.year, item.month, item.day)
    if item.tzinfo is None:
        item = item.replace(tzinfo=datetime.UTC)
    return (item - EPOCH).total_seconds()


def parts_of_dates(seconds: Array) -> Iterator[Array]:
    """DATE_PARTS of dates in seconds since 1970, NaN where there is none."""
    known = ~np.isnan(seconds)
    days = np.floor(np.where(known, seconds, 0) / DAY)
    months = days.astype("M8[D]").astype("M8[M]").astype(np.int64) % 12 + 1
    weekdays = (days + 3) % 7  # 1970-01-01 was a Thursday, the fourth day of its week
    hours = np.where(known, seconds, 0) % DAY / 3600
    for part in (seconds / DAY, months, weekdays, hours):
        yield np.where(known, part, np.nan)
