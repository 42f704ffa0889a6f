"""The relatives of RMSprop and Adam: other second moments, bias corrections and decays."""

import math
from dataclasses import dataclass

import numpy as np

from scratchnet.optimizers.adaptive import Adam
from scratchnet.optimizers.optimizer import Optimizer, hyper
from scratchnet.parameters import Array


@dataclass(repr=False)
class CenteredRMSprop(Optimizer):
    """Centered RMSprop: divided by the deviation of g, not by its size.

    h <- decay h + (1 - decay) g^2;  m <- decay m + (1 - decay) g;
    w <- w - lr g / (sqrt(h - m^2) + eps). eps is outside of the root, as in torch. Use it where
    RMSprop is too careful. Graves 2013, eq. 38-40, without its momentum.
    """

    decay: float = hyper(0.99, at_least=0, below=1)
    eps: float = hyper(1e-7, above=0)
    slots = ("h", "m")

    def rule(self, w: Array, g: Array, h: Array, m: Array) -> None:
        h *= self.decay
        h += (1 - self.decay) * g * g
        m *= self.decay
        m += (1 - self.decay) * g
        w -= self.lr * g / (np.sqrt(h - m * m) + self.eps)


@dataclass(repr=False)
class AdaDelta(Optimizer):
    """AdaDelta: the step is as large as steps have been, so that its unit is that of w.

    h <- decay h + (1 - decay) g^2;  d = g sqrt(s + eps) / sqrt(h + eps);
    s <- decay s + (1 - decay) d^2;  w <- w - lr d. eps is inside of the roots, as in the paper.
    lr 1 is the paper's, decay and eps are torch's. Use it where no rate is known. Zeiler 2012.
    """

    lr: float = hyper(1.0, above=0)
    decay: float = hyper(0.9, at_least=0, below=1)
    eps: float = hyper(1e-6, above=0)
    slots = ("h", "s")

    def rule(self, w: Array, g: Array, h: Array, s: Array) -> None:
        h *= self.decay
        h += (1 - self.decay) * g * g
        d = g * np.sqrt(s + self.eps) / np.sqrt(h + self.eps)
        s *= self.decay
        s += (1 - self.decay) * d * d
        w -= self.lr * d


@dataclass(repr=False)
class AdamW(Adam):
    """AdamW: Adam with weight decay apart from the gradient.

    w <- w - lr weight_decay w;  w <- w - lr m^ / (sqrt(v^) + eps), with m^ and v^ of Adam.
    An L2 penalty would be divided by sqrt(v^) with the rest of the gradient, and do little where
    gradients are large. eps is outside of the root. weight_decay 0.01 is torch's; biases are
    spared. Use it instead of Adam with an L2 penalty. Loshchilov and Hutter 2017, algorithm 2.
    """

    weight_decay: float = hyper(0.01, kw_only=True, at_least=0)


@dataclass(repr=False)
class AMSGrad(Optimizer):
    """AMSGrad: Adam that divides by the largest v it has had, so that no rate ever rises.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;  u <- max(u, v);
    m^ = m / (1 - beta1^t);  w <- w - lr m^ / (sqrt(u / (1 - beta2^t)) + eps). eps is outside of the
    root. The paper corrects neither m nor u; this is torch's form, which corrects both. Use it
    where Adam does not settle. Reddi et al. 2018, algorithm 2.
    """

    lr: float = hyper(0.001, above=0)
    beta1: float = hyper(0.9, at_least=0, below=1)
    beta2: float = hyper(0.999, at_least=0, below=1)
    eps: float = hyper(1e-8, above=0)
    slots = ("m", "v", "u")

    def rule(self, w: Array, g: Array, m: Array, v: Array, u: Array) -> None:
        t = self.step
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        np.maximum(u, v, out=u)
        u_hat = u / (1 - self.beta2**t)
        w -= (self.lr / (1 - self.beta1**t)) * m / (np.sqrt(u_hat) + self.eps)


@dataclass(repr=False)
class Adamax(Adam):
    """Adamax: Adam with the largest recent |g| in the place of the root of v.

    m <- beta1 m + (1 - beta1) g;  u <- max(beta2 u, |g| + eps);  m^ = m / (1 - beta1^t);
    w <- w - lr m^ / u. There is no root: eps is added to |g|, outside of the maximum's memory, as
    in torch; the paper has none and divides by 0 while g is 0. Use it for sparse gradients.
    Kingma and Ba 2014, algorithm 2.
    """

    lr: float = hyper(0.002, above=0)
    slots = ("m", "u")

    def rule(self, w: Array, g: Array, m: Array, u: Array) -> None:
        m *= self.beta1
        m += (1 - self.beta1) * g
        u *= self.beta2
        np.maximum(u, np.abs(g) + self.eps, out=u)
        w -= (self.lr / (1 - self.beta1**self.step)) * m / u


@dataclass(repr=False)
class NAdam(Adam):
    """NAdam: Adam with Nesterov's look ahead.

    mu_t = beta1 (1 - 0.96^(t psi) / 2);  M_t = mu_1 ... mu_t;  v^ = v / (1 - beta2^t);
    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    w <- w - lr (mu_(t+1) m / (1 - M_(t+1)) + (1 - mu_t) g / (1 - M_t)) / (sqrt(v^) + eps).
    eps is outside of the root. lr and psi are torch's. Use it as Adam, where each step should
    bring more. Dozat 2016, algorithm 2 with the warming momentum of its section 3.
    """

    lr: float = hyper(0.002, above=0)
    psi: float = hyper(0.004, at_least=0)

    def before_rule(self, scalars: dict[str, float]) -> None:
        scalars["M"] = self.product = scalars.get("M", 1.0) * self.mu(self.step)

    def mu(self, t: int) -> float:
        """The momentum of step t, which rises from beta1 / 2 to beta1."""
        return self.beta1 * float(1 - 0.5 * 0.96 ** (t * self.psi))

    def rule(self, w: Array, g: Array, m: Array, v: Array) -> None:
        t = self.step
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        root = np.sqrt(v / (1 - self.beta2**t)) + self.eps
        ahead = self.mu(t + 1)
        w -= (self.lr * (1 - self.mu(t)) / (1 - self.product)) * g / root
        w -= (self.lr * ahead / (1 - self.product * ahead)) * m / root


@dataclass(repr=False)
class RAdam(Adam):
    """RAdam: Adam that waits until v is worth dividing by, in place of a warm-up.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;  m^ = m / (1 - beta1^t);
    rho = 2 / (1 - beta2) - 1;  rho_t = rho - 2 t beta2^t / (1 - beta2^t);
    r = sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t));
    w <- w - lr m^ while rho_t <= 5;  w <- w - lr m^ r sqrt(1 - beta2^t) / (sqrt(v) + eps) then.
    eps is outside of the root of v before its correction, as in torch. Use it without warm-up.
    Liu et al. 2019, algorithm 2.
    """

    def rule(self, w: Array, g: Array, m: Array, v: Array) -> None:
        t = self.step
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        lr = self.lr / (1 - self.beta1**t)
        rho = 2 / (1 - self.beta2) - 1
        rho_t = rho - 2 * t * self.beta2**t / (1 - self.beta2**t)
        if rho_t > 5:
            r = math.sqrt((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t))
            w -= (lr * r * math.sqrt(1 - self.beta2**t)) * m / (np.sqrt(v) + self.eps)
        else:
            w -= lr * m
