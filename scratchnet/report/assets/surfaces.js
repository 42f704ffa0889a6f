"use strict";
// Every surface of scratchnet/surfaces.py by the name of its class, and the path of a rule on one.

const SURFACES = {
  Ellipse: {
    value: (x, y) => x ** 2 / 20 + y ** 2,
    gradient: (x, y) => [x / 10, 2 * y],
  },
  Rosenbrock: {
    value: (x, y) => (1 - x) ** 2 + 100 * (y - x ** 2) ** 2,
    gradient: (x, y) => {
      const d = y - x ** 2;
      return [-2 * (1 - x) - 400 * x * d, 200 * d];
    },
  },
  Beale: {
    value: (x, y) =>
      (1.5 - x + x * y) ** 2 + (2.25 - x + x * y ** 2) ** 2 + (2.625 - x + x * y ** 3) ** 2,
    gradient: (x, y) => {
      const a = 1.5 - x + x * y, b = 2.25 - x + x * y ** 2, c = 2.625 - x + x * y ** 3;
      return [
        2 * (a * (y - 1) + b * (y ** 2 - 1) + c * (y ** 3 - 1)),
        2 * x * (a + 2 * b * y + 3 * c * y ** 2),
      ];
    },
  },
  Himmelblau: {
    value: (x, y) => (x ** 2 + y - 11) ** 2 + (x + y ** 2 - 7) ** 2,
    gradient: (x, y) => {
      const a = x ** 2 + y - 11, b = x + y ** 2 - 7;
      return [4 * x * a + 2 * b, 2 * a + 4 * y * b];
    },
  },
  Booth: {
    value: (x, y) => (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
    gradient: (x, y) => [10 * x + 8 * y - 34, 8 * x + 10 * y - 38],
  },
  ThreeHumpCamel: {
    value: (x, y) => 2 * x ** 2 - 1.05 * x ** 4 + x ** 6 / 6 + x * y + y ** 2,
    gradient: (x, y) => [4 * x - 4.2 * x ** 3 + x ** 5 + y, x + 2 * y],
  },
  Saddle: {
    value: (x, y) => x ** 2 - y ** 2,
    gradient: (x, y) => [2 * x, -2 * y],
  },
  Plateau: {
    value: (x, y) => -Math.expm1(-(x ** 2 + y ** 2) / 2),
    gradient: (x, y) => {
      const bell = Math.exp(-(x ** 2 + y ** 2) / 2);
      return [x * bell, y * bell];
    },
  },
  NoisyQuadratic: {
    value: (x, y) => (x ** 2 + y ** 2) / 2,
    gradient: (x, y) => [x, y],
  },
};

// The points [x, y] before the first update and after each, up to the last that is finite, as is f
// there. `tilts` [u, v] are added to the gradient of each step; null for a surface without noise.
function trace(config, surface, start, steps, tilts) {
  const optimizer = makeRule(config), path = [start];
  let w = start;
  for (let k = 0; k < steps; k += 1) {
    const [u, v] = tilts ? tilts[k] : [0, 0];
    const look = ([x, y]) => {
      const [dx, dy] = surface.gradient(x, y);
      return [dx + u, dy + v];
    };
    w = optimizer.update(w, look(w), look);
    const shown = optimizer.evaluation(w);
    if (![...shown, surface.value(...shown)].every(Number.isFinite)) break;
    path.push(shown);
  }
  return path;
}
