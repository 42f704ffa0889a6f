"""The learning-rate finder: the Trainer's own steps, a closed form, and suggestions that train."""

import copy
import math

import numpy as np
import pytest

from scratchnet import MultiLayerNet, Samples, Trainer, make_augmentation
from scratchnet.errors import DivergenceError, OutputError, ParameterError, ShapeError
from scratchnet.inspection.lr_finder import RangeTest, find_lr, plan_rates
from scratchnet.optimizers import LBFGS, OPTIMIZERS, SGD, Adam, Momentum, make_optimizer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(480, 16)).astype(np.float32)
T = (X @ RNG.normal(size=(16, 3)) + 0.3 * RNG.normal(size=(480, 3))).argmax(axis=1)
TRAIN, VALIDATION = Samples(X[:360], T[:360]), Samples(X[360:], T[360:])
WITH_A_RATE = [name for name in OPTIMIZERS if not make_optimizer(name).full_batch]


class Breaks(SGD):
    """Gradient descent whose weights are not finite after so many steps."""

    def __init__(self, at=1):
        super().__init__()
        self.at = at

    def rule(self, w, g):
        super().rule(w, g)
        if self.step == self.at:
            w[...] = np.inf


def net(**options):
    return MultiLayerNet(16, [20], 3, **options)


def find(optimizer="sgd", network=None, **options):
    return find_lr(network or net(), TRAIN, optimizer, **{"batch_size": 20, **options})


