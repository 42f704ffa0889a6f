"""The page to draw on: its layers and its preparation against the library, and how it is used."""

import math
from base64 import b64encode
from functools import cache

import numpy as np
import pytest
from browser import WIDTHS, Opened, data_of, needs_chromium, wait_frames, wait_until

from scratchnet import MultiLayerNet, Network, layers
from scratchnet.data.drawings import STYLES, draw_like, find_ink, resize
from scratchnet.data.preparation import Preparation
from scratchnet.errors import DivergenceError, ParameterError
from scratchnet.layers import (
    ACTIVATIONS,
    Affine,
    AvgPool,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dropout,
    GaussianNoise,
    GlobalAvgPool,
    Huber,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonLoss,
    PReLU,
    ReLU,
    Residual,
    SiLU,
    SoftmaxWithLoss,
    Standardize,
)
from scratchnet.layers.layer import walk
from scratchnet.report.drawing import (
    CONFIDENCES,
    describe_layer,
    drawing_page,
    known_layers,
    to_integers,
)
from scratchnet.report.page import asset

MNIST = Preparation(1 / 255, 255.0, (28, 28), "mnist")
DIGITS = Preparation(1 / 16, 16.0, (8, 8), "digits")


def network_of(preparation=MNIST, hidden=(20,), **options):
    """A network that is not trained, and says nothing about its inputs but this."""
    network = MultiLayerNet(math.prod(preparation.image_shape), list(hidden), 10, **options)
    network.preparation = preparation
    return network


def convolutional():
    made = [Conv2D(4, 3, padding="same"), BatchNorm(), MaxPool(2), ReLU(), Affine(10)]
    network = Network(made, input_shape=(28, 28))
    network.preparation = MNIST
    return network


# What is in the page, without a browser


def test_a_layer_of_the_library_is_known_to_the_page():
    kinds = [one for one in vars(layers).values() if isinstance(one, type)]
    of_tables = {"Columns", "Concat", "Embedding", "MemberAffine"}
    of_tables |= {"PiecewiseLinear", "RobustScale", "Scale"}
    names = {kind.__name__ for kind in kinds if issubclass(kind, Layer)}
    assert known_layers() == names - {"Layer", *of_tables}  # which see no drawings


def test_a_page_of_784_256_128_10_is_small_and_holds_no_plotly():
    for options in ({}, {"batch_norm": True}):
        html = drawing_page(network_of(hidden=(256, 128), **options))
        assert len(html.encode()) <= 700_000
        assert "plotly.js v" not in html


def test_the_page_forbids_every_request():
    html = drawing_page(network_of())
    assert "default-src 'none'" in html
    for word in ("http://", "https://", "src=", "fetch("):
        assert word not in html, word


def test_names_and_title_are_text():
    network = network_of(DIGITS)
    names = ("</script><b>", *map(str, range(1, 10)))
    network.preparation = Preparation(1 / 16, 16.0, (8, 8), "digits", names)
    html = drawing_page(network, "<i>a & b</i>")
    assert "<i>a" not in html
    assert "<title>&lt;i&gt;a &amp; b&lt;/i&gt;</title>" in html
    assert "<b>," not in html
    assert data_of(html)["classes"][0] == "</script><b>"


def test_the_stages_are_what_is_handed_on_to_the_next_weights():
    stages = data_of(drawing_page(convolutional()))["stages"]
    assert [(one["layer"], one["maps"], one["text"]) for one in stages] == [
        (3, [14, 14, 4], "4 maps of 14 x 14"),
        (4, None, "10 units"),
    ]
    assert stages[0]["name"] == "Conv2D(4, 3, padding=same), BatchNorm(4), MaxPool(2), ReLU()"


def test_many_classes_are_told_by_the_likeliest():
    network = MultiLayerNet(64, [5], 47)
    network.preparation = Preparation(image_shape=(8, 8))
    html = drawing_page(network)
    assert html.count('<li><span class="class">') == 10


