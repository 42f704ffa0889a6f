"""The Trainer: mini-batch training with an optimizer, one epoch after the other."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.data import Batches, Samples
from scratchnet.environment import limit_threads
from scratchnet.errors import DivergenceError, ParameterError, ShapeError
from scratchnet.networks import EVALUATION_ROWS, Network, hint_at_scale
from scratchnet.optimizers import Optimizer, make_optimizer
from scratchnet.parameters import Array
from scratchnet.randomness import permutation

Data = Samples | tuple[npt.ArrayLike, npt.ArrayLike]
OnStep = Callable[[int, float], object]


@dataclass(frozen=True)
class Epoch:
    """What one epoch, every training sample once, came to."""

    number: int
    """Epochs completed, this one included: 1 for the first."""
    steps: int
    """Updates since the start."""
    loss: float
    """Mean training loss of the forward passes that gave the gradients, penalty left out."""
    accuracy: float
    """Share of training samples that those same passes classified rightly."""
    penalty: float
    """The L2 penalty on the weights at the end of the epoch."""
    val_loss: float | None
    """Mean loss on the validation samples at the end of the epoch; None without any."""
    val_accuracy: float | None
    """Accuracy on the validation samples at the end of the epoch; None without any."""
    seconds: float
    """Wall time of the training steps; evaluation is not counted."""
    samples_per_second: float
    """Training samples per second of that time."""


class Trainer:
    """Trains `network` on `train` with an optimizer by name, or one that is ready made.

    `train` and `validation` are Samples, or pairs (x, t). `lr` is None for the optimizer's own
    default. Every epoch visits each training sample once, in an order drawn from `seed` and the
    number of the epoch; the last batch is as short as it must be. `threads` is how many BLAS may
    use: on a machine that is busy with anything else a second one makes small networks many times
    slower; None leaves it as it is. `on_step(step, loss)` is called after every update.

    >>> trainer = Trainer(network, train, validation, optimizer="adam")
    >>> for epoch in trainer.run(epochs=20):
    ...     print(epoch.number, epoch.val_accuracy)

    Raises ParameterError, ShapeError or DtypeError where an option or the data do not fit.
    """

    def __init__(
        self,
        network: Network,
        train: Data,
        validation: Data | None = None,
        *,
        optimizer: str | Optimizer = "adam",
        lr: float | None = None,
        batch_size: int = 100,
        seed: int = 0,
        threads: int | None = 1,
        on_step: OnStep | None = None,
        **options: Any,
    ) -> None:
        self.network = network
        self.train = _fit(network, "train", train)
        self.validation = None if validation is None else _fit(network, "validation", validation)
        self.optimizer = make_optimizer(optimizer, lr, **options)
        self.batches = Batches(self.train, batch_size, network.dtype)
        self.seed = check_integer("seed", seed, 0)
        self.threads = None if threads is None else check_integer("threads", threads, 1)
        self.on_step = on_step
        self.epochs = 0  # completed
        self.steps = 0

    def run(self, epochs: int) -> Iterator[Epoch]:
        """Train for that many epochs more, giving each as it ends; stop by leaving the loop.

        Raises ParameterError unless epochs is an integer >= 1, and, while it runs,
        DivergenceError at the first loss that is not finite.
        """
        return (self._run_epoch() for _ in range(check_integer("epochs", epochs, 1)))

    def _run_epoch(self) -> Epoch:
        with limit_threads(self.threads):
            total, correct, seconds = self._visit_all()
            self.epochs += 1
            val_loss, val_accuracy = (
                (None, None) if self.validation is None else self.evaluate(self.validation)
            )
        n, penalty = len(self.train), self.network.penalty()
        self._require_finite("penalty", penalty)
        return Epoch(
            self.epochs,
            self.steps,
            total / n,
            correct / n,
            penalty,
            val_loss,
            val_accuracy,
            seconds,
            n / seconds,
        )

    def _visit_all(self) -> tuple[float, int, float]:
        """Every training sample once: the sum of losses, the number right, the seconds it took."""
        total, correct, start = 0.0, 0, time.perf_counter()
        order = permutation(len(self.train), self.seed, "shuffle", self.epochs)
        # What overflows ends in a loss that is not finite, which is reported with its step.
        with np.errstate(over="ignore", invalid="ignore"):
            for index in self.batches.slices(order):
                x, t = self.batches.gather(index)
                total += self.step(x, t) * len(t)
                correct += self.network.loss_layer.count_correct()
        return total, correct, time.perf_counter() - start

    def step(self, x: Array, t: Array) -> float:
        """One update on a batch as `Batches` gives it; returns its loss before the update.

        Raises DivergenceError, naming step and place, instead of updating on a loss that is not
        finite.
        """
        loss = self.network.forward(x, t, train=True)
        if not math.isfinite(loss):
            raise DivergenceError(self._divergence(x, loss))
        self.network.backward()
        self.optimizer.update(self.network.params, self.network.grads)
        self.steps += 1
        if self.on_step is not None:
            self.on_step(self.steps, loss)
        return loss

    def evaluate(self, samples: Data) -> tuple[float, float]:
        """The mean loss, penalty left out, and the accuracy on all of `samples`.

        Raises DivergenceError where the loss is not finite.
        """
        samples = _fit(self.network, "samples", samples)
        total, correct = 0.0, 0
        quiet = np.errstate(over="ignore", invalid="ignore")
        with limit_threads(self.threads), quiet:
            for x, t in Batches(samples, EVALUATION_ROWS, self.network.dtype).in_order():
                total += self.network.forward(x, t) * len(t)
                correct += self.network.loss_layer.count_correct()
        self._require_finite("loss", total)
        return total / len(samples), correct / len(samples)

    def _require_finite(self, name: str, value: float) -> None:
        """Raise DivergenceError where it is not a step but its outcome that is not finite."""
        if not math.isfinite(value):
            raise DivergenceError(
                f"training diverged by step {self.steps}: the {name} is {value}; {self._advice()}"
            )

    def _advice(self) -> str:
        usual = min(type(self.optimizer)().lr, self.optimizer.lr / 10)
        return f"try an lr below {self.optimizer.lr:g}, such as {usual:g}"

    def _divergence(self, x: Array, loss: float) -> str:
        """Say where values stopped being finite: in a parameter, else behind a layer."""
        bad = [name for name, array in self.network.params.items() if not np.isfinite(array).all()]
        place = f"the parameter {bad[0]}" if bad else "the loss"
        for k, layer in enumerate(() if bad else self.network.layers, 1):
            x = layer.forward(x)
            if not np.isfinite(x).all():
                place = f"the output of layer {k}, {layer!r},"
                break
        return (
            f"training diverged at step {self.steps + 1}: the loss is {loss}, {place} is not "
            f"finite; {self._advice()}"
        )


class EarlyStopping:
    """Notices when validation loss has stopped falling, and keeps the weights of its best epoch.

    >>> stopping = EarlyStopping(network, patience=5)
    >>> for epoch in trainer.run(100):
    ...     if stopping.should_stop(epoch):
    ...         break
    >>> stopping.restore_best()

    Raises ParameterError unless patience is an integer >= 1.
    """

    def __init__(self, network: Network, patience: int) -> None:
        self.network = network
        self.patience = check_integer("patience", patience, 1)
        self.best: Epoch | None = None
        self._weights = network.vector.copy()

    def should_stop(self, epoch: Epoch) -> bool:
        """True when `patience` epochs, this one included, brought no lower validation loss.

        Raises ParameterError where the Trainer has no validation samples.
        """
        if epoch.val_loss is None:
            raise ParameterError("early stopping needs validation samples, the Trainer has none")
        if self.best is None or self.best.val_loss is None or epoch.val_loss < self.best.val_loss:
            self.best = epoch
            self._weights[:] = self.network.vector
        return epoch.number - self.best.number >= self.patience

    def restore_best(self) -> None:
        """Give the network the weights of the best epoch seen; before any, those it had."""
        self.network.vector[:] = self._weights


def _fit(network: Network, name: str, data: Data) -> Samples:
    """`data` as Samples whose shape and labels fit the network; raises ShapeError."""
    samples = data if isinstance(data, Samples) else Samples(*data)
    if samples.scale == 1.0:
        hint_at_scale(samples.x)
    n_in, n_out = network.input_size, network.output_sizes[-1]
    if samples.x.shape[1] != n_in:
        raise ShapeError(
            f"{name} must have the {n_in} columns that the network takes, got {samples.x.shape[1]}"
        )
    network.loss_layer.check_targets(samples.t, len(samples), n_out)
    return samples
