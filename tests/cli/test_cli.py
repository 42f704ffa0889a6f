import csv
import fcntl
import gzip
import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchnet
from scratchnet import MultiLayerNet, Trainer, cli, environment, load
from scratchnet.cli import screen
from scratchnet.cli.arguments import make_parser, program
from scratchnet.data.idx import header
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.storage.checkpoint import Checkpoints, load_weights

ROOT = Path(__file__).parents[2]
TRAIN_PY = ROOT / "train.py"
UNFINISHED = ["config.json", "history.csv", "history.json", "layers.csv", "steps.csv"]
FILES = sorted([*UNFINISHED, "report.html", "results.json", "weights.npz"])
CHECKPOINTS = re.compile(r"checkpoint-(\d{8}|best)\.npz")


def files_in(folder: str) -> list[str]:
    """What a run left in its folder, apart from its lock and its checkpoints, at most three."""
    names = sorted(os.listdir(folder))
    assert names.pop(0) == ".lock"
    checkpoints = [name for name in names if CHECKPOINTS.fullmatch(name)]
    assert 1 <= len(checkpoints) <= 3
    return [name for name in names if name not in checkpoints]


EPOCH = re.compile(
    r"epoch +\d+/\d+  loss \d+\.\d{4}  accuracy [01]\.\d{4}"
    r"  val_loss \d+\.\d{4}  val_accuracy [01]\.\d{4}  \d+\.\d{3} s"
)
SPARK = re.compile(EPOCH.pattern + "  ([▁▂▃▄▅▆▇█]+)")
RESULT = re.compile(
    r"test accuracy [01]\.\d{4}, loss \d+\.\d{4} after \d+ epochs? in \d+\.\d\d s; see (.+)"
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder of four IDX files that a network learns at once: a bright row for each class."""
    folder = tmp_path_factory.mktemp("data") / "bars"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in {"train": 400, "t10k": 80}.items():
        labels = (np.arange(n) % 4).astype(np.uint8)
        images = rng.integers(0, 80, (n, 4, 5), dtype=np.uint8)
        images[np.arange(n), labels] += 120
        for name, array in {"images-idx3": images, "labels-idx1": labels}.items():
            content = header(array.shape) + array.tobytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    return str(folder)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    for name in ("SCRATCHNET_DATA", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def start(*argv: str, options: Sequence[str] = (), **how: Any) -> subprocess.Popen[str]:
    """Start `python train.py ...` with its output in pipes, if not told otherwise."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | how
    return subprocess.Popen([sys.executable, *options, str(TRAIN_PY), *argv], **how)


def train(*argv: str, **how: Any) -> tuple[str, str]:
    """What a run that must succeed prints on stdout and stderr."""
    process = start(*argv, **how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, err


def weights(folder: str | Path) -> dict[str, bytes]:
    with np.load(Path(folder) / "weights.npz") as members:
        return {name: members[name].tobytes() for name in members.files}


def results(folder: str | Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text("utf-8"))
    return content


# What is printed


def test_into_a_pipe_go_a_header_a_plain_line_for_each_epoch_and_the_result(small):
    out, err = train("--dataset", small, "--epochs", "12", "--hidden", "8,6")
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == f"data       {small}: 360 train, 40 validation, 80 test; 4x5, 4 classes"
    assert lines[1] == "network    20-8-6-4 relu, 250 parameters, float32"
    assert lines[2] == (
        "optimizer  Adam(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-08), batch 100, seed 0"
    )
    assert re.fullmatch(
        r"machine    Python 3\S+, NumPy \S+(, \S+ \S+ \(\S+, 1 thread\))?", lines[3]
    )
    assert len(lines) == 4 + 12 + 1
    for n, line in enumerate(lines[4:-1], 1):
        assert EPOCH.fullmatch(line)
        assert line.startswith(f"epoch {n:>2}/12 ")
    found = RESULT.fullmatch(lines[-1])
    assert found is not None
    assert found[1] == "runs/bars-adam-1/report.html"
    assert "\x1b" not in out
    assert "\r" not in out


def test_the_result_says_what_is_in_results_json(small):
    out, _ = train("--dataset", small, "--epochs", "1", "-q", "--optimizer", "sgd", "--lr", "0.5")
    found = results("runs/bars-sgd-1")
    assert out == (
        f"test accuracy {found['test_accuracy']:.4f}, loss {found['test_loss']:.4f} after 1 epoch "
        f"in {found['seconds']:.2f} s; see runs/bars-sgd-1/report.html\n"
    )


def test_json_on_stdout_is_one_document_equal_to_results_json(small):
    out, err = train("--dataset", small, "--epochs", "2", "--json")
    assert out == Path("runs/bars-adam-1/results.json").read_text(encoding="utf-8")
    assert json.loads(out)["epochs"] == 2
    assert err.startswith("data  ")
    assert err.count("\nepoch ") == 2


def test_json_and_quiet_leave_the_result_on_stderr_only(small, capsys):
    assert cli.main(["--dataset", small, "--epochs", "2", "--json", "-q"]) == 0
    seen = capsys.readouterr()
    json.loads(seen.out)
    assert RESULT.fullmatch(seen.err.strip())


def test_verbose_adds_the_layers(small, capsys):
    assert cli.main(["--dataset", small, "--epochs", "1", "-v", "--hidden", "7"]) == 0
    out = capsys.readouterr().out
    assert "1 Affine(20, 7)  (N, 7)               147" in out
    assert "Total: 179 parameters, float32" in out


def test_early_stopping_names_the_epoch_whose_weights_are_kept(small, capsys):
    argv = ["--dataset", small, "--epochs", "200", "--patience", "2", "--lr", "0.5"]
    assert cli.main([*argv, "--out", "new"]) == 0
    found = results("new")
    rows = json.loads(Path("new/history.json").read_text(encoding="utf-8"))
    assert len(rows) == found["epochs"] == found["kept_epoch"] + 2 < 200
    kept = rows[found["kept_epoch"] - 1]
    assert kept["val_loss"] == min(row["val_loss"] for row in rows) == found["val_loss"]
    assert kept["val_accuracy"] == found["val_accuracy"]
    assert f"with the weights of epoch {found['kept_epoch']}; see new" in capsys.readouterr().out
    network = load_weights("new/weights.npz")
    kept_part = load(small).train.split(0.1, 0)[1]
    assert Trainer(network, kept_part).evaluate(kept_part)[0] == kept["val_loss"]


def test_a_validation_share_of_0_has_neither_columns_nor_values_of_it(small, capsys):
    assert cli.main(["--dataset", small, "--epochs", "1", "--val-split", "0", "--out", "new"]) == 0
    out = capsys.readouterr().out
    assert "400 train, 80 test" in out
    assert "val" not in out
    assert results("new")["val_loss"] is None


def test_without_a_command_line_the_digits_are_learned(capsys):
    assert cli.main([]) == 0
    assert results("runs/digits-adam-1")["test_accuracy"] > 0.95
    assert (
        "digits: 1,293 train, 144 validation, 360 test; 8x8, 10 classes" in capsys.readouterr().out
    )


# Terminals


def on_a_terminal(
    *argv: str, columns: int = 100, term: str = "xterm", stdout: int | None = None
) -> tuple[str, str]:
    """Train with stderr, and stdout if not told otherwise, on a pseudo-terminal: what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = os.environ | {"TERM": term}
    process = start(
        *argv, stdout=theirs if stdout is None else stdout, stderr=theirs, text=False, env=env
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other side has closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    out = process.communicate(timeout=60)[0] or b""
    assert process.returncode == 0, shown
    return out.decode(), shown.decode()


def test_on_a_terminal_there_is_a_bar_and_the_lines_stay_whole(small):
    _, shown = on_a_terminal("--dataset", small, "--epochs", "3")
    assert re.search(r"0%\|.*\| 0/12 \[", shown)
    assert re.search(r"\| 4/12 \[.*loss=\d\.\d{4}", shown)
    remains = [line.split("\r")[-1] for line in shown.split("\r\n")]
    assert len(remains) == 4 + 3 + 1 + 1
    assert remains[0].startswith("data  ")
    assert [len(SPARK.fullmatch(line)[1]) for line in remains[4:7]] == [1, 2, 3]
    assert RESULT.fullmatch(remains[7])
    assert remains[8] == ""


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_sparkline_is_drawn_only_where_the_terminal_can(term, monkeypatch):
    monkeypatch.setenv("TERM", term)
    for encoding, able in (("utf-8", term == "xterm"), ("ascii", False), ("latin-1", False)):
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        assert screen.can_draw(file) is False  # no terminal
        monkeypatch.setattr(file, "isatty", lambda: True, raising=False)
        assert screen.can_draw(file) is able


def test_a_sparkline_goes_from_the_lowest_to_the_highest_value():
    assert screen.sparkline([3.0, 2.0, 1.5, 1.0]) == "█▅▃▁"
    assert screen.sparkline([0.0, 7.0, 3.5]) == "▁█▅"
    assert screen.sparkline([2.0, 2.0]) == "▁▁"


def test_the_bar_does_not_change_what_is_trained(small, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    argv = ["--dataset", small, "--epochs", "2", "--out"]
    assert cli.main([*argv, "without"]) == 0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main([*argv, "with"]) == 0
    assert "0/8 [" in capsys.readouterr().err
    assert weights("with") == weights("without")


def test_the_bar_goes_to_stderr_and_stdout_stays_plain(small):
    out, shown = on_a_terminal("--dataset", small, "--epochs", "3", stdout=subprocess.PIPE)
    assert re.search(r"0%\|.*\| 0/12 \[", shown)
    assert "accuracy" not in shown
    lines = out.splitlines()
    assert len(lines) == 4 + 3 + 1
    assert "\r" not in out
    assert "\x1b" not in out


def test_on_a_narrow_terminal_the_bar_is_narrow_and_the_lines_stay_whole(small):
    _, shown = on_a_terminal("--dataset", small, "--epochs", "3", columns=30)
    parts = [part for line in shown.splitlines() for part in line.split("\r")]
    bars = [part for part in parts if "|" in part]
    assert bars
    assert max(map(len, bars)) <= 30
    assert len([part for part in parts if SPARK.fullmatch(part)]) == 3


@pytest.mark.parametrize("argv", [["-q"], []], ids=["quiet", "dumb"])
def test_a_dumb_terminal_and_quiet_mean_no_bar(argv, small):
    term = "xterm" if argv else "dumb"
    _, shown = on_a_terminal("--dataset", small, "--epochs", "2", *argv, term=term)
    assert "%|" not in shown
    assert "\x1b" not in shown
    assert "\r" not in shown.replace("\r\n", "\n")
    assert len(shown.splitlines()) == (1 if argv else 4 + 2 + 1)


@pytest.mark.parametrize("n", [1, 3])
def test_a_reader_that_goes_away_ends_the_run_without_a_traceback(n, small):
    process = start("--dataset", small, "--epochs", "3000")
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline() for _ in range(n)]
    process.stdout.close()
    assert lines[0].startswith("data  ")
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_head_of_the_output_through_a_shell_is_three_lines(small):
    command = f"'{sys.executable}' '{TRAIN_PY}' --dataset '{small}' | head -3"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("closing", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), (">/dev/full", 4)]
)
@pytest.mark.parametrize("json_flag", ["", "--json"])
def test_a_closed_or_full_output_is_no_crash(closing, code, json_flag, small):
    command = (
        f"'{sys.executable}' '{TRAIN_PY}' --dataset '{small}' --epochs 1 {json_flag} {closing}"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == code
    errors = [line for line in done.stderr.splitlines() if line.startswith("train.py: error")]
    assert len(errors) == (1 if code else 0)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if closing == "2>&-" and json_flag:
        json.loads(done.stdout)


@pytest.mark.parametrize("end", [">/dev/full", ">&-", "| true"])
def test_help_that_nobody_can_read_is_no_crash(end):
    command = f"'{sys.executable}' '{TRAIN_PY}' --help {end}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


# Dry runs, config files, folders


def test_a_dry_run_shows_the_plan_and_writes_nothing(small, here, capsys):
    assert cli.main(["--dataset", small, "--dry-run"]) == 0
    assert cli.main(["--dataset", small, "--dry-run", "--out", "new"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("data  ")
    assert lines[4] == "dry run    nothing was trained or written"
    assert os.listdir(here) == []


def test_a_config_file_sets_the_defaults_and_the_command_line_wins(small, here):
    (here / "run.toml").write_text(
        f"dataset = '{small}'\nepochs = 2\nhidden = [5, 4]\nbatch_size = 50\nlr = 1e-2\n"
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


def test_a_config_file_means_what_the_same_flags_mean(small, here):
    (here / "run.toml").write_text("epochs = 2\nseed = 3\nactivation = 'tanh'\n", encoding="utf-8")
    cli.main(["--dataset", small, "--config", "run.toml", "--out", "a"])
    cli.main(
        ["--dataset", small, "--epochs", "2", "--seed", "3", "--activation", "tanh", "--out", "b"]
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


def test_runs_are_numbered_and_never_overwritten(small, here):
    for _ in range(3):
        assert cli.main(["--dataset", small, "--epochs", "1", "--optimizer", "SGD"]) == 0
    assert sorted(os.listdir("runs")) == ["bars-sgd-1", "bars-sgd-2", "bars-sgd-3"]
    assert cli.main(["--dataset", small, "--epochs", "1", "--out", "runs/bars-sgd-9"]) == 0
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert cli.main(["--dataset", small, "--epochs", "1", "--out", "runs/bars-sgd-2"]) == 4
    assert cli.main(["--dataset", small, "--epochs", "1", "--optimizer", "sgd"]) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(os.listdir("runs"))[3:] == ["bars-sgd-4", "bars-sgd-9"]


def test_a_run_leaves_its_files_and_no_other(small):
    assert cli.main(["--dataset", small, "--epochs", "3", "--out", "deep/er/new"]) == 0
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
    assert config["data"]["sha256"] == load(small).digest
    assert config["environment"]["numpy"] == np.__version__
    assert len(config["environment"]["blas"]) <= 1
    with open("deep/er/new/history.csv", newline="", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["bars.npz", "./x/bars.npz", "."])
def test_the_run_of_a_data_set_by_path_is_kept_in_runs_too(name, small, here, monkeypatch):
    data = load(small)
    (here / "x").mkdir()
    if name == ".":
        monkeypatch.chdir(shutil.copytree(small, here / "copy"))
    else:
        arrays = {"x_train": data.train.x, "x_test": data.test.x}
        np.savez(here / name, **arrays, t_train=data.train.t, t_test=data.test.t)
    assert cli.main(["--dataset", name, "--epochs", "1", "-q"]) == 0
    assert os.listdir("runs") == ["data-adam-1" if name == "." else "bars-adam-1"]


def test_paths_with_spaces_unicode_and_line_ends_work_and_are_shown_on_one_line(small, capsys):
    assert cli.main(["--dataset", small, "--epochs", "1", "-q", "--out", "ein ü 数"]) == 0
    assert capsys.readouterr().out.endswith("; see ein ü 数/report.html\n")
    assert cli.main(["--dataset", small, "--epochs", "1", "-q", "--out", "a\nb"]) == 0
    assert capsys.readouterr().out.endswith("; see 'a\\nb/report.html'\n")
    assert files_in("a\nb") == files_in("ein ü 数") == FILES


def test_a_name_that_the_terminal_cannot_spell_is_escaped(small):
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    out, err = train("--dataset", small, "--epochs", "1", "-q", "--out", "ü", env=env)
    assert out.endswith("; see \\xfc/report.html\n")
    assert err == ""
    raw = os.fsdecode(b"\xff")
    out, _ = train("--dataset", small, "--epochs", "1", "-q", "--out", raw)
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


# Interrupts


def read_until_epoch(process: subprocess.Popen[str], number: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.split()[1].startswith(f"{number}/"):
            return
    raise AssertionError("the run ended before that epoch")


def test_ctrl_c_is_one_line_exit_130_and_the_history_is_whole(small):
    process = start("--dataset", small, "--epochs", "1000000", "--out", "new")
    read_until_epoch(process, 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"train\.py: interrupted after step \d+; go on with --resume new\n", err)
    rows = json.loads(Path("new/history.json").read_text(encoding="utf-8"))
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 3
    with open("new/history.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) in {len(rows), len(rows) + 1}
    assert files_in("new") == UNFINISHED


@pytest.mark.parametrize(
    ("out", "shown"),
    [
        ("ein ü 数", "'ein ü 数'"),
        ("a\nb", "'a\\nb'"),
        ("it's", "'it'\"'\"'s'"),
        ("-x", "./-x"),
        ("deep/er", "deep/er"),
    ],
)
def test_the_line_of_an_interrupt_can_be_typed_again(out, shown, small, monkeypatch, capsys):
    interrupt_at(monkeypatch, 5)
    assert cli.main(["--dataset", small, f"--out={out}", "-q"]) == 130
    line = f"train.py: interrupted after step 5; go on with --resume {shown}\n"
    assert capsys.readouterr().err == line
    if "\n" not in out:
        (again,) = shlex.split(shown)
        assert cli.main(["--resume", again, "-q", "--dry-run"]) == 0


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let Ctrl-C come while a training run makes that step; once."""
    save = Trainer.step

    def stepping(self: Trainer, *batch: np.ndarray | None) -> tuple[float, int]:
        if self.steps == step - 1 and not sent:
            sent.append(step)
            os.kill(os.getpid(), signal.SIGINT)
        return save(self, *batch)

    sent: list[int] = []
    monkeypatch.setattr(Trainer, "step", stepping)


def begin(small: str, monkeypatch: pytest.MonkeyPatch, *argv: str) -> None:
    """A run in `new` of 3 epochs of 4 steps, broken off after step 5."""
    interrupt_at(monkeypatch, 5)
    assert cli.main(["--dataset", small, "--epochs", "3", "--out", "new", "-q", *argv]) == 130


def test_a_run_that_is_gone_on_with_says_from_where(small, monkeypatch, capsys):
    begin(small, monkeypatch)
    capsys.readouterr()
    assert cli.main(["--resume", "new"]) == 0
    seen = capsys.readouterr()
    lines = seen.out.splitlines()
    assert lines[4] == "resume     new after step 5, 1 of 3 epochs"
    assert [line.split()[1] for line in lines[5:-1]] == ["2/3", "3/3"]
    assert RESULT.fullmatch(lines[-1])
    assert seen.err == ""


def test_a_dry_run_of_going_on_changes_nothing(small, here, monkeypatch, capsys):
    begin(small, monkeypatch)
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert cli.main(["--resume", "new", "--dry-run", "--epochs", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[4:] == [
        "resume     new after step 5, 1 of 9 epochs",
        "dry run    nothing was trained or written",
    ]
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_on_a_terminal_the_bar_goes_on_where_the_run_had_ended(small, monkeypatch):
    begin(small, monkeypatch)
    _, shown = on_a_terminal("--resume", "new")
    assert re.search(r"42%\|.*\| 5/12 \[", shown)
    assert "0/12" not in shown


def test_going_on_keeps_every_argument_and_writes_down_what_is_other(small, monkeypatch):
    options = ["--hidden", "7", "--lr", "0.01", "--l2", "0.001", "--activation", "tanh"]
    options += ["--patience", "50", "--save-every", "2", "--initializer", "0.1"]
    begin(small, monkeypatch, *options, "--optimizer", "lookahead", "--set", "k=3")
    before = json.loads(Path("new/config.json").read_text(encoding="utf-8"))
    argv = ["--resume", "new", "--out", "./new/", "--epochs", "5", "--patience", "60", "--json"]
    assert cli.main([*argv, "--data-dir", "."]) == 0
    after = json.loads(Path("new/config.json").read_text(encoding="utf-8"))
    other = {"epochs", "patience", "data_dir", "resume", "json", "quiet"}
    assert {name for name, v in after["arguments"].items() if before["arguments"][name] != v} == (
        other
    )
    assert after["arguments"]["out"] == "new"
    assert (after["optimizer"], after["data"]) == (before["optimizer"], before["data"])
    assert results("new")["epochs"] == 5


def test_results_of_an_earlier_end_are_not_taken_for_those_of_a_later_one(small, monkeypatch):
    assert cli.main(["--dataset", small, "--epochs", "2", "--out", "new", "-q"]) == 0
    evaluate = Trainer.evaluate

    def interrupt(self: Trainer, samples: Any) -> tuple[float, float]:
        if self.epochs == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, samples)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", interrupt)
        assert cli.main(["--resume", "new", "--epochs", "4", "-q"]) == 130
    latest = Checkpoints(Path("new")).latest()[1]
    assert (results("new")["epochs"], latest["trainer"]["epochs"]) == (2, 3)
    assert cli.main(["--resume", "new", "--epochs", "3", "-q"]) == 0
    assert (results("new")["epochs"], results("new")["steps"]) == (3, 12)
    one = load_weights("new/weights.npz").vector.tobytes()
    assert cli.main(["--dataset", small, "--epochs", "3", "--out", "whole", "-q"]) == 0
    assert load_weights("whole/weights.npz").vector.tobytes() == one


def test_a_value_in_a_config_file_is_as_good_as_typed_when_going_on(small, monkeypatch, capsys):
    Path("run.toml").write_text("epochs = 3\nhidden = [8]\nout = 'new'\n", encoding="utf-8")
    interrupt_at(monkeypatch, 5)
    argv = ["--dataset", small, "--config", "run.toml", "-q"]
    assert cli.main(argv) == 130
    assert cli.main([*argv, "--resume", "new"]) == 0
    assert results("new")["epochs"] == 3
    Path("go.toml").write_text("resume = 'new'\nepochs = 4\n", encoding="utf-8")
    assert cli.main(["--config", "go.toml", "-q"]) == 0
    assert results("new")["epochs"] == 4


def test_ctrl_c_before_training_is_one_line_and_leaves_nothing(here, monkeypatch, capsys):
    def interrupt(*args: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("scratchnet.cli.entry.load", interrupt)
    # A shell lets what it starts in the background ignore Ctrl-C, this test perhaps among it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert cli.main(["--out", "new"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "train.py: interrupted\n"
    assert os.listdir(here) == []


def test_ctrl_c_while_the_results_are_written_lets_them_be_written(small, monkeypatch):
    evaluate = Trainer.evaluate

    def slow(self: Trainer, samples: Any) -> tuple[float, float]:
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, samples)

    argv = ["--dataset", small, "--epochs", "1", "--val-split", "0", "-q", "--out", "new"]
    monkeypatch.setattr(Trainer, "evaluate", slow)
    assert cli.main(argv) == 0
    assert files_in("new") == FILES


def test_a_request_to_end_is_143_for_the_shell_and_the_history_is_kept(small):
    process = start("--dataset", small, "--epochs", "1000000", "--out", "new")
    read_until_epoch(process, 3)
    time.sleep(0.1)
    process.terminate()
    assert process.stdout is not None
    rest = process.stdout.read().splitlines()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert re.fullmatch(r"train\.py: interrupted after step \d+; go on with --resume new\n", err)
    with open("new/history.csv", newline="", encoding="utf-8") as file:
        rows = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert rows == list(range(1, len(rows) + 1))
    # Every line was printed at once, none waited in a buffer.
    assert 3 + len(rest) >= rows[-1] - 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            FileNotFoundError(2, "No such file", "x"),
            4,
            "[Errno 2] No such file: 'x'; --debug shows where",
        ),
        (BrokenPipeError(32, "Broken pipe"), 141, None),
        (KeyboardInterrupt(), 130, None),
        (MemoryError(), 2, "out of memory: there is no more; choose smaller layers or batches"),
    ],
)
def test_what_goes_wrong_while_loading_is_a_line_too(error, code, line, monkeypatch, capsys):
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("scratchnet.cli.entry.load", fail)
    assert cli.main([]) == code
    err = capsys.readouterr().err
    interrupted = "train.py: interrupted\n" if code == 130 else ""
    assert err == (f"train.py: error: {line}\n" if line else interrupted)


