"""Paths on a surface, of the command line: rates, table, files and page; needs no data."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from scratchnet.cli.console import Console
from scratchnet.cli.folder import describe_asked, open_folder
from scratchnet.cli.options import CommandLine
from scratchnet.cli.setup import make_optimizers
from scratchnet.inspection.surfaces import RATES, SURFACES, check_start, tuned_rate
from scratchnet.optimizers import Optimizer
from scratchnet.report.surface import check_steps, surface_page, walk_surface
from scratchnet.runs import PathsFolder


def draw_surface(options: CommandLine, console: Console) -> None:
    """Let each optimizer walk, print where it got, and write it all into a folder.

    Raises ParameterError for a start or a number of steps that cannot be, OutputError.
    """
    name = str(options.surface)
    check_steps(SURFACES[name], options.steps)  # before rates are tuned over so many
    check_start(options.start, SURFACES[name])
    chosen = _with_rates(options, make_optimizers(options))
    where: dict[str, Any] = {n: getattr(options, n) for n in ("start", "steps", "seed")}
    walks = walk_surface(name, chosen, **where)
    rows = [walk.row() for walk in walks]
    console.paths(name, walks[0].path[0], walks[0].steps, rows)
    if options.dry_run:
        console.plan()
        return
    folder = PathsFolder(options.out, f"{name}-surface")
    with open_folder(folder, options, console, describe_asked(options, chosen)) as opened:
        folder.history.add(
            {"optimizer": walk.name, "step": k, "x": x, "y": y, "f": walk.surface.value(x, y)}
            for walk in walks
            for k, (x, y) in enumerate(walk.path)
        )
        results = {
            "surface": name,
            "start": list(walks[0].path[0]),
            "steps": walks[0].steps,
            "seed": options.seed,
            "optimizers": rows,
        }
        shown = opened.finish(results, lambda: surface_page(name, chosen, **where))
    console.written(results, str(shown))


def _with_rates(options: CommandLine, optimizers: Mapping[str, Optimizer]) -> dict[str, Optimizer]:
    """The optimizers at the rate asked for, else at that the surface is drawn with, else tuned."""
    if options.lr is not None:
        return dict(optimizers)
    grid = RATES if options.lr_grid is None or options.lr_grid == "auto" else options.lr_grid
    usual = SURFACES[str(options.surface)].rates
    plain = options.lr_grid is None and options.start is None and options.steps is None
    found = {}
    for name, optimizer in optimizers.items():
        if plain and name in usual:
            rate = usual[name]
        else:
            start = None if options.start is None else np.array(options.start)
            rate = tuned_rate(
                optimizer, str(options.surface), start, options.steps, grid, options.seed
            )
        found[name] = replace(optimizer, lr=rate)
    return found
