"""Minimise a noisy quadratic in 100 dimensions, and compare with published final losses.

The problem is quadratic_deep of Schneider, Balles and Hennig 2019 ("DeepOBS: a deep learning
optimizer benchmark suite"): the mean over samples x of 1/2 (theta - x)^T Q (theta - x), from
theta = 1. Q has 90 eigenvalues from U(0, 1) and 10 from U(30, 60) along axes turned at random;
x ~ N(0, 0.6^2), 1,000 samples for training and 1,000 for the test. Batches of 128, the remainder
dropped: 7 batches an epoch, 100 epochs, and a test loss over 896 samples.

The first tables use the published rates. The last two give every optimizer the rate, out of 36,
with the lowest final training loss over three seeds that are not reported; test samples have no
part in that choice. The order of samples is drawn from the seed once ("fixed", as in the published
runs), or anew for every epoch ("reshuffled").
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from lib.report import machine, machine_lines, parser, table, write_json

from scratchnet.optimizers import OPTIMIZERS, SGD, Adam, Momentum, Nesterov, Optimizer

DIMENSIONS = 100
SAMPLES = 1000
BATCH_SIZE = 128
BATCHES = SAMPLES // BATCH_SIZE
EPOCHS = 100
FIRST_SEED = 42
TUNING_SEEDS = (39, 40, 41)
TARGET = 87.7032
RATES = tuple(10 ** (-5 + k / 5) for k in range(36))
LOST = 1e6
"""A test loss above this, or none, ends a run: it has diverged."""

Make = Callable[[float], Optimizer]


@dataclass(frozen=True)
class Published:
    """An optimizer at its published rate, and the figures known of it: mean, deviation, epochs.

    `reported` is computed from the paper's published raw results, `fixed` and `reshuffled` by an
    independent NumPy program from the definition; ten seeds each.
    """

    name: str
    make: Make
    lr: float
    reported: tuple[float, float, str]
    fixed: tuple[float, float, str]
    reshuffled: tuple[float, float, str]


PUBLISHED = (
    Published(
        "sgd",
        SGD,
        1.585e-2,
        (87.398, 0.169, "39–66"),
        (87.302, 0.171, "38–73"),
        (87.342, 0.096, "–"),
    ),
    Published(
        "momentum 0.99",
        partial(Momentum, momentum=0.99),
        2.512e-3,
        (87.045, 0.025, "68–73"),
        (87.070, 0.035, "68–73"),
        (88.780, 1.017, "–"),
    ),
    Published(
        "adam",
        Adam,
        3.981e-2,
        (87.112, 0.024, "39–41"),
        (87.121, 0.048, "39–42"),
        (87.232, 0.166, "–"),
    ),
)


@dataclass(frozen=True)
class Result:
    """One run: its final losses (inf where it diverged), and the epoch that met the target."""

    optimizer: str
    lr: float
    seed: int
    reshuffle: bool
    train: float
    test: float
    epoch: int | None


class Samples:
    """Rows x (n, d) with the mean over them of 1/2 (theta - x)^T Q (theta - x)."""

    def __init__(self, x: np.ndarray, Q: np.ndarray) -> None:
        self.x, self.Q = x, Q
        self.mean = x.mean(axis=0)
        d = x - self.mean
        self.least = float(np.einsum("ij,jk,ik->", d, Q, d)) / (2 * len(x))

    def loss(self, theta: np.ndarray) -> float:
        """Exactly the mean over all rows: 1/2 (theta - m)^T Q (theta - m) + its least value."""
        d = theta - self.mean
        return float(d @ self.Q @ d) / 2 + self.least


class Problem:
    """Q, the samples, and theta's optimum: the mean of the training samples."""

    def __init__(self) -> None:
        rng = np.random.RandomState(42)
        eigenvalues = np.concatenate([rng.uniform(0, 1, 90), rng.uniform(30, 60, 10)])
        R = rotation(rng, DIMENSIONS)
        self.Q = R.T @ (eigenvalues[:, None] * R)
        self.train = Samples(_normal(seed=42), self.Q)
        self.test = Samples(_normal(seed=43)[: BATCHES * BATCH_SIZE], self.Q)
        self.optimum = self.test.loss(self.train.mean)

    def batch_means(self, order: np.ndarray) -> np.ndarray:
        """The means (7, d) of an epoch's batches: all that their gradients depend on."""
        used = self.train.x[order[: BATCHES * BATCH_SIZE]]
        return used.reshape(BATCHES, BATCH_SIZE, DIMENSIONS).mean(axis=1)


