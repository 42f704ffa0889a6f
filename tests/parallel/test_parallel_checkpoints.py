"""Training on ranks that is interrupted, saved by the first, and resumed on as many or others."""

import numpy as np
import pytest
from test_parallel import RANKS, difference, network, samples
from threads_mpi import run_ranks

from scratchnet import Trainer
from scratchnet.parallel import MPIGradients


def trainer_of(comm, **options):
    parallel = None if comm is None else MPIGradients(comm)
    return Trainer(
        network(batch_norm=True, dropout=0.2),
        samples(),
        samples(31, seed=4),
        optimizer="adam",
        batch_size=20,
        parallel=parallel,
        **options,
    )


class Stopped(Exception):
    pass


def broken_off(comm, path):
    """Four epochs, broken off and saved within the second."""
    trainer = trainer_of(comm)

    def stop(step, loss):
        if step == 8:
            raise Stopped

    trainer.on_step = stop
    with pytest.raises(Stopped):
        list(trainer.run(4))
    trainer.save(path)
    return path


def gone_on_with(comm, path):
    """What was broken off, by another Trainer to the end, and the notes of resuming."""
    trainer = trainer_of(comm)
    notes = trainer.resume(path)
    list(trainer.run(3, planned=4))
    return trainer, notes


@pytest.mark.parametrize("size", RANKS)
def test_resuming_on_as_many_ranks_gives_the_same_bits(size, tmp_path):
    def whole(comm):
        trainer = trainer_of(comm)
        list(trainer.run(4))
        return trainer

    run_ranks(size, lambda comm: broken_off(comm, tmp_path / "c.npz"))
    unbroken = run_ranks(size, whole)[0]
    for trainer, notes in run_ranks(size, lambda comm: gone_on_with(comm, tmp_path / "c.npz")):
        assert np.array_equal(trainer.network.state_vector, unbroken.network.state_vector)
        assert [e.loss for e in trainer.history] == [e.loss for e in unbroken.history]
        assert notes == []


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (4, 2)])
def test_resuming_on_another_number_of_ranks_is_the_same_to_rounding_and_says_so(
    before, after, tmp_path
):
    run_ranks(before, lambda comm: broken_off(comm, tmp_path / "c.npz"))
    serial = trainer_of(None)
    list(serial.run(4))
    for trainer, notes in run_ranks(after, lambda comm: gone_on_with(comm, tmp_path / "c.npz")):
        assert difference(serial, trainer) < 1e-10
        assert f"environment: ranks was {before}, is {after}" in notes[0]


def test_only_the_first_rank_writes(tmp_path):
    def work(comm):
        trainer_of(comm).save(tmp_path / f"{comm.Get_rank()}.npz")

    run_ranks(3, work)
    assert [path.name for path in tmp_path.iterdir()] == ["0.npz"]


def test_evaluation_needs_no_other_rank():
    def work(comm):
        trainer = trainer_of(comm)
        return trainer.evaluate(samples(30)) if comm.Get_rank() == 1 else None

    assert run_ranks(3, work)[1] == pytest.approx(trainer_of(None).evaluate(samples(30)))
