"""Comparisons: equal starts and batches, rates tuned without the test samples, honest verdicts."""

import csv
import json
import math
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scratchnet import MultiLayerNet, Samples, Trainer
from scratchnet.compare import Comparison, Trial, compare, half_interval, holm, paired_p
from scratchnet.data import Dataset
from scratchnet.errors import ParameterError
from scratchnet.optimizers import SGD, Momentum
from scratchnet.schedules import Plateau

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6))
T = (X @ RNG.normal(size=(6, 3)) + 0.3 * RNG.normal(size=(400, 3))).argmax(axis=1)
DATA = Dataset("lines", Samples(X[:250], T[:250]), Samples(X[250:], T[250:]), 3)
NETWORK = MultiLayerNet(6, [8], 3)
OPTIONS = {"epochs": 4, "batch_size": 25}


def run(optimizers, **options):
    return compare(optimizers, DATA, NETWORK, **{**OPTIONS, **options})


@pytest.fixture(scope="module")
def three():
    return run(["sgd", "momentum", "adam"], seeds=4, lr_grid=[0.01, 0.1])


def test_all_start_from_the_same_weights_and_see_the_same_batches():
    found = run({"one": SGD(0.1), "other": SGD(0.1)}, seeds=3)
    for first, second in zip(found.of("one"), found.of("other"), strict=True):
        assert [e.loss for e in first.history] == [e.loss for e in second.history]
        assert first.test_accuracy == second.test_accuracy
    assert len({trial.history[0].loss for trial in found.of("one")}) == 3  # seeds differ


def test_a_trial_is_what_the_trainer_gives():
    train, validation = DATA.train.split(0.1, 0)
    network = MultiLayerNet(6, [8], 3, seed=1)
    trainer = Trainer(network, train, validation, optimizer=SGD(0.1), batch_size=25, seed=1)
    history = list(trainer.run(4))
    trial = run({"sgd": SGD(0.1)}, seeds=2).trials[1]
    assert [e.val_loss for e in trial.history] == [e.val_loss for e in history]
    assert (trial.test_loss, trial.test_accuracy) == trainer.evaluate(DATA.test)


def test_the_rate_with_the_best_validation_accuracy_is_chosen(three):
    for name in three.optimizers:
        tried = [t for t in three.tuning if t.optimizer == name]
        assert [t.lr for t in tried] == [0.01, 0.1]
        best = max(tried, key=lambda t: (t.val_accuracy, -t.val_loss))
        assert {t.lr for t in three.of(name)} == {best.lr}


def test_tuning_never_looks_at_the_test_samples(three):
    assert all(t.test_accuracy is None and t.test_loss is None for t in three.tuning)
    assert all(t.test_accuracy is not None for t in three.trials)
    other = Dataset("lines", DATA.train, Samples(X[250:] * 0, (T[250:] + 1) % 3), 3)
    again = compare(
        ["sgd", "momentum", "adam"], other, NETWORK, **OPTIONS, seeds=1, lr_grid=[0.01, 0.1]
    )
    assert [r["lr"] for r in again.summary()] == [r["lr"] for r in three.summary()]


def test_an_automatic_grid_is_around_each_optimizers_own_rate():
    found = run(["sgd", "adam"], lr_grid="auto", epochs=1)
    for name, own in (("sgd", 0.01), ("adam", 0.001)):
        rates = [t.lr for t in found.tuning if t.optimizer == name]
        np.testing.assert_allclose(rates[:7], own * 10.0 ** np.arange(-1.0, 2.1, 0.5))


def test_an_automatic_grid_grows_where_the_best_rate_is_at_its_end():
    found = run({"tiny": SGD(1e-5), "right": SGD(0.03)}, lr_grid="auto")
    rates = [t.lr for t in found.tuning if t.optimizer == "tiny"]
    np.testing.assert_allclose(rates, 1e-5 * 10.0 ** np.arange(-1.0, 4.1, 0.5))
    fixed = run({"tiny": SGD(1e-5)}, lr_grid=[1e-6, 1e-5])
    assert len(fixed.tuning) == 2


def test_the_summary_is_means_and_students_intervals(three):
    for row in three.summary():
        values = [t.test_accuracy for t in three.of(row["optimizer"])]
        assert row["test_accuracy"] == pytest.approx(np.mean(values))
        low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
        assert row["interval"] == pytest.approx((high - low) / 2)


def test_differences_are_paired_over_seeds_and_corrected(three):
    rows = three.differences()
    assert [(r["first"], r["second"]) for r in rows] == [
        ("sgd", "momentum"),
        ("sgd", "adam"),
        ("momentum", "adam"),
    ]
    raw = []
    for row in rows:
        first, second = (
            [t.test_accuracy for t in three.of(row[side])] for side in ("first", "second")
        )
        raw.append(stats.ttest_rel(first, second).pvalue)
        assert row["difference"] == pytest.approx(np.mean(first) - np.mean(second))
    for row, p in zip(rows, holm(raw), strict=True):
        assert row["p"] == pytest.approx(p)
        assert row["verdict"] == ("difference" if p < 0.05 else "no difference shown")


