import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from scratchnet.errors import OutputError
from scratchnet.runs import COLUMNS, RunFolder, as_row, check_free, to_json
from scratchnet.training import Epoch

FIRST = Epoch(1, 10, 0.5, 0.25, 0.0, 0.1 + 0.2, 0.75, 1e-3, 1000.0, 0.1)
SECOND = Epoch(2, 20, 1 / 3, 0.5, 0.0, None, None, 2e-3, 500.0, 0.1)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_are_numbered_from_1_and_a_gap_is_filled():
    assert [RunFolder(None, "digits-sgd").path.name for _ in range(3)] == [
        "digits-sgd-1",
        "digits-sgd-2",
        "digits-sgd-3",
    ]
    assert RunFolder(None, "digits-adam").path == Path("runs/digits-adam-1")
    shutil.rmtree("runs/digits-sgd-2")
    assert RunFolder(None, "digits-sgd").path == Path("runs/digits-sgd-2")


def test_an_empty_folder_left_under_the_next_name_is_not_taken_over():
    Path("runs/digits-sgd-1").mkdir(parents=True)
    assert RunFolder(None, "digits-sgd").path == Path("runs/digits-sgd-2")


def claim_at_once(out: str | None, n: int) -> tuple[list[Path], list[str]]:
    """What `n` threads that claim a folder at the same moment get, and what refused ones hear."""
    got: list[Path] = []
    refused: list[str] = []
    barrier = threading.Barrier(n)

    def claim() -> None:
        barrier.wait()
        try:
            got.append(RunFolder(out, "race").path)
        except OutputError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=claim) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got, refused


def test_runs_that_claim_the_default_name_at_once_get_different_folders():
    got, refused = claim_at_once(None, 16)
    assert len(set(got)) == 16
    assert not refused
    assert {path.name for path in got} == {f"race-{n}" for n in range(1, 17)}


@pytest.mark.parametrize("exists", [False, True])
def test_of_runs_that_claim_one_folder_at_once_only_one_gets_it(exists):
    for k in range(20):
        if exists:
            Path(f"out{k}").mkdir()
        got, refused = claim_at_once(f"out{k}", 8)
        assert got == [Path(f"out{k}")]
        assert len(refused) == 7
        assert all(f"'out{k}'" in line and "choose another --out" in line for line in refused)
        assert sorted(os.listdir(f"out{k}")) == [".lock", "history.csv"]


def test_a_run_that_is_open_is_locked_and_names_its_process_until_it_is_closed():
    first = RunFolder("out", "name")
    assert Path("out/.lock").read_text(encoding="ascii") == str(os.getpid())
    with pytest.raises(OutputError) as caught:
        RunFolder.reopen(Path("out"))
    assert str(caught.value) == (
        f"'out' is in use by process {os.getpid()}; wait until it ends, or resume another run"
    )
    first.close()
    first.close()
    second = RunFolder.reopen(Path("out"))
    with pytest.raises(OutputError, match="in use"):
        RunFolder.reopen(Path("out"))
    del second
    RunFolder.reopen(Path("out")).close()


def test_the_lock_of_a_process_that_was_killed_is_taken_over():
    code = "import os\nfrom scratchnet.runs import RunFolder\nRunFolder('out', 'n')\nos.abort()"
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    dead = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert dead.returncode == -signal.SIGABRT
    assert Path("out/.lock").read_text(encoding="ascii") != str(os.getpid())
    folder = RunFolder.reopen(Path("out"))
    assert Path("out/.lock").read_text(encoding="ascii") == str(os.getpid())
    folder.close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_has_no_locks_is_used_without_and_no_descriptor_is_lost(
    number, monkeypatch
):
    monkeypatch.setattr("fcntl.flock", refusing(number))
    before = os.listdir("/proc/self/fd")
    first, second = RunFolder("out", "name"), RunFolder.reopen(Path("out"))
    assert os.listdir("/proc/self/fd") == before
    first.close()
    second.close()


