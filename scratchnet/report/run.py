"""The page of one training run, made from the files in its folder and the weights it ended with."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from scratchnet.data import Dataset
from scratchnet.networks import Network
from scratchnet.report.images import image_rows, seen_by, show_image
from scratchnet.report.page import (
    COLOURS,
    Figure,
    figure_box,
    make_page,
    picture,
    section,
    style,
    table,
    tiles,
)
from scratchnet.runs import RunFolder

FILTERS = 64
"""Units of the first layer whose weights are shown, at most."""
FEW = 12
"""Epochs up to which each has a tick of its own."""
LABELLED = 30
"""Classes up to which the cells of the confusion matrix have their numbers written in."""

Rows = Sequence[Mapping[str, Any]]


def run_page(folder: RunFolder, network: Network, dataset: Dataset, command: str) -> str:
    """The page; `network` has the weights that the results are of, `command` repeats the run.

    Raises MissingPlotlyError without plotly.
    """
    config, results = folder.read_config(), folder.read_results()
    history, steps, layers = (list(folder.rows(kind)) for kind in ("epoch", "step", "layer"))
    figures = {
        **learning_figures(history, steps),
        **prediction_figures(results["test"]),
        **layer_figures(layers),
    }
    title = f"{results['optimizer']} on {results['dataset']}"
    body = [
        '<a class="skip" href="#learning">Skip to the curves</a>',
        f"<header><h1>{escape(title)}</h1>{_verdict(results)}{headline(results)}{_contents()}"
        "</header><main>",
        section("learning", "Learning", _grid(figures, LEARNING)),
        section("predictions", "Predictions on the test samples", *predictions(results, figures)),
        section(
            "mistakes", "Most confident mistakes", mistakes(results["test"]["mistakes"], dataset)
        ),
        section(
            "layers",
            "Layers",
            _grid(figures, LAYERS),
            _first_weights(network, dataset),
            seen_by(network, dataset, results["test"]["mistakes"]),
        ),
        section("origin", "How it was made", *origin(config, command, network.summary())),
        "</main>",
    ]
    return make_page(title, body, figures, {"results": results, "history": history})


LEARNING = {
    "loss": "Loss over epochs, of training and validation samples",
    "accuracy": "Accuracy over epochs, of training and validation samples",
    "rate": "Learning rate over steps",
    "time": "Seconds of training of each epoch",
}
PREDICTIONS = {
    "confusion": "Confusion matrix: how often each label was predicted as each class",
    "classes": "Precision and recall of each class",
    "calibration": "Accuracy against confidence; on the diagonal the two agree",
}
LAYERS = {
    "weights": "Length of each layer's parameters over epochs",
    "gradients": "Length of each layer's gradient at the last step of each epoch",
    "dead": "Dead units, of images dead channels: the output responds to none of the samples "
    "looked at",
    "flat": "Flat activations: their slope is below 0.01",
}


def _verdict(results: Mapping[str, Any]) -> str:
    """What the run came to, in a sentence; nothing for the results of an earlier version."""
    found = results.get("verdict")
    if not found:
        return ""
    more = f" Next: <code>{escape(found['command'])}</code>" if found["command"] else ""
    text = found["text"]
    return f'<p class="verdict">{escape(text[:1].upper() + text[1:])}.{more}</p>'


def headline(results: Mapping[str, Any]) -> str:
    """The few numbers to see first."""
    low, high = results["test"]["interval"]
    interval = f"95 % interval {low:.4f} to {high:.4f}"
    steps = f"{results['steps']:,} steps of {results['batch_size']}"
    values = [
        ("Test accuracy", f"{results['test_accuracy']:.4f}", interval),
        ("Test loss", f"{results['test_loss']:.4f}", f"{results['test']['samples']:,} samples"),
        ("Epochs", f"{results['epochs']}", steps),
        ("Time", f"{results['seconds']:.2f} s", f"{results['samples_per_second']:,.0f} samples/s"),
        ("Parameters", f"{results['parameters']:,}", f"seed {results['seed']}"),
    ]
    if results["val_accuracy"] is not None:
        more = f"loss {results['val_loss']:.4f}, epoch {results['kept_epoch']}"
        values.insert(1, ("Validation accuracy", f"{results['val_accuracy']:.4f}", more))
    return tiles(values)


def learning_figures(history: Rows, steps: Rows) -> dict[str, Figure]:
    """Loss and accuracy by epoch, the rate by step, and the seconds of each epoch."""
    epochs = [row["epoch"] for row in history]
    per_epoch = history[0]["steps"] if history else 1
    fine = curve([row["step"] / per_epoch for row in steps], [row["loss"] for row in steps])
    fine |= {"name": "batches", "opacity": 0.6, "line": {"color": COLOURS[4], "width": 1}}
    pairs = {}
    for what, more in (("loss", [fine]), ("accuracy", [])):
        train = curve(epochs, [row[what] for row in history], "training", 0)
        held = [row[f"val_{what}"] for row in history]
        both = [train, curve(epochs, held, "validation", 1)] if held[0] is not None else [train]
        pairs[what] = figure([*more, *both], "epoch", what)
    rate = curve([row["step"] for row in steps], [row["lr"] for row in steps], "lr")
    seconds = {"type": "bar", "x": epochs, "y": [row["seconds"] for row in history]}
    return {
        **pairs,
        "rate": figure([rate], "step", "learning rate", yaxis={"rangemode": "tozero"}),
        "time": figure([seconds | {"marker": {"color": COLOURS[0]}}], "epoch", "seconds"),
    }


def prediction_figures(found: Mapping[str, Any]) -> dict[str, Figure]:
    """The confusion matrix, precision and recall, and calibration, as `inspect_predictions`."""
    matrix, names = np.array(found["confusion"]), [str(row["class"]) for row in found["per_class"]]
    heat: dict[str, Any] = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": np.log1p(matrix).round(4).tolist(),
        "text": found["confusion"],
        "colorscale": [[0, "rgba(0,119,187,0)"], [1, "rgba(0,119,187,0.8)"]],
        "showscale": False,
        "xgap": int(len(matrix) <= LABELLED),
        "ygap": int(len(matrix) <= LABELLED),
        "hovertemplate": "label %{y} taken for %{x}: %{text}<extra></extra>",
    }
    if len(matrix) <= LABELLED:
        heat["texttemplate"] = "%{text}"
    dots: list[dict[str, Any]] = [
        {
            "mode": "markers",
            "name": what,
            "x": names,
            "y": [row[what] for row in found["per_class"]],
            "marker": {"color": COLOURS[k], "size": 10, "symbol": ("circle", "diamond")[k]},
        }
        for k, what in enumerate(("precision", "recall"))
    ]
    return {
        "confusion": figure(
            [heat],
            "prediction",
            "label",
            xaxis={"type": "category", "showgrid": False},
            yaxis={"type": "category", "showgrid": False, "autorange": "reversed"},
        ),
        "classes": figure(
            dots,
            "class",
            "share",
            xaxis={"type": "category"},
            hovermode="x unified",
        ),
        "calibration": calibration_figure(found["calibration"]),
    }


def calibration_figure(bins: Rows) -> Figure:
    """Accuracy against confidence, beside the diagonal where the two agree."""
    most = max((b["count"] for b in bins), default=1)
    even: dict[str, Any] = {
        "x": [0, 1],
        "y": [0, 1],
        "mode": "lines",
        "name": "perfect calibration",
    }
    even |= {"line": {"color": COLOURS[4], "dash": "dash", "width": 1}}
    found = {
        "x": [b["confidence"] for b in bins],
        "y": [b["accuracy"] for b in bins],
        "text": [f"{b['count']:,} samples" for b in bins],
        "mode": "lines+markers",
        "name": "network; larger points are more samples",
        "line": {"color": COLOURS[0], "width": 1},
        "marker": {"size": [4 + 16 * (b["count"] / most) ** 0.5 for b in bins]},
        "hovertemplate": "sure %{x:.3f}, right %{y:.3f}, %{text}<extra></extra>",
    }
    return figure([even, found], "confidence", "accuracy")


def layer_figures(rows: Rows) -> dict[str, Figure]:
    """Norms of parameters and gradients, and shares of flat values and units, over epochs."""
    names = list(dict.fromkeys(row["layer"] for row in rows))
    columns = {
        "weights": ("weight_norm", "norm", {"rangemode": "tozero"}),
        "gradients": ("gradient_norm", "norm", {"type": "log"}),
        "dead": ("dead", "share of units", {"rangemode": "tozero", "tickformat": ".1%"}),
        "flat": ("flat", "share of values", {"range": [0, 1], "tickformat": ".0%"}),
    }
    found = {}
    for name, (column, title, axis) in columns.items():
        curves = []
        for k, layer in enumerate(names):
            own = [row for row in rows if row["layer"] == layer and row[column] is not None]
            if own:
                values = [row[column] for row in own]
                curves.append(curve([row["epoch"] for row in own], values, layer, k))
        if curves:
            found[name] = figure(curves, "epoch", title, yaxis=axis, showlegend=True)
    return found


def origin(config: Mapping[str, Any], command: str, summary: str) -> list[str]:
    """The command that repeats the run, and the facts that its numbers depend on."""
    about, data = config["environment"], config["data"]
    named = ("internal_api", "version", "architecture")
    pools = [
        f"{' '.join(str(pool[name]) for name in named)}, threads: {pool['threads']}"
        for pool in about["blas"]
    ]
    facts = [
        ("scratchnet", config["scratchnet"]),
        ("Python, NumPy", f"{about['python']}, {about['numpy']}"),
        ("BLAS", "; ".join(pools) or "unknown"),
        ("Machine", f"{about['system']}, {about['machine']}, {about['processors']} processors"),
        ("Ranks", about.get("ranks", 1)),
        ("Data", f"{data['name']}, {data['classes']} classes"),
        ("SHA-256 of the data", data["sha256"]),
        ("Seed", config["arguments"]["seed"]),
    ]
    shares = config.get("network", {}).get("kind") == "convolutional"
    if shares and about.get("ranks", 1) == 1:
        facts.insert(4, ("Threads that share a batch", config["arguments"]["threads"]))
    return [
        "<h3>The command that repeats it</h3>",
        f'<pre class="command" tabindex="0">{escape(command)}</pre>',
        f'<h3>Network</h3><pre tabindex="0">{escape(summary)}</pre>',
        table(("What", "Which"), facts, "Where it ran", text=(1,)),
        "<details><summary>All of config.json</summary>",
        f'<pre tabindex="0">{escape(json.dumps(config, indent=2))}</pre></details>',
    ]


def curve(x: Sequence[Any], y: Sequence[Any], name: str = "", k: int = 0) -> dict[str, Any]:
    """The k-th curve of a figure, with its points where these are few."""
    mode = "lines+markers" if len(x) <= FEW else "lines"
    return {"x": list(x), "y": list(y), "name": name, "mode": mode, "line": style(k)}


def figure(data: Sequence[Mapping[str, Any]], x: str, y: str, **layout: Any) -> Figure:
    """A figure with titles on its axes; curves over one axis are read off together."""
    axes: Figure = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    ends = [each["x"][-1] for each in data if each.get("x")]
    if x == "epoch" and ends and max(ends) <= FEW:
        axes["xaxis"]["dtick"] = 1
    if all(each.get("mode", "").startswith("lines") for each in data):
        layout.setdefault("hovermode", "x unified")
    for name in axes:
        axes[name] |= layout.pop(name, {})
    return {"data": list(data), "layout": {**axes, "showlegend": len(data) > 1, **layout}}


def _contents() -> str:
    parts = ("learning", "predictions", "mistakes", "layers", "origin")
    links = "".join(f'<li><a href="#{name}">{name}</a></li>' for name in parts)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _grid(figures: Mapping[str, Figure], captions: Mapping[str, str]) -> str:
    boxes = [
        figure_box(name, text, tall=name == "confusion")
        for name, text in captions.items()
        if name in figures
    ]
    return f'<div class="figures">{"".join(boxes)}</div>'


def predictions(results: Mapping[str, Any], figures: Mapping[str, Figure]) -> list[str]:
    """What share was right, in words, figures and numbers of each class."""
    found = results["test"]
    rows = [
        (row["class"], row["count"], *(_share(row[what]) for what in ("precision", "recall", "f1")))
        for row in found["per_class"]
    ]
    low, high = found["interval"]
    return [
        f"<p>{results['test_accuracy']:.2%} of the {found['samples']:,} test samples were "
        f"classified correctly (95 % interval {low:.2%} to {high:.2%}, Wilson). Expected "
        f"calibration error: {found['calibration_error']:.4f} (0 is perfect).</p>",
        _grid(figures, PREDICTIONS),
        "<details><summary>Numbers of each class</summary>",
        table(("Class", "Samples", "Precision", "Recall", "F1"), rows),
        "</details>",
    ]


def mistakes(worst: Rows, dataset: Dataset) -> str:
    """The most confident mistakes among test samples, as pictures if they are images."""
    if not worst:
        return "<p>There were none.</p>"
    said = "{label} predicted as {prediction}, confidence {confidence:.1%}"
    texts = [said.format(**m) for m in worst]
    images = image_rows(dataset, [m["row"] for m in worst])
    if images is None:
        rows = [(m["row"], m["label"], m["prediction"], f"{m['confidence']:.4f}") for m in worst]
        return table(("Row", "Label", "Prediction", "Confidence"), rows)
    shown = map(show_image, images, texts)
    return f'<div class="pictures">{"".join(shown)}</div>'


def _first_weights(network: Network, dataset: Dataset) -> str:
    """The weights into the units of the first layer with the longest ones, each as a picture."""
    shape, weights = _picture_shape(dataset), network.params.get("W1")
    if shape is None or weights is None or weights.shape[:-1] != (shape[0] * shape[1],):
        return ""
    longest = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:FILTERS]
    shown = "".join(
        picture(weights[:, k].reshape(shape), f"unit {k + 1}", signed=True) for k in longest
    )
    return (
        "<h3>Weights of the first layer</h3><p>Orange raises the unit, blue lowers it; "
        f"{len(longest)} of {weights.shape[1]} units, those with the longest weights first.</p>"
        f'<div class="pictures small">{shown}</div>'
    )


def _picture_shape(dataset: Dataset) -> tuple[int, int] | None:
    """Height and width of the samples, where they are images of one channel."""
    shape = dataset.image_shape
    if shape is None or len(shape) < 2 or any(n != 1 for n in shape[2:]):
        return None
    return shape[0], shape[1]


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
