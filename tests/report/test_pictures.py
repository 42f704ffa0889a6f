"""`--surface` and `--find-lr`: tables, files and pages of what is not a run."""

import csv
import json
import os
import re
from pathlib import Path

import pytest
from browser import Opened, needs_chromium

from scratchnet import MultiLayerNet, cli
from scratchnet.data import load
from scratchnet.inspection.lr_finder import find_lr
from scratchnet.inspection.surfaces import SURFACES, trace, tuned_rate
from scratchnet.optimizers import OPTIMIZERS, Adam, Momentum
from scratchnet.report.surface import surface_rows

pytestmark = pytest.mark.usefixtures("here")


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_surface_is_drawn_without_any_data(capsys, monkeypatch):
    monkeypatch.setattr(
        "scratchnet.cli.setup.load", lambda *_, **__: pytest.fail("no data are needed")
    )
    argv = ["--surface", "rosenbrock", "--optimizer", "sgd", "momentum", "adam"]
    assert cli.main([*argv, "--out", "new"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rosenbrock from (-2, 2), 200 steps"
    assert [line.split()[0] for line in lines[2:5]] == ["sgd", "momentum", "adam"]
    assert lines[-1] == "see new/report.html"
    assert set(os.listdir("new")) == {
        ".lock",
        "config.json",
        "paths.csv",
        "report.html",
        "results.json",
    }
    found = read("new/results.json")
    for line, row in zip(lines[2:5], found["optimizers"], strict=True):
        assert f"{row['lr']:g}" in line
        assert f"{row['f']:.4g}" in line
    for name, digits in (("sgd", 1e-3), ("momentum", 5e-4)):
        (row,) = [row for row in found["optimizers"] if row["optimizer"] == name]
        assert row["lr"] == digits  # the best of a grid of 500 steps, as others found


def test_the_paths_in_the_file_are_those_of_the_library():
    argv = ["--surface", "beale", "--optimizer", "adam", "--lr", "0.2", "--steps", "40"]
    assert cli.main([*argv, "--start=1,1.5", "--out", "new", "--no-report"]) == 0
    path = trace(Adam(0.2), "beale", (1, 1.5), 40)
    found = rows("new/paths.csv")
    assert [(float(r["x"]), float(r["y"])) for r in found] == [tuple(p) for p in path.tolist()]
    assert [int(r["step"]) for r in found] == list(range(41))
    assert float(found[-1]["f"]) == SURFACES["beale"].value(*path[-1])
    assert read("new/results.json")["optimizers"] == surface_rows(
        "beale", {"adam": Adam(0.2)}, start=(1, 1.5), steps=40
    )


def test_the_ellipse_has_the_rates_of_the_book_and_other_starts_are_tuned():
    assert cli.main(["--surface", "ellipse", "--optimizer", "momentum", "--out", "a"]) == 0
    assert read("a/results.json")["optimizers"][0]["lr"] == 0.1
    argv = ["--surface", "ellipse", "--optimizer", "momentum", "--start=3,2", "--out", "b"]
    assert cli.main(argv) == 0
    tuned = tuned_rate(Momentum(), "ellipse", (3, 2))
    assert read("b/results.json")["optimizers"][0]["lr"] == tuned
    argv = ["--surface", "ellipse", "--optimizer", "momentum", "--lr-grid", "0.02,0.03"]
    assert cli.main([*argv, "--out", "c"]) == 0
    assert read("c/results.json")["optimizers"][0]["lr"] in (0.02, 0.03)


def test_every_surface_is_drawn_with_every_optimizer(capsys):
    for name in SURFACES:
        argv = ["--surface", name, "--optimizer", *OPTIMIZERS, "--steps", "5", "--no-report"]
        assert cli.main([*argv, "-q", "--json", "--out", name]) == 0
        seen = json.loads(capsys.readouterr().out)
        assert len(seen["optimizers"]) == len(OPTIMIZERS)
        assert seen == read(f"{name}/results.json")


def test_what_diverges_is_named_with_its_step(capsys):
    argv = ["--surface", "rosenbrock", "--optimizer", "sgd", "--lr", "1", "--out", "new"]
    assert cli.main(argv) == 0
    (row,) = read("new/results.json")["optimizers"]
    assert f"diverged at {row['diverged']}" in capsys.readouterr().out
    assert len(rows("new/paths.csv")) == row["diverged"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--surface", "rosenbrok"], "did you mean 'rosenbrock'"),
        (["--surface", "beale", "--start", "1"], "must be two finite numbers"),
        (["--surface", "beale", "--start", "1,nan"], "must be two finite numbers"),
        (["--surface", "beale", "--start", "5000,1"], "1000"),
        (["--surface", "beale", "--steps", "3000"], "steps must be an integer from 1 to 2000"),
        (["--surface", "beale", "--find-lr"], "keep one of the two"),
        (["--start", "1,2"], "--start is for --surface"),
        (["--steps", "5"], "--steps is for --surface"),
        (["--find-lr", "--optimizer", "lbfgs"], "it needs no range test"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_exit_2(argv, words, capsys):
    try:
        code = cli.main([*argv, "--out", "new"])
    except SystemExit as error:
        code = error.code
    err = capsys.readouterr().err
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert os.listdir(".") == []


@pytest.mark.parametrize("argv", [["--surface", "beale"], ["--find-lr"]])
def test_a_dry_run_of_a_picture_writes_nothing(argv, capsys):
    assert cli.main([*argv, "--dry-run"]) == 0
    assert "nothing was trained or written" in capsys.readouterr().out
    assert os.listdir(".") == []


def test_find_lr_prints_a_curve_and_a_suggestion_for_each_and_keeps_both(capsys):
    argv = ["--find-lr", "--optimizer", "sgd", "adam", "--batch-size", "20", "--seed", "2"]
    assert cli.main([*argv, "--hidden", "20", "--out", "new"]) == 0
    out = capsys.readouterr().out
    found = read("new/results.json")
    data, network = load("digits").train, MultiLayerNet(64, [20], 10, seed=2)
    train, _ = data.split(0.1, 2)
    for name, suggested in found["suggestions"].items():
        again = find_lr(network, train, name, batch_size=20, seed=2)
        assert suggested == again.suggestion
        assert f"{name}: suggested lr {suggested:.3g}" in out
        kept = [r for r in rows("new/rates.csv") if r["optimizer"] == name]
        assert [float(r["lr"]) for r in kept] == list(again.rates)
        assert [float(r["smoothed"]) for r in kept] == list(again.smoothed)
    assert out.endswith("see new/report.html\n")


def test_a_quiet_search_is_its_suggestion(capsys):
    assert cli.main(["--find-lr", "-q", "--no-report", "--out", "new"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"adam: suggested lr 0\.\d+", first)
    assert last == "see new"


@needs_chromium
def test_the_page_of_a_search_is_drawn(chromium):
    assert cli.main(["--find-lr", "--optimizer", "sgd", "adam", "-q", "--out", "new"]) == 0
    for width, scheme in ((390, "dark"), (1280, "light")):
        opened = Opened(chromium, Path("new/report.html"), width, scheme)
        opened.require_drawn()
        opened.require_clean()
        text = opened.page.inner_text("#suggestions")
        for suggested in read("new/results.json")["suggestions"].values():
            assert f"{suggested:.3g}" in text
        opened.context.close()


@pytest.mark.parametrize(
    ("argv", "flags"),
    [
        (["--surface", "beale", "--epochs", "3", "--seeds", "2"], "--epochs, --seeds"),
        (["--find-lr", "--patience", "3", "--lr", "0.1"], "--lr, --patience"),
        (["--jobs", "2", "--target", "0.9", "--epochs", "1"], "--jobs, --target"),
    ],
)
def test_flags_that_have_no_part_in_it_are_named(argv, flags, capsys):
    assert cli.main([*argv, "--out", "new", "--no-report"]) == 0
    assert f"note: {flags} has no effect on " in capsys.readouterr().err


def test_a_surface_asked_for_too_many_steps_is_refused_before_anything_is_tuned(capsys):
    assert cli.main(["--surface", "rosenbrock", "--steps", "100000000"]) == 2
    assert "steps must be an integer from 1 to 2000" in capsys.readouterr().err


def test_a_search_that_fails_leaves_no_folder():
    assert cli.main(["--find-lr", "--input-noise", "1e30", "--out", "new"]) == 5
    assert os.listdir(".") == []
