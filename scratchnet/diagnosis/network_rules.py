"""Faults in how a network is made: its weights, its activations, its layers."""

from __future__ import annotations

from collections.abc import Iterator

from scratchnet.diagnosis.case import (
    redrawn,
    with_batch_norm,
    with_hidden_relu,
    with_relu,
    without_biases,
)
from scratchnet.diagnosis.evidence import HIDDEN, Evidence
from scratchnet.diagnosis.rule import Cure, CureRule, Finding, Picture, Rule, Words
from scratchnet.diagnosis.signals import WRONG
from scratchnet.inspection.layers import FLAT
from scratchnet.layers import (
    Affine,
    Dropout,
    GaussianNoise,
    Identity,
    ReLU,
    Sigmoid,
    Standardize,
    Tanh,
)

SATURATING = (Sigmoid, Tanh)
LINEAR = (Affine, Dropout, GaussianNoise, Identity, Standardize)
"""What is nothing but a linear model, however often it stands in a row."""


class WrongBackward(Rule):
    """A backward pass that is not the derivative of its forward pass."""

    name = "wrong backward pass"
    signal = f"gradients differ from differences along random directions by over {100 * WRONG:g} %"
    source = "Bengio 2012 (arXiv:1206.5533), section 4.1"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Compare gradients and differences in float64."""
        errors = evidence.wrong_gradients
        wrong = {name: error for name, error in errors.items() if error > WRONG}
        if not wrong:
            return None
        where = evidence.wrong_layers
        names = ", ".join(where) if where else "the layers above the first wrong array"
        return Finding(
            self.name,
            f"the gradients of {', '.join(wrong)} differ from their differences by up to "
            f"{100 * max(wrong.values()):.0f} %",
            "each layer by itself, in float64",
            f"wrong: {names}",
            Words(
                "",
                f"scratchnet.check_gradients({where[0] if where else 'layer'}, x) until it passes",
                "",
            ),
            self.source,
            pictures=(
                Picture(
                    "Relative error of the gradient",
                    list(errors),
                    [1e-9] * len(errors),
                    [max(error, 1e-12) for error in errors.values()],
                    "array",
                    "error",
                    log=True,
                ),
            ),
        )


class _WrongWeights(CureRule):
    """Weights of a size that signals do not survive."""

    source = "He et al. 2015; Glorot and Bengio 2010"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Draw them anew."""
        yield Cure(
            "weights drawn anew by He's initializer, biases 0",
            redrawn(evidence.case),
            Words("--initializer he", 'MultiLayerNet(..., initializer="he")', 'initializer="he"'),
        )

    def pictures(self, evidence: Evidence) -> tuple[Picture, ...]:
        """The sizes of the weights."""
        sizes = evidence.weight_sizes
        return (
            Picture(
                "Size of the weights, 1 from Glorot's to He's",
                list(sizes),
                [1.0] * len(sizes),
                [max(size, 1e-12) for size in sizes.values()],
                "layer",
                "ratio",
                log=True,
            ),
        )


class SmallWeights(_WrongWeights):
    """Weights so small that signals and gradients fade."""

    name = "weights too small"
    least = 1 / 3
    signal = f"the weights of a layer start below {least:.2f} times sqrt(2 / (n_in + n_out))"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether a layer has such."""
        sizes = evidence.weight_sizes
        if not sizes or min(sizes.values()) >= self.least:
            return None
        layer = min(sizes, key=lambda name: sizes[name])
        if sizes[layer] * max(sizes.values()) > 1 and max(sizes.values()) > LargeWeights.most:
            return None  # the large ones are further off
        return f"the weights of {layer} start at {sizes[layer]:.2g} times sqrt(2 / (n_in + n_out))"


class LargeWeights(_WrongWeights):
    """Weights so large that signals and gradients explode."""

    name = "weights too large"
    most = 2.0
    signal = f"the weights of a layer start above {most:g} times sqrt(2 / n_in)"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether a layer has such."""
        sizes = evidence.weight_sizes
        if not sizes or max(sizes.values()) <= self.most:
            return None
        layer = max(sizes, key=lambda name: sizes[name])
        if sizes[layer] * min(sizes.values()) < 1 and min(sizes.values()) < SmallWeights.least:
            return None
        return f"the weights of {layer} start at {sizes[layer]:.2g} times sqrt(2 / n_in)"


