"""Rules that follow the gradient, with or without momentum, or only its sign."""

from dataclasses import dataclass

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
    slots = ("v",)

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
    slots = ("v",)

    def rule(self, w: Array, g: Array, v: Array) -> None:
        v *= self.momentum
        v -= self.lr * g
        w += self.momentum * v - self.lr * g
