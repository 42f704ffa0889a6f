"""The command line: options in, a job chosen, results out; no mathematics here."""

import io
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np

from scratchnet import environment
from scratchnet.cli.advice import advise, advise_before
from scratchnet.cli.commands import COMMANDS, OWN, as_training
from scratchnet.cli.commands import run as run_command
from scratchnet.cli.compare import run_comparison
from scratchnet.cli.console import Console, Silent
from scratchnet.cli.exits import EXIT_CODES, drop_output, exit_code, leave, prepare_streams, tell
from scratchnet.cli.find_rates import find_rates
from scratchnet.cli.interrupts import Interrupted
from scratchnet.cli.options import CommandLine
from scratchnet.cli.parser import complete, flag_of, parse, typed_words
from scratchnet.cli.resume import Resumed, reopen
from scratchnet.cli.setup import chosen_loops, make_setup
from scratchnet.cli.surface import draw_surface
from scratchnet.cli.train import train
from scratchnet.errors import DivergenceError, ParameterError
from scratchnet.parallel import MPIGradients, launched, mpi_world
from scratchnet.runs import check_free

OLDEST_NUMPY = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say and return the exit status; an error is one line on stderr."""
    prepare_streams()
    words = typed_words() if argv is None else list(argv)
    if words and words[0] in OWN:
        return _run_own(words)
    started = launched()
    shared = started is not None and any(word.split("=")[0] == "--parallel" for word in words)
    meant = any(word.startswith("--par") for word in words)  # even where it is misspelt
    speaks = not meant or started is None or started[0] == 0  # as the first of the ranks
    aside = io.StringIO()  # what others than the first say of their arguments
    given: dict[str, Any] = {}
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
            given = parse(as_training(words), COMMANDS)
        _check_numpy()
        if given.get("parallel") is not None:
            parallel = parallel or mpi_world()
            speaks = parallel.rank == 0
            _check_equal(parallel, given)
        start(given, parallel)
    except SystemExit as error:  # of the arguments, or --help, whose reader may have gone
        drop_output()
        if parallel is None:
            raise
        failure = error
    except tuple(EXIT_CODES) as error:
        failure = error
        if speaks and given.get("debug"):
            traceback.print_exc()
        drop_output()
        if speaks:
            tell(error)
    except Exception:
        if parallel is None:
            raise
        traceback.print_exc()  # a bug; the others wait for what will not come
        parallel.abort(1)
    code = exit_code(failure)
    if parallel is not None:
        # Rank 0 may have something to save after these, which all ranks raise; it waits for none.
        last = isinstance(failure, Interrupted | DivergenceError) and parallel.rank > 0
        hurry = failure is not None and not last
        leave(parallel, code, hurry, lambda: tell(failure, parallel.rank, aside.getvalue()))
    failure = None  # its traceback holds on to this frame, and to the folder and its lock
    return code


def _run_own(words: Sequence[str]) -> int:
    """Run a command that is no training, which one process does alone."""
    try:
        _check_numpy()
        return run_command(words[0], words[1:])
    except SystemExit:  # of the arguments, or --help, whose reader may have gone
        drop_output()
        raise
    except tuple(EXIT_CODES) as error:
        if "--debug" in words:
            traceback.print_exc()
        drop_output()
        tell(error)
        return exit_code(error)


def _check_numpy() -> None:
    """Raise ParameterError where NumPy is older than what the numbers were tested with."""
    if int(np.__version__.split(".")[0]) < OLDEST_NUMPY:
        raise ParameterError(
            f"NumPy {np.__version__} is installed, scratchnet needs {OLDEST_NUMPY}.0 or newer; "
            "run `make train`, or see README.md"
        )


def _check_equal(parallel: MPIGradients, given: Mapping[str, Any]) -> None:
    """Raise ParameterError where not all ranks were started with the same arguments."""
    if parallel.rank > 0:
        warnings.simplefilter("ignore")  # rank 0 warns of the same
    own = ("data_dir", "config")  # places, that may be others on other machines
    parallel.check_equal({flag_of(name): v for name, v in given.items() if name not in own})


def start(given: Mapping[str, Any], parallel: MPIGradients | None = None) -> None:
    """Start or resume the job that was asked for; only rank 0 looks into a folder.

    Raises ScratchnetError.
    """
    resumed: Resumed | None = None

    def options_of_run() -> CommandLine:
        nonlocal resumed
        if given.get("resume") is None:
            options = complete(given)
            check_free(options.out)
            return options
        resumed, options = reopen(given)
        return options

    options = options_of_run() if parallel is None else parallel.broadcast(options_of_run)
    if parallel is not None and parallel.rank > 0:
        console: Console = Silent(options.epochs)
    else:
        console = Console(
            options.epochs, quiet=options.quiet, verbose=options.verbose, json=options.json
        )
    with chosen_loops(options):
        run(options, console, resumed, parallel)


def run(
    options: CommandLine,
    console: Console,
    resumed: Resumed | None = None,
    parallel: MPIGradients | None = None,
) -> None:
    """Do the job: a run, a comparison, a range test, a surface; raises ScratchnetError."""
    if parallel is not None:
        if options.job != "train":
            raise ParameterError(
                "--parallel mpi shares the batches of one run; a comparison has --jobs, and "
                "--surface and --find-lr need one process"
            )
        parallel.batch_stats = options.batch_stats
    advise_before(options, console, shared=parallel is not None)
    if options.job == "surface":
        if options.find_lr:
            raise ParameterError("--find-lr needs data, --surface has none; keep one of the two")
        draw_surface(options, console)
        return
    for name in ("start", "steps"):
        if getattr(options, name) is not None:
            raise ParameterError(f"--{name} is for --surface; add that, or leave it out")
    with console.notes_of_data():
        setup = make_setup(options, console, parallel)
    advise(options, setup.trainer, console)
    with environment.limit_threads(setup.trainer.blas_threads):
        if options.job == "find-lr":
            find_rates(setup)
        elif options.job == "compare":
            run_comparison(setup, None if resumed is None else resumed.folder)
        else:
            train(setup, resumed)
