"""The page of a diagnosis: what was found, with pictures, every experiment, and every rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from scratchnet.diagnosis import RULES, Diagnosis, Finding
from scratchnet.diagnosis.rule import Picture
from scratchnet.report.page import Figure, figure_box, make_page, section, style, table, tiles
from scratchnet.report.run import curve, figure, origin
from scratchnet.storage.atomic import write_text

DOORS = {
    "flags": "on the command line",
    "python": "in Python",
    "argument": "of an estimator",
}
"""The words of a cure, by the door that they are for."""


def diagnosis_page(
    found: Diagnosis, what: str, asked: tuple[Mapping[str, Any], str, str] | None = None
) -> str:
    """The page about `what`; `asked` are config, command and summary of the network.

    Raises MissingPlotlyError without plotly.
    """
    figures: dict[str, Figure] = {}
    parts = [_finding(k, one, figures) for k, one in enumerate(found.findings)]
    if not parts:
        parts = [
            section(
                "findings",
                "Nothing found",
                "<p>No rule found a fault that an experiment confirmed.</p>",
            )
        ]
    title = f"Diagnosis of {what}"
    verdict = found.verdict
    body = [
        f'<header><h1>{escape(title)}</h1><p class="verdict">'
        f"{escape(verdict[:1].upper() + verdict[1:])}.</p>{_headline(found)}</header><main>",
        *parts,
        section("signals", "Signals", *_signals(found.signals)),
        section("references", "What can be learnt", *_references(found)),
        section("experiments", "Experiments", _skills("Experiment", found.tried, found.measure)),
        section("rules", "Rules", *_rules()),
    ]
    if asked is not None:
        body.append(section("origin", "How it was made", *origin(*asked)))
    return make_page(title, [*body, "</main>"], figures, {"results": found.to_dict()})


def write_diagnosis(found: Diagnosis, path: str | Path) -> None:
    """Write the page; raises OutputError if it cannot, MissingPlotlyError without plotly."""
    write_text(path, diagnosis_page(found, "a network"))


def _headline(found: Diagnosis) -> str:
    start, guess = found.signals["start_loss"], found.signals["guess_loss"]
    return tiles(
        [
            ("This run", f"{found.score:.3f}", found.measure),
            ("Best reference", f"{found.reference:.3f}", found.reference_name),
            ("A guess", f"{found.chance:.3f}", found.measure),
            ("Loss before training", _short(start), f"a guess {_short(guess)}"),
        ]
    )


def _short(value: Any) -> str:
    """A number in few digits, and what was not finite."""
    return "none" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


FACTS = {
    "samples": "Training samples",
    "columns": "Columns",
    "input_size": "Root mean square of the inputs",
    "input_range": "Range of the inputs",
    "constant_columns": "Columns that do not vary",
    "outsize_columns": "Outsize columns",
    "outlier_samples": "Outlier samples",
    "class_counts": "Samples of each class, of those looked at",
    "penalty": "Penalty before training",
    "by_heart": "Skill on 20 training samples after 100 steps on them alone",
    "fit": "Skill on training samples",
    "score": "Skill on held-out samples",
}
"""The signals that are no table of their own."""
OF_LAYERS = {
    "weight_norm": "Parameters",
    "gradient_norm": "Gradient",
    "update": "Update",
    "flat": "Flat",
    "dead": "Dead",
}


def _signals(signals: Mapping[str, Any]) -> list[str]:
    """What was looked at, in two tables."""
    facts = []
    for name, title in FACTS.items():
        value = signals[name]
        if isinstance(value, list):
            value = ", ".join(map(_short, value)) or "none"
        facts.append((title, value if isinstance(value, str) else _short(value)))
    layers = [
        (row["layer"], *("" if row[name] is None else _short(row[name]) for name in OF_LAYERS))
        for row in signals["layers"]
    ]
    return [
        table(("Samples", "Value"), facts, text=(0, 1)),
        "<p>Before training: the lengths of parameters and gradient, the first update over the "
        "parameters, the shares of flat slopes and of dead units.</p>",
        table(("Layer", *OF_LAYERS.values()), layers, text=(0,)),
    ]


def _skills(head: str, rows: Iterable[tuple[str, float]], measure: str) -> str:
    """A table of what was trained, and the skill that came of it."""
    measured = f"{measure[:1].upper()}{measure[1:]}"
    return table((head, measured), [(name, f"{skill:.3f}") for name, skill in rows], text=(0,))


def _references(found: Diagnosis) -> list[str]:
    """What others learn of the same samples."""
    reached = [(name, one.score) for name, one in found.evidence.references.items()]
    return [
        "<p>The same samples, learnt by others, with standardized inputs and Adam.</p>",
        _skills("Reference", reached, found.measure),
    ]


def _rules() -> list[str]:
    """Every rule, in the order in which they are asked."""
    rows = [(rule.name, rule.signal, rule.source) for rule in RULES.values()]
    return [
        "<p>What was looked for, in this order. A fault in training is named if its cure brings "
        "back half of the skill that is lacking.</p>",
        table(("Fault", "Signal", "Source"), rows, text=(0, 1, 2), stacked=True),
    ]


def _finding(k: int, finding: Finding, figures: dict[str, Figure]) -> str:
    boxes = []
    for n, picture in enumerate(finding.pictures):
        name = f"finding-{k}-{n}"
        figures[name] = _figure(picture)
        boxes.append(figure_box(name, f"{picture.title}: healthy, and this run"))
    told = [("Seen", finding.seen), ("Tried", finding.tried), ("Changed", finding.changed)]
    words = [
        f"<dt>{DOORS[door][:1].upper()}{DOORS[door][1:]}</dt><dd><code>{escape(text)}</code></dd>"
        for door, text in finding.words._asdict().items()
        if text
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in told)
    return section(
        f"finding-{k}",
        finding.name[:1].upper() + finding.name[1:],
        f"<dl>{listed}{''.join(words)}<dt>Source</dt><dd>{escape(finding.source)}</dd></dl>",
        f'<div class="figures">{"".join(boxes)}</div>',
    )


def _figure(picture: Picture) -> Figure:
    """Two rows of numbers over the same places: bars of few words, else curves."""
    words = any(isinstance(place, str) for place in picture.places)
    rows = (("healthy", picture.healthy, 2), ("this run", picture.here, 1))
    data = []
    for name, numbers, k in rows:
        places = picture.places[: len(numbers)]
        values = [value if math.isfinite(value) else None for value in numbers]
        if words or (len(picture.places) <= 12 and picture.x in ("class", "place")):
            data.append(
                {
                    "type": "bar",
                    "x": places,
                    "y": values,
                    "name": name,
                    "marker": {"color": style(k)["color"]},
                }
            )
        else:
            data.append(curve(places, values, name) | {"line": style(k)})
    axis = {"type": "log"} if picture.log else {}
    return figure(data, picture.x, picture.y, yaxis=axis)
