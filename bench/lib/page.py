"""The page of figures, performance.md in docs/measurements, and the file of all of them beside it.

The page has sections that scripts fill in, each between a line `<!-- name -->` and a line
`<!-- /name -->`; the file has one entry for each script.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.report import parser

DOCS = Path(__file__).resolve().parents[2] / "docs" / "measurements"
PAGE = DOCS / "performance.md"
FIGURES = DOCS / "performance.json"
LINES_DEEP = 4  # deeper than this, a value is written on a line of its own


def page_parser(description: str) -> argparse.ArgumentParser:
    """An argument parser with the options of all scripts that write to the page."""
    made = parser(description)
    made.set_defaults(json=FIGURES)
    made.add_argument(
        "--page",
        metavar="FILE",
        type=Path,
        default=PAGE,
        help=f"default docs/measurements/{PAGE.name}",
    )
    made.add_argument(
        "--dry-run", action="store_true", help="print the figures, but write neither file"
    )
    return made


def read_figures(path: Path) -> dict[str, Any]:
    """Everything that was measured before; nothing where there is no such file."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} cannot be read as JSON: {error}") from None
    return found


def write_figures(path: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Put the figures of one script in the place of those that it wrote before."""
    everything = read_figures(path) | {name: figures}
    path.write_text(_spread_out(everything) + "\n", encoding="utf-8")


def write_section(path: Path, name: str, text: str) -> None:
    """Put `text` between the two lines that mark the section `name` of the page."""
    first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SystemExit(f"{path} cannot be read: {error.strerror}") from None
    if page.count(first) != 1 or page.count(last) != 1:
        raise SystemExit(f"{path} must have one line {first.strip()} and one {last.strip()}")
    head, rest = page.split(first)
    _, tail = rest.split(last)
    path.write_text(f"{head}{first}\n{text.strip()}\n\n{last}{tail}", encoding="utf-8")


def _spread_out(value: Any, deep: int = 0) -> str:
    """JSON with its outer levels spread over lines, so that a difference shows what changed."""
    if deep == LINES_DEEP or not isinstance(value, dict | list) or not value:
        return json.dumps(value)
    pad = " " * (deep + 1)
    if isinstance(value, list):
        items = [_spread_out(item, LINES_DEEP) for item in value]
        brackets = "[]"
    else:
        items = [f"{json.dumps(key)}: {_spread_out(item, deep + 1)}" for key, item in value.items()]
        brackets = "{}"
    return f"{brackets[0]}\n{pad}" + f",\n{pad}".join(items) + f"\n{' ' * deep}{brackets[1]}"
