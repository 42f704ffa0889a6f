"""Optimizers, their options, averages and schedules, asked for on the command line."""

import json
from pathlib import Path

import pytest

from scratchnet import MultiLayerNet, Trainer, cli, environment, load
from scratchnet.optimizers import EMA, OPTIMIZERS, Adam, make_optimizer
from scratchnet.schedules import SCHEDULES, Schedule, make_schedule
from scratchnet.training.resuming import load_weights

pytestmark = pytest.mark.usefixtures("here")


def train(small, *argv, epochs="2", out="run"):
    """Train, which must succeed, in a folder `out`: its config and its results."""
    usual = ["--dataset", small, "--epochs", epochs, "--hidden", "6", "-q", "--out", out]
    assert cli.main([*usual, *argv]) == 0
    paths = (Path(out, f"{name}.json") for name in ("config", "results"))
    return [json.loads(path.read_text("utf-8")) for path in paths]


def refuse(small, capsys, *argv):
    """The one line on stderr with which a command is refused, exit status 2, nothing written."""
    try:
        status = cli.main(["--dataset", small, *argv])
    except SystemExit as end:
        status = end.code
    seen = capsys.readouterr()
    assert status == 2
    assert seen.out == ""
    assert seen.err.count("\n") == 1
    assert not list(Path().iterdir())
    return seen.err.removeprefix("train.py: error: ").rstrip("\n")


def words(value):
    """The id of a case: its command line."""
    return " ".join(value) if isinstance(value, list) else ""


# What is asked for is what is trained with


ASKED = [
    (["--optimizer", "momentum", "--set", "momentum=0.95"], {"momentum": 0.95, "lr": 0.01}),
    (
        ["--optimizer", "Adam", "--set", "beta1=0.8, eps=1e-6", "--lr", "0.02"],
        {"beta1": 0.8, "beta2": 0.999, "eps": 1e-6, "lr": 0.02},
    ),
    (["--weight-decay", "0.02"], {"weight_decay": 0.02, "clip_norm": None}),
    (["--optimizer", "adamw"], {"weight_decay": 0.01}),
    (["--optimizer", "adamw", "--weight-decay", "0"], {"weight_decay": 0}),
    (["--clip-norm", "0.5", "--clip-value", "1e-2"], {"clip_norm": 0.5, "clip_value": 0.01}),
    (["--set", "clip_norm=none,weight_decay=0.1"], {"clip_norm": None, "weight_decay": 0.1}),
    (["--optimizer", "asgd", "--set", "start=3"], {"start": 3}),
]


@pytest.mark.parametrize(("argv", "expected"), ASKED, ids=words)
def test_options_reach_the_optimizer_and_config_json(argv, expected, small):
    config, results = train(small, *argv)
    assert config["optimizer"] | expected == config["optimizer"]
    asked = argv[1] if argv[0] == "--optimizer" else "adam"
    assert config["optimizer"]["name"] == results["optimizer"] == asked.lower()
    assert results["lr"] == config["optimizer"]["lr"]


def test_config_json_has_the_arguments_as_they_were_asked_for(small):
    argv = ["--set", "beta1=0.8,beta2=0.9", "--ema", "0.9", "--warmup", "0.25", "--clip-norm", "2"]
    config, _ = train(small, *argv, "--schedule", "linear", "--schedule-set", "end=0.1")
    expected = {
        "optimizer": ["adam"],
        "set": {"beta1": 0.8, "beta2": 0.9},
        "ema": 0.9,
        "schedule": "linear",
        "schedule_set": {"end": 0.1},
        "warmup": 0.25,
        "clip_norm": 2.0,
        "clip_value": None,
        "weight_decay": None,
        "lr": None,
    }
    assert config["arguments"] | expected == config["arguments"]
    assert config["optimizer"]["decay"] == 0.9
    assert config["optimizer"]["inner"]["beta1"] == 0.8
    assert config["optimizer"]["inner"]["clip_norm"] == 2


@pytest.mark.parametrize("inner", ["adam", "SGD", "schedule_free_sgd", "lookahead"])
def test_a_wrapper_is_put_around_the_optimizer_that_set_names(inner, small):
    argv = ["--optimizer", "lookahead", "--set", f"k=3,inner={inner}", "--weight-decay", "0.01"]
    config, results = train(small, *argv)
    kind = type(make_optimizer(inner))
    assert config["optimizer"]["k"] == 3
    assert config["optimizer"]["lr"] == results["lr"] == kind().lr
    assert set(config["optimizer"]["inner"]) >= {"lr", "weight_decay"}
    assert config["optimizer"]["inner"]["weight_decay"] == 0.01