def test_the_pen_is_as_thick_as_the_strokes_of_the_images():
    for kept, share in ((MNIST, "0.08"), (DIGITS, "0.15")):
        assert f'data-pen="{share}"' in drawing_page(network_of(kept))


def test_a_network_of_images_without_preparation_has_the_shape_of_its_rows():
    html = drawing_page(Network([Conv2D(2, 3), Affine(3)], input_shape=(10, 12, 3)))
    assert data_of(html)["drawing"]["shape"] == [10, 12, 3]
    assert 'width="280" height="233"' in html


class Own(ReLU):
    """A layer that is not the library's."""


class OwnLoss(MeanSquaredError):
    """A loss that is not the library's."""


REFUSED = {
    "rows that are no images": (
        lambda: MultiLayerNet(4, [5], 3),
        r"needs a network of images, this one takes rows \(4,\)",
    ),
    "values": (
        lambda: Network([Affine(1)], MeanSquaredError(), input_shape=(8, 8)),
        r"needs a network that classifies, MeanSquaredError\(labels='values'\) is for values",
    ),
    "two channels": (
        lambda: Network([Affine(3)], input_shape=(8, 8, 2)),
        "grey images or of red, green and blue, this one takes 2 channels",
    ),
    "a layer": (
        lambda: Network([Affine(4), Own(), Affine(3)], input_shape=(8, 8)),
        "the page cannot compute the layer Own; take layers of scratchnet.layers",
    ),
    "a layer within a layer": (
        lambda: Network([Residual([ReLU(), Own()]), Affine(3)], input_shape=(8, 8)),
        "the layer Own",
    ),
    "a loss": (
        lambda: Network([Affine(3)], OwnLoss("integer"), input_shape=(8, 8)),
        "the page cannot compute the loss OwnLoss; take one of SoftmaxWithLoss",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_page_cannot_do_is_refused_by_a_sentence(name):
    make, says = REFUSED[name]
    with pytest.raises(ParameterError, match=says):
        drawing_page(make())


def test_a_layer_of_another_library_with_a_known_name_is_refused():
    Other = type("ReLU", (ReLU,), {})
    with pytest.raises(ParameterError, match="the layer ReLU"):
        drawing_page(Network([Other(), Affine(3)], input_shape=(8, 8)))


def test_values_that_are_not_finite_are_refused():
    network = network_of()
    network.params["b1"][3] = np.nan
    with pytest.raises(DivergenceError, match="b1 is not finite"):
        drawing_page(network)


def test_a_weight_is_rounded_by_half_its_scale_at_most():
    rng = np.random.default_rng(0)
    W = rng.normal(size=(50, 4, 6)).astype(np.float32) * np.float32([1, 10, 1e-3, 1, 1e-30, 0])
    integers, scales = to_integers(W)
    assert integers.dtype == np.int16
    assert np.abs(integers).max() == 32767
    off = np.abs(integers * scales.astype(np.float64) - W)
    assert (off <= np.abs(W).max(axis=(0, 1)) / 65534 * 1.001).all()


@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"layer_norm": True}])
def test_rounded_weights_change_no_class_and_hardly_a_probability(options):
    network = network_of(hidden=(256, 128), **options)
    x = np.random.default_rng(0).uniform(size=(200, 784)).astype(np.float32)
    before = network.predict_proba(x)
    round_weights(network.all_layers)
    after = network.predict_proba(x)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert 0 < np.abs(before - after).max() <= 1e-3


def round_weights(each):
    """Give all weights the values that they have in the page."""
    for layer in each:
        if "W" in layer.params:
            integers, scales = to_integers(layer.params["W"])
            layer.params["W"] = integers * scales


# The layers of the page against those of the library


