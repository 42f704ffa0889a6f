"""From options to the parts of a job: data, network, optimizers, Trainer."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from scratchnet import environment, loops
from scratchnet.cli.console import Console
from scratchnet.cli.options import KNOWN, CommandLine
from scratchnet.data import Augmentation, Dataset, Samples, load, make_augmentation
from scratchnet.data.preparation import Preparation
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.networks import (
    PRESETS,
    ConvNet,
    MultiLayerNet,
    NetworkOptions,
    plan,
)
from scratchnet.networks.shapes import evaluation_rows
from scratchnet.optimizers import EMA, Optimizer, make_optimizer
from scratchnet.options import options_of
from scratchnet.parallel import MPIGradients
from scratchnet.schedules import Schedule, make_schedule
from scratchnet.training import Trainer
from scratchnet.training.border import BATCH_SIZE
from scratchnet.training.options import TrainingOptions


@dataclass(frozen=True)
class Setup:
    """All that a job needs."""

    options: CommandLine
    dataset: Dataset
    network: MultiLayerNet
    optimizers: dict[str, Optimizer]
    trainer: Trainer
    console: Console
    parallel: MPIGradients | None = None


def make_setup(
    options: CommandLine, console: Console, parallel: MPIGradients | None = None
) -> Setup:
    """Load the data and build what the options ask for; raises ScratchnetError.

    The options come back with the number of threads that "auto" came to, so that a resumed run has
    the same.
    """
    dataset = load(options.dataset, home=options.data_dir, label=options.label)
    optimizers = make_optimizers(options)
    network = _build(options, dataset, optimizers.values())
    network.preparation = Preparation.of(dataset)
    samples = dataset.train
    if options.train_samples is not None:
        samples = _first(options.train_samples, samples)
    training, validation = _split(options, samples)
    first = next(iter(optimizers.values()))
    compares = options.job == "compare"
    if compares:  # whose trials split the samples by themselves
        dataset = replace(dataset, train=samples)
    trainer = Trainer(
        network,
        training,
        validation,
        optimizer=first,
        schedule=make_the_schedule(options),
        batch_size=None if compares and first.full_batch else options.batch_size,
        threads=1 if compares else options.threads,
        augment=_augmentation(options, dataset),
        parallel=parallel,
        **plain_options(options),
    )
    options = replace(options, threads=trainer.threads)
    return Setup(options, dataset, network, optimizers, trainer, console, parallel)


def chosen_loops(options: CommandLine) -> AbstractContextManager[object]:
    """While inside: compiled loops, or NumPy alone, as --loops says."""
    return loops.without() if options.loops == "off" else nullcontext()


def plain_options(options: CommandLine) -> dict[str, Any]:
    """The options of the Trainer that need nothing built: it gets them as they are."""
    built = {"optimizer", "lr", "schedule", "batch_size", "threads", "augment"}
    names = [name for name in options_of(TrainingOptions) if name in KNOWN and name not in built]
    return {name: getattr(options, name) for name in names}


def _first(n: int, samples: Samples) -> Samples:
    try:
        return samples.first(n)
    except ParameterError as error:
        raise ParameterError(f"--train-samples: {error}") from error


def _split(options: CommandLine, samples: Samples) -> tuple[Samples, Samples | None]:
    """The samples to train with and those held out for validation, if any are to be."""
    if not options.val_split:
        if options.patience:
            raise ParameterError("--patience needs validation samples; set --val-split above 0")
        return samples, None
    try:
        return samples.split(options.val_split, options.seed)
    except ParameterError as error:
        raise ParameterError(f"--val-split {options.val_split}: {error}") from error


def _augmentation(options: CommandLine, dataset: Dataset) -> Augmentation | None:
    """The distortion of images that was asked for, if any."""
    if not options.augment:
        return None
    return make_augmentation(dataset.image_shape, **options.augment)


def make_optimizers(options: CommandLine) -> dict[str, Optimizer]:
    """Each optimizer by name, with its options, and around it the average if there is to be one."""
    names = options.optimizers
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ParameterError(f"--optimizer must name each one once, {twice} came twice")
    own = dict(options.set or {})
    if "lr" in own:
        raise ParameterError(f"--set must leave lr to its flag; write --lr {own['lr']}")
    for name in ("weight_decay", "clip_norm", "clip_value"):
        if getattr(options, name) is not None:
            if name in own:
                raise ParameterError(f"--set has {name}, which came as a flag too; keep one")
            own[name] = getattr(options, name)
    made = {name: make_optimizer(name, options.lr, **own) for name in names}
    if options.ema is None:
        return made
    return {name: EMA(inner=each, decay=options.ema) for name, each in made.items()}


def make_the_schedule(options: CommandLine) -> Schedule:
    """The schedule with its options."""
    own = options.schedule_set or {}
    if "warmup" in own:
        raise ParameterError("--schedule-set must leave warmup to its flag; write --warmup")
    return make_schedule(options.schedule, options.warmup, **own)


def _build(
    options: CommandLine, dataset: Dataset, optimizers: Iterable[Optimizer]
) -> MultiLayerNet:
    """The network; raises ParameterError, before anything is allocated, where it cannot fit."""
    n_in, shape = dataset.train.x.shape[1], dataset.image_shape
    conv = [word for word in options.conv if word != "none"]
    if conv and shape is None:
        raise ParameterError(
            f"--conv and --network {options.network} need images, and the rows of "
            f"{dataset.name!r} have no shape; give images (N, height, width), or --conv none"
        )
    try:
        weights, sizes = plan(shape or (n_in,), conv, options.hidden, dataset.classes)
    except ShapeError as error:
        if conv != PRESETS[options.network].get("conv"):
            raise ParameterError(f"--conv: {error}") from error
        raise ParameterError(
            f"--network {options.network} is for larger images: {error}; for example --conv 16x3p "
            "32x3p pool2"
        ) from error
    item = int(options.dtype.removeprefix("float")) // 8
    kept = max(optimizer.arrays_kept() for optimizer in optimizers)
    arrays = 2 + kept  # parameters, gradients, what the optimizer remembers
    batch = min(options.batch_size or BATCH_SIZE, len(dataset.train))
    rows = max(evaluation_rows(sizes, item), batch)
    needed = item * (arrays * weights + 2 * rows * sum(sizes))
    free = environment.available_memory()
    if free is not None and needed > free:
        outline = " ".join([*conv, "-".join(map(str, [n_in, *options.hidden, dataset.classes]))])
        raise ParameterError(
            f"{'--conv and ' if conv else ''}--hidden must fit into memory: {outline} needs "
            f"{needed / 2**30:,.1f} GiB, {free / 2**30:,.1f} GiB are free; choose smaller layers"
        )
    own = {name: getattr(options, name) for name in options_of(NetworkOptions)}
    if conv and shape is not None:
        return ConvNet(shape, conv, options.hidden, dataset.classes, **own)
    return MultiLayerNet(n_in, options.hidden, dataset.classes, **own)
