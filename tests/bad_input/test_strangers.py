"""A run folder, a file or a server of a stranger: nothing outside is touched, nothing hangs."""

import contextlib
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from scratchnet import cli
from scratchnet.errors import DataError
from scratchnet.estimator import MLPClassifier
from scratchnet.storage.archive import read_archive, write_archive

pytestmark = pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs links")
RUN = ["--train-samples", "60", "--hidden", "5", "--no-report", "-q"]
COMPARE = ["--optimizer", "sgd", "adam", "--jobs", "1", "--epochs", "1"]


@pytest.fixture
def theirs(here):
    """A file of the user's, outside of the run's folder, which must stay as it is."""
    path = here / "theirs.txt"
    path.write_text("mine")
    yield path
    assert path.read_text() == "mine"
    assert path.stat().st_nlink <= 2


def test_a_page_is_not_written_through_a_link(theirs):
    words = [*RUN[:4], "-q", "--epochs", "1", "--out", "run"]
    assert cli.main(words) == 0
    for name in ("report.html", "results.json"):
        Path("run", name).unlink()
        Path("run", name).symlink_to(theirs)
    assert resume() == 0
    assert not Path("run/report.html").is_symlink()
    assert "<html" in Path("run/report.html").read_text("utf-8")


def test_a_download_goes_on_in_a_file_of_its_own_alone(theirs, here):
    from scratchnet.data.download import RemoteFile, fetch
    from scratchnet.errors import OutputError

    (here / "data").mkdir()
    (here / "data" / ".a.gz.part").symlink_to(theirs)
    with pytest.raises(OutputError):
        fetch(RemoteFile("a.gz", "0" * 64), ["http://127.0.0.1:9/"], here / "data")
    (here / "data" / ".a.gz.part").unlink()
    os.link(theirs, here / "data" / ".a.gz.part")
    with pytest.raises(OutputError, match="a regular file with one name"):
        fetch(RemoteFile("a.gz", "0" * 64), ["http://127.0.0.1:9/"], here / "data")


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(here, capsys, monkeypatch):
    monkeypatch.setattr("scratchnet.cli.config_file.PATIENCE", 0.1)
    os.mkfifo("pipe")
    for words in (["--config", "pipe"], ["--dataset", "./pipe"], ["--resume", "pipe"]):
        with contextlib.suppress(SystemExit):
            assert cli.main(words) in (2, 3)
        assert capsys.readouterr().err.splitlines()[-1].startswith("train.py: error: ")


def run(*words):
    return cli.main([*RUN, *words])


def resume(*words):
    with pytest.MonkeyPatch.context():
        return cli.main(["--resume", "run", "-q", *words])


WRITTEN = [
    *("history.csv", "steps.csv", "layers.csv", "history.log", "history.json", "config.json"),
    *("results.json", "weights.npz", "checkpoint-best.npz", "report.html"),
]


@pytest.mark.parametrize("name", [*WRITTEN, ".lock"])
@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
def test_nothing_is_written_through_what_lies_in_a_run_folder(name, kind, theirs, capsys):
    assert run("--epochs", "1", "--out", "run") == 0
    path = Path("run", name)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(theirs) if kind == "link" else os.link(theirs, path)
    code = resume("--epochs", "3")
    assert code in (0, 4)
    if name != ".lock":
        assert code == 0
        assert name == "report.html" or (path.is_file() and not path.is_symlink())


@pytest.mark.parametrize("place", ["trials", "adam", "sgd"])
def test_a_comparison_writes_into_no_folder_outside(place, theirs, here, capsys):
    assert run(*COMPARE, "--out", "run") == 0
    outside = here / "outside"
    shutil.rmtree(Path("run", place))
    outside.mkdir()
    (outside / ".x.tmp.1.abcdef01").write_text("")
    Path("run", place).symlink_to(outside)
    if place != "trials":
        shutil.rmtree("run/trials")
    assert resume() == 4
    assert "must be a folder, it is a link; remove it" in capsys.readouterr().err
    assert os.listdir(outside) == [".x.tmp.1.abcdef01"]


def test_what_a_killed_comparison_had_begun_to_write_is_cleared(here):
    assert run(*COMPARE, "--out", "run") == 0
    strays = [Path("run", sub, ".config.json.tmp.1.abcdef01") for sub in ("", "trials", "adam")]
    for path in strays:
        path.write_text("")
    assert resume() == 0
    assert not any(path.exists() for path in strays)


