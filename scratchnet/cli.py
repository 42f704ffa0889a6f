"""The command line: arguments in, the parts wired together, results out; no mathematics here."""

import argparse
import io
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from scratchnet import __version__, environment
from scratchnet.arguments import parse, program
from scratchnet.checkpoint import save_weights
from scratchnet.data import Dataset, Samples, load
from scratchnet.errors import (
    DataError,
    DivergenceError,
    DownloadError,
    OutputError,
    ParameterError,
    ScratchnetError,
)
from scratchnet.networks import EVALUATION_ROWS, MultiLayerNet, count_parameters, layer_sizes
from scratchnet.optimizers import EMA, Optimizer, make_optimizer
from scratchnet.runs import RunFolder, check_free
from scratchnet.schedules import make_schedule
from scratchnet.screen import Screen
from scratchnet.trainer import EarlyStopping, Trainer

EXIT_CODES: Mapping[type[BaseException], int] = {
    ParameterError: 2,
    MemoryError: 2,
    ModuleNotFoundError: 2,
    DataError: 3,
    OutputError: 4,
    DivergenceError: 5,
    DownloadError: 6,
    ScratchnetError: 3,  # what is left: arrays of the data set that do not fit
    KeyboardInterrupt: 130,
    BrokenPipeError: 141,
    OSError: 4,  # what is left: a folder that has gone while in use
}
"""The exit status of each kind of error, the first that fits; 1 is left to bugs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say and return the exit status; an error is one line on stderr."""
    _prepare_streams()
    try:
        arguments = parse(argv)
    except SystemExit:  # an error, or --help, whose reader may have gone
        _drop_output()
        raise
    try:
        train(arguments)
    except tuple(EXIT_CODES) as error:
        if arguments.debug:
            traceback.print_exc()
        _drop_output()
        with suppress(OSError):
            sys.stderr.write(_line(error))
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    return 0


def _drop_output() -> None:
    """Let go of what standard output does not take, or the exit would try once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(error: BaseException) -> str:
    """What stderr says about an error: one line, or nothing where the reader has gone."""
    if isinstance(error, BrokenPipeError):
        return ""
    if isinstance(error, KeyboardInterrupt):
        return f"{program()}: interrupted\n"
    text = str(error)
    if isinstance(error, MemoryError):
        text = f"out of memory: {text or 'there is no more'}; choose smaller layers or batches"
    elif isinstance(error, ModuleNotFoundError):
        text = f"{error.name} is not installed; run `make train`, or see README.md"
    elif isinstance(error, OSError) and not isinstance(error, ScratchnetError):
        text = f"{text}; --debug shows where"
    return f"{program()}: error: {text}\n"


def _prepare_streams() -> None:
    """Give a closed stream a place to write to, and every name of a file a spelling."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def train(arguments: argparse.Namespace) -> None:
    """The main job: load, build, train, evaluate, write; raises ScratchnetError."""
    check_free(arguments.out)
    dataset = load(arguments.dataset, home=arguments.data_dir)
    optimizer = _optimizer(arguments)
    network = _build(arguments, dataset, optimizer)
    training, validation = _split(arguments, dataset.train)
    trainer = Trainer(
        network,
        training,
        validation,
        optimizer=optimizer,
        schedule=make_schedule(arguments.schedule, arguments.warmup, **arguments.schedule_set),
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        threads=arguments.threads,
    )
    screen = Screen(
        arguments.epochs,
        quiet=arguments.quiet,
        verbose=arguments.verbose,
        json=arguments.json,
    )
    _advise(arguments, trainer, screen)
    with environment.limit_threads(arguments.threads):
        screen.header(dataset, trainer, network)
        if arguments.dry_run:
            screen.plan()
        else:
            _run(arguments, dataset, network, trainer, screen)


def _split(arguments: argparse.Namespace, samples: Samples) -> tuple[Samples, Samples | None]:
    """The samples to train with and those held out for validation, if any are to be."""
    if not arguments.val_split:
        if arguments.patience:
            raise ParameterError("--patience needs validation samples; set --val-split above 0")
        return samples, None
    try:
        return samples.split(arguments.val_split, arguments.seed)
    except ParameterError as error:
        raise ParameterError(f"--val-split {arguments.val_split}: {error}") from error


def _optimizer(arguments: argparse.Namespace) -> Optimizer:
    """The optimizer with its options, and around it the average if there is to be one."""
    options = dict(arguments.set)
    for name in ("weight_decay", "clip_norm", "clip_value"):
        if getattr(arguments, name) is not None:
            options[name] = getattr(arguments, name)
    optimizer = make_optimizer(arguments.optimizer, arguments.lr, **options)
    return optimizer if arguments.ema is None else EMA(inner=optimizer, decay=arguments.ema)


