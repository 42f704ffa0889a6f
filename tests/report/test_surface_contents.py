"""The page of a surface without a browser: its data, its rows, what it refuses."""

import json
import re

import numpy as np
import pytest
from browser import data_of

from scratchnet.errors import ParameterError
from scratchnet.inspection.surfaces import SURFACES, draw_tilts
from scratchnet.optimizers import (
    EMA,
    LBFGS,
    SGD,
    Adam,
    Momentum,
    Optimizer,
)
from scratchnet.report.surface import (
    MOST_STEPS,
    surface_page,
    surface_rows,
    walk_surface,
)

STEPS = 100
# At the rates that end lowest here these two come to swing where the gradient is all but 0 and
# divided by its own size: within 100 steps that makes 1e-3 of a difference in the last digit.
STABLE = {("three-hump-camel", "adadelta"): 1.0, ("three-hump-camel", "nadam"): 0.1}
BOOK = {"sgd": SGD(0.95), "momentum": Momentum(0.1)}
THREE = {"sgd": SGD(0.001), "momentum": Momentum(0.0005), "adam": Adam(1.0)}


def test_the_first_picture_is_that_of_the_book():
    html = surface_page("rosenbrock", THREE)
    boxes = re.findall(r'<div class="plot[^"]*" id="(\w+)"', html)
    assert boxes == ["zigzag", "contour", "loss"]
    sgd, momentum = data_of(html)["zigzag"]["walks"]
    assert sgd["path"][-1] == pytest.approx((-0.3503929957523197, 0.0847823165504322), abs=1e-12)
    assert momentum["path"][-1] == pytest.approx(
        (0.896413858493733, 0.08808560171506971), abs=1e-12
    )
    across = np.sign(np.array(sgd["path"])[:, 1])
    assert (across[1:] == -across[:-1]).all()


def test_on_the_ellipse_there_is_one_picture_if_it_shows_the_same():
    assert 'id="zigzag"' not in surface_page("ellipse", {**BOOK, "adam": Adam(0.3)})
    assert 'id="zigzag"' in surface_page("ellipse", {"adam": Adam(0.3)})
    assert 'id="zigzag"' in surface_page("ellipse", {**BOOK, "momentum": Momentum(0.2)})
    assert 'id="zigzag"' in surface_page("ellipse", BOOK, start=(-6, 1))


def test_the_page_holds_what_was_walked():
    data = data_of(surface_page("noisy-quadratic", {"a": Adam(0.3)}, start=(1, 2), steps=9, seed=4))
    (walk,) = walk_surface("noisy-quadratic", {"a": Adam(0.3)}, start=(1, 2), steps=9, seed=4)
    assert data["walks"][0]["path"] == [list(point) for point in walk.path]
    assert data["tilts"] == draw_tilts(SURFACES["noisy-quadratic"], MOST_STEPS, 4).tolist()
    assert (data["start"], data["steps"]) == ([1, 2], 9)
    assert data_of(surface_page("booth", {"a": SGD(0.1)}))["tilts"] is None


def test_rows_say_where_a_path_ends():
    some = {"near": SGD(0.1), "far": SGD(1e-7), "lost": SGD(1e6)}
    near, far, lost = surface_rows("booth", some)
    assert near["reached"] == 30
    assert near["f"] < 1e-6
    assert near["distance"] < 1e-3
    assert (far["reached"], far["diverged"]) == (None, None)
    assert far["distance"] == pytest.approx(np.hypot(9, 1), rel=1e-3)
    assert lost["diverged"] > 1
    assert (lost["f"], lost["distance"], lost["reached"]) == (None, None, None)
    (row,) = surface_rows("saddle", {"sgd": SGD(0.1)})
    assert (row["distance"], row["reached"], row["diverged"]) == (None, None, None)
    json.dumps([near, far, lost, row], allow_nan=False)


def test_a_path_ends_where_f_overflows_though_the_point_does_not():
    (row,) = surface_rows("saddle", {"sgd": SGD(10.0)}, steps=400)
    (walk,) = walk_surface("saddle", {"sgd": SGD(10.0)}, steps=400)
    assert row["diverged"] == len(walk.path)
    assert np.isfinite(SURFACES["saddle"].value(*np.transpose(walk.path))).all()


class Halving(Optimizer):
    """A rule of one's own, of which the page has no formula."""

    def rule(self, w, g):
        w /= 2


def test_a_rule_without_a_formula_is_shown_as_recorded():
    some = {"mine": Halving(), "lbfgs": LBFGS(), "ema": EMA(inner=Halving()), "sgd": SGD()}
    html = surface_page("ellipse", some)
    assert [walk["computed"] for walk in data_of(html)["walks"]] == [False, False, False, True]
    assert "The page has no formula of mine, lbfgs, ema" in html
    assert "no formula" not in surface_page("ellipse", {"sgd": SGD()})


def test_names_are_escaped():
    html = surface_page("booth", {"</script><b>": SGD(0.1)})
    assert "</script><b>" not in html


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"surface": "boot"}, "unknown surface 'boot'; did you mean 'booth'"),
        ({"optimizers": {}}, "optimizers must be one or more by name, .* got {}"),
        ({"optimizers": {"sgd": "sgd"}}, "optimizers must be one or more by name, .* got"),
        ({"start": (1, 2, 3)}, "start must be two finite numbers, .* got"),
        ({"start": (1e200, 0)}, r"start must be within \+-1000 in x and y, got \(1e"),
        ({"steps": 0}, "steps must be an integer >= 1, got 0"),
        ({"steps": 2001}, "steps must be an integer from 1 to 2000, got 2001"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_what_cannot_be_shown_is_refused(how, says):
    for make in (surface_page, surface_rows, walk_surface):
        with pytest.raises(ParameterError, match=says):
            make(**{"surface": "booth", "optimizers": {"sgd": SGD(0.1)}, **how})
