"""Write the differences between the estimators and scikit-learn's classes into docs/estimator.md.

python docs/make_estimator.py [--check]

tests/estimator/beside.py compares both over a grid of settings and inputs.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import sklearn

PAGE = Path(__file__).with_name("estimator.md")
BEGIN, END = "<!-- differences -->\n", "<!-- end of differences -->\n"
sys.path.append(str(PAGE.parents[1] / "tests" / "estimator"))

import beside  # noqa: E402

NOTED = 3
"""Settings that are named for an attribute that differs in some."""


def lines() -> Iterator[str]:
    """The section, line by line."""
    grid = [len(beside.SETTINGS) * len(beside.TARGETS[kind]) * 3 for kind in beside.KINDS]
    probes = [sum(1 for _ in beside.probes(kind)) for kind in beside.KINDS]
    yield f"Compared with scikit-learn {sklearn.__version__}: the fitted attributes of {sum(grid)}"
    yield f"fits, by name, type, shape and dtype, and the outcome of {sum(probes)} inputs and"
    yield "arguments, right and wrong. All that differs:"
    yield ""
    yield "| class | what | here | there |"
    yield "|---|---|---|---|"
    for kind in beside.KINDS:
        more = ", ".join(f"`{name}`" for name in beside.more_arguments(kind))
        yield f"| {kind} | more arguments | {more} | |"
        for name, here, there in beside.arguments(kind):
            yield f"| {kind} | `{name}` may be | {here} | {there} |"
        for (attribute, here, there), where in _attributes(kind).items():
            yield f"| {kind} | `{attribute}` ({where}) | {here} | {there} |"
        for name, here, there in beside.differences(kind):
            yield f"| {kind} | {name} | {here} | {there} |"


def _attributes(kind: str) -> dict[tuple[str, str, str], str]:
    """Where each difference of an attribute was seen, in words."""
    every = len(beside.SETTINGS) * len(beside.TARGETS[kind]) * 3
    found = defaultdict(list)
    for name, setting, *what in beside.attributes():
        if name == kind:
            found[tuple(what)].append(setting)
    return {
        what: "everywhere"
        if len(seen) == every
        else f"in {len(seen)} of {every}, for example: {'; '.join(seen[:NOTED])}"
        for what, seen in found.items()
    }


def main(arguments: list[str]) -> None:
    """Write the section, or with --check raise SystemExit if the page has another."""
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    text = before + BEGIN + "\n".join(lines()) + "\n" + END + rest.split(END)[1]
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif text != page:
        raise SystemExit(f"docs/{PAGE.name} is out of date; run python docs/make_estimator.py")


if __name__ == "__main__":
    main(sys.argv[1:])
