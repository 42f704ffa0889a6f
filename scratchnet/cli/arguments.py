"""The arguments of the command line: their names, defaults, ranges, and the file that sets them."""

import argparse
import math
import re
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from scratchnet import __version__
from scratchnet.checks import DTYPES
from scratchnet.data import AUGMENTATIONS, DATASETS
from scratchnet.errors import ParameterError
from scratchnet.initializers import INITIALIZERS, find_initializer
from scratchnet.inspection.surfaces import SURFACES
from scratchnet.layers import ACTIVATIONS, LOSSES, STANDARDIZATIONS
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.parallel import BATCH_STATS
from scratchnet.registry import canonical, nearest
from scratchnet.schedules import SCHEDULES
from scratchnet.training import MONITORS

T = TypeVar("T")

MAX_CONFIG = 2**20
"""Bytes read of a --config at most, so that a device is no trap."""


ONCE = frozenset(
    {"out", "config", "resume", "override", "json", "dry_run", "debug", "quiet", "verbose"}
    | {"parallel"}
)
"""The arguments that are not the run's, but of one call."""

SHOWN = ("dataset", "optimizer", "epochs", "seed")
"""The arguments that a command shows even where they are the defaults."""

EPILOG = """\
examples: %(prog)s --optimizer adam
          %(prog)s --dataset mnist --hidden 100,100 --epochs 5
          %(prog)s --optimizer sgd momentum adam --seeds 5 --lr-grid auto
          %(prog)s --surface rosenbrock --optimizer sgd momentum adam
          RANKS
exit status: 0 done, 2 usage, 3 bad data, 4 cannot write, 5 diverged,
             6 network, 130 Ctrl-C, 143 SIGTERM, 1 a bug
"""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and where a flag is given once."""

    source = ""
    """Where the arguments come from, if not from the command line; errors begin with it."""

    def error(self, message: str) -> NoReturn:
        """Print the message as one line on stderr and exit with status 2."""
        if message.endswith("expected one argument"):
            message += "; one that begins with - is written --flag=-value"
        self.exit(2, f"{self.prog}: error: {self.source}{message}\n")

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """As `parse_args`, but the error about an unknown flag names the nearest known one."""
        arguments, unknown = self.parse_known_args(argv)
        if unknown:
            flag, known = unknown[0].split("=")[0], list(self._option_string_actions)
            longer = [name for name in known if len(flag) > 2 and name.startswith(flag)]
            near = longer[0] if longer else nearest(flag, known)
            hint = f"did you mean {near}?" if near else "--help lists those there are"
            self.error(f"unknown argument {unknown[0]!r}; {hint}")
        return arguments


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that shows a default where there is one to show; lines of the epilog stay lines."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if isinstance(action.default, list):
            return f"{action.help} (default: {', '.join(map(str, action.default))})"
        shows = action.default not in (None, False, {})
        return super()._get_help_string(action) if shows else action.help


def _note_given(
    parser: argparse.ArgumentParser, namespace: argparse.Namespace, dest: str, flag: str | None
) -> None:
    """Note in `given` that the flag came; exits where it had come before."""
    given = vars(namespace).setdefault("given", set())
    if dest in given:
        parser.error(f"{flag} must be given once, it came twice; remove one")
    given.add(dest)


class _Once(argparse.Action):
    """Store the value, and refuse a second one: which of the two was meant is not ours to guess."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        _note_given(parser, namespace, self.dest, option_string)
        if self.nargs == "+":  # each of the values may be several with commas
            values = [value for part in values for value in part]
        setattr(namespace, self.dest, values)


