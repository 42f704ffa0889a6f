"""Which run --resume takes, which of its options may change, and what it says if none can."""

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from scratchnet import cli
from scratchnet.cli.resume import find_run, reopen
from scratchnet.errors import DataError, ParameterError
from scratchnet.storage.archive import read_archive, write_archive


@pytest.fixture
def train(here, small):
    """Make a run, or a comparison of several optimizers, in this folder."""

    def made(out, *options, optimizer=("sgd",), epochs=1):
        argv = ["--dataset", small, "--epochs", str(epochs), "--no-report", "-q", "--out", out]
        argv += ["--jobs", "1"] if len(optimizer) > 1 else []
        assert cli.main([*argv, *options, "--optimizer", *optimizer]) == 0
        return Path(out)

    return made


def refused(error, message, call, *arguments):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(*arguments)


def resumed(**given):
    """The folder, its checkpoint and the options of a resumed run, whose folder is closed again."""
    found, options = reopen(given)
    found.folder.close()
    return found, options


def test_without_any_run_it_says_where_it_looked(here):
    nothing = "--resume needs a run with a checkpoint, there is none in {}; no resumable runs in "
    refused(DataError, nothing.format("'runs'") + "'runs'", find_run, None)
    refused(DataError, nothing.format("'x'") + "'runs'", find_run, "x")
    Path("a file").write_text("")
    with pytest.raises(DataError, match="a file"):
        find_run("a file")


def test_the_run_that_was_written_to_last_is_taken_and_others_are_listed(train):
    first, second = train("runs/b"), train("runs/a")
    for path, at in ((first, 2_000), (second, 1_000)):
        for each in path.iterdir():
            os.utime(each, (at, at))
    assert find_run(None) == first
    os.utime(second / "config.json", (3_000, 3_000))  # one file is enough
    assert find_run(None) == second
    assert find_run("runs/b") == first
    message = "there is none in 'runs/c'; resumable runs: " + ", ".join(map(str, (second, first)))
    refused(DataError, f"--resume needs a run with a checkpoint, {message}", find_run, "runs/c")


def test_where_the_clock_leaves_open_which_run_is_the_latest_it_asks(train):
    one, two, other = train("runs/set-adam-1"), train("runs/set-adam-2"), train("runs/mine")

    def saved(*times):
        for path, at in zip((one, two, other), times, strict=True):
            for each in path.iterdir():
                os.utime(each, (at, at))

    saved(1_000, 2_000, 500)
    assert find_run(None) == two
    (other / "dangling").symlink_to("nowhere")  # what is no run's file does not matter
    (Path("runs") / "gone").symlink_to("nowhere")
    saved_at = time.time() + 3600
    for times, named in (
        ((2_000, 1_000, 500), "runs/set-adam-1, runs/set-adam-2"),  # the clock went back
        ((1_000, 2_000, 2_000), "runs/mine, runs/set-adam-2"),
        ((1_000, saved_at, 500), "runs/set-adam-2"),
    ):
        (other / "dangling").unlink(missing_ok=True)
        saved(*times)
        (other / "dangling").symlink_to("nowhere")
        with pytest.raises(DataError, match=f"cannot tell by the clock .*name its folder: {named}"):
            find_run(None)
    assert find_run(str(one)) == one


def test_a_folder_is_resumable_by_a_checkpoint_or_as_a_comparison(train):
    run, several = train("runs/a"), train("runs/b", optimizer=("sgd", "adam"))
    for path in run.glob("checkpoint-0*"):
        path.unlink()
    assert find_run(None) == several
    with pytest.raises(DataError, match="there is none in"):
        find_run(str(run))
    (several / "config.json").unlink()
    with pytest.raises(DataError, match="there is none in"):
        find_run(None)


def test_one_checkpoint_is_told_from_the_folder_of_its_run(train, monkeypatch):
    run = train("a")
    path = max(run.glob("checkpoint-0*"))
    one = "{!r} is one checkpoint; --resume takes the folder of the run, {!r}"
    refused(DataError, one.format(str(path), "a"), find_run, str(path))
    monkeypatch.chdir(run)
    refused(DataError, one.format(path.name, "."), find_run, path.name)


def test_a_run_has_the_options_that_it_began_with_and_those_that_may_change(train):
    train("a", "--hidden", "7", "--lr", "0.05")
    found, options = resumed(resume="a", epochs=5)
    assert (options.hidden, options.lr, options.epochs, options.out) == ([7], 0.05, 5, "a")
    assert set(options.given) == {"resume", "epochs", "out"}
    assert found.checkpoint.path.parent == Path("a")
    assert resumed(resume="a", out="./a")[1].out == "a"


