"use strict";
// The forward pass of a network in evaluation: each layer beside its formula, as scratchnet/layers
// has them.
//
// A layer is a function from its description to its forward pass, x -> y. A row is flat; in that of
// an image (H, W, C) the values of a pixel lie side by side. y is made once: the next pass
// overwrites it. Sums are taken in 64 bits.

// ---- arrays

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let k = 0; k < bytes.length; k += 1) bytes[k] = text.charCodeAt(k);
  return bytes.buffer;
}

// 32-bit numbers as they are, or 16-bit integers times the scale of their column.
function unpack({ values, scales }) {
  if (!scales) return new Float32Array(bytesOf(values));
  const integers = new Int16Array(bytesOf(values)), each = new Float32Array(bytesOf(scales));
  const found = new Float32Array(integers.length);
  for (let k = 0; k < found.length; k += 1) found[k] = integers[k] * each[k % each.length];
  return found;
}

// ---- layers with weights

// y = x W + b
function Affine({ inputs, outputs, W, b = new Float32Array(outputs) }) {
  const sums = new Float64Array(outputs), y = new Float32Array(outputs);
  return (x) => {
    sums.set(b);
    for (let i = 0; i < inputs; i += 1) {
      const value = x[i];
      if (value === 0) continue; // most pixels of a drawing
      for (let j = 0, k = i * outputs; j < outputs; j += 1, k += 1) sums[j] += value * W[k];
    }
    y.set(sums);
    return y;
  };
}

// y[p] = sum over q of x[s p + d q - pad] W[q] + b; x is 0 outside of the image
function Conv2D({ image, after, kernel, stride, dilation, pad, W, b }) {
  const [height, width, channels] = image, [rows, columns, filters] = after;
  b ??= new Float32Array(filters);
  const sums = new Float64Array(filters), y = new Float32Array(rows * columns * filters);

  // Adds x[row, column] W[u, v] to the sums.
  function add(x, row, column, u, v) {
    const pixel = (row * width + column) * channels;
    let k = (u * kernel[1] + v) * channels * filters;
    for (let c = 0; c < channels; c += 1, k += filters) {
      const value = x[pixel + c];
      if (value === 0) continue; // what a ReLU has switched off
      for (let f = 0; f < filters; f += 1) sums[f] += value * W[k + f];
    }
  }

  return (x) => {
    let at = 0;
    for (let i = 0; i < rows; i += 1)
      for (let j = 0; j < columns; j += 1) {
        sums.set(b);
        for (let u = 0; u < kernel[0]; u += 1) {
          const row = stride[0] * i + dilation[0] * u - pad[0];
          if (row < 0 || row >= height) continue;
          for (let v = 0; v < kernel[1]; v += 1) {
            const column = stride[1] * j + dilation[1] * v - pad[1];
            if (column >= 0 && column < width) add(x, row, column, u, v);
          }
        }
        for (let f = 0; f < filters; f += 1, at += 1) y[at] = sums[f];
      }
    return y;
  };
}

// y = x + f(x), or P x + f(x); f are layers one after the other
function Residual({ outputs, layers, projection }) {
  const f = layers.map(makeLayer), P = projection ? makeLayer(projection) : (x) => x;
  const y = new Float32Array(outputs);
  return (x) => {
    const inner = f.reduce((value, layer) => layer(value), x), past = P(x);
    for (let k = 0; k < outputs; k += 1) y[k] = past[k] + inner[k];
    return y;
  };
}

// ---- pooling

// Which value of y each value of x is a part of; -1 for what is left over at the edges.
function partsOf({ image: [height, width, channels], after: [rows, columns], size }) {
  const parts = new Int32Array(height * width * channels);
  for (let k = 0; k < parts.length; k += 1) {
    const pixel = Math.floor(k / channels);
    const i = Math.floor(Math.floor(pixel / width) / size[0]);
    const j = Math.floor((pixel % width) / size[1]);
    parts[k] = i < rows && j < columns ? (i * columns + j) * channels + (k % channels) : -1;
  }
  return parts;
}

