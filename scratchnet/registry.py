"""Look a name up in a table, whatever its case, and guess what a misspelt one meant."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from scratchnet.errors import ParameterError

T = TypeVar("T")


def pick(table: Mapping[str, T], name: str, kind: str) -> T:
    """The entry of `table` called `name`, whatever the case; `kind` is the word for the message.

    >>> pick({"sgd": 1, "adam": 2}, "Adam", "optimizer")
    2

    Raises ParameterError for an unknown name, with the nearest known one and the whole list.
    """
    return table[canonical(table, name, kind)]


def canonical(table: Mapping[str, T], name: str, kind: str) -> str:
    """The key of `table` that `name` means; raises ParameterError as `pick` does."""
    known = ", ".join(table)
    if not isinstance(name, str):
        raise ParameterError(f"{kind} must be one of the names {known}, got {name!r}")
    by_spelling = {_plain(key): key for key in table}
    if _plain(name) in by_spelling:
        return by_spelling[_plain(name)]
    near = get_close_matches(_plain(name), by_spelling, n=1)
    hint = f"; did you mean {by_spelling[near[0]]!r}? The names are" if near else "; the names are"
    raise ParameterError(f"unknown {kind} {name!r}{hint}: {known}")


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")
