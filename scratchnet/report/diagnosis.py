"""The page of a diagnosis: what was found, with pictures, every experiment, and every rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
        section(
            "references",
            "What can be learnt",
            "<p>The same samples, learnt by others, with standardized inputs and Adam.</p>",
            table(
                ("Reference", found.measure.capitalize()),
                [
                    (name, f"{outcome.score:.3f}")
                    for name, outcome in found.evidence.references.items()
                ],
                text=(0,),
            ),
        ),
        section(
            "experiments",
            "Experiments",
            table(
                ("Experiment", found.measure.capitalize()),
                [(name, f"{skill:.3f}") for name, skill in found.tried],
                text=(0,),
            ),
        ),
        section(
            "rules",
            "Rules",
            "<p>What was looked for, in this order. A fault in training is named if its cure "
            "brings back half of the skill that is lacking.</p>",
            table(
                ("Fault", "Signal", "Source"),
                [(rule.name, rule.signal, rule.source) for rule in RULES.values()],
                text=(0, 1, 2),
                stacked=True,
            ),
        ),
    ]
    if asked is not None:
        body.append(section("origin", "How it was made", *origin(*asked)))
    return make_page(title, [*body, "</main>"], figures, {"results": found.to_dict()})


def write_diagnosis(found: Diagnosis, path: str | Path) -> None:
    """Write the page; raises OutputError if it cannot, MissingPlotlyError without plotly."""
    write_text(path, diagnosis_page(found, "a network"))


def _headline(found: Diagnosis) -> str:
    guess = "" if found.guess_loss is None else f"a guess {found.guess_loss:.3g}"
    return tiles(
        [
            ("This run", f"{found.score:.3f}", found.measure),
            ("Best reference", f"{found.reference:.3f}", found.reference_name),
            ("A guess", f"{found.chance:.3f}", found.measure),
            ("Loss before training", f"{found.start_loss:.3g}", guess),
        ]
    )


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
        finding.name.capitalize() if finding.name.islower() else finding.name,
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
