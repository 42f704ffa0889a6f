"""The page to draw on: a network in a browser, which says what it sees in a drawing or a picture.

The page holds the weights and computes by itself: `assets/forward.js` has the layers,
`assets/drawing.js` what `data/drawings.py` does. A test compares both with the library.
"""

import math
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from scratchnet import layers
from scratchnet.data.drawings import FAINT, SHARPNESS, STEEPEST, STYLES
from scratchnet.errors import DivergenceError, ParameterError
from scratchnet.formats.layouts import seen_image
from scratchnet.layers import (
    AvgPool,
    BinaryCrossEntropy,
    Conv2D,
    Huber,
    Layer,
    MaxPool,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonLoss,
    Residual,
    SoftmaxWithLoss,
)
from scratchnet.layers.image import image_of
from scratchnet.layers.layer import walk
from scratchnet.networks import Network
from scratchnet.networks.classes import classifies, is_multilabel
from scratchnet.parameters import Array, Shape, first_not_finite, is_weight
from scratchnet.report.page import asset, make_page, section

LARGEST = 2**15 - 1
"""The largest 16-bit integer."""
SIDE = 280
"""The longer side of the canvas, in pixels."""
PEN = 0.08
"""The width of the pen, as a share of the canvas: near that of the strokes in MNIST."""
THINNEST = 1.2
"""The least that this width is in pixels of the network's images, as of those with 8x8."""
ALL_CLASSES = 20
"""So many classes stand in their order; of more the likeliest are shown."""
LIKELIEST = 10
"""How many these are."""
MOST_MAPS = 64
"""Feature maps of a layer that are shown, at most."""
MOST_UNITS = 1024
"""Units of a layer that are shown, at most."""
CONFIDENCES: Mapping[type, str] = {
    SoftmaxWithLoss: "softmax",
    BinaryCrossEntropy: "sigmoid",
    PoissonLoss: "exp",
    MeanSquaredError: "clip",
    MeanAbsoluteError: "clip",
    Huber: "clip",
}
"""What `forward.js` calls the confidences of a loss."""


def drawing_page(network: Network, title: str = "Draw a character") -> str:
    """The page as HTML: one file that works offline and asks for nothing.

    `network.preparation` says how a drawing becomes inputs, and what the classes are called. Needs
    no plotly. Raises ParameterError for a network that takes no images or does not classify, and,
    naming it, for a layer or a loss that the page cannot compute; DivergenceError for values that
    are not finite.

    >>> from scratchnet import load_network
    >>> html = drawing_page(load_network("weights.npz"))  # doctest: +SKIP
    """
    image = _image(network)
    confidences = _confidences(network)
    faulty = first_not_finite({**network.params, **network.statistics})
    if faulty is not None:
        raise DivergenceError(f"{faulty} is not finite, so there is no page to draw on; train anew")
    described = describe_layers(network.layers, network.input_shape)
    names = [network.preparation.name_of(k) for k in range(max(2, network.output_sizes[-1]))]
    stages = _stages(network)
    data = {
        "network": {
            "layers": described,
            "confidences": confidences,
            "multilabel": is_multilabel(network),
        },
        "drawing": _preparation(network, image),
        "classes": names,
        "allClasses": ALL_CLASSES,
        "likeliest": LIKELIEST,
        "stages": stages,
    }
    return make_page(
        title,
        _body(network, title, image, names, stages),
        {},
        data,
        ("forward.js", "drawing.js", "draw.js"),
        ("draw.css",),
    )


def _image(network: Network) -> tuple[int, int, int]:
    """The shape (H, W, C) of what the network sees; raises ParameterError without one."""
    shape = network.preparation.image_shape or network.input_shape
    image = image_of(shape)
    if image is None:
        raise ParameterError(
            f"a page to draw on needs a network of images, this one takes rows {shape}; train it "
            "on images, or say what they are: network.preparation = Preparation(image_shape=(8, 8))"
        )
    if image[2] not in (1, 3):
        raise ParameterError(
            "a page to draw on needs a network of grey images or of red, green and blue, this one "
            f"takes {image[2]} channels; train it on 1 or 3"
        )
    return image


def _confidences(network: Network) -> str:
    """What `forward.js` calls the loss; raises ParameterError where it gives no probabilities."""
    loss = network.loss_layer
    if not classifies(network):
        raise ParameterError(
            f"a page to draw on needs a network that classifies, {loss!r} is for values; train one "
            "with the loss softmax"
        )
    if type(loss) not in CONFIDENCES:
        raise ParameterError(
            f"the page cannot compute the loss {type(loss).__name__}; take one of "
            f"{', '.join(kind.__name__ for kind in CONFIDENCES)}"
        )
    return CONFIDENCES[type(loss)]


