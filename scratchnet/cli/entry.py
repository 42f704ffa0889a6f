"""The command line: arguments in, the parts wired together, results out; no mathematics here."""

import argparse
import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from scratchnet import environment
from scratchnet.cli.arguments import ONCE, asked, parse, program
from scratchnet.cli.compare import FREE_TO_CHANGE, CompareJob
from scratchnet.cli.find_rates import find_rates
from scratchnet.cli.follow import follow, leave, share_state
from scratchnet.cli.interrupts import Interrupted
from scratchnet.cli.screen import Screen, Silent
from scratchnet.cli.surface import draw_surface
from scratchnet.cli.train import FREE, Job, find_run, is_comparison
from scratchnet.data import Augmentation, Dataset, Samples, load, make_augmentation
from scratchnet.errors import (
    DataError,
    DivergenceError,
    DownloadError,
    OutputError,
    ParameterError,
    ScratchnetError,
)
from scratchnet.networks import EVALUATION_ROWS, MultiLayerNet, count_weights, layer_sizes
from scratchnet.optimizers import EMA, Optimizer, make_optimizer
from scratchnet.parallel import MPIGradients, launched, launched_here, mpi_world
from scratchnet.runs import ComparisonFolder, OutputFolder, RunFolder, check_free
from scratchnet.schedules import Schedule, make_schedule
from scratchnet.storage.checkpoint import Checkpoints
from scratchnet.training import Trainer

T = TypeVar("T")

EXIT_CODES: Mapping[type[BaseException], int] = {
    ParameterError: 2,
    MemoryError: 2,
    ModuleNotFoundError: 2,
    DataError: 3,
    OutputError: 4,
    DivergenceError: 5,
    DownloadError: 6,
    Interrupted: 130,  # or what its signal says
    ScratchnetError: 3,  # what is left: arrays of the data set that do not fit
    KeyboardInterrupt: 130,
    BrokenPipeError: 141,
    OSError: 4,  # what is left: a folder that has gone while in use
}
"""The exit status of each kind of error, the first that fits; 1 is left to bugs."""
FOR_SURFACES = frozenset(
    {"surface", "optimizer", "set", "lr", "lr_grid", "start", "steps", "seed", "report"}
    | {"weight_decay", "clip_norm", "clip_value", "ema", "find_lr"}
)
NOT_FOR_RATES = frozenset(
    {"lr", "lr_grid", "seeds", "jobs", "target", "epochs", "patience", "monitor", "schedule"}
    | {"schedule_set", "warmup", "remeasure", "save_every"}
)
OLDEST_NUMPY = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say and return the exit status; an error is one line on stderr."""
    _prepare_streams()
    words = sys.argv[1:] if argv is None else argv
    started = launched()
    shared = started is not None and any(word.split("=")[0] == "--parallel" for word in words)
    meant = any(word.startswith("--par") for word in words)  # even where it is misspelt
    speaks = not meant or started is None or started[0] == 0  # as the first of the ranks
    aside = io.StringIO()  # what others than the first say of their arguments
    arguments: argparse.Namespace | None = None
    parallel: MPIGradients | None = None
    failure: BaseException | None = None
    try:
        if shared:  # before anything can fail, or the others would wait for this one
            parallel = mpi_world()
            speaks = parallel.rank == 0
        with ExitStack() as stack:
            if not speaks:
                stack.enter_context(redirect_stdout(aside))
                stack.enter_context(redirect_stderr(aside))
            arguments = parse(argv)
        _check_numpy()
        if arguments.parallel is not None:
            parallel = parallel or mpi_world()
            speaks = parallel.rank == 0
            _begin_alike(parallel, arguments)
        _go(arguments, argv, parallel)
    except SystemExit as error:  # of the arguments, or --help, whose reader may have gone
        _drop_output()
        if parallel is None:
            raise
        failure = error
    except tuple(EXIT_CODES) as error:
        failure = error
        if speaks and arguments is not None and arguments.debug:
            traceback.print_exc()
        _drop_output()
        if speaks:
            _tell(error)
    except Exception:
        if parallel is None:
            raise
        traceback.print_exc()  # a bug; the others wait for what will not come
        parallel.abort(1)
    code = _code(failure)
    if parallel is not None:
        # Rank 0 may have something to save after these, which all ranks raise; it waits for none.
        last = isinstance(failure, Interrupted | DivergenceError) and parallel.rank > 0
        hurry = failure is not None and not last
        leave(parallel, code, hurry, lambda: _tell(failure, parallel.rank, aside.getvalue()))
    failure = None  # its traceback holds on to this frame, and to the folder and its lock
    return code


def _begin_alike(parallel: MPIGradients, arguments: argparse.Namespace) -> None:
    """Raise ParameterError where not all ranks were started with the same arguments."""
    if parallel.rank > 0:
        warnings.simplefilter("ignore")  # rank 0 warns of the same
    given = asked(arguments)
    own = ("data_dir", "config")  # places, that may be others on other machines
    parallel.check_equal({f"--{n.replace('_', '-')}": v for n, v in given.items() if n not in own})


def _go(
    arguments: argparse.Namespace, argv: Sequence[str] | None, parallel: MPIGradients | None
) -> None:
    """Begin what the arguments ask for, or go on with it; only rank 0 looks into the folder."""
    folder: OutputFolder | None = None

    def reopen() -> argparse.Namespace:
        nonlocal folder
        folder, found = _reopen(arguments, argv)
        return found

    if arguments.resume is not None:
        arguments = reopen() if parallel is None else parallel.broadcast(reopen)
    run(arguments, folder, parallel)


def _code(error: BaseException | None) -> int:
    """The exit status of an error, or of none."""
    if error is None:
        return 0
    if isinstance(error, Interrupted):
        return error.code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))


def _tell(error: BaseException | None, rank: int = 0, aside: str = "") -> None:
    """Say what happened, in one line on stderr; of wrong arguments what was said `aside`."""
    where = f"rank {rank}: " if rank else ""
    text = aside.replace(": ", f": {where}", 1)
    if error is not None and not isinstance(error, SystemExit):
        text = _line(error, where)
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _drop_output() -> None:
    """Let go of what standard output does not take, or the exit would try once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(error: BaseException, where: str = "") -> str:
    """What stderr says about an error: one line, or nothing where the reader has gone."""
    if isinstance(error, BrokenPipeError):
        return ""
    if isinstance(error, KeyboardInterrupt | Interrupted):
        return f"{program()}: {where}{str(error) or 'interrupted'}\n"
    text = str(error)
    if isinstance(error, MemoryError):
        text = f"out of memory: {text or 'there is no more'}; choose smaller layers or batches"
    elif isinstance(error, ModuleNotFoundError):
        text = f"{error.name} is not installed; run `make train`, or see README.md"
    elif isinstance(error, OSError) and not isinstance(error, ScratchnetError):
        text = f"{text}; --debug shows where"
    return f"{program()}: {where}error: {text}\n"


