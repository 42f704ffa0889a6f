"""A real browser without a network, for the tests of pages; without it they are skipped."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (390, 1280)


def find_chromium() -> str | None:
    """The path of Chromium, under the names that it is installed by."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def needs_chromium(test: Any) -> Any:
    """Mark a test that opens pages: it is slow, and skipped where there is no Chromium."""
    missing = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
    return pytest.mark.slow(missing(test))


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


def wait_until(page: Any, condition: str) -> None:
    """Look at the condition in every frame until it holds, for a minute at most.

    Playwright's own wait_for_function needs `eval`, which the pages forbid.
    """
    held = page.evaluate(
        f"""new Promise((done) => {{
              const look = () => ({condition}) ? done(true)
                : performance.now() > end ? done(false) : requestAnimationFrame(look);
              const end = performance.now() + 60000;
              look();
            }})"""
    )
    assert held, condition


def wait_frames(page: Any, count: int) -> None:
    """Let the page draw so many frames."""
    page.evaluate(
        f"""new Promise((done) => {{
              const next = (left) => left ? requestAnimationFrame(() => next(left - 1)) : done();
              next({count});
            }})"""
    )


def data_of(html: str) -> Any:
    """What a page has as its data."""
    return json.loads(re.search(r'id="page-data">(.*?)</script>', html)[1])


class Opened:
    """A page in a browser that is offline: what it said, what it asked for, and itself."""

    def __init__(self, chromium: Any, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        self.page = self.context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.resolve().as_uri())
        self.page.wait_for_function("document.readyState === 'complete'")

    def require_clean(self) -> None:
        """Nothing on the console, no request but for the file itself, no sideways scrolling."""
        assert self.messages == [], self.messages
        assert [url for url in self.requests if not url.startswith(("data:", "blob:"))] == [
            self.page.url.split("#")[0]
        ]
        wide, window = self.page.evaluate("[document.body.scrollWidth, innerWidth]")
        assert wide <= window

    def require_drawn(self) -> None:
        """Every figure shows what it is to show."""
        empty = self.page.evaluate(
            """Object.keys(FIGURES).filter((id) => {
                 const place = document.getElementById(id);
                 if (!place.querySelector(".main-svg .cartesianlayer")) return true;
                 if (place.data.some((t) => t.type === "contour")) return false;  // moves
                 const seen = [...place.querySelectorAll(".scatterlayer .trace")].filter(
                   (trace) => trace.querySelector(".point, path.js-line[d*='L'], path.js-fill"));
                 const drawn = (trace) => trace.visible !== false
                   && (trace.y || []).some((value) => value !== null)
                   && (trace.x.length > 1 || (trace.mode || "markers").includes("markers"));
                 const asked = place.data.filter((t) => (t.type || "scatter") === "scatter");
                 return seen.length < asked.filter(drawn).length;
               })"""
        )
        assert empty == [], empty
