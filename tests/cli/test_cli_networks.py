"""Normalisation, regularisation and augmentation, asked for on the command line; the recipes."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from scratchnet import MultiLayerNet, Samples, Trainer, cli, load
from scratchnet.cli.parser import complete, parse
from scratchnet.data import make_augmentation
from scratchnet.layers import Dropout, GaussianNoise, Standardize
from scratchnet.layers.normalization import NORMALIZATIONS
from scratchnet.training.evaluation import recompute_statistics
from scratchnet.training.resuming import load_weights

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


pytestmark = pytest.mark.usefixtures("here")


def train(small, *argv, out="run"):
    """Train, which must succeed: the network that the weights on disk make."""
    usual = ["--dataset", small, "--epochs", "2", "--hidden", "6,5", "-q", "--out", out]
    assert cli.main([*usual, *argv]) == 0
    return load_weights(Path(out, "weights.npz"))


def refuse(small, capsys, *argv):
    """The one line on stderr with which a command is refused, exit status 2, nothing written."""
    try:
        status = cli.main(["--dataset", small, *argv])
    except SystemExit as end:
        status = end.code
    seen = capsys.readouterr()
    assert status == 2
    assert seen.err.count("\n") == 1
    assert not list(Path().iterdir())
    return seen.err


def names(network):
    return [type(layer).__name__ for layer in network.layers]


def test_a_hidden_layer_is_affine_normalization_noise_activation_dropout_in_this_order(small):
    flags = ["--standardize", "all", "--input-noise", "0.1", "--input-dropout", "0.2"]
    flags += ["--batch-norm", "--noise", "0.3", "--activation", "tanh", "--dropout", "0.5"]
    assert names(train(small, *flags)) == [
        *("Standardize", "GaussianNoise", "Dropout"),
        *("Affine", "BatchNorm", "GaussianNoise", "Tanh", "Dropout") * 2,
        "Affine",
    ]


def test_values_for_each_hidden_layer_go_to_that_layer(small):
    flags = ["--activation", "gelu", "elu", "--dropout", "0.2", "0.5", "--noise", "0,0.3"]
    network = train(small, *flags)
    assert names(network) == [
        *("Affine", "GELU", "Dropout"),
        *("Affine", "GaussianNoise", "ELU", "Dropout"),
        "Affine",
    ]
    assert [layer.rate for layer in network.layers if isinstance(layer, Dropout)] == [0.2, 0.5]
    assert [layer.std for layer in network.layers if isinstance(layer, GaussianNoise)] == [0.3]


def test_b13_nothing_disturbs_the_logits_whatever_is_asked_for(small):
    for hidden in ("none", "6", "6,5"):
        flags = ["--hidden", hidden, "--input-dropout", "0.2", "--dropout", "0.5", "--noise", "0.2"]
        usual = ["--dataset", small, "--epochs", "1", "-q", "--out", f"run-{hidden}"]
        assert cli.main([*usual, *flags]) == 0
        assert names(load_weights(Path(f"run-{hidden}", "weights.npz")))[-1] == "Affine"


def test_without_flags_there_is_nothing_but_affine_layers_and_activations(small):
    assert names(train(small)) == ["Affine", "ReLU", "Affine", "ReLU", "Affine"]


@pytest.mark.parametrize("flag", ["--batch-norm", "--layer-norm"])
def test_a_normalized_run_is_what_the_library_gives(small, flag):
    network = train(small, flag, "--val-split", "0", "--batch-size", "40")
    option = flag.strip("-").replace("-", "_")
    alone = MultiLayerNet(20, [6, 5], 4, **{option: True})
    list(Trainer(alone, load(small).train, batch_size=40).run(2))
    np.testing.assert_array_equal(network.state_vector, alone.state_vector)
    assert type(network.layers[1]) is NORMALIZATIONS[option.removesuffix("_norm")]


def test_the_loss_its_smoothing_and_its_weights_reach_the_network(small):
    network = train(small, "--label-smoothing", "0.1", "--class-weight", "1,2,0,0.5")
    assert network.loss_layer.label_smoothing == 0.1
    np.testing.assert_array_equal(network.loss_layer.class_weight, [1, 2, 0, 0.5])
    network = train(small, "--loss", "mean-squared-error", out="other")
    assert network.loss_layer.config() == {"labels": "integer"}
    assert network.config()["loss"] == "mean-squared-error"


def test_balanced_weights_are_those_of_the_training_samples_and_are_saved(small):
    network = train(small, "--class-weight", "balanced", "--val-split", "0")
    counts = np.bincount(load(small).train.t)
    np.testing.assert_allclose(network.loss_layer.class_weight, 201 / (4 * counts))


def test_max_norm_holds_for_every_hidden_unit_and_spares_the_last_layer(small):
    network = train(small, "--max-norm", "0.5", "--lr", "0.1")
    lengths = [np.linalg.norm(network.params[f"W{k}"], axis=0) for k in (1, 2, 3)]
    assert max(lengths[0].max(), lengths[1].max()) <= 0.5 * (1 + 1e-6)
    assert lengths[2].max() > 0.5


def test_standardization_takes_its_constants_from_the_training_samples_and_saves_them(small):
    network = train(small, "--standardize", "features", "--train-samples", "100")
    kept, _ = load(small).train.first(100).split(0.1, 0)
    x, _ = kept[:]
    layer = network.layers[0]
    assert isinstance(layer, Standardize)
    np.testing.assert_allclose(layer.statistics["input_mean"], x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer.statistics["input_std"], x.std(axis=0), rtol=1e-4)


def test_train_samples_takes_the_first_ones(small, capsys):
    train(small, "--train-samples", "50", "--val-split", "0")
    assert json.loads(Path("run/results.json").read_text())["steps"] == 2
    x, t = load(small).train.first(50)[:]
    assert len(t) == 50
    np.testing.assert_array_equal(x, load(small).train[:50][0])


def test_augmentation_distorts_training_and_nothing_else(small):
    network = train(small, "--augment", "shift=1,rotate=10", "--val-split", "0")
    alone = MultiLayerNet(20, [6, 5], 4)
    augment = make_augmentation((4, 5), shift=1, rotate=10)
    trainer = Trainer(alone, load(small).train, batch_size=100, augment=augment)
    list(trainer.run(2))
    np.testing.assert_array_equal(network.vector, alone.vector)
    results = json.loads(Path("run/results.json").read_text())
    loss, accuracy = trainer.evaluate(load(small).test)
    assert (results["test_loss"], results["test_accuracy"]) == (loss, accuracy)
    plain = train(small, "--val-split", "0", out="plain")
    assert (plain.vector != network.vector).any()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--batch-norm", "--layer-norm"], "cannot both be on; choose one"),
        (["--activation", "relu", "tanh"], "one for each hidden layer, here 1, got 2"),
        (["--activation", "relux"], "unknown activation 'relux'; did you mean 'relu'?"),
        (["--noise=-1"], "--noise: must be a finite number >= 0, got -1"),
        (["--max-norm", "0"], "--max-norm: must be a finite number > 0, got 0"),
        (["--class-weight", "even"], "must be balanced or finite numbers >= 0, got 'even'"),
        (["--standardize", "rows"], "must be one of none, features, all, got 'rows'"),
        (["--loss", "softmx"], "did you mean 'softmax'?"),
        (
            ["--loss", "mean-squared-error", "--label-smoothing", "0.1"],
            "option of the losses softmax",
        ),
        (["--augment", "shft=2"], "unknown augmentation 'shft'; did you mean 'shift'?"),
        (["--augment", "shift"], "must be NAME=VALUE"),
        (["--augment", "shift=-1"], "shift must be an integer >= 0 and <= 1000, got -1"),
        (["--train-samples", "9999"], "--train-samples: there are 201 samples, got 9999"),
        (["--train-samples", "0"], "must be an integer >= 1"),
        (["--dropout", "0.1", "--dropout", "0.2"], "must be given once"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(small, capsys, argv, words):
    assert words in refuse(small, capsys, *argv)


def test_class_weights_for_another_number_of_classes_are_refused(small, capsys):
    status = cli.main(["--dataset", small, "--class-weight", "1,2"])
    seen = capsys.readouterr()
    assert status == 3
    assert "class_weight must have one number for each of the 4 outputs, got 2" in seen.err


def test_augmentation_of_what_is_no_image_is_refused(capsys, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "flat.npz", x=rng.random((40, 6)), t=np.arange(40) % 2)
    assert cli.main(["--dataset", "./flat.npz", "--augment", "shift=1"]) == 2
    assert "augmentation needs images" in capsys.readouterr().err


def test_the_header_says_what_the_network_has(small, capsys):
    flags = ["--batch-norm", "--dropout", "0.2", "0.5", "--label-smoothing", "0.1"]
    argv = ["--dataset", small, "--hidden", "6,5", "--dry-run", "--augment", "elastic=34:4", *flags]
    assert cli.main(argv) == 0
    text = capsys.readouterr().out
    assert "batch norm, dropout 0.2 0.5, label smoothing 0.1, augment elastic=34:4" in text


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_disturbed_run_that_was_broken_off_goes_on_to_the_same_bits(small, stop):
    samples = load(small).train

    def make():
        options = {"batch_norm": True, "dropout": 0.3, "noise": 0.2, "standardize": "all"}
        network = MultiLayerNet(20, [6, 5], 4, **options)
        augment = make_augmentation((4, 5), shift=1, elastic=[3, 2], erase=0.5)
        return Trainer(network, samples, batch_size=40, augment=augment, on_step=save)

    def save(step, loss):
        if step == stop:
            trainer.save("checkpoint.npz")

    trainer = make()
    list(trainer.run(2))
    whole = trainer.network.state_vector.copy()
    trainer = make()
    trainer.resume("checkpoint.npz")
    assert trainer.steps == stop
    list(trainer.run(2 - trainer.epochs))
    np.testing.assert_array_equal(trainer.network.state_vector, whole)


def test_a_last_batch_of_one_row_leaves_batch_norm_well(small):
    network = train(small, "--batch-norm", "--val-split", "0", "--batch-size", "40")  # 201 samples
    assert np.isfinite(network.state_vector).all()
    assert network.statistics["batches1"][0] == 10  # of 12: those of one row do not count


def test_a_switch_of_a_file_is_overruled_by_a_flag_either_way(small, tmp_path):
    Path("on.toml").write_text("batch-norm = true\nno-gamma = true\n")
    Path("off.toml").write_text("batch-norm = false\ngamma = false\n")
    for text, flags, expected in (
        ("on", [], (True, False)),
        ("on", ["--no-batch-norm", "--gamma"], (False, True)),
        ("off", [], (False, False)),
        ("off", ["--batch-norm"], (True, False)),
    ):
        arguments = complete(parse(["--config", f"{text}.toml", *flags]))
        assert (arguments.batch_norm, arguments.gamma) == expected


def test_what_a_file_turns_on_can_be_turned_off():
    Path("on.toml").write_text(
        'augment = "shift=1"\nstandardize = "all"\nclass-weight = "balanced"\n'
        "max-norm = 2\nema = 0.9\n"
    )
    flags = ["--augment", "none", "--standardize", "none", "--class-weight", "none"]
    arguments = complete(
        parse(["--config", "on.toml", *flags, "--max-norm", "none", "--ema", "none"])
    )
    names = ("standardize", "class_weight", "max_norm", "ema")
    assert [getattr(arguments, name) for name in names] == [None] * 4
    assert arguments.augment is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--hidden", "none", "--dropout", "0.5", "--batch-norm"],
            "--batch-norm, --dropout has no",
        ),
        (["--no-gamma"], "--no-gamma has no effect"),
        (["--remeasure", "100"], "--remeasure has no effect"),
        (["--batch-norm", "--ema", "0.9"], "--remeasure 10000 measures these"),
    ],
)
def test_what_has_no_effect_is_noted(small, capsys, flags, words):
    assert cli.main(["--dataset", small, "--dry-run", *flags]) == 0
    assert words in capsys.readouterr().err


def test_the_header_says_what_each_layer_has(small, capsys):
    flags = [
        "--hidden",
        "6,5,4",
        "--activation",
        "relu",
        "gelu",
        "relu",
        "--dropout",
        "0.1,0.2,0.1",
    ]
    assert cli.main(["--dataset", small, "--dry-run", *flags, "--class-weight", "balanced"]) == 0
    text = capsys.readouterr().out
    assert "20-6-5-4-4 relu gelu relu, dropout 0.1 0.2 0.1, class weight balanced" in text


def test_a_short_last_piece_does_not_outweigh_the_others(small):
    samples = load(small).train
    x = np.concatenate([samples[:][0]] * 6)[:1003]
    big = Samples(x, np.arange(1003) % 4)
    network = MultiLayerNet(20, [6], 4, batch_norm=True)
    list(Trainer(network, big, remeasure=1003).run(1))
    expected = network.layers[0].forward(x).mean(axis=0)
    np.testing.assert_allclose(network.statistics["running_mean1"], expected, atol=0.05)
    with pytest.raises(ValueError, match="remeasure must be 0, or 2"):
        Trainer(network, big, remeasure=1)


def test_a_run_goes_on_as_it_began_switches_too(small, capsys):
    train(small, "--batch-norm")
    assert cli.main(["--resume", "run", "--no-batch-norm", "--epochs", "3"]) == 2
    assert "--batch-norm was True, now False" in capsys.readouterr().err
    assert cli.main(["--resume", "run", "--batch-norm", "--epochs", "3", "-q"]) == 0


# The recipes


def test_there_are_the_recipes_that_the_readme_and_the_results_name():
    assert {path.stem for path in RECIPES} >= {
        *("digits-best", "mnist-98-in-seconds", "mnist-mlp-99", "mnist-augmented"),
        *("fashion-mnist", "kmnist", "book-ch6-init-he", "book-ch6-batch-norm"),
        *("book-ch6-weight-decay", "book-ch6-weight-decay-that-helps"),
        *("book-ch6-dropout", "book-ch6-dropout-that-helps"),
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_opens_with_its_claim_its_source_and_its_command(path):
    head = path.read_text("utf-8").split("\n\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert f"python train.py --config recipes/{path.name}" in head
    assert re.search(r"# Claim: \S", head)
    assert re.search(r"(19|20)\d\d", head) or path.stem == "digits-best"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_taken_by_the_command_line_and_its_flags_win(path, small, monkeypatch):
    arguments = complete(parse(["--config", str(path), "--epochs", "7", "--dropout", "0"]))
    written = tomllib.loads(path.read_text("utf-8"))
    assert arguments.epochs == 7
    assert arguments.dropout == 0.0
    assert arguments.lr == written["lr"]
    assert arguments.dataset == written["dataset"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs_on_small_data_of_the_tests(path, tmp_path):
    rng = np.random.default_rng(0)
    written = tomllib.loads(path.read_text("utf-8"))
    side = 28 if "network" in written and written["dataset"] == "mnist" else 8
    x = rng.integers(0, 256, (1040, side, side), dtype=np.uint8)
    np.savez(
        tmp_path / "x.npz",
        x_train=x,
        t_train=np.arange(1040) % 10,
        x_test=x[:20],
        t_test=np.arange(20) % 10,
    )
    argv = ["--config", str(path), "--dataset", "./x.npz", "--epochs", "1", "-q", "--out", "run"]
    hidden = ",".join(["8"] * len(complete(parse(argv)).hidden)) or "none"
    assert cli.main([*argv, "--hidden", hidden]) == 0
    assert json.loads(Path("run/results.json").read_text())["epochs"] == 1


def test_samples_first_is_a_view_and_refuses_more_than_there_are():
    samples = Samples(np.eye(3), [0, 1, 2])
    assert np.shares_memory(samples.first(2).x, samples.x)


def test_statistics_are_measured_anew_undisturbed_and_at_the_weights_of_evaluation(small):
    flags = ["--batch-norm", "--no-gamma", "--noise", "0.5", "--remeasure", "150", "--ema", "0.9"]
    network = train(small, *flags, "--val-split", "0")
    samples = load(small).train.first(150)
    other = network.copy()
    recompute_statistics(other, [samples[:][0]])
    np.testing.assert_array_equal(other.state_vector, network.state_vector)
    assert network.statistics["batches1"][0] == 1
    x = samples[:][0]
    first = network.layers[0].forward(x)
    np.testing.assert_allclose(network.statistics["running_mean1"], first.mean(axis=0), rtol=1e-5)
    assert not any(name.startswith("gamma") for name in network.params)