class DeadUnits(CureRule):
    """Rectifiers that no sample switches on."""

    name = "dead ReLU"
    share = 0.3
    signal = f"before training {100 * share:g} % of the units of a ReLU are off for every sample"
    source = "Lu et al. 2019 (arXiv:1903.06733)"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether a layer has such."""
        rows = [row for row in evidence.layers if _is(row, (ReLU,)) and row["dead"] is not None]
        if not rows:
            return None
        worst = max(rows, key=lambda row: row["dead"])
        if worst["dead"] < self.share:
            return None
        return f"{100 * worst['dead']:.0f} % of the units of {worst['layer']} are off everywhere"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Biases of 0, and weights anew."""
        words = Words(
            "--initializer he", "network = MultiLayerNet(...), with biases of 0", 'initializer="he"'
        )
        yield Cure("biases of 0", without_biases(evidence.case), words)
        yield Cure("weights drawn anew, biases 0", redrawn(evidence.case), words)

    def pictures(self, evidence: Evidence) -> tuple[Picture, ...]:
        """The share of dead units."""
        return (_of_layers(evidence, "dead", "Share of units that are off for every sample"),)


class Saturated(CureRule):
    """Sigmoid or tanh units that hardly let a gradient through."""

    name = "saturated activations"
    flat, deep = 0.5, 3
    signal = (
        f"sigmoid or tanh in {deep} layers, or in one {100 * flat:g} % of the slopes below {FLAT}"
    )
    source = "Glorot and Bengio 2010, sections 3 and 4"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether there are many such layers, or one is flat."""
        rows = [row for row in evidence.layers if _is(row, SATURATING)]
        if not rows:
            return None
        worst = max(rows, key=lambda row: row["flat"] or 0.0)
        if (worst["flat"] or 0.0) >= self.flat:
            return f"{100 * worst['flat']:.0f} % of the slopes of {worst['layer']} are below 0.01"
        if len(rows) < self.deep:
            return None
        norms = [row["gradient_norm"] for row in evidence.layers if row["gradient_norm"]]
        faded = f"; gradients fade by {norms[0] / norms[-1]:.1g}" if len(norms) > 1 else ""
        return f"{len(rows)} layers of {rows[0]['layer'].split(' ', 1)[-1]} in a row{faded}"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """ReLU in their place."""
        yield Cure(
            "ReLU in the place of sigmoid and tanh, weights drawn anew",
            with_relu(evidence.case, SATURATING),
            Words(
                "--activation relu --initializer he",
                'MultiLayerNet(..., activation="relu", initializer="he")',
                'activation="relu"',
            ),
        )
        yield Cure(
            "ReLU behind batch normalization in their place, weights drawn anew",
            with_batch_norm(with_relu(evidence.case, SATURATING)),
            Words(
                "--activation relu --initializer he --batch-norm",
                'MultiLayerNet(..., activation="relu", initializer="he", batch_norm=True)',
                'activation="relu", batch_norm=True',
            ),
        )

    def pictures(self, evidence: Evidence) -> tuple[Picture, ...]:
        """The slopes and the gradients."""
        return (_of_layers(evidence, "flat", "Share of slopes below 0.01"),)


class NoActivation(CureRule):
    """Layers without anything that bends: together they are a linear model."""

    name = "no activation"
    signal = "the network has hidden layers and no activation, and with ReLU the skill comes back"
    source = "Goodfellow, Bengio and Courville 2016, section 6.1"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether it is linear."""
        layers = evidence.case.network.layers
        if not all(isinstance(layer, LINEAR) for layer in layers) or not evidence.narrowest:
            return None
        return "the network has no activation: its layers together are a linear model"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """ReLU behind each layer but the last."""
        yield Cure(
            "ReLU behind each hidden layer",
            with_hidden_relu(evidence.case),
            Words(
                "--activation relu", 'MultiLayerNet(..., activation="relu")', 'activation="relu"'
            ),
        )


class SmallNetwork(CureRule):
    """A network that cannot hold what there is to be learnt."""

    name = "network too small"
    signal = f"the same layers learn less than one hidden layer of {HIDDEN} ReLU, however trained"
    source = "Hastie, Tibshirani and Friedman 2009, section 11.5.4"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether these layers are behind with fresh weights, too."""
        if evidence.takes_categories or evidence.narrowest >= 2 * evidence.needed_width:
            return None
        same = next(iter(evidence.references.values()))
        if evidence.reference.best - same.best < 0.5 * evidence.gap:
            return None
        return f"these layers with fresh weights, trained otherwise, reach {same.best:.3f}"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """One hidden layer of 100."""
        yield Cure(
            "one hidden layer of 100 ReLU",
            evidence.with_one_hidden(evidence.case),
            Words("--hidden 100", "MultiLayerNet(n_in, 100, n_out)", "hidden_layer_sizes=(100,)"),
        )


def _is(row: dict[str, object], kinds: tuple[type, ...]) -> bool:
    name = str(row["layer"]).split(" ", 1)[-1]
    return any(name.startswith(f"{kind.__name__}(") for kind in kinds)


def _of_layers(evidence: Evidence, what: str, title: str) -> Picture:
    rows = [row for row in evidence.layers if row[what] is not None]
    return Picture(
        title,
        [row["layer"] for row in rows],
        [0.0] * len(rows),
        [float(row[what]) for row in rows],
        "layer",
        "share",
    )