def test_a_renamed_copy_shows_no_difference():
    row = run({"sgd": SGD(0.05), "copy": SGD(0.05)}, seeds=3).differences()[0]
    assert (row["difference"], row["p"], row["verdict"]) == (0.0, 1.0, "no difference shown")


def test_holm_and_the_paired_test_agree_with_what_is_known():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert paired_p([0.1]) == 1.0
    assert paired_p([0.0, 0.0]) == 1.0
    assert paired_p([0.1, 0.1]) == 1.0  # two are too few
    assert paired_p([0.1, 0.1, 0.1]) == pytest.approx(0)
    gaps = [0.01, 0.03, 0.02, 0.05]
    assert paired_p(gaps, 0.001) == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_chance_is_called_a_difference_in_hardly_more_than_5_of_100(seeds):
    rng, n, times = np.random.default_rng(seeds), 360, 2000
    wrong = 0
    for _ in range(times):
        skill = rng.normal(0, 0.005, (2, seeds))
        first, second = rng.binomial(n, np.clip(0.97 + skill, 0, 1)) / n
        wrong += paired_p(list(first - second), 1 / n) < 0.05
    assert wrong / times <= 0.06


def test_one_that_diverged_with_most_seeds_is_never_the_highest():
    def trial(name, seed, accuracy):
        lost = accuracy is None
        return Trial(name, 0.1, seed, (), (), None, accuracy, lost, True)

    wild = [trial("wild", 0, 0.99), *(trial("wild", k, None) for k in range(1, 4))]
    calm = [trial("calm", k, 0.9 + k / 100) for k in range(4)]
    rows = Comparison((*wild, *calm), (), None, 0.01).summary()
    assert [row["verdict"] for row in rows] == ["diverged", "highest"]
    assert wild[1].until(0.0) is None
    assert half_interval([0.5]) is None


def test_epochs_and_seconds_are_counted_to_the_target(three):
    accuracies = [
        min(max(e.val_accuracy for e in t.history) for t in three.of(name))
        for name in three.optimizers
    ]
    assert three.target == min(a for a in accuracies if a >= max(accuracies) - 0.05)
    arrived = [row["epochs_to_target"] is not None for row in three.summary()]
    assert arrived == [a >= three.target for a in accuracies]
    trial = next(t for t in three.trials if t.until(three.target) is not None)
    epochs, seconds = trial.until(three.target)
    assert trial.history[epochs - 1].val_accuracy >= three.target
    assert all(e.val_accuracy < three.target for e in trial.history[: epochs - 1])
    assert seconds == pytest.approx(sum(e.seconds for e in trial.history[:epochs]))
    never = Comparison(three.trials, (), 1.1)
    assert all(row["epochs_to_target"] is None for row in never.summary())
    assert "never" in str(never)


def test_what_diverges_is_counted_and_takes_no_part():
    found = run({"wild": Momentum(1e30), "calm": SGD(0.1)}, seeds=2)
    wild, calm = found.summary()
    assert wild["diverged"] == 2
    assert wild["test_accuracy"] is None
    assert calm["diverged"] == 0
    assert found.differences()[0]["verdict"] == "no difference shown"
    assert "diverged" in str(found)
    tuned = run({"sgd": SGD(0.1)}, lr_grid=[1e30, 0.1])
    assert tuned.summary()[0]["lr"] == 0.1


def test_two_processes_give_what_one_gives():
    one, two = (run(["sgd", "adam"], seeds=2, jobs=jobs) for jobs in (1, 2))
    for a, b in zip(one.trials, two.trials, strict=True):
        assert (a.optimizer, a.lr, a.seed, a.test_loss) == (b.optimizer, b.lr, b.seed, b.test_loss)


