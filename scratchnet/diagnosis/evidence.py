"""What is known of a case: its signals, the experiments, and what references reach."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from scratchnet.data import Samples
from scratchnet.diagnosis.case import (
    HELD_SHARE,
    Case,
    fewer,
    innermost,
    pool,
    redrawn,
    standardized,
    with_standard_targets,
    without_noise,
    without_penalty,
)
from scratchnet.diagnosis.noise import Noise, noise_of
from scratchnet.diagnosis.outcome import Outcome, chance, run
from scratchnet.diagnosis.signals import Signals
from scratchnet.errors import ScratchnetError
from scratchnet.inspection.lr_finder import find_lr
from scratchnet.layers import (
    STANDARDIZATIONS,
    Affine,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    ReLU,
)
from scratchnet.networks import Network
from scratchnet.optimizers import Adam

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
GAP = 0.04
"""Skill that a run must lack against the best reference before it is looked for cures."""
LEAST, LEAST_OF_VALUES = 0.03, 0.08
"""Differences of skill that may be chance, of classes and of values."""
FOLDS, FEW_HELD = 4, 300
"""With fewer held-out samples, labels are ranked in so many parts, one after the other."""


class Tried(NamedTuple):
    """An experiment: what was changed, and what came of it."""

    what: str
    outcome: Outcome


class Evidence(Signals):
    """The signals of a case, the experiments made, and what references reach."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.lengthen(REFERENCE_STEPS))
        # What cures are compared with is long enough to learn something.
        self.asked = case
        self.tried: list[Tried] = []
        self._linear: dict[str, Outcome] = {}

    def trial(self, what: str, case: Case) -> Outcome:
        """Train the case and note what came of it."""
        outcome = run(case, self.held_of(case))
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
        steps = max(REFERENCE_STEPS, self.case.trial_epochs * self.case.steps_of_epoch)
        return replace(case, epochs=max(1, -(-steps // case.steps_of_epoch)), stretch=1.0)

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
        case = fewer(self.reference_case, 0.5)
        return self._best("the same with half of the samples", case)

    @cached_property
    def gap(self) -> float:
        """How much skill the run lacks; the best moment of a reference would be a lucky one."""
        return max(one.score for one in self.references.values()) - self.base.score

    def with_one_hidden(self, case: Case) -> Case:
        """The case with one hidden layer of ReLU."""
        return self._with_layers(case, [Affine(HIDDEN), ReLU()])

    @cached_property
    def lacks(self) -> bool:
        """Whether the gap is no chance, and nothing that more steps would close.

        Only then a cure is looked for.
        """
        return self.gap > max(GAP, self.margin) and not self.unfinished

    @cached_property
    def unfinished(self) -> bool:
        """Whether a trial is too short for the run, which still improves at its end."""
        scores = self.base.scores
        if self.case.trial_epochs == self.case.all_epochs or self.base.diverged:
            return False
        return scores[-1] - scores[(len(scores) - 1) // 2] > self.margin

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
    def reference_case(self) -> Case:
        """What the best reference was trained on."""
        return self._reference_cases[self.reference_name]

    @cached_property
    def noise(self) -> Noise:
        """What held-out samples say of random labels: of other parts, too, if they are few."""
        case = self.reference_case
        folds = [(self.reference.network, case.held)]
        rows = pool(case.train, case.held)
        for seed in range(1, FOLDS):
            if sum(len(samples) for _, samples in folds) >= FEW_HELD:
                break
            train, held = rows.split(HELD_SHARE, seed)
            part = replace(case, train=train, held=held, validation=None)
            folds.append((self._best(f"{self.reference_name}, part {seed}", part).network, held))
        return noise_of(folds)

    @cached_property
    def found_rate(self) -> float | None:
        """The rate that the finder suggests; None if it finds none.

        It looks around the optimizer's own rate: that of the run may be far from all that work.
        """
        case, optimizer = self.case, deepcopy(self.case.optimizer)
        if optimizer.full_batch:
            return None
        optimizer.lr = type(innermost(optimizer))().lr
        options = {k: v for k, v in case.training.items() if k not in ("schedule", "remeasure")}
        try:
            with np.errstate(all="ignore"):
                return find_lr(case.network, case.train, optimizer, **options).suggestion
        except ScratchnetError:
            return None
