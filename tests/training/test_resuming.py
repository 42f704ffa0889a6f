"""Checkpoints of a Trainer: what they hold, what may differ, which of a folder is taken."""

import os
from typing import Any

import numpy as np
import pytest

from scratchnet import Adam, EarlyStopping, MultiLayerNet, Trainer, TwoLayerNet, environment
from scratchnet.data import make_augmentation
from scratchnet.errors import DataError, DivergenceError, ParameterError
from scratchnet.networks.naming import old_names
from scratchnet.networks.weights import weights_in
from scratchnet.optimizers import EMA
from scratchnet.parallel import Alone
from scratchnet.storage.archive import pack, read_archive, unpack, write_archive
from scratchnet.storage.checkpoint import Checkpoints, state_digest
from scratchnet.training.resuming import (
    checkpoint_of,
    load_weights,
    restore_checkpoint,
    save_checkpoint,
    save_weights,
)
from scratchnet.training.state import batch_stats_of


def trainer(seed: int = 0, **options: Any) -> Trainer:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(50, 3)).astype("float32"), rng.integers(0, 3, 50)
    options = {"batch_size": 20, "seed": seed, **options}
    return Trainer(MultiLayerNet(3, [4, 2], 3), (x, t), (x, t), **options)


def test_a_checkpoint_has_the_weights_by_name_and_a_network_can_be_loaded_from_it(tmp_path):
    one = trainer()
    list(one.run(2))
    save_checkpoint(tmp_path / "c.npz", one)
    with np.load(tmp_path / "c.npz", allow_pickle=False) as members:
        np.testing.assert_array_equal(members["W1"], one.network.params["W1"])
        assert "trainer.optimizer.memory.vector.m" in members.files
    np.testing.assert_array_equal(load_weights(tmp_path / "c.npz").vector, one.network.vector)


def test_weights_are_no_checkpoint(tmp_path):
    save_weights(trainer().network, tmp_path / "w.npz")
    with pytest.raises(DataError, match="it has weights, but nothing to resume from"):
        restore_checkpoint(tmp_path / "w.npz", trainer())


def test_other_settings_are_named_and_only_overridden_on_demand(tmp_path):
    one, path = trainer(), tmp_path / "c.npz"
    list(one.run(1))
    save_checkpoint(path, one)
    other = trainer(seed=1, lr=0.5)
    with pytest.raises(ParameterError, match=r"optimizer lr was 0.001, is 0.5; seed was 0, is 1"):
        restore_checkpoint(path, other)
    assert other.steps == 0
    notes = restore_checkpoint(path, other, override=True)
    assert notes == [
        "settings overridden: optimizer lr was 0.001, is 0.5",
        "settings overridden: seed was 0, is 1",
    ]
    assert other.steps == 3


def test_another_network_is_refused_by_the_first_parameter_that_differs(tmp_path):
    one, path = trainer(), tmp_path / "c.npz"
    save_checkpoint(path, one)
    other = trainer()
    other.network = MultiLayerNet(3, [4, 5], 3)
    with pytest.raises(DataError, match=r"must hold W2 with shape .*\(4, 5\) .*got \(4, 2\)"):
        restore_checkpoint(path, other, override=True)


