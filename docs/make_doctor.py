"""Write the table of rules in docs/doctor.md from the rules themselves.

python docs/make_doctor.py [--check]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scratchnet.diagnosis import RULES

PAGE = Path(__file__).with_name("doctor.md")
BEGIN, END = "<!-- rules -->\n", "<!-- end of rules -->\n"


def page() -> str:
    """The document with the table as it should be."""
    lines = ["| fault | signal | source |", "|---|---|---|"]
    lines += [f"| {name} | {rule.signal} | {rule.source} |" for name, rule in RULES.items()]
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    table = "\n".join(lines)
    return f"{before}{BEGIN}\n{table}\n\n{END}{rest.split(END)[1]}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table, or say whether it is up to date."""
    made = argparse.ArgumentParser(description="Write the table of rules in docs/doctor.md.")
    made.add_argument("--check", action="store_true", help="exit 1 if it is out of date")
    if not made.parse_args(argv).check:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text("utf-8") != page():
        raise SystemExit("docs/doctor.md is out of date; run python docs/make_doctor.py")


if __name__ == "__main__":
    main()
