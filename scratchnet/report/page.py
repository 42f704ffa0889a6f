"""One self-contained HTML page: text, figures that plotly.js draws, and nothing from elsewhere.

A figure is plain data, a dict with "data" and "layout" as plotly.js takes them; its colours, but
for those of the curves, come from `assets/page.css`, in light and dark.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from scratchnet.errors import ParameterError
from scratchnet.parameters import Array

Figure = dict[str, Any]

HINT = "pip install 'scratchnet[report]'"
COLOURS = ("#0077bb", "#e06c1f", "#009988", "#d6409f", "#808080", "#2194c9")
"""Told apart by colour-blind readers too (after Tol 2021), and on light and dark."""
STROKES = {"solid": "none", "dash": "9 5", "dot": "2 4", "dashdot": "9 4 2 4"}
"""The dashes of curves as plotly.js calls them, and as SVG draws them."""
DASHES = tuple(STROKES)

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<noscript><p>This page is drawn by JavaScript, which is switched off.</p></noscript>
$body
<script type="application/json" id="page-data">$data</script>
<script type="application/json" id="page-figures">$figures</script>
<script>$plotly</script>
$scripts
</body>
</html>
""")


class MissingPlotlyError(ModuleNotFoundError):
    """plotly, which draws the figures, is not installed."""

    def __init__(self) -> None:
        super().__init__(f"report.html needs plotly: {HINT}", name="plotly")


def make_page(
    title: str,
    body: Iterable[str],
    figures: Mapping[str, Figure],
    data: Mapping[str, Any],
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
) -> str:
    """The page, whose `body` is HTML with a `figure_box` for each of `figures` by its id.

    `data` is what scripts find in DATA; `scripts` are names of assets that run after `page.js`,
    `styles` of those behind `page.css`. Without figures the page needs no plotly.
    Raises MissingPlotlyError without plotly, ParameterError for a figure that has no box.
    """
    text = "\n".join(body)
    for name in figures:
        if f'id="{name}"' not in text:
            raise ParameterError(f"every figure must have a box in the page, {name!r} has none")
    return _PAGE.substitute(
        title=escape(title),
        style="".join(map(asset, ("page.css", *styles))),
        body=text,
        data=_for_script(data),
        figures=_for_script(figures),
        plotly=_plotly() if figures else "",
        scripts="\n".join(f"<script>\n{asset(name)}</script>" for name in ("page.js", *scripts)),
    )


def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    return files("scratchnet.report").joinpath("assets", name).read_text(encoding="utf-8")


def figure_box(name: str, caption: str, *, tall: bool = False) -> str:
    """The place of the figure `name`, of a height that is known before it is drawn."""
    kind = "plot tall" if tall else "plot"
    return (
        f'<figure><div class="{kind}" id="{name}" tabindex="0" role="img" '
        f'aria-label="{escape(caption)}"></div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def section(name: str, title: str, *content: str) -> str:
    """A part of the page that can be linked to by `name`."""
    return "\n".join(
        [f'<section id="{name}">', f"<h2>{escape(title)}</h2>", *content, "</section>"]
    )


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    caption: str = "",
    text: Sequence[int] = (),
    *,
    stacked: bool = False,
) -> str:
    """A table that scrolls by itself where it is too wide; columns in `text` are words.

    `stacked` shows each row as a block of its own on a narrow screen, instead of scrolling.
    """

    def cells(kind: str, values: Sequence[Any], scope: str = "") -> str:
        classes = [' class="text"' if k in text else "" for k in range(len(values))]
        if stacked and kind == "td":
            classes = [
                f'{words} data-title="{escape(title)}"' if k else words
                for k, (words, title) in enumerate(zip(classes, head, strict=True))
            ]
        return "".join(
            f"<{kind}{scope}{words}>{escape(str(value))}</{kind}>"
            for value, words in zip(values, classes, strict=True)
        )

    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    lines = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    header = cells("th", head, ' scope="col"')
    label = escape(caption or ", ".join(head))
    kind = ' class="stacked"' if stacked else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table{kind}>{title}'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{lines}\n</tbody></table></div>"
    )


def tiles(values: Iterable[tuple[str, str, str]]) -> str:
    """The few numbers to see first: name, value, and what to add in small letters."""
    each = (
        f'<div class="tile">{escape(name)}<b>{escape(value)}</b><small>{escape(more)}</small></div>'
        for name, value, more in values
    )
    return f'<div class="tiles">{"".join(each)}</div>'


def picture(image: Array, caption: str, *, signed: bool = False) -> str:
    """An image (height, width): grey from 0 to its largest value, or signed around 0.

    One of (height, width, 3) has colours.
    """
    largest = float(np.abs(image).max()) or 1.0
    share = (image / largest + 1) / 2 if signed else image / largest
    pixels = b64encode(np.clip(np.rint(255 * share), 0, 255).astype(np.uint8).tobytes()).decode()
    height, width = image.shape[:2]
    kind = "signed" if signed else "grey" if image.ndim == 2 else "colour"
    return (
        f'<figure class="picture"><canvas width="{width}" height="{height}" data-kind="{kind}" '
        f'data-pixels="{pixels}" role="img" aria-label="{escape(caption)}"></canvas>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def style(k: int) -> dict[str, Any]:
    """Colour, dash and width of the k-th curve: no two of the first 48 are alike."""
    rows, colour = divmod(k, len(COLOURS))
    width, dash = divmod(rows, len(DASHES))
    return {"color": COLOURS[colour], "dash": DASHES[dash], "width": 2 + 2 * (width % 2)}


def swatch(k: int) -> str:
    """A short piece of the k-th curve, to stand before its name."""
    one = style(k)
    return (
        '<svg class="swatch" viewBox="0 0 32 8" aria-hidden="true"><path d="M0 4h32" '
        f'stroke="{one["color"]}" stroke-width="{one["width"] + 1}" '
        f'stroke-dasharray="{STROKES[one["dash"]]}"/></svg>'
    )


def legend(names: Sequence[str]) -> str:
    """The names of curves in figures that have too many for a legend of their own."""
    each = (f"<li>{swatch(k)}{escape(name)}</li>" for k, name in enumerate(names))
    return f'<ul class="legend">{"".join(each)}</ul>'


def _plotly() -> str:
    """The source of plotly.js; raises MissingPlotlyError."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise MissingPlotlyError from error
    source: str = get_plotlyjs()
    return source


def _for_script(content: Any) -> str:
    """`content` as JSON that no text within can end the script element of."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
