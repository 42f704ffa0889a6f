"""`scratchnet export MODEL --to FORMAT`: a trained network for other programs."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchnet.cli.command import FileOptions, add_model, check_output, parse_command
from scratchnet.errors import ParameterError
from scratchnet.formats import EXPORTS
from scratchnet.networks.weights import load_network
from scratchnet.options import Names, option


@dataclass(frozen=True, kw_only=True)
class ExportOptions(FileOptions):
    """The format, and where the file goes."""

    title = "export"

    to: str | None = option(
        None,
        Names(EXPORTS, "format", optional=True),
        "; ".join(f"{name}: {each.help}" for name, each in EXPORTS.items()),
        metavar="FORMAT",
    )


def main(words: Sequence[str]) -> None:
    """Write the file; raises ScratchnetError."""
    options, given = parse_command(
        "export",
        "Write a network as other programs read it.",
        ExportOptions,
        words,
        add_model,
        first=("to", "out"),
    )
    model = given["model"]
    if options.to is None:
        raise ParameterError(f"export needs --to, one of {', '.join(EXPORTS)}")
    network = load_network(model)
    chosen = EXPORTS[options.to]
    place = Path(model, "weights") if os.path.isdir(model) else Path(model)
    out = place.with_suffix(chosen.suffix) if options.out is None else Path(options.out)
    for path in (out, out.with_suffix(".safetensors")):  # which torch writes beside its program
        check_output(path, model=model, given=options.out is not None)
    written = chosen.write(network, out)
    if not options.quiet:
        sys.stdout.writelines(f"wrote {path}\n" for path in written)