class _Switch(argparse.BooleanOptionalAction):
    """--flag and --no-flag, so that either can overrule a file; noted as given like a value."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        _note_given(parser, namespace, self.dest, option_string)
        super().__call__(parser, namespace, values, option_string)


def make_parser(prog: str) -> Parser:
    """The parser with every argument, in groups; `prog` opens its errors."""
    parser = Parser(
        prog=prog,
        description="Train a neural network on handwritten digits.",
        epilog=EPILOG.replace("RANKS", " ".join(_launch(2))),
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.register("action", None, _Once)
    _add_data(parser.add_argument_group("data"))
    _add_network(parser.add_argument_group("network"))
    _add_optimizer(parser.add_argument_group("optimizer"))
    _add_training(parser.add_argument_group("training"))
    _add_comparison(parser.add_argument_group("comparison, where there are several optimizers"))
    _add_instead(parser.add_argument_group("instead of training"))
    _add_output(parser.add_argument_group("output"))
    return parser


def parse(
    argv: Sequence[str] | None = None, stored: Mapping[str, Any] | None = None
) -> argparse.Namespace:
    """The arguments: those of the command line, else of --config, else the defaults.

    `stored` are those of an earlier run, in the place of the defaults. What was typed, here or in
    the file, is in the set `given`. Exits with status 2, after one line on stderr, where one of
    them cannot be used.
    """
    parser = make_parser(program())
    arguments = parser.parse(argv)
    typed = set(vars(arguments).get("given", ()))
    parser.set_defaults(**(stored or {}))
    if arguments.config is not None:
        found = _read_config(parser, arguments.config)
        typed |= found.pop("given", set())
        parser.set_defaults(**found)
    arguments = parser.parse(argv)
    arguments.given = typed
    return arguments


def asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments as plain data."""
    return {name: value for name, value in vars(arguments).items() if name != "given"}


def command(arguments: argparse.Namespace, ranks: int = 1) -> str:
    """The command that asks for the same run: data, optimizer, seed, and what is no default."""
    parser = make_parser(program())
    usual, own = vars(parser.parse([])), vars(arguments)
    words = _launch(ranks)
    for action in parser._actions:
        name = action.dest
        plain = name not in SHOWN and own.get(name) == usual.get(name)
        if name in ONCE or name not in usual or name not in own or plain:
            continue
        flag, value = action.option_strings[-1 if isinstance(action, _Switch) else 0], own[name]
        if isinstance(action, _Switch):
            words.append(next(f for f in action.option_strings if f.startswith("--no-") != value))
        elif action.nargs == 0:
            words.append(flag)
        else:
            values = value if action.nargs == "+" else [value]
            typed = [_typed(one) for one in values]
            words += [f"{flag}={typed[0]}", *typed[1:]] if typed[0][:1] == "-" else [flag, *typed]
    return shlex.join(words)


def _launch(ranks: int) -> list[str]:
    """The first words of a command."""
    script = program() == "train.py"
    if ranks == 1:
        return ["python", "train.py"] if script else [program()]
    started = ["python", "-m", "mpi4py", "train.py"] if script else [program()]
    return ["mpiexec", "-n", str(ranks), *started, "--parallel", "mpi"]


def _typed(value: Any) -> str:
    """A value as one would type it: 100,50 or momentum=0.95,milestones=0.5:0.75 or none."""
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, Mapping):
        return ",".join(
            f"{name}={':'.join(map(str, v)) if isinstance(v, list) else v}"
            for name, v in value.items()
        )
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _add_data(group: Any) -> None:
    group.add_argument(
        "--dataset",
        default="digits",
        metavar="NAME",
        help=f"{', '.join(DATASETS)}, or the path of a folder of IDX files or of an .npz",
    )
    group.add_argument(
        "--data-dir",
        type=_folder,
        metavar="DIR",
        help="where the files of a data set are looked for, in DIR/NAME, then in DIR "
        "(default: $SCRATCHNET_DATA, else ./datasets)",
    )
    group.add_argument(
        "--val-split",
        default=0.1,
        type=_number("a number from 0 to below 1", lambda v: 0 <= v < 1),
        metavar="SHARE",
        help="share of the training samples held out for validation",
    )
    group.add_argument(
        "--train-samples",
        type=_integer(1),
        metavar="N",
        help="train with the first N of the training samples only (default: all)",
    )
    group.add_argument(
        "--augment",
        type=lambda text: {} if text.strip().lower() == "none" else _options(text),
        default={},
        metavar="NAME=AMOUNT",
        help="distort each image anew in every epoch, as shift=2,rotate=10,elastic=34:4; "
        f"there are {', '.join(AUGMENTATIONS)}",
    )


