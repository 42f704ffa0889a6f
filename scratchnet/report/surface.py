"""The page of paths on a surface: each optimizer's way, animated, and computed anew in the page.

The first view shows the paths as `trace` gave them. What is changed in the page is computed there,
by `assets/rules.js` and `assets/surfaces.js`: the same formulas, which a test compares with these.
"""

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.inspection.surfaces import SURFACES, Point, Surface, check_start, draw_tilts, trace
from scratchnet.optimizers import OPTIMIZERS, SGD, Momentum, Optimizer
from scratchnet.optimizers.wrappers import Wrapper
from scratchnet.registry import canonical
from scratchnet.report.page import asset, figure_box, make_page, section, style, swatch

MOST_STEPS = 2000
"""As many updates as the page can be asked for."""
FARTHEST = 1000
"""As far from 0 as a start can be in x and in y."""
CLOSE = 1e-3
"""Within this of its lowest value f counts as found."""
ZIGZAG: Mapping[str, Optimizer] = {"sgd": SGD(0.95), "momentum": Momentum(0.1)}
"""The optimizers of the first picture, on the ellipse."""

_WHY = (
    "Across the valley the slope is steep, along it almost flat. So plain gradient descent "
    "jumps from wall to wall and creeps towards the minimum. Momentum adds its steps up: those "
    "across point to and fro and cancel, those along agree and grow, and it rolls down the valley, "
    "here even past its lowest point and back."
)


@dataclass(frozen=True)
class Walk:
    """The path of one optimizer, up to where it or f ceases to be finite."""

    name: str
    optimizer: Optimizer
    surface: Surface
    path: list[Point]
    steps: int

    @property
    def diverged(self) -> int | None:
        """The step that led to no finite point, or None."""
        return len(self.path) if len(self.path) <= self.steps else None

    @property
    def f(self) -> float | None:
        """f at the end, or None for a path that diverged."""
        return None if self.diverged else float(self.surface.value(*self.path[-1]))

    @property
    def distance(self) -> float | None:
        """From the end to the nearest minimum, or None if there is no end or no minimum."""
        if self.diverged or not self.surface.minima:
            return None
        return min(math.dist(self.path[-1], minimum) for minimum in self.surface.minima)

    @property
    def reached(self) -> int | None:
        """The first step within CLOSE of the lowest f, or None."""
        near = self.surface.value(*np.transpose(self.path)) - self.surface.lowest <= CLOSE
        return int(near.argmax()) if near.any() else None

    def row(self) -> dict[str, Any]:
        """Its row in the page's table, as JSON values."""
        return {
            "optimizer": self.name,
            "lr": self.optimizer.lr,
            "f": self.f,
            "distance": self.distance,
            "reached": self.reached,
            "diverged": self.diverged,
        }