IMAGES = [(9, 7, 3), (12, 12, 1), (6, 11, 2)]
ROWS = [(20,), (1,), (5, 4, 3)]
OF_IMAGES = {
    "convolution": lambda _: Conv2D(5, 3),
    "convolution, even": lambda _: Conv2D(3, (2, 4), bias=False),
    "convolution, strides": lambda _: Conv2D(4, (3, 2), stride=(2, 3), padding=1),
    "convolution, same": lambda _: Conv2D(4, (4, 3), stride=(3, 2), padding="same"),
    "convolution, dilation": lambda _: Conv2D(2, 2, dilation=(3, 2), padding=(1, 2)),
    "max-pooling": lambda _: MaxPool((2, 3)),
    "mean-pooling": lambda _: AvgPool((4, 2)),
    "global pooling": lambda _: GlobalAvgPool(),
    "residual": lambda s: Residual(
        [Conv2D(4, 3, padding="same"), BatchNorm(), ReLU(), Conv2D(s[2], 3, padding="same")]
    ),
    "residual, projection": lambda _: Residual(
        [Conv2D(4, 3, stride=2, padding="same"), SiLU(), Conv2D(6, 3, padding="same")]
    ),
}
OF_ROWS = {
    "affine": lambda _: Affine(7),
    "affine without bias": lambda _: Affine(3, bias=False),
    "residual, affine": lambda s: (
        Residual([Affine(6), ReLU(), Affine(math.prod(s))]) if len(s) == 1 else Residual([ReLU()])
    ),
    "batch norm": lambda _: BatchNorm(),
    "batch norm, eps": lambda _: BatchNorm(eps=0.3, scale=False),
    "layer norm": lambda _: LayerNorm(),
    "layer norm, eps": lambda _: LayerNorm(eps=0.3, scale=False),
    "standardize": lambda _: Standardize(),
    "dropout": lambda _: Dropout(0.5),
    "noise": lambda _: GaussianNoise(0.5),
    "leaky, slope": lambda _: LeakyReLU(0.3),
    "slope for each": lambda s: PReLU(math.prod(s)),
    **{name: lambda _, kind=kind: kind() for name, kind in ACTIVATIONS.items()},
}
CASES = {
    **{f"{name} {s}": (make, s) for name, make in OF_IMAGES.items() for s in IMAGES},
    **{f"{name} {s}": (make, s) for name, make in OF_ROWS.items() for s in ROWS},
}


def made(make, shape):
    """A layer with values of all kinds in its arrays, its weights rounded as in the page."""
    rng = np.random.default_rng(1)
    layer = make(shape)
    layer.build(shape)
    layer.output_shape(shape)
    layer.initialize()
    for one in walk([layer]):
        for arrays in (one.params, one.statistics):
            for name in arrays:
                positive = name in ("running_var", "input_std")
                low, high = (0.2, 2.0) if positive else (-1.0, 1.0)
                arrays[name] = rng.uniform(low, high, arrays[name].shape)
    round_weights(walk([layer]))
    return layer


def test_the_cases_have_every_layer_that_the_page_knows():
    found = {type(one).__name__ for make, s in CASES.values() for one in walk([made(make, s)])}
    assert found == known_layers()


