"""The page of a comparison: loss against steps and seconds, rates, intervals, and the table."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from scratchnet.compare import VERDICTS, Comparison, Trial
from scratchnet.parameters import Array
from scratchnet.report.page import (
    COLOURS,
    Figure,
    figure_box,
    legend,
    make_page,
    section,
    style,
    table,
)
from scratchnet.report.run import curve, figure, origin

CAPTIONS = {
    "steps": "Training loss over steps, of the first seed; each point is a mean",
    "seconds": "The same loss over seconds of training",
    "validation": "Validation accuracy over epochs: mean of the seeds, and their range",
    "intervals": "Test accuracy: every seed, the mean and its 95 % interval",
    "rates": "Validation accuracy after the last epoch for each learning rate tried; x diverged",
}
RANGE_OPACITY = 0.15
MANY = 8
"""Optimizers above which the legend stands outside of the figures."""
POINTS = 60
"""Points of a loss curve: each is a mean, or single batches would hide what happens."""
DECADES = {"type": "log", "exponentformat": "power", "dtick": 1}
"""A logarithmic axis with a tick for each power of ten."""


def comparison_page(
    found: Comparison,
    results: Mapping[str, Any],
    links: Mapping[str, str],
    config: Mapping[str, Any],
    command: str,
    summary: str,
) -> str:
    """The page; `links` are the pages of the optimizers' own runs, `command` repeats it all.

    Raises MissingPlotlyError without plotly.
    """
    figures = comparison_figures(found)
    many = len(found.optimizers) > MANY
    boxes = [
        figure_box(name, text, tall=many and name == "intervals")
        for name, text in CAPTIONS.items()
        if name in figures
    ]
    named = legend(found.optimizers) if many else ""
    title = f"{', '.join(found.optimizers)} on {results['dataset']}"
    notes = [f"<p>{escape(note[0].upper() + note[1:])}.</p>" for note in found.notes()]
    body = [
        '<a class="skip" href="#figures">Skip to the figures</a>',
        f"<header><h1>{escape(title)}</h1></header><main>",
        section("table", "Which one", _summary(results), *notes, _links(links)),
        section("figures", "Figures", named, f'<div class="figures">{"".join(boxes)}</div>'),
        section("differences", "Differences", *_differences(results)),
        section("origin", "How it was made", *origin(config, command, summary)),
        "</main>",
    ]
    return make_page(title, body, figures, {"results": results})


def comparison_figures(found: Comparison) -> dict[str, Figure]:
    """Every figure that the trials have something for."""
    names = found.optimizers
    figures = {
        "steps": figure(list(_losses(found, "steps")), "step", "training loss"),
        "seconds": figure(list(_losses(found, "seconds")), "seconds", "training loss"),
        "validation": figure(list(_validation(found)), "epoch", "validation accuracy"),
        "intervals": _intervals(found),
        "rates": figure(list(_rates(found)), "learning rate", "validation accuracy"),
    }
    figures["rates"]["layout"]["xaxis"] |= DECADES
    for name in ("steps", "seconds"):
        figures[name]["layout"]["yaxis"] |= DECADES
    for each in figures.values():
        each["layout"]["showlegend"] = 1 < len(names) <= MANY
    figures["intervals"]["layout"]["showlegend"] = False
    return {name: each for name, each in figures.items() if each["data"]}


def _losses(found: Comparison, against: str) -> Iterator[dict[str, Any]]:
    """The training loss of each optimizer's first trial."""
    for k, name in enumerate(found.optimizers):
        trial = found.of(name)[0]
        x, losses = _means(trial.curve)
        if against == "seconds":
            steps = [0, *(epoch.steps for epoch in trial.history)]
            seconds = np.cumsum([0.0, *(epoch.seconds for epoch in trial.history)])
            within = x <= steps[-1]  # the time of an interrupted epoch is not known
            x = np.interp(x[within], steps, seconds)
        yield curve(x.tolist(), losses[: len(x)].tolist(), name, k)


def _means(points: Sequence[tuple[int, float]]) -> tuple[Array, Array]:
    """Step and loss of at most POINTS means over neighbouring points, at the last step of each."""
    steps = np.array([step for step, _ in points], dtype=float)
    losses = np.array([loss for _, loss in points], dtype=float)
    pieces = np.array_split(np.arange(len(steps)), min(POINTS, max(1, len(steps))))
    ends = [piece[-1] for piece in pieces if len(piece)]
    means = [losses[piece].mean() for piece in pieces if len(piece)]
    return steps[ends], np.array(means)


def _validation(found: Comparison) -> Iterator[dict[str, Any]]:
    """Mean over the seeds of the validation accuracy, and where they lie."""
    for k, name in enumerate(found.optimizers):
        rows = [_accuracies(trial) for trial in found.of(name) if not trial.diverged]
        rows = [row for row in rows if row]
        if not rows:
            continue
        values = np.array(rows)
        epochs = list(range(1, values.shape[1] + 1))
        if len(rows) > 1:
            low, high = values.min(axis=0).tolist(), values.max(axis=0).tolist()
            yield {
                "x": [*epochs, *reversed(epochs)],
                "y": [*high, *reversed(low)],
                "fill": "toself",
                "fillcolor": COLOURS[k % len(COLOURS)],
                "opacity": RANGE_OPACITY,
                "line": {"width": 0},
                "mode": "lines",
                "hoverinfo": "skip",
                "showlegend": False,
                "legendgroup": name,
            }
        yield curve(epochs, values.mean(axis=0).tolist(), name, k) | {"legendgroup": name}


