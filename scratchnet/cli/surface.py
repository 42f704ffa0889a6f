"""Paths on a surface, of the command line: rates, table, files and page; needs no data."""

import argparse
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from scratchnet.cli.screen import Screen
from scratchnet.cli.train import describe_asked, write_report
from scratchnet.inspection.surfaces import RATES, SURFACES, check_start, tuned_rate
from scratchnet.optimizers import Optimizer
from scratchnet.report.surface import check_steps, surface_page, walk_surface
from scratchnet.runs import PathsFolder


def draw_surface(
    arguments: argparse.Namespace, optimizers: Mapping[str, Optimizer], screen: Screen
) -> None:
    """Let each optimizer walk, print where it got, and write it all into a folder.

    Raises ParameterError for a start or a number of steps that cannot be, OutputError.
    """
    surface = SURFACES[arguments.surface]
    check_steps(surface, arguments.steps)  # before rates are tuned over so many
    check_start(arguments.start, surface)
    chosen = _with_rates(arguments, optimizers)
    where = {"start": arguments.start, "steps": arguments.steps, "seed": arguments.seed}
    walks = walk_surface(arguments.surface, chosen, **where)
    rows = [walk.row() for walk in walks]
    screen.paths(arguments.surface, walks[0].path[0], walks[0].steps, rows)
    if arguments.dry_run:
        screen.plan()
        return
    folder = PathsFolder(arguments.out, f"{arguments.surface}-surface")
    try:
        folder.write_config(describe_asked(arguments, chosen))
        folder.history.add(
            {"optimizer": walk.name, "step": k, "x": x, "y": y, "f": walk.surface.value(x, y)}
            for walk in walks
            for k, (x, y) in enumerate(walk.path)
        )
        results = {
            "surface": arguments.surface,
            "start": list(walks[0].path[0]),
            "steps": walks[0].steps,
            "seed": arguments.seed,
            "optimizers": rows,
        }
        folder.write_results(results)
        shown = write_report(
            folder, lambda: surface_page(arguments.surface, chosen, **where), arguments, screen
        )
    finally:
        folder.close()
    screen.written(results, str(shown))


def _with_rates(
    arguments: argparse.Namespace, optimizers: Mapping[str, Optimizer]
) -> dict[str, Optimizer]:
    """The optimizers at the rate asked for, else at that the surface is drawn with, else tuned."""
    if arguments.lr is not None:
        return dict(optimizers)
    grid = RATES if arguments.lr_grid in (None, "auto") else arguments.lr_grid
    usual = SURFACES[arguments.surface].rates
    plain = arguments.lr_grid is None and arguments.start is None and arguments.steps is None
    found = {}
    for name, optimizer in optimizers.items():
        if plain and name in usual:
            rate = usual[name]
        else:
            start = None if arguments.start is None else np.array(arguments.start)
            rate = tuned_rate(
                optimizer, arguments.surface, start, arguments.steps, grid, arguments.seed
            )
        found[name] = replace(optimizer, lr=rate)
    return found