TRIALS = [
    b"", b"[]", b"{", b"3", b"[" * 900 + b"]" * 900, b'{"history": 3}', b"\xff",
    {"lr": "x"}, {"seed": 7}, {"optimizer": 3}, {"history": []}, {"history": [[1]]},
    {"curve": [["a", "b"]]}, {"curve": 3}, {"test_loss": "low"}, {"strange": 1}, {"final": False},
    {"history": [{"number": "1"}]},
]  # fmt: skip


@pytest.mark.parametrize("content", TRIALS, ids=range(len(TRIALS)))
def test_a_trial_that_is_damaged_is_made_again(content, here, capsys):
    assert run(*COMPARE, "--out", "run") == 0
    path = next(Path("run/trials").glob("adam-final*"))
    before = json.loads(path.read_text())
    if isinstance(content, dict):
        path.write_text(json.dumps({**before, **content}))
    else:
        path.write_bytes(content)
    capsys.readouterr()
    assert resume() == 0
    after = json.loads(path.read_text())
    assert [(e["loss"], e["val_loss"]) for e in after["history"]] == [
        (e["loss"], e["val_loss"]) for e in before["history"]
    ]
    changes_key = isinstance(content, dict) and set(content) & {"seed", "final"}
    assert changes_key or "the trial is made again" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["results.json", "config.json", "history.json", "weights.npz"])
@pytest.mark.parametrize("content", [b"", b"3", b"{}", b"[]", b"\xff", b"[" * 999, b'{"a": 1e999}'])
def test_a_file_of_a_finished_run_that_is_damaged_is_made_again(name, content, here, capsys):
    assert run("--epochs", "2", "--out", "run") == 0
    before = {n: json.loads(Path("run", n).read_bytes()) for n in ("results.json", "history.json")}
    Path("run", name).write_bytes(content)
    capsys.readouterr()
    assert resume() == 0
    seen = capsys.readouterr()
    whole = name == "history.json" and content == b"[]"  # which a run without epochs has
    if name != "results.json" and not whole:
        assert f"{name} is missing or damaged, and is made again" in seen.err
    after = json.loads(Path("run/results.json").read_bytes())
    assert after["test_loss"] == before["results.json"]["test_loss"]
    if not whole:
        assert json.loads(Path("run/history.json").read_bytes()) == before["history.json"]
    assert resume() == 0
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize("cell", ["a word", "", "nan", "1e999", '"'])
@pytest.mark.parametrize("name", ["steps.csv", "layers.csv", "history.csv"])
def test_a_bad_cell_in_a_table_costs_nothing(name, cell, here):
    assert run("--epochs", "2", "--out", "run") == 0
    shutil.copytree("run", "other")
    path = Path("run", name)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace(lines[1].split(",")[1], cell, 1)]))
    assert resume("--epochs", "3") == 0
    assert cli.main(["--resume", "other", "-q", "--epochs", "3"]) == 0
    times = (7, 8) if name == "history.csv" else ()
    without = [
        [[c for k, c in enumerate(row.split(",")) if k not in times] for row in text.splitlines()]
        for text in (path.read_text(), Path("other", name).read_text())
    ]
    assert without[0] == without[1]


@pytest.mark.parametrize("name", ["weights.npz", "config.json", "history.json"])
def test_a_file_of_a_finished_run_that_is_gone_is_made_again(name, here, capsys):
    assert run("--epochs", "2", "--out", "run") == 0
    Path("run", name).unlink()
    assert resume() == 0
    assert Path("run", name).is_file()
    assert f"{name} is missing or damaged, and is made again" in capsys.readouterr().err


def test_a_run_resumed_behind_the_last_step_of_an_epoch_has_the_same_layers(here):
    words = ["--optimizer", "sgd", "--epochs", "3", "--save-every", "1", "--out", "run"]
    assert run(*words) == 0
    shutil.copytree("run", "whole")
    Path("run/checkpoint-00000003.npz").unlink()
    assert resume() == 0
    for name in ("layers.csv", "steps.csv"):
        assert Path("run", name).read_text() == Path("whole", name).read_text()