class Scripts:
    """The page's formulas in a browser, without the page."""

    def __init__(self, chromium, folder):
        self.chromium, self.folder, self.opened = chromium, folder, {}

    def run(self, function, given, fault=("", "")):
        """What a function of the page's scripts returns; `fault` is (what it replaces, by what)."""
        if fault not in self.opened:
            right, wrong = fault
            source = asset("forward.js") + asset("drawing.js").removeprefix('"use strict";')
            assert not right or source.count(right) == 1, f"{right!r} is there not once"
            file = self.folder / f"formulas-{len(self.opened)}.html"
            file.write_text(f"<script>{source.replace(right, wrong) if right else source}</script>")
            self.opened[fault] = Opened(self.chromium, file)
        return self.opened[fault].page.evaluate(function, given)

    def deviations(self, cases, fault=("", "")):
        """The largest deviation of each layer's results, against their largest value."""
        rng = np.random.default_rng(0)
        jobs, known = [], []
        for make, shape in cases:
            layer = made(make, shape)
            x = rng.normal(0, 3, (4, math.prod(shape))).astype(np.float32)
            x[1, ::2] = 0
            known.append(np.asarray(layer.forward(x)).reshape(len(x), -1))
            jobs.append([describe_layer(layer, shape), x.tolist()])
        found = self.run(
            "(jobs) => jobs.map(([layer, rows]) => { const pass = makeLayer(layer);"
            " return rows.map((row) => [...pass(Float32Array.from(row))]); })",
            jobs,
            fault,
        )
        return [
            float(np.abs(np.array(a) - b).max() / max(1, np.abs(b).max()))
            for a, b in zip(found, known, strict=True)
        ]


@pytest.fixture(scope="module")
def scripts(chromium, tmp_path_factory):
    made = Scripts(chromium, tmp_path_factory.mktemp("formulas"))
    yield made
    for opened in made.opened.values():
        opened.context.close()


@needs_chromium
def test_every_layer_of_the_page_computes_what_the_library_does(scripts):
    off = dict(zip(CASES, scripts.deviations(CASES.values()), strict=True))
    assert max(off.values()) <= 3e-6, {name: d for name, d in off.items() if d > 3e-6}


FAULTS = [
    ("affine", "sums.set(b);\n    for (let i = 0; i < inputs", "for (let i = 0; i < inputs"),
    ("convolution, strides", "dilation[0] * u - pad[0]", "dilation[0] * u"),
    ("convolution, dilation", "dilation[1] * v", "v"),
    ("max-pooling", "y.fill(-Infinity);", ""),
    ("batch norm, eps", "Math.sqrt(value + eps)", "Math.sqrt(value)"),
    ("gelu", "(2 * z * z) / (2 * n + 1)", "(z * z) / (2 * n + 1)"),
    ("residual", "past[k] + inner[k]", "inner[k]"),
    ("prelu", "x > 0 ? x : a[", "x < 0 ? x : a["),
]


@needs_chromium
@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS)
def test_a_fault_in_a_formula_of_the_page_is_found(scripts, name, right, wrong):
    cases = [case for key, case in CASES.items() if key.startswith(f"{name} (")]
    assert max(scripts.deviations(cases, (right, wrong))) > 1e-3


LOSSES = [
    (SoftmaxWithLoss("onehot"), 4),
    (BinaryCrossEntropy("integer"), 1),
    (BinaryCrossEntropy("integer"), 3),
    (BinaryCrossEntropy("values"), 1),
    (BinaryCrossEntropy("values"), 3),
    (MeanSquaredError("integer"), 1),
    (MeanSquaredError("integer"), 4),
    (MeanAbsoluteError("integer"), 3),
    (Huber("integer"), 3),
    (PoissonLoss("integer"), 3),
]


def test_the_cases_have_every_loss_that_the_page_knows():
    assert {type(loss) for loss, _ in LOSSES} == set(CONFIDENCES)


@needs_chromium
@pytest.mark.parametrize(("loss", "outputs"), LOSSES)
def test_probabilities_are_those_of_the_library(scripts, loss, outputs):
    network = Network([Affine(outputs)], loss, input_shape=(3, 4))
    round_weights(network.layers)
    x = np.random.default_rng(0).normal(0, 4, (50, 12)).astype(np.float32)
    x[0] = -1e4 * network.params["W1"].sum(axis=1)  # all outputs may be below 0
    found = scripts.run(
        "([network, rows]) => { const { predict } = makeNetwork(network);"
        " return rows.map((row) => [...predict(Float32Array.from(row))]); }",
        [data_of(drawing_page(network))["network"], x.tolist()],
    )
    np.testing.assert_allclose(found, network.predict_proba(x), atol=1e-6)