def test_a_bug_is_the_only_error_with_a_traceback_and_exit_1(monkeypatch):
    monkeypatch.setattr("scratchnet.cli.entry.load", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_debug_shows_the_traceback_and_still_the_line(capsys):
    assert cli.main(["--dataset", "./none", "--debug"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("train.py: error: cannot read './none'")


# The same numbers everywhere

RUN = ["--hidden", "12,9", "--optimizer", "momentum", "--epochs", "3", "--batch-size", "48"]


@pytest.fixture
def reference(small):
    cli.main(["--dataset", small, *RUN, "--seed", "5", "-q", "--out", "reference"])
    return weights("reference")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(small, reference):
    for seed, out in {"5": "same", "6": "other"}.items():
        assert cli.main(["--dataset", small, *RUN, "--seed", seed, "--out", out]) == 0
    assert weights("same") == reference
    other = weights("other")
    assert all(other[name] != reference[name] for name in reference)
    for name in ("test_loss", "test_accuracy", "val_loss", "steps"):
        assert results("same")[name] == results("reference")[name]
    assert results("other")["test_loss"] != results("reference")["test_loss"]


SURROUNDINGS: dict[str, tuple[list[str], dict[str, str]]] = {
    "python -O": (["-O"], {}),
    "warnings are errors": (["-W", "error"], {}),
    "another hash seed": ([], {"PYTHONHASHSEED": "77"}),
    "another locale": ([], {"LC_ALL": "de_DE.ISO-8859-1", "LANG": "C", "PYTHONUTF8": "0"}),
    "no coercion": ([], {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    "more BLAS threads": ([], {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_do_not_change_a_bit(name, small, here, reference):
    options, env = SURROUNDINGS[name]
    (here / "anders wo ü").mkdir()
    argv = ["--dataset", small, *RUN, "--seed", "5", "--out", str(here / "new")]
    _, err = train(*argv, options=options, env=os.environ | env, cwd=here / "anders wo ü")
    assert err == ""
    assert weights("new") == reference
    assert os.listdir(here / "anders wo ü") == []


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_library_gives_the_weights_of_the_command_line_to_the_bit(optimizer, dtype, small):
    argv = ["--optimizer", optimizer, "--dtype", dtype, "--seed", "3", "--l2", "0.001"]
    assert cli.main(["--dataset", small, "--hidden", "12,9", *argv, "--epochs", "2", "-q"]) == 0

    dataset = load(small)
    network = MultiLayerNet(20, [12, 9], 4, weight_decay=0.001, seed=3, dtype=dtype)
    train, validation = dataset.train.split(0.1, 3)
    trainer = Trainer(network, train, validation, optimizer=optimizer, seed=3)
    with environment.limit_threads(1):
        epochs = list(trainer.run(2))
        loss, accuracy = trainer.evaluate(dataset.test)

    found = results(f"runs/bars-{optimizer}-1")
    saved = load_weights(f"runs/bars-{optimizer}-1/weights.npz")
    assert saved.vector.tobytes() == network.vector.tobytes()
    assert (found["test_loss"], found["test_accuracy"]) == (loss, accuracy)
    assert found["val_loss"] == epochs[-1].val_loss


def test_the_library_run_of_the_digits_is_the_one_of_a_real_process():
    train("--dataset", "digits", "--epochs", "2", "--hidden", "50,20", "--out", "new")
    dataset = load("digits")
    network = MultiLayerNet(64, [50, 20], 10)
    kept, held = dataset.train.split(0.1, 0)
    list(Trainer(network, kept, held).run(2))
    assert load_weights("new/weights.npz").vector.tobytes() == network.vector.tobytes()


def test_threads_beyond_the_processors_are_not_asked_for():
    with environment.limit_threads(10**30):
        assert all(pool["threads"] <= (os.cpu_count() or 1) for pool in blas())
    with environment.limit_threads(1):
        assert all(pool["threads"] == 1 for pool in blas())
    with environment.limit_threads(None):
        pass


def blas() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = environment.describe()["blas"]
    return found


def test_only_the_blas_of_numpy_is_named():
    import scipy.linalg  # which brings one of its own  # noqa: F401

    environment._controller.cache_clear()
    assert len(blas()) <= 1


def test_free_memory_is_a_number_or_unknown(monkeypatch):
    free = environment.available_memory()
    assert free is None or free > 2**20

    def refuse(*args: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("scratchnet.environment.open", refuse, raising=False)
    assert environment.available_memory() is None


def test_the_program_is_called_what_the_user_called(monkeypatch):
    for argv0, name in {
        "/x/y/train.py": "train.py",
        "C:\\bin\\scratchnet": "scratchnet",
        "/x/__main__.py": "scratchnet",
        "-c": "scratchnet",
        "": "scratchnet",
    }.items():
        monkeypatch.setattr(sys, "argv", [argv0])
        assert program() == name