def trained_losses(steps, network, **options):
    """The loss of each of so many steps of a Trainer."""
    losses = []
    trainer = Trainer(
        network, TRAIN, batch_size=20, on_step=lambda step, loss: losses.append(loss), **options
    )
    list(trainer.run(-(-steps // len(trainer.batches))))
    return losses[:steps]


# What is tested is training


def test_network_optimizer_and_data_stay_as_they_are():
    network = net(batch_norm=True, dropout=0.3, standardize="features")
    optimizer = Momentum(0.02)
    list(Trainer(network, TRAIN, optimizer=optimizer, batch_size=20).run(1))
    weights, gradient = network.state_vector.copy(), network.gradient_vector.copy()
    draws = [layer.rng and layer.rng.bit_generator.state for layer in network.layers]
    memory, config, x = copy.deepcopy(optimizer.state()), optimizer.config(), TRAIN.digest()
    assert find(optimizer, network).suggestion is not None
    assert network.state_vector.tobytes() == weights.tobytes()
    assert network.gradient_vector.tobytes() == gradient.tobytes()
    assert [layer.rng and layer.rng.bit_generator.state for layer in network.layers] == draws
    np.testing.assert_equal(optimizer.state(), memory)
    assert optimizer.config() == config
    assert TRAIN.digest() == x


@pytest.mark.parametrize("optimizer", WITH_A_RATE)
def test_every_optimizer_with_a_rate_has_the_same_curve_twice(optimizer):
    found = find(optimizer)
    assert found == find(optimizer)
    assert np.isfinite([found.losses, found.smoothed]).all()
    assert found.suggestion in found.rates


def test_another_seed_takes_other_batches():
    assert find(seed=1).losses[0] != find().losses[0]
    assert find(seed=1, shuffle=False).losses[0] == find(shuffle=False).losses[0]


def test_a_test_over_a_hair_of_rates_is_training_at_one_rate():
    train = {"seed": 3, "augment": make_augmentation((4, 4), shift=1)}
    options = {"batch_norm": True, "dropout": [0.3], "noise": 0.2, "l2": 0.01}
    found = find(
        "momentum", net(**options), lowest=0.01, highest=0.01 * (1 + 1e-9), steps=50, **train
    )
    wanted = trained_losses(50, net(**options), optimizer="momentum", lr=0.01, **train)
    assert len(found.losses) == 50  # two epochs of 18 batches, and a part of the third
    np.testing.assert_allclose(found.losses, wanted, rtol=1e-4)
    plain = find("momentum", net(**options), lowest=0.01, highest=0.011, steps=50, seed=3)
    assert abs(plain.losses[0] - wanted[0]) > 1e-3  # the augmentation was passed on


def test_the_first_loss_is_that_of_an_ordinary_first_step():
    assert find("adam").losses[0] == trained_losses(1, net(), optimizer="adam")[0]


def test_each_loss_is_measured_before_the_step_of_its_rate():
    low, high = find(lowest=0.01, highest=1, steps=20), find(lowest=0.1, highest=1, steps=20)
    assert low.losses[0] == high.losses[0]
    assert low.losses[1] != high.losses[1]
    trainer = Trainer(net(), TRAIN, optimizer=SGD(0.1), batch_size=20)
    losses = []
    trainer.on_step = lambda step, loss: losses.append(loss)
    next(trainer.run(1))
    assert high.losses[1] == losses[1]


def test_options_go_to_the_optimizer():
    assert find("momentum", momentum=0.5) == find(Momentum(momentum=0.5))
    assert find("momentum", momentum=0.5) != find("momentum")


def test_the_test_goes_on_from_where_network_and_optimizer_are():
    network, optimizer = net(), Adam()
    list(Trainer(network, TRAIN, optimizer=optimizer, batch_size=20).run(2))
    assert find(optimizer, network).losses[0] < find(Adam()).losses[0]
    assert find(optimizer, network).losses[0] == find(Adam(), network).losses[0]
    assert find(optimizer, network).losses[1:] != find(Adam(), network).losses[1:]


# The rates


def test_rates_are_those_asked_for_and_grow_by_one_factor():
    rates = plan_rates("sgd", 0.001, 10, 41)
    assert (rates[0], rates[-1], len(rates)) == (0.001, 10.0, 41)
    np.testing.assert_allclose(np.divide(rates[1:], rates[:-1]), 10**0.1, rtol=1e-12)
    assert all(type(rate) is float for rate in rates)
    found = find(lowest=0.001, highest=10, steps=41)
    assert found.rates == rates[: len(found.rates)]


def test_by_default_they_lie_around_the_optimizers_own_rate():
    for optimizer, own in (("sgd", 0.01), ("adam", 0.001), (Adam(0.3), 0.3)):
        rates = plan_rates(optimizer)
        np.testing.assert_allclose(rates[:: len(rates) - 1], [own / 1000, own * 10_000])
        assert len(rates) == 210
    assert len(plan_rates("sgd", 0.1, 1)) == 30
    assert len(plan_rates("sgd", 0.1, 0.11)) == 20


# What is read off the curve


@pytest.mark.parametrize(
    ("beta", "options"),
    [(0.9, {}), (0.95, {"lowest": 0.1, "highest": 0.2, "steps": 80}), (0.0, {"steps": 20})],
)
def test_losses_are_smoothed_over_a_third_of_a_tenfold_or_a_quarter_of_all(beta, options):
    found = find(**options)
    s = 0.0
    for k, (loss, smoothed) in enumerate(zip(found.losses, found.smoothed, strict=True), 1):
        s = beta * s + (1 - beta) * loss
        assert smoothed == pytest.approx(s / (1 - beta**k), rel=1e-12)


def test_the_suggestion_is_where_seven_tenths_of_the_fall_are_done():
    found = find()
    start, lowest = min(found.smoothed[:10]), min(found.smoothed)
    done = [(start - y) / (start - lowest) for y in found.smoothed]
    k = found.rates.index(found.suggestion)
    assert done[k] >= 0.7 > max(done[:k])


def test_gradient_descent_on_least_squares_follows_its_closed_form():
    # L = |A w - t|^2 / 2N has the Hessian H = A^T A / N: along each eigenvector the way to the
    # minimum shrinks by 1 - lr lambda at a step, so L falls at every lr below 2 / largest lambda.
    x = RNG.normal(size=(60, 5)) * [3.0, 1.0, 1.0, 1.0, 1.0]
    t = x @ RNG.normal(size=(5, 1)) + RNG.normal(size=(60, 1))
    network = MultiLayerNet(5, [], 1, loss="mean-squared-error", labels="values", dtype="float64")
    a = np.hstack([x, np.ones((60, 1))])
    eigenvalues, vectors = np.linalg.eigh(a.T @ a / 60)
    best = np.linalg.lstsq(a, t, rcond=None)[0].ravel()
    floor = float(np.sum((a @ best - t.ravel()) ** 2)) / 120
    way = vectors.T @ (network.vector - best)
    found = find_lr(network, (x, t), "sgd", batch_size=60, lowest=1e-5, highest=10)
    wanted = []
    for lr in found.rates:
        wanted.append(floor + 0.5 * np.sum(eigenvalues * way**2))
        way *= 1 - lr * eigenvalues
    limit = 2 / eigenvalues[-1]
    stable = sum(rate < limit for rate in found.rates)
    np.testing.assert_allclose(found.losses[: stable + 1], wanted[: stable + 1], rtol=1e-9)
    np.testing.assert_allclose(found.losses, wanted, rtol=0.05)  # rounding errors grow there too
    assert np.all(np.diff(found.losses[: stable + 1]) < 0)
    assert limit / 30 < found.suggestion < limit
    assert found.rates[-1] > limit
    assert found.losses[-1] > 4 * min(found.losses)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "rmsprop", "lion"])
def test_the_suggestion_trains_about_as_well_as_the_best_rate_of_a_grid(optimizer):
    def trained(lr):
        trainer = Trainer(net(), TRAIN, VALIDATION, optimizer=optimizer, lr=lr, batch_size=20)
        try:
            return list(trainer.run(5))[-1].val_loss
        except DivergenceError:
            return math.inf

    own = make_optimizer(optimizer).lr
    losses = {lr: trained(lr) for lr in own * 10.0 ** np.arange(-2, 3.1, 0.5)}
    best, found = min(losses, key=losses.get), find(optimizer).suggestion
    assert 0.1 < found / best < 10
    assert trained(found) < 1.5 * losses[best]
    assert trained(found) < 0.7 * losses[own * 0.01]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lion"])
def test_the_test_ends_where_the_loss_is_far_above_its_lowest_value(optimizer):
    found = find(optimizer)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 210
    start, lowest = np.mean(found.losses[:10]), min(found.smoothed)
    limit = lowest + 3 * max(lowest, start - lowest)
    assert max(found.smoothed[:-1]) <= limit < found.smoothed[-1]


def test_a_value_that_is_not_finite_ends_the_test():
    found = find(Breaks(at=150))
    assert len(found.losses) == len(found.rates) == 150
    assert found.losses == find().losses[:150]
    assert found.suggestion in found.rates
    assert len(find(Breaks(at=10)).losses) == 10
    with pytest.raises(ParameterError, match=r"survives 10 steps, .* 1e-05 it diverged at step 10"):
        find(Breaks(at=9))
    with pytest.raises(ParameterError, match=r"lowest must be .* 1e\+20 it diverged at step \d;"):
        find(lowest=1e20, highest=1e25)


def test_a_network_that_is_broken_from_the_start_is_not_blamed_on_the_rate():
    network = net()
    network.params["W1"][0, 0] = np.nan
    with pytest.raises(DivergenceError, match="at step 1: the loss is nan, the parameter W1"):
        find(network=network)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("batch_size", [1, 20, 360])
def test_a_loss_that_never_falls_gives_none_and_says_so(seed, batch_size):
    level = find(lowest=1e-12, highest=1e-9, seed=seed, batch_size=batch_size)
    assert level.suggestion is None
    assert len(level.losses) == 90  # one batch far above the first is no end
    assert "no suggestion: the loss never fell" in str(level)
    assert "^" not in str(level)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("lowest", [30, 100])
def test_a_loss_that_only_shoots_up_and_comes_back_gives_none(optimizer, lowest):
    assert find(optimizer, lowest=lowest, highest=1000 * lowest).suggestion is None


def test_a_range_that_ends_while_the_loss_falls_says_so():
    found = find(lowest=1e-5, highest=0.3)
    assert found.suggestion is not None
    assert "still fell at the last rate: raise `highest`" in str(found)
    assert "still fell" not in str(find())


# What comes out


def test_a_printed_test_is_the_suggestion_and_a_curve_in_plain_characters():
    found = find()
    lines = str(found).splitlines()
    assert lines[0] == f"suggested lr {found.suggestion:.3g}"
    assert str(found).isascii()
    assert max(map(len, lines)) <= 71
    curve, axis, under = lines[2:12], lines[12], lines[13]
    assert all(line[10] == "|" for line in curve)
    share = math.log(found.suggestion / found.rates[0]) / math.log(found.rates[-1] / found.rates[0])
    assert axis.index("^") == 11 + round(59 * share)
    marks = {(row, line.index("*", 11)) for row, line in enumerate(curve) if "*" in line[11:]}
    assert curve[9][11:].index("*") > axis.index("^") - 11  # the lowest point lies behind it
    assert min(column for _, column in marks) == 11
    assert under.split() == ["loss", f"{found.rates[0]:.3g}", "lr", f"{found.rates[-1]:.3g}"]


def test_a_curve_that_is_level_can_be_printed():
    rates = plan_rates("sgd", 0.1, 1)
    level = RangeTest(rates, (2.0,) * 30, (2.0,) * 30, None)
    assert str(level).splitlines()[4].count("*") == 30


def test_the_file_holds_the_very_numbers(tmp_path):
    found = find()
    found.to_csv(tmp_path / "lr.csv")
    lines = (tmp_path / "lr.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "rate,loss,smoothed"
    read = [tuple(map(float, line.split(","))) for line in lines[1:]]
    assert read == list(zip(found.rates, found.losses, found.smoothed, strict=True))
    with pytest.raises(OutputError):
        found.to_csv(tmp_path / "nowhere" / "lr.csv")


@pytest.mark.parametrize(
    ("optimizer", "options", "words"),
    [
        ("sgd", {"lowest": 0}, "lowest must be a finite number > 0, got 0"),
        ("sgd", {"highest": math.inf}, "highest must be a finite number > 0, got inf"),
        ("sgd", {"lowest": "low"}, "lowest must be a finite number > 0, got 'low'"),
        ("sgd", {"lowest": 1.0, "highest": 1.0}, "highest must be above lowest, 1, got 1; "),
        ("sgd", {"lowest": 1e3}, "highest must be above lowest, 1000, got 100; "),
        ("sgd", {"steps": 19}, "steps must be an integer >= 20, got 19"),
        ("sgd", {"steps": 30.0}, "steps must be an integer >= 20"),
        ("sgd", {"batch_size": 0}, "batch_size must be an integer >= 1"),
        ("sgd", {"seed": -1}, "seed must be an integer >= 0"),
        ("sgd", {"threads": 0}, "threads must be an integer >= 1"),
        ("sgd", {"schedule": "cosine"}, "leave schedule out"),
        ("sdg", {}, "did you mean 'sgd'"),
        ("lbfgs", {}, "optimizer must be one that steps at a rate .* got LBFGS"),
        ("rprop", {}, "optimizer must be one that steps at a rate .* got Rprop"),
        ("ema", {"inner": LBFGS()}, "optimizer must be one that steps at a rate .* got EMA"),
        (SGD(), {"momentum": 0.5}, "give lr and options to the optimizer itself"),
    ],
)
def test_what_cannot_be_is_refused(optimizer, options, words):
    with pytest.raises(ParameterError, match=words):
        find(optimizer, **options)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="train must have the 16 columns"):
        find_lr(net(), (X[:, :5], T))
