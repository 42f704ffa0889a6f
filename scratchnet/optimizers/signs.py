"""Rules that step by the sign of the gradient alone."""

from dataclasses import dataclass

import numpy as np

from scratchnet.optimizers.optimizer import Optimizer, hyper
from scratchnet.parameters import Array


@dataclass(repr=False)
class Rprop(Optimizer):
    """Resilient propagation: only the sign of g counts, the size of the step is learnt.

    step <- shrink step where g has changed its sign, grow step where it has kept it;
    step <- min(max(step, 1e-6), 50);  g <- 0 where it has changed its sign;
    w <- w - sign(g) step. step starts at lr. Means the gradient of all samples: with batches
    signs change by chance. grow, shrink and limits are torch's. Use it where all samples fit into
    a batch. Riedmiller and Braun 1993, in the variant iRprop- of Igel and Huesken 2003.
    """

    shrink: float = hyper(0.5, above=0, below=1)
    grow: float = hyper(1.2, above=1)
    slots = ("step_size", "previous")
    full_batch = True

    def begin(self, w: Array, step_size: Array, previous: Array) -> None:
        step_size[...] = self.lr

    def rule(self, w: Array, g: Array, step_size: Array, previous: Array) -> None:
        agreement = np.sign(g * previous)
        step_size *= np.where(agreement > 0, self.grow, np.where(agreement < 0, self.shrink, 1))
        np.clip(step_size, 1e-6, 50, out=step_size)
        previous[...] = np.where(agreement < 0, 0, g)
        w -= np.sign(previous) * step_size


@dataclass(repr=False)
class Lion(Optimizer):
    """Lion: w <- w - lr sign(beta1 m + (1 - beta1) g);  m <- beta2 m + (1 - beta2) g.

    Every step has the same size in every direction, so lr is a tenth of Adam's or less. Half of
    Adam's memory. Use it for large batches, with weight_decay. Chen et al. 2023, algorithm 2.
    """

    lr: float = hyper(1e-4, above=0)
    beta1: float = hyper(0.9, at_least=0, below=1)
    beta2: float = hyper(0.99, at_least=0, below=1)
    slots = ("m",)

    def rule(self, w: Array, g: Array, m: Array) -> None:
        w -= self.lr * np.sign(self.beta1 * m + (1 - self.beta1) * g)
        m *= self.beta2
        m += (1 - self.beta2) * g