def _add_network(group: Any) -> None:
    group.add_argument(
        "--hidden",
        default="100",
        type=_hidden,
        metavar="SIZES",
        help="units of each hidden layer, as 100,50, or none",
    )
    group.add_argument(
        "--activation",
        nargs="+",
        default=["relu"],
        type=_each(lambda text: canonical(ACTIVATIONS, text, "activation")),
        metavar="NAME",
        help=f"one for all hidden layers, or one for each: {', '.join(ACTIVATIONS)}",
    )
    group.add_argument(
        "--initializer",
        default="he",
        type=_initializer,
        metavar="NAME",
        help=f"{', '.join(INITIALIZERS)}, or a standard deviation, as 0.01",
    )
    group.add_argument(
        "--l2",
        default=0.0,
        type=_number("a finite number >= 0", lambda v: v >= 0),
        metavar="STRENGTH",
        help="strength of the L2 penalty on the weights",
    )
    group.add_argument("--dtype", default="float32", choices=DTYPES, help="precision")
    _add_regularization(group)


def _add_regularization(group: Any) -> None:
    share = _number("a number from 0 to below 1", lambda v: 0 <= v < 1)
    strength = _number("a finite number >= 0", lambda v: v >= 0)
    group.add_argument(
        "--standardize",
        type=_or_none(_checked(lambda text: _word(text, STANDARDIZATIONS))),
        metavar="OVER",
        help=f"{' or '.join(STANDARDIZATIONS)}: bring the inputs to mean 0 and variance 1 by the "
        "training samples, each feature by itself or all alike (default: leave them)",
    )
    for flag, what in (("--batch-norm", "column over its batch"), ("--layer-norm", "row")):
        text = f"normalise each {what} before every activation"
        group.add_argument(flag, action=_Switch, default=False, help=text)
    group.add_argument(
        "--gamma",
        action=_Switch,
        default=True,
        help="the learnt scale of normalization, best left out where noise comes behind it",
    )
    group.add_argument(
        "--remeasure",
        default=0,
        type=_integer(0),
        metavar="N",
        help="measure the statistics of batch normalization on N training samples after each "
        "epoch, without noise and dropout (default: in training)",
    )
    for flag, kind, metavar, text in (
        ("--noise", strength, "STD", "standard deviation of noise before activations"),
        ("--dropout", share, "RATE", "share of hidden units that is dropped in training"),
    ):
        group.add_argument(
            flag,
            nargs="+",
            default=[0.0],
            type=_each(kind),
            metavar=metavar,
            help=f"{text}: one for all hidden layers, or one for each",
        )
    group.add_argument(
        "--input-noise",
        default=0.0,
        type=strength,
        metavar="STD",
        help="standard deviation of noise on the inputs in training",
    )
    group.add_argument(
        "--input-dropout",
        default=0.0,
        type=share,
        metavar="RATE",
        help="share of the inputs that is dropped in training",
    )
    group.add_argument(
        "--max-norm",
        type=_or_none(_number("a finite number > 0", lambda v: v > 0)),
        metavar="LENGTH",
        help="limit the length of the weights into each hidden unit (default: none)",
    )
    _add_choice(group, "--loss", LOSSES, "softmax")
    group.add_argument(
        "--label-smoothing",
        default=0.0,
        type=share,
        metavar="SHARE",
        help="share of each label that is spread over all classes",
    )
    group.add_argument(
        "--class-weight",
        type=_or_none(_class_weight),
        metavar="WEIGHTS",
        help="balanced, or a number for each class with commas (default: all alike)",
    )


