"""Planted faults in the rules: each must leave its reference, or the references prove nothing.

The list is data: the class, the text in it that is replaced, by what, and the trajectory that has
to notice. A mutant is the module's source with that one change, run under a name of its own.
"""

import importlib
import inspect
import sys
import types
from typing import NamedTuple

import numpy as np
import pytest
import test_references
from test_references import TOLERANCE, largest_deviation

from scratchnet import optimizers


class Mutation(NamedTuple):
    what: str
    kind: str  # the class
    old: str
    new: str
    case: str  # the trajectory


MUTATIONS = [
    Mutation("sgd climbs", "SGD", "w -=", "w +=", "sgd"),
    Mutation("momentum forgets the gradient's sign", "Momentum", "v -= self", "v += self", "momentum"),
    Mutation("momentum damped by 1 - momentum", "Momentum", "self.lr * g", "self.lr * (1 - self.momentum) * g", "momentum"),
    Mutation("momentum decayed after the gradient came in", "Momentum", "v *= self.momentum\n        v -= self.lr * g", "v -= self.lr * g\n        v *= self.momentum", "momentum"),
    Mutation("nesterov in the old order", "Nesterov", "self.momentum * v - self.lr * g", "self.momentum**2 * v - (1 + self.momentum) * self.lr * g", "nesterov"),
    Mutation("nesterov is plain momentum", "Nesterov", "w += self.momentum * v - self.lr * g", "w += v", "nesterov"),
    Mutation("adagrad with eps inside of the root", "AdaGrad", "(np.sqrt(h) + self.eps)", "np.sqrt(h + self.eps)", "adagrad"),
    Mutation("adagrad that forgets", "AdaGrad", "h += g * g", "h += g * g - 0.01 * h", "adagrad"),
    Mutation("adagrad steps before it looks", "AdaGrad", "h += g * g\n        w -= self.lr * g / (np.sqrt(h) + self.eps)", "w -= self.lr * g / (np.sqrt(h) + self.eps)\n        h += g * g", "adagrad"),
    Mutation("rmsprop with eps inside of the root", "RMSprop", "(np.sqrt(h) + self.eps)", "np.sqrt(h + self.eps)", "rmsprop"),
    Mutation("rmsprop without 1 - decay", "RMSprop", "(1 - self.decay) * g * g", "g * g", "rmsprop"),
    Mutation("centered rmsprop not centered", "CenteredRMSprop", "h - m * m", "h", "rmsprop_centered"),
    Mutation("centered rmsprop takes the mean before it moves", "CenteredRMSprop", "m += (1 - self.decay) * g", "m += (1 - self.decay) * m", "rmsprop_centered"),
    Mutation("adadelta with eps outside of the roots", "AdaDelta", "np.sqrt(s + self.eps)", "(np.sqrt(s) + self.eps)", "adadelta"),
    Mutation("adadelta remembers lr times the step", "AdaDelta", "(1 - self.decay) * d * d", "(1 - self.decay) * d * d * 1.001", "adadelta"),
    Mutation("adadelta uses the new s", "AdaDelta", "w -= self.lr * d", "w -= self.lr * g * np.sqrt(s + self.eps) / np.sqrt(h + self.eps)", "adadelta"),
    Mutation("adam without correction of m", "Adam", "(self.lr * c / (1 - self.beta1**t))", "self.lr * c", "adam"),
    Mutation("adam without correction of v", "Adam", "math.sqrt(1 - self.beta2**t)", "1.0", "adam"),
    Mutation("adam counts steps from 0", "Adam", "t = self.step", "t = self.step - 1 or 1", "adam"),
    Mutation("adam with eps inside of the root", "Adam", "(np.sqrt(v) + c * self.eps)", "np.sqrt(v + c**2 * self.eps)", "adam"),
    Mutation("adam with eps at the uncorrected root, as the book", "Adam", "c * self.eps", "self.eps", "adam"),
    Mutation("adam's betas changed over", "Adam", "m *= self.beta1", "m *= self.beta2", "adam"),
    Mutation("adam's m without 1 - beta1", "Adam", "m += (1 - self.beta1) * g", "m += g", "adam"),
    Mutation("amsgrad without its maximum", "AMSGrad", "np.maximum(u, v, out=u)", "u[...] = v", "amsgrad"),
    Mutation("amsgrad takes the maximum of corrected v", "AMSGrad", "np.maximum(u, v, out=u)", "np.maximum(u, v / (1 - self.beta2**t), out=u)", "amsgrad"),
    Mutation("adamax without correction", "Adamax", "(self.lr / (1 - self.beta1**self.step))", "self.lr", "adamax"),
    Mutation("adamax without decay of its maximum", "Adamax", "u *= self.beta2", "u *= 1.0", "adamax"),
    Mutation("adamax with eps in the division", "Adamax", "np.abs(g) + self.eps, out=u", "np.abs(g), out=u", "adamax"),
    Mutation("nadam without its look ahead", "NAdam", "ahead = self.mu(t + 1)", "ahead = self.mu(t)", "nadam"),
    Mutation("nadam without the product of momenta", "NAdam", 'scalars.get("M", 1.0) * self.mu(self.step)', "self.mu(self.step)", "nadam"),
    Mutation("nadam with a constant momentum", "NAdam", "0.96 ** (t * self.psi)", "0.0", "nadam"),
    Mutation("radam always rectified", "RAdam", "if rho_t > 5:", "if rho_t > 4:", "radam"),
    Mutation("radam never rectified", "RAdam", "self.lr / (1 - self.beta1**t)\n", "self.lr\n", "radam"),
    Mutation("radam with the terms of r changed over", "RAdam", "(rho_t - 4) * (rho_t - 2) * rho", "(rho_t - 2) * (rho_t - 2) * rho", "radam"),
    Mutation("radam with eps at the corrected root", "RAdam", "(np.sqrt(v) + self.eps)", "(np.sqrt(v) + self.eps * math.sqrt(1 - self.beta2**t))", "radam"),
    Mutation("rprop steps on after a change of sign", "Rprop", "np.where(agreement < 0, 0, g)", "g", "rprop"),
    Mutation("rprop starts at 1", "Rprop", "step_size[...] = self.lr", "step_size[...] = 1.0", "rprop"),
    Mutation("rprop grows and shrinks changed over", "Rprop", "agreement > 0, self.grow", "agreement < 0, self.grow", "rprop"),
    Mutation("asgd without the fall of its rate", "ASGD", "** self.power", "** 0", "asgd"),
    Mutation("asgd decays by lr alone", "ASGD", "w *= 1 - self.decay * eta", "w *= 1 - self.decay", "asgd"),
    Mutation("lion with its sign turned", "Lion", "w -= self.lr", "w += self.lr", "lion"),
    Mutation("lion moves by its memory alone", "Lion", "self.beta1 * m + (1 - self.beta1) * g", "m", "lion"),
    Mutation("lion updates its memory first", "Lion", "w -= self.lr * np.sign(self.beta1 * m + (1 - self.beta1) * g)\n        m *= self.beta2\n        m += (1 - self.beta2) * g", "m *= self.beta2\n        m += (1 - self.beta2) * g\n        w -= self.lr * np.sign(self.beta1 * m + (1 - self.beta1) * g)", "lion"),
    Mutation("lamb without its ratio", "LAMB", "trust_ratio(w, d)", "1.0", "lamb"),
    Mutation("lamb decays biases", "LAMB", "if is_weight(w.shape):", "if True:", "lamb_wd"),
    Mutation("lamb's decay outside of the ratio", "LAMB", "d += self.weight_decay * w", "w *= 1 - self.lr * self.weight_decay", "lamb_wd"),
    Mutation("lars without decay in its ratio", "LARS", "trust_ratio(w, d, self.trust)", "trust_ratio(w, g, self.trust)", "lars_wd"),
    Mutation("lars with lr outside of the velocity", "LARS", "w += v", "w += self.momentum * v", "lars"),
    Mutation("adafactor without its clip", "Adafactor", "u /= max(1.0, rms(u) / self.clip)", "u /= 1.0", "adafactor"),
    Mutation("adafactor without relative steps", "Adafactor", "max(self.least, rms(w))", "1.0", "adafactor"),
    Mutation("adafactor forgets the mean of the rows", "Adafactor", "r.mean(axis=-2, keepdims=True)", "r", "adafactor"),
    Mutation("muon without its look ahead", "Muon", "d = self.momentum * m + (1 - self.momentum) * g", "d = m", "muon"),
    Mutation("muon hands the rest to itself at its own lr", "Muon", "self.lr * self.adam_share", "self.lr", "muon"),
    Mutation("schedule-free without its average", "ScheduleFreeSGD", "w += self.c * (z - w)", "w += 0 * z", "schedule_free_sgd"),
    Mutation("schedule-free z starts at 0", "ScheduleFreeSGD", "z[...] = w", "z[...] = 0", "schedule_free_sgd"),
    Mutation("schedule-free steps with the whole rate at y", "ScheduleFreeSGD", "(self.lr * (1 - self.momentum)) * g", "self.lr * g", "schedule_free_sgd"),
    Mutation("schedule-free adamw without correction", "ScheduleFreeAdamW", "v / (1 - self.beta2**self.step)", "v", "schedule_free_adamw"),
    Mutation("lookahead leaves w where it was", "Lookahead", "w[...] = slow", "pass", "lookahead"),
    Mutation("lookahead meets one step late", "Lookahead", "% self.k == 0", "% self.k == 1", "lookahead"),
    Mutation("sam stays at the point nearby", "SAM", "w[...] = start", "pass", "sam"),
    Mutation("sam goes down before it looks", "SAM", "w += (self.rho / norm) * g", "w -= (self.rho / norm) * g", "sam"),
    Mutation("sam's norm for each array alone", "SAM", "w += (self.rho / norm) * g", "w += self.rho / np.linalg.norm(g) * g", "sam"),
]  # fmt: skip