// y = the largest value of each part
function MaxPool(layer) {
  const parts = partsOf(layer), y = new Float32Array(layer.outputs);
  return (x) => {
    y.fill(-Infinity);
    for (let k = 0; k < parts.length; k += 1)
      if (parts[k] >= 0 && !(x[k] <= y[parts[k]])) y[parts[k]] = x[k];
    return y;
  };
}

// y = the mean of each part
function AvgPool(layer) {
  const parts = partsOf(layer), sums = new Float64Array(layer.outputs);
  const y = new Float32Array(layer.outputs);
  return (x) => {
    sums.fill(0);
    for (let k = 0; k < parts.length; k += 1) if (parts[k] >= 0) sums[parts[k]] += x[k];
    for (let k = 0; k < y.length; k += 1) y[k] = sums[k] / (layer.size[0] * layer.size[1]);
    return y;
  };
}

// y = the mean of each channel
function GlobalAvgPool({ inputs, outputs }) {
  const sums = new Float64Array(outputs), y = new Float32Array(outputs);
  return (x) => {
    sums.fill(0);
    for (let k = 0; k < inputs; k += 1) sums[k % outputs] += x[k];
    for (let c = 0; c < outputs; c += 1) y[c] = sums[c] / (inputs / outputs);
    return y;
  };
}

// ---- normalization

// y = gamma (x - mean) / sqrt(var + eps) + beta with the running statistics of a column or channel
function BatchNorm({ outputs, eps, gamma, beta, running_mean: mean, running_var: variance }) {
  const slope = variance.map((value, c) => (gamma ? gamma[c] : 1) / Math.sqrt(value + eps));
  const y = new Float32Array(outputs);
  return (x) => {
    for (let k = 0; k < outputs; )
      for (let c = 0; c < slope.length; c += 1, k += 1)
        y[k] = slope[c] * (x[k] - mean[c]) + beta[c];
    return y;
  };
}

// y = gamma (x - mean) / sqrt(var + eps) + beta with the mean and variance of the row
function LayerNorm({ outputs, eps, gamma, beta }) {
  const y = new Float32Array(outputs);
  return (x) => {
    let mean = 0, variance = 0;
    for (let k = 0; k < outputs; k += 1) mean += x[k] / outputs;
    for (let k = 0; k < outputs; k += 1) variance += (x[k] - mean) ** 2 / outputs;
    const inverse = 1 / Math.sqrt(variance + eps);
    for (let k = 0; k < outputs; k += 1)
      y[k] = (gamma ? gamma[k] : 1) * (x[k] - mean) * inverse + beta[k];
    return y;
  };
}

// y = (x - mean) / std with constants
function Standardize({ outputs, input_mean: mean, input_std: std }) {
  const y = new Float32Array(outputs);
  return (x) => {
    for (let k = 0; k < outputs; k += 1) y[k] = (x[k] - mean[k]) / std[k];
    return y;
  };
}

// ---- activations: y = f(x) for each value alone

// `f` is given the value, the layer, and which value it is.
function elementwise(f) {
  return (layer) => {
    const y = new Float32Array(layer.outputs);
    return (x) => {
      for (let k = 0; k < y.length; k += 1) y[k] = f(x[k], layer, k);
      return y;
    };
  };
}

// exp(min(x, 0)) / (1 + exp(-|x|)), in which no exp overflows
const sigmoid = (x) => Math.exp(Math.min(x, 0)) / (1 + Math.exp(-Math.abs(x)));
// log(1 + exp(x)), in the same manner
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

