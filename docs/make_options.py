"""Write docs/options.md from the tables of options.

python docs/make_options.py            # write the file
python docs/make_options.py --check    # exit 1 if the file is out of date
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scratchnet.cli.options import CALL, KNOWN, OWNERS
from scratchnet.cli.parser import flag_of, typed
from scratchnet.options import Option, Switch, options_of

PAGE = Path(__file__).with_name("options.md")
TEXT = """\
<!-- Written by docs/make_options.py from the tables of options; edit those, then run it. -->
# The options

Each option is declared once and has one name at every door: on the command line (`--batch-norm`),
in a TOML file for `--config` (`batch-norm = true`), and in Python (`batch_norm=True`): those of
networks in `MultiLayerNet`, those of training in `Trainer`. The estimators have scikit-learn's
names where scikit-learn has one ([estimator.md](estimator.md)). A command-line option overrules the
file. "Resume" says which of them may change when a run or a comparison is resumed.

{tables}
"""


def table(owner: Any) -> str:
    """A heading and a table of the options that one class declares."""
    rows = [
        (
            f"`{name}`",
            _flag(name, about),
            _default(default),
            about.help.replace("|", "\\|"),
            _resume(name, about),
        )
        for name, (default, about) in options_of(owner).items()
        if name in owner.__annotations__ or name == "seed"
    ]
    head = ("option", "command line", "default", "meaning", "resume")
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join([f"## {owner.__doc__.splitlines()[0].rstrip('.')}", "", *lines])


def _flag(name: str, about: Option) -> str:
    if about.door == "library":
        return ""
    value = "" if isinstance(about.kind, Switch) else f" {about.metavar}"
    return f"`{flag_of(name)}{value}`"


def _default(default: Any) -> str:
    return "" if default is None else typed(default)


def _resume(name: str, about: Option) -> str:
    if name in CALL:
        return "each call has its own"
    return ", ".join({"train": "run", "compare": "comparison"}[job] for job in sorted(about.resume))


def page() -> str:
    """The whole of docs/options.md."""
    assert set(KNOWN) <= set(options_of(*OWNERS))
    return TEXT.format(tables="\n\n".join(map(table, OWNERS)))


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page, or say whether it is up to date."""
    made = argparse.ArgumentParser(description="Write docs/options.md from the tables of options.")
    made.add_argument("--check", action="store_true", help="exit 1 if it is out of date")
    if not made.parse_args(argv).check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"docs/{PAGE.name} is out of date; run python docs/{Path(__file__).name}")


if __name__ == "__main__":
    main()
