"""Look a name up in a table, whatever its case, and guess what a misspelt one meant."""

import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import import_module
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
    if isinstance(name, str) and name in table:
        return name
    known = ", ".join(table)
    if not isinstance(name, str):
        raise ParameterError(f"{kind} must be one of the names {known}, got {name!r}")
    by_spelling = {_plain(key): key for key in table}
    if _plain(name) in by_spelling:
        return by_spelling[_plain(name)]
    near = nearest(_plain(name), by_spelling)
    hint = f"; did you mean {by_spelling[near]!r}? The names are" if near else "; the names are"
    raise ParameterError(f"unknown {kind} {name!r}{hint}: {known}")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant: of those much alike the one with the same letters."""

    def letters_apart(match: str) -> int:
        mine, other = Counter(word), Counter(match)
        return (mine - other).total() + (other - mine).total()

    from difflib import get_close_matches  # a misspelt name alone needs it

    return min(get_close_matches(word, known), key=letters_apart, default=None)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def renamed_module(old: str, new: str) -> None:
    """Let `import old` give the module `new`, and warn once: what the module of an old name does.

    Both are dotted names. `sys.modules` keeps the new module under the old name, so that both
    names mean one module and its state.
    """
    sys.modules[old] = import_module(new)
    warnings.warn(
        f"{old} is now {new}; the old name works until version 0.3, import the new one",
        FutureWarning,
        stacklevel=3,
    )