def test_the_epochs_are_plain_rows_in_a_file_and_a_frame(three, tmp_path):
    three.to_csv(tmp_path / "all.csv")
    with open(tmp_path / "all.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    frame = three.to_dataframe()
    assert len(rows) == len(frame) == 4 * (len(three.trials) + len(three.tuning))
    assert isinstance(frame, pd.DataFrame)
    assert set(frame["optimizer"]) == {"sgd", "momentum", "adam"}
    assert math.isclose(float(rows[0]["loss"]), frame["loss"][0])


def test_the_table_says_it_all(three):
    lines = str(three).splitlines()
    assert len(lines) == 1 + 3 + 3
    assert lines[0].split()[:3] == ["optimizer", "lr", "test"]
    for line, row in zip(lines[1:4], three.summary(), strict=True):
        assert line.split()[:3] == [
            row["optimizer"],
            f"{row['lr']:.3g}",
            f"{row['test_accuracy']:.4f}",
        ]
        assert line.endswith(
            {"highest": "the highest", "difference": "differs from the highest"}.get(
                row["verdict"], "no difference shown"
            )
        )
    assert f"accuracy of {three.target:.4f}, " in lines[4]
    assert lines[5].startswith("the best rate is at the end of the grid for sgd")
    assert lines[6].startswith("means of 4 seeds")


def test_the_verdict_is_the_test_against_the_highest(three):
    rows = three.summary()
    highest = max(rows, key=lambda row: row["test_accuracy"])
    assert highest["verdict"] == "highest"
    for pair in three.differences():
        names = {pair["first"], pair["second"]}
        if highest["optimizer"] in names:
            (other,) = names - {highest["optimizer"]}
            (row,) = [r for r in rows if r["optimizer"] == other]
            assert row["verdict"] == pair["verdict"]


def test_one_seed_shows_no_difference_and_says_why():
    text = str(run(["sgd", "adam"]))
    assert "no difference shown" in text
    assert "below 3 seeds no difference can be shown" in text


def test_without_validation_there_is_no_target_and_no_tuning():
    found = run(["sgd"], val_split=0)
    assert found.target is None
    assert found.summary()[0]["epochs_to_target"] is None
    with pytest.raises(ParameterError, match="lr_grid needs validation samples"):
        run(["sgd"], val_split=0, lr_grid="auto")


def test_seeds_may_be_listed():
    found = run(["sgd"], seeds=[3, 1])
    assert [t.seed for t in found.trials] == [3, 1]
    with pytest.raises(ParameterError, match="seeds must be a number, or different seeds"):
        run(["sgd"], seeds=[1, 1])


def test_a_trial_is_plain_data_and_back(three):
    for trial in (three.trials[0], three.tuning[0], run({"sgd": SGD(1e30)}).trials[0]):
        text = json.dumps(asdict(trial), allow_nan=False)
        assert Trial.from_dict(json.loads(text)) == trial


def test_the_curve_has_the_mean_loss_of_the_steps(three):
    trial = three.trials[0]
    assert trial.curve[-1][0] == trial.history[-1].steps
    first = [loss for step, loss in trial.curve if step <= trial.history[0].steps]
    assert np.mean(first) == pytest.approx(trial.history[0].loss, rel=0.05)


def test_progress_is_told_of_each_trial(three):
    heard = []
    run(["sgd", "adam"], seeds=2, lr_grid=[0.1, 0.01], progress=lambda *each: heard.append(each))
    assert [(done, total) for _, done, total in heard] == [(k, 8) for k in range(9)]
    assert heard[0][0] is None
    assert all(isinstance(trial, Trial) for trial, _, _ in heard[1:])


def test_schedules_and_augmentation_are_the_trainers():
    plateau = Plateau(patience=1)
    found = run(["sgd", "momentum"], schedule=plateau)
    alone = run(["momentum"], schedule=Plateau(patience=1))
    assert found.of("momentum")[0].test_loss == alone.trials[0].test_loss
    assert plateau.state() == Plateau(patience=1).state()


def test_full_batch_optimizers_take_part_as_they_are():
    found = run(["lbfgs"], lr_grid="auto")
    assert found.tuning == ()
    assert found.trials[0].lr == 1.0


@pytest.mark.parametrize(
    ("optimizers", "options", "words"),
    [
        ([], {}, "at least one optimizer"),
        (["sgd", "SGD"], {}, "must be given once, sgd came twice"),
        (["sdg"], {}, "did you mean 'sgd'"),
        (["sgd"], {"seeds": 0}, "seeds must be an integer >= 1"),
        (["sgd"], {"jobs": 0}, "jobs must be an integer >= 1"),
        (["sgd"], {"lr_grid": "fine"}, "lr_grid must be one of auto"),
        (["sgd"], {"lr_grid": []}, "lr_grid must hold at least one rate"),
        (["sgd"], {"lr_grid": [0.1, 0.1]}, "lr_grid must hold each rate once"),
        (["sgd"], {"lr_grid": 0.1}, "lr_grid must be auto, None or a list of rates"),
        ("sgd", {}, "optimizers must be a list of names"),
        (["sgd"], {"lr_grid": [0.1, 0]}, r"lr_grid\[1\] must be a finite number > 0"),
        (["sgd"], {"target": 0}, "target must be a finite number > 0"),
        (["sgd"], {"epochs": 0}, "epochs must be an integer >= 1"),
    ],
)
def test_what_cannot_be_is_refused(optimizers, options, words):
    with pytest.raises(ParameterError, match=words):
        run(optimizers, **options)


def test_a_trial_that_diverged_says_so():
    trial = run({"sgd": SGD(1e30)}).trials[0]
    assert trial.diverged
    assert trial.val_loss is trial.val_accuracy is trial.test_loss is trial.test_accuracy is None
