"""Rules whose answer is an average of their path: they train at one point, evaluate at another."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from scratchnet.optimizers.optimizer import Optimizer, hyper
from scratchnet.parameters import Array


@dataclass(repr=False)
class ASGD(Optimizer):
    """Averaged SGD: gradient descent with a falling rate, whose answer is the mean of its path.

    eta = lr / (1 + decay lr (t - 1))^power;  w <- w - eta (g + decay w);
    a <- a + (w - a) / max(1, t - 1 - start). Evaluation uses a. The mean begins after `start`
    steps; until then a = w. decay acts on every parameter, as in torch, whose defaults these are.
    Use it for convex problems whose end is noisy. Polyak and Juditsky 1992.
    """

    decay: float = hyper(1e-4, at_least=0)
    power: float = hyper(0.75, at_least=0)
    start: int = hyper(1_000_000, at_least=0, integer=True)
    slots = ("a",)

    def rule(self, w: Array, g: Array, a: Array) -> None:
        t = self.step
        eta = self.lr / (1 + self.decay * self.lr * (t - 1)) ** self.power
        w *= 1 - self.decay * eta
        w -= eta * g
        a += (w - a) / max(1, t - 1 - self.start)

    def evaluation_weights(self, w: Array, a: Array) -> Array:
        return a


@dataclass(repr=False)
class ScheduleFreeSGD(Optimizer):
    """Schedule-free SGD: no schedule, no end to plan for; the average of the path is the answer.

    z <- z - lr g;  w <- w - lr (1 - momentum) g;  w <- w + c (z - w);  c = r^2 / (sum of all r^2);
    r = the largest lr so far. z is the fast point, x the average of z with the weights c, and w is
    the paper's y = (1 - momentum) z + momentum x, where gradients are taken. Evaluation uses
    x = w + (1 - 1 / momentum) (z - w), which need not be kept. weight_decay acts at w. Use it where
    the length of training is open. Defazio et al. 2024, eq. 2-5, with the weights c of its
    algorithm 1.
    """

    lr: float = hyper(1.0, above=0)
    momentum: float = hyper(0.9, above=0, below=1)
    slots: ClassVar[tuple[str, ...]] = ("z",)

    def before_rule(self, scalars: dict[str, float]) -> None:
        scalars["largest"] = max(scalars.get("largest", 0.0), self.lr)
        scalars["sum"] = scalars.get("sum", 0.0) + scalars["largest"] ** 2
        self.c = scalars["largest"] ** 2 / scalars["sum"]

    def begin(self, w: Array, z: Array, *rest: Any, **none: Any) -> None:
        z[...] = w

    def rule(self, w: Array, g: Array, z: Array, *rest: Any, **none: Any) -> None:
        z -= self.lr * g
        w -= (self.lr * (1 - self.momentum)) * g
        w += self.c * (z - w)

    def decay_weights(self, w: Array, z: Array, *rest: Any, **none: Any) -> None:
        z -= (self.lr * self.weight_decay) * w
        w *= 1 - self.lr * (1 - self.momentum) * self.weight_decay

    def evaluation_weights(self, w: Array, z: Array, *rest: Any, **none: Any) -> Array:
        return w + (1 - 1 / self.momentum) * (z - w)


@dataclass(repr=False)
class ScheduleFreeAdamW(ScheduleFreeSGD):
    """Schedule-free AdamW: Adam's scaled gradient on the path of ScheduleFreeSGD.

    v <- beta2 v + (1 - beta2) g^2;  v^ = v / (1 - beta2^t);  d = g / (sqrt(v^) + eps);
    z <- z - lr d;  w <- w - lr (1 - momentum) d;  w <- w + c (z - w). c and the point to evaluate
    with are those of ScheduleFreeSGD. eps is outside of the root; momentum is the paper's beta1,
    which Adam's average of g gives way to. Use it as Adam, where the length of training is open.
    Defazio et al. 2024, algorithm 1.
    """

    lr: float = hyper(0.0025, above=0)
    beta2: float = hyper(0.999, at_least=0, below=1)
    eps: float = hyper(1e-8, above=0)
    slots = ("z", "v")

    def rule(self, w: Array, g: Array, z: Array, v: Array) -> None:
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        v_hat = v / (1 - self.beta2**self.step)
        super().rule(w, g / (np.sqrt(v_hat) + self.eps), z)
