"""The commands beside plain training: `scratchnet predict`, `scratchnet compare sgd adam`."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

from scratchnet.errors import ParameterError
from scratchnet.inspection.surfaces import SURFACES

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "train": "train a network, as without a command",
        "predict": "classes of pictures, tables and arrays",
        "draw": "a page to draw on, with the network in it",
        "export": "the network in other formats, for example ONNX",
        "compare": "optimizers side by side: compare sgd adam --seeds 5",
        "find-lr": "suggest a learning rate: find-lr sgd adam",
        "doctor": "why does it not learn: doctor RUN, or the flags of a run",
        "surface": "paths of optimizers on a surface: surface rosenbrock",
        "data": "fetch a published data set: data mnist --to DIR",
        "report": "write the page of a run again",
    }
)
"""The commands by name, with what they do."""
OWN: Mapping[str, str] = MappingProxyType(
    {
        "data": "scratchnet.data.__main__",
        "doctor": "scratchnet.cli.doctor",
        "draw": "scratchnet.cli.draw",
        "export": "scratchnet.cli.export",
        "predict": "scratchnet.cli.predict",
        "report": "scratchnet.cli.report",
    }
)
"""The commands that are no training, and the modules whose `main(words)` they are."""


def run(name: str, words: Sequence[str]) -> int:
    """Run one of OWN and return its exit status; raises ScratchnetError."""
    return int(import_module(OWN[name]).main(words) or 0)


def as_training(words: Sequence[str]) -> list[str]:
    """The words of training that say the same: `compare sgd adam` is `--optimizer sgd adam`.

    Raises ParameterError where a comparison or a surface lacks what it needs.
    """
    if not words or words[0] not in COMMANDS:
        return list(words)
    name, rest = words[0], list(words[1:])
    n = next((k for k, word in enumerate(rest) if word.startswith("-")), len(rest))
    bare, flags = rest[:n], rest[n:]
    if name == "surface":
        if not bare and {"-h", "--help"} & set(flags):
            return flags
        if not bare:
            raise ParameterError(f"surface needs a name first, one of {', '.join(SURFACES)}")
        return ["--surface", bare[0], *_optimizers(bare[1:]), *flags]
    if name == "find-lr":
        return ["--find-lr", *_optimizers(bare), *flags]
    if name == "compare":
        asked = {flag.split("=")[0] for flag in flags}
        if (
            len(bare) < 2
            and not asked & {"--optimizer", "--seeds", "--lr-grid", "--resume"}
            and (not asked & {"--help", "-h", "--config"})
        ):
            raise ParameterError(
                "compare needs two optimizers or more before its options, for example compare sgd "
                "adam --seeds 5"
            )
        return [*_optimizers(bare), *flags]
    return rest


def _optimizers(names: Sequence[str]) -> list[str]:
    return ["--optimizer", *names] if names else []
