"""Options, each declared once: a dataclass field with its default, its values and its words.

Every door takes them from there: constructors, the command line and its TOML files, the
estimators, the documents. A kind says which values an option may have; it checks a Python value
and parses a text.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from inspect import Parameter, signature
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from scratchnet.checks import Range, check_word
from scratchnet.errors import ParameterError
from scratchnet.registry import canonical, nearest

T = TypeVar("T")

TRAINING = frozenset({"train", "compare", "find-lr"})
"""The jobs of the command line that train a network; the fourth is "surface"."""
EVERY_JOB = TRAINING | {"surface"}


class Kind(Protocol):
    """The values that an option may have."""

    def check(self, name: str, value: Any) -> Any:
        """`value` in its usual form; raises ParameterError that begins with `name`."""

    def parse(self, text: str) -> Any:
        """The value that a text means; raises ParameterError."""


@dataclass(frozen=True)
class Names:
    """A name of a table, in any case; `kind` is the word for messages."""

    table: Mapping[str, Any]
    kind: str
    optional: bool = False
    ready: type | None = None
    """Objects of this class may stand in the place of a name."""

    def check(self, name: str, value: Any) -> Any:
        """The table's own spelling of the name, or the object."""
        if (value is None and self.optional) or (self.ready and isinstance(value, self.ready)):
            return value
        return canonical(self.table, value, self.kind)

    def parse(self, text: str) -> str | None:
        """The table's own spelling of the name, or None for "none" where that is allowed."""
        if self.optional and text.strip().lower() == "none":
            return None
        return canonical(self.table, text, self.kind)


@dataclass(frozen=True)
class Words:
    """One of a few words."""

    words: Sequence[str]
    optional: bool = False

    def check(self, name: str, value: Any) -> str | None:
        """The word; raises ParameterError that lists all of them."""
        if value is None and self.optional:
            return None
        return check_word(name, value, (*self.words, *["None"] * self.optional))

    def parse(self, text: str) -> str | None:
        """The word, or None for "none" where that is allowed."""
        if self.optional and text.strip().lower() == "none":
            return None
        if text not in self.words:
            allowed = ", ".join((*["none"] * self.optional, *self.words))
            raise ParameterError(f"must be one of {allowed}, got {text!r}")
        return text


@dataclass(frozen=True)
class WordOr:
    """A word, or what another kind allows."""

    word: str
    kind: Kind

    def check(self, name: str, value: Any) -> Any:
        """The word, or the value as the other kind has it."""
        if isinstance(value, str):
            return check_word(name, value, (self.word,))
        return self.kind.check(name, value)

    def parse(self, text: str) -> Any:
        """The word, in any case, or what the other kind reads."""
        return self.word if text.strip().lower() == self.word else self.kind.parse(text)


@dataclass(frozen=True)
class Parsed:
    """Whatever `read` makes of a text; Python values are checked by those who use them."""

    read: Callable[[str], Any]

    def check(self, name: str, value: Any) -> Any:
        """The value as it is."""
        return value

    def parse(self, text: str) -> Any:
        """The value that `read` makes of it."""
        return self.read(text)


class Switch:
    """On or off."""

    def check(self, name: str, value: Any) -> bool:
        """`value` as a bool; raises ParameterError for what is none."""
        if not isinstance(value, bool | np.bool_):
            raise ParameterError(f"{name} must be True or False, got {value!r}")
        return bool(value)

    def parse(self, text: str) -> bool:
        """True for "true", False for "false"."""
        if text not in ("true", "false"):
            raise ParameterError(f"must be true or false, got {text!r}")
        return text == "true"


