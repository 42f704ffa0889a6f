"""`scratchnet doctor`: the flags of a run, or its folder; text, files and a page."""

import json

import pytest

from scratchnet import loops
from scratchnet.cli.entry import main
from scratchnet.diagnosis import examine

FEW = ["--epochs", "3", "--seed", "0"]


def run(words, capsys):
    status = main(words)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_flags_of_a_run_are_diagnosed(tmp_path, capsys):
    status, out, _ = run(["doctor", "--optimizer", "sgd", "--lr", "1000", *FEW], capsys)
    assert status == 0
    assert "\nrate too high\n  seen " in out
    assert "  flags     --lr " in out
    folder = tmp_path / "runs" / "digits-doctor-1"
    assert out.splitlines()[-1] == "see runs/digits-doctor-1/report.html"
    results = json.loads((folder / "results.json").read_text())
    assert results["findings"][0]["name"] == "rate too high"
    experiments = (folder / "experiments.csv").read_text().splitlines()
    assert experiments[0] == "experiment,skill"
    assert len(experiments) == 1 + len(results["tried"])
    page = (folder / "report.html").read_text()
    assert "Rate too high" in page
    assert " doctor --dataset digits" in page
    assert "--optimizer sgd --lr 1000.0" in page


def test_a_run_is_diagnosed_by_its_folder_and_its_cure_is_a_flag(capsys):
    main(["--optimizer", "sgd", "--lr", "1000", *FEW, "--no-report", "--quiet"])
    status, out, _ = run(["doctor", "runs/digits-sgd-1", "--no-report"], capsys)
    assert status == 0
    assert "rate too high" in out
    flag = next(line.split()[-1] for line in out.splitlines() if line.startswith("  flags"))
    cured = ["doctor", "runs/digits-sgd-1", "--lr", flag, "--epochs", "20", "--quiet"]
    status, out, _ = run([*cured, "--no-report"], capsys)
    assert status == 0
    assert out.startswith("nothing found: ")


def test_json_is_the_results(capsys):
    _, out, err = run(["doctor", "--lr", "1e-7", *FEW, "--json", "--no-report"], capsys)
    assert json.loads(out)["findings"][0]["name"] == "rate too low"
    assert "rate too low" in err


def test_loops_off_counts_and_an_option_without_effect_is_a_note(capsys, monkeypatch):
    seen = []

    def watched(case):
        seen.append(loops.compiled() is None)
        return examine(case)

    monkeypatch.setattr("scratchnet.cli.doctor.examine", watched)
    main(["doctor", "--loops", "off", "--jobs", "2", "--quiet", "--no-report", *FEW])
    assert seen == [True]
    assert "--jobs has no effect" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    status, out, _ = run(["doctor", "--dry-run"], capsys)
    assert status == 0
    assert "nothing was trained or written" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["no-such-folder"], 3, "is no folder of a single run"),
        (["--optimizer", "sgd", "adam"], 2, "doctor looks at one run"),
        (["--surface", "rosenbrock"], 2, "doctor looks at one run"),
        (["--resume", "runs/x"], 2, "give the folder of the run: doctor RUN"),
        (["--train-samples", "4", "--val-split", "0"], 2, "5 training samples at least"),
    ],
)
def test_what_cannot_be_diagnosed_is_one_line(words, status, says, tmp_path, capsys):
    found, _, err = run(["doctor", *words], capsys)
    assert found == status
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert list(tmp_path.iterdir()) == []
