"""The arguments of the command line: a parser made from the options, and the command that asks."""

import argparse
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NoReturn

from scratchnet import __version__
from scratchnet.cli.config_file import read_config
from scratchnet.cli.options import CALL, KNOWN, OWNERS, CommandLine
from scratchnet.errors import ParameterError
from scratchnet.networks import PRESETS
from scratchnet.options import Option, Switch, options_of
from scratchnet.registry import nearest

Known = Mapping[str, tuple[Any, Option]]
GROUPS = (
    "data",
    "network",
    "optimizer",
    "training",
    "comparison, if there are several optimizers",
    "instead of training",
    "output",
)
FIRST = (
    *("optimizer", "lr", "epochs", "batch_size", "dataset", "network", "hidden", "seed", "out"),
    "resume",
)
"""The options that -h shows: what a first user needs."""
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
    """An ArgumentParser whose errors are one line, and that names the nearest known flag.

    `known` are the options that it has flags for, `words` what else may have been meant by a word.
    """

    def __init__(self, known: Known, words: Iterable[str] = (), **more: Any) -> None:
        self.known, self.words = known, tuple(words)
        super().__init__(
            formatter_class=_Help,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            add_help=False,
            **more,
        )
        self.register("action", None, _Once)

    def error(self, message: str) -> NoReturn:
        """Print the message as one line on stderr and exit with status 2."""
        if message.endswith("expected one argument"):
            message += "; one that begins with - is written --flag=-value"
        self.exit(2, f"{self.prog}: error: {message}\n")

    def parse(self, argv: Sequence[str] | None) -> dict[str, Any]:
        """The values that were typed, by name."""
        arguments, unknown = self.parse_known_args(argv)
        if unknown:
            flag, known = unknown[0].split("=")[0], [*self._option_string_actions, *self.words]
            longer = [name for name in known if len(flag) > 2 and name.startswith(flag)]
            near = longer[0] if longer else nearest(flag, known)
            hint = f"did you mean {near}?" if near else "--help lists those there are"
            self.error(f"unknown argument {unknown[0]!r}; {hint}")
        return vars(arguments)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help whose epilog keeps its lines, and whose words are never cut at a hyphen."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def _refuse_second(
    parser: argparse.ArgumentParser, namespace: argparse.Namespace, dest: str, flag: str | None
) -> None:
    """Exit where the flag came before: which of the two was meant is not ours to guess."""
    if hasattr(namespace, dest):
        parser.error(f"{flag} must be given once, it came twice; remove one")