def test_other_test_samples_than_before_are_refused(here):
    rng = np.random.default_rng(0)
    arrays = {
        f"{k}_{part}": v
        for part, n in (("train", 60), ("test", 20))
        for k, v in (("x", rng.normal(size=(n, 4))), ("t", np.arange(n) % 3))
    }
    np.savez("set.npz", **arrays)
    words = ["--dataset", "set.npz", "--hidden", "5", "--no-report", "-q", "--epochs", "1"]
    assert cli.main([*words, "--out", "run"]) == 0
    np.savez("set.npz", **{**arrays, "x_test": arrays["x_test"] + 1})
    assert resume("--epochs", "2") == 2
    assert resume("--epochs", "2", "--override") == 0


@pytest.mark.parametrize(
    "words", [["--lr-grid", "auto"], ["--seeds", "3"], ["--optimizer", "adam", "sgd"]]
)
def test_a_run_stays_a_run(words, here, capsys):
    assert run("--epochs", "1", "--out", "run") == 0
    assert resume("--override", *words) == 2
    assert (
        "'run' is a single run, and these options ask for a comparison" in capsys.readouterr().err
    )


@pytest.mark.parametrize("optimizer", ["schedule-free-sgd", "schedule-free-adamw", "sam", "rprop"])
@pytest.mark.parametrize("lr", ["1e-300", "1e300", "1e-45", "3e38"])
def test_rates_at_the_ends_of_what_floats_hold_end_in_one_line(optimizer, lr, here, capsys):
    code = run("--optimizer", optimizer, "--lr", lr, "--epochs", "1", "--out", "run")
    assert code in (0, 2, 5)
    assert capsys.readouterr().err.count("\n") == (code != 0)


@pytest.mark.parametrize(
    "words",
    [
        *(["--augment", f"{name}=1e300"] for name in ("shift", "rotate", "shear", "elastic")),
        ["--augment", "elastic=1e300:1e300"],
        ["--augment", "elastic=4:1e4"],
        *([flag, "9" * 400] for flag in ("--lr", "--seed", "--epochs", "--batch-size", "--hidden")),
    ],
)
def test_amounts_beyond_all_sense_are_refused_in_one_short_line(words, here, capsys):
    with pytest.raises(SystemExit) if words[0] != "--augment" else pytest.MonkeyPatch.context():
        assert run("--out", "run", *words) == 2
    error = capsys.readouterr().err
    assert "must be" in error
    assert len(error.splitlines()[-1]) < 300


def test_a_run_that_did_not_learn_says_so_in_its_last_line(here, capsys):
    words = ["--dataset", "digits", "--no-report", "--epochs", "1"]
    assert cli.main([*words, "--lr", "1000", "--out", "bad"]) in (0, 5)
    assert (
        "; it did not learn: the most frequent label alone is right for 0.10"
        in (capsys.readouterr().out.splitlines()[-1])
    )
    assert json.loads(Path("bad/results.json").read_bytes())["learned"] is False
    assert cli.main([*words, "--out", "good", "--lr", "0.01"]) == 0
    assert "did not learn" not in capsys.readouterr().out
    assert json.loads(Path("good/results.json").read_bytes())["learned"] is True


def test_a_name_that_is_no_text_is_shown_with_backslashes_by_every_door(here, capsys):
    source = os.fsdecode(b"bad\xff.npz")
    rng = np.random.default_rng(0)
    try:
        np.savez(source, x=rng.normal(size=(90, 4)), t=np.arange(90) % 3)
    except OSError:
        pytest.skip("the file system takes only text")
    words = ["--dataset", source, "--hidden", "5", "--epochs", "1"]
    assert cli.main([*words, "--out", "run"]) == 0
    assert "bad\\udcff.npz" in Path("run/report.html").read_text("utf-8")
    assert cli.main(["--resume", "run", "--epochs", "2"]) == 0
    assert cli.main([*words, "-q"]) == 0  # runs/bad\xff-adam-1
    assert cli.main([*words, "--optimizer", "sgd", "adam", "--jobs", "1", "-q"]) == 0
    assert cli.main([*words, "--find-lr", "-q"]) == 0
    assert cli.main([*words, "--dry-run"]) == 0
    assert cli.main([*words, "--json", "-q", "--out", os.fsdecode(b"o\xfe")]) == 0
    assert cli.main(["--resume", os.fsdecode(b"o\xfe"), "--epochs", "2"]) == 0
    assert cli.main(["--dataset", os.fsdecode(b"./none\xff.npz")]) == 3