def known_layers() -> set[str]:
    """The classes that the table LAYERS in `assets/forward.js` names."""
    found = re.search(r"^const LAYERS = {(.*?)^};", asset("forward.js"), re.DOTALL | re.MULTILINE)
    assert found is not None, "forward.js must have a table LAYERS"
    return set(re.findall(r"\w+", found[1]))


# The network as data.


def describe_layers(each: Sequence[Layer], before: Shape) -> list[dict[str, Any]]:
    """The layers one after the other, of which the first takes rows of the shape `before`."""
    found = []
    for layer in each:
        found.append(describe_layer(layer, before))
        before = layer.output_shape(before)
    return found


def describe_layer(layer: Layer, before: Shape) -> dict[str, Any]:
    """A layer as `forward.js` takes it; raises ParameterError for one that it does not know."""
    kind = type(layer)
    name = kind.__name__
    if name not in known_layers() or getattr(layers, name, None) is not kind:
        raise ParameterError(
            f"the page cannot compute the layer {name}; take layers of scratchnet.layers"
        )
    options: dict[str, Any] = {key: getattr(layer, key) for key in OPTIONS if hasattr(layer, key)}
    if isinstance(layer, Conv2D):
        options |= {key: getattr(layer, key) for key in ("kernel", "stride", "dilation")}
        options["pad"] = [before for before, _ in layer.pads(seen_image(layer))]
    if isinstance(layer, Conv2D | MaxPool | AvgPool):
        options |= {"image": layer.image, "after": layer.after}
    if isinstance(layer, Residual):
        options["layers"] = describe_layers(layer.layers, before)
        P = layer.projection
        options["projection"] = None if P is None else describe_layer(P, before)
    arrays = {**layer.params, **layer.statistics}
    return {
        "class": name,
        "inputs": math.prod(before),
        "outputs": math.prod(layer.output_shape(before)),
        **options,
        "arrays": {key: pack(array) for key, array in arrays.items()},
    }


OPTIONS = ("eps", "slope", "size", "scale", "alpha")
"""Attributes of layers that their formulas need."""


def pack(array: Array) -> dict[str, str]:
    """An array as text: weights as 16-bit integers with scales, all else as 32-bit numbers."""
    if not is_weight(array.shape):
        return {"values": _text(array, "<f4")}
    integers, scales = to_integers(array)
    return {"values": _text(integers, "<i2"), "scales": _text(scales, "<f4")}


def to_integers(W: Array) -> tuple[Array, Array]:
    """Weights (..., n_out) as integers and a scale (n_out,) for each output: W = q scale.

    The scale is max |W| / 32767 over the weights into an output; a rounding is half of it at most.
    """
    scales = np.abs(W).reshape(-1, W.shape[-1]).max(axis=0).astype(np.float64) / LARGEST
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
    return np.clip(np.rint(W / scales), -LARGEST, LARGEST).astype(np.int16), scales


def _text(array: Array, dtype: str) -> str:
    return b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()


def _preparation(network: Network, image: tuple[int, int, int]) -> dict[str, Any]:
    """How a picture becomes inputs, as `drawing.js` takes it."""
    kept = network.preparation
    return {
        "shape": image,
        "style": None if kept.style is None else STYLES[kept.style]._asdict(),
        "white": kept.white,
        "scale": kept.scale,
        "faint": FAINT,
        "sharpness": SHARPNESS,
        "steepest": STEEPEST,
    }


def _stages(network: Network) -> list[dict[str, Any]]:
    """What the page shows: what each layer with weights, and those behind it, hand on.

    A stage has the number of its last layer, a text, and the shape of what that gives.
    """
    weighted = [any("W" in one.shapes for one in walk([layer])) for layer in network.layers]
    stages: list[dict[str, Any]] = []
    names: list[str] = []
    for k, layer in enumerate(network.layers):
        names.append(repr(layer))
        if not any(weighted[: k + 1]) or not (k + 1 == len(weighted) or weighted[k + 1]):
            continue
        shape = network.output_shapes[k]
        maps = image_of(shape)
        n = shape[0] if maps is None else maps[2]
        most, what = (MOST_UNITS, "units") if maps is None else (MOST_MAPS, "maps")
        words = f"{n} {what}" if maps is None else f"{n} {what} of {maps[0]} x {maps[1]}"
        few = f", the first {most} of them" if n > most else ""
        stages.append(
            {
                "layer": k,
                "maps": maps,
                "shown": min(n, most),
                "name": ", ".join(names),
                "text": f"{words}{few}",
            }
        )
        names = []
    return stages