def test_the_header_shows_the_optimizer_with_all_that_was_set_and_the_schedule(small, capsys):
    argv = ["--optimizer", "sam", "--set", "rho=0.1,inner=adam", "--clip-norm", "2", "--ema", "0.9"]
    argv += ["--schedule", "one-cycle", "--warmup", "0.4"]
    assert cli.main(["--dataset", small, "--dry-run", *argv]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("optimizer"))
    for words in ("EMA(", "SAM(", "Adam(", "rho=0.1", "clip_norm=2.0", "decay=0.9", "warmup=0.4"):
        assert words in line


def test_a_schedule_shows_in_the_learning_rates_of_the_history(small):
    argv = ["--optimizer", "sgd", "--lr", "0.5", "--batch-size", "20"]
    argv += ["--schedule", "one-cycle", "--warmup", "0.3", "--schedule-set", "end=0.1"]
    train(small, *argv, epochs="10")
    rates = [row["lr"] for row in json.loads(Path("run/history.json").read_text("utf-8"))]
    schedule = Schedule("one-cycle", 0.3, end=0.1)
    assert rates == [0.5 * schedule((9 * k - 0.5) / 90) for k in range(1, 11)]
    assert rates[-1] < 0.07 < rates[0] < max(rates) <= 0.5


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_can_be_asked_for(name, small):
    config, _ = train(small, "--schedule", name.upper().replace("-", "_"), "--warmup", "0.2")
    assert config["arguments"]["schedule"] == name


def test_the_average_is_what_is_evaluated_and_saved(small):
    train(small, "--optimizer", "sgd", "--lr", "0.1", out="plain")
    config, results = train(small, "--optimizer", "sgd", "--lr", "0.1", "--ema", "0.5")
    assert config["optimizer"]["inner"]["lr"] == 0.1
    plain, averaged = load_weights("plain/weights.npz"), load_weights("run/weights.npz")
    assert plain.vector.tobytes() != averaged.vector.tobytes()
    dataset = load(small)
    assert Trainer(averaged, dataset.train).evaluate(dataset.test)[0] == results["test_loss"]


# A TOML file


TOML = """
optimizer = "momentum"
set = "momentum=0.95"
weight-decay = 0.01
clip_norm = 2
clip_value = 0.5
ema = 0.9
schedule = "linear"
schedule-set = "end=0.1"
warmup = 0.2
"""
FLAGS = [
    *["--optimizer", "momentum", "--set", "momentum=0.95", "--weight-decay", "0.01"],
    *["--clip-norm", "2", "--clip-value", "0.5", "--ema", "0.9", "--schedule", "linear"],
    *["--schedule-set", "end=0.1", "--warmup", "0.2"],
]


def test_a_toml_file_means_what_the_same_flags_mean(small, here):
    (here / "run.toml").write_text(TOML, "utf-8")
    from_file, _ = train(small, "--config", "run.toml")
    weights = load_weights("run/weights.npz").vector.tobytes()
    from_flags, _ = train(small, *FLAGS, out="other")
    assert load_weights("other/weights.npz").vector.tobytes() == weights
    assert from_file["optimizer"] == from_flags["optimizer"]
    apart = {"config": None, "out": "other"}
    assert from_file["arguments"] | apart == from_flags["arguments"]


def test_several_options_are_a_list_in_a_toml_file(small, here):
    text = 'optimizer = "lookahead"\nset = ["k=3", "inner=sgd"]\n'
    (here / "run.toml").write_text(text, "utf-8")
    config, _ = train(small, "--config", "run.toml")
    assert config["arguments"]["set"] == {"k": 3, "inner": "sgd"}


def test_the_command_line_wins_over_the_toml_file(small, here):
    (here / "run.toml").write_text(TOML, "utf-8")
    config, _ = train(small, "--config", "run.toml", "--set", "momentum=0.5", "--ema", "0.99")
    assert config["optimizer"]["inner"]["momentum"] == 0.5
    assert config["optimizer"]["decay"] == 0.99


# What cannot be used is one line with the field, its range and what came


