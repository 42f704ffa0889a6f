"""The command line: arguments in, the parts wired together, results out; no mathematics here."""

import argparse
import os
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
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
from scratchnet.optimizers import Optimizer, make_optimizer
from scratchnet.runs import RunFolder
from scratchnet.screen import Screen
from scratchnet.trainer import EarlyStopping, Trainer

EXIT_CODES: Mapping[type[BaseException], int] = {
    ParameterError: 2,
    MemoryError: 2,
    DataError: 3,
    OutputError: 4,
    DivergenceError: 5,
    DownloadError: 6,
    ScratchnetError: 3,  # what is left: arrays of the data set that do not fit
    KeyboardInterrupt: 130,
    BrokenPipeError: 141,
}
"""The exit status of each kind of error, the first that fits; 1 is left to bugs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say and return the exit status; an error is one line on stderr."""
    arguments = parse(argv)
    try:
        train(arguments)
        sys.stdout.flush()
    except tuple(EXIT_CODES) as error:
        if arguments.debug:
            traceback.print_exc()
        if isinstance(error, BrokenPipeError):  # the reader has gone, as after `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif isinstance(error, KeyboardInterrupt):
            print(f"{program()}: interrupted", file=sys.stderr)
        else:
            print(f"{program()}: error: {error or 'out of memory'}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    return 0


def train(arguments: argparse.Namespace) -> None:
    """The main job: load, build, train, evaluate, write; raises ScratchnetError."""
    dataset = load(arguments.dataset, home=arguments.data_dir)
    optimizer = make_optimizer(arguments.optimizer, arguments.lr)
    network = _build(arguments, dataset, optimizer)
    training, validation = dataset.train, None
    if arguments.val_split:
        training, validation = training.split(arguments.val_split, arguments.seed)
    trainer = Trainer(
        network,
        training,
        validation,
        optimizer=optimizer,
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
    with environment.limit_threads(arguments.threads):
        _advise(arguments, trainer, screen)
        screen.header(dataset, trainer, network)
        if not arguments.dry_run:
            _run(arguments, dataset, network, trainer, screen)


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
        arguments.weight_decay,
        arguments.seed,
        arguments.dtype,
    )


def _advise(arguments: argparse.Namespace, trainer: Trainer, screen: Screen) -> None:
    """Say what is not wrong but hardly meant."""
    if arguments.batch_size > len(trainer.train):
        screen.note(
            f"--batch-size {arguments.batch_size} is more than the {len(trainer.train)} training "
            "samples; every update uses all of them"
        )
    processors = os.cpu_count() or 1
    if arguments.threads > processors:
        screen.note(f"--threads {arguments.threads} on a machine with {processors} processors")
    if arguments.patience and trainer.validation is None:
        raise ParameterError("--patience needs validation samples; choose a --val-split above 0")


def _run(
    arguments: argparse.Namespace,
    dataset: Dataset,
    network: MultiLayerNet,
    trainer: Trainer,
    screen: Screen,
) -> None:
    """Train and evaluate, and keep what came of it in the run's folder."""
    folder = RunFolder(arguments.out, f"{dataset.name}-{arguments.optimizer}")
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
    if stopping is not None:
        stopping.restore_best()
    save_weights(network, folder.path / "weights.npz")
    results = _results(arguments, dataset, trainer, folder.rows, seconds)
    folder.write_results(results)
    screen.result(results, str(folder.path))


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
    seconds: float,
) -> dict[str, Any]:
    """What the run came to; the test samples are looked at here, once, and nowhere else."""
    test_loss, test_accuracy = trainer.evaluate(dataset.test)
    training_seconds = sum(row["seconds"] for row in rows)
    return {
        "dataset": dataset.name,
        "optimizer": arguments.optimizer,
        "lr": trainer.optimizer.lr,
        "test_accuracy": test_accuracy,
        "test_loss": test_loss,
        "val_accuracy": rows[-1]["val_accuracy"],
        "val_loss": rows[-1]["val_loss"],
        "epochs": trainer.epochs,
        "steps": trainer.steps,
        "batch_size": arguments.batch_size,
        "seconds": seconds,
        "samples_per_second": len(trainer.train) * trainer.epochs / training_seconds,
        "parameters": trainer.network.vector.size,
        "seed": arguments.seed,
    }
