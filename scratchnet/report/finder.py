"""The page of a range test of learning rates: loss against rate, and what it suggests."""

from collections.abc import Mapping
from html import escape
from typing import Any

from scratchnet.inspection.lr_finder import RangeTest
from scratchnet.report.comparison import DECADES
from scratchnet.report.page import Figure, figure_box, make_page, section, style, table
from scratchnet.report.run import curve, figure, origin


def finder_page(
    found: Mapping[str, RangeTest],
    results: Mapping[str, Any],
    config: Mapping[str, Any],
    command: str,
    summary: str,
) -> str:
    """The page; `command` repeats the test. Raises MissingPlotlyError without plotly."""
    figures = {f"rates-{name}": _figure(name, test) for name, test in found.items()}
    boxes = [
        figure_box(f"rates-{name}", f"{name}: loss of each batch, and smoothed, over the rate")
        for name in found
    ]
    rows = [
        (name, "none" if test.suggestion is None else f"{test.suggestion:.3g}", len(test.rates))
        for name, test in found.items()
    ]
    body = [
        f"<header><h1>Learning rates for {escape(', '.join(found))} on "
        f"{escape(str(results['dataset']))}</h1></header><main>",
        section(
            "suggestions",
            "Suggestions",
            "<p>The rate grew from step to step, in one factor, until the loss rose far above its "
            "lowest value. Suggested is where most of the fall has happened: before the lowest "
            "point, whose rate is already too high to last.</p>",
            table(("Optimizer", "Suggested rate", "Steps"), rows),
        ),
        section("curves", "Curves", f'<div class="figures">{"".join(boxes)}</div>'),
        section("origin", "How it was made", *origin(config, command, summary)),
        "</main>",
    ]
    return make_page(f"Learning rates for {', '.join(found)}", body, figures, {"results": results})


def _figure(name: str, test: RangeTest) -> Figure:
    """Loss of each batch, smoothed loss, and a line at the suggestion."""
    batches = curve(test.rates, test.losses, "batches") | {"opacity": 0.4, "line": style(4)}
    smooth = curve(test.rates, test.smoothed, "smoothed")
    start, low = max(test.smoothed[:10]), min(test.losses)
    room = (start - low) or 1.0
    shapes = []
    if test.suggestion is not None:
        at = {"x0": test.suggestion, "x1": test.suggestion, "y0": 0, "y1": 1, "yref": "paper"}
        shapes = [{"type": "line", "line": {"color": style(1)["color"], "dash": "dash"}, **at}]
    return figure(
        [batches, smooth],
        "learning rate",
        "loss",
        xaxis=dict(DECADES),
        yaxis={"range": [low - 0.1 * room, start + 0.5 * room]},
        shapes=shapes,
    )
