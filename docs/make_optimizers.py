"""Write docs/optimizers.md from the docstrings and fields of the optimizers.

    python docs/make_optimizers.py            # write the file
    python docs/make_optimizers.py --check    # exit 1 where the file is out of date

After adding an optimizer or changing a docstring, run it and commit both. For that a docstring in
`scratchnet/optimizers/` keeps to a form, whose parts come in this order:

- `Name: what it does.` The name ends at the first colon.
- Sentences with ` <- ` are formulas, their parts set apart by semicolons. Words go elsewhere. The
  overview shows the parts with an arrow, the section of the optimizer all of them.
- All other sentences are remarks: where eps is, whose defaults these are, what is left out.
- `Use it ...` is one sentence: when to choose this optimizer.
- What follows is the paper; the first year in it is the optimizer's.

A sentence ends at a point before a space. Ranges and defaults are those of the dataclass fields.
A schedule's docstring begins with a paragraph `formula: what it does (paper, year).`, of which all
but one may be missing; `Use it ...` may follow, or a paragraph with the paper. What memory an
optimizer takes is measured: it takes a step on a small matrix, and what it keeps is counted.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.optimizers import OPTIMIZERS, Optimizer
from scratchnet.schedules import SCHEDULES, Schedule, make_schedule

PAGE = Path(__file__).with_name("optimizers.md")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
SHAPE = (7, 4)
"""Of the matrix whose memory is counted: no sum of its sides is a multiple of its size."""


@dataclass(frozen=True)
class Entry:
    """What the docstring of an optimizer says, taken apart."""

    name: str
    kind: type[Optimizer]
    what: str
    formulas: list[str]
    remarks: list[str]
    use: str
    paper: str

    @property
    def year(self) -> int:
        """The first year that the paper's line names."""
        return int(YEAR.findall(self.paper)[0])

    @property
    def updates(self) -> list[str]:
        """The formulas that change something, without those that define what they speak of."""
        return [one for one in self.formulas if " <- " in one]


def entry(name: str, kind: type[Optimizer]) -> Entry:
    """The entry of an optimizer; raises ValueError where its docstring has not the form."""
    text = " ".join((inspect.getdoc(kind) or "").split())
    title, colon, body = text.partition(": ")
    before, use, after = body.partition("Use it ")
    sentences = _sentences(before)
    when, _, paper = after.partition(". ")
    formulas = [one for one in sentences if " <- " in one]
    if not (title and colon and formulas and use and YEAR.search(paper)):
        raise ValueError(f"the docstring of {kind.__name__} is not `Name: ... <- ... Use it ...`")
    rest = [one for one in sentences if " <- " not in one]
    what = rest.pop(0) if rest and rest[0] == sentences[0] else title
    parts = [part.strip() for one in formulas for part in one.rstrip(".").split(";")]
    return Entry(name, kind, what.rstrip("."), parts, rest, when.rstrip("."), paper)


def entries() -> list[Entry]:
    """All optimizers by year, and within a year in the order of their table."""
    return sorted((entry(*one) for one in OPTIMIZERS.items()), key=lambda one: one.year)


def memory(kind: type[Optimizer]) -> str:
    """Numbers kept for each parameter between steps, measured on a matrix: in arrays of its size.

    Of a wrapper, what it adds to its inner optimizer's.
    """
    optimizer = kind()
    params, grads = {"W": np.ones(SHAPE)}, {"W": np.ones(SHAPE)}
    optimizer.update(params, grads, lambda: 1.0)
    own = _count(optimizer.slot_values)
    whole, rest = divmod(own, params["W"].size)
    if rest not in {0, sum(SHAPE)}:
        raise ValueError(f"{kind.__name__} keeps {own} numbers for a matrix of {SHAPE}")
    words = [str(whole)] if whole or not rest else []
    words += ["rows + columns"] if rest else []
    return " + ".join(words) + (" + inner's" if hasattr(optimizer, "inner") else "")


def _count(memory: dict[str, dict[str, np.ndarray]]) -> int:
    return sum(array.size for arrays in memory.values() for array in arrays.values())


def _sentences(text: str) -> list[str]:
    """The sentences, each with its point; three points in a formula end none."""
    return [one for one in re.split(r"(?<=[^.]\.)\s+", text.strip()) if one]


# Markdown


def prose(text: str) -> str:
    """Words as Markdown: what it would take for its own is escaped, `code` is left as it is."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        one if one.startswith("`") else re.sub(r"([_*<\[\]])", r"\\\1", one) for one in pieces
    )


def code(text: str) -> str:
    """A formula in backticks; its own backticks go."""
    return f"`{text.replace('`', '')}`"


def cell(text: str) -> str:
    """Markdown for a cell of a table, where a pipe is escaped even in code."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([cell(one) for one in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# The page