def rotation(rng: np.random.RandomState, n: int) -> np.ndarray:
    """An orthogonal matrix (n, n), uniform over all of one determinant: rotations, where n is even.

    The subgroup algorithm, begun with a turn of the plane by an angle from U(0, 2 pi). Given R of
    k - 1 dimensions and v uniform on the sphere in k, the next is H diag(1, R), where the
    reflection H = I - 2 u u^T, u along e_1 - v, takes e_1 to v. Diaconis and Shahshahani 1987.
    """
    angle = rng.uniform(0, 2 * np.pi)
    c, s = math.cos(angle), math.sin(angle)
    R = np.array([[c, s], [-s, c]])
    for k in range(3, n + 1):
        v = rng.normal(size=k)
        u = -v / np.linalg.norm(v)
        u[0] += 1
        u /= np.linalg.norm(u)
        wider = np.zeros((k, k))
        wider[0, 0], wider[1:, 1:] = 1, R
        R = wider - 2 * np.outer(u, u @ wider)
    return R


def _normal(seed: int) -> np.ndarray:
    return np.random.RandomState(seed).normal(0, 0.6, (SAMPLES, DIMENSIONS))


def orders(seed: int, reshuffle: bool) -> Iterator[np.ndarray]:
    """The order of samples in each epoch: one permutation for all, or always the stream's next."""
    rng = np.random.RandomState(seed)
    order = rng.permutation(SAMPLES)
    for _ in range(EPOCHS):
        yield order
        if reshuffle:
            order = rng.permutation(SAMPLES)


def run(problem: Problem, name: str, optimizer: Optimizer, seed: int, reshuffle: bool) -> Result:
    """Train for 100 epochs; losses are those of the weights that the optimizer evaluates with."""
    params = _params(name)
    theta = params["theta"]
    met, train, test = None, math.inf, math.inf
    means = np.empty(0)
    with np.errstate(all="ignore"):  # too high a rate overflows, which the losses show
        for epoch, order in enumerate(orders(seed, reshuffle), 1):
            if reshuffle or epoch == 1:
                means = problem.batch_means(order)
            for mean in means:
                g = problem.Q @ (theta.ravel() - mean)
                # What stands beside theta is 0, and so is its gradient.
                optimizer.update(params, {**params, "theta": g.reshape(theta.shape)})
            train, test = _evaluate(problem, optimizer, params)
            if not test < LOST:
                return Result(name, optimizer.lr, seed, reshuffle, math.inf, math.inf, met)
            met = epoch if met is None and test <= TARGET else met
    return Result(name, optimizer.lr, seed, reshuffle, train, test, met)


def _params(name: str) -> dict[str, np.ndarray]:
    """Theta, as a vector; for muon as the hidden matrix that it works on, between two zeros."""
    if name != "muon":
        return {"theta": np.ones(DIMENSIONS)}
    edge = np.zeros((1, 1))
    return {"before": edge, "theta": np.ones((10, 10)), "after": edge.copy()}


def _evaluate(
    problem: Problem, optimizer: Optimizer, params: Mapping[str, np.ndarray]
) -> tuple[float, float]:
    """Training and test loss."""
    optimizer.to_evaluation(dict(params))
    theta = params["theta"].ravel()
    losses = problem.train.loss(theta), problem.test.loss(theta)
    optimizer.to_training(dict(params))
    return losses


def tuned_rate(problem: Problem, name: str, make: Make, reshuffle: bool) -> float:
    """The rate out of RATES with the lowest mean final training loss over TUNING_SEEDS."""

    def loss(lr: float) -> float:
        runs = (run(problem, name, make(lr), seed, reshuffle) for seed in TUNING_SEEDS)
        return statistics.fmean(one.train for one in runs)

    return min(RATES, key=loss)


def main() -> None:
    options = _arguments()
    start = time.perf_counter()
    found = machine()
    print(f"{machine_lines(found)}\n", flush=True)
    problem, seeds = Problem(), range(FIRST_SEED, FIRST_SEED + options.seeds)
    print(
        f"Test loss at the optimum of the training loss: {problem.optimum:.3f}; lowest possible: "
        f"{problem.test.least:.3f}. Target: {TARGET}. Seeds {seeds[0]} to {seeds[-1]}.\n"
    )
    results = []
    for reshuffle in (False, True):
        print(f"{_order(reshuffle)}, published rates:\n")
        results += [
            run(problem, one.name, one.make(one.lr), seed, reshuffle)
            for one in PUBLISHED
            for seed in seeds
        ]
        print(_published_table(problem, results, reshuffle), end="\n\n", flush=True)
    for reshuffle in (False, True):
        print(f"{_order(reshuffle)}, the best of {len(RATES)} rates by training loss:\n")
        tuned = []
        for name, make in EXTENDED.items():
            lr = tuned_rate(problem, name, make, reshuffle)
            tuned += [run(problem, name, make(lr), seed, reshuffle) for seed in seeds]
        print(_tuned_table(problem, tuned), end="\n\n", flush=True)
        results += tuned
    print(f"{time.perf_counter() - start:.0f} seconds.")
    write_json(options.json, {"machine": found, "results": [asdict(one) for one in results]})


