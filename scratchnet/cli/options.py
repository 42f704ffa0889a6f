"""The options of the command line: those of networks, training and comparisons, and its own."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from scratchnet.checks import Range, quoted
from scratchnet.compare.options import ComparisonOptions
from scratchnet.data import DATASETS
from scratchnet.errors import ParameterError
from scratchnet.inspection.surfaces import SURFACES
from scratchnet.networks import PRESETS, NetworkOptions
from scratchnet.networks.convolutional import image_units
from scratchnet.optimizers import EMA, Optimizer
from scratchnet.options import (
    EVERY_JOB,
    TRAINING,
    Names,
    Options,
    Parsed,
    Switch,
    Words,
    option,
    options_of,
    parse_amounts,
)
from scratchnet.parallel import BATCH_STATS
from scratchnet.training.options import RUNS, RunOptions, TrainingOptions

JOBS = {
    "compare": "a comparison",
    "find-lr": "--find-lr",
    "surface": "--surface",
    "train": "a single run",
}
"""The words for a job in messages."""
NO_JOB: frozenset[str] = frozenset()
COUNT = Range(at_least=1, integer=True, optional=True)


def _folder(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ParameterError(f"must be the path of a folder, got {text!r}")
    return os.path.expanduser(text)  # a shell leaves the ~ in --out=~/runs


def _sizes(text: str) -> list[int]:
    """The sizes in "100,50", or none of them for "none"."""
    if text.strip().lower() == "none":
        return []
    sizes = []
    for item in text.split(","):
        if not re.fullmatch("0*[1-9][0-9]{0,11}", item.strip()):
            raise ParameterError(
                "must be none, or integers from 1 to below 10^12 with commas, for example "
                f"--hidden 50,20, got {quoted(item)} in {quoted(text)}"
            )
        sizes.append(int(item))
    return sizes


def _image_word(text: str) -> str:
    """A word for a layer of images, or none."""
    word = text.strip().lower()
    if word != "none":
        image_units([word])
    return word


def _start(text: str) -> list[float] | None:
    """The two numbers in "-7,2"."""
    if text.strip().lower() == "none":
        return None
    try:
        point = [float(part) for part in text.split(",")]
    except ValueError:
        point = []
    if len(point) != 2 or not all(value in Range() for value in point):
        raise ParameterError(f"must be two finite numbers, for example --start=-7,2, got {text!r}")
    return point


def _hyper(owner: Any, name: str, help: str, metavar: str) -> Any:
    """The option of a hyper-parameter that the optimizer declares; None leaves it to that."""
    (declared,) = (one for one in fields(owner) if one.name == name)
    allowed = declared.metadata["range"]._replace(optional=True)
    return option(None, allowed, help, metavar=metavar, jobs=EVERY_JOB)


@dataclass(frozen=True, kw_only=True)
class LabelOptions(Options):
    """Where labels are."""

    title = "data"

    label: str | None = option(
        None,
        Parsed(str),
        "the column of a CSV that holds the classes (default: label, else the last)",
        metavar="COLUMN",
    )


@dataclass(frozen=True, kw_only=True)
class PlaceOptions(Options):
    """Where data sets are."""

    title = "data"

    data_dir: str | None = option(
        None,
        Parsed(_folder),
        "where the files of a data set are looked for, in DIR/NAME, then in DIR "
        "(default: $SCRATCHNET_DATA, else ./datasets)",
        metavar="DIR",
        resume=RUNS,
    )


@dataclass(frozen=True, kw_only=True)
class WordOptions(Options):
    """How much every command says."""

    title = "output"

    quiet: bool = option(
        False, Switch(), "print the result only", short="-q", jobs=NO_JOB, plain=True
    )
    debug: bool = option(False, Switch(), "show the traceback of an error", jobs=NO_JOB, plain=True)


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Which samples."""

    title = "data"

    dataset: str = option(
        "digits",
        Parsed(os.path.expanduser),
        f"{', '.join(DATASETS)}, or a path: a .csv, an .npz, a folder of IDX files, or of pictures "
        "with a folder for each class",
        shown=True,
    )
    train_samples: int | None = option(
        None,
        COUNT,
        "train with the first N of the training samples only (default: all)",
        metavar="N",
    )


