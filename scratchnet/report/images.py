"""The part of a run's page that shows what a network of images sees."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchnet.data import Dataset
from scratchnet.inspection.images import describe_image, feature_maps, filters
from scratchnet.layers import Layer
from scratchnet.layers.image import image_of
from scratchnet.layers.layer import walk
from scratchnet.networks import Network
from scratchnet.parameters import Array
from scratchnet.report.page import picture

MAPS = 16
"""Feature maps of a layer that are shown, at most."""
LAYERS = 6
"""Layers whose maps are shown, at most: the last ones of those that there are."""
EXPLAINED = 8
"""Mistakes that are explained, at most."""


def image_rows(dataset: Dataset, rows: Sequence[int]) -> list[Array] | None:
    """These test samples as images (H, W, C), from 0 to 1; None where they are no images."""
    shape = None if dataset.image_shape is None else image_of(dataset.image_shape)
    if shape is None or shape[2] not in (1, 3):
        return None
    return [dataset.test[row : row + 1][0].reshape(shape).astype(np.float64) for row in rows]


def show_image(image: Array, caption: str) -> str:
    """An image (H, W, 1) in grey or (H, W, 3) in colour."""
    return picture(image[:, :, 0] if image.shape[2] == 1 else image, caption)


def seen_by(network: Network, dataset: Dataset, mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Filters, feature maps of a test image, and what the most confident mistakes depend on."""
    first = image_rows(dataset, [0])
    if first is None or not network.takes_images:
        return ""
    return "".join(
        [_filters(network), _maps(network, first[0], dataset), _why(network, dataset, mistakes)]
    )


def _filters(network: Network) -> str:
    W = filters(network)
    lengths = np.sqrt((W**2).sum(axis=(0, 1, 2)))
    order = np.argsort(-lengths, kind="stable")
    shown = "".join(picture(W[:, :, :, k].mean(axis=2), str(k + 1), signed=True) for k in order)
    return (
        "<h3>Filters of the first convolution</h3><p>Orange raises the output, blue lowers it; "
        f"{W.shape[3]} filters of {W.shape[0]} x {W.shape[1]} pixels, the longest first"
        f"{', the mean of their channels' if W.shape[2] > 1 else ''}.</p>"
        f'<div class="pictures small">{shown}</div>'
    )


def _maps(network: Network, image: Array, dataset: Dataset) -> str:
    name = _class_name(dataset, int(np.atleast_1d(dataset.test.t[0])[0]))
    parts = [
        f"<h3>Feature maps of a test image</h3><p>The first test image, {name}, as each layer "
        "passes it on to the next one with weights: bright is large.</p>",
        f'<div class="pictures small">{show_image(image, "the image")}</div>',
    ]
    weighted = {k for k, layer in enumerate(network.layers) if _has_weights(layer)}
    maps = feature_maps(network, image)
    handed_on = [maps[k] for k in range(len(maps)) if k + 1 in weighted]
    for layer, values in handed_on[-LAYERS:]:
        strongest = np.argsort(-np.abs(values).sum(axis=(0, 1)), kind="stable")[:MAPS]
        shown = "".join(
            picture(values[:, :, k] - values[:, :, k].min(), str(k + 1)) for k in sorted(strongest)
        )
        few = f", the {len(strongest)} strongest" if len(strongest) < values.shape[2] else ""
        text = f"{layer}: {values.shape[2]} maps of {values.shape[0]} x {values.shape[1]}{few}"
        parts.append(f'<p>{text}</p><div class="pictures small">{shown}</div>')
    return "".join(parts)


def _has_weights(layer: Layer) -> bool:
    return any("W" in one.shapes for one in walk([layer]))


def _why(network: Network, dataset: Dataset, mistakes: Sequence[Mapping[str, Any]]) -> str:
    chosen = mistakes[:EXPLAINED]
    images = image_rows(dataset, [m["row"] for m in chosen])
    if not chosen or images is None:
        return ""
    names = [_class_name(dataset, k) for k in range(dataset.classes)]
    parts = [
        "<h3>What the most confident mistakes depend on</h3><p>For each: the image; saliency, how "
        "much a pixel changes the output of the class that was predicted; Grad-CAM, where "
        "the last layer of images found what speaks for it.</p>"
    ]
    for mistake, image in zip(chosen, images, strict=True):
        label = names.index(str(mistake["prediction"]))
        found = describe_image(network, image, label)
        text = f"{mistake['label']} predicted as {mistake['prediction']}"
        shown = [show_image(image, text)]
        words = {"saliency": "saliency", "grad_cam": "Grad-CAM"}
        shown += [picture(values, words[name]) for name, values in found.items()]
        parts.append(f'<div class="pictures">{"".join(shown)}</div>')
    return f'{parts[0]}<div class="trios">{"".join(parts[1:])}</div>'


def _class_name(dataset: Dataset, k: int) -> str:
    return str(k if dataset.class_names is None else dataset.class_names[k])