def _add_optimizer(group: Any) -> None:
    group.add_argument(
        "--optimizer",
        nargs="+",
        default=["adam"],
        type=_each(lambda text: canonical(OPTIMIZERS, text, "optimizer")),
        metavar="NAME",
        help=f"one, or several to compare: {', '.join(OPTIMIZERS)}",
    )
    positive = _number("a finite number > 0", lambda v: v > 0)
    numbers = {
        "--lr": ("RATE", positive, "learning rate (default: the optimizer's own)"),
        "--weight-decay": (
            "STRENGTH",
            _number("a finite number >= 0", lambda v: v >= 0),
            "weights shrink by lr times this at each step (default: the optimizer's own)",
        ),
        "--clip-norm": ("NORM", positive, "limit the norm of the gradient (default: none)"),
        "--clip-value": ("VALUE", positive, "limit every value of the gradient (default: none)"),
        "--ema": (
            "DECAY",
            _or_none(_number("a number from 0 to below 1", lambda v: 0 <= v < 1)),
            "evaluate with the moving average of the weights, as 0.999 (default: none)",
        ),
        "--warmup": (
            "SHARE",
            _number("a number from 0 to below 1", lambda v: 0 <= v < 1),
            "share of training in which lr rises from 0 (default: the schedule's own)",
        ),
    }
    for flag, (metavar, kind, text) in numbers.items():
        group.add_argument(flag, type=kind, metavar=metavar, help=text)
    _add_choice(group, "--schedule", SCHEDULES, "constant")
    for flag, what, example in (
        ("--set", "optimizer", "momentum=0.95"),
        ("--schedule-set", "schedule", "end=0.1"),
    ):
        group.add_argument(
            flag,
            type=_options,
            default={},
            metavar="NAME=VALUE",
            help=f"options of the {what}, as {example}, with commas between them",
        )


def _add_training(group: Any) -> None:
    counts = {
        "--epochs": (20, 1, "passes over the training samples"),
        "--seed": (0, 0, "seed of all randomness"),
    }
    for flag, (default, low, text) in counts.items():
        group.add_argument(flag, default=default, type=_integer(low), metavar="N", help=text)
    group.add_argument(
        "--threads",
        default="auto",
        type=lambda text: "auto" if text.strip().lower() == "auto" else _integer(1)(text),
        metavar="N",
        help="threads of the BLAS library; auto goes by the sizes",
    )
    group.add_argument(
        "--parallel",
        choices=("mpi",),
        help="share each batch between the processes that mpiexec has started "
        "(default: one process)",
    )
    group.add_argument(
        "--batch-stats",
        default="all",
        choices=BATCH_STATS,
        help="what --batch-norm measures with --parallel: all rows of a batch, or those of each "
        "rank by itself",
    )
    group.add_argument(
        "--batch-size",
        type=_integer(1),
        metavar="N",
        help="samples of one update (default: 100, or all for optimizers that mean all)",
    )
    group.add_argument(
        "--patience",
        type=_integer(1),
        metavar="N",
        help="stop after N epochs without a better one, and keep the weights of the best "
        "(default: never)",
    )
    group.add_argument(
        "--monitor", default="val_loss", choices=MONITORS, help="what makes an epoch the best"
    )


def _add_comparison(group: Any) -> None:
    counts = {
        "--seeds": (1, "train with N seeds, from --seed on: means, intervals and tests"),
        "--jobs": (None, "processes that share the work (default: one for each processor)"),
    }
    for flag, (default, text) in counts.items():
        group.add_argument(flag, default=default, type=_integer(1), metavar="N", help=text)
    group.add_argument(
        "--lr-grid",
        type=_or_none(_lr_grid),
        metavar="RATES",
        help="tune each optimizer on the validation samples: auto, or rates as 1e-4,1e-3,1e-2",
    )
    group.add_argument(
        "--target",
        type=_number("a number above 0 to 1", lambda v: 0 < v <= 1),
        metavar="ACCURACY",
        help="count epochs and seconds to this validation accuracy "
        "(default: the one that all of them reach)",
    )


def _add_instead(group: Any) -> None:
    group.add_argument(
        "--find-lr",
        action="store_true",
        default=False,
        help="raise the learning rate step by step and suggest one",
    )
    group.add_argument(
        "--surface",
        type=_or_none(_checked(lambda text: canonical(SURFACES, text, "surface"))),
        metavar="NAME",
        help=f"draw the optimizers' paths on a surface: {', '.join(SURFACES)}",
    )
    group.add_argument(
        "--start", type=_start, metavar="X,Y", help="where the paths begin (default: as usual)"
    )
    group.add_argument(
        "--steps", type=_integer(1), metavar="N", help="updates of each path (default: as usual)"
    )