def test_all_that_does_not_fit_is_named_and_nothing_is_changed(tmp_path):
    one, path = trainer(), tmp_path / "c.npz"
    list(one.run(1))
    save_checkpoint(path, one)
    arrays, header = read_archive(path)
    arrays["b1"] = arrays["b1"].astype("float64")
    arrays["W9"] = arrays.pop("W3")
    write_archive(path, arrays, header)
    other = trainer()
    before = other.network.vector.tobytes()
    with pytest.raises(DataError) as caught:
        restore_checkpoint(path, other)
    assert str(caught.value) == (
        f"{str(path)!r} must hold W3 with shape and dtype (2, 3) float32, got nothing; "
        "must hold b1 with shape and dtype (4,) float32, got (4,) float64; "
        "holds W9, which the network does not have; make the network that it was saved from"
    )
    assert other.network.vector.tobytes() == before
    assert (other.steps, other.history) == (0, [])


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"optimizer": "sgd"},
        lambda: {"optimizer": "muon"},
        lambda: {"optimizer": EMA(inner=Adam(), decay=0.9)},
        lambda: {"schedule": "plateau"},
        lambda: {"optimizer": "schedule-free-adamw", "schedule": "one-cycle"},
    ],
    ids=["SGD", "Muon", "EMA", "plateau", "both"],
)
def test_another_optimizer_or_schedule_begins_anew_where_it_is_forced(make, tmp_path):
    one, path = trainer(), tmp_path / "c.npz"
    list(one.run(2))
    save_checkpoint(path, one)
    other = trainer(**make())
    with pytest.raises(ParameterError, match="was saved with other settings: "):
        restore_checkpoint(path, other)
    notes = restore_checkpoint(path, other, override=True)
    begun = [f"the {k} is another, and starts with an empty state" for k in make()]
    assert [note for note in notes if not note.startswith("settings")] == begun
    np.testing.assert_array_equal(other.network.vector, one.network.vector)
    assert [epoch.number for epoch in other.run(2)] == [3, 4]
    save_checkpoint(path, other)
    again = trainer(**make())
    assert restore_checkpoint(path, again) == []
    list(again.run(1))
    list(other.run(1))
    assert again.network.vector.tobytes() == other.network.vector.tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h.pop("settings"), "lacks 'settings'"),
        (lambda h: h.pop("environment"), "lacks 'environment'"),
        (lambda h: h["trainer"].pop("optimizer"), "lacks 'optimizer'"),
        (lambda h: h["trainer"].update(optimizer=3), "does not fit: "),
        (lambda h: h["trainer"].update(history=3), "lacks 'times'"),
        (lambda h: h["trainer"].update(history=[3]), "lacks 'times'"),
        (lambda h: h["trainer"]["history"].pop("times"), "does not fit: "),
        (lambda h: h["trainer"]["history"].pop("loss"), "does not fit: "),
        (lambda h: h["trainer"].update(steps="6"), "does not fit: "),
        (lambda h: h["trainer"].update(epochs=-1), "does not fit: "),
        (lambda h: h["trainer"].update(right=True), "does not fit: "),
        (lambda h: h["trainer"].update(loss_sum=[1]), "does not fit: "),
        (lambda h: h.update(trainer=[]), "does not fit: "),
    ],
)
def test_a_header_that_is_whole_and_wrong_is_a_data_error(change, words, tmp_path):
    one, path = trainer(), tmp_path / "c.npz"
    list(one.run(1))
    save_checkpoint(path, one)
    arrays, header = read_archive(path)
    change(header)
    write_archive(path, arrays, header)
    with pytest.raises(DataError) as caught:
        restore_checkpoint(path, trainer())
    assert f"{str(path)!r} has a header that {words}" in str(caught.value)


def test_a_checkpoint_without_a_state_has_no_digest_of_it(tmp_path):
    write_archive(tmp_path / "c.npz", {}, {"format": "scratchnet checkpoint", "version": 1})
    with pytest.raises(DataError, match="a header that lacks 'network'; take another copy"):
        state_digest(tmp_path / "c.npz")


def test_another_environment_is_reported(tmp_path, monkeypatch):
    one, path = trainer(), tmp_path / "c.npz"
    save_checkpoint(path, one)
    about = environment.describe()
    monkeypatch.setattr(environment, "describe", lambda: about | {"numpy": "9.9"})
    assert restore_checkpoint(path, trainer()) == [
        f"environment: numpy was {np.__version__!r}, is '9.9'; the last bits of results may differ"
    ]


def test_values_that_are_not_finite_are_never_saved_over_good_ones(tmp_path):
    one, path = trainer(), tmp_path / "c.npz"
    list(one.run(1))
    save_checkpoint(path, one)
    before = path.read_bytes()
    one.optimizer.slot_values["vector"]["v"][3] = np.inf
    with pytest.raises(DivergenceError, match=r"by step 3: trainer.optimizer.memory.vector.v is"):
        save_checkpoint(path, one)
    assert path.read_bytes() == before


def test_the_last_two_checkpoints_are_kept_and_the_latest_good_one_is_found(tmp_path):
    one, kept = trainer(), Checkpoints(tmp_path)
    for _ in one.run(4):
        kept.save(one.steps, *checkpoint_of(one))
    names = [path.name for path in kept.numbered()]
    assert names == ["checkpoint-00000009.npz", "checkpoint-00000012.npz"]
    newest = tmp_path / names[-1]
    newest.write_bytes(newest.read_bytes()[:-30])
    path, header, reasons, _ = kept.latest()
    assert path.name == names[0]
    assert header["trainer"]["steps"] == 9
    assert len(reasons) == 1
    assert "going back to the one before" in reasons[0]
    path.write_bytes(b"")
    with pytest.raises(DataError, match="no checkpoint that can be read"):
        kept.latest()
    assert len(kept.numbered()) == 2


