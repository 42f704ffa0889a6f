"""The ways in: a home folder, a module, a notebook, a file from an editor of Windows."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from scratchnet import Samples, TwoLayerNet, cli, load, load_network
from scratchnet.cli.parser import program, typed_words


@pytest.fixture
def home(here, monkeypatch):
    """A home folder that is not the working one."""
    folder = here / "home of me"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder


def test_a_tilde_is_the_home_folder_at_every_door_of_the_command_line(home, small):
    shutil.copy(small, home / "set.npz")
    (home / "c.toml").write_text('epochs = 1\nout = "~/from toml"\n')
    argv = ["--dataset=~/set.npz", "--no-report", "-q"]
    assert cli.main([*argv, "--epochs", "1", "--out=~/run"]) == 0
    assert cli.main(["--resume=~/run", "--epochs", "2", "-q"]) == 0
    assert cli.main([*argv, "--config=~/c.toml"]) == 0
    names = {"run", "from toml", "set.npz", "c.toml"}
    assert {path.name for path in home.iterdir()} == names
    assert not (home.parent / "~").exists()


def test_a_tilde_is_the_home_folder_in_python(home, small):
    shutil.copy(small, home / "set.npz")
    assert len(load("~/set.npz").train) == 201
    network = TwoLayerNet(20, 3, 4)
    network.save("~/net.npz")
    assert (home / "net.npz").exists()
    np.testing.assert_array_equal(load_network("~/net.npz").vector, network.vector)
    np.save(home / "x.npy", np.ones((5, 3), "float32"))
    assert len(Samples.open("~/x.npy", np.zeros(5, int))) == 5


@pytest.mark.parametrize("module", ["scratchnet", "scratchnet.cli"])
def test_the_module_is_the_command(module, here):
    call = [sys.executable, "-m", module, "--epochs", "1", "-q", "--no-report"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "after 1 epoch" in done.stdout
    wrong = subprocess.run([*call, "--lr", "x"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("scratchnet: error: argument --lr")


@pytest.mark.parametrize("kernel", ["ipykernel_launcher.py", "colab_kernel_launcher.py"])
def test_a_notebook_s_kernel_is_no_program_and_its_arguments_are_not_ours(
    kernel, here, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", [f"/lib/{kernel}", "-f", "/kernels/1.json"])
    assert program() == "scratchnet"
    with pytest.raises(SystemExit):
        cli.main(["--lr", "x"])
    assert capsys.readouterr().err.startswith("scratchnet: error: argument --lr")
    assert typed_words() == []


def test_toml_with_a_byte_order_mark_is_read(here):
    (here / "c.toml").write_bytes(b"\xef\xbb\xbfepochs = 1\n")
    assert cli.main(["--config", "c.toml", "-q", "--no-report"]) == 0
