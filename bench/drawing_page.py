"""The page to draw on against its network: equal classes, probabilities, bytes, time of a stroke.

    python bench/drawing_page.py MODEL [--data-dir DIR] [--dataset NAME] [--slowed N]

MODEL is the file of a network or the folder of a run. Its page is opened in Chromium, which is
offline. All test images go through the page's network, as rows that the library has prepared. Then
a digit is drawn with the mouse, the processor slowed down; the time is that of each update of the
page: the canvas read, the drawing prepared, the network, the answer, the pictures of the layers.
It is wall time, which grows on a busy machine. So the CPU time of the page's thread is measured
too, at full speed, with all that the browser itself does there, and multiplied.
Goals: no class changed, probabilities within 1e-3, 16 ms an update.
"""

import shutil
import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from lib.report import machine, parser, table, write_json

CHUNK = 500
STROKES = 12
CORNERS = ((0.3, 0.3), (0.5, 0.18), (0.7, 0.3), (0.65, 0.5), (0.3, 0.8), (0.7, 0.8))
"""A 2, as shares of the canvas across and down."""
TIMED = """
window.times = [];
const wait = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (update) => wait((at) => {
  const start = performance.now();
  update(at);
  times.push(performance.now() - start);
});
"""
PREDICT = """(text) => {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const rows = new Float32Array(bytes.buffer), wide = DRAWING.inputs([]).length, found = [];
  for (let k = 0; k < rows.length; k += wide)
    found.push([...NETWORK.predict(rows.subarray(k, k + wide))]);
  return found;
}"""


def main() -> None:
    """Make the page, open it, measure and print the table."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("model", metavar="MODEL", type=Path, help="a network's file, or a run")
    made.add_argument("--dataset", default="mnist", help="default: mnist")
    made.add_argument("--slowed", type=float, default=6, metavar="N", help="times (default: 6)")
    options = made.parse_args()

    from playwright.sync_api import sync_playwright

    from scratchnet import load, load_network
    from scratchnet.report.drawing import drawing_page

    network = load_network(options.model)
    samples = load(options.dataset, home=options.data_dir).test
    html = drawing_page(network)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder, "draw.html")
        file.write_text(html, encoding="utf-8")
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(offline=True)
        page = context.new_page()
        page.add_init_script(TIMED)
        page.goto(file.as_uri())
        devtools = context.new_cdp_session(page)
        times = slowed_times(page, devtools, options.slowed)
        script, thread = cpu_times(page, devtools)
        found = predict(page, network.preparation.rows(samples.x))
        browser.close()
    known = network.predict_proba(network.preparation.rows(samples.x))
    equal = int((found.argmax(axis=1) == known.argmax(axis=1)).sum())
    figures: dict[str, Any] = {
        "images": len(known),
        "equal": equal,
        "difference": float(np.abs(found - known).max()),
        "bytes": len(html.encode()),
        "updates": len(times),
        "median": float(np.median(times)),
        "p95": float(np.quantile(times, 0.95)),
        "largest": max(times),
        "cpu_script": script,
        "cpu_thread": thread,
    }
    rows = [
        ["classes equal", f"{equal:,} of {len(known):,}"],
        ["largest difference of probabilities", f"{figures['difference']:.1e}"],
        ["bytes of the page", f"{figures['bytes']:,}"],
        [f"ms an update, {options.slowed:g} times slowed: median", f"{figures['median']:.1f}"],
        [f"95th percentile of {len(times)}", f"{figures['p95']:.1f}"],
        ["the longest", f"{figures['largest']:.1f}"],
        [f"CPU ms of an update, times {options.slowed:g}", f"{script * options.slowed:.1f}"],
        ["with layout, painting and events", f"{thread * options.slowed:.1f}"],
    ]
    print(table([options.model.name, ""], rows))
    if options.json:
        write_json(options.json, {"machine": machine(), **figures})


def slowed_times(page: Any, devtools: Any, slowed: float) -> list[float]:
    """Milliseconds of each update of the page while strokes are drawn."""
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": slowed})
    found = draw(page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    return found


def cpu_times(page: Any, devtools: Any) -> tuple[float, float]:
    """Milliseconds of CPU an update: of scripts alone, and of all that their thread does."""
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def seconds() -> list[float]:
        listed = devtools.send("Performance.getMetrics")["metrics"]
        named = {one["name"]: one["value"] for one in listed}
        return [named["ScriptDuration"], named["TaskDuration"]]

    before = seconds()
    updates = len(draw(page))
    script, thread = (1000 * (b - a) / updates for a, b in zip(before, seconds(), strict=True))
    return script, thread


def draw(page: Any) -> list[float]:
    """Draw the strokes; the milliseconds of each update of the page."""
    box = page.locator("#canvas").bounding_box()
    page.evaluate("times.length = 0")
    for stroke in range(STROKES):
        if stroke % 3 == 0:
            page.click("#clear")
        places = [
            (box["x"] + (x + 0.02 * stroke % 0.1) * box["width"], box["y"] + y * box["height"])
            for x, y in CORNERS
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=8)
        page.mouse.up()
    page.wait_for_timeout(200)
    found: list[float] = page.evaluate("times")
    return found


def predict(page: Any, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The probabilities (N, K) that the page gives for rows of inputs."""
    rows = np.ascontiguousarray(rows, "<f4")
    found = []
    for start in range(0, len(rows), CHUNK):
        text = b64encode(rows[start : start + CHUNK].tobytes()).decode()
        found += page.evaluate(PREDICT, text)
    return np.array(found)


if __name__ == "__main__":
    main()