# Drawings


@cache
def drawings(n=12):
    """Greys (H, W) from 0 to 255: thick lines in places at random, light on dark or the reverse."""
    rng = np.random.default_rng(3)
    found = []
    for k in range(n):
        h, w = rng.integers(40, 200, 2)
        ink = np.zeros((h, w))
        corners = rng.uniform(0.15, 0.85, (rng.integers(2, 6), 2)) * (h, w)
        thick = rng.uniform(2, 10)
        down, across = np.mgrid[:h, :w] + 0.5
        for t in np.linspace(0, len(corners) - 1.001, 200):
            a, b = corners[int(t)], corners[int(t) + 1]
            y, x = a + (t % 1) * (b - a)
            away = np.hypot(down - y, across - x)
            ink = np.maximum(ink, np.clip(thick - away, 0, 1))
        noise = rng.normal(0, 6, (h, w)) if k % 3 == 0 else 0
        paper, strength = (230, -200) if k % 2 else (20, 215)
        found.append(np.clip(np.rint(paper + strength * ink + noise), 0, 255))
    line = np.zeros((90, 160))
    line[40:44, 20:80], line[42:46, 80:140] = 255, 255  # almost level: a slant that is far from 0
    return [*found, line, np.full((30, 20), 7.0), 255 * np.eye(50)]


PREPARED = {
    "mnist": MNIST,
    "digits": DIGITS,
    "no style": Preparation(1 / 255, 255.0, (20, 30)),
    "enlarged": Preparation(1.0, 3.0, (90, 80)),
}


def bytes_of(grey):
    return b64encode(grey.astype(np.uint8).tobytes()).decode()


def preparation_off(scripts, kept, fault=("", "")):
    """The largest deviation of the page's inputs from the library's, over all drawings."""
    pictures = drawings()
    found = scripts.run(
        "([drawing, pictures]) => { const { prepare } = makeDrawing(drawing);"
        " const read = (text) => Float64Array.from(atob(text), (one) => one.charCodeAt(0));"
        " return pictures.map(([text, h, w]) => [...prepare(read(text), h, w)]); }",
        [
            data_of(drawing_page(network_of(kept, hidden=())))["drawing"],
            [[bytes_of(grey), *grey.shape] for grey in pictures],
        ],
        fault,
    )
    off = 0.0
    for grey, row in zip(pictures, found, strict=True):
        if kept.style is None:
            image = resize(grey, kept.image_shape) / 255
        else:
            image = draw_like(find_ink(grey)[0], STYLES[kept.style])
        off = max(off, np.abs(row - kept.rows(kept.white * image[np.newaxis])[0]).max())
    return off


@needs_chromium
@pytest.mark.parametrize("name", PREPARED)
def test_a_drawing_is_prepared_as_the_library_does(scripts, name):
    assert preparation_off(scripts, PREPARED[name]) <= 1e-5


WRONG = [
    ("mnist", "sign * (grey[k] - paper)", "grey[k] - paper"),
    ("mnist", "y += ink[k] * (i + 0.5)", "y += ink[k] * i"),
    ("mnist", "Math.max(right, to + 1)", "Math.max(right, to)"),
    ("digits", "const p = place + moved", "const p = place - moved"),
    ("digits", "if (!style.normalized) high = broad", "if (true) high = broad"),
    ("no style", "ends ? weights[i * nIn + j] / sum :", ""),
    ("enlarged", "Math.min(by, 1)", "by"),
]


@needs_chromium
@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
def test_a_fault_in_the_preparation_is_found(scripts, name, right, wrong):
    assert preparation_off(scripts, PREPARED[name], (right, wrong)) > 1e-3


