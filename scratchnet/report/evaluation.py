"""The page of an evaluation: how right a trained network is about samples with labels."""

from collections.abc import Mapping
from html import escape
from typing import Any

from scratchnet.data import Dataset
from scratchnet.report.page import make_page, section, tiles
from scratchnet.report.run import mistakes, prediction_figures, predictions


def evaluation_page(title: str, results: Mapping[str, Any], dataset: Dataset, summary: str) -> str:
    """The page; the test samples of `dataset` are those that `results` are of.

    `results` has "test_accuracy" and "test", as `inspect_predictions` has it, `summary` is the
    network's. Raises MissingPlotlyError without plotly.
    """
    found = results["test"]
    figures = prediction_figures(found)
    low, high = found["interval"]
    interval = f"95 % interval {low:.4f} to {high:.4f}"
    body = [
        f"<header><h1>{escape(title)}</h1>",
        tiles(
            [
                ("Accuracy", f"{results['test_accuracy']:.4f}", interval),
                ("Samples", f"{found['samples']:,}", f"{dataset.classes} classes"),
            ]
        ),
        "</header><main>",
        section("predictions", "Predictions", *predictions(results, figures)),
        section("mistakes", "Most confident mistakes", mistakes(found["mistakes"], dataset)),
        section("network", "Network", f'<pre tabindex="0">{escape(summary)}</pre>'),
        "</main>",
    ]
    return make_page(title, body, figures, {"results": results})
