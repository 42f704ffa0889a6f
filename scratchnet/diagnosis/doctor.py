"""The doctor: takes the signals, tries what they suggest, and names what an experiment confirms."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

from scratchnet.checks import check_integer
from scratchnet.diagnosis.case import (
    FEWEST,
    FEWEST_HELD,
    HELD,
    HELD_SHARE,
    Case,
    affordable_rows,
    some,
)
from scratchnet.diagnosis.evidence import Evidence
from scratchnet.diagnosis.overview import overview
from scratchnet.diagnosis.rule import Finding
from scratchnet.diagnosis.rules import FIRST, LAST, OF_TRAINING, RULES
from scratchnet.environment import limit_threads
from scratchnet.errors import DataWarning, ParameterError
from scratchnet.networks import Network
from scratchnet.options import show_options
from scratchnet.training import Data, Trainer
from scratchnet.training.border import fit_data
from scratchnet.training.options import RunOptions
from scratchnet.training.threads import suggest_threads
from scratchnet.training.trainer import TRAINER

BONUS = 0.2
"""A fault with a signal of its own goes first if its cure brings back so much less."""
ALIKE = 0.05
"""Two cures whose shares differ by less are not told apart."""


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found, as plain data; printed, it is the text of the command."""

    findings: tuple[Finding, ...]
    """What was named, the surest first; empty if nothing was found. Two are not told apart."""
    measure: str
    """What skill is: the mean recall of classes, or the share of the loss of a guess that went."""
    score: float
    """The skill of the run on samples held out."""
    reference: float
    """That of the best reference."""
    reference_name: str
    chance: float
    """That of a guess."""
    lacks: bool
    """Whether the run is clearly behind the reference."""
    unfinished: bool
    """Whether it would need more steps than a trial has, to tell."""
    signals: dict[str, Any] = field(repr=False)
    """What was looked at: see `diagnosis.overview`."""
    tried: tuple[tuple[str, float], ...]
    """The experiments, and the skill that came of each."""
    evidence: Evidence = field(repr=False, compare=False)
    """All signals, to look further."""

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        none = "nothing found that explains it" if self.lacks else "nothing found"
        if self.unfinished:
            none = "nothing found, as the run still improves where a trial ends"
        names = " or ".join(finding.name for finding in self.findings) or none
        return (
            f"{names}: {self.measure} of the run {self.score:.3f}, of the best reference "
            f"{self.reference:.3f}, of a guess {self.chance:.3f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        kept = ("name", "seen", "tried", "changed", "words", "source")
        found = []
        for finding in self.findings:
            values = {name: getattr(finding, name) for name in kept}
            found.append({**values, "words": finding.words._asdict()})
        names = ("measure", "score", "reference", "reference_name", "chance", "lacks", "unfinished")
        own = {name: getattr(self, name) for name in (*names, "signals")}
        tried = [{"what": what, "skill": skill} for what, skill in self.tried]
        return {"verdict": self.verdict, "findings": found, **own, "tried": tried}

    def _told_references(self) -> str:
        """What each reference came to."""
        references = self.evidence.references.items()
        return "; ".join(f"{name} {outcome.score:.3f}" for name, outcome in references)

    def __str__(self) -> str:
        lines = [self.verdict, f"references: {self._told_references()}"]
        for finding in self.findings:
            lines += ["", finding.name]
            told = {"seen": finding.seen, "tried": finding.tried, "changed": finding.changed}
            told |= {name: text for name, text in finding.words._asdict().items() if text}
            lines += [f"  {name:<9} {text}" for name, text in told.items()]
        return "\n".join(lines)


def diagnose(
    network: Any,
    train: Any,
    validation: Any = None,
    optimizer: Any = None,
    *,
    epochs: int | None = None,
    **options: Any,
) -> Diagnosis:
    """Why a network does not learn: signals, experiments, and a name that these agree on.

    network: as it is before training; it stays as it is, copies are trained. Or an estimator, or a
        pipeline that ends with one, with train = X and validation = y.
    train, validation: Samples, or pairs (x, t). A part of `train` is held out in any case.
    optimizer, options: those of a Trainer, by default Adam; an estimator has its own.
    epochs: how long the run trains; 20 by default, of an estimator `max_iter`.

    A run is 1,500 steps at most here, on 4,000 samples at most, so that a diagnosis takes seconds.
    It is measured by its skill on samples held out: the mean recall of the classes, or 1 - L /
    L_guess of values. References, which are the same layers made anew, a hidden layer and a linear
    model, all with standardized inputs, say what can be reached. Each rule of
    `scratchnet.diagnosis.RULES` looks for one fault: a fault in training is named if its cure,
    tried, brings back half of the skill that the run lacks. The same arguments give the same bits.

    >>> found = diagnose(network, train, validation, optimizer="sgd", lr=0.1, epochs=10)
    >>> print(found)

    Raises ParameterError with fewer than 5 training samples, and what the Trainer raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # a rule says it better
        if isinstance(network, Network):
            trainer = Trainer(
                network.copy(), train, validation, optimizer=optimizer or "adam", **options
            )
        else:
            if optimizer is not None or options:
                given = ", ".join([*(["optimizer"] if optimizer is not None else []), *options])
                raise ParameterError(
                    f"an estimator has its own options, got {given}; set them there"
                )
            trainer, own = _training_of(network, train, validation)
            epochs = own if epochs is None else epochs
        return examine(case_of(trainer, trainer.validation, epochs))


def _training_of(estimator: Any, X: Any, y: Any) -> tuple[Trainer, int]:
    """A Trainer as the estimator would begin with, perhaps the last step of a pipeline."""
    steps = getattr(estimator, "steps", None)
    if steps and not hasattr(estimator, "_training"):
        if len(steps) > 1:
            from sklearn.base import clone

            X = clone(estimator[:-1]).fit_transform(X, y)
        estimator = estimator[-1]
    if not hasattr(estimator, "_training") or isinstance(estimator, type):
        raise ParameterError(
            "network must be a Network, or an estimator of scratchnet, perhaps in a pipeline, got "
            f"{type(estimator).__name__}; give diagnose(network, (x, t)) or diagnose(estimator, X, "
            "y)"
        )
    return estimator._training(X, y), int(estimator.max_iter)


show_options(diagnose, {name: TRAINER[name] for name in TRAINER if name != "optimizer"})


def case_of(trainer: Trainer, validation: Data | None, epochs: int | None) -> Case:
    """The run that the Trainer would begin; raises ParameterError for too few samples."""
    seed, train = trainer.seed, trainer.train
    epochs = RunOptions().epochs if epochs is None else check_integer("epochs", epochs, 1)
    if len(train) < FEWEST:
        raise ParameterError(
            f"a diagnosis needs {FEWEST} training samples at least, got {len(train)}"
        )
    most = affordable_rows(trainer.network, min(trainer.batches.batch_size, len(train)))
    fit, held = some(train, round(most / (1 - HELD_SHARE)), seed).split(HELD_SHARE, seed)
    few = min(HELD, max(FEWEST_HELD, most // 2))
    names = ("schedule", "shuffle", "augment", "remeasure", "seed")
    training = {name: getattr(trainer, name) for name in names}
    training["batch_size"] = rows = trainer.batches.batch_size
    training["threads"] = trainer.threads or suggest_threads(trainer.network, rows)
    if validation is not None:
        validation = some(fit_data(trainer.network, "validation", validation), few, seed)
    return Case(
        trainer.network,
        fit,
        some(held, few, seed),
        validation,
        trainer.optimizer,
        trainer.lr,
        epochs,
        training,
        len(train) / len(fit),
    )


def examine(case: Case) -> Diagnosis:
    """Ask the rules about the case."""
    with limit_threads(case.training["threads"]):
        return _examine(Evidence(case))


def _examine(evidence: Evidence) -> Diagnosis:
    return Diagnosis(
        tuple(_ask(evidence)),
        evidence.measure,
        evidence.run.score,
        evidence.reference.score,
        evidence.reference_name,
        evidence.chance,
        evidence.lacks,
        evidence.unfinished,
        overview(evidence),
        tuple((each.what, each.outcome.score) for each in evidence.tried),
        evidence,
    )


def _ask(evidence: Evidence) -> list[Finding]:
    """The findings, the surest first."""
    for rule in FIRST:
        finding = rule.investigate(evidence)
        if finding is not None:
            others = [RULES[name].investigate(evidence) for name in rule.rivals]
            found = [finding, *(one for one in others if one is not None)]
            return sorted(found, key=lambda one: one.recovery, reverse=True)
    if evidence.lacks:
        made = [rule.investigate(evidence) for rule in OF_TRAINING]
        found = sorted((one for one in made if one is not None), key=_weight, reverse=True)
        if found:
            best = found[0]
            rivals = [
                one
                for one in found[1:]
                if one.specific == best.specific and _weight(best) - _weight(one) < ALIKE
            ]
            return [best, *rivals[:1]]
    made = [rule.investigate(evidence) for rule in LAST]
    return [finding for finding in made if finding is not None][:1]


def _weight(finding: Finding) -> float:
    return min(finding.recovery, 1.0) + (BONUS if finding.specific else 0.0)
