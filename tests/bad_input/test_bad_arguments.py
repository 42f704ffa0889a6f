"""Command lines and config files that cannot be meant, and unusual ones that can."""

import re

import pytest
from desk import Row, begun, look, require_answer, require_answer_of_a_process, run

COMMANDS = [
    Row(1, ["--optimizer", "adaam"], 2, "unknown optimizer 'adaam'; did you mean 'adam'.*sgd"),
    Row(1, ["--activation", "rellu"], 2, "unknown activation 'rellu'; did you mean 'relu'"),
    Row(1, ["--initializer", "hi"], 2, "unknown initializer 'hi'.*the names are: he,|'he'"),
    Row(1, ["--initializer", "-0.1"], 2, "std must be a finite number >= 0, got -0.1"),
    Row(3, ["--lr", "0"], 2, "--lr: must be a finite number > 0, got 0"),
    Row(3, ["--lr", "-1"], 2, "--lr: must be a finite number > 0, got -1"),
    Row(3, ["--lr", "nan"], 2, "--lr: must be a finite number > 0, got nan"),
    Row(3, ["--lr", "inf"], 2, "--lr: must be a finite number > 0, got inf"),
    Row(3, ["--lr", "1e-400"], 2, "--lr: must be a finite number > 0, got 1e-400"),
    Row(3, ["--lr", "-inf"], 2, "--lr: expected one argument; .*written --flag=-value"),
    Row(3, ["--lr=-inf"], 2, "--lr: must be a finite number > 0, got -inf"),
    Row(3, ["--lr", "nan\n"], 2, "--lr: must be a finite number > 0, got nan"),
    Row(3, ["--weight-decay", "-1"], 2, "--weight-decay: must be a finite number >= 0, got -1"),
    Row(3, ["--val-split", "1"], 2, "--val-split: must be a finite number >= 0 and < 1, got 1"),
    Row(5, ["--lr", "0,001"], 2, "--lr: .*got '0,001'; use a point, 0.001"),
    Row(5, ["--lr", "fast"], 2, "--lr: must be a finite number > 0, got 'fast'"),
    Row(6, ["--epochs", "0"], 2, "--epochs: must be an integer >= 1, got '0'"),
    Row(6, ["--epochs", "-5"], 2, "--epochs: must be an integer >= 1, got '-5'"),
    Row(6, ["--epochs", "1.5"], 2, "--epochs: must be an integer >= 1, got '1.5'"),
    Row(6, ["--epochs", "1e3"], 2, "--epochs: must be an integer >= 1, got '1e3'"),
    Row(6, ["--patience", "0"], 2, "--patience: must be an integer >= 1, got '0'"),
    Row(6, ["--patience", "2", "--val-split", "0"], 2, "--patience needs .* --val-split above 0"),
    Row(7, ["--batch-size", "0"], 2, "--batch-size: must be an integer >= 1, got '0'"),
    Row(7, ["--batch-size", "2.5"], 2, "--batch-size: must be an integer >= 1, got '2.5'"),
    Row(8, ["--hidden", "50,abc"], 2, "--hidden: .*--hidden 50,20, got 'abc' in '50,abc'"),
    Row(8, ["--hidden", "50,-3"], 2, "--hidden: .*--hidden 50,20, got '-3' in '50,-3'"),
    Row(8, ["--hidden", ""], 2, "--hidden: .*--hidden 50,20, got '' in ''"),
    Row(8, ["--hidden", "50,,20"], 2, "--hidden: .*--hidden 50,20, got '' in '50,,20'"),
    Row(8, ["--hidden", "50,0"], 2, "--hidden: .*--hidden 50,20, got '0' in '50,0'"),
    Row(8, ["--hidden", "9" * 400], 2, "--hidden: .*below 10.12 .*got '999"),
    Row(9, ["--hidden", "100000000000"], 2, "--hidden must fit .*GiB are free; choose smaller"),
    *(
        Row(11, [flag, value], 2, f"{flag}: must be a finite number >= 0 and < 1, got {came}")
        for flag in ("--dropout", "--input-dropout", "--label-smoothing")
        for value, came in (("1.0", "1.0"), ("nan", "nan"), ("x", "'x'"))
    ),
    Row(11, ["--dropout=-0.1"], 2, "--dropout: must be a finite number >= 0 and < 1, got -0.1"),
    Row(11, ["--dropout", "0.1", "0.2", "0.3"], 2,
        "dropout must be one value, or one for each hidden layer, here 1, got 3: "
        r"\[0.1, 0.2, 0.3\]"),
    Row(10, ["--seed", "-1"], 2, "--seed: must be an integer >= 0, got '-1'"),
    Row(10, ["--seed", "abc"], 2, "--seed: must be an integer >= 0, got 'abc'"),
    Row(10, ["--seed", "9" * 5000], 2, "--seed: must be an integer >= 0, got '9999"),
    Row(12, ["--dataset", "mnits"], 2, "unknown data set 'mnits'; did you mean 'mnist'.*digits"),
    Row(12, ["--dataset", ""], 2, "unknown data set ''; the names are: digits"),
    Row(13, ["--resume", "nofile"], 3,
        "there is none in 'nofile'; resumable runs: runs/mine$", begun("runs/mine")),
    Row(13, ["--resume", "nofile"], 3, "there is none in 'nofile'; no resumable runs"),
    Row(13, ["--resume"], 3, "there is none in 'runs'; no resumable runs in 'runs'"),
    Row(13, ["--resume", "taken"], 3, "there is none in 'taken'; no resumable runs"),
    Row(13, ["--resume", ""], 2, "--resume: must be the path of a folder, got ''"),
    Row(13, ["--resume", "a\0b"], 2, r"--resume: must be the path of a folder, got 'a\\x00b'"),
    Row(13, ["--resume", "new/checkpoint-00000006.npz"], 3,
        "is one checkpoint; --resume takes the folder of the run, 'new'", begun("new")),
    Row(14, ["--resume", "new", "--optimizer", "sgd", "--hidden", "50", "--seed", "3"], 2,
        r"--optimizer was 'adam', now 'sgd'; --hidden was \[5\], now "
        r"\[50\]; --seed was 0, now 3; drop them, or add --override", begun("new")),
    Row(14, ["--resume", "new", "--lr", "0.5"], 2, "--lr was None, now 0.5", begun()),
    Row(14, ["--resume", "new", "--config", "run.toml"], 2,
        "--batch-size was 100, now 7; .*--override", begun("new", "batch-size = 7")),
    Row(14, ["--resume", "new"], 2, "with other settings: train was '[0-9a-f]+', is '[0-9a-f]+'",
        begun("new", label=1)),
    Row(14, ["--resume", "new", "--hidden", "7", "--override"], 3,
        r"must hold W1 .*\(16, 7\) .*; must hold W2 .*; must hold b1 .*; make the", begun("new")),
    Row(14, ["--resume", "new", "--out", "other"], 2,
        "--out 'other': a resumed run stays in its folder, 'new'; leave it out", begun("new")),
    Row(16, ["--out", "new"], 4, "'new' already holds files; .*, or resume it by --resume",
        begun("new")),
    Row(16, ["--out", "taken"], 4, "'taken' already holds files; choose another --out"),
    Row(16, ["--out", "taken", "--dry-run"], 4, "'taken' already holds files; choose another"),
    Row(17, ["--out", "file"], 4, "'file' must be a folder; choose another --out"),
    Row(17, ["--out", "file/below"], 4, "'file' must be a folder; choose another --out"),
    Row(17, [], 4, "'runs' must be a folder; choose", lambda f: (f / "runs").write_text("")),
    Row(18, ["--out", ""], 2, "--out: must be the path of a folder, got ''"),
    Row(18, ["--out", "a\0b"], 2, r"--out: must be the path of a folder, got 'a\\x00b'"),
    Row(18, ["--out", "-x"], 2, "--out: expected one argument; .*written --flag=-value"),
    Row(18, ["--out", "x" * 300], 4,
        r"cannot write 'xxx.*File name too long \(ENAMETOOLONG\); choose another"),
    Row(18, ["--data-dir", ""], 2, "--data-dir: must be the path of a folder, got ''"),
    Row(19, ["--save-every", "0"], 2, "--save-every: must be an integer >= 1, got '0'"),
    Row(19, ["--save-every", "-3"], 2, "--save-every: must be an integer >= 1, got '-3'"),
    Row(19, ["--save-every", "1.5"], 2, "--save-every: must be an integer >= 1, got '1.5'"),
    Row(20, ["--optimzer", "adam"], 2, "'--optimzer'; did you mean --optimizer"),
    Row(20, ["--opt", "adam"], 2, "'--opt'; did you mean --optimizer"),
    Row(20, ["adam"], 2, "unknown argument 'adam'; --help lists"),
    Row(20, ["a\nb"], 2, r"unknown argument 'a\\nb'; --help lists"),
    Row(20, ["--lr", "1", "--lr", "2"], 2, "--lr must be given once, it came twice; remove one"),
    Row(20, ["--lr"], 2, "--lr: expected one argument"),
    Row(20, ["--json=yes"], 2, "--json: ignored explicit argument 'yes'"),
    Row(20, ["--dtype", "float8"], 2, "--dtype: must be one of float32, float64, got 'float8'"),
    Row(20, ["--config", "none.toml"], 2, "'none.toml': cannot read it: No such file.*epochs = 20"),
    Row(20, ["--config", "set"], 2, "'set': cannot read it: Is a directory"),
    Row(20, ["--config", "/dev/zero"], 2, "'/dev/zero': must be TOML: it is longer than 1,048,576"),
    Row(20, ["--config", "a\0b"], 2, r"'a\\x00b': must be the path of a file, got a NUL"),
    Row(21, ["--threads", "0"], 2, "--threads: must be an integer >= 1, got '0'"),
]  # fmt: skip