@dataclass(frozen=True)
class Option:
    """The facts about an option besides its name and its default."""

    kind: Kind
    """The values it may have."""
    help: str
    """Its effect, in words for help, without a full stop."""
    metavar: str = "NAME"
    """The word for its value on the command line."""
    each: bool = False
    """Whether it is one value for all hidden layers, or a list with one for each."""
    listed: bool = False
    """Whether the command line takes several values of it."""
    short: str = ""
    """A short flag besides."""
    plain: bool = False
    """Whether a switch has no --no-name that overrules a file."""
    group: str = ""
    """The group of the command line's help it stands in, by default that of its class."""
    jobs: frozenset[str] = TRAINING
    """The jobs of the command line that it has an effect on."""
    resume: frozenset[str] = frozenset()
    """The jobs that may be resumed with another value."""
    shown: bool = False
    """Whether the command that repeats a run shows it even at its default."""
    place: str = ""
    """Where in a network the layer stands that `make` gives, a word of `networks.options`."""
    make: Callable[[Any, Any], Any] | None = None
    """Makes the layer from the option's value and the unit it stands in."""
    door: str = "all"
    """"library" for an option that the command line does not have."""


def option(default: Any, kind: Kind, help: str, **more: Any) -> Any:
    """A dataclass field for an option; `more` are fields of Option."""
    return field(default=default, metadata={"option": Option(kind, help, **more)})


def options_of(*classes: type) -> dict[str, tuple[Any, Option]]:
    """Every option of these dataclasses by name, with its default."""
    return {
        each.name: (each.default, each.metadata["option"])
        for one in classes
        for each in fields(one)
        if "option" in each.metadata
    }


def make_options(
    kind: type[T], given: Mapping[str, Any], known: Collection[str] | None = None
) -> T:
    """`kind(**given)`; raises TypeError with the nearest of the `known` names for another one."""
    known = options_of(kind) if known is None else known
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        near = nearest(unknown, known)
        hint = f"did you mean {near!r}?" if near else f"the options are {', '.join(known)}"
        raise TypeError(f"unknown option {unknown!r}; {hint}")
    return kind(**given)


def show_options(
    call: Any, options: Mapping[str, tuple[Any, Option]], positional: Sequence[str] = ()
) -> None:
    """Let `help` and `inspect.signature` show these options for `**options`."""
    own = signature(vars(call)["__init__"] if isinstance(call, type) else call)
    given = [p for p in own.parameters.values() if p.name != "self"]
    named = [p for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    after = [p for p in named if p.kind is p.KEYWORD_ONLY]
    kinds = dict.fromkeys(positional, Parameter.POSITIONAL_OR_KEYWORD)
    shown = [
        Parameter(name, kinds.get(name, Parameter.KEYWORD_ONLY), default=options[name][0])
        for name in sorted(options, key=lambda name: name not in kinds)
    ]
    first = [p for p in named if p not in after]
    call.__signature__ = own.replace(parameters=[*first, *shown, *after])


class Options:
    """The base of every dataclass of options: values are checked when it is made."""

    title: ClassVar[str] = ""
    """The group of the command line's help that they stand in."""

    def __post_init__(self) -> None:
        for name, (_, about) in options_of(type(self)).items():
            value = getattr(self, name)
            many = about.each or about.listed
            if many and not isinstance(value, str) and np.iterable(value):
                value = [about.kind.check(f"{name}[{k}]", one) for k, one in enumerate(value)]
            else:
                value = about.kind.check(name, value)
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class Seeded(Options):
    """The seed, an option of networks and of training."""

    title = "training"

    seed: int = option(
        0,
        Range(at_least=0, integer=True),
        "seed of all randomness",
        metavar="N",
        jobs=EVERY_JOB,
        shown=True,
    )


def parse_amounts(text: str) -> dict[str, Any] | None:
    """The values in "momentum=0.95,k=5" by name: numbers, None, or words; None for "none"."""
    if text.strip().lower() == "none":
        return None
    found: dict[str, Any] = {}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not (equals and name.isidentifier() and value):
            raise ParameterError(f"must be NAME=VALUE, for example momentum=0.95, got {item!r}")
        if name in found:
            raise ParameterError(f"must hold {name} once, it came twice")
        found[name] = _amount(value)
    return found


def _amount(text: str) -> Any:
    """An integer, a number, None, several of these for example 0.5:0.75, or the text itself."""
    if ":" in text:
        return [_amount(part) for part in text.split(":")]
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    return None if text.lower() == "none" else text