def _add_output(group: Any) -> None:
    group.add_argument(
        "--out",
        type=_folder,
        metavar="DIR",
        help="folder of the run, new or empty (default: runs/<dataset>-<optimizer>-<n>)",
    )
    group.add_argument(
        "--save-every",
        type=_integer(1),
        metavar="N",
        help="save a checkpoint every N steps "
        "(default: after each epoch, but no more than one a second)",
    )
    group.add_argument(
        "--resume",
        nargs="?",
        const=True,
        type=_folder,
        metavar="DIR",
        help="go on with the run in this folder, or with the latest in runs/",
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        help="a TOML file of these arguments, as `epochs = 5`; those of the command line win",
    )
    group.add_argument(
        "--report",
        action=_Switch,
        default=True,
        help="write report.html, the page of the run",
    )
    flags = {
        "--json": "print results.json on stdout and everything else on stderr",
        "--override": "go on although options or data are not those of the run",
        "--dry-run": "check everything, print the plan and write nothing",
        "--debug": "show the traceback of an error",
    }
    for flag, text in flags.items():
        group.add_argument(flag, action="store_true", help=text, default=False)
    group.add_argument("-q", "--quiet", action="store_true", help="print the result only")
    group.add_argument("-v", "--verbose", action="store_true", help="print the layers too")
    group.add_argument("--version", action="version", version=f"scratchnet {__version__}")


def _add_choice(group: Any, flag: str, table: Mapping[str, Any], default: str) -> None:
    """A flag whose values are the names of a table, in any case."""
    kind = flag.strip("-")
    group.add_argument(
        flag,
        default=default,
        type=_checked(lambda text: canonical(table, text, kind)),
        metavar="NAME",
        help=", ".join(table),
    )