def test_without_a_folder_the_latest_run_is_resumed(train):
    train("runs/a")
    assert resumed(resume=True)[1].out == "runs/a"


def test_a_comparison_ran_in_one_process(train):
    train("a", "--threads", "1", optimizer=("sgd", "adam"))
    assert resumed(resume="a", parallel="mpi")[1].threads == "auto"


def test_out_may_only_name_the_same_folder(train):
    train("a")
    message = (
        "--out 'b': a resumed run stays in its folder, 'a'; leave it out, or copy the folder and "
        "--resume the copy"
    )
    refused(ParameterError, message, reopen, {"resume": "a", "out": "b"})


def test_changed_options_are_named_with_what_they_were_unless_overridden(train):
    train("a", "--lr", "0.05")
    given = {"resume": "a", "lr": 0.5, "optimizer": ["adam"], "hidden": [100]}
    message = (
        "--resume: these options differ from the saved run: --lr was 0.05, now 0.5; "
        "--optimizer was 'sgd', now 'adam'; drop them, or add --override"
    )
    refused(ParameterError, message, reopen, given)
    assert resumed(**given, override=True)[1].lr == 0.5


def test_the_options_of_a_comparison_cannot_be_overridden(train):
    train("a", optimizer=("sgd", "adam"))
    given = {"resume": "a", "optimizer": ["sgd", "momentum"], "seed": 3, "override": True}
    message = (
        "--resume: these options differ from the saved comparison: --optimizer was 'sgd adam', "
        "now 'sgd momentum'; --seed was 0, now 3; drop them, or start another comparison"
    )
    refused(ParameterError, message, reopen, given)
    found, options = resumed(resume="a")
    assert (found.checkpoint, options.optimizer) == (None, ["sgd", "adam"])


def test_more_seeds_may_join_a_comparison_and_no_other_run(train):
    train("a", optimizer=("sgd", "adam"))
    assert resumed(resume="a", seeds=2)[1].seeds == 2


def test_a_run_of_python_is_resumed_in_python(train):
    path, folder = train("a"), train("b", optimizer=("sgd", "adam"))
    for checkpoint in path.glob("checkpoint-0*"):
        arrays, header = read_archive(checkpoint)
        write_archive(checkpoint, arrays, {**header, "run": {}})
    last = max(path.glob("checkpoint-0*"))
    message = "{!r} was not saved by a run of the command line; resume it in Python"
    refused(DataError, message.format(str(last)), reopen, {"resume": "a"})
    (folder / "config.json").write_text(json.dumps({"arguments": [1]}))
    refused(DataError, message.format("b/config.json"), reopen, {"resume": "b"})


def test_options_of_version_0_1_are_read_as_they_are_written_today(train):
    path = train("a", "--hidden", "5,4", "--activation", "tanh")
    for checkpoint in path.glob("checkpoint-0*"):
        arrays, header = read_archive(checkpoint)
        header["run"]["arguments"].update(activation=["tanh"], augment={}, none_of_today=1)
        write_archive(checkpoint, arrays, header)
    _, options = resumed(resume="a")
    assert (options.activation, options.augment, options.hidden) == ("tanh", None, [5, 4])


@pytest.mark.parametrize(
    ("ranks", "given", "threads"),
    [
        (None, {}, 1),
        (None, {"parallel": "mpi"}, "auto"),
        ("no environment", {"parallel": "mpi"}, "auto"),
        (1, {"parallel": "mpi"}, "auto"),
        (2, {"parallel": "mpi"}, 1),
        (1, {"parallel": "mpi", "threads": 2, "override": True}, 2),
    ],
)
def test_threads_of_one_process_are_not_those_of_each_of_several(train, ranks, given, threads):
    path = train("a", "--threads", "1")
    for checkpoint in path.glob("checkpoint-0*"):
        arrays, header = read_archive(checkpoint)
        header["environment"].pop("ranks")
        header["environment"] |= {"ranks": ranks} if isinstance(ranks, int) else {}
        if ranks == "no environment":
            del header["environment"]
        write_archive(checkpoint, arrays, header)
    assert resumed(resume="a", **given)[1].threads == threads


def test_a_resumed_run_ends_where_one_without_a_break_does(train, capsys):
    whole, broken = train("a", epochs=3), train("b")
    assert cli.main(["--resume", "b", "--epochs", "3", "-q"]) == 0
    one, other = (np.load(path / "weights.npz") for path in (whole, broken))
    for name in one.files:
        if name != "header":
            np.testing.assert_array_equal(one[name], other[name])