def test_a_newer_checkpoint_that_is_damaged_is_not_kept_in_place_of_a_good_one(tmp_path):
    one, kept = trainer(), Checkpoints(tmp_path)
    (tmp_path / "checkpoint-00000099.npz").write_bytes(b"damaged")
    for _ in one.run(3):
        kept.save(one.steps, *checkpoint_of(one))
    names = [path.name for path in kept.numbered()]
    assert names == [f"checkpoint-{k:08d}.npz" for k in (6, 9, 99)]
    assert kept.latest()[0].name == "checkpoint-00000009.npz"


def test_steps_beyond_eight_digits_are_still_in_their_order(tmp_path):
    one, kept = trainer(), Checkpoints(tmp_path)
    for steps in (99_999_998, 99_999_999, 100_000_000, 100_000_001):
        one.steps = steps
        kept.save(one.steps, *checkpoint_of(one))
    names = [path.name for path in kept.numbered()]
    assert names == ["checkpoint-100000000.npz", "checkpoint-100000001.npz"]
    assert kept.latest()[0].name == names[1]


def test_what_only_looks_like_a_checkpoint_is_none_and_stays(tmp_path):
    names = ["checkpoint-1.npz", "checkpoint-best.npz", "checkpoint-00000009.npz.bak", "x.npz"]
    for name in names:
        (tmp_path / name).touch()
    kept = Checkpoints(tmp_path)
    assert kept.numbered() == []
    with pytest.raises(DataError, match=r"no checkpoint that can be read in '[^']+'$"):
        kept.latest()
    for _ in (one := trainer()).run(3):
        kept.save(one.steps, *checkpoint_of(one))
    assert set(names) < set(os.listdir(tmp_path))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read '.*none': No such file .*; name the folder"):
        Checkpoints(tmp_path / "none").latest()


def test_strays_of_a_run_that_died_are_cleared_and_nothing_else(tmp_path):
    names = [".checkpoint-00000003.npz.tmp.77.0af3", ".history.csv.tmp.1.ff", "notes.tmp", ".lock"]
    for name in names:
        (tmp_path / name).touch()
    Checkpoints(tmp_path).clear_strays()
    assert sorted(os.listdir(tmp_path)) == [".lock", "notes.tmp"]


def test_early_stopping_and_the_caller_s_own_are_saved_and_restored(tmp_path):
    one, path = trainer(), tmp_path / "c.npz"
    stopping = EarlyStopping(one.network, 3)
    for epoch in one.run(2):
        stopping.should_stop(epoch)
    save_checkpoint(path, one, stopping, {"note": "mine"})
    arrays, header = read_archive(path)
    assert header["run"] == {"note": "mine"}
    assert header["environment"]["batch_stats"] == "all"
    assert "stopping.weights" in arrays
    other = trainer()
    restored = EarlyStopping(other.network, 3)
    before = restored.state()
    before.pop("weights")
    assert restore_checkpoint(path, other, restored) == []
    now, then = restored.state(), stopping.state()
    np.testing.assert_array_equal(now.pop("weights"), then.pop("weights"))
    assert now == then != before
    save_checkpoint(path, one)
    untouched = EarlyStopping(other.network, 3)
    restore_checkpoint(path, trainer(), untouched)
    assert untouched.best_epoch == before["best_epoch"]
    assert read_archive(path)[1]["run"] == {}


CHANGED = {
    "batch_size was 20, is 10": {"batch_size": 10},
    "shuffle was True, is False": {"shuffle": False},
    "remeasure was 0, is 10": {"remeasure": 10},
    "seed was 0, is 1": {"seed": 1},
}


@pytest.mark.parametrize("message", CHANGED)
def test_each_setting_is_named_if_it_differs(message, tmp_path):
    save_checkpoint(tmp_path / "c.npz", trainer())
    with pytest.raises(ParameterError) as caught:
        restore_checkpoint(tmp_path / "c.npz", trainer(**CHANGED[message]))
    assert str(caught.value).endswith(f"other settings: {message}; use the same, or override")


