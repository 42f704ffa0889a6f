"""How many threads of BLAS a training uses: by sizes alone, or as asked for."""

import numpy as np
import pytest

from scratchnet import MultiLayerNet, Samples, Trainer, cli
from scratchnet.errors import ParameterError
from scratchnet.training.threads import suggest_threads


@pytest.mark.parametrize(
    ("sizes", "batch", "processors", "threads"),
    [
        ((784, 100, 10), 128, 64, 1),
        ((784, 512, 10), 128, 64, 1),
        ((784, 1000, 10), 250, 64, 5),
        ((784, 1000, 10), 250, 2, 2),
        ((64, 10), 1, 8, 1),
    ],
)
def test_the_number_of_threads_goes_by_the_largest_product(
    sizes, batch, processors, threads, monkeypatch
):
    monkeypatch.setattr("scratchnet.training.threads.processors", lambda: processors)
    network = MultiLayerNet(sizes[0], list(sizes[1:-1]), sizes[-1])
    assert suggest_threads(network, batch) == threads
    samples = Samples(np.zeros((300, sizes[0])), np.zeros(300, int))
    assert Trainer(network, samples, batch_size=batch).threads == threads
    assert Trainer(network, samples, batch_size=batch, threads=3).threads == 3
    assert Trainer(network, samples, batch_size=batch, threads=None).threads is None


@pytest.mark.parametrize("threads", [0, "many", 1.5])
def test_other_numbers_of_threads_are_refused(threads):
    samples = Samples(np.zeros((4, 2)), [0, 1, 0, 1])
    with pytest.raises(ParameterError, match="threads must be"):
        Trainer(MultiLayerNet(2, [3], 2), samples, threads=threads)


def test_a_resumed_run_has_the_threads_it_began_with(small, here, monkeypatch, capsys):
    monkeypatch.setattr("scratchnet.training.threads.suggest_threads", lambda *_: 2)
    assert cli.main(["--dataset", small, "--epochs", "1", "--out", "new", "--no-report"]) == 0
    assert "2 threads" in capsys.readouterr().out
    monkeypatch.setattr("scratchnet.training.threads.suggest_threads", lambda *_: 1)
    assert cli.main(["--resume", "new", "--epochs", "2"]) == 0
    assert "2 threads" in capsys.readouterr().out