# The page.


def _body(
    network: Network,
    title: str,
    image: tuple[int, int, int],
    names: Sequence[str],
    stages: Sequence[Mapping[str, Any]],
) -> list[str]:
    height, width = (max(1, round(SIDE * n / max(image[:2]))) for n in image[:2])
    pen = max(PEN, THINNEST / max(image[:2]))
    return [
        f"<header><h1>{escape(title)}</h1><p>Draw with the mouse, a pen or a finger. Or drop, "
        "paste or open a picture.</p></header>",
        '<main class="drawing">',
        f'<section id="draw" aria-label="Draw">{_PAD.format(height=height, width=width, pen=pen)}'
        "</section>",
        f'<section id="answer" aria-label="Answer">{_answer(image, names)}</section>',
        section("stages", "What the layers make of it", *_pictures(stages)),
        section("network", "The network", *_about(network, image)),
        "</main>",
        '<p class="skip" id="says" role="status" aria-live="polite"></p>',
    ]


_PAD = """
<div class="pad"><canvas id="canvas" width="{width}" height="{height}" data-pen="{pen}" \
tabindex="0" role="application" aria-label="Drawing area" aria-describedby="keys"></canvas>\
<span id="hint" aria-hidden="true">Draw here</span><span id="pen" hidden></span></div>
<div class="controls">
<button type="button" id="clear">Clear</button>
<button type="button" id="undo">Undo</button>
<button type="button" id="open">Open a picture</button>
<input type="file" id="file" accept="image/*" aria-label="A picture" hidden>
</div>
<p class="bad" id="wrong" role="alert"></p>
<details><summary>With the keyboard</summary>
<p class="faint" id="keys">The arrow keys move the pen, with Shift farther. Space puts it down and \
lifts it. Delete clears. Ctrl+Z takes the last step back.</p></details>
"""


def _answer(image: tuple[int, int, int], names: Sequence[str]) -> str:
    """The likeliest class, what the network sees, and a bar for each class."""
    height, width = image[:2]
    shown = names if len(names) <= ALL_CLASSES else names[:LIKELIEST]
    bars = "".join(
        f'<li><span class="class">{escape(name)}</span><span class="bar"><i></i></span>'
        '<span class="share">–</span></li>'
        for name in shown
    )
    likeliest = "Probabilities" if len(shown) == len(names) else "The likeliest classes"
    return (
        '<div class="result"><figure class="picture">'
        f'<canvas id="seen" width="{width}" height="{height}" role="img" '
        'aria-label="What the network sees"></canvas>'
        f"<figcaption>The network sees {width} x {height} pixels</figcaption></figure>"
        '<p id="best"><b>–</b><span>Nothing is drawn yet.</span></p></div>'
        f'<ol id="bars" aria-label="{likeliest}">{bars}</ol>'
    )


def _pictures(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """A picture for each stage, which the page's script paints."""
    key = (
        '<p class="faint">Orange is above 0, blue is below 0. The largest value of each picture '
        "has the full colour.</p>"
    )
    each = [
        f'<figure class="stage"><figcaption><b>{escape(stage["text"])}</b> '
        f'{escape(stage["name"])}</figcaption><canvas id="stage-{k}" role="img" '
        f'aria-label="{escape(stage["text"])}"></canvas></figure>'
        for k, stage in enumerate(stages)
    ]
    return [key, '<div class="stages">', *each, "</div>"]


def _about(network: Network, image: tuple[int, int, int]) -> list[str]:
    """The table of layers, and how a drawing is prepared."""
    size = f"{image[1]} x {image[0]} pixels"
    if network.preparation.style is None:
        how = f"A drawing or a picture is stretched to {size}."
        if image[2] == 3:
            how += " The network knows colours, and the pen is white alone: open a picture."
    else:
        style = STYLES[network.preparation.style]
        slant = "takes its slant out, " if style.normalized else ""
        how = (
            f"The network has learnt characters of one size, at one place. So the page looks for "
            f"the ink, {slant}scales it to fit into {style.box[1]} x {style.box[0]} pixels, and "
            f"moves it to the middle of {size}."
        )
    return [
        f"<p>{how}</p>",
        f'<pre tabindex="0" aria-label="Layers">{escape(network.summary())}</pre>',
        '<p class="faint">The page computes all of this by itself. It asks for nothing and sends '
        "nothing. Weights are rounded to 16 bits.</p>",
    ]
