"""Write the table of rooms in docs/architecture.md from the first lines of the modules.

python docs/make_rooms.py            # write it
python docs/make_rooms.py --check    # exit 1 if it is out of date
"""

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).with_name("architecture.md")
PACKAGE = Path(__file__).parents[1] / "scratchnet"
BEGIN, END = "<!-- rooms -->\n", "<!-- end of rooms -->\n"
FLOORS = (
    ("errors", "loops", "tables"),
    ("checks", "environment", "parameters", "registry"),
    ("functions", "initializers", "options", "optimizers", "parallel", "randomness", "schedules"),
    ("data",),
    ("layers", "storage"),
    ("networks",),
    ("formats", "training"),
    ("estimator", "inspection", "runs"),
    ("compare", "diagnosis"),
    ("report",),
    ("cli",),
    ("__main__",),
)
"""The rooms, floor by floor. A room is a folder or a module of the root; it imports from below."""


def first_line(path: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def table() -> str:
    """A row for every room, and one for every module in it."""
    lines = ["| floor | module | what it is for |", "|---:|---|---|"]
    for floor, rooms in enumerate(FLOORS):
        for room in rooms:
            folder = PACKAGE / room
            if not folder.is_dir():
                lines.append(f"| {floor} | `{room}` | {first_line(PACKAGE / f'{room}.py')} |")
                continue
            lines.append(f"| {floor} | **`{room}/`** | {first_line(folder / '__init__.py')} |")
            lines += [
                f"| | `{room}.{path.stem}` | {first_line(path)} |"
                for path in sorted(folder.glob("*.py"))
                if path.stem != "__init__"
            ]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The document with the table as it should be."""
    text = PAGE.read_text("utf-8")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.split(END)[1]}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table, or say whether it is up to date."""
    made = argparse.ArgumentParser(description="Write the table of rooms in docs/architecture.md.")
    made.add_argument("--check", action="store_true", help="exit 1 if it is out of date")
    if not made.parse_args(argv).check:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text("utf-8") != page():
        sys.exit(f"docs/{PAGE.name} is out of date; run python docs/{Path(__file__).name}")


if __name__ == "__main__":
    main()