@dataclass(frozen=True, kw_only=True)
class LayerOptions(Options):
    """The sizes of the layers, which have no default in the library."""

    title = "network"

    network: str = option(
        "mlp",
        Names(PRESETS, "network"),
        f"{', '.join(PRESETS)}: a choice of the options below, each of which may still be given",
        jobs=TRAINING,
    )
    conv: list[str] = option(
        (),
        Parsed(_image_word),
        "layers of images: filters x kernel, then /stride and p for padding, for example 16x5/2 "
        "32x3p; pool2, avg2, global; or none",
        metavar="WORD",
        listed=True,
    )
    hidden: list[int] = option(
        (100,),
        Parsed(_sizes),
        "units of each hidden layer, for example 100,50, or none",
        metavar="SIZES",
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(Options):
    """Options of every optimizer and schedule, and of the one that was chosen."""

    title = "optimizer"

    weight_decay: float | None = _hyper(
        Optimizer,
        "weight_decay",
        "weights shrink by lr times this at each step (default: the optimizer's own)",
        "STRENGTH",
    )
    clip_norm: float | None = _hyper(
        Optimizer, "clip_norm", "limit the norm of the gradient (default: none)", "NORM"
    )
    clip_value: float | None = _hyper(
        Optimizer, "clip_value", "limit every value of the gradient (default: none)", "VALUE"
    )
    ema: float | None = _hyper(
        EMA,
        "decay",
        "evaluate with the moving average of the weights, for example 0.999 (default: none)",
        "DECAY",
    )
    set: dict[str, Any] | None = option(
        None,
        Parsed(parse_amounts),
        "options of the optimizer, for example momentum=0.95, with commas between them",
        metavar="NAME=VALUE",
        jobs=EVERY_JOB,
    )
    warmup: float | None = option(
        None,
        Range(at_least=0, below=1, optional=True),
        "share of training in which lr rises from 0 (default: the schedule's own)",
        metavar="SHARE",
        jobs=RUNS,
    )
    schedule_set: dict[str, Any] | None = option(
        None,
        Parsed(parse_amounts),
        "options of the schedule, for example end=0.1, with commas between them",
        metavar="NAME=VALUE",
        jobs=RUNS,
    )


@dataclass(frozen=True, kw_only=True)
class RankOptions(Options):
    """Who shares a run."""

    title = "training"

    parallel: str | None = option(
        None,
        Words(("mpi",), optional=True),
        "mpi: share each batch between the processes that mpiexec has started "
        "(default: one process)",
        jobs=NO_JOB,
    )
    batch_stats: str = option(
        "all",
        Words(BATCH_STATS),
        "all or rank: --batch-norm with --parallel measures all rows of a batch, or those of each "
        "rank by itself",
    )


@dataclass(frozen=True, kw_only=True)
class LoopOptions(Options):
    """What does the work."""

    title = "training"

    loops: str = option(
        "auto",
        Words(("auto", "off")),
        "auto: compiled loops, where they were built; off: NumPy does all the work",
        jobs=EVERY_JOB,
        resume=RUNS,
    )


@dataclass(frozen=True, kw_only=True)
class InsteadOptions(Options):
    """The jobs instead of training."""

    title = "instead of training"

    find_lr: bool = option(
        False,
        Switch(),
        "raise the learning rate step by step and suggest one",
        jobs=EVERY_JOB,
        plain=True,
    )
    surface: str | None = option(
        None,
        Names(SURFACES, "surface", optional=True),
        f"draw the optimizers' paths on a surface: {', '.join(SURFACES)}",
        jobs=EVERY_JOB,
    )
    start: list[float] | None = option(
        None,
        Parsed(_start),
        "where the paths begin (default: the surface's own start)",
        metavar="X,Y",
        jobs=EVERY_JOB,
    )
    steps: int | None = option(
        None,
        COUNT,
        "updates of each path (default: the surface's own number)",
        metavar="N",
        jobs=EVERY_JOB,
    )


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options):
    """Where results go."""

    title = "output"

    save_every: int | None = option(
        None,
        COUNT,
        "save a checkpoint every N steps (default: after each epoch, but no more than one a "
        "second)",
        metavar="N",
        jobs=RUNS,
        resume=frozenset({"train"}),
    )
    report: bool = option(
        True, Switch(), "write report.html, the page of the run", jobs=EVERY_JOB, resume=RUNS
    )


