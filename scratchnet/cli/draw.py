"""`scratchnet draw MODEL`: a page to draw on, which has the network in it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scratchnet.cli.command import FileOptions, add_model, check_output, parse_command, title_of
from scratchnet.networks.weights import load_network
from scratchnet.report.drawing import drawing_page
from scratchnet.storage.atomic import write_text


def main(words: Sequence[str]) -> None:
    """Write the page; raises ScratchnetError."""
    options, given = parse_command(
        "draw",
        "Write a page to draw on: it shows what the network makes of a drawing, offline.",
        FileOptions,
        words,
        add_model,
        first=("out",),
    )
    model = given["model"]
    network = load_network(model)
    place = Path(model, "draw") if os.path.isdir(model) else Path(model)
    out = place.with_suffix(".html") if options.out is None else Path(options.out)
    check_output(out, model=model, given=options.out is not None)
    write_text(out, drawing_page(network, title_of(model)), follow=options.out is not None)
    if not options.quiet:
        sys.stdout.write(f"open {out} in a browser\n")
