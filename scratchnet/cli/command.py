"""What the commands beside training share: a parser from their options, and the model."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scratchnet.cli.options import WordOptions
from scratchnet.cli.parser import Known, Parser, add_flag, add_help, program
from scratchnet.errors import OutputError
from scratchnet.networks.weights import OF_RUN
from scratchnet.options import Options, Parsed, option, options_of


@dataclass(frozen=True, kw_only=True)
class FileOptions(WordOptions):
    """Where a command writes its file."""

    title = "output"

    out: str | None = option(
        None,
        Parsed(os.path.expanduser),
        "the file to write (default: one beside the model)",
        metavar="FILE",
    )


T = TypeVar("T", bound=Options)
MODEL = "a file of a network, or the folder of a run"


def parse_command(
    name: str,
    about: str,
    options: type[T],
    words: Sequence[str],
    add_words: Callable[[Any], Any],
    first: Sequence[str] = (),
) -> tuple[T, dict[str, Any]]:
    """The options, and by name the words without a flag, which `add_words` adds.

    -h shows the options in `first`. Exits with status 2 after one line where a value cannot be
    used.
    """
    known = options_of(options)

    def make(shown: Known) -> Parser:
        parser = Parser(known, prog=f"{program()} {name}", description=about)
        add_words(parser)
        group = parser.add_argument_group(options.title)
        for each, (default, about_it) in shown.items():
            add_flag(group, each, default, about_it)
        return parser

    parser = make(known)
    add_help(parser, lambda: make({each: known[each] for each in first or known}))
    given = parser.parse(words)
    bare = {each: given.pop(each) for each in list(given) if each not in known}
    return options(**given), bare


def add_model(parser: Any) -> None:
    """Add the word MODEL."""
    parser.add_argument("model", metavar="MODEL", help=MODEL)


def check_output(out: Path, *, model: str, given: bool) -> None:
    """Raise OutputError for a file that has no folder, or would replace the model or a link's end.

    In a run folder, which may be a stranger's, no link is followed; one that was `given` is.
    """
    if not out.absolute().parent.is_dir():
        raise OutputError(f"cannot write {str(out)!r}: there is no folder {str(out.parent)!r}")
    files = [model, os.path.join(model, OF_RUN)]
    if any(os.path.realpath(out) == os.path.realpath(one) for one in files):
        raise OutputError(f"{str(out)!r} is the model itself; choose another file by --out")
    if not given and os.path.islink(out):
        raise OutputError(f"{str(out)!r} is a link; remove it, or choose a file by --out")


def title_of(model: str) -> str:
    """What a page calls the model."""
    return os.path.basename(os.path.normpath(model)).removesuffix(".npz")
