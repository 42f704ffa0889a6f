"use strict";
// Every optimizer's rule: the classes of scratchnet/optimizers by the same names, on a point [x, y].
//
// A rule looks at one coordinate: rule(w, g, s) gets its value w, its derivative g and its memory s,
// and returns the new w. Rules with norms have `move` instead, which sees both coordinates. A point
// has no weights but "biases", which weight decay spares, so there is none of it here.

const norm = (x) => Math.sqrt(x[0] * x[0] + x[1] * x[1]);
const rms = (x) => norm(x) / Math.sqrt(x.length);
const each = (w, change) => w.map((value, i) => change(value, i));

class Optimizer {
  constructor(config) {
    Object.assign(this, config); // lr and the other hyper-parameters, by their Python names
    this.t = 0;
  }
  begin() { return {}; } // the memory of one coordinate
  before() {} // advances what is kept for all coordinates together
  evaluation(w) { return w; } // the point to show: that of rules which average is their average
  update(w, g, look) { // the new point; `look` gives the gradient at another one
    this.count(w);
    this.before();
    return this.move(w, this.clipped(g));
  }
  count(w) {
    this.t += 1;
    this.memory ??= each(w, (value) => this.begin(value));
  }
  move(w, g) { return each(w, (value, i) => this.rule(value, g[i], this.memory[i])); }
  clipped(g) {
    const size = norm(g);
    if (this.clip_norm !== null && size > this.clip_norm) g = each(g, (d) => (this.clip_norm / size) * d);
    const most = this.clip_value;
    return most === null ? g : each(g, (d) => Math.min(Math.max(d, -most), most));
  }
}

// descent.py

class SGD extends Optimizer {
  rule(w, g) { return w - this.lr * g; }
}

class Momentum extends Optimizer {
  begin() { return { v: 0 }; }
  rule(w, g, s) {
    s.v = this.momentum * s.v - this.lr * g;
    return w + s.v;
  }
}

class Nesterov extends Momentum {
  rule(w, g, s) {
    s.v = this.momentum * s.v - this.lr * g;
    return w + (this.momentum * s.v - this.lr * g);
  }
}

class Rprop extends Optimizer {
  begin() { return { step: this.lr, previous: 0 }; }
  rule(w, g, s) {
    const agreement = Math.sign(g * s.previous);
    s.step *= agreement > 0 ? this.grow : agreement < 0 ? this.shrink : 1;
    s.step = Math.min(Math.max(s.step, 1e-6), 50);
    s.previous = agreement < 0 ? 0 : g;
    return w - Math.sign(s.previous) * s.step;
  }
}

class Lion extends Optimizer {
  begin() { return { m: 0 }; }
  rule(w, g, s) {
    const next = w - this.lr * Math.sign(this.beta1 * s.m + (1 - this.beta1) * g);
    s.m = this.beta2 * s.m + (1 - this.beta2) * g;
    return next;
  }
}

// adaptive.py

class AdaGrad extends Optimizer {
  begin() { return { h: 0 }; }
  rule(w, g, s) {
    s.h += g * g;
    return w - this.lr * g / (Math.sqrt(s.h) + this.eps);
  }
}

class RMSprop extends Optimizer {
  begin() { return { h: 0 }; }
  rule(w, g, s) {
    s.h = this.decay * s.h + (1 - this.decay) * g * g;
    return w - this.lr * g / (Math.sqrt(s.h) + this.eps);
  }
}

class CenteredRMSprop extends Optimizer {
  begin() { return { h: 0, m: 0 }; }
  rule(w, g, s) {
    s.h = this.decay * s.h + (1 - this.decay) * g * g;
    s.m = this.decay * s.m + (1 - this.decay) * g;
    return w - this.lr * g / (Math.sqrt(s.h - s.m * s.m) + this.eps);
  }
}

class AdaDelta extends Optimizer {
  begin() { return { h: 0, s: 0 }; }
  rule(w, g, s) {
    s.h = this.decay * s.h + (1 - this.decay) * g * g;
    const d = g * Math.sqrt(s.s + this.eps) / Math.sqrt(s.h + this.eps);
    s.s = this.decay * s.s + (1 - this.decay) * d * d;
    return w - this.lr * d;
  }
}