// erf(z) = 2 / sqrt(pi) exp(-z^2) sum over n of 2^n z^(2n+1) / (1 3 5 ... (2n+1))
function erf(z) {
  if (Math.abs(z) > 4) return Math.sign(z); // 1 to within 2e-8
  let term = z, sum = z;
  for (let n = 1; Math.abs(term) > 1e-12; n += 1) {
    term *= (2 * z * z) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
}

const ReLU = elementwise((x) => Math.max(x, 0));
const LeakyReLU = elementwise((x, { slope }) => Math.max(x, slope * x));
const PReLU = elementwise((x, { a }, k) => (x > 0 ? x : a[a.length > 1 ? k : 0] * x));
const ELU = elementwise((x) => (x > 0 ? x : Math.expm1(x)));
const SELU = elementwise((x, { scale, alpha }) => scale * (x > 0 ? x : alpha * Math.expm1(x)));
const GELU = elementwise((x) => (x * (1 + erf(x * Math.SQRT1_2))) / 2);
const SiLU = elementwise((x) => x * sigmoid(x));
const Softplus = elementwise(softplus);
const Mish = elementwise((x) => x * Math.tanh(softplus(x)));
const Sigmoid = elementwise(sigmoid);
const Tanh = elementwise(Math.tanh);

// ---- layers that leave x as it is: those two disturb training alone

const Identity = () => (x) => x;
const Dropout = Identity, GaussianNoise = Identity;

// The layers by their classes. Python reads the names here.
const LAYERS = {
  Affine, Conv2D, Residual,
  MaxPool, AvgPool, GlobalAvgPool,
  BatchNorm, LayerNorm, Standardize,
  Identity, Dropout, GaussianNoise,
  ReLU, LeakyReLU, PReLU, ELU, SELU, GELU, SiLU, Softplus, Mish, Sigmoid, Tanh,
};

// The forward pass of the layer that is described.
function makeLayer({ class: name, arrays, ...options }) {
  const given = Object.entries(arrays).map(([key, array]) => [key, unpack(array)]);
  return LAYERS[name]({ ...options, ...Object.fromEntries(given) });
}

// ---- probabilities

// How sure the outputs y are of each class, written into p.
const CONFIDENCES = {
  // exp(y) / sum(exp(y))
  softmax(y, p) {
    let largest = -Infinity, sum = 0;
    for (let k = 0; k < y.length; k += 1) largest = Math.max(largest, y[k]);
    for (let k = 0; k < y.length; k += 1) sum += p[k] = Math.exp(y[k] - largest);
    for (let k = 0; k < y.length; k += 1) p[k] /= sum;
  },
  sigmoid(y, p) {
    for (let k = 0; k < y.length; k += 1) p[k] = sigmoid(y[k]);
  },
  // A mean count, from its logarithm, held below 1.
  exp(y, p) {
    for (let k = 0; k < y.length; k += 1) p[k] = Math.exp(Math.min(y[k], 0));
  },
  // Values, held between 0 and 1.
  clip(y, p) {
    for (let k = 0; k < y.length; k += 1) p[k] = Math.min(Math.max(y[k], 0), 1);
  },
};

// Each divided by the sum of all; equal shares where no class has any.
function divideBySum(p) {
  const sum = p.reduce((total, value) => total + value, 0);
  for (let k = 0; k < p.length; k += 1) p[k] = sum > 0 ? p[k] / sum : 1 / p.length;
}

// The network: `predict(x)` gives the probabilities, `outputs` then has what each layer gave.
function makeNetwork({ layers, confidences, multilabel }) {
  const passes = layers.map(makeLayer), outputs = [];
  const sure = new Float64Array(layers[layers.length - 1].outputs);
  const both = new Float64Array(2);
  function predict(x) {
    for (let k = 0; k < passes.length; k += 1) outputs[k] = x = passes[k](x);
    CONFIDENCES[confidences](x, sure);
    if (sure.length === 1) {
      both[0] = 1 - sure[0];
      both[1] = sure[0];
      return both;
    }
    if (confidences !== "softmax" && !multilabel) divideBySum(sure);
    return sure;
  }
  return { predict, outputs };
}
