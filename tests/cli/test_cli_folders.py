"""Dry runs, config files, the folders of runs, and help."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import FILES, ROOT, files_in, results, train, weights

import scratchnet
from scratchnet import cli, load
from scratchnet.cli.parser import make_parser
from scratchnet.optimizers import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("here")


def test_a_dry_run_shows_the_plan_and_writes_nothing(bars, here, capsys):
    assert cli.main(["--dataset", bars, "--dry-run"]) == 0
    assert cli.main(["--dataset", bars, "--dry-run", "--out", "new"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("data  ")
    assert lines[4] == "dry run    nothing was trained or written"
    assert os.listdir(here) == []


def test_a_config_file_sets_the_defaults_and_the_command_line_wins(bars, here):
    (here / "run.toml").write_text(
        f"dataset = '{bars}'\nepochs = 2\nhidden = [5, 4]\nbatch_size = 50\nlr = 1e-2\n"
        "optimizer = 'Momentum'\nquiet = true\njson = false\nseed = 7\nval-split = 0.2\n",
        encoding="utf-8",
    )
    assert cli.main(["--config", "run.toml", "--epochs", "1", "--lr", "0.5", "--out", "new"]) == 0
    config = json.loads((here / "new" / "config.json").read_text(encoding="utf-8"))
    arguments = config["arguments"]
    assert (arguments["epochs"], arguments["lr"]) == (1, 0.5)
    assert (arguments["hidden"], arguments["batch_size"], arguments["seed"]) == ([5, 4], 50, 7)
    assert (arguments["optimizer"], arguments["quiet"], arguments["json"]) == (["momentum"], 1, 0)
    assert arguments["config"] == "run.toml"
    assert results("new")["optimizer"] == "momentum"


def test_a_config_file_means_what_the_same_flags_mean(bars, here):
    (here / "run.toml").write_text("epochs = 2\nseed = 3\nactivation = 'tanh'\n", encoding="utf-8")
    cli.main(["--dataset", bars, "--config", "run.toml", "--out", "a"])
    cli.main(
        ["--dataset", bars, "--epochs", "2", "--seed", "3", "--activation", "tanh", "--out", "b"]
    )
    assert weights("a") == weights("b")


def test_every_flag_but_four_can_be_in_a_config_file(here, capsys):
    parser = make_parser("train.py")
    flags = [flag for action in parser._actions for flag in action.option_strings]
    texts = {flag[2:] for flag in flags if flag.startswith("--")}
    (here / "run.toml").write_text("none-such-thing-at-all = 1", encoding="utf-8")
    with pytest.raises(SystemExit):
        cli.main(["--config", "run.toml"])
    named = capsys.readouterr().err.split("the keys are ")[1].strip().split(", ")
    assert set(named) == texts - {"help", "version", "config", "parallel"}


def test_runs_are_numbered_and_never_overwritten(bars, here):
    for _ in range(3):
        assert cli.main(["--dataset", bars, "--epochs", "1", "--optimizer", "SGD"]) == 0
    assert sorted(os.listdir("runs")) == ["bars-sgd-1", "bars-sgd-2", "bars-sgd-3"]
    assert cli.main(["--dataset", bars, "--epochs", "1", "--out", "runs/bars-sgd-9"]) == 0
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert cli.main(["--dataset", bars, "--epochs", "1", "--out", "runs/bars-sgd-2"]) == 4
    assert cli.main(["--dataset", bars, "--epochs", "1", "--optimizer", "sgd"]) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(os.listdir("runs"))[3:] == ["bars-sgd-4", "bars-sgd-9"]


def test_a_run_leaves_its_files_and_no_other(bars):
    assert cli.main(["--dataset", bars, "--epochs", "3", "--out", "deep/er/new"]) == 0
    assert files_in("deep/er/new") == FILES
    found = results("deep/er/new")
    assert {
        "dataset",
        "optimizer",
        "test_accuracy",
        "test_loss",
        "epochs",
        "steps",
        "seconds",
        "samples_per_second",
        "parameters",
        "seed",
    } <= set(found)
    assert (found["epochs"], found["steps"], found["parameters"]) == (3, 12, 2504)
    config = json.loads(Path("deep/er/new/config.json").read_text(encoding="utf-8"))
    assert config["scratchnet"] == scratchnet.__version__
    assert config["data"]["sha256"] == load(bars).digest
    assert config["environment"]["numpy"] == np.__version__
    assert len(config["environment"]["blas"]) <= 1
    with open("deep/er/new/history.csv", newline="", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["bars.npz", "./x/bars.npz", "."])
def test_the_run_of_a_data_set_by_path_is_kept_in_runs_too(name, bars, here, monkeypatch):
    data = load(bars)
    (here / "x").mkdir()
    if name == ".":
        monkeypatch.chdir(shutil.copytree(bars, here / "copy"))
    else:
        arrays = {"x_train": data.train.x, "x_test": data.test.x}
        np.savez(here / name, **arrays, t_train=data.train.t, t_test=data.test.t)
    assert cli.main(["--dataset", name, "--epochs", "1", "-q"]) == 0
    assert os.listdir("runs") == ["data-adam-1" if name == "." else "bars-adam-1"]


def test_paths_with_spaces_unicode_and_line_ends_work_and_are_shown_on_one_line(bars, capsys):
    assert cli.main(["--dataset", bars, "--epochs", "1", "-q", "--out", "ein ü 数"]) == 0
    assert capsys.readouterr().out.endswith("; see ein ü 数/report.html\n")
    assert cli.main(["--dataset", bars, "--epochs", "1", "-q", "--out", "a\nb"]) == 0
    assert capsys.readouterr().out.endswith("; see 'a\\nb/report.html'\n")
    assert files_in("a\nb") == files_in("ein ü 数") == FILES


def test_a_name_that_the_terminal_cannot_spell_is_escaped(bars):
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    out, err = train("--dataset", bars, "--epochs", "1", "-q", "--out", "ü", env=env)
    assert out.endswith("; see \\xfc/report.html\n")
    assert err == ""
    raw = os.fsdecode(b"\xff")
    out, _ = train("--dataset", bars, "--epochs", "1", "-q", "--out", raw)
    assert out.endswith("; see '\\udcff/report.html'\n")


# Help


def test_help_has_groups_defaults_choices_and_exit_codes(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for group in ("data", "network", "optimizer", "training", "output"):
        assert f"\n{group}:\n" in text
    plain = " ".join(text.split())
    for words in (
        ", ".join(OPTIMIZERS),
        "passes over the training samples (default: 20)",
        "(default: digits)",
        "(default: the optimizer's own)",
        "0 done, 2 usage, 3 bad data, 4 cannot write, 5 diverged, 6 network, 130 Ctrl-C",
    ):
        assert words in plain
    assert "None" not in text
    assert "False" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_every_flag_has_a_help_text():
    for action in make_parser("x")._actions:
        assert action.help
        assert not action.help.endswith(".")


def test_version_is_the_package_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"scratchnet {scratchnet.__version__}\n"


@pytest.mark.parametrize(
    "code",
    [
        "import scratchnet",
        "import sys; sys.argv[1:] = ['--help']\n"
        "try: from scratchnet.cli import main; main()\nexcept SystemExit: pass",
    ],
    ids=["import", "help"],
)
def test_slow_packages_are_imported_only_when_they_are_needed(code):
    slow = ["sklearn", "scipy", "tqdm", "threadpoolctl", "urllib.request", "http.client"]
    code += f"\nimport sys; sys.stderr.write(' '.join(n for n in {slow} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