def overview(every: Sequence[Entry]) -> str:
    """The table of all optimizers: a line for each, its name leading to its section."""
    rows = [
        [
            str(one.year),
            f"[{one.name}](#{one.name})<br>`{one.kind.__name__}`",
            "<br>".join(code(part) for part in one.updates),
            memory(one.kind),
            _default(fields(one.kind)[0]),
            _options(one.kind, "<br>"),
            prose(one.use),
            prose(one.paper.rstrip(".")),
        ]
        for one in every
    ]
    head = ["year", "name", "update", "memory", "`lr`", "other options", "use it", "paper"]
    return table(head, rows)


def section(one: Entry) -> str:
    """All that is known of an optimizer."""
    options = _options(one.kind, ", ") or "none of its own"
    name = one.kind.__name__
    what = "" if one.what == name else f": {prose(_small(one.what))}"
    parts = [
        f"### {one.name}",
        f"`{name}`, {one.year}{what}.",
        "```text\n" + "\n".join(part.replace("`", "") for part in one.formulas) + "\n```",
        prose(" ".join(one.remarks)),
        f"Options: `lr` {_default(fields(one.kind)[0])}; {options}.",
        f"Use it {prose(one.use)}. {prose(one.paper)}",
    ]
    return "\n\n".join(part for part in parts if part)


def _small(text: str) -> str:
    """A sentence as it goes on after a colon: names keep their capital, other words lose it."""
    if not text:
        return ""
    names = {kind.__name__ for kind in OPTIMIZERS.values()}
    first = re.split(r"[ ,.']", text)[0]
    return text if first in names or first[1:] != first[1:].lower() else text[0].lower() + text[1:]


def _options(kind: type[Optimizer], between: str) -> str:
    """The options that not every optimizer has, or has with this default: value and range."""
    own = [one for one in fields(kind)[1:] if one.name not in COMMON or _differs(one)]
    return between.join(
        f"`{one.name}` {_default(one)}" + (f" ({prose(_range(one))})" if _range(one) else "")
        for one in sorted(own, key=lambda one: one.kw_only is True)
    )


def _differs(one: Field[Any]) -> bool:
    return bool(one.default != Optimizer.__dataclass_fields__[one.name].default)


def _default(one: Field[Any]) -> str:
    if one.default_factory is not MISSING:
        return f"`{type(one.default_factory()).__name__}()`"
    if one.default is None:
        return "inner's" if one.name == "lr" else "none"
    return f"{one.default:g}" if isinstance(one.default, float) else f"{one.default:,}"


def _range(one: Field[Any]) -> str:
    """The range of a field, short: a number is finite in any case."""
    words = str(one.metadata.get("range", ""))
    return words.replace("a finite number ", "").replace("an integer", "integer")


COMMON = [one.name for one in fields(Optimizer) if one.kw_only]


def common() -> str:
    """Options of every optimizer: the docstring's words and a table of the fields."""
    words = (inspect.getdoc(Optimizer) or "").split("\n\n")[1].partition(". ")[2]
    rows = [
        [f"`{one.name}`", _default(one), prose(_range(one).removesuffix(" or None"))]
        for one in fields(Optimizer)
        if one.name in COMMON
    ]
    return f"{prose(' '.join(words.split()))}\n\n{table(['option', 'default', 'range'], rows)}"


def schedules() -> str:
    """The table of schedules; a column that has nothing to say is left out."""
    head = ["name", "factor of `lr`", "in words", "options", "warm-up", "use it", "paper"]
    rows = [_schedule(name) for name in SCHEDULES]
    said = [k for k in range(len(head)) if any(row[k] for row in rows)]
    return table([head[k] for k in said], [[row[k] for k in said] for row in rows])


def _schedule(name: str) -> list[str]:
    """The row of a schedule."""
    made = make_schedule(name)
    source: Callable[..., Any] = SCHEDULES[name] if type(made) is Schedule else type(made)
    formula, words, use, paper = schedule_words(inspect.getdoc(source) or "")
    options = [
        f"`{one.name}` {_value(one.default)}"
        for one in inspect.signature(source).parameters.values()
        if one.name not in {"p", "warmup"}
    ]
    return [
        f"`{name}`",
        code(formula) if formula else "",
        prose(_small(words)),
        "<br>".join(options),
        f"{made.warmup:g}",
        prose(use),
        prose(paper),
    ]


def schedule_words(text: str) -> tuple[str, str, str, str]:
    """Formula, words, use and paper of the docstring of a schedule; any of them may be empty."""
    before, _, after = text.partition("Use it ")
    first, *more = (" ".join(part.split()) for part in before.split("\n\n"))
    found = re.search(r" \(([^()]*\b(?:19|20)\d\d\b[^()]*)\)\.$", first)
    papers = [found[1]] if found else [one for one in more if YEAR.search(one)]
    first = (first[: found.start()] if found else first).rstrip(".")
    formula, colon, words = first.partition(": ")
    if not colon and re.match(r"[`A-Z]", first):
        formula, words = "", first
    use = " ".join(after.split()).partition(". ")[0]
    return formula, words, use.rstrip("."), "".join(papers[:1]).rstrip(".")