def _check_numpy() -> None:
    """Raise ParameterError where NumPy is older than what the numbers were tested with."""
    if int(np.__version__.split(".")[0]) < OLDEST_NUMPY:
        raise ParameterError(
            f"NumPy {np.__version__} is installed, scratchnet needs {OLDEST_NUMPY}.0 or newer; "
            "run `make train`, or see README.md"
        )


def _prepare_streams() -> None:
    """Give a closed stream a place to write to, and every name of a file a spelling."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def run(
    arguments: argparse.Namespace,
    folder: OutputFolder | None = None,
    parallel: MPIGradients | None = None,
) -> None:
    """What the arguments ask for: a run, a comparison, a picture; raises ScratchnetError.

    `folder` is that of the one to go on with, if there is any; with `parallel` it is rank 0's.
    """
    if arguments.resume is None and parallel is None:
        check_free(arguments.out)
    elif arguments.resume is None and parallel is not None:
        parallel.broadcast(lambda: check_free(arguments.out))
    if parallel is not None and parallel.rank > 0:
        screen: Screen = Silent(arguments.epochs)
    else:
        screen = Screen(
            arguments.epochs,
            quiet=arguments.quiet,
            verbose=arguments.verbose,
            json=arguments.json,
        )
    if parallel is not None:
        if arguments.surface is not None or arguments.find_lr or _several(arguments):
            raise ParameterError(
                "--parallel mpi shares the batches of one run; a comparison has --jobs, and "
                "--surface and --find-lr need one process"
            )
        parallel.batch_stats = arguments.batch_stats
    _note_idle(arguments, screen)
    started = launched()
    if parallel is None and started is not None and started[1] > 1:
        screen.note(
            f"{started[1]} processes were started together, and each does all of this by itself; "
            "to share it they need --parallel mpi"
        )
    if arguments.surface is not None:
        if arguments.find_lr:
            raise ParameterError("--find-lr needs data, --surface has none; keep one of the two")
        draw_surface(arguments, _optimizers(arguments), screen)
        return
    for name in ("start", "steps"):
        if getattr(arguments, name) is not None:
            raise ParameterError(f"--{name} is for --surface; add that, or leave it out")
    dataset = load(arguments.dataset, home=arguments.data_dir)
    optimizers = _optimizers(arguments)
    network = _build(arguments, dataset, optimizers.values())
    training, validation = _split(arguments, dataset.train)
    first = next(iter(optimizers.values()))
    trainer = Trainer(
        network,
        training,
        validation,
        optimizer=first,
        schedule=_schedule(arguments),
        batch_size=None if _several(arguments) and first.full_batch else arguments.batch_size,
        seed=arguments.seed,
        threads=1 if _several(arguments) else arguments.threads,
        augment=_augmentation(arguments, dataset),
        remeasure=arguments.remeasure,
        parallel=parallel,
    )
    _advise(arguments, trainer, screen)
    arguments.threads = trainer.threads  # what "auto" came to, so that a resumed run has it too
    with environment.limit_threads(trainer.threads):
        if arguments.find_lr:
            find_rates(arguments, dataset, network, optimizers, trainer, screen)
        elif _several(arguments):
            _compare(arguments, dataset, network, optimizers, trainer, screen, folder)
        else:
            _train(arguments, dataset, network, trainer, screen, folder, parallel)


def _train(
    arguments: argparse.Namespace,
    dataset: Dataset,
    network: MultiLayerNet,
    trainer: Trainer,
    screen: Screen,
    folder: OutputFolder | None,
    parallel: MPIGradients | None,
) -> None:
    """The main job: train, evaluate, write."""
    if parallel is not None and parallel.rank > 0:
        follow(arguments, trainer, parallel)
        return
    assert folder is None or isinstance(folder, RunFolder)
    job = Job(arguments, dataset, network, trainer, screen, parallel)
    if folder is not None and parallel is not None:
        run_folder = folder
        share_state(parallel, trainer, job.stopping, lambda: job.restore(run_folder))
    elif folder is not None:
        job.restore(folder)
    screen.header(dataset, trainer, network, [trainer.optimizer])
    if folder is not None:
        screen.going_on(str(folder.path), trainer)
    if arguments.dry_run:
        screen.plan()
    else:
        job.run(folder)


def _compare(
    arguments: argparse.Namespace,
    dataset: Dataset,
    network: MultiLayerNet,
    optimizers: Mapping[str, Optimizer],
    trainer: Trainer,
    screen: Screen,
    folder: OutputFolder | None,
) -> None:
    """Several optimizers, or several seeds or rates of one."""
    assert folder is None or isinstance(folder, ComparisonFolder)
    if arguments.patience is not None:
        raise ParameterError("--patience gives each trial another budget; leave it out to compare")
    if arguments.lr_grid is not None and arguments.lr is not None:
        raise ParameterError("--lr-grid tries many rates, --lr one; keep one of the two")
    if arguments.lr_grid is not None and not arguments.val_split:
        raise ParameterError("--lr-grid needs validation samples; set --val-split above 0")
    if arguments.target is not None and not arguments.val_split:
        raise ParameterError("--target needs validation samples; set --val-split above 0")
    if arguments.train_samples is not None:
        dataset = replace(dataset, train=dataset.train.first(arguments.train_samples))
    screen.header(dataset, trainer, network, optimizers.values())
    if arguments.dry_run:
        screen.plan()
    else:
        CompareJob(arguments, dataset, network, optimizers, trainer, screen).run(folder)


def _several(arguments: argparse.Namespace) -> bool:
    """Whether it is a comparison: of optimizers, of seeds, or of rates."""
    several = len(arguments.optimizer) > 1 or arguments.seeds > 1
    return several or arguments.lr_grid is not None


def _split(arguments: argparse.Namespace, samples: Samples) -> tuple[Samples, Samples | None]:
    """The samples to train with and those held out for validation, if any are to be."""
    if arguments.train_samples is not None:
        try:
            samples = samples.first(arguments.train_samples)
        except ParameterError as error:
            raise ParameterError(f"--train-samples: {error}") from error
    if not arguments.val_split:
        if arguments.patience:
            raise ParameterError("--patience needs validation samples; set --val-split above 0")
        return samples, None
    try:
        return samples.split(arguments.val_split, arguments.seed)
    except ParameterError as error:
        raise ParameterError(f"--val-split {arguments.val_split}: {error}") from error


def _augmentation(arguments: argparse.Namespace, dataset: Dataset) -> Augmentation | None:
    """What distorts the images, if anything is to."""
    if not arguments.augment:
        return None
    return make_augmentation(dataset.image_shape, **arguments.augment)


def _optimizers(arguments: argparse.Namespace) -> dict[str, Optimizer]:
    """Each optimizer by name, with its options, and around it the average if there is to be one."""
    names = arguments.optimizer
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ParameterError(f"--optimizer must name each one once, {twice} came twice")
    options = dict(arguments.set)
    if "lr" in options:
        raise ParameterError(f"--set must leave lr to its flag; write --lr {options['lr']}")
    for name in ("weight_decay", "clip_norm", "clip_value"):
        if getattr(arguments, name) is not None:
            if name in options:
                raise ParameterError(f"--set has {name}, which came as a flag too; keep one")
            options[name] = getattr(arguments, name)
    made = {name: make_optimizer(name, arguments.lr, **options) for name in names}
    if arguments.ema is None:
        return made
    return {name: EMA(inner=each, decay=arguments.ema) for name, each in made.items()}


def _schedule(arguments: argparse.Namespace) -> Schedule:
    """The schedule with its options."""
    if "warmup" in arguments.schedule_set:
        raise ParameterError("--schedule-set must leave warmup to its flag; write --warmup")
    return make_schedule(arguments.schedule, arguments.warmup, **arguments.schedule_set)


def _build(
    arguments: argparse.Namespace, dataset: Dataset, optimizers: Iterable[Optimizer]
) -> MultiLayerNet:
    """The network; raises ParameterError, before anything is allocated, where it cannot fit."""
    n_in = dataset.train.x.shape[1]
    sizes = layer_sizes(n_in, arguments.hidden, dataset.classes)
    item = int(arguments.dtype.removeprefix("float")) // 8
    kept = max(optimizer.arrays_kept() for optimizer in optimizers)
    arrays = 2 + kept  # parameters, gradients, what the optimizer remembers
    needed = item * (arrays * count_weights(sizes) + 2 * EVALUATION_ROWS * sum(sizes))
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
        _one_or_each(arguments.activation),
        arguments.initializer,
        arguments.l2,
        arguments.seed,
        arguments.dtype,
        batch_norm=arguments.batch_norm,
        layer_norm=arguments.layer_norm,
        gamma=arguments.gamma,
        noise=_one_or_each(arguments.noise),
        dropout=_one_or_each(arguments.dropout),
        input_noise=arguments.input_noise,
        input_dropout=arguments.input_dropout,
        max_norm=arguments.max_norm,
        standardize=arguments.standardize,
        loss=arguments.loss,
        label_smoothing=arguments.label_smoothing,
        class_weight=arguments.class_weight,
    )


def _one_or_each(values: Sequence[T]) -> T | Sequence[T]:
    """The value, where one was given for all hidden layers; else those for each."""
    return values[0] if len(values) == 1 else values


def _advise(arguments: argparse.Namespace, trainer: Trainer, screen: Screen) -> None:
    """Say what is not wrong but hardly meant."""
    if (arguments.batch_size or 0) > len(trainer.train):
        screen.note(
            f"--batch-size {arguments.batch_size} is more than the {len(trainer.train)} training "
            "samples; every update uses all of them"
        )
    layers = ["noise", "dropout", "max_norm", "batch_norm", "layer_norm"]
    idle = [name for name in layers if arguments.hidden == [] and any(_listed(arguments, name))]
    if not (arguments.batch_norm or arguments.layer_norm) and not arguments.gamma:
        idle.append("no_gamma")
    if not arguments.batch_norm and arguments.remeasure:
        idle.append("remeasure")
    if (not arguments.batch_norm or trainer.ranks == 1) and "batch_stats" in arguments.given:
        idle.append("batch_stats")
    if idle:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        screen.note(f"{flags} has no effect without the layers it is for")
    if arguments.ema is not None and arguments.batch_norm and not arguments.remeasure:
        screen.note(
            "--ema averages weights, not the statistics of batch normalization; --remeasure 10000 "
            "measures these at the averaged weights"
        )
    processors = os.cpu_count() or 1
    wanted = launched_here() * (trainer.threads or 1)
    if trainer.ranks > 1 and wanted > processors:
        screen.note(
            f"{launched_here()} ranks with {trainer.threads} threads each are more than the "
            f"{processors} processors of this machine, and slow each other down"
        )
    if arguments.threads != "auto" and arguments.threads > processors:
        screen.note(
            f"--threads {arguments.threads} is more than the {processors} processors there are; "
            "that many are used"
        )


def _note_idle(arguments: argparse.Namespace, screen: Screen) -> None:
    """Name what was asked for and has no part in what is done."""
    idle: frozenset[str] = frozenset()
    if arguments.surface is not None:
        idle, instead = frozenset(arguments.given - FOR_SURFACES - ONCE), "--surface"
    elif arguments.find_lr:
        idle, instead = frozenset(arguments.given & NOT_FOR_RATES), "--find-lr"
    elif not _several(arguments):
        idle, instead = frozenset(arguments.given & {"jobs", "target"}), "a single run"
    if idle:
        flags = ", ".join(sorted(f"--{name.replace('_', '-')}" for name in idle))
        screen.note(f"{flags} has no effect on {instead}")


def _listed(arguments: argparse.Namespace, name: str) -> list[Any]:
    """The value or values of an argument."""
    value = getattr(arguments, name)
    return value if isinstance(value, list) else [value]


def _reopen(
    arguments: argparse.Namespace, argv: Sequence[str] | None
) -> tuple[OutputFolder, argparse.Namespace]:
    """The folder to go on in, locked, and the arguments: the run's own but for what may change.

    Raises DataError where there is nothing to go on with, ParameterError naming every argument
    that was typed and is not the run's, unless --override.
    """
    path = find_run(None if arguments.resume is True else arguments.resume)
    folder: OutputFolder
    if is_comparison(path):
        folder, free, ranks = ComparisonFolder.reopen(path), FREE_TO_CHANGE, 1
        source, found = path / "config.json", folder.read_config()
    else:
        folder, free = RunFolder.reopen(path), FREE
        source, header, _ = Checkpoints(path).latest()
        found = header["run"] or {}
        ranks = header.get("environment", {}).get("ranks", 1)
    try:
        given = found["arguments"]
        stored = {name: value for name, value in given.items() if name not in ONCE}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{str(source)!r} was not saved by a run of the command line; go on with it in Python"
        ) from error
    arguments = parse(argv, stored)
    if "out" in arguments.given and os.path.realpath(arguments.out) != os.path.realpath(path):
        raise ParameterError(
            f"--out {arguments.out!r}: a run that is gone on with stays in its folder, "
            f"{str(path)!r}; leave it out, or copy the folder and --resume the copy"
        )
    clashes = [
        f"--{name.replace('_', '-')}: the run has {_told(stored[name])}, here is {_told(value)}"
        for name, value in vars(arguments).items()
        if name in arguments.given - free and name in stored and value != stored[name]
    ]
    if clashes and is_comparison(path):
        raise ParameterError(
            f"a comparison goes on as it began: {'; '.join(clashes)}; leave them out, or begin "
            "another"
        )
    if clashes and not arguments.override:
        raise ParameterError(
            f"a run goes on as it began: {'; '.join(clashes)}; leave them out, or add --override"
        )
    arguments.out = str(path)
    if arguments.parallel is not None and ranks == 1 and "threads" not in arguments.given:
        arguments.threads = "auto"  # what one process had is not what each of several should have
    return folder, arguments


def _told(value: Any) -> str:
    """The value as a message quotes it, names as they were typed."""
    names = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return repr(" ".join(value) if names else value)