ADAM_HAS = "adam has no option 'beta3'; it has lr, beta1, beta2, eps, weight_decay, "
REFUSED = [
    (["--set", "beta1=1.0"], "beta1 must be a finite number >= 0 and < 1, got 1.0"),
    (["--set", "beta1=nan"], "beta1 must be a finite number >= 0 and < 1, got nan"),
    (["--set", "eps=inf"], "eps must be a finite number > 0, got inf"),
    (["--set", "eps=none"], "eps must be a finite number > 0, got None"),
    (["--lr", "nan"], "argument --lr: must be a finite number > 0, got nan"),
    (["--lr", "0"], "argument --lr: must be a finite number > 0, got 0"),
    (["--set", "beta3=0.9"], ADAM_HAS),
    (
        ["--optimizer", "momentum", "--set", "momentum=abc"],
        "momentum must be a finite number >= 0 and < 1, got 'abc'",
    ),
    (
        ["--set", "beta1"],
        "argument --set: must be NAME=VALUE, for example momentum=0.95, got 'beta1'",
    ),
    (
        ["--set", "beta1="],
        "argument --set: must be NAME=VALUE, for example momentum=0.95, got 'beta1='",
    ),
    (["--set", "=1"], "argument --set: must be NAME=VALUE, for example momentum=0.95, got '=1'"),
    (["--set", ""], "argument --set: must be NAME=VALUE, for example momentum=0.95, got ''"),
    (
        ["--set", "beta1=0.8,"],
        "argument --set: must be NAME=VALUE, for example momentum=0.95, got ''",
    ),
    (["--set", "a=1", "--set", "b=2"], "--set must be given once, it came twice; remove one"),
    (["--optimizer", "adaam"], "argument --optimizer: unknown optimizer 'adaam'; did you mean"),
    (
        ["--optimizer", "lookahead", "--set", "k=2.0"],
        "k must be an integer >= 1, got 2.0",
    ),
    (
        ["--optimizer", "lookahead", "--set", "alpha=2"],
        "alpha must be a finite number > 0 and <= 1, got 2",
    ),
    (["--optimizer", "lookahead", "--set", "inner=adaam"], "unknown inner optimizer 'adaam'"),
    (
        ["--optimizer", "lookahead", "--set", "inner=3"],
        "inner must be an optimizer, for example Adam()",
    ),
    (["--optimizer", "sgd", "--set", "inner=adam"], "sgd has no option 'inner'; it has lr, "),
    (["--weight-decay=-1"], "argument --weight-decay: must be a finite number >= 0, got -1"),
    (["--weight-decay", "-1"], "argument --weight-decay: must be a finite number >= 0, got -1"),
    (["--clip-norm", "0"], "argument --clip-norm: must be a finite number > 0, got 0"),
    (["--clip-value", "x"], "argument --clip-value: must be a finite number > 0, got 'x'"),
    (["--ema", "1"], "argument --ema: must be a finite number >= 0 and < 1, got 1"),
    (["--warmup", "1"], "argument --warmup: must be a finite number >= 0 and < 1, got 1"),
    (["--schedule", "cosin"], "argument --schedule: unknown schedule 'cosin'; did you mean"),
    (["--schedule-set", "end=0.1"], "constant has no option 'end'; it has none"),
    (["--schedule", "linear", "--schedule-set", "to=0.1"], "linear has no option 'to'; it has end"),
    (
        ["--schedule", "plateau", "--schedule-set", "factor=1"],
        "factor must be a finite number > 0 and < 1, got 1",
    ),
    (
        ["--schedule", "plateau", "--val-split", "0"],
        "the schedule plateau needs validation samples, there are none",
    ),
    (["--optimizer", "lbfgs", "--lr", "0.5"], "lr must be "),
    (
        ["--optimizer", "lbfgs", "--weight-decay", "0.1"],
        "lbfgs follows the loss alone and takes no",
    ),
    (["--optimizer", "lbfgs", "--clip-norm", "1"], "lbfgs follows the loss alone and takes no"),
]


@pytest.mark.parametrize(("argv", "message"), REFUSED, ids=words)
def test_what_cannot_be_used_is_one_line_and_exit_2(argv, message, small, capsys):
    assert refuse(small, capsys, *argv).startswith(message)


SLIPS = [
    (["--set", "lr=0.1"], "--lr"),
    (["--set", "which=sgd"], "adam has no option 'which'"),
    (["--set", "beta1=0.8,beta1=0.9"], "beta1"),
    (["--weight-decay", "0.1", "--set", "weight_decay=0.2"], "weight_decay"),
    (["--schedule", "linear", "--schedule-set", "end=abc"], "end must be"),
    (["--schedule", "linear", "--schedule-set", "end=nan"], "end must be"),
    (["--schedule", "exponential", "--schedule-set", "end=-1"], "end must be"),
    (["--schedule", "step", "--schedule-set", "every=0"], "every must be"),
    (["--schedule", "step", "--schedule-set", "gamma=-1"], "gamma must be"),
    (["--schedule", "multi-step", "--schedule-set", "at=soon"], "at must be"),
    (["--schedule", "cosine-restarts", "--schedule-set", "cycles=0"], "cycles must be"),
    (["--schedule", "cosine-restarts", "--schedule-set", "cycles=2.5"], "cycles must be"),
    (["--schedule", "inverse-sqrt", "--schedule-set", "knee=0"], "knee must be"),
    (["--schedule", "plateau", "--schedule-set", "factor=abc"], "factor must be"),
    (["--schedule", "plateau", "--schedule-set", "end=1"], "plateau has no option 'end'"),
    (["--schedule", "linear", "--schedule-set", "warmup=0.1"], "--warmup"),
    (["--schedule", "linear", "--schedule-set", "name=cosine"], "linear has no option 'name'"),
    (["--optimizer", "ema", "--set", "inner=lbfgs", "--weight-decay", "0.1"], "lbfgs"),
    (["--optimizer", "sam", "--set", "inner=lbfgs"], "lbfgs"),
]


