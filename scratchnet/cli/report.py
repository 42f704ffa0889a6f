"""`scratchnet report RUN`: the page of a run or a comparison, written again from its files."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchnet.cli.command import parse_command
from scratchnet.cli.entry import start
from scratchnet.cli.folder import shell_path
from scratchnet.cli.options import PlaceOptions, WordOptions
from scratchnet.cli.parser import command, complete
from scratchnet.cli.resume import is_comparison, stored_options
from scratchnet.data import load
from scratchnet.errors import DataError, ScratchnetError
from scratchnet.networks.weights import load_network
from scratchnet.report.run import run_page
from scratchnet.runs import (
    ComparisonFolder,
    DoctorFolder,
    OutputFolder,
    PathsFolder,
    RangeFolder,
    RunFolder,
)
from scratchnet.storage.atomic import write_text
from scratchnet.storage.checkpoint import UNFIT, Checkpoints

OTHERS: Mapping[type[OutputFolder], str] = {
    PathsFolder: "of paths on a surface",
    RangeFolder: "of a search for a rate",
    DoctorFolder: "of a diagnosis",
}
"""Folders that are quicker made anew."""
RESULTS = {"test_accuracy", "test", "optimizer", "dataset"}
"""Some of the names in the results of a run that has ended."""


@dataclass(frozen=True, kw_only=True)
class ReportOptions(WordOptions, PlaceOptions):
    """Where the data are, and what is said."""


def main(words: Sequence[str]) -> None:
    """Write report.html in the folder of a run again; raises ScratchnetError."""
    options, given = parse_command(
        "report",
        "Write the page of a run or a comparison again.",
        ReportOptions,
        words,
        lambda parser: parser.add_argument("run", metavar="RUN", help="the folder of a run"),
    )
    path = Path(given["run"]).expanduser()
    if is_comparison(path):
        if not ComparisonFolder.reopen(path).read_results():
            raise _not_ended(path)
        start({"resume": str(path), "quiet": True})  # all trials are kept, so that none is run
        return
    other = next((kind for kind in OTHERS if (path / kind.table[0]).is_file()), None)
    if other is not None:
        raise DataError(
            f"{str(path)!r} is {OTHERS[other]}, whose page is not written again; run it once more"
        )
    if not (path / "config.json").is_file():
        raise DataError(f"{str(path)!r} is no folder of a run; give one, for example runs/NAME-1")
    folder = RunFolder.reopen(path)
    try:
        write_text(path / "report.html", _page(folder, options), follow=False)
    finally:
        folder.close()
    sys.stdout.write(f"see {path / 'report.html'}\n")


def _page(folder: RunFolder, own: ReportOptions) -> str:
    """The page of the run; raises DataError where its files do not have what it needs."""
    source = folder.path / "config.json"
    config = folder.read_config()
    if not folder.read_results().keys() >= RESULTS:
        raise _not_ended(folder.path)
    try:
        stored = stored_options(config, source)
        if own.data_dir is not None:
            stored["data_dir"] = own.data_dir
        options = complete({}, stored)
        dataset = load(options.dataset, home=options.data_dir, label=options.label)
        if config["data"]["sha256"] != dataset.digest:
            raise DataError(
                f"the data set {dataset.name!r} is not the one that the run had; give that by "
                "--data-dir"
            )
        folder.log.expect(Checkpoints(folder.path).latest().header["run"]["log"])
        if not folder.log.is_whole():
            raise DataError(
                f"{str(folder.log.path)!r} is not the log that the run ended with; take another "
                "copy, or --resume the run, which makes what is left of it"
            )
        network = load_network(folder.path)
        ranks = config["environment"].get("ranks", 1)
        return run_page(folder, network, dataset, command(options, ranks))
    except UNFIT as error:
        if isinstance(error, ScratchnetError):
            raise
        raise DataError(f"{str(folder.path)!r} has files that do not fit: {error}") from error


def _not_ended(path: Path) -> DataError:
    """The error for a run without results."""
    return DataError(f"{str(path)!r} has no results yet; resume it by --resume {shell_path(path)}")