def _arguments() -> argparse.Namespace:
    made = parser("A quadratic in 100 dimensions: optimizers beside published losses.")
    made.add_argument("--seeds", type=int, default=10, help="how many, from 42 on (default 10)")
    return made.parse_args()


def _order(reshuffle: bool) -> str:
    return "Reshuffled every epoch" if reshuffle else "Fixed order"


def _published_table(problem: Problem, results: Sequence[Result], reshuffle: bool) -> str:
    """Ours beside each known mean: is it within two of the known deviations; Welch's t; epochs."""
    rows = []
    for one in PUBLISHED:
        mine = [r for r in results if (r.optimizer, r.reshuffle) == (one.name, reshuffle)]
        fixed = (("paper", one.reported), ("NumPy", one.fixed))
        known = (("NumPy", one.reshuffled),) if reshuffle else fixed
        rows += [_published_row(problem, one, mine, *source) for source in known]
    head = ("optimizer", "lr", "test loss", "over optimum", "known", "from", "over optimum")
    return table((*head, "within 2 sd", "t", "epochs", "known epochs"), rows)


def _published_row(
    problem: Problem,
    one: Published,
    mine: Sequence[Result],
    source: str,
    known: tuple[float, float, str],
) -> tuple[str, ...]:
    mean, deviation = _mean_sd([result.test for result in mine])
    other, spread, epochs = known
    error = math.sqrt(deviation**2 / len(mine) + spread**2 / 10)
    return (
        one.name,
        f"{one.lr:.4g}",
        f"{mean:.3f} ± {deviation:.3f}",
        f"{mean - problem.optimum:+.3f}",
        f"{other:.3f} ± {spread:.3f}",
        source,
        f"{other - problem.optimum:+.3f}",
        "yes" if abs(mean - other) <= 2 * spread else "no",
        f"{(mean - other) / error:+.1f}",
        _epochs(mine),
        epochs,
    )


def _tuned_table(problem: Problem, results: Sequence[Result]) -> str:
    """A row for each optimizer, the lowest mean test loss first."""
    rows = []
    for name in EXTENDED:
        mine = [result for result in results if result.optimizer == name]
        mean, deviation = _mean_sd([result.test for result in mine])
        train, _ = _mean_sd([result.train - problem.train.least for result in mine])
        edge = " (edge of the grid)" if mine[0].lr in (RATES[0], RATES[-1]) else ""
        cells = (
            name,
            f"{mine[0].lr:.4g}{edge}",
            f"{train:.4f}",
            f"{mean:.3f} ± {deviation:.3f}",
            f"{mean - problem.optimum:+.3f}",
            _epochs(mine),
        )
        rows.append((mean, cells))
    head = ("optimizer", "lr", "training loss over optimum", "test loss", "over optimum", "epochs")
    return table(head, [cells for _, cells in sorted(rows)])


def _mean_sd(values: Sequence[float]) -> tuple[float, float]:
    if not all(map(math.isfinite, values)):
        return math.inf, math.nan
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _epochs(results: Sequence[Result]) -> str:
    """From and to which epoch the target was first met; how many runs never did."""
    met = [result.epoch for result in results if result.epoch is not None]
    never = len(results) - len(met)
    found = f"{min(met)}–{max(met)}" if met else "–"
    return f"{found}, {never} never" if never else found


EXTENDED: Mapping[str, Make] = MappingProxyType(
    {
        "momentum 0.9": Momentum,
        "momentum 0.99": partial(Momentum, momentum=0.99),
        "nesterov 0.9": Nesterov,
        "nesterov 0.99": partial(Nesterov, momentum=0.99),
        # The average begins half-way: torch's default of a million steps would never come.
        "asgd": partial(OPTIMIZERS["asgd"], start=EPOCHS * BATCHES // 2),
        **{
            name: OPTIMIZERS[name]
            for name in (
                "sgd",
                "adagrad",
                "rmsprop",
                "adadelta",
                "adam",
                "amsgrad",
                "adamax",
                "nadam",
                "radam",
                "lion",
                "muon",
                "schedule-free-sgd",
                "schedule-free-adamw",
            )
        },
    }
)


if __name__ == "__main__":
    main()
