"""Networks of images on the command line: --network and --conv, and every job with them."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from scratchnet import ConvNet, cli, load_network
from scratchnet.cli.parser import command, complete, parse

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def images(here):
    """Images in grey of 12x12, and in colour of 9x8, as files."""
    rng = np.random.default_rng(0)
    for name, shape in (("grey", (12, 12)), ("colour", (9, 8, 3))):
        t = np.arange(300) % 3
        x = rng.integers(0, 128, (300, *shape), np.uint8)
        x[np.arange(300), t * 3] = 255
        np.savez(f"{name}.npz", x=x, t=t)


def run(*argv, data="grey.npz"):
    return cli.main(["--dataset", f"./{data}", "--epochs", "2", "--out", "run", *argv])


def results(folder="run"):
    return json.loads(Path(folder, "results.json").read_text())


CONV = ("--conv", "4x3", "pool2", "6x3p", "--hidden", "8")


@pytest.mark.parametrize("network", ["simple-convnet", "deep-convnet", "cnn"])
def test_a_network_is_chosen_by_its_name(network, images):
    assert run("--network", network, "--no-report", "-q") == 0
    made = load_network("run/weights.npz")
    assert isinstance(made, ConvNet)
    assert made.input_shape == (12, 12)
    config = json.loads(Path("run/config.json").read_text())
    assert config["arguments"]["network"] == network
    assert config["arguments"]["conv"] == made.conv


def test_each_choice_of_a_name_may_be_given_otherwise(images, capsys):
    assert run("--network", "cnn", "--conv", "4x3", "--hidden", "7", "--no-batch-norm", "-q") == 0
    made = load_network("run/weights.npz")
    assert (made.conv, made.sizes[1:-1]) == (["4x3"], (7,))
    assert not made.options.batch_norm


@pytest.mark.parametrize(
    "argv",
    [
        ["--network", "cnn"],
        ["--network", "cnn", "--no-batch-norm"],
        ["--network", "deep-convnet", "--hidden", "none", "--dropout", "0"],
        ["--conv", "4x3", "pool2"],
        ["--network", "cnn", "--conv", "none"],
        ["--network", "simple-convnet", "--initializer", "he"],
    ],
    ids=" ".join,
)
def test_the_command_that_repeats_a_run_asks_for_the_same(argv):
    options = complete(parse(argv))
    words = shlex.split(command(options))
    again = complete(
        parse(words[words.index("train.py") + 1 :] if "train.py" in words else words[2:])
    )
    assert again.asked() == options.asked()


def test_words_may_have_commas_or_spaces_and_come_from_a_file(images):
    Path("c.toml").write_text('network = "cnn"\nconv = ["4x3", "pool2"]\nhidden = [5]')
    for argv in (
        ["--config", "c.toml"],
        [*("--network", "cnn", "--conv", "4x3,pool2"), "--hidden=5"],
    ):
        options = complete(parse(argv))
        assert (options.conv, options.hidden, options.batch_norm) == (["4x3", "pool2"], [5], True)


def test_colours_are_learnt_and_shown(images):
    assert run(*CONV, "--augment", "shift=1", data="colour.npz") == 0
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert page.count('data-kind="colour"') >= 1
    assert "Filters of the first convolution" in page
    assert "Feature maps of a test image" in page
    assert "Threads that share a batch" in page
    assert load_network("run/weights.npz").input_shape == (9, 8, 3)


def test_the_page_says_what_the_most_confident_mistakes_depend_on(images):
    assert run(*CONV, "--lr", "1e-6") == 0
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert results()["test"]["mistakes"]
    assert page.count("<figcaption>saliency</figcaption>") == page.count(
        "<figcaption>Grad-CAM</figcaption>"
    )
    assert 0 < page.count("<figcaption>saliency</figcaption>") <= 8
    assert "Dead units, of images dead channels" in page


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_run_is_resumed_to_the_bit(threads, images):
    argv = [*CONV, "--batch-norm", "--dropout", "0.2", "--threads", threads, "--no-report", "-q"]
    whole = ["--dataset", "./grey.npz", "--out", "whole", "--epochs", "3", *argv]
    assert cli.main(whole) == 0
    assert cli.main(["--dataset", "./grey.npz", "--out", "half", "--epochs", "1", *argv]) == 0
    assert cli.main(["--resume", "half", "--epochs", "3", "-q"]) == 0
    one, other = (load_network(f"{name}/weights.npz") for name in ("whole", "half"))
    assert np.array_equal(one.state_vector, other.state_vector)


def test_threads_that_share_a_batch_are_named(images, capsys):
    assert run(*CONV, "--threads", "2", "--no-report") == 0
    assert "2 threads share each batch" in capsys.readouterr().out


def test_comparison_and_finder_take_images(images, capsys):
    argv = ["--dataset", "./grey.npz", *CONV, "-q"]
    both = ["--optimizer", "sgd", "adam", "--epochs", "2", "--jobs", "1", "--out", "comparison"]
    assert cli.main([*argv, *both]) == 0
    assert {row["optimizer"] for row in results("comparison")["optimizers"]} == {"sgd", "adam"}
    assert cli.main([*argv, "--find-lr", "--out", "found"]) == 0
    assert results("found")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--conv", "4y3"], "argument --conv: a layer of images must be a word, for example 16x3"),
        (["--conv", "4x13"], "Conv2D(4, 13) does not fit into an image of 12 x 12 pixels"),
        (["--network", "lenet"], "argument --network: unknown network 'lenet'"),
        (["--conv", "4x3", "global", "pool2"], "MaxPool(2) needs images"),
        (
            ["--conv", "999999x5", "--hidden", "999999999"],
            "--conv and --hidden must fit into memory",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(argv, message, images, capsys):
    assert run(*argv) == 2 if "argument" not in message else refused_by_parser(argv)
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert not Path("run").exists()


def refused_by_parser(argv):
    with pytest.raises(SystemExit) as caught:
        run(*argv)
    return caught.value.code == 2


def test_data_without_images_is_told_so(here, capsys):
    Path("x.csv").write_text("a,b,label\n" + "1,2,0\n2,1,1\n" * 20)
    for argv in (["--network", "cnn"], ["--conv", "4x3"]):
        assert cli.main(["--dataset", "./x.csv", *argv]) == 2
        assert "need images, and the rows of" in capsys.readouterr().err
    assert cli.main(["--dataset", "./x.csv", "--network", "cnn", "--conv", "none", "-q"]) == 0


def test_a_name_for_larger_images_says_what_smaller_ones_can_have(capsys):
    assert cli.main(["--network", "cnn", "--epochs", "1"]) == 2
    said = capsys.readouterr().err
    assert "--network cnn is for larger images" in said
    assert "--conv 16x3p 32x3p pool2" in said
    argv = ["--network", "cnn", "--conv", "16x3p", "32x3p", "pool2", "--epochs", "1", "-q"]
    assert cli.main(argv) == 0


def test_an_option_of_batch_norm_is_not_idle_where_there_are_convolutions_alone(images, capsys):
    assert run("--conv", "4x3", "--hidden", "none", "--batch-norm", "--no-report") == 0
    assert "no effect" not in capsys.readouterr().err