def _value(default: Any) -> str:
    if isinstance(default, tuple):
        return ", ".join(map(_value, default))
    return f"{default:.3g}"


def page() -> str:
    """The whole of docs/optimizers.md."""
    every = entries()
    rules = [one for one in every if not hasattr(one.kind(), "inner")]
    wrappers = [one for one in every if hasattr(one.kind(), "inner")]
    return PAGE_TEXT.format(
        count=len(every),
        overview=overview(every),
        common=common(),
        schedules=schedules(),
        rules="\n\n".join(map(section, rules)),
        wrappers="\n\n".join(map(section, wrappers)),
    )


PAGE_TEXT = """\
<!-- Written by docs/make_optimizers.py from the docstrings; edit those, then run it. -->
# The optimizers

All {count} of them, by year. w are the parameters, g is the gradient of the loss, t the number of
the step, from 1 on; `<-` changes what is on its left, `=` only names it. What is kept from step to
step starts at 0 unless it says otherwise. Operations are value by value, but for norms, means and
products of matrices. How each does on the same problem, and what a step of it costs:
[optimizers_on_digits.md](measurements/optimizers_on_digits.md).

- [Overview](#overview)
- [Examples](#examples)
- [Options of every optimizer](#options-of-every-optimizer)
- [Schedules](#schedules)
- [The rules](#the-rules)
- [Wrappers](#wrappers)

## Overview

Memory is what is kept between steps, in arrays as large as the parameters; parameters and gradients
are not counted. A name leads to the whole formula and to remarks.

{overview}

## Examples

By name, with options:

```python
from scratchnet import MultiLayerNet, Trainer, load

digits = load("digits")
network = MultiLayerNet(64, 100, 10)
trainer = Trainer(network, digits.train, optimizer="momentum", lr=0.05, momentum=0.95)
for epoch in trainer.run(epochs=3):
    print(epoch.number, round(epoch.loss, 3))
```

As an object, with a schedule, weight decay, clipping and an average of the path for evaluation:

```python
from scratchnet import MultiLayerNet, Trainer, load
from scratchnet.optimizers import EMA, Adam
from scratchnet.schedules import Schedule

digits = load("digits")
network = MultiLayerNet(64, 100, 10)
optimizer = EMA(inner=Adam(0.003, weight_decay=0.01, clip_norm=1.0), decay=0.99)
schedule = Schedule("cosine", warmup=0.1)
trainer = Trainer(network, digits.train, optimizer=optimizer, schedule=schedule, batch_size=50)
list(trainer.run(epochs=5))
print(trainer.evaluate(digits.test)[1] > 0.9)
```

On arrays of your own, without a network:

```python
import numpy as np

from scratchnet.optimizers import make_optimizer

params = {{"w": np.array([8.0, -3.0])}}
optimizer = make_optimizer("adam", lr=0.1)
for _ in range(300):
    optimizer.update(params, {{"w": params["w"] - 3}})  # the gradient of (w - 3)^2 / 2
print(params["w"].round(2))
```

From the command line; `python train.py` in a checkout is `scratchnet` where it is installed:

```sh
python train.py --optimizer momentum --lr 0.05 --set momentum=0.95
python train.py --optimizer adamw --weight-decay 0.05 --schedule cosine --warmup 0.1
python train.py --clip-norm 1 --ema 0.99 --schedule one-cycle --schedule-set end=0.1
python train.py --optimizer lookahead --set inner=adam,k=10,alpha=0.8
python train.py --optimizer lbfgs --epochs 10
```

## Options of every optimizer

{common}

## Schedules

A schedule multiplies the learning rate by a factor, step by step. p is the progress of training,
from 0 at its start to 1 at its end. Before each of them there may be a warm-up, a share of training
in which the factor rises from 0 in a straight line; the schedule then runs over what is left.

{schedules}

## The rules

{rules}

## Wrappers

Optimizers around another one, `inner`. Options of both, for example `lr` or `weight_decay`, are the
inner one's unless given to the wrapper. They can be put around each other.

{wrappers}
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page, or say whether it is up to date."""
    made = argparse.ArgumentParser(description="Write docs/optimizers.md from the docstrings.")
    made.add_argument("--check", action="store_true", help="exit 1 where it is out of date")
    if not made.parse_args(argv).check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"docs/{PAGE.name} is out of date; run python docs/{Path(__file__).name}")


if __name__ == "__main__":
    main()