@pytest.mark.parametrize("call", ["fcntl.flock", "os.truncate", "os.write"])
def test_a_lock_that_cannot_be_written_is_named(call, monkeypatch):
    monkeypatch.setattr(call, refusing(errno.EIO))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OutputError, match=r"cannot write 'out/\.lock': .*\(EIO\); choose another"):
        RunFolder("out", "name")
    assert os.listdir("/proc/self/fd") == before


def refusing(number: int) -> Any:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_history_is_rewritten_to_what_a_checkpoint_has():
    folder = RunFolder("out", "name")
    for epoch in (FIRST, SECOND, FIRST):
        folder.add_epoch(epoch)
    before = Path("out/history.csv").read_bytes()
    place = folder.log.place()
    folder.add_epoch(SECOND)
    folder.log.expect(place)
    assert folder.cut_log(3, SECOND.steps) == []
    assert list(folder.epochs()) == [FIRST, SECOND, FIRST]
    assert Path("out/history.csv").read_bytes() == before
    folder.cut_log(0, 0)
    assert read_csv() == []


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff", b"{", b"[" * 9999])
def test_results_that_cannot_be_read_are_none(content):
    folder = RunFolder("out", "name")
    assert folder.read_results() == {}
    Path("out/results.json").write_bytes(content)
    assert folder.read_results() == {}
    folder.write_results({"epochs": 3})
    assert folder.read_results() == {"epochs": 3}


def test_a_folder_that_holds_a_run_is_refused_with_the_way_to_go_on():
    RunFolder("out", "name").write_config({})
    with pytest.raises(OutputError) as caught:
        RunFolder("out", "name")
    assert str(caught.value) == (
        "'out' already holds files; choose another --out, or resume it by --resume"
    )


def test_a_claim_that_is_lost_in_the_last_moment_is_refused(monkeypatch):
    monkeypatch.setattr("scratchnet.runs.check_free", lambda out: None)
    RunFolder("out", "name").add_epoch(FIRST)
    before = Path("out/history.csv").read_bytes()
    with pytest.raises(OutputError, match="'out' was just taken by another run; choose another"):
        RunFolder("out", "name")
    assert Path("out/history.csv").read_bytes() == before


def test_the_history_is_there_after_every_epoch_and_says_the_same_in_both_files():
    folder = RunFolder("out", "name")
    assert read_csv() == []
    folder.add_epoch(FIRST)
    assert len(read_csv()) == 1
    folder.add_epoch(SECOND)
    folder.write_history()
    rows = json.loads(Path("out/history.json").read_text(encoding="utf-8"))
    assert rows == [as_row(FIRST), as_row(SECOND)]
    assert [list(row) for row in rows] == [list(COLUMNS), list(COLUMNS)]
    for written, row in zip(read_csv(), rows, strict=True):
        assert {k: float(v) if v else None for k, v in written.items()} == row


def read_csv() -> list[dict[str, str]]:
    with open("out/history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_columns_have_the_names_of_keras_and_epochs_count_from_1():
    assert COLUMNS[0] == "epoch"
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(COLUMNS)
    assert as_row(FIRST)["epoch"] == 1
    assert "number" not in as_row(FIRST)


def test_json_is_exact_ends_in_a_newline_and_never_holds_nan():
    text = to_json({"a": 0.1 + 0.2, "b": 2**200, "c": "ü"})
    assert text.endswith("}\n")
    assert text.isascii()
    assert json.loads(text) == {"a": 0.1 + 0.2, "b": 2**200, "c": "ü"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"loss": float("nan")})


def test_nothing_is_written_by_looking_whether_a_folder_is_free(here):
    (here / "file").touch()
    (here / "taken").mkdir()
    (here / "taken" / "x").touch()
    (here / "empty").mkdir()
    before = sorted(here.rglob("*"))
    for fine in (None, "empty", "new", "new/below", "./empty/", str(here / "new")):
        check_free(fine)
    for bad, words in {
        "file": "'file' must be a folder; choose",
        "file/below/it": "'file' must be a folder; choose",
        "taken": "'taken' already holds files; choose",
        "x" * 300: r"File name too long \(ENAMETOOLONG\); choose",
    }.items():
        with pytest.raises(OutputError, match=words):
            check_free(bad)
    assert sorted(here.rglob("*")) == before


def test_a_folder_that_cannot_be_written_to_is_refused_beforehand(monkeypatch):
    Path("locked").mkdir()
    monkeypatch.setattr("scratchnet.runs.os.access", lambda path, mode: False)
    for out in ("locked", "locked/below"):
        with pytest.raises(OutputError, match="cannot write to 'locked'; choose another --out"):
            check_free(out)


def test_runs_that_is_no_folder_is_named(here):
    (here / "runs").touch()
    with pytest.raises(OutputError, match="'runs' must be a folder; choose another"):
        check_free(None)
    with pytest.raises(OutputError, match="'runs' must be a folder"):
        RunFolder(None, "name")


def test_a_link_to_an_empty_folder_may_be_used_and_one_to_nowhere_may_not(here):
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    RunFolder("link", "name").add_epoch(FIRST)
    assert (here / "real" / "history.csv").exists()
    (here / "dangling").symlink_to("nowhere")
    with pytest.raises(
        OutputError, match=r"cannot write 'dangling': File exists \(EEXIST\); choose another"
    ):
        RunFolder("dangling", "name")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("out", ["out", None])
def test_a_system_that_makes_no_folder_is_named_with_path_and_reason(out, number, monkeypatch):
    def refuse(path: Path, *args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match=r"cannot write '(out|runs/name-1)': ") as caught:
        RunFolder(out, "name")
    assert os.strerror(number) in str(caught.value)


def test_the_tables_of_steps_and_layers_end_where_a_run_is_gone_on_with():
    folder = RunFolder("out", "name")
    layer = {"layer": "1 Affine(2, 3)", "weight_norm": 0.1 + 0.2, "gradient_norm": 3, "flat": None}
    for epoch in (FIRST, SECOND):
        folder.add_epoch(epoch, [{**layer, "dead": 0.5}, {**layer, "dead": None}])
    steps = range(1, SECOND.steps + 3)
    folder.add_steps([{"step": k, "loss": 1 / k, "lr": 0.1} for k in steps])
    folder.cut_log(1, FIRST.steps)
    assert [row["step"] for row in folder.steps.read()] == list(range(1, FIRST.steps + 1))
    assert folder.steps.read()[2] == {"step": 3, "loss": 1 / 3, "lr": 0.1}
    found = folder.layers.read()
    assert found == [{"epoch": 1, **layer, "dead": 0.5}, {"epoch": 1, **layer, "dead": None}]


def test_a_row_that_was_cut_short_is_passed_over():
    folder = RunFolder("out", "name")
    assert folder.steps.read() == []
    folder.steps.add([{"step": 1, "loss": 0.5, "lr": 0.1}])
    with open("out/steps.csv", "a", encoding="utf-8") as file:
        file.write("2,0.4")
    assert [row["step"] for row in folder.steps.read()] == [1]


def test_a_list_of_numbers_is_one_line_of_json():
    content = {"matrix": [[1, 2], [-3.5, 4e-7]], "words": ["a", "b"], "text": "[ 1, 2 ]"}
    text = to_json(content)
    assert "    [1, 2],\n    [-3.5, 4e-07]\n" in text
    assert json.loads(text) == content


@pytest.mark.parametrize("moment", ["claim", "epoch"])
def test_a_disk_that_is_full_is_named_with_the_history(moment, monkeypatch):
    folder = None if moment == "claim" else RunFolder("out", "name")

    def refuse(path: Path, *args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("scratchnet.runs.open", refuse, raising=False)
    monkeypatch.setattr("scratchnet.runs.open_to_append", refuse)
    with pytest.raises(OutputError, match=r"cannot write 'out/history\.csv': No space left"):
        RunFolder("out", "name") if folder is None else folder.add_epoch(FIRST)
