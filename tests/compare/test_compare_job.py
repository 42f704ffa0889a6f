"""Comparisons of the command line: equal to single runs, kept as they end, gone on with."""

import csv
import json
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from scratchnet import Trainer, cli
from scratchnet.cli import compare as compare_job
from scratchnet.cli.interrupts import Interrupted
from scratchnet.cli.parser import command, complete, parse
from scratchnet.runs import ComparisonFolder

ROOT = Path(__file__).parents[2]
NAMES = ["sgd", "momentum", "adam"]
pytestmark = pytest.mark.usefixtures("here")


def compare(small, *more, out="cmp", names=NAMES):
    argv = ["--dataset", small, "--epochs", "3", "--out", out, "--optimizer", *names, *more]
    return cli.main(argv)


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def without_times(value):
    """Results with every time taken out."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if "second" not in k}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def test_several_names_end_in_one_table_and_a_folder_each(small, capsys):
    assert compare(small, "--jobs", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if line.split("  ")[0] in NAMES]
    assert [line.split()[0] for line in table] == NAMES
    assert lines[-1] == "see cmp/report.html"
    found = read("cmp/results.json")
    assert [row["optimizer"] for row in found["optimizers"]] == NAMES
    for line, row in zip(table, found["optimizers"], strict=True):
        assert f"{row['test_accuracy']:.4f}" in line
        assert f"{row['test_loss']:.4f}" in line
    for name in NAMES:
        assert {"config.json", "results.json", "history.csv", "weights.npz"} <= set(
            os.listdir(f"cmp/{name}")
        )


def test_each_is_the_run_that_its_name_alone_makes(small):
    assert compare(small, "--jobs", "1", "--seed", "3", "--batch-size", "20") == 0
    for name in NAMES:
        assert compare(small, "--seed", "3", "--batch-size", "20", out=name, names=[name]) == 0
        alone, among = read(f"{name}/results.json"), read(f"cmp/{name}/results.json")
        for found in (alone, among):
            del found["verdict"]["command"]  # which names the folder
        assert without_times(alone) == without_times(among) != {}
        rows = read("cmp/results.json")["optimizers"]
        (row,) = [row for row in rows if row["optimizer"] == name]
        assert row["test_accuracy"] == alone["test_accuracy"]
        assert row["test_loss"] == alone["test_loss"]


def test_the_same_command_gives_the_same_results_and_two_processes_those_of_one(small):
    options = ("--seeds", "3", "--lr-grid", "0.01,0.1", "--no-report", "-q")
    for out, jobs in (("a", "1"), ("b", "1"), ("c", "2")):
        assert compare(small, *options, "--jobs", jobs, out=out) == 0
    a, b, c = (without_times(read(f"{out}/results.json")) for out in "abc")
    assert a == b == c
    assert a["seeds"] == [0, 1, 2]
    assert len(a["tuning"]) == 6
    assert len(a["differences"]) == 3


def test_rates_are_chosen_by_validation_and_the_rest_of_the_grid_is_kept(small):
    assert compare(small, "--lr-grid", "1e-6,0.05", "--jobs", "1") == 0
    found = read("cmp/results.json")
    for row in found["optimizers"]:
        tried = [t for t in found["tuning"] if t["optimizer"] == row["optimizer"]]
        assert [t["lr"] for t in tried] == [1e-6, 0.05]
        best = max(tried, key=lambda t: (t["val_accuracy"], -t["val_loss"]))
        assert row["lr"] == best["lr"]
        assert read(f"cmp/{row['optimizer']}/config.json")["optimizer"]["lr"] == best["lr"]


def test_every_epoch_of_every_trial_is_in_one_file(small):
    assert compare(small, "--seeds", "2", "--lr-grid", "0.01,0.1", "--jobs", "1") == 0
    with open("cmp/trials.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * (3 * 2 + 3 * 2)
    assert {row["chosen"] for row in rows} == {"True", "False"}
    assert {row["epoch"] for row in rows} == {"1", "2", "3"}


@pytest.mark.parametrize("after", [0, 2, 4, 6])
def test_an_interrupted_comparison_goes_on_where_it_was(after, small, monkeypatch, capsys):
    options = ("--seeds", "2", "--lr-grid", "0.01,0.1", "--jobs", "1", "-q")
    assert compare(small, *options, out="whole") == 0
    run, made = compare_job.Runner.__call__, []

    def count(self, common, task, final):
        made.append((*task[:1], *task[2:], final))
        if len(made) > after:
            raise KeyboardInterrupt
        return run(self, common, task, final)

    with monkeypatch.context() as patch:
        patch.setattr(compare_job.Runner, "__call__", count)
        assert compare(small, *options) == 130
    assert capsys.readouterr().err.endswith("interrupted; resume with --resume cmp\n")
    trained = []
    monkeypatch.setattr(
        "scratchnet.training.Trainer.run",
        lambda self, epochs, run=Trainer.run: trained.append(1) or run(self, epochs),
    )
    assert cli.main(["--resume", "cmp"]) == 0
    assert len(trained) == 12 - after
    assert without_times(read("cmp/results.json")) == without_times(read("whole/results.json"))


def test_a_run_that_was_broken_off_in_an_epoch_goes_on_in_it(small, monkeypatch):
    assert compare(small, "--jobs", "1", out="whole") == 0
    step = Trainer.step

    def end(self, batch):
        if self.steps == 3 and type(self.optimizer).__name__ == "Momentum":
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", end)
        assert compare(small, "--jobs", "1") == 130
    assert not Path("cmp/trials/momentum-final-lr-0.01-seed-0.json").exists()
    assert cli.main(["--resume", "cmp", "-q"]) == 0
    assert without_times(read("cmp/results.json")) == without_times(read("whole/results.json"))


def test_a_finished_comparison_is_summed_up_again_with_more_seeds(small, monkeypatch):
    assert compare(small, "--jobs", "1", "--seeds", "2", out="whole") == 0
    assert compare(small, "--jobs", "1") == 0
    assert cli.main(["--resume", "cmp", "--seeds", "2"]) == 0
    assert without_times(read("cmp/results.json")) == without_times(read("whole/results.json"))


def test_a_comparison_goes_on_as_it_began(small, capsys):
    assert compare(small, "--jobs", "1") == 0
    before = read("cmp/results.json")
    assert cli.main(["--resume", "cmp", "--epochs", "5"]) == 2
    assert "--epochs was 3, now 5" in capsys.readouterr().err
    assert cli.main(["--resume", "cmp", "--optimizer", "sgd"]) == 2
    assert "--optimizer was 'sgd momentum adam'" in capsys.readouterr().err
    assert read("cmp/results.json") == before


def test_other_data_are_refused(small, tmp_path, capsys):
    assert compare(small, "--jobs", "1", "--no-report") == 0
    config = read("cmp/config.json")
    config["data"]["sha256"] = "0" * 64
    Path("cmp/config.json").write_text(json.dumps(config), encoding="utf-8")
    assert cli.main(["--resume", "cmp"]) == 3
    assert "compares with other data than" in capsys.readouterr().err


def test_the_latest_comparison_is_found_without_a_name(small, capsys):
    argv = ["--dataset", small, "--epochs", "1", "--optimizer", "sgd", "adam", "--jobs", "1"]
    assert cli.main([*argv, "--no-report"]) == 0
    assert capsys.readouterr().out.endswith("see runs/bars-comparison-1\n")
    assert cli.main(["--resume"]) == 0
    assert capsys.readouterr().out.endswith("see runs/bars-comparison-1\n")


def test_one_that_diverges_is_said_so_and_the_others_go_on(small, capsys):
    names = ["momentum", "lion"]
    assert compare(small, "--lr", "1e20", "--jobs", "1", names=names) == 5
    seen = capsys.readouterr()
    assert "momentum, lr 1e+20, seed 0  diverged" in seen.out
    assert seen.err.endswith("every trial diverged; give a lower --lr, or --lr-grid auto\n")
    rows = read("cmp/results.json")["optimizers"]
    assert rows[0]["diverged"] == 1
    assert rows[0]["test_accuracy"] is None


def test_a_run_that_had_ended_without_its_trial_being_kept_is_taken_as_it_is(small):
    assert compare(small, "--jobs", "1") == 0
    before = read("cmp/results.json")
    next(Path("cmp/trials").glob("sgd-final-*.json")).unlink()
    Path("cmp/trials/.x.json.tmp.1.0a").write_text("half")
    assert cli.main(["--resume", "cmp"]) == 0
    assert read("cmp/results.json") == before
    assert not Path("cmp/trials/.x.json.tmp.1.0a").exists()


def test_rates_that_agree_to_nine_digits_are_two(small):
    assert compare(small, "--lr-grid", "0.1,0.10000000001", "--jobs", "1", names=["sgd"]) == 0
    assert len(list(Path("cmp/trials").glob("sgd-tuning-*.json"))) == 2


def test_a_comparison_cannot_be_gone_on_with_as_another_even_by_override(small, capsys):
    assert compare(small, "--jobs", "1") == 0
    assert cli.main(["--resume", "cmp", "--epochs", "9", "--override"]) == 2
    assert (
        "these options differ from the saved comparison: --epochs was 3" in capsys.readouterr().err
    )


def test_the_page_of_a_full_batch_optimizer_has_a_command_that_runs(small):
    assert compare(small, "--batch-size", "20", "--jobs", "1", names=["sgd", "lbfgs"]) == 0
    found = read("cmp/results.json")
    assert [row["steps"] for row in found["optimizers"]] == [3 * 9, 3]
    assert found["batch_size"] == 20
    page = Path("cmp/lbfgs/report.html").read_text(encoding="utf-8")
    words = shlex.split(re.search(r'<pre class="command"[^>]*>(.*?)</pre>', page)[1])
    assert "--batch-size" not in words
    argv = [word.replace("&#x27;", "'") for word in words[2:]]
    assert cli.main([*argv, "--out", "again", "-q"]) == 0


def test_a_killed_process_of_a_comparison_is_one_line(small, monkeypatch, capsys):
    def killed(*_, **__):
        raise BrokenProcessPool("a process was terminated")

    monkeypatch.setattr(compare_job, "compare", killed)
    assert compare(small) == 137
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith(
            "train.py: a process was killed, perhaps out of memory; resume with --resume cmp"
        )
    )


def test_an_interruption_can_be_sent_between_processes():
    again = pickle.loads(pickle.dumps(Interrupted(15, "m")))
    assert (again.number, again.code, str(again)) == (15, 143, "m")


def test_json_is_the_results_alone(small, capsys):
    assert compare(small, "--json", "--jobs", "1") == 0
    seen = capsys.readouterr()
    assert json.loads(seen.out) == read("cmp/results.json")
    assert "see cmp" in seen.err


def test_a_dry_run_says_what_it_would_compare_and_writes_nothing(small, capsys):
    assert compare(small, "--dry-run") == 0
    out = capsys.readouterr().out
    for name in ("SGD(", "Momentum(", "Adam("):
        assert name in out
    assert os.listdir(".") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--patience", "3"], "--patience gives each trial another budget; leave it out"),
        (["--lr-grid", "auto", "--lr", "0.1"], "--lr-grid tries many rates, --lr one"),
        (["--lr-grid", "auto", "--val-split", "0"], "--lr-grid needs validation samples"),
        (
            ["--lr-grid", "1e-3,zero"],
            "must be auto or finite numbers > 0 with commas, got '1e-3,zero'",
        ),
        (["--lr-grid", "1,0.1,1.0"], "--lr-grid: must hold each rate once, got '1,0.1,1.0'"),
        (["--seeds", "0"], "must be an integer >= 1, got '0'"),
        (["--jobs", "0"], "must be an integer >= 1, got '0'"),
        (["--target", "0.9", "--val-split", "0"], "--target needs validation samples"),
        (["--target", "1.5"], "must be a finite number > 0 and <= 1, got 1.5"),
        (["--set", "beta1=0.5"], "sgd has no option 'beta1'"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_2(options, words, small, capsys):
    try:
        code = compare(small, *options)
    except SystemExit as error:
        code = error.code
    seen = capsys.readouterr()
    assert code == 2
    assert words in seen.err
    assert seen.err.count("\n") == 1
    assert os.listdir(".") == []


def test_a_name_that_comes_twice_is_refused(small, capsys):
    assert compare(small, names=["adam", "Adam"]) == 2
    assert "--optimizer must name each one once, adam came twice" in capsys.readouterr().err


def test_one_optimizer_over_several_seeds_has_an_interval(small):
    assert compare(small, "--seeds", "3", "--jobs", "1", names=["adam"]) == 0
    (row,) = read("cmp/results.json")["optimizers"]
    assert row["interval"] is not None
    assert read("cmp/results.json")["differences"] == []


def test_a_signal_ends_the_processes_and_says_how_to_go_on(small):
    argv = [sys.executable, str(ROOT / "train.py"), "--dataset", small, "--epochs", "100000"]
    argv += ["--optimizer", "sgd", "adam", "--jobs", "2", "--out", "cmp", "--no-report"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not list(Path("cmp").glob("*/history.csv")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143
    note, last = err.splitlines()
    assert note.endswith("for seconds to go by use --jobs 1")
    assert last == "train.py: interrupted; resume with --resume cmp"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--optimizer", "sgd", "adam", "--seeds", "3", "--lr-grid", "0.001,0.01"],
        ["--hidden", "none", "--lr", "1e-05", "--ema", "0.99", "--no-gamma"],
        ["--hidden", "30,20", "--dropout", "0.1", "0.2", "--batch-norm", "--no-report"],
        ["--set", "momentum=0.5", "--optimizer", "momentum", "--augment", "shift=2,elastic=34:4"],
        ["--schedule", "step", "--schedule-set", "milestones=0.5:0.75", "--class-weight", "1,2"],
        ["--surface", "beale", "--start=-1,2", "--dataset", "a b'c"],
    ],
)
def test_the_command_of_a_run_asks_for_the_same(argv):
    asked = complete(parse(argv))
    text = command(asked)
    assert text.startswith("python train.py --dataset ")
    again = complete(parse(shlex.split(text)[2:]))
    assert {k: v for k, v in vars(again).items() if k != "given"} == {
        k: v for k, v in vars(asked).items() if k != "given"
    }


def test_a_comparison_folder_is_claimed_by_its_table(tmp_path):
    folder = ComparisonFolder(str(tmp_path / "new"), "name")
    assert (tmp_path / "new" / "trials.csv").exists()
    folder.close()