def _build(arguments: argparse.Namespace, dataset: Dataset, optimizer: Optimizer) -> MultiLayerNet:
    """The network; raises ParameterError, before anything is allocated, where it cannot fit."""
    n_in = dataset.train.x.shape[1]
    sizes = layer_sizes(n_in, arguments.hidden, dataset.classes)
    item = int(arguments.dtype.removeprefix("float")) // 8
    arrays = 2 + len(optimizer.remembers)  # parameters, gradients, what the optimizer remembers
    needed = item * (arrays * count_parameters(sizes) + 2 * EVALUATION_ROWS * sum(sizes))
    free = environment.available_memory()
    if free is not None and needed > free:
        raise ParameterError(
            f"--hidden must fit into memory: {'-'.join(map(str, sizes))} needs "
            f"{needed / 2**30:,.1f} GiB, {free / 2**30:,.1f} GiB are free; choose smaller layers"
        )
    return MultiLayerNet(
        n_in,
        arguments.hidden,
        dataset.classes,
        arguments.activation,
        arguments.initializer,
        arguments.l2,
        arguments.seed,
        arguments.dtype,
    )


def _advise(arguments: argparse.Namespace, trainer: Trainer, screen: Screen) -> None:
    """Say what is not wrong but hardly meant."""
    if (arguments.batch_size or 0) > len(trainer.train):
        screen.note(
            f"--batch-size {arguments.batch_size} is more than the {len(trainer.train)} training "
            "samples; every update uses all of them"
        )
    processors = os.cpu_count() or 1
    if arguments.threads > processors:
        screen.note(
            f"--threads {arguments.threads} is more than the {processors} processors there are; "
            "that many are used"
        )


def _run(
    arguments: argparse.Namespace,
    dataset: Dataset,
    network: MultiLayerNet,
    trainer: Trainer,
    screen: Screen,
) -> None:
    """Train and evaluate, and keep what came of it in the run's folder."""
    folder = RunFolder(arguments.out, f"{_stem(dataset.name)}-{arguments.optimizer}")
    folder.write_config(_config(arguments, dataset, network, trainer))
    stopping = EarlyStopping(network, arguments.patience) if arguments.patience else None
    start = time.perf_counter()
    try:
        with screen.bar(trainer):
            for epoch in trainer.run(arguments.epochs):
                folder.add_epoch(epoch)
                screen.epoch(epoch)
                if stopping is not None and stopping.should_stop(epoch):
                    break
    finally:
        folder.write_history()
    seconds = time.perf_counter() - start
    kept = folder.rows[-1]
    if stopping is not None and stopping.best is not None:
        stopping.restore_best()
        kept = folder.rows[stopping.best_epoch - 1]
    results = _results(arguments, dataset, trainer, folder.rows, kept, seconds)
    save_weights(network, folder.path / "weights.npz")
    folder.write_results(results)
    screen.result(results, str(folder.path))


def _stem(name: str) -> str:
    """The name of a data set, of which there may be only a path, as a part of another path."""
    last = os.path.basename(os.path.normpath(name)).removesuffix(".npz")
    return last.strip(".") or "data"


def _config(
    arguments: argparse.Namespace, dataset: Dataset, network: MultiLayerNet, trainer: Trainer
) -> dict[str, Any]:
    """Everything needed to run the same again, and to know whether it is the same."""
    name = arguments.optimizer
    return {
        "scratchnet": __version__,
        "arguments": vars(arguments),
        "network": network.config(),
        "optimizer": {"name": name, **asdict(trainer.optimizer)},
        "data": {"name": dataset.name, "sha256": dataset.digest, "classes": dataset.classes},
        "environment": environment.describe(),
    }


def _results(
    arguments: argparse.Namespace,
    dataset: Dataset,
    trainer: Trainer,
    rows: Sequence[Mapping[str, Any]],
    kept: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """What the run came to with the weights of the epoch `kept`.

    The test samples are looked at here, once, and nowhere else.
    """
    test_loss, test_accuracy = trainer.evaluate(dataset.test)
    training_seconds = sum(row["seconds"] for row in rows)
    return {
        "dataset": dataset.name,
        "optimizer": arguments.optimizer,
        "lr": trainer.optimizer.lr,
        "test_accuracy": test_accuracy,
        "test_loss": test_loss,
        "val_accuracy": kept["val_accuracy"],
        "val_loss": kept["val_loss"],
        "kept_epoch": kept["epoch"],
        "epochs": trainer.epochs,
        "steps": trainer.steps,
        "batch_size": trainer.batches.batch_size,
        "seconds": seconds,
        "samples_per_second": len(trainer.train) * trainer.epochs / training_seconds,
        "parameters": trainer.network.vector.size,
        "seed": arguments.seed,
    }
