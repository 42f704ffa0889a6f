"""What `scratchnet predict` makes of drawings of other sizes, and how long 10,000 pictures take.

    python bench/predictions.py MODEL --data-dir DIR [--dry-run]

MODEL was trained on MNIST. Its test digits are scaled by 1/2, 3/4 and 5/4, put on paper of 56x56
pixels up to 6 pixels aside, dark on white, and written as PNG; the command reads these files. Then
all 10,000 test digits are written as they are, and read by the command in a fresh process.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from lib.children import ROOT, machine_of_children, run
from lib.page import DOCS, page_parser, write_section
from lib.report import machine_lines, table, write_json
from PIL import Image

from scratchnet import load

SCALES = (0.5, 0.75, 1.25)
PAPER, ASIDE, COUNT = 56, 6, 2000


def main() -> None:
    """Measure, and write the section of the page."""
    made = page_parser(__doc__ or "")
    made.add_argument("model", help="a file of a network, or the folder of a run")
    made.set_defaults(page=DOCS / "predictions.md", json=DOCS / "predictions.json")
    options = made.parse_args()
    test = load("mnist", home=options.data_dir).test
    images = test.x.reshape(-1, 28, 28)
    found: dict[str, Any] = {"machine": machine_of_children(), "accuracy": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        plain = folder / "plain"
        write(plain, images, test.t)
        for scale in SCALES:
            place = folder / str(scale)
            write(place, drawings(images[:COUNT], scale), test.t)
            found["accuracy"][str(scale)] = evaluate(options.model, place)[0]
        first = folder / "first"
        write(first, images[:COUNT], test.t)
        found["accuracy"]["as they are"] = evaluate(options.model, first, "--as-is")[0]
        _, done = evaluate(options.model, plain)
        found["pictures"] = {"seconds": done.seconds, "peak": done.peak}
    text = section(found)
    print(text)
    if not options.dry_run:
        write_section(options.page, "predictions", text)
        write_json(options.json, found)


def drawings(images: Any, scale: float) -> Any:
    """The digits in this size, at random places, dark on white."""
    rng = np.random.default_rng(0)
    side = round(28 * scale)
    paper = np.full((len(images), PAPER, PAPER), 255, np.uint8)
    for sheet, image in zip(paper, images, strict=True):
        small = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
        top, left = (PAPER - side) // 2 + rng.integers(-ASIDE, ASIDE + 1, 2)
        sheet[top : top + side, left : left + side] = 255 - np.asarray(small)
    return paper


def write(folder: Path, images: Any, labels: Any) -> None:
    """A PNG of each, in a folder for each class."""
    for k, image in enumerate(images):
        place = folder / str(labels[k])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{k:05d}.png")


def evaluate(model: str, folder: Path, *flags: str) -> tuple[float, Any]:
    """The accuracy that the command says, and how it ended."""
    command = [sys.executable, str(ROOT / "train.py"), "predict", model, str(folder), *flags]
    done = run([*command, "--evaluate", "-q"])
    if done.status:
        raise SystemExit(f"predict failed: {done.reason}")
    return float(done.output.split()[1]), done


def section(found: dict[str, Any]) -> str:
    """The tables."""
    names = {**{str(scale): f"scaled by {scale}" for scale in SCALES}, "as they are": "as it is"}
    rows = [[title, f"{found['accuracy'][name]:.2%}"] for name, title in names.items()]
    pictures = found["pictures"]
    return "\n\n".join(
        [
            machine_lines(found["machine"]),
            table([f"the first {COUNT:,} test digits", "accuracy"], rows),
            f"10,000 PNGs of 28x28, read, prepared and predicted by one process: "
            f"{pictures['seconds']:.1f} s, at most {pictures['peak']:.0f} MB.\n",
        ]
    )


if __name__ == "__main__":
    main()
