"use strict";
// A drawing or a picture as the inputs of a network: the arithmetic of scratchnet/data/drawings.py.
//
// Pictures are flat arrays, row by row. Memory is made once and kept: see `keep`.

function makeDrawing({ shape, style, white, scale, faint, sharpness, steepest }) {
  const [height, width, channels] = shape;
  const kept = {};
  const seen = new Float64Array(height * width * channels), row = new Float32Array(seen.length);

  // An array of n values by its name; it grows where it has to.
  function keep(name, n) {
    if (!kept[name] || kept[name].length < n) kept[name] = new Float64Array(n);
    return kept[name].subarray(0, n);
  }

  // ---- what is ink

  // The median of the pixels at the border.
  function findPaper(grey, h, w) {
    const border = keep("border", 2 * (h + w));
    for (let j = 0; j < w; j += 1) {
      border[j] = grey[j];
      border[w + j] = grey[(h - 1) * w + j];
    }
    for (let i = 0; i < h; i += 1) {
      border[2 * w + i] = grey[i * w];
      border[2 * w + h + i] = grey[i * w + w - 1];
    }
    border.sort();
    return (border[h + w - 1] + border[h + w]) / 2;
  }

  // How much each pixel differs from the paper, from 0 to 1: all that is lighter or all that is
  // darker, whichever goes further.
  function findInk(grey, h, w, paper) {
    const ink = keep("ink", h * w);
    let low = Infinity, high = -Infinity;
    for (let k = 0; k < ink.length; k += 1) {
      if (grey[k] < low) low = grey[k];
      if (grey[k] > high) high = grey[k];
    }
    const sign = paper - low > high - paper ? -1 : 1;
    const largest = sign < 0 ? paper - low : high - paper;
    for (let k = 0; k < ink.length; k += 1) {
      const value = grey[k] === paper ? 0 : sign * (grey[k] - paper); // most pixels are paper
      ink[k] = value > 0 ? value / largest : 0;
    }
    return ink;
  }

  // Where the ink has its centre of mass, [y, x] in pixels; the first ends at 1.
  function centreOfMass(ink, h, w) {
    let total = 0, y = 0, x = 0;
    for (let i = 0, k = 0; i < h; i += 1)
      for (let j = 0; j < w; j += 1, k += 1) {
        if (ink[k] === 0) continue;
        total += ink[k];
        y += ink[k] * (i + 0.5);
        x += ink[k] * (j + 0.5);
      }
    return [y / total, x / total];
  }

  // The slant of the ink: the regression of x on y, cov(x, y) / var(y), held below that of
  // handwriting, and the y of its mean.
  function slantOf(ink, h, w) {
    const [y, x] = centreOfMass(ink, h, w);
    let both = 0, spread = 0;
    for (let i = 0, k = 0; i < h; i += 1)
      for (let j = 0; j < w; j += 1, k += 1) {
        if (ink[k] === 0) continue;
        both += ink[k] * (i + 0.5 - y) * (j + 0.5 - x);
        spread += ink[k] * (i + 0.5 - y) ** 2;
      }
    const slant = spread ? both / spread : 0;
    return { slant: Math.min(Math.max(slant, -steepest), steepest), y };
  }

  // The box of the ink, and what is inside; without its slant where the style wants it so.
  // A row that is moved is read between its pixels. Only where it has ink is it looked at.
  function cutOut(ink, h, w) {
    const { slant, y } = style.normalized ? slantOf(ink, h, w) : { slant: 0, y: 0 };
    const moved = (i) => slant * (i + 0.5 - y);

    // The ink at a place of row i, once that is moved.
    function at(i, place) {
      const p = place + moved(i), left = Math.floor(p);
      if (!(p >= 0 && p <= w - 1)) return 0;
      const value = ink[i * w + left];
      return p === left ? value : value + (p - left) * (ink[i * w + left + 1] - value);
    }

    let top = Infinity, bottom = -Infinity, left = Infinity, right = -Infinity;
    for (let i = 0; i < h; i += 1) {
      let first = 0, last = w - 1;
      while (first < w && ink[i * w + first] === 0) first += 1;
      if (first === w) continue;
      while (ink[i * w + last] === 0) last -= 1;
      let from = Math.floor(first - moved(i)) - 1, to = Math.ceil(last - moved(i)) + 1;
      while (from <= to && at(i, from) <= faint) from += 1;
      if (from > to) continue;
      while (at(i, to) <= faint) to -= 1;
      top = Math.min(top, i);
      bottom = i + 1;
      left = Math.min(left, from);
      right = Math.max(right, to + 1);
    }
    if (bottom < top) return null;
    const tall = bottom - top, wide = right - left, inside = keep("inside", tall * wide);
    for (let i = 0, k = 0; i < tall; i += 1)
      if (slant) for (let j = 0; j < wide; j += 1, k += 1) inside[k] = at(top + i, left + j);
      else for (let j = 0; j < wide; j += 1, k += 1) inside[k] = ink[(top + i) * w + left + j];
    return { inside, tall, wide };
  }

  // ---- other sizes

  // Keys' kernel of x >= 0: 1 at 0, 0 at 1 and from 2 on.
  function cubic(x) {
    const a = sharpness;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
  }

  // The weights that scale a line of nIn pixels and move its `centre` to `middle`. Pixel i of the
  // result shows the place p = centre + (i + 1/2 - middle) / scale. With `ends` the weights of
  // pixels that are there count alone. Only weights from `start` to `stop` are not 0.
  function resampling(name, nOut, nIn, by, centre, middle, ends) {
    const weights = keep(`${name} weights`, nOut * nIn).fill(0), reach = Math.min(by, 1);
    const start = keep(`${name} start`, nOut), stop = keep(`${name} stop`, nOut);
    for (let i = 0; i < nOut; i += 1) {
      const p = centre + (i + 0.5 - middle) / by;
      start[i] = Math.min(Math.max(0, Math.ceil(p - 2 / reach - 0.5)), nIn);
      stop[i] = Math.max(start[i], Math.min(nIn, Math.floor(p + 2 / reach - 0.5) + 1));
      let sum = 0;
      for (let j = start[i]; j < stop[i]; j += 1)
        sum += weights[i * nIn + j] = cubic(Math.abs(j + 0.5 - p) * reach);
      for (let j = start[i]; j < stop[i]; j += 1)
        weights[i * nIn + j] = ends ? weights[i * nIn + j] / sum : weights[i * nIn + j] * reach;
    }
    return { weights, start, stop, nOut, nIn };
  }

  // down x across^T as channel c of `seen`; x has the values picture[step k + offset].
  function resample(picture, step, offset, down, across, c) {
    const between = keep("between", down.nOut * across.nIn).fill(0);
    for (let i = 0; i < down.nOut; i += 1)
      for (let k = down.start[i]; k < down.stop[i]; k += 1) {
        const weight = down.weights[i * down.nIn + k];
        let to = i * across.nIn, from = step * k * across.nIn + offset;
        for (let j = 0; j < across.nIn; j += 1, to += 1, from += step)
          between[to] += weight * picture[from];
      }
    for (let i = 0; i < down.nOut; i += 1)
      for (let j = 0; j < across.nOut; j += 1) {
        let sum = 0;
        for (let k = across.start[j]; k < across.stop[j]; k += 1)
          sum += across.weights[j * across.nIn + k] * between[i * across.nIn + k];
        seen[channels * (i * across.nOut + j) + c] = sum;
      }
  }

  // The character in the size and at the place that the style has.
  function drawLike(ink, h, w) {
    const cut = cutOut(ink, h, w);
    if (!cut) return seen.fill(0);
    const { inside, tall, wide } = cut;
    const mass = style.centre === "mass";
    const [y, x] = mass ? centreOfMass(inside, tall, wide) : [tall / 2, wide / 2];
    let high = style.box[0] / tall, broad = style.box[1] / wide;
    if (!style.normalized) high = broad = Math.min(high, broad);
    else if (broad > 2 * high) broad = high; // a stroke, as of a 1, stays one
    const down = resampling("down", height, tall, high, y, style.middle, false);
    const across = resampling("across", width, wide, broad, x, style.middle, false);
    resample(inside, 1, 0, down, across, 0);
    let largest = 0;
    for (const value of seen) largest = Math.max(largest, value);
    for (let k = 0; k < seen.length; k += 1) seen[k] = Math.max(seen[k], 0) / largest;
    return seen;
  }

  // The picture stretched to the shape, in the same range of values; from 0 to 1. One of greys is
  // the same in all channels.
  function resize(picture, h, w) {
    const step = picture.length / (h * w);
    let low = Infinity, high = -Infinity;
    for (let k = 0; k < picture.length; k += 1) {
      if (picture[k] < low) low = picture[k];
      if (picture[k] > high) high = picture[k];
    }
    const down = resampling("down", height, h, height / h, h / 2, height / 2, true);
    const across = resampling("across", width, w, width / w, w / 2, width / 2, true);
    for (let c = 0; c < channels; c += 1)
      resample(picture, step, Math.min(c, step - 1), down, across, c);
    for (let k = 0; k < seen.length; k += 1) seen[k] = Math.min(Math.max(seen[k], low), high) / 255;
    return seen;
  }

  // ---- what the page uses

  // What the network sees, from 0 to 1, of a picture with values from 0 to 255. The paper may be
  // known, as that of a drawing is.
  function see(picture, h, w, paper) {
    if (!style) return resize(picture, h, w);
    return drawLike(findInk(picture, h, w, paper ?? findPaper(picture, h, w)), h, w);
  }

  // The row of inputs for what the network sees.
  function inputs(image) {
    for (let k = 0; k < row.length; k += 1) row[k] = image[k] * white * scale;
    return row;
  }

  return { see, inputs, prepare: (picture, h, w) => inputs(see(picture, h, w)), shape };
}
