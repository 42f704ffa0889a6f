"""The command line on ranks, with threads in the place of MPI: who writes, and who ends it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from threads_mpi import run_ranks

from scratchnet.cli import entry as cli
from scratchnet.cli.exits import leave
from scratchnet.cli.interrupts import Interrupted
from scratchnet.cli.parser import parse
from scratchnet.errors import ScratchnetError
from scratchnet.parallel import MPIGradients
from scratchnet.training.resuming import load_weights, state_digest

LESSON = ("--hidden", "8", "--batch-size", "16", "--dropout", "0.2", "--no-report")


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


def job(size, *words):
    """What the command line does on so many ranks."""
    argv = [*map(str, words), "--parallel", "mpi"]
    return run_ranks(size, lambda comm: cli.start(parse(argv), MPIGradients(comm)))


def weights(folder):
    return load_weights(Path(folder) / "weights.npz").vector


def last(folder):
    return state_digest(max(Path(folder).glob("checkpoint-0*.npz")))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("extra", [[], ["--batch-norm"], ["--patience", "2"], ["--val-split", "0"]])
def test_a_run_on_ranks_is_one_run_with_the_weights_of_one_process(small, size, extra, capsys):
    words = ["--dataset", small, *LESSON, "--epochs", "6", *extra]
    assert cli.main([*words, "--out", "one"]) == 0
    said = capsys.readouterr().out
    job(size, *words, "--out", "some")
    also = capsys.readouterr()
    np.testing.assert_allclose(weights("some"), weights("one"), rtol=1e-3, atol=1e-5)
    assert [line.split()[0] for line in also.out.splitlines()] == [
        line.split()[0] for line in said.splitlines()
    ]
    assert also.err == ""
    one, some = ({path.name for path in Path(name).iterdir()} for name in ("one", "some"))
    assert not {name for name in one ^ some if not name.startswith("checkpoint-0")}
    config = json.loads(Path("some/config.json").read_text())
    assert config["environment"]["ranks"] == size
    assert config["arguments"]["threads"] == 1


def test_a_run_goes_on_on_ranks_and_is_over_when_it_is_over(small, capsys):
    words = ["--dataset", small, *LESSON, "--batch-norm"]
    job(2, *words, "--epochs", 2, "--out", "cut")
    job(2, "--resume", "cut", "--epochs", 5)
    job(2, *words, "--epochs", 5, "--out", "whole")
    assert last("cut") == last("whole")
    capsys.readouterr()
    job(2, "--resume", "cut")
    assert "--epochs" in capsys.readouterr().out  # says how to go on, and does not wait
    job(3, "--resume", "cut", "--epochs", 6)
    assert "ranks was 2, is 3" in capsys.readouterr().err


def test_what_one_process_began_goes_on_with_one_thread_a_rank(small):
    words = ["--dataset", small, *LESSON, "--threads", "2", "--out", "new"]
    assert cli.main([*words, "--epochs", "1", "-q"]) == 0
    job(2, "--resume", "new", "--epochs", 2)
    assert json.loads(Path("new/config.json").read_text())["arguments"]["threads"] == 1


def test_a_dry_run_writes_nothing_and_waits_for_nobody(small, capsys):
    job(2, "--dataset", small, *LESSON, "--dry-run", "--out", "new")
    assert not Path("new").exists()
    job(2, "--dataset", small, *LESSON, "--epochs", 1, "--out", "new")
    before = last("new")
    job(2, "--resume", "new", "--epochs", 2, "--dry-run")
    assert last("new") == before


def test_a_signal_to_any_rank_ends_all_after_the_same_step(small, monkeypatch):
    calls = []

    def largest(self, value):
        calls.append(self.rank)
        return 15 if calls.count(self.rank) == 20 else 0

    words = ["--dataset", small, *LESSON, "--epochs", 6]
    said = []

    def interrupted(comm):  # caught here: a rank that fails would stop the other before its check
        argv = [*map(str, words), "--out", "cut", "--parallel", "mpi"]
        with pytest.raises(Interrupted) as caught:
            cli.start(parse(argv), MPIGradients(comm))
        said.append(str(caught.value))

    with monkeypatch.context() as patch:
        patch.setattr(MPIGradients, "largest", largest)
        run_ranks(2, interrupted)
    assert len(said) == 2
    assert len(set(said)) == 1
    assert re.search(r"after step (18|19|20); resume with --parallel mpi --resume cut", said[0])
    assert sorted(calls) == [0] * 20 + [1] * 20
    job(2, "--resume", "cut")
    job(2, *words, "--out", "whole")
    assert last("cut") == last("whole")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", 2], "shares the batches of one run"),
        (["--surface", "rosenbrock"], "shares the batches of one run"),
        (["--find-lr"], "shares the batches of one run"),
        (["--batch-size", 1], "each rank needs a row"),
        (["--batch-norm", "--batch-stats", "rank", "--batch-size", 3], "two rows a rank"),
        (["--resume", "nowhere"], "needs a run with a checkpoint"),
        (["--out", "/dev/null/new"], "/dev/null"),
    ],
)
def test_what_cannot_be_shared_is_refused_on_every_rank(small, words, message):
    raised = []

    def attempt(comm):
        argv = [str(word) for word in (*words, "--parallel", "mpi")]
        if "--resume" not in words:
            argv += ["--dataset", small]
        if "--resume" not in words and "--out" not in words:
            argv += ["--out", "new"]
        try:
            cli.start(parse(argv), MPIGradients(comm))
        except ScratchnetError as error:
            raised.append(str(error))

    run_ranks(2, attempt)
    assert len(raised) == 2
    assert all(message in text for text in raised)
    assert not Path("new").exists()


def test_statistics_of_each_rank_are_an_argument(small, capsys):
    words = ["--dataset", small, "--hidden", "8", "--no-report", "--batch-norm", "--epochs", 2]
    job(2, *words, "--out", "all")
    job(2, *words, "--batch-stats", "rank", "--out", "rank")
    assert np.abs(weights("all") - weights("rank")).max() > 1e-3
    capsys.readouterr()
    for size in (1, 3):
        job(size, "--resume", "rank", "--epochs", 2 + size)
        assert "now measures other rows than before" in capsys.readouterr().err
    job(2, "--resume", "all", "--epochs", 3, "--batch-stats", "all")
    assert "tracks_statistics" not in capsys.readouterr().err
    assert cli.main([*map(str, words), "--batch-stats", "rank", "--out", "one"]) == 0
    assert "--batch-stats has no effect" in capsys.readouterr().err


# The end.


class Alone:
    """A communicator whose other rank never comes."""

    rank, size = 1, 2

    def __init__(self, rank):
        self.rank, self.aborted = rank, None

    def all_leave(self, hurry):
        assert hurry
        return False

    def abort(self, code):
        self.aborted = code

    def finalize(self):
        """Nothing."""


@pytest.mark.parametrize(("rank", "told"), [(0, []), (1, ["said"])])
def test_a_rank_that_fails_alone_says_why_if_it_has_not_and_ends_all(rank, told):
    parallel, said = Alone(rank), []
    leave(parallel, 4, True, lambda: said.append("said"))
    assert (parallel.aborted, said) == (4, told)


def test_ranks_that_end_together_abort_nothing():
    def work(comm):
        leave(MPIGradients(comm), 3, True, lambda: pytest.fail("nobody failed alone"))
        leave(MPIGradients(comm), 0, False, lambda: pytest.fail("nobody failed"))

    run_ranks(3, work)


def test_a_rank_in_a_hurry_does_not_wait_for_long(monkeypatch):
    monkeypatch.setattr("scratchnet.parallel.mpi.PATIENCE", 0.05)

    def work(comm):
        comm.Test = lambda: False
        return MPIGradients(comm).all_leave(True)

    assert run_ranks(2, work) == [False, False]