@needs_chromium
def test_a_picture_with_colours_is_stretched_channel_by_channel(scripts):
    network = Network([Affine(3)], input_shape=(12, 9, 3))
    picture = np.random.default_rng(0).integers(0, 256, (40, 31, 3)).astype(float)
    found = scripts.run(
        "([drawing, picture]) => { const { prepare } = makeDrawing(drawing);"
        " return [[...prepare(picture, 40, 31)],"
        " [...prepare(picture.filter((_, k) => k % 3 === 1), 40, 31)]]; }",
        [data_of(drawing_page(network))["drawing"], picture.ravel().tolist()],
    )
    np.testing.assert_allclose(found[0], resize(picture, (12, 9)).ravel() / 255, atol=1e-6)
    grey = np.repeat(resize(picture[:, :, 1], (12, 9)).ravel(), 3) / 255
    np.testing.assert_allclose(found[1], grey, atol=1e-6)


# The page


def opened_page(chromium, folder, network, **how):
    file = folder / "draw.html"
    file.write_text(drawing_page(network), encoding="utf-8")
    return Opened(chromium, file, **how)


def draw(page, corners=((0.3, 0.2), (0.7, 0.2), (0.45, 0.8))):
    """A stroke with the mouse, through corners (x, y) as shares of the canvas."""
    box = page.locator("#canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    wait_frames(page, 2)


def ink_on(page):
    """How many pixels of the canvas are light."""
    return page.evaluate(
        "context.getImageData(0, 0, canvas.width, canvas.height).data"
        ".reduce((n, value, k) => n + (k % 4 === 0 && value > 127), 0)"
    )


def shares(page):
    return [one.inner_text() for one in page.query_selector_all("#bars .share")]


def percent(p):
    return f"{100 * p:.1f}\u00a0%"


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("make", [network_of, convolutional])
def test_the_page_asks_for_nothing_and_fits(chromium, tmp_path, make, width, scheme):
    opened = opened_page(chromium, tmp_path, make(), width=width, scheme=scheme)
    page = opened.page
    assert page.inner_text("#best") == "–\nNothing is drawn yet."
    assert shares(page) == ["–"] * 10
    draw(page)
    opened.require_clean()
    assert page.evaluate("getComputedStyle(canvas).touchAction") == "none"
    painted = "(c) => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    for name in ("#seen", "#stage-0", "#stage-1"):
        assert page.eval_on_selector(name, painted) > 4, name


@needs_chromium
@pytest.mark.parametrize("kept", [MNIST, DIGITS, Preparation(1.0, 1.0, (14, 10))])
def test_what_it_says_is_what_the_library_says(chromium, tmp_path, kept):
    network = network_of(kept)
    opened = opened_page(chromium, tmp_path, network)
    page = opened.page
    draw(page)
    pixels, height = page.evaluate(
        "[[...context.getImageData(0, 0, canvas.width, canvas.height).data], canvas.height]"
    )
    grey = np.reshape(pixels, (height, -1, 4))[:, :, 0]
    image = draw_like(find_ink(grey)[0], STYLES[kept.style]) if kept.style else None
    image = resize(grey, kept.image_shape) / 255 if image is None else image
    p = network.predict_proba(kept.rows(kept.white * image[np.newaxis]))[0]
    found = page.evaluate("[...NETWORK.predict(DRAWING.inputs(look()))]")
    np.testing.assert_allclose(found, p, atol=1e-3)
    assert shares(page) == [percent(value) for value in found]
    assert page.inner_text("#best") == f"{p.argmax()}\n{percent(max(found))}"
    assert page.locator("#bars li.best .class").all_inner_texts() == [str(p.argmax())]
    opened.require_clean()


@needs_chromium
def test_undo_and_clear_go_back_step_by_step(chromium, tmp_path):
    page = opened_page(chromium, tmp_path, network_of()).page
    draw(page)
    one = ink_on(page)
    draw(page, [(0.2, 0.9), (0.8, 0.9)])
    two = ink_on(page)
    assert 0 < one < two
    page.click("#clear")
    wait_frames(page, 2)
    assert ink_on(page) == 0
    assert shares(page) == ["–"] * 10
    for left in (two, one, 0):
        page.keyboard.press("Control+z")
        wait_frames(page, 2)
        assert abs(ink_on(page) - left) <= 0.02 * two
    page.click("#undo")  # nothing is left, and nothing happens
    wait_frames(page, 2)
    assert shares(page) == ["–"] * 10


@needs_chromium
def test_what_clears_the_canvas_ends_a_stroke(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, network_of())
    page = opened.page
    box = page.locator("#canvas").bounding_box()
    for end in ("clear()", "undo()"):
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 90, box["y"] + 50)
        page.evaluate(end)
        page.mouse.move(box["x"] + 90, box["y"] + 99)
        page.mouse.up()
        wait_frames(page, 2)
        assert ink_on(page) == 0, end
    assert opened.messages == []