def _accuracies(trial: Trial) -> list[float]:
    return [e.val_accuracy for e in trial.history if e.val_accuracy is not None]


def _intervals(found: Comparison) -> Figure:
    """Every seed's test accuracy as a ring, and the means with their intervals."""
    rings: dict[str, list[Any]] = {"x": [], "y": []}
    for trial in found.trials:
        if trial.test_accuracy is not None:
            rings["x"].append(trial.test_accuracy)
            rings["y"].append(trial.optimizer)
    rows = [row for row in found.summary() if row["test_accuracy"] is not None]
    seeds = {
        "mode": "markers",
        "name": "seeds",
        "marker": {"symbol": "circle-open", "size": 8, "color": COLOURS[4]},
        "hovertemplate": "%{y}: %{x:.4f}<extra></extra>",
        **rings,
    }
    means = {
        "x": [row["test_accuracy"] for row in rows],
        "y": [row["optimizer"] for row in rows],
        "error_x": {"type": "data", "array": [row["interval"] or 0.0 for row in rows]},
        "mode": "markers",
        "name": "mean",
        "marker": {"size": 10, "symbol": "diamond", "color": COLOURS[0]},
        "hovertemplate": "%{y}: mean %{x:.4f}<extra></extra>",
    }
    names = {"type": "category", "autorange": "reversed", "dtick": 1}
    return figure([seeds, means] if rows else [], "test accuracy", "", yaxis=names)


def _rates(found: Comparison) -> Iterator[dict[str, Any]]:
    """Validation accuracy over the grid of rates; the rate that was chosen has a ring."""
    chosen = {row["optimizer"]: row["lr"] for row in found.summary()}
    for k, name in enumerate(found.optimizers):
        tried = [t for t in found.tuning if t.optimizer == name and t.val_accuracy is not None]
        tried.sort(key=lambda trial: trial.lr)
        if tried:
            sizes = [13 if trial.lr == chosen[name] else 6 for trial in tried]
            marker = {"size": sizes, "color": style(k)["color"]}
            points = curve([t.lr for t in tried], [t.val_accuracy for t in tried], name, k)
            yield points | {"mode": "lines+markers", "marker": marker, "legendgroup": name}
        lost = [t.lr for t in found.tuning if t.optimizer == name and t.diverged]
        if lost:
            cross = {"symbol": "x", "size": 9, "color": style(k)["color"]}
            crosses = curve(lost, [0.0] * len(lost), f"{name}, diverged", k)
            more = {"mode": "markers", "marker": cross, "legendgroup": name, "showlegend": False}
            yield crosses | more


def _summary(results: Mapping[str, Any]) -> str:
    rows = [
        (
            row["optimizer"],
            f"{row['lr']:.4g}",
            _spread(row["test_accuracy"], row["interval"], "diverged"),
            _number(row["test_loss"]),
            _number(row["epochs_to_target"], "g", "never"),
            _number(row["seconds_to_target"], ".3f", "never"),
            f"{row['seconds']:.3f}",
            row["diverged"],
            VERDICTS.get(row["verdict"], row["verdict"] or ""),
        )
        for row in results["optimizers"]
    ]
    head = ("Optimizer", "Rate", "Test accuracy", "Test loss", "Epochs to target")
    more = ("Seconds to target", "Seconds", "Diverged", "Verdict")
    return table((*head, *more), rows, text=(8,), stacked=True)


def _differences(results: Mapping[str, Any]) -> list[str]:
    if not results["differences"]:
        return ["<p>There is one optimizer only.</p>"]
    rows = [
        (
            f"{row['first']} - {row['second']}",
            _spread(row["difference"], row["interval"], "", "+.4f"),
            f"{row['p']:.2g}",
            row["verdict"],
        )
        for row in results["differences"]
    ]
    return [
        "<p>Of test accuracy, over the seeds that both were trained with: mean difference, its "
        "95 % interval, and p of the paired t-test, corrected for the number of pairs. "
        "No difference shown does not mean equal: more seeds may show one.</p>",
        table(("Pair", "Difference", "p", "Verdict"), rows, text=(3,), stacked=True),
    ]


def _links(links: Mapping[str, str]) -> str:
    each = ", ".join(f'<a href="{escape(to)}">{escape(name)}</a>' for name, to in links.items())
    return f"<p>The runs with the first seed: {each}.</p>" if each else ""


def _spread(value: float | None, half: float | None, without: str, form: str = ".4f") -> str:
    if value is None:
        return without
    return format(value, form) + ("" if half is None else f" ± {half:.4f}")


def _number(value: float | None, form: str = ".4f", without: str = "") -> str:
    return without if value is None else format(value, form)