@pytest.mark.parametrize("row", COMMANDS, ids=str)
def test_a_bad_command_line_is_answered_by_one_line_and_nothing_is_written(row, desk, capsys):
    require_answer(row, desk, capsys)


@pytest.mark.parametrize("row", [row for row in COMMANDS if row.number in {5, 12, 16, 19}], ids=str)
def test_a_real_process_answers_in_the_same_way(row, desk):
    require_answer_of_a_process(row, desk)


CONFIGS = {
    "epochz = 3": "unknown key 'epochz'; did you mean 'epochs'",
    "batch_sise = 3": "unknown key 'batch_sise'; did you mean 'batch-size'",
    "qqq = 3": "unknown key 'qqq'; the keys are dataset, .*optimizer",
    "config = 'other.toml'": "unknown key 'config'",
    "help = true": "unknown key 'help'",
    "[training]\nepochs = 3": "unknown key 'training'",
    "[hidden]\nsizes = 3": "hidden must be a number, a text or a list of these, got {'sizes': 3}",
    "lr = true": "lr must be a number, a text or a list of these, got True",
    "epochs = false": "epochs must be a number, a text or a list of these, got False",
    "epochs = 1979-05-27": "epochs must be a number, a text or a list",
    "json = 'yes'": "json must be true or false, got 'yes'",
    "lr = nan": "lr must be a finite number > 0, got nan",
    "epochs = 2.0": "epochs must be an integer >= 1, got '2.0'",
    "hidden = [30, -1]": "hidden .*got '-1' in '30,-1'",
    "hidden = []": "hidden must be none, or integers .*got ''",
    "batch-size = 3\nbatch_size = 4": "batch_size must be given once, it came twice",
    "epochs: 3": "must be TOML: .*line 1.*; write lines such as `epochs = 20`",
    "epochs = 1\nepochs = 2": "must be TOML: Cannot overwrite a value",
    "x = " + "[" * 5000: "must be TOML: .*recursion",
}


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text[:30])
def test_a_bad_config_file_is_answered_with_its_name_and_the_key(text, desk, capsys):
    (desk / "run.toml").write_text(text, encoding="utf-8")
    before = look(desk)
    assert run(["--config", "run.toml"]) == 2
    seen = capsys.readouterr()
    assert re.fullmatch("train.py: error: --config 'run.toml': .+\n", seen.err)
    assert re.search(CONFIGS[text], seen.err), seen.err
    assert look(desk) == before