@needs_chromium
def test_the_keyboard_draws(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, network_of())
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "canvas"
    assert page.is_visible("#pen")
    page.keyboard.press("Shift+ArrowUp")
    wait_frames(page, 2)
    assert ink_on(page) == 0
    page.keyboard.press("Space")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    wait_until(page, "byId('says').textContent.length > 0")
    line = ink_on(page)
    assert line > 2000
    page.keyboard.press("Space")
    wait_until(page, "byId('says').textContent.startsWith('Pen up, 50 percent')")
    page.keyboard.press("Shift+ArrowRight")
    wait_frames(page, 2)
    assert ink_on(page) == line
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached == ["clear", "undo", "open", "SUMMARY"]
    page.focus("#canvas")
    page.keyboard.press("Delete")
    wait_frames(page, 2)
    assert ink_on(page) == 0
    opened.require_clean()


@needs_chromium
def test_every_control_has_a_name(chromium, tmp_path):
    page = opened_page(chromium, tmp_path, convolutional()).page
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, button, canvas, section, pre')].filter(one => "
        "!(one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label')))"
        ".map(one => one.id)"
    )
    assert nameless == []


@needs_chromium
def test_a_screen_reader_hears_the_answer_once_a_stroke(chromium, tmp_path):
    page = opened_page(chromium, tmp_path, network_of()).page
    assert page.get_attribute("#says", "aria-live") == "polite"
    page.evaluate(
        "window.heard = []; new MutationObserver(() => heard.push(byId('says').textContent))"
        ".observe(byId('says'), { childList: true, characterData: true, subtree: true })"
    )
    draw(page)
    wait_until(page, "heard.length > 0")
    wait_frames(page, 60)
    best, share = page.inner_text("#best").split("\n")
    assert page.evaluate("heard") == [f"{best}, {share}."]


@needs_chromium
def test_it_works_once_a_frame_at_most(chromium, tmp_path):
    page = opened_page(chromium, tmp_path, network_of()).page
    counted = page.evaluate(
        """new Promise((done) => {
             let count = 0;
             const { see } = DRAWING;
             DRAWING.see = (...given) => { count += 1; return see(...given); };
             beginStroke([50, 50]);
             for (let k = 0; k < 500; k += 1) continueStroke([50 + k / 5, 60]);
             requestAnimationFrame(() => requestAnimationFrame(() => done(count)));
           })"""
    )
    assert counted == 1


def picture_file(folder, pixels, name="picture.png"):
    from PIL import Image

    path = folder / name
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def ring(side=60):
    """A ring, from 0 to 255."""
    away = np.hypot(*(np.mgrid[:side, :side] - side / 2))
    return 255.0 * (np.abs(away - side / 4) < 3)


PICTURES = {
    "dark on light": lambda r: np.dstack([255 - r] * 3),
    "light on dark": lambda r: np.dstack([r] * 3),
    "red on white": lambda r: np.dstack([255 + 0 * r, 255 - r, 255 - r]),
    "dark, transparent": lambda r: np.dstack([0 * r] * 3 + [r]),
    "light, transparent": lambda r: np.dstack([255 + 0 * r] * 3 + [r]),
}


