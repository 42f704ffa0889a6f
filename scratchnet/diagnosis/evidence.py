"""What is known of a case: its signals, each looked at once, and what the references reach."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from scratchnet.data import Batches, Samples
from scratchnet.diagnosis.case import (
    HELD_SHARE,
    Case,
    dense,
    fewer,
    pool,
    redrawn,
    some,
    standardized,
    usual_stds,
    with_standard_targets,
    without_noise,
    without_penalty,
)
from scratchnet.diagnosis.noise import Noise, noise_of
from scratchnet.diagnosis.outcome import Outcome, chance, has_classes, outputs_of, run
from scratchnet.errors import ParameterError, ScratchnetError
from scratchnet.inspection.gradient_check import check_directions
from scratchnet.inspection.layers import inspect_layers
from scratchnet.inspection.lr_finder import find_lr
from scratchnet.layers import (
    STANDARDIZATIONS,
    Affine,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    ReLU,
)
from scratchnet.layers.guess import best_constant
from scratchnet.networks import Network
from scratchnet.optimizers import Adam
from scratchnet.parameters import Array

PROBE = 500
"""Training samples on which a network is looked at before it is trained."""
CHECKED = 16
"""Of these, so many for the check of gradients."""
HIDDEN = 100
SAME = "the same layers, fresh weights, standardized inputs, Adam"
OTHER = f"a network of {HIDDEN} hidden ReLU"
LINEAR_RATE = 0.01
PLENTY = 0.9
"""Where the same layers reach so much, and more than a linear model, no others are tried."""
REFERENCE_RATES = (0.001, 0.01)
GOOD = 0.02
"""Of two references the first is taken if it is no further behind."""
REFERENCE_STEPS = 400
"""Steps of a reference, at least: it shows what can be learnt, not how quickly."""
REFERENCE_BATCH = 100
FREE = (MeanSquaredError, MeanAbsoluteError, Huber)
"""Losses whose targets may have any scale."""


class Tried(NamedTuple):
    """An experiment: what was changed, and what came of it."""

    what: str
    outcome: Outcome


class Evidence:
    """The signals of a case, worked out when they are asked for, and the experiments made."""

    def __init__(self, case: Case) -> None:
        self.asked = case
        self.case = case.lengthen(REFERENCE_STEPS)
        """What cures are compared with: long enough to learn something."""
        self.tried: list[Tried] = []
        self._linear: dict[str, Outcome] = {}

    # Experiments.

    def trial(self, what: str, case: Case) -> Outcome:
        """Train the case and note what came of it."""
        case = case.afford()
        measured = self.held_of(case)
        outcome = run(case, measured)
        self.tried.append(Tried(what, outcome))
        return outcome

    def held_of(self, case: Case) -> Samples:
        """The samples that skill is measured on: all held out that were prepared alike."""
        return case.held if self.is_shifted else pool(case.held, case.validation)

    @cached_property
    def measured(self) -> Samples:
        """Those of the case itself."""
        return self.held_of(self.case)

    @cached_property
    def base(self) -> Outcome:
        """The run, with enough steps."""
        return self.trial(f"the run as it is, {self.case.epochs} epochs", self.case)

    @cached_property
    def run(self) -> Outcome:
        """The run as it was asked for, which may be shorter."""
        if self.asked.epochs == self.case.epochs:
            return self.base
        return self.trial(f"the run as it is, {self.asked.epochs} epochs", self.asked)

    @cached_property
    def classes(self) -> bool:
        """Whether each sample is of one class."""
        return has_classes(self.case.network, self.case.train)

    @cached_property
    def chance(self) -> float:
        """The skill of a guess."""
        return chance(self.case.network, self.measured)

    def _prepared(self, over: str | None) -> Case:
        """The case with Adam, for as many steps as a reference needs, and standardized inputs."""
        case = self.case if over is None else standardized(self.case, over=over)
        batch = min(REFERENCE_BATCH, max(10, len(case.train) // 4))
        options = {"batch_size": batch, "threads": case.training.get("threads", "auto")}
        case = replace(case, optimizer=Adam(), training=options)
        if type(case.network.loss_layer) in FREE:
            case = with_standard_targets(case)
        own = self.case.afford()
        steps = max(REFERENCE_STEPS, own.epochs * own.steps_of_epoch)
        return replace(case, epochs=max(1, -(-steps // case.steps_of_epoch)))

    def _with_layers(self, case: Case, hidden: list[Any]) -> Case:
        """The case with a network of these hidden layers."""
        network = case.network
        layers = [*hidden, Affine(network.output_sizes[-1])]
        loss = deepcopy(network.loss_layer)
        return replace(case, network=Network(layers, loss, input_shape=(network.input_size,)))

    @cached_property
    def _reference_cases(self) -> dict[str, Case]:
        """What can learn most samples, by name; a linear model says how to standardize."""
        if self.takes_categories:
            plain, cases = self._prepared(None), {}
        else:
            linear = {
                f"a linear model, standardized over {over}": self._with_layers(
                    self._prepared(over), []
                )
                for over in STANDARDIZATIONS
            }
            self._linear = {
                name: self.trial(name, replace(case, lr=LINEAR_RATE))
                for name, case in linear.items()
            }
            name = max(self._linear, key=lambda name: self._linear[name].best)
            plain, cases = replace(linear[name], network=self.case.network), {name: linear[name]}
            hidden = [Affine(HIDDEN), ReLU()]
            cases[OTHER] = self._with_layers(plain, hidden)
        own = redrawn(without_penalty(without_noise(plain)))
        return {SAME: own, **cases}

    @cached_property
    def references(self) -> dict[str, Outcome]:
        """What these come to, by name."""
        cases, made = self._reference_cases, dict(self._linear)
        for name in (SAME, OTHER):
            enough = max((one.best for one in made.values()), default=0.0)
            if name in cases and not (name == OTHER and made[SAME].best >= max(PLENTY, enough)):
                made[name] = self._best(name, cases[name])
        return {name: made[name] for name in cases if name in made}

    def _best(self, what: str, case: Case) -> Outcome:
        """The better of a few rates."""
        made: list[Outcome] = []
        for lr in REFERENCE_RATES:
            made.append(self.trial(f"{what}, lr {lr:g}", replace(case, lr=lr)))
            if made[-1].best > 1 - GOOD:
                break
        return max(made, key=lambda outcome: outcome.best)

    @cached_property
    def reference_name(self) -> str:
        """Which of them is the best."""
        return max(self.references, key=lambda name: self.references[name].best)

    @cached_property
    def reference(self) -> Outcome:
        """The best of them: what the run should come near."""
        return self.references[self.reference_name]

    @cached_property
    def halved(self) -> Outcome:
        """The best of them with half of the samples."""
        case = fewer(self._reference_cases[self.reference_name], 0.5)
        return self._best("the same with half of the samples", case)

    @cached_property
    def gap(self) -> float:
        """How much skill the run lacks; the best moment of a reference would be a lucky one."""
        return max(one.score for one in self.references.values()) - self.base.score

    def with_hidden_relu(self, case: Case) -> Case:
        """The case with one hidden layer of ReLU."""
        return self._with_layers(case, [Affine(HIDDEN), ReLU()])

    @cached_property
    def lacks(self) -> bool:
        """Whether the gap is no chance: only then a cure is looked for."""
        return self.gap > max(GAP, self.margin)

    @cached_property
    def margin(self) -> float:
        """A difference of skill that is no chance: 0.03, and of few samples 1.5 standard errors."""
        if not self.classes:
            return LEAST_OF_VALUES
        p = min(max(self.reference.score, 0.5), 0.98)
        return max(LEAST, 1.5 * float(np.sqrt(p * (1 - p) / len(self.measured))))

    @cached_property
    def measure(self) -> str:
        """What skill is called."""
        return "mean recall" if self.classes else "R^2"

    @cached_property
    def counts(self) -> Array:
        """The training samples of each class (K,)."""
        n_out = max(2, self.case.network.output_sizes[-1])
        if not self.classes:
            return np.full(1, len(self.case.train))
        return np.bincount(self.case.train.t, minlength=n_out)

    @cached_property
    def held_of_reference(self) -> Samples:
        """The samples held out, as the reference takes them."""
        return self._reference_cases[self.reference_name].held

    @cached_property
    def validation_of_reference(self) -> Samples:
        """The validation samples, as the reference takes them."""
        validation = self._reference_cases[self.reference_name].validation
        assert validation is not None
        return validation

    @cached_property
    def noise(self) -> Noise:
        """What held-out samples say of random labels: of other parts, too, if they are few."""
        folds = [(self.reference.network, self.held_of_reference)]
        case = self._reference_cases[self.reference_name]
        rows = pool(case.train, case.held)
        for seed in range(1, FOLDS):
            if sum(len(samples) for _, samples in folds) >= FEW_HELD:
                break
            train, held = rows.split(HELD_SHARE, seed)
            part = replace(case, train=train, held=held, validation=None)
            folds.append((self._best(f"{self.reference_name}, part {seed}", part).network, held))
        return noise_of(folds)

    @cached_property
    def aligned_validation(self) -> Samples:
        """Validation samples whose columns have the means and spreads of training samples."""
        validation = self.case.validation
        assert validation is not None
        x = dense(validation).astype(np.float64)
        own = np.where(x.std(axis=0) > 1e-9 * np.abs(x).max(), x.std(axis=0), np.inf)
        made = (x - x.mean(axis=0)) / own * self.spreads + self.x.mean(axis=0)
        return Samples.checked(made.astype(np.float32), validation.t, 1.0, None)

    # The inputs.

    @cached_property
    def takes_categories(self) -> bool:
        """Whether some columns are numbers of categories."""
        return any(layer.takes_categories for layer in self.case.network.all_layers)

    @cached_property
    def x(self) -> Array:
        """The training inputs (N, D), float64."""
        return dense(self.case.train).astype(np.float64)

    @cached_property
    def sizes(self) -> Array:
        """The root mean square of each column (D,)."""
        return np.asarray(np.sqrt(np.square(self.x).mean(axis=0)))

    @cached_property
    def spreads(self) -> Array:
        """The standard deviation of each column (D,)."""
        return np.asarray(self.x.std(axis=0))

    @cached_property
    def constant(self) -> Array:
        """Which columns do not vary (D,)."""
        return self.spreads <= 1e-6 * np.maximum(self.sizes, 1e-30)

    @cached_property
    def outsize(self) -> Array:
        """The few columns that are far larger than the largest of the others, if any."""
        order = np.argsort(self.sizes)[::-1]
        s = self.sizes[order]
        for k in range(1, min(max(1, int(OUTSIZE_SHARE * len(s))), len(s) - 2) + 1):
            if s[k - 1] > OUTSIZE * max(s[k], 1e-30):
                return order[:k]
        return order[:0]

    @cached_property
    def reach(self) -> Array:
        """The largest input of each sample (N,), outsize columns left out."""
        return np.asarray(np.abs(np.delete(self.x, self.outsize, axis=1)).max(axis=1, initial=0.0))

    @cached_property
    def far(self) -> Array:
        """Which samples are outliers (N,): a few that reach far beyond the median one."""
        far = self.reach > FAR * max(float(np.median(self.reach)), 1e-30)
        return far if far.mean() <= FAR_SHARE else np.zeros_like(far)

    @cached_property
    def needed_width(self) -> int:
        """How many units a hidden layer has at least, of a network that is not narrow."""
        return max(4, min(self.case.network.output_sizes[-1], 16))

    @cached_property
    def narrowest(self) -> int:
        """The units of the smallest hidden layer; 0 if there is none."""
        layers = [layer for layer in self.case.network.all_layers if "W" in layer.shapes]
        return min((layer.shapes["W"][-1] for layer in layers[:-1]), default=0)

    @cached_property
    def shift(self) -> tuple[float, str]:
        """How far validation inputs lie from those held out of training, in standard errors.

        The largest of the means of the columns, Bonferroni aside, and of the means and spreads of
        rows.
        """
        if self.case.validation is None or self.takes_categories:
            return 0.0, ""
        a = dense(pool(self.case.train, self.case.held)).astype(np.float64)
        b = dense(self.case.validation).astype(np.float64)
        t = np.concatenate([self.case.train.t, self.case.held.t]), self.case.validation.t
        groups = _alike(*t) if self.classes else [(np.ones(len(a), bool), np.ones(len(b), bool))]
        if not groups:
            return 0.0, ""
        found = [(_distance(a, b, groups), "the means of columns")]
        found += [
            (_distance(measure(a)[:, None], measure(b)[:, None], groups), f"the {what} of rows")
            for what, measure in _OF_ROWS.items()
        ]
        return max(found)

    @cached_property
    def is_shifted(self) -> bool:
        """Whether validation inputs were surely prepared in another way."""
        return self.shift[0] > SHIFTED

    # The network before training.

    @cached_property
    def probe(self) -> Samples:
        """Some training samples."""
        return some(self.case.train, PROBE, 0)

    @cached_property
    def layers(self) -> list[dict[str, Any]]:
        """The state of the layers before training."""
        network = self.case.network.copy()
        with np.errstate(all="ignore"):
            x, t = next(iter(Batches(self.probe, len(self.probe), network.dtype).in_order()))
            network.forward(x, t, train=True)
            network.backward()
            return inspect_layers(network, self.probe)

    @cached_property
    def start_loss(self) -> tuple[float, float | None]:
        """The loss before training, and that of the best guess."""
        network, probe = self.case.network.copy(), self.probe
        y, loss = outputs_of(network, probe), network.loss_layer
        guess = best_constant(loss, probe.t, y.shape[1])
        with np.errstate(all="ignore"):
            own = loss.compute(y, probe.t)
            if guess is None:
                return own, None
            best = loss.compute(np.broadcast_to(guess, y.shape).astype(y.dtype), probe.t)
        return own, best

    @cached_property
    def weight_sizes(self) -> dict[str, float]:
        """How many times as large as usual weights are, by layer: 1 from Glorot's to He's."""
        found = {}
        for layer in self.case.network.all_layers:
            if "W" in layer.shapes:
                std, (glorot, he) = float(layer.params["W"].std()), usual_stds(layer)
                found[repr(layer)] = std / he if std > he else min(1.0, std / glorot)
        return found

    @cached_property
    def wrong_gradients(self) -> dict[str, float]:
        """Relative errors of gradients along random directions, by array, where they are large."""
        network = self.case.network
        x, t = next(iter(Batches(some(self.probe, CHECKED, 1), CHECKED, network.dtype).in_order()))
        return check_directions(network, x, t)

    @cached_property
    def wrong_layers(self) -> list[str]:
        """The layers whose gradients are wrong by themselves."""
        network = self.case.network.copy("float64")
        x, _ = next(iter(Batches(some(self.probe, CHECKED, 1), CHECKED, network.dtype).in_order()))
        wrong = []
        for layer in network.layers:
            if max(check_directions(layer, x).values(), default=0.0) > WRONG:
                wrong.append(repr(layer))
            x = layer.forward(x, train=True).copy()
        return wrong

    # Rates.

    @cached_property
    def found_rate(self) -> float | None:
        """The rate that the finder suggests; None if it finds none."""
        case = self.case
        if case.optimizer.full_batch:
            return None
        options = {k: v for k, v in case.training.items() if k not in ("schedule", "remeasure")}
        try:
            with np.errstate(all="ignore"):
                return find_lr(case.network, case.train, case.optimizer, **options).suggestion
        except (ParameterError, ScratchnetError):
            return None


ENOUGH = 5
GAP = 0.04
"""Skill that a run must lack against the best reference before it is looked for cures."""
LEAST, LEAST_OF_VALUES = 0.03, 0.08
FOLDS, FEW_HELD = 4, 300
OUTSIZE, OUTSIZE_SHARE = 5.0, 0.02
FAR, FAR_SHARE = 20.0, 0.05
SHIFTED = 8.0
WRONG = 0.02
_OF_ROWS: dict[str, Callable[[Array], Array]] = {
    "means": lambda x: x.mean(axis=1),
    "spreads": lambda x: x.std(axis=1),
}


Groups = list[tuple[Array, Array]]


def _alike(t: Array, other: Array) -> Groups:
    """The rows of each class that both have enough of: the shares of classes are no difference."""
    pairs = [(t == k, other == k) for k in np.unique(t)]
    return [(one, two) for one, two in pairs if min(one.sum(), two.sum()) >= ENOUGH]


def _distance(a: Array, b: Array, groups: Groups) -> float:
    """The largest difference of column means, class by class, in its standard errors."""
    differs, variance = np.zeros(a.shape[1]), np.zeros(a.shape[1])
    for one, two in groups:
        differs += a[one].mean(axis=0) - b[two].mean(axis=0)
        variance += a[one].var(axis=0) / one.sum() + b[two].var(axis=0) / two.sum()
    differs, error = np.abs(differs), np.sqrt(variance)
    floor = 1e-9 * (np.abs(a).mean(axis=0) + np.abs(b).mean(axis=0)) + 1e-300
    z = np.where(differs <= floor, 0.0, differs / np.maximum(error, floor))
    return float(np.min([z.max(), 1e6]))
