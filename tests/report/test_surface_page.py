"""The page of paths: its formulas against the library's, its numbers, and how it is used."""

import re

import numpy as np
import pytest
from browser import WIDTHS, Opened, needs_chromium, wait_frames, wait_until

from scratchnet.inspection.surfaces import SURFACES, draw_tilts, tuned_rate
from scratchnet.optimizers import (
    ASGD,
    EMA,
    LBFGS,
    OPTIMIZERS,
    SAM,
    SGD,
    Adam,
    Lookahead,
    Momentum,
    RMSprop,
    ScheduleFreeSGD,
    make_optimizer,
)
from scratchnet.report.page import asset
from scratchnet.report.surface import (
    MOST_STEPS,
    computed_classes,
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


# The formulas


def test_every_surface_has_its_formula_in_the_page():
    surfaces = re.findall(r"^  (\w+): {$", asset("surfaces.js"), re.MULTILINE)
    assert set(surfaces) == {type(surface).__name__ for surface in SURFACES.values()}


@needs_chromium
def test_python_knows_which_optimizers_the_page_has_formulas_of(scripts):
    found = scripts.run("() => Object.keys(RULES)", None, ("", ""))
    assert set(found) == computed_classes()
    known = {kind.__name__ for kind in OPTIMIZERS.values()}
    assert set(found) <= known


def job(surface, optimizer, steps=STEPS):
    """What `trace` of the page needs for the path that the library takes."""
    where = SURFACES[surface]
    tilts = draw_tilts(where, steps).tolist() if where.noise else None
    return [optimizer.config(), type(where).__name__, where.starts[0], steps, tilts]


class Scripts:
    """The page's formulas in a browser, without the page."""

    def __init__(self, chromium, folder):
        self.chromium, self.folder = chromium, folder

    def paths(self, jobs, fault=("", "")):
        """The path of each job, where `fault` is (what it replaces, what it puts there)."""
        return self.run(
            "(jobs) => jobs.map(([config, surface, ...rest]) =>"
            " trace(config, SURFACES[surface], ...rest))",
            jobs,
            fault,
        )

    def heights(self, surface, points, fault=("", "")):
        """f at each of `points`."""
        return self.run(
            "([name, points]) => points.map((point) => SURFACES[name].value(...point))",
            [type(SURFACES[surface]).__name__, points.tolist()],
            fault,
        )

    def run(self, function, given, fault):
        """What a function of the page's scripts returns."""
        right, wrong = fault
        source = asset("rules.js") + asset("surfaces.js").removeprefix('"use strict";')
        assert not right or source.count(right) == 1, f"{right!r} is there not once"
        file = self.folder / "formulas.html"
        file.write_text(f"<script>{source.replace(right, wrong) if right else source}</script>")
        opened = Opened(self.chromium, file)
        found = opened.page.evaluate(function, given)
        opened.context.close()
        return found


@pytest.fixture
def scripts(chromium, tmp_path):
    return Scripts(chromium, tmp_path)


def deviation(surface, optimizer, found, steps=STEPS):
    """The largest one of the page's path from the library's; inf where their lengths differ."""
    (walk,) = walk_surface(surface, {"this": optimizer}, steps=steps)
    if len(walk.path) != len(found):
        return np.inf
    known = np.array(walk.path)
    return float((np.abs(known - found) / np.maximum(1, np.abs(known))).max())


def tuned(name, surface):
    rate = STABLE.get((surface, name)) or tuned_rate(name, surface, steps=STEPS)
    return make_optimizer(name, lr=rate)


@needs_chromium
@pytest.mark.parametrize("surface", SURFACES)
def test_the_page_computes_the_paths_of_the_library(scripts, surface):
    kinds = {name: kind for name, kind in OPTIMIZERS.items() if kind.__name__ in computed_classes()}
    optimizers = [tuned(name, surface) for name in kinds] + [kind() for kind in kinds.values()]
    found = scripts.paths([job(surface, one) for one in optimizers])
    off = {repr(o): deviation(surface, o, path) for o, path in zip(optimizers, found, strict=True)}
    assert max(off.values()) <= 1e-9, {name: d for name, d in off.items() if d > 1e-9}


@needs_chromium
def test_the_page_computes_the_heights_of_the_library(scripts):
    for name, surface in SURFACES.items():
        low, high = np.transpose(surface.limits)
        points = np.random.default_rng(0).uniform(low, high, (100, 2))
        known = surface.value(*points.T)
        np.testing.assert_allclose(scripts.heights(name, points), known, rtol=1e-12, atol=1e-12)
    found = scripts.heights("ellipse", points, ("x ** 2 / 20", "x ** 2 / 21"))
    assert np.abs(found - SURFACES["ellipse"].value(*points.T)).max() > 1e-3


SETTINGS = [
    SGD(0.01, clip_norm=0.5),
    Adam(0.1, clip_value=0.3),
    RMSprop(0.01, clip_norm=2.0, clip_value=1.0, decay=0.8, eps=1e-3),
    ASGD(0.01, start=10, decay=0.1),
    EMA(inner=Momentum(0.001, momentum=0.5), decay=0.9),
    Lookahead(inner=SGD(0.001), k=3, alpha=0.8, clip_norm=1.0),
    SAM(0.001, inner=EMA(inner=ScheduleFreeSGD(0.5)), rho=0.2),
    EMA(inner=Lookahead(inner=Adam(0.2, beta1=0.5))),
]


@needs_chromium
@pytest.mark.parametrize("surface", ["himmelblau", "noisy-quadratic"])
def test_it_does_so_with_other_settings_and_with_wrappers_in_wrappers(scripts, surface):
    found = scripts.paths([job(surface, one) for one in SETTINGS])
    for optimizer, path in zip(SETTINGS, found, strict=True):
        assert deviation(surface, optimizer, path) <= 1e-9, optimizer


@needs_chromium
def test_a_path_that_diverges_ends_at_the_same_step(scripts):
    for surface, optimizer in [("rosenbrock", SGD(1.0)), ("beale", Momentum(0.5))]:
        (path,) = scripts.paths([job(surface, optimizer)])
        (row,) = surface_rows(surface, {"this": optimizer}, steps=STEPS)
        assert row["diverged"] == len(path) < STEPS
        assert deviation(surface, optimizer, path) <= 1e-9


FAULTS = [
    ("sgd", "ellipse", "[x / 10, 2 * y]", "[x / 11, 2 * y]"),
    ("nesterov", "booth", "w + (this.momentum * s.v", "w + (s.v"),
    ("nadam", "himmelblau", "0.96 **", "0.97 **"),
    ("lion", "ellipse", "this.lr * Math.sign(this.beta1", "this.lr * Math.sign(this.beta2"),
    ("adam", "rosenbrock", "this.t += 1;", "this.t += 2;"),
    ("adafactor", "plateau", "norm(x) / Math.sqrt(x.length)", "norm(x)"),
    ("schedule-free-sgd", "booth", "1 - 1 / this.momentum", "1 + 1 / this.momentum"),
    ("sgd", "noisy-quadratic", "return [dx + u, dy + v]", "return [dx + u, dy - v]"),
]


@needs_chromium
@pytest.mark.parametrize(("name", "surface", "right", "wrong"), FAULTS)
def test_a_fault_in_a_formula_of_the_page_is_found(scripts, name, surface, right, wrong):
    optimizer = tuned(name, surface)
    (path,) = scripts.paths([job(surface, optimizer)], (right, wrong))
    assert deviation(surface, optimizer, path) > 1e-9


# The page


def opened_page(chromium, folder, html, **how):
    file = folder / "surface.html"
    file.write_text(html, encoding="utf-8")
    return Opened(chromium, file, **how)


def settled(opened):
    """Its page as one sees it who wants nothing to move: all paths are at their ends."""
    opened.page.emulate_media(reduced_motion="reduce")
    opened.page.reload()
    return opened.page


def cells(page, kind):
    return [cell.inner_text() for cell in page.query_selector_all(f"[id^={kind}-]")]


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_draws_all_and_asks_for_nothing(chromium, tmp_path, width, scheme):
    html = surface_page("rosenbrock", THREE)
    assert len(html) < 6e6
    opened = opened_page(chromium, tmp_path, html, width=width, scheme=scheme)
    opened.require_drawn()
    before = opened.page.input_value("#step")
    opened.page.click("#play")
    wait_until(opened.page, f"document.getElementById('step').value !== '{before}'")
    opened.page.click("#play")
    opened.require_clean()
    assert opened.page.locator("#contour .contourlayer path").count() > 10
    small = opened.page.evaluate(
        "[...document.querySelectorAll('button, input:not([type=checkbox])')]"
        ".filter(one => one.getBoundingClientRect().height < 24).length"
    )
    assert small == 0


@needs_chromium
def test_its_table_shows_the_rows(chromium, tmp_path):
    some = {**THREE, "fast": SGD(1.0), "lbfgs": LBFGS()}
    page = settled(opened_page(chromium, tmp_path, surface_page("rosenbrock", some)))
    rows = surface_rows("rosenbrock", some)
    assert [row["diverged"] for row in rows] == [None, None, None, 4, None]
    for k, row in enumerate(rows):
        assert page.input_value(f"#rate-{k}") == f"{row['lr']:g}"
        if row["diverged"]:
            assert page.inner_text(f"#f-{k}") == "diverged at step 4"
            assert page.inner_text(f"#distance-{k}") == "–"
            continue
        for key in ("f", "distance"):
            assert float(page.inner_text(f"#{key}-{k}")) == pytest.approx(row[key], rel=5e-4)
        reached = "–" if row["reached"] is None else str(row["reached"])
        assert page.inner_text(f"#reached-{k}") == reached


@needs_chromium
def test_what_is_changed_is_computed_anew_as_the_library_does(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, surface_page("himmelblau", {"adam": Adam(0.1)}))
    page = opened.page
    for field, value in {"x": "-1", "y": "0.5", "steps": "40", "rate-0": "0.3"}.items():
        page.fill(f"#{field}", value)
        page.keyboard.press("Tab")
    (row,) = surface_rows("himmelblau", {"adam": Adam(0.3)}, start=(-1, 0.5), steps=40)
    assert float(page.inner_text("#f-0")) == pytest.approx(row["f"], rel=5e-4)
    assert page.inner_text("#at") == "step 40 of 40"
    page.reload()  # the address holds it all
    assert float(page.inner_text("#f-0")) == pytest.approx(row["f"], rel=5e-4)
    assert [page.input_value(f"#{name}") for name in ("x", "y", "steps", "rate-0")] == [
        "-1",
        "0.5",
        "40",
        "0.3",
    ]
    page.click("#reset")
    (row,) = surface_rows("himmelblau", {"adam": Adam(0.1)})
    assert float(page.inner_text("#f-0")) == pytest.approx(row["f"], rel=5e-4)
    assert page.evaluate("location.hash") == ""
    assert opened.messages == []


WRONG = [
    ("rate-0", "abc", "must be a number > 0"),
    ("rate-0", "", "must be a number > 0"),
    ("rate-1", "-0.1", "must be a number > 0"),
    ("x", "", "must be from -1000 to 1000"),
    ("y", "1e9", "must be from -1000 to 1000"),
    ("steps", "2.5", f"must be from 1 to {MOST_STEPS}"),
    ("steps", "99999", f"must be from 1 to {MOST_STEPS}"),
]


@needs_chromium
def test_a_wrong_entry_is_told_beside_it_and_changes_nothing(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, surface_page("booth", {"a": SGD(0.01), "b": SGD(0.1)}))
    page = settled(opened)
    before, height = cells(page, "f"), page.evaluate("document.body.scrollHeight")
    for field, value, says in WRONG:
        page.fill(f"#{field}", value)
        page.keyboard.press("Tab")
        assert page.inner_text(f"#{field}-wrong") == says
        assert page.get_attribute(f"#{field}", "aria-invalid") == "true"
        assert cells(page, "f") == before
        assert page.evaluate("document.body.scrollHeight") == height
    page.fill("#steps", "3")
    page.keyboard.press("Tab")
    assert page.inner_text("#steps-wrong") == ""
    assert cells(page, "f") != before
    assert opened.messages == []


@needs_chromium
def test_a_wrong_value_in_the_address_is_told_beside_its_field(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, surface_page("booth", {"a": SGD(0.01), "b": SGD(0.1)}))
    before = cells(opened.page, "f")
    opened.page.goto(opened.page.url + "#lr-a=much&steps=50&step=7&hide=b")
    opened.page.reload()
    assert opened.page.inner_text("#rate-0-wrong") == "must be a number > 0"
    assert cells(opened.page, "f") == before
    assert opened.page.inner_text("#at") == "step 7 of 50"
    assert not opened.page.is_checked("#shown-1")
    assert opened.messages == []


@needs_chromium
def test_a_click_on_the_contour_is_a_new_start(chromium, tmp_path):
    page = settled(opened_page(chromium, tmp_path, surface_page("rosenbrock", THREE)))
    page.locator("#contour").scroll_into_view_if_needed()
    box = page.locator("#contour").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    start = [float(page.input_value(f"#{axis}")) for axis in "xy"]
    assert start != [-2, 2]
    assert start == pytest.approx([0, 1.3], abs=0.6)
    rows = surface_rows("rosenbrock", THREE, start=start)
    assert [float(text) for text in cells(page, "f")] == pytest.approx(
        [row["f"] for row in rows], rel=5e-4
    )


def shown_points(page):
    """How many points of each path are drawn."""
    return page.evaluate("byId('contour').data.slice(0, DATA.walks.length).map(t => t.x.length)")


@needs_chromium
def test_play_slider_and_switches_by_keyboard(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, surface_page("rosenbrock", THREE))
    page = settled(opened)
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    controls = {"play", "step", "x", "y", "steps", "reset", "shown-0", "rate-2", "all", "none"}
    assert reached >= controls
    page.focus("#play")
    page.keyboard.press("Space")
    wait_until(page, "step > 3")
    assert page.inner_text("#play") == "Pause"
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Play"
    page.focus("#step")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#at") == "step 1 of 200"
    assert shown_points(page) == [2, 2, 2]
    (_, first) = walk_surface("rosenbrock", THREE)[2].path[:2]
    height = SURFACES["rosenbrock"].value(*first)
    assert float(page.inner_text("#now-2")) == pytest.approx(height, rel=5e-4)
    page.keyboard.press("End")
    assert shown_points(page) == [201, 201, 201]
    page.focus("#shown-1")
    page.keyboard.press("Space")
    assert page.evaluate("byId('loss').data[1].visible") is False
    page.focus("#contour")
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    assert opened.messages == []


@needs_chromium
def test_every_control_has_a_name(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, surface_page("ellipse", {**BOOK, "a&b": SGD(0.2)}))
    nameless = opened.page.evaluate(
        "[...document.querySelectorAll('input, button')].filter(one => !(one.labels?.length"
        " || one.textContent || one.getAttribute('aria-label'))).map(one => one.id)"
    )
    assert nameless == []


@needs_chromium
def test_it_plays_by_itself_when_it_comes_in_sight_and_nothing_jumps(chromium, tmp_path):
    opened = opened_page(chromium, tmp_path, surface_page("ellipse", BOOK))
    opened.page.evaluate(
        "window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach((entry) =>"
        " { shift += entry.value; })).observe({ type: 'layout-shift', buffered: true })"
    )
    wait_until(opened.page, "step > 3")
    assert opened.page.inner_text("#play") == "Pause"
    assert opened.page.evaluate("shift") < 0.01
    opened.require_clean()


@needs_chromium
def test_it_stands_still_at_the_end_for_who_wants_no_motion(chromium, tmp_path):
    page = settled(opened_page(chromium, tmp_path, surface_page("ellipse", BOOK)))
    wait_frames(page, 20)
    assert page.inner_text("#at") == "step 30 of 30"
    assert page.inner_text("#play") == "Play"


@needs_chromium
@pytest.mark.parametrize("surface", ["beale", "saddle", "plateau", "noisy-quadratic"])
def test_surfaces_of_every_kind_are_drawn_also_with_a_path_that_flies_off(
    chromium, tmp_path, surface
):
    some = {"slow": SGD(1e-4), "fast": SGD(10.0), "lbfgs": LBFGS()}
    opened = opened_page(chromium, tmp_path, surface_page(surface, some, steps=400))
    opened.page.evaluate("moveTo(0); moveTo(200); moveTo(400)")
    opened.require_drawn()
    opened.require_clean()


# What is where, without a browser


@needs_chromium
def test_it_is_not_shown_from_another_start(chromium, tmp_path):
    some = {"lbfgs": LBFGS(), "sgd": SGD(0.1)}
    opened = opened_page(chromium, tmp_path, surface_page("booth", some))
    assert opened.page.is_disabled("#rate-0")
    (row, _) = surface_rows("booth", some)
    assert float(opened.page.inner_text("#f-0")) == pytest.approx(row["f"], rel=5e-4)
    opened.page.fill("#x", "3")
    opened.page.keyboard.press("Tab")
    assert cells(opened.page, "f")[0] == "–"
    opened.require_clean()