@needs_chromium
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_prepared_as_its_ink(chromium, tmp_path, name):
    opened = opened_page(chromium, tmp_path, network_of())
    page = opened.page
    path = picture_file(tmp_path, PICTURES[name](ring()))
    page.set_input_files("#file", path)
    wait_until(page, "steps.length === 1 && byId('best').textContent.includes('%')")
    row = page.evaluate("[...DRAWING.inputs(look())]")
    known = draw_like(find_ink(ring())[0], STYLES["mnist"]).ravel()
    np.testing.assert_allclose(row, known, atol=1e-5)
    draw(page)  # takes the place of the picture
    assert not page.evaluate("Boolean(lastStep().picture)")
    page.click("#undo")
    wait_frames(page, 2)
    np.testing.assert_allclose(page.evaluate("[...DRAWING.inputs(look())]"), known, atol=1e-5)
    assert opened.messages == []


@needs_chromium
@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(chromium, tmp_path, how):
    page = opened_page(chromium, tmp_path, network_of()).page
    path = picture_file(tmp_path, PICTURES["dark on light"](ring()))
    page.evaluate(
        """([how, bytes]) => {
             const held = new DataTransfer();
             held.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
             const given = { bubbles: true, cancelable: true };
             document.body.dispatchEvent(how === "drop"
               ? new DragEvent("drop", { ...given, dataTransfer: held })
               : new ClipboardEvent("paste", { ...given, clipboardData: held }));
           }""",
        [how, list(path.read_bytes())],
    )
    wait_until(page, "steps.length === 1 && byId('best').textContent.includes('%')")
    assert page.inner_text("#wrong") == ""


@needs_chromium
def test_what_is_no_picture_is_told_and_changes_nothing(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, network_of())
    page = opened.page
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.png").write_text("no picture either")
    picture_file(tmp_path, np.full((20, 20), 7), "empty.png")
    page.set_input_files("#file", tmp_path / "notes.txt")
    assert page.inner_text("#wrong") == "notes.txt is no picture. Take a PNG or a JPEG."
    page.set_input_files("#file", tmp_path / "broken.png")
    wait_until(page, "byId('wrong').textContent.includes('broken.png')")
    assert page.evaluate("steps.length") == 0
    page.set_input_files("#file", tmp_path / "empty.png")
    wait_until(page, "byId('wrong').textContent === 'Nothing can be seen in empty.png.'")
    wait_frames(page, 2)
    assert shares(page) == ["–"] * 10
    draw(page)
    assert page.inner_text("#wrong") == ""
    assert opened.messages == []


@needs_chromium
def test_labels_that_do_not_exclude_each_other_have_a_share_each(chromium, tmp_path):
    network = Network([Affine(3)], BinaryCrossEntropy("values"), input_shape=(8, 8))
    network.params["W1"] = np.zeros((64, 3))
    network.params["b1"] = np.array([2.0, -2.0, 1.0])
    network.preparation = Preparation(image_shape=(8, 8), class_names=("a", "b", "c"))
    page = opened_page(chromium, tmp_path, network).page
    draw(page)
    assert shares(page) == [percent(1 / (1 + math.exp(-y))) for y in (2, -2, 1)]
    assert page.inner_text("#best").strip() == "a, c"


@needs_chromium
def test_of_many_classes_the_likeliest_are_shown_in_their_order(chromium, tmp_path):
    network = MultiLayerNet(64, [], 40)
    network.params["W1"] = np.zeros((64, 40))
    network.params["b1"] = np.arange(40) / 4
    network.preparation = Preparation(image_shape=(8, 8))
    page = opened_page(chromium, tmp_path, network).page
    draw(page)
    names = page.locator("#bars .class").all_inner_texts()
    assert names == [str(k) for k in range(39, 29, -1)]
