"""Rules that follow the gradient, with or without momentum, or only its sign."""

from dataclasses import dataclass

import numpy as np

from scratchnet.optimizers.optimizer import Optimizer, hyper
from scratchnet.parameters import Array


@dataclass(repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent: w <- w - lr g.

    Use it to see what training is, and with a schedule where time is no matter.
    Robbins and Monro 1951.
    """

    def rule(self, w: Array, g: Array) -> None:
        w -= self.lr * g


@dataclass(repr=False)
class Momentum(Optimizer):
    """Momentum: v <- momentum v - lr g;  w <- w + v.

    A ball on the slope, with friction 1 - momentum. lr is inside of v, as in the book; torch has
    it outside, which is the same as long as lr does not change. Use it with a schedule, as the
    sound choice for large networks. Polyak 1964; Sutskever et al. 2013, eq. 1-2.
    """

    momentum: float = hyper(0.9, at_least=0, below=1)
    remembers = ("v",)

    def rule(self, w: Array, g: Array, v: Array) -> None:
        v *= self.momentum
        v -= self.lr * g
        w += v


@dataclass(repr=False)
class Nesterov(Optimizer):
    """Nesterov's accelerated gradient: v <- momentum v - lr g;  w <- w + momentum v - lr g.

    Momentum that takes its gradient where it is about to arrive; w is that point. lr is inside of
    v; torch has it outside, the same as long as lr does not change. Use it wherever Momentum is
    used. Nesterov 1983; Sutskever et al. 2013, eq. 3-4, in the variable of Bengio et al. 2013.
    """

    momentum: float = hyper(0.9, at_least=0, below=1)
    remembers = ("v",)

    def rule(self, w: Array, g: Array, v: Array) -> None:
        v *= self.momentum
        v -= self.lr * g
        w += self.momentum * v - self.lr * g


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
    remembers = ("step_size", "previous")
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
    remembers = ("m",)

    def rule(self, w: Array, g: Array, m: Array) -> None:
        w -= self.lr * np.sign(self.beta1 * m + (1 - self.beta1) * g)
        m *= self.beta2
        m += (1 - self.beta2) * g
