"""What a user is told besides results: options without the effect meant, what to type next."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np

from scratchnet import environment
from scratchnet.cli.console import Console
from scratchnet.cli.folder import shell_path
from scratchnet.cli.options import CALL, JOBS, KNOWN, CommandLine
from scratchnet.cli.parser import command, flag_of, launch
from scratchnet.networks.options import HIDDEN
from scratchnet.parallel import launched, launched_here
from scratchnet.training import Trainer
from scratchnet.training.options import RunOptions

PATIENCE = 5
"""How many epochs without improvement a run that overfits is told to wait."""


def next_commands(options: CommandLine, path: Path, epochs: int, ranks: int) -> dict[str, str]:
    """What to type next, by the name of the verdict on a run in the folder `path`."""
    place = shell_path(path)
    doctor = f"{shlex.join(launch())} doctor {place}"
    # A run anew: to resume this one would not bring back the weights of its best epoch.
    patient = replace(options, patience=PATIENCE, monitor=RunOptions.monitor)
    return {
        "diverging": doctor,
        "stuck": doctor,
        "improving": f"{shlex.join(launch(ranks))} --resume {place} --epochs {2 * epochs}",
        "overfitting": command(patient, ranks),
    }


def advise_before(options: CommandLine, console: Console, *, shared: bool) -> None:
    """Warn of options that have no part in the job, and of processes that share nothing."""
    job = options.job
    idle = {name for name in options.given - CALL if job not in KNOWN[name][1].jobs}
    if idle:
        flags = ", ".join(sorted(map(flag_of, idle)))
        console.note(f"{flags} has no effect on {JOBS[job]}")
    started = launched()
    if not shared and started is not None and started[1] > 1:
        console.note(
            f"{started[1]} processes were started together, and each does all of this by itself; "
            "to share it they need --parallel mpi"
        )


def advise(options: CommandLine, trainer: Trainer, console: Console) -> None:
    """Warn of options that do not fit the data, the network or the machine."""
    if (options.batch_size or 0) > len(trainer.train):
        console.note(
            f"--batch-size {options.batch_size} is more than the {len(trainer.train)} training "
            "samples; every update uses all of them"
        )
    idle = _without_layers(options, trainer)
    if idle:
        flags = ", ".join(map(flag_of, idle))
        console.note(f"{flags} has no effect without the layers it is for")
    if options.ema is not None and options.batch_norm and not options.remeasure:
        console.note(
            "--ema averages weights, not the statistics of batch normalization; --remeasure 10000 "
            "measures these at the averaged weights"
        )
    processors = os.cpu_count() or 1
    wanted = launched_here() * (trainer.threads or 1)
    if trainer.ranks > 1 and wanted > processors:
        console.note(
            f"{launched_here()} ranks with {trainer.threads} threads each are more than the "
            f"{processors} processors of this machine, and slow each other down"
        )
    if isinstance(options.threads, int) and not environment.controls_threads():
        console.note(
            f"--threads {options.threads} has no effect on this BLAS; for Accelerate set "
            "VECLIB_MAXIMUM_THREADS before the start"
        )
    elif isinstance(options.threads, int) and options.threads > processors:
        console.note(
            f"--threads {options.threads} is more than the {processors} processors there are; "
            "that many are used"
        )


def _without_layers(options: CommandLine, trainer: Trainer) -> list[str]:
    """The options that are on, and are of layers that the network does not have."""
    idle = []
    if not options.hidden and not any(layer.shapes for layer in trainer.network.layers[:-1]):
        hidden = [n for n, (_, about) in KNOWN.items() if about.place == HIDDEN or n == "max_norm"]
        hidden.remove("activation")
        idle += [name for name in hidden if np.any(getattr(options, name))]
    if not (options.batch_norm or options.layer_norm) and not options.gamma:
        idle.append("no_gamma")
    if not options.batch_norm and options.remeasure:
        idle.append("remeasure")
    if (not options.batch_norm or trainer.ranks == 1) and "batch_stats" in options.given:
        idle.append("batch_stats")
    return idle
