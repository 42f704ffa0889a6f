"""Rules that need whole arrays: their norms, their rows and columns, their singular values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scratchnet.optimizers.adaptive import Adam
from scratchnet.optimizers.optimizer import Optimizer, hyper
from scratchnet.optimizers.walk import Closure, Params
from scratchnet.parameters import Array, is_weight


@dataclass(repr=False)
class LARS(Optimizer):
    """LARS: momentum whose rate for each array is in proportion to the size of its weights.

    d = g + weight_decay w (weights only);  v <- momentum v - lr trust |w| / |d| d;  w <- w + v.
    |.| is the Euclidean norm; trust |w| / |d| counts as 1 where either norm is 0. lr is inside of
    v. The paper has no default lr; 0.5 trains digits in small batches. Use it for very large
    batches, with warm-up. You et al. 2017, algorithm 1.
    """

    lr: float = hyper(0.5, above=0)
    momentum: float = hyper(0.9, at_least=0, below=1)
    trust: float = hyper(0.001, above=0)
    slots = ("v",)
    elementwise = False
    own_weight_decay = True

    def rule(self, w: Array, g: Array, v: Array) -> None:
        d = g + self.weight_decay * w if is_weight(w.shape) else g
        v *= self.momentum
        v -= (self.lr * trust_ratio(w, d, self.trust)) * d
        w += v


@dataclass(repr=False)
class LAMB(Adam):
    """LAMB: Adam whose rate for each array is in proportion to the size of its weights.

    d = m^ / (sqrt(v^) + eps) + weight_decay w (weights only), with m^ and v^ of Adam;
    w <- w - lr |w| / |d| d. |.| is the Euclidean norm; |w| / |d| counts as 1 where either norm is
    0. eps is outside of the root, 1e-6 as in the paper. Use it for very large batches.
    You et al. 2019, algorithm 2, with the identity for its phi.
    """

    eps: float = hyper(1e-6, above=0)
    elementwise = False
    own_weight_decay = True

    def rule(self, w: Array, g: Array, m: Array, v: Array) -> None:
        t = self.step
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        d = (m / (1 - self.beta1**t)) / (np.sqrt(v / (1 - self.beta2**t)) + self.eps)
        if is_weight(w.shape):
            d += self.weight_decay * w
        w -= (self.lr * trust_ratio(w, d)) * d


@dataclass(repr=False)
class Adafactor(Optimizer):
    """Adafactor: Adam's second moment of a matrix from the means of its rows and columns alone.

    b = 1 - t^-power;  r <- b r + (1 - b) (means of g^2 over rows);
    c <- b c + (1 - b) (means of g^2 over columns);  V = r c^T / mean(r);
    u = g / sqrt(max(V, eps^2));  u <- u / max(1, rms(u) / clip);
    w <- w - max(least, rms(w)) min(lr, 1 / sqrt(t)) u. rms is the root of the mean square, eps the
    dtype's own. A vector has the mean of g^2 itself for V. A matrix of n by m weights takes n + m
    numbers. Defaults are torch's. Use it where memory is short. Shazeer and Stern 2018,
    algorithms 4-5.
    """

    power: float = hyper(0.8, above=0)
    least: float = hyper(1e-3, above=0)
    clip: float = hyper(1.0, above=0)
    elementwise = False

    def slot_shapes(self, w: Array) -> dict[str, tuple[int, ...]]:
        """Row and column means of a matrix, all of a vector."""
        if w.ndim < 2:
            return {"v": w.shape}
        return {"r": (*w.shape[:-1], 1), "c": (*w.shape[:-2], 1, w.shape[-1])}

    def rule(self, w: Array, g: Array, *moments: Array) -> None:
        fresh = self.step**-self.power  # 1 - b
        eps = float(np.finfo(w.dtype).eps)
        for moment, axis in zip(moments, (-1, -2) if w.ndim > 1 else (None,), strict=True):
            square = g * g if axis is None else np.mean(g * g, axis=axis, keepdims=True)
            moment += fresh * (square - moment)
        V = moments[0]
        if w.ndim > 1:
            r, c = moments
            V = r * c / np.maximum(r.mean(axis=-2, keepdims=True), eps)
        u = g / np.sqrt(np.maximum(V, eps * eps))
        u /= max(1.0, rms(u) / self.clip)
        w -= max(self.least, rms(w)) * min(self.lr, 1 / math.sqrt(self.step)) * u


def trust_ratio(w: Array, d: Array, trust: float = 1.0) -> float:
    """trust |w| / |d|, or 1 where either norm is 0."""
    of_w, of_d = float(np.linalg.norm(w)), float(np.linalg.norm(d))
    return trust * of_w / of_d if of_w and of_d else 1.0


def rms(x: Array) -> float:
    """The root of the mean square of all values of x."""
    return float(np.linalg.norm(x)) / math.sqrt(x.size)


@dataclass(repr=False)
class Muon(Adam):
    """Muon: momentum for hidden matrices, with all singular values near 1; Adam for the rest.

    m <- momentum m + (1 - momentum) g;  d = momentum m + (1 - momentum) g;
    w <- w - lr sqrt(max(1, n_out / n_in)) f(d);  f begins with x = d / (|d| + 1e-7);
    x <- a x + (b A + c A^2) x, with A = x x^T, five times;  a, b, c = 3.4445, -4.7750, 2.0315.
    Hidden are the matrices but the first and the last, so that a network with one hidden layer has
    none; all else is left to Adam at lr adam_share, eps outside of its root. Use it for deep
    networks of wide layers. Jordan et al. 2024.
    """

    lr: float = hyper(0.02, above=0)
    momentum: float = hyper(0.95, at_least=0, below=1)
    adam_share: float = hyper(0.05, above=0)
    elementwise = False

    def _update(self, params: Params, grads: Mapping[str, Array], closure: Closure | None) -> None:
        self.hidden = self.hidden_matrices(params)
        self.rest = Adam(self.lr * self.adam_share, self.beta1, self.beta2, self.eps)
        super()._update(params, grads, None)

    def hidden_matrices(self, params: Params) -> list[str]:
        """The names of the matrices but the first and the last."""
        return [name for name, w in params.items() if w.ndim == 2][1:-1]

    def rule(self, w: Array, g: Array, m: Array, v: Array) -> None:
        if self.name not in self.hidden:
            self.rest.step = self.step
            self.rest.rule(w, g, m, v)
            return
        m *= self.momentum
        m += (1 - self.momentum) * g
        d = self.momentum * m + (1 - self.momentum) * g
        w -= (self.lr * math.sqrt(max(1.0, w.shape[1] / w.shape[0]))) * orthogonalized(d)


def orthogonalized(d: Array) -> Array:
    """d (n, m) with its singular values moved to near 1: five steps of Newton-Schulz.

    Works on the smaller of x x^T and x^T x: f(d^T) = f(d)^T.
    """
    if d.shape[0] > d.shape[1]:
        return np.asarray(orthogonalized(d.T).T)
    x = d / (np.linalg.norm(d) + 1e-7)
    for _ in range(5):
        A = x @ x.T
        x = 3.4445 * x + (-4.7750 * A + 2.0315 * (A @ A)) @ x
    return np.asarray(x)
