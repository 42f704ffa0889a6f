"""The commands beside training say the same as its flags, and help is short or whole."""

from pathlib import Path

import pytest

from scratchnet import load_network
from scratchnet.cli import main
from scratchnet.cli.commands import COMMANDS, OWN, as_training
from scratchnet.cli.parser import FIRST, flag_of


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("train --epochs 2", "--epochs 2"),
        ("compare sgd adam --seeds 2", "--optimizer sgd adam --seeds 2"),
        ("compare --optimizer sgd adam", "--optimizer sgd adam"),
        ("compare adam --seeds 2", "--optimizer adam --seeds 2"),
        ("find-lr", "--find-lr"),
        ("find-lr sgd adam --epochs 1", "--find-lr --optimizer sgd adam --epochs 1"),
        ("surface beale --steps 5", "--surface beale --steps 5"),
        ("surface beale sgd adam", "--surface beale --optimizer sgd adam"),
        ("--optimizer adam", "--optimizer adam"),
        ("", ""),
    ],
)
def test_a_command_is_short_for_flags(words, same):
    assert as_training(words.split()) == same.split()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("compare", "compare needs two optimizers"),
        ("compare adam", "compare needs two optimizers"),
        ("surface", "surface needs a name first, one of ellipse"),
        ("surface --steps 3", "surface needs a name first"),
        ("surface nowhere", "unknown surface 'nowhere'"),
        ("predct x", "unknown argument 'predct'; did you mean predict?"),
        ("export net.npz --to onx", "did you mean 'onnx'"),
        ("predict", "required: MODEL, FILE"),
        ("report nowhere", "no folder of a run"),
    ],
)
def test_a_command_that_lacks_something_says_so(words, part, here, capsys):
    try:
        code = main(words.split())
    except SystemExit as ended:
        code = ended.code
    assert code in (2, 3)
    said = capsys.readouterr().err
    assert part in said
    assert said.count("\n") == 1
    assert not list(Path().iterdir())


def test_a_command_trains_as_flags_do(here, capsys):
    flags = ["--epochs", "1", "--quiet", "--no-report"]
    assert main(["train", *flags, "--out", "a"]) == 0
    assert main([*flags, "--out", "b"]) == 0
    assert Path("a/weights.npz").read_bytes() == Path("b/weights.npz").read_bytes()
    assert main(["compare", "sgd", "adam", *flags, "--jobs", "1", "--out", "c"]) == 0
    assert Path("c/trials.csv").exists()


def helped(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_short_help_has_what_a_first_user_needs_and_fits_a_screen(capsys):
    text = helped(["-h"], capsys)
    flags = {word for word in text.split() if word.startswith("--")}
    assert {flag_of(name) for name in FIRST} <= flags
    assert len(FIRST) == 10
    assert "--momentum" not in text
    assert len(text.splitlines()) <= 60
    for name in COMMANDS:
        assert f"\n  {name} " in text


def test_help_has_the_commands_and_all_flags(capsys):
    text = helped(["--help"], capsys)
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert "--save-every" in text


@pytest.mark.parametrize("name", sorted(set(OWN) - {"data"}))
def test_every_command_has_its_own_help(name, capsys):
    assert "usage:" in helped([name, "--help"], capsys)
    assert "usage:" in helped([name, "-h"], capsys)


def test_the_page_of_a_run_is_written_again(here, capsys):
    assert main(["--epochs", "2", "--quiet", "--out", "run"]) == 0
    page = Path("run/report.html")
    before = page.read_text()
    kept = Path("run/weights.npz").read_bytes()
    page.unlink()
    assert main(["report", "run"]) == 0
    assert capsys.readouterr().out.endswith("see run/report.html\n")
    assert page.read_text() == before
    assert Path("run/weights.npz").read_bytes() == kept


def test_the_runs_of_a_comparison_are_models_that_know_their_data(here, capsys):
    rows = [f"{('rose', 'iris')[k % 2]},{k % 2 + k / 99},{k}" for k in range(60)]
    Path("t.csv").write_text("\n".join(["kind,a,b", *rows]) + "\n")
    words = ["--dataset", "t.csv", "--label", "kind", "--epochs", "1", "--batch-size", "9"]
    flags = ["--quiet", "--jobs", "1", "--no-report", "--out", "c"]
    assert main(["compare", "sgd", "adam", *words, *flags]) == 0
    kept = load_network("c/adam").preparation
    assert (kept.columns, kept.label, kept.class_names) == (("a", "b"), "kind", ("iris", "rose"))


def test_the_page_of_a_comparison_is_written_again(here, capsys):
    flags = ["--epochs", "1", "--quiet", "--jobs", "1", "--out", "c"]
    assert main(["compare", "sgd", "adam", *flags]) == 0
    page = Path("c/report.html")
    page.unlink()
    assert main(["report", "c"]) == 0
    assert "Traceback" not in capsys.readouterr().err
    assert page.exists()


def test_a_run_that_has_not_ended_has_no_page_yet(here, capsys):
    assert main(["--epochs", "1", "--quiet", "--no-report", "--out", "run"]) == 0
    Path("run/results.json").unlink()
    assert main(["report", "run"]) == 3
    assert "resume it by --resume run" in capsys.readouterr().err
    assert main(["report", str(here)]) == 3