@pytest.mark.parametrize(("argv", "message"), SLIPS, ids=words)
def test_what_should_be_refused_too(argv, message, small, capsys):
    assert message in refuse(small, capsys, *argv)


def test_a_bad_option_in_a_toml_file_is_one_line_that_names_it(small, here, capsys):
    (here / "run.toml").write_text('set = "beta1"\n', "utf-8")
    with pytest.raises(SystemExit) as end:
        cli.main(["--dataset", small, "--config", "run.toml"])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--config 'run.toml'" in err
    assert "set must be NAME=VALUE" in err


# Optimizers that mean all samples


@pytest.mark.parametrize("name", [name for name, kind in OPTIMIZERS.items() if kind.full_batch])
def test_an_optimizer_that_means_all_samples_gets_them_and_refuses_fewer(name, small, capsys):
    argv = ["--optimizer", name]
    assert refuse(small, capsys, *argv, "--batch-size", "50") == (
        f"{OPTIMIZERS[name].__name__} means the gradient of all samples: batch_size must be at "
        "least 180, got 50; leave it out"
    )
    _, results = train(small, *argv, epochs="15")
    assert (results["batch_size"], results["steps"]) == (180, 15)
    assert results["test_accuracy"] > 0.9


def test_a_wrapper_around_one_that_means_all_samples_means_them_too(small, capsys):
    argv = ["--optimizer", "rprop", "--ema", "0.5"]
    assert "means the gradient of all samples" in refuse(small, capsys, *argv, "--batch-size", "50")
    _, results = train(small, *argv)
    assert results["batch_size"] == 180


# The same numbers as in the library


def test_the_library_gives_the_weights_of_the_command_line_to_the_bit(small):
    argv = ["--set", "beta1=0.8", "--lr", "0.01", "--ema", "0.9", "--clip-norm", "0.5"]
    argv += ["--clip-value", "0.1", "--weight-decay", "0.02", "--batch-size", "16", "--seed", "3"]
    argv += ["--schedule", "one-cycle", "--warmup", "0.2", "--schedule-set", "end=0.1"]
    _, results = train(small, *argv, epochs="3")

    dataset = load(small)
    network = MultiLayerNet(20, [6], 4, seed=3)
    kept, held = dataset.train.split(0.1, 3)
    inner = Adam(0.01, beta1=0.8, weight_decay=0.02, clip_norm=0.5, clip_value=0.1)
    trainer = Trainer(
        network,
        kept,
        held,
        optimizer=EMA(inner=inner, decay=0.9),
        schedule=make_schedule("one-cycle", 0.2, end=0.1),
        batch_size=16,
        seed=3,
    )
    with environment.limit_threads(1):
        epochs = list(trainer.run(3))
        loss, accuracy = trainer.evaluate(dataset.test)
    assert load_weights("run/weights.npz").vector.tobytes() == network.vector.tobytes()
    assert (results["test_loss"], results["test_accuracy"]) == (loss, accuracy)
    assert results["val_loss"] == epochs[-1].val_loss


CHANGES = [
    ["--set", "beta1=0.5"],
    ["--lr", "0.002"],
    ["--weight-decay", "0.5"],
    ["--clip-norm", "0.01"],
    ["--clip-value", "0.0001"],
    ["--ema", "0.9"],
    ["--schedule", "cosine"],
    ["--warmup", "0.5"],
    ["--schedule", "linear", "--schedule-set", "end=0.9"],
]


@pytest.fixture(scope="module")
def plain(small, tmp_path_factory):
    """The weights of a run with nothing asked for."""
    out = str(tmp_path_factory.mktemp("plain") / "run")
    assert cli.main(["--dataset", small, "--epochs", "2", "--hidden", "6", "-q", "--out", out]) == 0
    return load_weights(f"{out}/weights.npz").vector.tobytes()


@pytest.mark.parametrize("argv", CHANGES, ids=" ".join)
def test_no_option_is_without_effect(argv, small, plain):
    train(small)
    assert load_weights("run/weights.npz").vector.tobytes() == plain
    train(small, *argv, out="other")
    assert load_weights("other/weights.npz").vector.tobytes() != plain