class _Once(argparse.Action):
    """Store the value, or the values, each of which may be several with commas."""

    def __call__(
        self,
        parser: Any,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if not self.option_strings:  # a word without a flag, which argparse has checked
            setattr(namespace, self.dest, values)
            return
        _refuse_second(parser, namespace, self.dest, option_string)
        if self.nargs == "+":
            values = [value for part in values for value in part]
            if parser.known[self.dest][1].each and len(values) == 1:
                (values,) = values
        setattr(namespace, self.dest, values)


class _Switch(argparse.BooleanOptionalAction):
    """--flag and --no-flag, so that either can overrule a file."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        _refuse_second(parser, namespace, self.dest, option_string)
        super().__call__(parser, namespace, values, option_string)


KERNEL = "kernel_launcher.py"
"""How the program of a notebook's kernel ends, for example ipykernel_launcher.py."""


class _ShortHelp(argparse.Action):
    """-h: the help of the parser that `short` makes, and how to see all of it."""

    def __init__(self, short: Callable[[], Parser], **more: Any) -> None:
        super().__init__(nargs=0, **more)
        self.short = short

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        self.short().print_help()
        parser.exit()


def make_parser(prog: str, commands: Mapping[str, str] = MappingProxyType({})) -> Parser:
    """The parser of training with every option, in groups; `prog` opens its errors.

    `commands` are those beside training, by name with what they do, which its help lists.
    """
    parser = _parser_of(prog, KNOWN, commands)
    add_help(parser, lambda: _parser_of(prog, {name: KNOWN[name] for name in FIRST}, commands))
    parser.add_argument("--version", action="version", version=f"scratchnet {__version__}")
    return parser


def _parser_of(prog: str, known: Known, commands: Mapping[str, str]) -> Parser:
    """A parser with these of the options of training."""
    listed = "".join(f"\n  {name:<9} {about}" for name, about in commands.items())
    parser = Parser(
        known,
        commands,
        prog=prog,
        usage=f"%(prog)s [{'COMMAND' if commands else 'train'}] [options]",
        description="Train a neural network on handwritten digits, and use it."
        + (f"\n\ncommands:{listed}" if commands else ""),
        epilog=EPILOG.replace("RANKS", " ".join(launch(2)))
        if known is KNOWN
        else "--help lists all options, COMMAND --help those of a command",
    )
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    added: set[str] = set()
    for owner in OWNERS:
        for name, (default, about) in options_of(owner).items():
            if name in known and name not in added:
                added.add(name)
                title = about.group or _declared_in(owner, name).title
                add_flag(groups[title], name, default, about)
    return parser


def add_help(parser: Parser, short: Callable[[], Parser]) -> None:
    """Add -h, which shows what `short` makes, and --help, which shows all."""
    group = parser.add_argument_group("help")
    group.add_argument("-h", action=_ShortHelp, short=short, help="show what a first user needs")
    group.add_argument("--help", action="help", help="show all options")


def _declared_in(owner: Any, name: str) -> Any:
    """The class that declares the option, `owner` or one that it is made from."""
    return next(one for one in owner.__mro__ if name in vars(one).get("__annotations__", ()))


def add_flag(group: Any, name: str, default: Any, about: Option) -> None:
    """Add the flag of an option to its group."""
    flags = [*([about.short] if about.short else []), flag_of(name)]
    words = about.help.replace("%", "%%")
    if isinstance(about.kind, Switch):
        action = "store_true" if about.plain else _Switch
        group.add_argument(*flags, dest=name, action=action, help=words, default=argparse.SUPPRESS)
        return
    more: dict[str, Any] = {}
    if about.each or about.listed:
        more = {"nargs": "+"}
    if name == "resume":
        more = {"nargs": "?", "const": True}
    if default is not None and "(default:" not in words:
        words += f" (default: {typed(default)})"
    group.add_argument(
        *flags, dest=name, type=_argument(about), metavar=about.metavar, help=words, **more
    )


def _argument(about: Option) -> Callable[[str], Any]:
    """The option's reader as argparse wants it: what it refuses is an ArgumentTypeError."""

    def read(text: str) -> Any:
        try:
            if about.each or about.listed:
                return [about.kind.parse(part) for part in text.split(",")]
            return about.kind.parse(text)
        except ParameterError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def parse(
    argv: Sequence[str] | None = None, commands: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """The values that were typed, on the command line or else in --config, by name.

    Exits with status 2, after one line on stderr, where one of the values cannot be used.
    """
    parser = make_parser(program(), commands)
    given = parser.parse(argv)
    if "config" in given:
        try:
            given = {**read_config(given["config"]), **given}
        except ParameterError as error:
            parser.error(f"--config {given['config']!r}: {error}")
    return given


def complete(given: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> CommandLine:
    """The options: `given`, else those `stored` by an earlier run, else the defaults.

    Raises ParameterError for options that exclude each other.
    """
    defaults = {
        name: [default] if about.listed and isinstance(default, str) else default
        for name, (default, about) in KNOWN.items()
    }
    if stored is None:
        defaults |= PRESETS[given.get("network", defaults["network"])]
    kept = {name: value for name, value in (stored or {}).items() if name in KNOWN}
    return CommandLine(**{**defaults, **kept, **given}, given=frozenset(given))


def command(options: CommandLine, ranks: int = 1, job: str = "") -> str:
    """The command that asks for the same run: data, optimizer, seed, and what is no default.

    `job` is a command beside training that takes the flags of a run.
    """
    usual = replace(complete({"network": options.network}), network=KNOWN["network"][0])
    words = [*launch(ranks), *([job] if job else [])]
    for name in KNOWN:
        about, value = KNOWN[name][1], getattr(options, name)
        # As typed, for a file has lists where defaults are tuples.
        if name in CALL or (typed(value) == typed(getattr(usual, name)) and not about.shown):
            continue
        if isinstance(about.kind, Switch):
            words.append(flag_of(name) if value else flag_of(f"no_{name}"))
            continue
        values = value if (about.each or about.listed) and isinstance(value, list) else [value]
        texts = [typed(one) for one in values]
        flag = flag_of(name)
        words += [f"{flag}={texts[0]}", *texts[1:]] if texts[0][:1] == "-" else [flag, *texts]
    return shlex.join(words)


def flag_of(name: str) -> str:
    """The flag of an option."""
    return f"--{name.replace('_', '-')}"


def typed(value: Any) -> str:
    """A value as one would type it: 100,50 or momentum=0.95,milestones=0.5:0.75 or none."""
    if value is None or (not isinstance(value, str) and value in ([], {})):
        return "none"
    if isinstance(value, Mapping):
        return ",".join(
            f"{name}={':'.join(map(str, v)) if isinstance(v, list) else v}"
            for name, v in value.items()
        )
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def launch(ranks: int = 1) -> list[str]:
    """The first words of a command."""
    script = program() == "train.py"
    if ranks == 1:
        return ["python", "train.py"] if script else [program()]
    started = ["python", "-m", "mpi4py", "train.py"] if script else [program()]
    return ["mpiexec", "-n", str(ranks), *started, "--parallel", "mpi"]


def program() -> str:
    """The name that the user called: train.py, or scratchnet if it is installed."""
    name = sys.argv[0].replace("\\", "/").rsplit("/", 1)[-1]
    return "scratchnet" if name in {"", "-c", "__main__.py"} or name.endswith(KERNEL) else name


def typed_words() -> list[str]:
    """The arguments that were typed; in a notebook none, as those there are the kernel's."""
    return [] if sys.argv[0].endswith(KERNEL) else sys.argv[1:]