def test_what_files_and_servers_say_reaches_the_terminal_without_its_controls(here, capsys):
    np.savez("set.npz", **{"\x1b[31mx": np.zeros(3)})
    assert cli.main(["--dataset", "set.npz"]) == 3
    error = capsys.readouterr().err
    assert "\\x1b[31mx" in error
    assert "\x1b" not in error
    with open("a.csv", "w") as file:
        file.write("\x1b[2Jx,label\nword,1\nother,2\n")
    assert cli.main(["--dataset", "a.csv"]) == 3
    assert "\x1b" not in capsys.readouterr().err


SOME = np.linspace(0, 1, 40).reshape(20, 2)
NAMES = ["predict", "_network", "__class__", "fit", "score", "optimizer", "classes_", "x"]


def saved_estimator(path):
    """The arrays and the header of a fitted estimator's file."""
    x, t = np.linspace(0, 1, 40).reshape(20, 2), np.arange(20) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MLPClassifier((3,), max_iter=1).fit(x, t).save(path)
    return read_archive(path)


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_s_file_sets_nothing_but_what_a_fit_leaves(name, tmp_path):
    arrays, header = saved_estimator(tmp_path / "a.npz")
    header["fitted"][name] = 3
    write_archive(tmp_path / "a.npz", arrays, header)
    with pytest.raises(DataError, match="which no estimator has"):
        MLPClassifier.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"dtype of classes": "U100000000"},
        {"dtype of classes": "V9"},
        {"dtype of classes": "no"},
        {"classes": [[1]]},
        {"classes": {"a": 1}},
        {"fitted": 3},
        {"fitted": {}},
        {"params": {"__class__": 1}},
        {"params": {"n_threads": 0.5}},
        {"params": {"hidden_layer_sizes": 10**90}},
        {"network": {"kind": "MultiLayerNet"}},
    ],
    ids=range(11),
)
def test_an_estimator_s_file_that_says_strange_things_is_a_data_error(change, tmp_path):
    arrays, header = saved_estimator(tmp_path / "a.npz")
    write_archive(tmp_path / "a.npz", arrays, {**header, **change})
    if "hidden_layer_sizes" in str(change):  # an argument, which the next fit checks
        assert MLPClassifier.load(tmp_path / "a.npz").predict([[0, 0]]).shape == (1,)
        return
    with pytest.raises(DataError):
        MLPClassifier.load(tmp_path / "a.npz")


def test_windows_and_macos_have_their_ways(here, monkeypatch):
    """By standing in for the platform: its modules, its numbers."""
    import errno
    import types

    from scratchnet import runs
    from scratchnet.errors import OutputError
    from scratchnet.storage import atomic

    calls = []
    fcntl = types.SimpleNamespace(F_FULLFSYNC=51, fcntl=lambda fd, what: calls.append(what))
    monkeypatch.setitem(sys.modules, "fcntl", fcntl)
    atomic.write_text("a.txt", "x")
    assert calls == [51]

    held = set()

    def locking(descriptor, mode, count):
        place = os.fstat(descriptor).st_ino
        if place in held:
            raise OSError(errno.EDEADLOCK, "in use")
        held.add(place)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    folder = runs.RunFolder("out", "name")
    with pytest.raises(OutputError, match=f"'out' is in use by process {os.getpid()}"):
        runs.RunFolder.reopen(Path("out"))
    folder.close()


def test_signals_that_only_windows_has_are_noted_too(monkeypatch):
    import signal

    from scratchnet.cli.interrupts import Interrupts

    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    noted = Interrupts()
    with noted.watch():
        signal.raise_signal(signal.SIGUSR1)
    assert noted.number == signal.SIGUSR1


def test_a_blas_whose_threads_cannot_be_set_is_named(here, capsys, monkeypatch):
    from scratchnet import environment

    class Nothing:
        def info(self):
            return []

        def limit(self, **options):
            return __import__("contextlib").nullcontext()

    monkeypatch.setattr(environment, "_controller", Nothing)
    (blas,) = environment.describe()["blas"]
    assert blas["internal_api"]
    assert run("--epochs", "1", "--threads", "2", "--out", "run") == 0
    assert "--threads 2 has no effect on this BLAS" in capsys.readouterr().err