class Adam extends Optimizer {
  begin() { return { m: 0, v: 0 }; }
  means(g, s) {
    s.m = this.beta1 * s.m + (1 - this.beta1) * g;
    s.v = this.beta2 * s.v + (1 - this.beta2) * g * g;
  }
  rule(w, g, s) {
    this.means(g, s);
    const v_hat = s.v / (1 - this.beta2 ** this.t);
    return w - this.lr / (1 - this.beta1 ** this.t) * s.m / (Math.sqrt(v_hat) + this.eps);
  }
}

class AdamW extends Adam {} // they differ in weight decay alone

class AMSGrad extends Adam {
  begin() { return { m: 0, v: 0, u: 0 }; }
  rule(w, g, s) {
    this.means(g, s);
    s.u = Math.max(s.u, s.v);
    const u_hat = s.u / (1 - this.beta2 ** this.t);
    return w - this.lr / (1 - this.beta1 ** this.t) * s.m / (Math.sqrt(u_hat) + this.eps);
  }
}

class Adamax extends Optimizer {
  begin() { return { m: 0, u: 0 }; }
  rule(w, g, s) {
    s.m = this.beta1 * s.m + (1 - this.beta1) * g;
    s.u = Math.max(this.beta2 * s.u, Math.abs(g) + this.eps);
    return w - this.lr / (1 - this.beta1 ** this.t) * s.m / s.u;
  }
}

class NAdam extends Adam {
  mu(t) { return this.beta1 * (1 - 0.5 * 0.96 ** (t * this.psi)); }
  before() { this.product = (this.product ?? 1) * this.mu(this.t); }
  rule(w, g, s) {
    this.means(g, s);
    const root = Math.sqrt(s.v / (1 - this.beta2 ** this.t)) + this.eps;
    const ahead = this.mu(this.t + 1);
    w -= this.lr * (1 - this.mu(this.t)) / (1 - this.product) * g / root;
    return w - this.lr * ahead / (1 - this.product * ahead) * s.m / root;
  }
}

class RAdam extends Adam {
  rule(w, g, s) {
    this.means(g, s);
    const t = this.t, decayed = this.beta2 ** t;
    const lr = this.lr / (1 - this.beta1 ** t);
    const rho = 2 / (1 - this.beta2) - 1;
    const rho_t = rho - 2 * t * decayed / (1 - decayed);
    if (rho_t <= 5) return w - lr * s.m;
    const r = Math.sqrt((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t));
    return w - lr * r * Math.sqrt(1 - decayed) * s.m / (Math.sqrt(s.v) + this.eps);
  }
}

// averaged.py

class ASGD extends Optimizer {
  begin() { return { a: 0 }; }
  rule(w, g, s) {
    const eta = this.lr / (1 + this.decay * this.lr * (this.t - 1)) ** this.power;
    const next = w * (1 - this.decay * eta) - eta * g;
    s.a += (next - s.a) / Math.max(1, this.t - 1 - this.start);
    return next;
  }
  evaluation() { return this.memory.map((s) => s.a); }
}

class ScheduleFreeSGD extends Optimizer {
  begin(w) { return { z: w }; }
  before() { // c = r^2 / (sum of all r^2), and r, the largest lr so far, is lr: it does not change
    this.sum = (this.sum ?? 0) + this.lr ** 2;
    this.c = this.lr ** 2 / this.sum;
  }
  rule(w, g, s) {
    s.z -= this.lr * g;
    w -= this.lr * (1 - this.momentum) * g;
    return w + this.c * (s.z - w);
  }
  evaluation(w) { return each(w, (y, i) => y + (1 - 1 / this.momentum) * (this.memory[i].z - y)); }
}

