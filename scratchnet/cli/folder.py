"""The folder of a job: what it was asked for, its results, its page."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchnet import __version__, environment
from scratchnet.cli.console import Console
from scratchnet.cli.options import CommandLine
from scratchnet.data import Dataset
from scratchnet.networks import MultiLayerNet
from scratchnet.optimizers import Optimizer
from scratchnet.report.page import MissingPlotlyError
from scratchnet.runs import OutputFolder
from scratchnet.storage.atomic import write_text


@dataclass(frozen=True)
class OpenFolder:
    """A folder that a job writes its results into."""

    folder: OutputFolder
    options: CommandLine
    console: Console

    def finish(self, results: dict[str, Any], page: Callable[[], str], later: str = "") -> Path:
        """Write the results and the page; returns the file to look at."""
        self.folder.write_results(results)
        return write_report(self.folder, page, self.options, self.console, later)


@contextmanager
def open_folder(
    folder: OutputFolder, options: CommandLine, console: Console, config: dict[str, Any]
) -> Iterator[OpenFolder]:
    """While inside: the folder, locked, with `config` written; closed however it ends."""
    try:
        folder.write_config(config)
        yield OpenFolder(folder, options, console)
    finally:
        folder.close()


def describe_asked(
    options: CommandLine,
    optimizers: Mapping[str, Optimizer],
    dataset: Dataset | None = None,
    network: MultiLayerNet | None = None,
    ranks: int = 1,
) -> dict[str, Any]:
    """`config.json`: everything needed to do the same again, and to know whether it is the same."""
    found: dict[str, Any] = {
        "scratchnet": __version__,
        "arguments": options.asked(),
        "optimizers": [{"name": name, **each.config()} for name, each in optimizers.items()],
    }
    if len(optimizers) == 1:
        (found["optimizer"],) = found.pop("optimizers")
    if network is not None:
        found["network"] = network.config()
    if dataset is not None:
        about = {"name": dataset.name, "sha256": dataset.digest, "classes": dataset.classes}
        names = {} if dataset.class_names is None else {"class_names": list(dataset.class_names)}
        found["data"] = about | names
    return {**found, "environment": {**environment.describe(), "ranks": ranks}}


def write_report(
    folder: OutputFolder,
    page: Callable[[], str],
    options: CommandLine,
    console: Console,
    later: str = "",
) -> Path:
    """Write `page()` as report.html, if there is to be one; returns what there is to look at.

    Without plotly a note says so, and how to make the page afterwards, `later`.
    """
    place = folder.path / "report.html"
    if not options.report:
        return folder.path
    try:
        write_text(place, page(), follow=False)
    except MissingPlotlyError as error:
        console.note(f"{error}{later}")
        return folder.path
    return place


def shell_path(path: Path) -> str:
    """The path as one would type it in a shell, on one line."""
    text = f"./{path}" if str(path).startswith("-") else str(path)
    return shlex.quote(text) if text.isprintable() else repr(text)


def stem(name: str) -> str:
    """The name of a data set, of which there may be only a path, as a part of another path."""
    last = os.path.basename(os.path.normpath(name)).removesuffix(".npz")
    return last.strip(".") or "data"
