"""Faults in how a network is trained: rate, penalty, noise, order, length."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

from scratchnet.diagnosis.case import (
    NOISY,
    innermost,
    limit_of,
    with_training,
    without,
    without_noise,
    without_penalty,
)
from scratchnet.diagnosis.evidence import REFERENCE_STEPS, Evidence
from scratchnet.diagnosis.rule import Cure, CureRule, Finding, Picture, Rule, Words, curves
from scratchnet.optimizers import make_optimizer


class StrongPenalty(CureRule):
    """An L2 penalty or weight decay that holds the weights near 0."""

    name = "L2 too strong"
    signal = "there is a penalty or weight decay, and without it the skill comes back"
    source = "Krogh and Hertz 1991"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether there is any."""
        case = evidence.case
        decay = innermost(case.optimizer).weight_decay
        limits = [limit_of(layer) for layer in case.network.all_layers if limit_of(layer)]
        if not case.network.l2 and not decay and not limits:
            return None
        penalty, loss = case.network.penalty(), evidence.start_loss[0]
        share = f", at the start a penalty of {penalty:.3g} beside a loss of {loss:.3g}"
        norms = f", max_norm {min(limits):g}" if limits else ""
        return f"l2 {case.network.l2:g}, weight decay {decay:g}{norms}{share if penalty else ''}"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Leave them out."""
        yield Cure(
            "no penalty and no weight decay",
            without_penalty(evidence.case),
            Words(
                "--l2 0 --weight-decay 0", "l2=0.0, weight_decay=0.0, max_norm=None", "alpha=0.0"
            ),
        )


class StrongNoise(CureRule):
    """Dropout or noise that a network of this size cannot bear."""

    name = "dropout too strong"
    signal = "there is dropout or noise, and without it the skill comes back"
    source = "Srivastava et al. 2014, section 7.3 and appendix A.1"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether there is any."""
        noisy = [repr(layer) for layer in evidence.case.network.layers if isinstance(layer, NOISY)]
        return f"the network has {', '.join(noisy)}" if noisy else None

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Leave it out."""
        yield Cure(
            "no dropout and no noise",
            without_noise(evidence.case),
            Words(
                "--dropout 0 --input-dropout 0 --noise 0 --input-noise 0",
                "MultiLayerNet(..., dropout=0.0, noise=0.0)",
                "dropout=0.0",
            ),
        )


class _WrongRate(CureRule):
    """A rate that is far from those at which the network learns."""

    specific = False
    source = "Bengio 2012 (arXiv:1206.5533), section 3.1.1; Smith 2015 (arXiv:1506.01186)"

    def rates(self, evidence: Evidence) -> list[float]:
        """Rates to try."""
        found, lr = evidence.found_rate, evidence.case.lr
        own = type(innermost(evidence.case.optimizer))().lr
        near = [] if found is None else [found, found / 10, found / 3]
        tried = [*near, own, *(lr * factor for factor in self.factors)]
        return list(dict.fromkeys(float(f"{rate:.2g}") for rate in tried))  # each once

    factors: tuple[float, ...]

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """The rates in this direction."""
        for lr in self.rates(evidence):
            if self.is_that_way(lr / evidence.case.lr):
                yield Cure(
                    f"lr {lr:g} in the place of {evidence.case.lr:g}",
                    replace(evidence.case, lr=lr),
                    Words(f"--lr {lr:g}", f"lr={lr:g}", f"learning_rate_init={lr:g}"),
                )

    @abstractmethod
    def is_that_way(self, ratio: float) -> bool:
        """Whether the rate is changed in the direction of this fault."""

    def suspect(self, evidence: Evidence) -> str | None:
        """What the losses did."""
        if evidence.case.optimizer.full_batch:
            return None
        losses = evidence.base.losses
        found = evidence.found_rate
        said = f"; the finder suggests {found:.2g}" if found is not None else ""
        if evidence.base.diverged:
            return f"training diverged at lr {evidence.case.lr:g}{said}"
        if not losses:
            return None
        return (
            f"at lr {evidence.case.lr:g} the training loss went from {losses[0]:.3g} to "
            f"{losses[-1]:.3g}{said}"
        )


class HighRate(_WrongRate):
    """Steps so long that training diverges or stays coarse."""

    name = "rate too high"
    signal = "with a rate below half of it, from the finder or 3 to 1,000 times lower, it learns"
    factors = (0.1, 0.01, 1e-3)

    learnt = 0.02

    def suspect(self, evidence: Evidence) -> str | None:
        """What the losses did; where training samples are learnt, the rate did its work."""
        if evidence.base.fit > evidence.reference.fit - self.learnt:
            return None
        return super().suspect(evidence)

    def is_that_way(self, ratio: float) -> bool:
        """Lower."""
        return ratio < 0.5


class LowRate(_WrongRate):
    """Steps so short that training hardly gets anywhere."""

    name = "rate too low"
    signal = "with a rate above twice it, from the finder or 3 to 1,000 times higher, it learns"
    factors = (10.0, 100.0, 1e3)

    def suspect(self, evidence: Evidence) -> str | None:
        """What the losses did; a run that diverged needs no higher rate."""
        return None if evidence.base.diverged else super().suspect(evidence)

    def is_that_way(self, ratio: float) -> bool:
        """Higher."""
        return ratio > 2


class SortedSamples(CureRule):
    """Samples in an order that is never changed, class after class."""

    name = "samples not shuffled"
    signal = "shuffle is off, and with it the skill comes back"
    source = "Bengio 2012 (arXiv:1206.5533), section 3.1"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether shuffling is off."""
        if evidence.case.training.get("shuffle", True):
            return None
        return "the samples keep their order in every epoch"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Shuffle."""
        case = with_training(evidence.case, shuffle=True)
        yield Cure(
            "samples shuffled", case, Words("", "Trainer(..., shuffle=True)", "shuffle=True")
        )


class StrongAugmentation(CureRule):
    """Distortions that make other pictures of the pictures."""

    name = "augmentation too strong"
    signal = "there is augmentation, and without it the skill comes back"
    source = "Simard et al. 2003"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether there is any."""
        augment = evidence.case.training.get("augment")
        return None if augment is None else f"each picture is distorted by {augment!r}"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Leave it out."""
        case = without(evidence.case, "augment")
        yield Cure("no augmentation", case, Words("--augment none", "augment=None", ""))


class OptimizerOptions(CureRule):
    """Momentum, averages or limits far from an optimizer's defaults."""

    name = "optimizer options"
    signal = "an option of the optimizer besides its rate is not the default, which brings it back"
    source = "the paper of each optimizer, whose defaults are tried"

    def suspect(self, evidence: Evidence) -> str | None:
        """Which options differ."""
        differs = self._differing(evidence)
        return ", ".join(f"{name} is {value!r}" for name, value in differs.items()) or None

    def _differing(self, evidence: Evidence) -> dict[str, object]:
        own = innermost(evidence.case.optimizer)
        usual = type(own)()
        names = [name for name in own.__dataclass_fields__ if name not in ("lr", "weight_decay")]
        return {
            name: getattr(own, name) for name in names if getattr(own, name) != getattr(usual, name)
        }

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """The defaults."""
        own = innermost(evidence.case.optimizer)
        made = make_optimizer(type(own)(weight_decay=own.weight_decay))
        names = ", ".join(self._differing(evidence))
        yield Cure(
            f"the defaults of {names}",
            replace(evidence.case, optimizer=deepcopy(made)),
            Words("without --set", f"{made!r}", ""),
        )


