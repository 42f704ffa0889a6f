"""Rules with a rate for every weight, from the sizes of the gradients that it has seen."""

import math
from dataclasses import dataclass

import numpy as np

from scratchnet.optimizers.optimizer import Optimizer, hyper
from scratchnet.parameters import Array


@dataclass(repr=False)
class AdaGrad(Optimizer):
    """AdaGrad: h <- h + g^2;  w <- w - lr g / (sqrt(h) + eps).

    A rate for every weight that falls with the gradients seen, and never rises. eps is outside
    of the root; 1e-7 is the book's, torch has 1e-10. Use it for sparse features. Duchi et al. 2011.
    """

    eps: float = hyper(1e-7, above=0)
    slots = ("h",)

    def rule(self, w: Array, g: Array, h: Array) -> None:
        h += g * g
        w -= self.lr * g / (np.sqrt(h) + self.eps)


@dataclass(repr=False)
class RMSprop(Optimizer):
    """RMSprop: h <- decay h + (1 - decay) g^2;  w <- w - lr g / (sqrt(h) + eps).

    AdaGrad that forgets. eps is outside of the root, as in torch; decay is the book's and torch's,
    eps the book's. Use it where gradients change in size. Tieleman and Hinton 2012, lecture 6e.
    """

    decay: float = hyper(0.99, at_least=0, below=1)
    eps: float = hyper(1e-7, above=0)
    slots = ("h",)

    def rule(self, w: Array, g: Array, h: Array) -> None:
        h *= self.decay
        h += (1 - self.decay) * g * g
        w -= self.lr * g / (np.sqrt(h) + self.eps)


@dataclass(repr=False)
class Adam(Optimizer):
    """Adam: momentum over RMSprop, both freed of their start at 0.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    m^ = m / (1 - beta1^t);  v^ = v / (1 - beta2^t);  w <- w - lr m^ / (sqrt(v^) + eps).
    t is the number of the step. eps is outside of the root of v^, as in the paper and torch; the
    book folds the corrections into lr, and so has another eps. Use it first.
    Kingma and Ba 2014, algorithm 1.
    """

    lr: float = hyper(0.001, above=0)
    beta1: float = hyper(0.9, at_least=0, below=1)
    beta2: float = hyper(0.999, at_least=0, below=1)
    eps: float = hyper(1e-8, above=0)
    slots = ("m", "v")

    def rule(self, w: Array, g: Array, m: Array, v: Array) -> None:
        t = self.step
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        # The corrections are numbers: out of the arrays, that is a seventh of the rule.
        c = math.sqrt(1 - self.beta2**t)  # sqrt(v^) + eps = (sqrt(v) + c eps) / c
        w -= (self.lr * c / (1 - self.beta1**t)) * m / (np.sqrt(v) + c * self.eps)
