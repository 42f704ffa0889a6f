"""`scratchnet doctor`: why a run does not learn, by its flags or its folder, with a page."""

from collections.abc import Sequence
from pathlib import Path

from scratchnet.cli.advice import advise_before
from scratchnet.cli.console import Console
from scratchnet.cli.folder import describe_asked, open_folder, stem
from scratchnet.cli.interrupts import Interrupts
from scratchnet.cli.options import CommandLine
from scratchnet.cli.parser import command, complete, parse
from scratchnet.cli.resume import is_comparison, stored_options
from scratchnet.cli.setup import chosen_loops, make_setup
from scratchnet.diagnosis import case_of, examine
from scratchnet.errors import DataError, ParameterError
from scratchnet.report.diagnosis import diagnosis_page
from scratchnet.runs import DoctorFolder, check_free
from scratchnet.storage.plain import read_json


def main(words: Sequence[str]) -> None:
    """Diagnose a run, print and write what came out; raises ScratchnetError.

    The first word may be the folder of a run, whose options count where no flag says otherwise.
    """
    bare = [words[0]] if words and not words[0].startswith("-") else []
    given = parse(words[len(bare) :])
    stored = _options_of(Path(bare[0]).expanduser()) if bare else None
    if given.get("resume") is not None:
        raise ParameterError("--resume is for training; give the folder of the run: doctor RUN")
    options = complete(given, stored)
    if options.job != "train":
        raise ParameterError(
            "doctor looks at one run; leave out what makes several of it, or none: one "
            "--optimizer, --seeds 1, no --lr-grid, --find-lr and --surface"
        )
    if options.parallel is not None:
        raise ParameterError("doctor needs one process; leave --parallel out")
    check_free(options.out)
    console = Console(
        options.epochs, quiet=options.quiet, verbose=options.verbose, json=options.json
    )
    advise_before(options, console, shared=False)
    with chosen_loops(options):
        _diagnose(options, console)


def _options_of(path: Path) -> dict[str, object]:
    """The options that the run in this folder was given; raises DataError."""
    source = path / "config.json"
    if not source.is_file() or is_comparison(path):
        raise DataError(
            f"{str(path)!r} is no folder of a single run; give one, for example runs/NAME-1, or "
            "the flags of a run"
        )
    stored = stored_options(read_json(source), source)
    stored["threads"] = "auto"
    return stored


def _diagnose(options: CommandLine, console: Console) -> None:
    with console.notes_of_data():
        setup = make_setup(options, console)
    dataset, trainer, network = setup.dataset, setup.trainer, setup.network
    console.header(dataset, trainer, network, setup.optimizers.values())
    case = case_of(trainer, dataset.test, options.epochs)
    if options.dry_run:
        console.plan()
        return
    with Interrupts().end_at_once():
        found = examine(case)
    console.diagnosis(found)
    results = {"dataset": dataset.name, "seed": options.seed, **found.to_dict()}
    folder = DoctorFolder(options.out, f"{stem(dataset.name)}-doctor")
    config = describe_asked(options, setup.optimizers, dataset, network)
    with open_folder(folder, options, console, config) as opened:
        folder.history.add({"experiment": what, "skill": skill} for what, skill in found.tried)
        asked = config, command(options, job="doctor"), network.summary()
        shown = opened.finish(results, lambda: diagnosis_page(found, dataset.name, asked))
    console.written(results, str(shown))