def walk_surface(
    surface: str,
    optimizers: Mapping[str, Optimizer],
    *,
    start: npt.ArrayLike | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> list[Walk]:
    """The walk of each of `optimizers`, by the names to show, from one start.

    `start` and `steps` None are the surface's own; `seed` is for noisy surfaces. Raises
    ParameterError for an unknown surface, no optimizers, a start that is not two numbers within
    +-1000, steps not from 1 to 2000, or a seed below 0.
    """
    where = SURFACES[canonical(SURFACES, surface, "surface")]
    steps = check_steps(where, steps)
    if not optimizers or not all(isinstance(one, Optimizer) for one in optimizers.values()):
        raise ParameterError(
            f"optimizers must be one or more by name, as {{'adam': Adam(0.3)}}, got {optimizers!r}"
        )
    if np.abs(check_start(start, where)).max() > FARTHEST:
        raise ParameterError(f"start must be within +-{FARTHEST} in x and y, got {start!r}")
    walks = []
    for name, optimizer in optimizers.items():
        path = trace(optimizer, where, start, steps, seed)
        with np.errstate(all="ignore"):  # f may overflow where the point does not
            lost = ~np.isfinite(where.value(*path.T))
        path = path[: lost.argmax()] if lost.any() else path
        points = [(float(x), float(y)) for x, y in path]
        walks.append(Walk(name, optimizer, where, points, steps))
    return walks


def check_steps(surface: Surface, steps: int | None) -> int:
    """`steps`, by default the surface's; raises ParameterError unless from 1 to MOST_STEPS."""
    steps = check_integer("steps", surface.steps if steps is None else steps, 1)
    if steps > MOST_STEPS:
        raise ParameterError(f"steps must be an integer from 1 to {MOST_STEPS}, got {steps}")
    return steps


def surface_rows(
    surface: str,
    optimizers: Mapping[str, Optimizer],
    *,
    start: npt.ArrayLike | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The table of the page: optimizer, lr, f at the end, distance to a minimum, and two steps.

    "reached" is the first within 0.001 of the lowest f, "diverged" the one that led nowhere; None
    where there is none. Raises ParameterError as `walk_surface` does.
    """
    walks = walk_surface(surface, optimizers, start=start, steps=steps, seed=seed)
    return [walk.row() for walk in walks]


def surface_page(
    surface: str,
    optimizers: Mapping[str, Optimizer],
    *,
    start: npt.ArrayLike | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> str:
    """The page as HTML; `surface_rows` of the same arguments holds its numbers.

    Raises ParameterError as `walk_surface` does, MissingPlotlyError without plotly.
    """
    walks = walk_surface(surface, optimizers, start=start, steps=steps, seed=seed)
    name, where = canonical(SURFACES, surface, "surface"), walks[0].surface
    data = {
        "surface": _described(where),
        "start": check_start(start, where).tolist(),
        "steps": walks[0].steps,
        "mostSteps": MOST_STEPS,
        "farthest": FARTHEST,
        "close": CLOSE,
        "tilts": draw_tilts(where, MOST_STEPS, seed).tolist() if where.noise else None,
        "walks": [_walk_data(walk, k) for k, walk in enumerate(walks)],
    }
    figures = {
        "contour": _figure("x", "y"),
        "loss": _figure(
            "step", "f above its lowest value" if where.minima and where.lowest else "f"
        ),
    }
    first = walk_surface("ellipse", ZIGZAG)
    body = [f"<h1>Optimizers on a surface: {escape(name)}</h1>"]
    if _shows(walks, first):
        body += [f'<p class="lead">{_WHY}</p>']
    else:
        data["zigzag"] = {
            "surface": _described(first[0].surface),
            "walks": [_walk_data(walk, k) for k, walk in enumerate(first)],
        }
        figures["zigzag"] = _figure("x", "y")
        body += [
            f'<p class="lead">{_WHY}</p>',
            figure_box(
                "zigzag",
                f"x²/20 + y² from (-7, 2), {first[0].steps} steps: gradient descent at the "
                "rate 0.95 and momentum at 0.1. The star is the minimum.",
            ),
        ]
    body += [section("paths", name.replace("-", " ").capitalize(), *_paths(walks))]
    return make_page(
        f"{', '.join(optimizers)} on {name}",
        ["<main>", *body, "</main>"],
        figures,
        data,
        ("rules.js", "surfaces.js", "surface.js"),
    )


def _shows(walks: list[Walk], others: list[Walk]) -> bool:
    """Whether `walks` hold all of `others`, so that their picture says the same."""
    paths = [walk.path for walk in walks]
    return all(type(walks[0].surface) is type(one.surface) and one.path in paths for one in others)


def _described(surface: Surface) -> dict[str, Any]:
    return {
        "class": type(surface).__name__,
        "limits": surface.limits,
        "minima": surface.minima,
        "lowest": surface.lowest if surface.minima else None,
    }


def _walk_data(walk: Walk, k: int) -> dict[str, Any]:
    allowed = type(walk.optimizer).__dataclass_fields__["lr"].metadata["range"]
    return {
        "name": walk.name,
        "config": walk.optimizer.config(),
        "path": walk.path,
        "line": style(k),
        "free": allowed.at_least != allowed.at_most,  # whether its rate may be another
        "computed": is_computed(walk.optimizer),
    }


def is_computed(optimizer: Optimizer) -> bool:
    """Whether `assets/rules.js` has the formula of the optimizer, and of those within it."""
    if isinstance(optimizer, Wrapper) and not is_computed(optimizer.inner):
        return False
    kind = type(optimizer)
    return kind in OPTIMIZERS.values() and kind.__name__ in computed_classes()


def computed_classes() -> set[str]:
    """The classes that the table RULES in `assets/rules.js` names."""
    found = re.search(r"^const RULES = {(.*?)^};", asset("rules.js"), re.DOTALL | re.MULTILINE)
    assert found is not None, "rules.js must have a table RULES"
    return set(re.findall(r"\w+", found[1]))


def _figure(x: str, y: str) -> dict[str, Any]:
    """A figure that the page's script fills; it does not zoom, so that a click is a start."""
    axes = {
        f"{axis}axis": {"title": {"text": title}, "fixedrange": True, "zeroline": False}
        for axis, title in (("x", x), ("y", y))
    }
    layout = {**axes, "dragmode": False, "showlegend": False, "hovermode": "closest"}
    return {"data": [], "layout": {**layout, "margin": {"l": 55, "r": 12, "t": 10, "b": 45}}}


def _paths(walks: list[Walk]) -> list[str]:
    surface = walks[0].surface
    formula = escape((inspect.getdoc(type(surface)) or "").split("\n")[0])
    formula = re.sub(r"\^(\d)", r"<sup>\1</sup>", formula)
    star = "The star is a minimum, the" if surface.minima else "The"
    return [
        f"<p>{formula}</p>",
        _switches(walks),
        '<div class="figures">',
        figure_box(
            "contour",
            f"The paths from above. {star} ring the start: click to start somewhere else.",
            tall=True,
        ),
        figure_box("loss", "f at every step; the dots are where the slider is.", tall=True),
        "</div>",
        _PLAYER,
        '<div class="controls fields">',
        _field("x", "start x", "number"),
        _field("y", "start y", "number"),
        _field("steps", "steps", "number"),
        '<button type="button" id="reset">Reset</button>',
        "</div>",
        _results(walks),
        _recorded(walks),
        "<details><summary>What each optimizer was made as</summary><pre>",
        *(escape(f"{walk.name}: {walk.optimizer!r}") for walk in walks),
        "</pre></details>",
        '<p class="faint">Every change is computed here, with the formulas of the library, and '
        "kept in the address: a copy of it opens this view.</p>",
    ]


_PLAYER = """\
<div class="controls player">
<button type="button" id="play">Play</button>
<input type="range" id="step" min="0" step="1" aria-label="step">
<output id="at" for="step" aria-live="off"></output>
</div>"""


def _switches(walks: list[Walk]) -> str:
    """The switches that show and hide each optimizer; they are the legend too."""
    each = (
        f'<label><input type="checkbox" id="shown-{k}" checked>{swatch(k)}'
        f"{escape(walk.name)}</label>"
        for k, walk in enumerate(walks)
    )
    both = (
        '<button type="button" id="all">All</button><button type="button" id="none">None</button>'
    )
    return (
        '<fieldset class="switches"><legend>Paths to show</legend>'
        f"{both if len(walks) > 1 else ''}{''.join(each)}</fieldset>"
    )


def _field(name: str, label: str, kind: str) -> str:
    """An input, and the place of what is wrong with it."""
    entry = f'type="{kind}"' + (' step="any"' if kind == "number" else ' inputmode="decimal"')
    return (
        f'<div class="field"><label for="{name}">{escape(label)}</label>'
        f'<input {entry} id="{name}" class="number" autocomplete="off" '
        f'aria-describedby="{name}-wrong"><span class="bad" id="{name}-wrong" role="alert"></span>'
        "</div>"
    )


def _results(walks: list[Walk]) -> str:
    """The table, whose numbers the page's script fills in."""
    numbers = {
        "now": "f at the slider",
        "f": "f at the end",
        "distance": "distance to a minimum",
        "reached": f"steps to f within {CLOSE:g} of the lowest",
    }
    rows = (
        f'<tr><th scope="row">{swatch(k)}{escape(walk.name)}</th>'
        f"<td>{_field(f'rate-{k}', f'learning rate of {walk.name}', 'text')}</td>"
        + "".join(f'<td id="{key}-{k}" data-title="{numbers[key]}"></td>' for key in numbers)
        + "</tr>"
        for k, walk in enumerate(walks)
    )
    head = ("optimizer", "learning rate", *numbers.values())
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Results">'
        '<table class="results"><thead><tr>'
        + "".join(f'<th scope="col">{title}</th>' for title in head)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _recorded(walks: list[Walk]) -> str:
    """The sentence on optimizers that the page has no formula of, or none."""
    names = [walk.name for walk in walks if not is_computed(walk.optimizer)]
    if not names:
        return ""
    return (
        f"<p>The page has no formula of {escape(', '.join(names))}. This path is shown as it was "
        "recorded, and only from the start that the page was made with.</p>"
    )