@dataclass(frozen=True, kw_only=True)
class CallOptions(Options):
    """Options of one call, which are no part of the run: a resumed run has its own."""

    title = "output"

    out: str | None = option(
        None,
        Parsed(_folder),
        "folder of the run, new or empty (default: runs/<dataset>-<optimizer>-<n>)",
        metavar="DIR",
        jobs=NO_JOB,
    )
    resume: str | bool | None = option(
        None,
        Parsed(_folder),
        "resume the run in this folder, or the latest in runs/",
        metavar="DIR",
        jobs=NO_JOB,
    )
    config: str | None = option(
        None,
        Parsed(os.path.expanduser),
        "a TOML file of these options, for example `epochs = 5`; those of the command line win",
        metavar="FILE",
        jobs=NO_JOB,
    )
    json: bool = option(
        False,
        Switch(),
        "print results.json on stdout and everything else on stderr",
        jobs=NO_JOB,
        plain=True,
    )
    override: bool = option(
        False,
        Switch(),
        "resume although options or data differ from those of the run",
        jobs=NO_JOB,
        plain=True,
    )
    dry_run: bool = option(
        False,
        Switch(),
        "check everything, print the plan and write nothing",
        jobs=NO_JOB,
        plain=True,
    )
    verbose: bool = option(
        False, Switch(), "print the layers too", short="-v", jobs=NO_JOB, plain=True
    )


OWNERS = (
    DataOptions,
    LabelOptions,
    PlaceOptions,
    LayerOptions,
    NetworkOptions,
    TrainingOptions,
    OptimizerOptions,
    RunOptions,
    RankOptions,
    LoopOptions,
    ComparisonOptions,
    InsteadOptions,
    OutputOptions,
    CallOptions,
    WordOptions,
)
"""The classes that declare the options of the command line, in the order of its help."""


@dataclass(frozen=True, kw_only=True)
class CommandLine(
    WordOptions,
    CallOptions,
    OutputOptions,
    InsteadOptions,
    ComparisonOptions,
    LoopOptions,
    RankOptions,
    RunOptions,
    OptimizerOptions,
    TrainingOptions,
    NetworkOptions,
    LayerOptions,
    PlaceOptions,
    LabelOptions,
    DataOptions,
):
    """The values of all options, and which of them were typed."""

    given: frozenset[str] = frozenset()
    """The options that came from the command line or from --config."""

    @property
    def optimizers(self) -> list[str]:
        """The names of the optimizers."""
        return list(self.optimizer)

    @property
    def job(self) -> str:
        """The job, a word of EVERY_JOB."""
        if self.surface is not None:
            return "surface"
        if self.find_lr:
            return "find-lr"
        several = len(self.optimizers) > 1 or self.seeds != 1 or self.lr_grid is not None
        return "compare" if several else "train"

    def asked(self) -> dict[str, Any]:
        """The values as plain data."""
        return {name: value for name, value in asdict(self).items() if name != "given"}


KNOWN = {name: one for name, one in options_of(*OWNERS).items() if one[1].door == "all"}
"""Every option of the command line by name: its default, and what there is to know of it."""
CALL = frozenset(name for name, (_, about) in KNOWN.items() if not about.jobs)
"""The options of one call, which no run keeps."""