def test_other_samples_and_another_augmentation_are_named_too(tmp_path):
    rng = np.random.default_rng(0)
    x, t = rng.random((30, 9)).astype("float32"), np.arange(30) % 2

    def made(train=x, test=(x, t), **options):
        return Trainer(TwoLayerNet(9, 3, 2), (train, t), test, **options)

    moved = make_augmentation((3, 3), shift=1)
    save_checkpoint(tmp_path / "c.npz", made(augment=moved))
    assert restore_checkpoint(tmp_path / "c.npz", made(augment=moved)) == []
    for words, other in (
        ("train was '.*', is '.*'", made(x + 1, augment=moved)),
        ("validation was '.*', is '.*'", made(test=(x + 1, t), augment=moved)),
        ("validation was '.*', is None", made(test=None, augment=moved)),
        ("augment shift was 1, is 2", made(augment=make_augmentation((3, 3), shift=2))),
        ("augment was {.*}, is None", made()),
    ):
        with pytest.raises(ParameterError, match=f"other settings: {words}; use the same"):
            restore_checkpoint(tmp_path / "c.npz", other)


class Ranks(Alone):
    """One process that says it measures the rows of each rank alone."""

    batch_stats = "rank"


def batch_normed(ranks=None):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(40, 3)).astype("float32"), rng.integers(0, 3, 40)
    network = MultiLayerNet(3, [4], 3, batch_norm=True)
    made = Trainer(network, (x, t), batch_size=20)
    made.parallel = made.parallel if ranks is None else ranks
    return made


OTHER_ROWS = (
    "batch normalization now measures other rows than before, which makes this another network"
)


def test_other_rows_for_batch_normalization_are_noted(tmp_path):
    path = tmp_path / "c.npz"
    assert batch_stats_of(batch_normed()) == "all"
    assert batch_stats_of(batch_normed(Ranks())) == "rank"
    nothing_measures = trainer()
    nothing_measures.parallel = Ranks()
    assert batch_stats_of(nothing_measures) == "all"
    save_checkpoint(path, batch_normed())
    assert restore_checkpoint(path, batch_normed()) == []
    assert restore_checkpoint(path, batch_normed(Ranks())) == [OTHER_ROWS]
    save_checkpoint(path, batch_normed(Ranks()))
    assert restore_checkpoint(path, batch_normed(Ranks())) == []
    arrays, header = read_archive(path)
    for rows, ranks in (("rank", 1), ("all", 1), ("rank", 2), ("all", 2)):
        noted = rows == "rank"
        header["environment"] |= {"batch_stats": rows, "ranks": ranks}
        write_archive(path, arrays, header)
        assert (OTHER_ROWS in restore_checkpoint(path, batch_normed())) is noted
    for name in ("batch_stats", "ranks"):  # a file of before there were ranks
        del header["environment"][name]
    write_archive(path, arrays, header)
    assert restore_checkpoint(path, batch_normed()) == []


def test_equal_courses_have_equal_states_whatever_time_they_took(tmp_path):
    one = trainer()
    list(one.run(2))
    rows = one.state()["history"]
    assert [(row["seconds"], row["samples_per_second"]) for row in rows] == [(0.0, 0.0)] * 2
    other = trainer()
    other.restore(one.state(), [0.5, 0.25])
    assert [epoch.seconds for epoch in other.history] == [0.5, 0.25]
    assert [epoch.samples_per_second for epoch in other.history] == [100.0, 200.0]
    with pytest.raises(ValueError, match="zip"):
        other.restore(one.state(), [0.5])


def test_a_checkpoint_with_the_names_of_version_0_1_brings_the_state_of_every_array(tmp_path):
    def made():
        network = MultiLayerNet(3, [4, 3], 3, batch_norm=True)
        rng = np.random.default_rng(0)
        samples = rng.normal(size=(40, 3)).astype("float32"), rng.integers(0, 3, 40)
        return Trainer(network, samples, optimizer="lamb", batch_size=20)

    one, path = made(), tmp_path / "c.npz"
    list(one.run(2))
    save_checkpoint(path, one)
    arrays, header = read_archive(path)
    old = old_names(one.network.layers)
    assert any(new != before for new, before in old.items())
    state = unpack(header["trainer"], arrays)
    for kept in ("memory", "steps", "numbers"):
        tree = state["optimizer"][kept]
        state["optimizer"][kept] = {old.get(name, name): value for name, value in tree.items()}
    renamed = {old.get(name, name): array for name, array in weights_in(arrays).items()}
    header["trainer"] = pack(state, "trainer", renamed)
    write_archive(path, renamed, header)
    other = made()
    assert restore_checkpoint(path, other) == []
    for each in (one, other):
        list(each.run(1))
    np.testing.assert_array_equal(other.network.state_vector, one.network.state_vector)