def _checked(convert: Callable[[str], T]) -> Callable[[str], T]:
    """`convert` as argparse wants it: what is refused is an ArgumentTypeError with the reason."""

    def checked(text: str) -> T:
        try:
            return convert(text)
        except ParameterError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _number(rule: str, allowed: Callable[[float], bool]) -> Callable[[str], float]:
    """The type of a float for which `allowed` holds; `rule` says so in words."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            fix = text.replace(",", ".")
            hint = f"; use a point, {fix}" if "," in text and _is_float(fix) else ""
            raise ParameterError(f"must be {rule}, got {text!r}{hint}") from None
        if not (math.isfinite(value) and allowed(value)):
            raise ParameterError(f"must be {rule}, got {text.strip()}")
        return value

    return _checked(number)


def _each(convert: Callable[[str], T]) -> Callable[[str], list[T]]:
    """The type of values with commas between them, each of which `convert` takes."""
    return _checked(lambda text: [convert(part) for part in text.split(",")])


def _or_none(convert: Callable[[str], T]) -> Callable[[str], T | None]:
    """The type of what `convert` takes, or of the word none, which overrules a file."""
    return lambda text: None if text.strip().lower() == "none" else convert(text)


def _word(text: str, words: Sequence[str]) -> str:
    """One of the words."""
    if text not in words:
        raise ParameterError(f"must be none or one of {', '.join(words)}, got {text!r}")
    return text


@_checked
def _lr_grid(text: str) -> str | list[float]:
    """The word auto, or the rates in "1e-4,1e-3"."""
    if text.strip().lower() == "auto":
        return "auto"
    rates = _each(_number("auto or finite numbers > 0", lambda v: v > 0))(text)
    if len(set(rates)) < len(rates):
        raise ParameterError(f"must hold each rate once, got {text!r}; remove one")
    return rates


@_checked
def _start(text: str) -> list[float]:
    """The two numbers in "-7,2"."""
    point = _each(_number("two finite numbers, as --start=-7,2", lambda v: True))(text)
    if len(point) != 2:
        raise ParameterError(f"must be two finite numbers, as --start=-7,2, got {text!r}")
    return point


@_checked
def _class_weight(text: str) -> str | list[float]:
    """The word balanced, or the numbers in "1,1,2.5"."""
    if text.strip().lower() == "balanced":
        return "balanced"
    return _each(_number("balanced or finite numbers >= 0", lambda v: v >= 0))(text)


def _integer(low: int) -> Callable[[str], int]:
    """The type of an integer, `low` or more."""

    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise ParameterError(f"must be an integer >= {low}, got {text!r}")
        return value

    return _checked(integer)


@_checked
def _options(text: str) -> dict[str, Any]:
    """The values in "momentum=0.95,k=5" by name: numbers, None, or words."""
    found: dict[str, Any] = {}
    for item in text.split(","):
        name, equals, value = item.partition("=")
        if not (equals and name.strip().isidentifier() and value.strip()):
            raise ParameterError(f"must be NAME=VALUE, as momentum=0.95, got {item!r}")
        if name.strip() in found:
            raise ParameterError(f"must hold {name.strip()} once, it came twice")
        found[name.strip()] = _value(value.strip())
    return found


def _value(text: str) -> Any:
    """An integer, a number, None, several of these as 0.5:0.75, or the text itself."""
    if ":" in text:
        return [_value(part) for part in text.split(":")]
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    return None if text.lower() == "none" else text


@_checked
def _hidden(text: str) -> list[int]:
    """The sizes in "100,50", or none of them for "none"."""
    if text.strip().lower() == "none":
        return []
    sizes = []
    for item in text.split(","):
        if not re.fullmatch("0*[1-9][0-9]{0,11}", item.strip()):
            raise ParameterError(
                "must be none, or integers from 1 to below 10^12 with commas, as --hidden 50,20, "
                f"got {item!r} in {text!r}"
            )
        sizes.append(int(item))
    return sizes


@_checked
def _initializer(text: str) -> str | float:
    which: str | float = float(text) if _is_float(text) else text
    find_initializer(which)
    return which if isinstance(which, float) else canonical(INITIALIZERS, which, "initializer")


@_checked
def _folder(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ParameterError(f"must be the path of a folder, got {text!r}")
    return text


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_config(parser: Parser, path: str) -> dict[str, Any]:
    """The arguments in a TOML file, checked as if they had been typed; exits where they are bad."""
    parser.source = f"--config {path!r}: "
    known = {
        flag.removeprefix("--"): action
        for action in parser._actions
        for flag in action.option_strings
        if flag.startswith("--")
    }
    for name in ("help", "version", "config", "parallel"):
        del known[name]
    typed: list[str] = []
    for key, value in _read_toml(parser, path).items():
        name = key.replace("_", "-")
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"the keys are {', '.join(known)}"
            parser.error(f"unknown key {key!r}; {hint}")
        try:
            typed += _as_typed(f"--{name}", known[name], value)
        except ParameterError as error:
            parser.error(f"{key} {error}")
    found = vars(parser.parse(typed))
    parser.source = ""
    return {name: found[name] for name in found if name != "config"}


def _read_toml(parser: Parser, path: str) -> dict[str, Any]:
    """What a TOML file holds; exits where it cannot be read, is none or is far too large."""
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_CONFIG + 1)
        if len(text) > MAX_CONFIG:
            raise ValueError(f"it is longer than {MAX_CONFIG:,} bytes")
        return tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        parser.error(f"cannot read it: {error.strerror}; give a file with lines as `epochs = 20`")
    except (ValueError, RecursionError) as error:
        parser.error(f"must be TOML: {error}; write lines as `epochs = 20`")


def _as_typed(flag: str, action: argparse.Action, value: Any) -> list[str]:
    """A TOML value as one would type it, a list with commas; raises ParameterError."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ParameterError(f"must be true or false, got {value!r}")
        if isinstance(action, _Switch):
            return [flag if value else flag.replace("--", "--no-", 1).replace("--no-no-", "--")]
        return [flag] if value else []
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in items):
        raise ParameterError(f"must be a number, a text or a list of these, got {value!r}")
    return [f"{flag}={','.join(map(str, items))}"]


def program() -> str:
    """What the user called: train.py, or scratchnet where it was installed."""
    name = sys.argv[0].replace("\\", "/").rsplit("/", 1)[-1]
    return "scratchnet" if name in {"", "-c", "__main__.py"} else name