class EarlySchedule(CureRule):
    """A schedule that takes the rate away before the network has learnt."""

    name = "schedule"
    signal = "the rate is not constant, and with a constant one the skill comes back"
    source = "Bengio 2012 (arXiv:1206.5533), section 3.1.1"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether there is one."""
        schedule = evidence.case.training.get("schedule")
        if schedule is None or (schedule.name == "constant" and not schedule.warmup):
            return None
        return f"the rate follows {schedule!r}"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """A constant rate."""
        words = Words("--schedule constant", 'schedule="constant"', 'schedule="constant"')
        yield Cure("a constant rate", without(evidence.case, "schedule"), words)


class ShortTraining(CureRule):
    """Training that ended while the network still learnt."""

    name = "too few epochs"
    times = 4
    signal = f"with {times} times the epochs the skill comes back"
    source = "Prechelt 1998, Early stopping - but when?"
    specific = False

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether the loss still fell."""
        losses = evidence.base.losses
        if evidence.base.diverged or not losses:
            return None
        n = len(losses)
        if n > 1 and losses[-1] > 0.99 * losses[-2]:
            return None
        return f"the training loss still fell in epoch {n}"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """More epochs."""
        epochs = self.times * evidence.case.epochs
        yield Cure(f"{epochs} epochs", replace(evidence.case, epochs=epochs), longer(epochs))


class FewSteps(Rule):
    """Training of so few steps that nothing could be learnt."""

    name = "too few steps"
    signal = f"the run has less than {REFERENCE_STEPS} steps, and with so many it learns"
    source = "Goodfellow, Bengio and Courville 2016, section 8.1.3"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Compare the run with a longer one."""
        short, long = evidence.run, evidence.base
        if long.score - short.score < 2 * evidence.margin:
            return None
        epochs = evidence.case.epochs
        return Finding(
            self.name,
            f"the run has {evidence.asked.all_epochs * evidence.asked.steps_of_epoch} steps",
            f"{epochs} epochs in the place of {evidence.asked.epochs}",
            f"{evidence.measure} {short.score:.3f} became {long.score:.3f}",
            longer(epochs),
            self.source,
            pictures=(curves(short, long),),
        )


def longer(epochs: int) -> Words:
    """So many epochs, as each door spells them."""
    return Words(f"--epochs {epochs}", f"trainer.run(epochs={epochs})", f"max_iter={epochs}")


class Overfitting(Rule):
    """A network that was better earlier on."""

    name = "overfitting"
    fall, unsure = 0.035, 0.08
    signal = f"the skill on held-out samples has fallen by over {fall} from its highest"
    source = "Prechelt 1998, Early stopping - but when?"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Compare the last and the best epoch."""
        base = evidence.base
        if base.diverged or base.best - base.score <= max(self.fall, evidence.margin):
            return None
        if base.fit <= base.best or (evidence.classes and evidence.noise.wrong > self.unsure):
            return None
        return Finding(
            self.name,
            f"the {evidence.measure} was {base.best:.3f} and fell to {base.score:.3f}, on training "
            f"samples it is {base.fit:.3f}",
            "the weights of the best epoch",
            f"{evidence.measure} {base.best:.3f}",
            Words("--patience 5", "EarlyStopping(patience=5)", "early_stopping=True"),
            self.source,
            pictures=(
                Picture(
                    f"{evidence.measure.capitalize()} on held-out samples",
                    list(range(1, len(base.scores) + 1)),
                    list(evidence.reference.scores),
                    list(base.scores),
                    "look",
                    evidence.measure,
                ),
            ),
        )
