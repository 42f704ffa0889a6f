"""Panels with logarithmic axes as SVG, written by hand: readable on light and dark pages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

PANEL, GAP, HIGH = 250, 16, 360
LEFT, TOP, BOTTOM = 66, 34, 55
COLOR = "#2f7fd1"
"""In the middle between black and white, so that it stands out against either."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.grid { stroke: #8886; stroke-width: 1 }
.guide { stroke: #888; stroke-width: 1; stroke-dasharray: 4 4 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
"""

XY = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Points (x, y), all above 0, in their order, under one name; a label beside each."""

    name: str
    points: Sequence[XY]
    labels: Sequence[str]


class Axis:
    """Maps values onto `start`..`stop` by their logarithm, from a little below the least."""

    def __init__(self, values: Sequence[float], start: float, stop: float) -> None:
        self.low, self.high = math.log10(min(values)) - 0.1, math.log10(max(values)) + 0.14
        self.start, self.stop = start, stop

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times the powers of ten within the axis."""
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        every = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return [value for value in every if self.low <= math.log10(value) <= self.high]


def log_log(every: Sequence[Series], x_title: str, y_title: str) -> str:
    """A panel for each series, its line and dashed its growth in proportion; y is the same."""
    y = Axis([point[1] for series in every for point in series.points], HIGH - BOTTOM, TOP)
    wide = LEFT + len(every) * (PANEL + GAP)
    parts = [_text(LEFT - 8, y(value) + 4, f"{value:g}", "end") for value in y.ticks()]
    for k, series in enumerate(every):
        start = LEFT + k * (PANEL + GAP)
        x = Axis([point[0] for point in series.points], start, start + PANEL)
        parts += [*_grid(x, y), _text(start + PANEL / 2, TOP - 12, series.name, "middle")]
        parts += _line(series, x, y)
    turned = f'transform="translate(16 {(HIGH - BOTTOM + TOP) / 2}) rotate(-90)"'
    parts += [
        _text((LEFT + wide - GAP) / 2, HIGH - 12, x_title, "middle"),
        f'<text {turned} text-anchor="middle">{escape(y_title)}</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {HIGH}" role="img">\n'
        f"<title>{escape(y_title)} against {escape(x_title)}</title>\n<style>{STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _grid(x: Axis, y: Axis) -> list[str]:
    """A line for every tick, and the numbers below."""
    parts = []
    for value in x.ticks():
        at, low = x(value), HIGH - BOTTOM
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{low}"/>')
        parts.append(_text(at, low + 18, _number(value), "middle"))
    across = [f'<path class="grid" d="M{x.start} {y(v):.1f}H{x.stop}"/>' for v in y.ticks()]
    return parts + across


def _line(series: Series, x: Axis, y: Axis) -> list[str]:
    """The points, the line through them, and where they would lie in proportion to the first."""
    at = [(x(a), y(b)) for a, b in series.points]
    (x_0, y_0), (x_1, _) = series.points[0], series.points[-1]
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in at)
    guide = f"M{at[0][0]:.1f} {at[0][1]:.1f}L{x(x_1):.1f} {y(y_0 * x_1 / x_0):.1f}"
    parts = [
        f'<path d="M{path}" fill="none" stroke="{COLOR}" stroke-width="2"/>',
        f'<path class="guide" d="{guide}"/>',
    ]
    for (a, b), label in zip(at, series.labels, strict=True):
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{COLOR}"/>')
        parts.append(_text(a + 7, b + 16, label, "start"))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    """5e9 as 5 G."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