def test_a_config_file_that_is_no_utf8_is_refused(desk, capsys):
    (desk / "run.toml").write_bytes(b"optimizer = '\xff'")
    assert run(["--config", "run.toml"]) == 2
    assert re.fullmatch(".*'run.toml': must be TOML: .*utf-8.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("argv", "note"),
    [
        (["--optimizer", "ADAM", "--activation", "Tanh", "--initializer", "he_uniform"], ""),
        (["--batch-size", "5000"], "note: --batch-size 5000 is more than the 14. training samples"),
        (["--batch-size", str(10**30)], "note: --batch-size 1000.* every update uses all of them"),
        (["--seed", str(2**200)], ""),
        (["--threads", "999"], "note: --threads 999 is more than the [0-9]+ processors"),
        (["--threads", str(10**30)], "note: --threads 1000.* processors"),
        (["--out", "ein Ordner/ü 数\n字"], ""),
        (["--out=-x"], ""),
        (["--hidden", "none"], ""),
        (["--hidden", " 5 , 004"], ""),
        (["--val-split", "0"], ""),
        (["--lr", "1e-300"], ""),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_is_fine_is_accepted(argv, note, capsys):
    assert run(["--dataset", "./set", "--epochs", "1", *argv]) == 0
    seen = capsys.readouterr()
    assert re.fullmatch(f"{note}.*\n" if note else "", seen.err), seen.err
    *epochs, verdict, result = seen.out.splitlines()[4:]
    assert all("accuracy" in line for line in [*epochs, result])
    assert verdict.startswith("verdict    it ")