class ScheduleFreeAdamW extends ScheduleFreeSGD {
  begin(w) { return { z: w, v: 0 }; }
  rule(w, g, s) {
    s.v = this.beta2 * s.v + (1 - this.beta2) * g * g;
    const v_hat = s.v / (1 - this.beta2 ** this.t);
    return super.rule(w, g / (Math.sqrt(v_hat) + this.eps), s);
  }
}

// layerwise.py

// trust |w| / |d|, or 1 where either norm is 0.
const trustRatio = (w, d, trust = 1) => (norm(w) && norm(d) ? trust * norm(w) / norm(d) : 1);

class LARS extends Momentum {
  move(w, g) {
    const rate = this.lr * trustRatio(w, g, this.trust);
    return each(w, (value, i) => {
      const s = this.memory[i];
      s.v = this.momentum * s.v - rate * g[i];
      return value + s.v;
    });
  }
}

class LAMB extends Adam {
  move(w, g) {
    const d = g.map((g_i, i) => {
      const s = this.memory[i];
      this.means(g_i, s);
      return s.m / (1 - this.beta1 ** this.t) / (Math.sqrt(s.v / (1 - this.beta2 ** this.t)) + this.eps);
    });
    const rate = this.lr * trustRatio(w, d);
    return each(w, (value, i) => value - rate * d[i]);
  }
}

class Adafactor extends Optimizer { // a point is a vector: V is the mean of g^2 itself
  begin() { return { V: 0 }; }
  move(w, g) {
    const fresh = this.t ** -this.power, eps = Number.EPSILON;
    const u = g.map((g_i, i) => {
      const s = this.memory[i];
      s.V += fresh * (g_i * g_i - s.V);
      return g_i / Math.sqrt(Math.max(s.V, eps * eps));
    });
    const large = Math.max(1, rms(u) / this.clip);
    const rate = Math.max(this.least, rms(w)) * Math.min(this.lr, 1 / Math.sqrt(this.t));
    return each(w, (value, i) => value - rate * (u[i] / large));
  }
}

class Muon extends Adam { // a point has no hidden matrix: all is left to Adam at lr adam_share
  constructor(config) { super({ ...config, lr: config.lr * config.adam_share }); }
}

// wrappers.py

class Wrapper extends Optimizer {
  constructor(config) {
    super(config);
    this.inner = makeRule({ ...config.inner, lr: config.lr });
  }
  update(w, g, look) { return this.inner.update(w, g, look); }
  evaluation(w) { return this.inner.evaluation(w); }
}

class EMA extends Wrapper {
  begin() { return { average: 0 }; }
  update(w, g, look) {
    w = super.update(w, g, look);
    this.count(w);
    this.memory.forEach((s, i) => { s.average += (1 - this.decay) * (w[i] - s.average); });
    return w;
  }
  evaluation() { return this.memory.map((s) => s.average / (1 - this.decay ** this.t)); }
}

class Lookahead extends Wrapper {
  begin(w) { return { slow: w }; }
  update(w, g, look) {
    this.count(w);
    w = super.update(w, g, look);
    if (this.t % this.k) return w;
    this.memory.forEach((s, i) => { s.slow += this.alpha * (w[i] - s.slow); });
    return this.evaluation();
  }
  evaluation() { return this.memory.map((s) => s.slow); }
}

class SAM extends Wrapper {
  update(w, g, look) {
    const size = norm(g);
    if (size) g = look(each(w, (value, i) => value + (this.rho / size) * g[i]));
    return super.update(w, g, look);
  }
}

// By the name of the Python class; Python reads this table. LBFGS is not among them: SciPy makes its steps, and they are not
// the same in every version of SciPy; so its path is shown as Python recorded it.
const RULES = {
  SGD, Momentum, Nesterov, Rprop, Lion,
  AdaGrad, RMSprop, CenteredRMSprop, AdaDelta, Adam, AdamW, AMSGrad, Adamax, NAdam, RAdam,
  ASGD, ScheduleFreeSGD, ScheduleFreeAdamW,
  LARS, LAMB, Adafactor, Muon,
  EMA, Lookahead, SAM,
};

// A new optimizer as Optimizer.config() of Python describes it.
function makeRule(config) {
  return new RULES[config.class](config);
}