def mutant(mutation: Mutation) -> types.ModuleType:
    """The module of the class, with the change, as a module of its own."""
    real = importlib.import_module(getattr(optimizers, mutation.kind).__module__)
    source = inspect.getsource(real)
    start = source.index(f"class {mutation.kind}(")
    end = source.find("\n@dataclass", start)
    body = source[start : end if end > 0 else None]
    code = body.rsplit('"""\n\n', 1)[1]  # what follows the docstring
    assert code.count(mutation.old) == 1, f"{mutation.old!r} must stand once in {mutation.kind}"
    changed = source.replace(code, code.replace(mutation.old, mutation.new), 1)
    module = types.ModuleType("mutant")
    sys.modules["mutant"] = module  # dataclasses look their module up
    exec(compile(changed, f"<{mutation.what}>", "exec"), module.__dict__)
    return module


def test_there_are_more_than_forty_and_every_rule_has_one():
    assert len(MUTATIONS) >= 40
    assert {m.kind for m in MUTATIONS} >= {
        kind.__name__ for kind in optimizers.OPTIMIZERS.values() if "rule" in vars(kind)
    } - {"LBFGS"}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.what)
def test_a_planted_fault_leaves_the_reference(mutation):
    optimizer = test_references.make(mutation.case, mutant(mutation))
    with np.errstate(all="ignore"):
        deviation = largest_deviation(optimizer, mutation.case)
    assert not deviation <= TOLERANCE
    assert largest_deviation(test_references.make(mutation.case), mutation.case) <= TOLERANCE
