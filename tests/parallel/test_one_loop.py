"""Every rank of the command line runs the same loop; only the first writes and speaks."""

import re
from pathlib import Path

import pytest
from threads_mpi import run_ranks

from scratchnet.cli import train
from scratchnet.cli.entry import start
from scratchnet.cli.interrupts import Interrupted
from scratchnet.cli.parser import parse
from scratchnet.parallel import MPIGradients

LESSON = ("--hidden", "8", "--batch-size", "16", "--dropout", "0.2", "--no-report")


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def jobs(monkeypatch):
    """The jobs of all ranks, by rank, once they are made."""
    made = {}
    make = train.Job.__init__

    def noted(self, setup):
        make(self, setup)
        made[self.ranks.rank] = self

    monkeypatch.setattr(train.Job, "__init__", noted)
    return made


def on_ranks(size, *words):
    """What the command line raises on each of so many ranks; None where it raises nothing."""

    def work(comm):
        try:
            start(parse([*map(str, words), "--parallel", "mpi"]), MPIGradients(comm))
        except Interrupted as error:
            return error
        return None

    return run_ranks(size, work)


def test_only_the_first_rank_has_a_folder_and_all_know_where_it_is(small, jobs):
    assert on_ranks(3, "--dataset", small, *LESSON, "--epochs", 2, "--out", "new") == [None] * 3
    assert [jobs[rank].folder is None for rank in range(3)] == [False, True, True]
    assert {str(jobs[rank].path) for rank in range(3)} == {"new"}


@pytest.mark.parametrize("extra", [(), ("--resume",)], ids=["new", "resumed"])
def test_early_stopping_ends_every_rank_after_the_same_step(small, jobs, extra):
    words = ["--dataset", small, *LESSON, "--patience", 1, "--lr", "0.5"]
    if extra:
        on_ranks(2, *words, "--epochs", 1, "--out", "new")
        words = ["--resume", "new"]
    else:
        words += ["--out", "new"]
    on_ranks(2, *words, "--epochs", 60)
    first, second = jobs[0], jobs[1]
    assert first.trainer.steps == second.trainer.steps
    assert first.trainer.epochs < 60
    assert first.stopping.best_epoch == second.stopping.best_epoch
    assert first.seconds_before > 0 or not extra


def test_an_interruption_says_the_same_on_every_rank(small, monkeypatch):
    calls = []

    def largest(self, value):
        calls.append(self.rank)
        return 15 if calls.count(self.rank) == 5 else 0

    monkeypatch.setattr(MPIGradients, "largest", largest)
    errors = on_ranks(3, "--dataset", small, *LESSON, "--epochs", 6)
    assert len({(error.code, str(error)) for error in errors}) == 1
    assert re.search(r"after step 5; resume with --parallel mpi --resume runs/\S+", str(errors[0]))
    assert [path.name for path in Path("runs").iterdir()] == [str(errors[0]).rpartition("/")[2]]
