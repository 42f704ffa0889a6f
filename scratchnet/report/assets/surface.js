"use strict";
// The page of paths: draws them, plays them, and computes them anew where something is changed.

const byId = (id) => document.getElementById(id);
const SURFACE = SURFACES[DATA.surface.class];
const OWN = { start: DATA.start, steps: DATA.steps, rates: DATA.walks.map((walk) => walk.config.lr) };

// What is set in the page, the step that is shown, and the walks: path, f along it, step of its end.
let set, step, walks;

// ---- walks and their numbers

function fromOwn() {
  return {
    start: [...OWN.start],
    steps: OWN.steps,
    rates: [...OWN.rates],
    shown: DATA.walks.map(() => true),
  };
}

// The path that Python recorded as long as nothing it depends on is changed, else a new one.
function walkOf({ config, path, computed }, k) {
  const lr = set.rates[k];
  const sameStart = set.start.every((value, i) => value === OWN.start[i]);
  if (sameStart && lr === OWN.rates[k] && set.steps <= OWN.steps) path = path.slice(0, set.steps + 1);
  else if (computed) path = trace({ ...config, lr }, SURFACE, set.start, set.steps, DATA.tilts);
  else path = [];
  const f = path.map(([x, y]) => SURFACE.value(x, y));
  return { path, f, diverged: path.length && path.length <= set.steps ? path.length : null };
}

const at = (list, k) => list[Math.min(k, list.length - 1)];
const last = (list) => list[list.length - 1];

function distance([x, y]) {
  return Math.min(...DATA.surface.minima.map(([a, b]) => Math.hypot(x - a, y - b)));
}

function shown(value) {
  if (value === undefined || value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = Number(value.toPrecision(4));
  return size && (size < 1e-3 || size >= 1e6) ? digits.toExponential() : String(digits);
}

// ---- figures

// Heights for drawing: logarithms where f has a wide range, roots above a minimum, else f itself.
function scaleOf(heights, lowest) {
  const sorted = heights.filter(Number.isFinite).sort((a, b) => a - b);
  const share = (p) => sorted[Math.floor(p * (sorted.length - 1))];
  if (lowest === null) return { to: (f) => f, from: (z) => z, low: sorted[0], high: last(sorted), parts: 16 };
  if (share(0.95) - lowest > 100 * (share(0.05) - lowest)) {
    const to = (f) => Math.log10(Math.max(f - lowest, 1e-300));
    const [low, high] = [Math.floor(2 * to(share(0.01))) / 2, Math.ceil(2 * to(last(sorted))) / 2];
    return { to, from: (z) => lowest + 10 ** z, low, high, parts: 2 * (high - low) };
  }
  const to = (f) => Math.sqrt(Math.max(f - lowest, 0));
  return { to, from: (z) => lowest + z * z, low: 0, high: to(last(sorted)), parts: 16 };
}

function contour(surface, lowest, [[x0, x1], [y0, y1]]) {
  const n = 241;
  const points = (from, to) => Array.from({ length: n }, (_, i) => from + (to - from) * i / (n - 1));
  const x = points(x0, x1), y = points(y0, y1);
  const heights = y.map((b) => x.map((a) => surface.value(a, b)));
  const { to, from, low, high, parts } = scaleOf(heights.flat(), lowest);
  const size = (high - low) / parts, every = 2 * Math.max(1, Math.round(parts / 10));
  const ticks = Array.from({ length: Math.floor(parts / every) + 1 }, (_, i) => low + size * every * i);
  return {
    type: "contour", x, y, z: heights.map((row) => row.map(to)), hoverinfo: "skip",
    autocontour: false, contours: { start: low, end: high, size },
    zmin: low, zmax: high, colorscale: [[0, shade("back")], [1, shade("line")]],
    line: { width: 0.7, color: shade("faint") },
    colorbar: {
      orientation: "h", y: 0.05, yref: "container", yanchor: "bottom", thickness: 10, outlinewidth: 0,
      ypad: 0, tickvals: ticks,
      ticktext: ticks.map((z, i) => (i ? "" : "f = ") + shown(Number(from(z).toPrecision(2)))),
    },
  };
}

// The part to draw: the surface's own, or as much more as the start needs.
function view({ limits }, start) {
  return limits.map(([low, high], i) => {
    const pad = (high - low) / 20;
    return [Math.min(low, start[i] - pad), Math.max(high, start[i] + pad)];
  });
}

const column = (path, i) => path.map((point) => point[i]);
const isFar = ([x, y]) => Math.abs(x) > 1e6 || Math.abs(y) > 1e6;

// The path up to where a browser can place it: of a step to far out only the beginning is drawn.
function drawable(path) {
  const k = path.findIndex(isFar);
  if (k < 1) return path;
  const [a, b] = path[k - 1], [x, y] = path[k];
  const share = 1e6 / Math.max(Math.abs(x), Math.abs(y));
  return [...path.slice(0, k), [a + (x - a) * share, b + (y - b) * share]];
}

function pathTrace({ name, line }, whole) {
  const path = drawable(whole);
  return {
    type: "scatter", mode: path.length > 60 ? "lines" : "lines+markers", name, line,
    marker: { size: 5, color: line.color }, x: column(path, 0), y: column(path, 1),
    text: path.map((_, k) => `step ${k}`), hovertemplate: "%{text}: (%{x:.4g}, %{y:.4g})",
  };
}

function marks(points, symbol, name) {
  return {
    type: "scatter", mode: "markers", name, x: column(points, 0), y: column(points, 1),
    marker: { symbol, size: 13, color: shade("text"), line: { width: 2, color: shade("text") } },
    hovertemplate: "(%{x:.4g}, %{y:.4g})",
  };
}

function picture(id, surface, formulas, start, traces) {
  const area = view(surface, start), layout = FIGURES[id].layout;
  [layout.xaxis.range, layout.yaxis.range] = area;
  layout.margin.b = 85;
  FIGURES[id].data = [
    ...traces,
    marks([start], "circle-open", "start"),
    marks(surface.minima, "star", "minimum"),
    contour(formulas, surface.lowest, area),
  ];
}

function drawZigzag() {
  const { surface, walks: zigzag } = DATA.zigzag;
  const traces = zigzag.map((walk) => pathTrace(walk, walk.path));
  picture("zigzag", surface, SURFACES[surface.class], zigzag[0].path[0], traces);
  const layout = FIGURES.zigzag.layout;
  Object.assign(layout, { showlegend: true, margin: { ...layout.margin, t: 40, b: 45 } });
  const others = FIGURES.zigzag.data.slice(zigzag.length);
  others.forEach((one) => Object.assign(one, { showlegend: false, showscale: false }));
  drawFigure("zigzag");
}

// f from below to above all that is shown, but for what diverges: three powers of ten over the start.
function lossAxis() {
  const lowest = DATA.surface.lowest, first = SURFACE.value(...set.start);
  const seen = walks.filter((_, k) => set.shown[k]).flatMap((walk) => walk.f).concat(first);
  if (lowest === null) {
    const heights = FIGURES.contour.data.at(-1).z.flat();
    const [low, high] = [Math.min(...heights), Math.max(...heights)];
    return { type: "linear", range: [low - (high - low) / 20, high + (high - low) / 20] };
  }
  const above = seen.map((f) => f - lowest).filter((f) => f > 0);
  const high = Math.min(Math.max(...above), 1e3 * Math.max(first - lowest, 1e-3));
  const low = Math.max(Math.min(...above), 1e-12);
  const range = [Math.log10(low) - 0.3, Math.log10(high) + 0.3];
  const dtick = Math.max(1, Math.round((range[1] - range[0]) / 7));
  return { type: "log", range, exponentformat: "power", dtick };
}

// f as it is drawn, within what either axis can place.
function heightOf(f) {
  const lowest = DATA.surface.lowest;
  return lowest === null ? Math.max(-1e9, Math.min(1e9, f)) : Math.max(f - lowest, 1e-300);
}

function draw() {
  const lines = DATA.walks.map((walk, k) => ({ ...pathTrace(walk, walks[k].path), visible: set.shown[k] }));
  picture("contour", DATA.surface, SURFACE, set.start, [...lines, heads()]);
  const curves = DATA.walks.map(({ name, line }, k) => ({
    type: "scatter", mode: "lines", name, line, visible: set.shown[k],
    x: walks[k].f.map((_, i) => i), y: walks[k].f.map(heightOf),
    hovertemplate: "step %{x}: %{y:.4g}",
  }));
  FIGURES.loss.data = [...curves, heads()];
  Object.assign(FIGURES.loss.layout.yaxis, lossAxis());
  FIGURES.loss.layout.xaxis.range = [-0.02 * set.steps, 1.02 * set.steps];
  ["contour", "loss"].forEach(drawFigure);
  moveTo(step);
}

// A dot for each walk, where the slider is; `moveTo` places them.
function heads() {
  const colours = DATA.walks.map((walk) => walk.line.color);
  return {
    type: "scatter", mode: "markers", hoverinfo: "skip", x: [], y: [],
    marker: { size: 11, color: colours, line: { width: 2, color: shade("back") } },
  };
}

function moveTo(k) {
  step = Math.min(k, set.steps);
  byId("step").value = step;
  byId("at").textContent = `step ${step} of ${set.steps}`;
  const n = walks.length;
  const paths = walks.map(({ path }) => drawable(path.slice(0, step + 1)));
  const seen = walks.map(({ path }, i) => set.shown[i] && path.length > 0);
  const points = walks.map(({ path }, i) =>
    seen[i] && !isFar(at(path, step)) ? at(path, step) : [null, null]);
  const steps = walks.map(({ path }, i) => (seen[i] ? Math.min(step, path.length - 1) : null));
  const heights = walks.map(({ f }, i) => (seen[i] ? heightOf(at(f, step)) : null));
  Plotly.restyle(byId("contour"), {
    x: [...paths.map((path) => column(path, 0)), column(points, 0)],
    y: [...paths.map((path) => column(path, 1)), column(points, 1)],
  }, Array.from({ length: n + 1 }, (_, i) => i));
  Plotly.restyle(byId("loss"), { x: [steps], y: [heights] }, [n]);
  walks.forEach(({ f }, i) => { byId(`now-${i}`).textContent = shown(at(f, step)); });
}

function fillTable() {
  const { lowest, minima } = DATA.surface;
  walks.forEach(({ path, f, diverged }, k) => {
    const reached = lowest === null ? -1 : f.findIndex((value) => value - lowest <= DATA.close);
    byId(`f-${k}`).textContent = diverged ? `diverged at step ${diverged}` : shown(last(f));
    const ends = !diverged && path.length && minima.length;
    byId(`distance-${k}`).textContent = ends ? shown(distance(last(path))) : "–";
    byId(`reached-${k}`).textContent = reached < 0 ? "–" : String(reached);
  });
}

// ---- settings: fields, switches, the address

// Every field: where its value is kept, and what is wrong with one, if anything.
const MOST = DATA.mostSteps, FAR = DATA.farthest;
const near = (value) => (Math.abs(value) <= FAR ? "" : `must be from -${FAR} to ${FAR}`);
const positive = (value) => (value > 0 && Number.isFinite(value) ? "" : "must be a number > 0");
const count = (value) =>
  Number.isInteger(value) && value >= 1 && value <= MOST ? "" : `must be from 1 to ${MOST}`;
const FIELDS = [
  { id: "x", wrong: near, get: () => set.start[0], put: (value) => { set.start = [value, set.start[1]]; } },
  { id: "y", wrong: near, get: () => set.start[1], put: (value) => { set.start = [set.start[0], value]; } },
  { id: "steps", wrong: count, get: () => set.steps, put: (value) => { set.steps = value; } },
  ...DATA.walks.map((_, k) => ({
    id: `rate-${k}`, wrong: positive, get: () => set.rates[k], put: (value) => { set.rates[k] = value; },
  })),
];

// Takes over what is in a field, or says what is wrong with it and leaves all else as it is.
function read({ id, wrong, put }) {
  const entry = byId(id), value = entry.value.trim() === "" ? NaN : Number(entry.value);
  const message = wrong(value);
  complain(id, message);
  if (!message) put(value);
  return !message;
}

function complain(id, message) {
  byId(`${id}-wrong`).textContent = message;
  byId(id).setAttribute("aria-invalid", message !== "");
}

function show() {
  for (const { id, get } of FIELDS) {
    byId(id).value = get();
    complain(id, "");
  }
  set.shown.forEach((on, k) => { byId(`shown-${k}`).checked = on; });
}

function compute() {
  byId("step").max = set.steps;
  walks = DATA.walks.map(walkOf);
  fillTable();
  draw();
}

// Stops at `k`, after what changes the paths, with all of them in sight.
function changed(k = set.steps) {
  pause();
  step = k;
  compute();
  keep();
}

// The address holds what differs from the page's own settings, and the step.
function keep() {
  const kept = new URLSearchParams();
  const differing = (name, value, own) => { if (value !== own) kept.set(name, value); };
  differing("x", set.start[0], OWN.start[0]);
  differing("y", set.start[1], OWN.start[1]);
  differing("steps", set.steps, OWN.steps);
  DATA.walks.forEach(({ name }, k) => {
    differing(`lr-${name}`, set.rates[k], OWN.rates[k]);
    if (!set.shown[k]) kept.append("hide", name);
  });
  differing("step", step, set.steps);
  history.replaceState(null, "", `#${kept}`);
}

// The settings in the address; null where there are none.
function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  if (!location.hash.includes("=")) return null;
  set = fromOwn();
  show();
  for (const id of ["x", "y", "steps"]) if (kept.has(id)) byId(id).value = kept.get(id);
  const hidden = kept.getAll("hide");
  DATA.walks.forEach(({ name, free }, k) => {
    if (kept.has(`lr-${name}`) && free) byId(`rate-${k}`).value = kept.get(`lr-${name}`);
    set.shown[k] = !hidden.includes(name);
    byId(`shown-${k}`).checked = set.shown[k];
  });
  FIELDS.forEach(read);
  const k = Number(kept.get("step") ?? NaN);
  return Number.isInteger(k) && k >= 0 ? k : set.steps;
}

// ---- play

let playing = null;

function play() {
  const from = step < set.steps ? step : 0;
  const each = Math.max(2500, Math.min(8000, 200 * set.steps)) / set.steps; // ms for a step
  const begun = performance.now();
  const next = (now) => {
    const k = Math.min(set.steps, from + Math.max(0, Math.floor((now - begun) / each)));
    if (k !== step) moveTo(k);
    playing = k < set.steps ? requestAnimationFrame(next) : null;
    if (!playing) pause();
  };
  moveTo(from);
  byId("play").textContent = "Pause";
  playing = requestAnimationFrame(next);
}

function pause() {
  if (playing) cancelAnimationFrame(playing);
  playing = null;
  byId("play").textContent = "Play";
}

byId("play").addEventListener("click", () => {
  if (!playing) return play();
  pause();
  keep();
});
byId("step").addEventListener("input", () => { pause(); moveTo(Number(byId("step").value)); });
byId("step").addEventListener("change", keep);
byId("reset").addEventListener("click", () => { set = fromOwn(); show(); changed(); });
for (const field of FIELDS) byId(field.id).addEventListener("change", () => { if (read(field)) changed(); });

function switchTo(on) {
  set.shown = on;
  on.forEach((value, k) => { byId(`shown-${k}`).checked = value; });
  draw();
  keep();
}
DATA.walks.forEach((walk, k) => {
  byId(`rate-${k}`).disabled = !walk.free || !walk.computed;
  byId(`shown-${k}`).addEventListener("change", (event) => {
    switchTo(set.shown.with(k, event.target.checked));
  });
});
byId("all")?.addEventListener("click", () => switchTo(set.shown.map(() => true)));
byId("none")?.addEventListener("click", () => switchTo(set.shown.map(() => false)));

// A click on the contour is a new start, to a thousandth of what is drawn. Where the axes lie plotly
// says in _fullLayout alone.
byId("contour").addEventListener("click", (event) => {
  const { xaxis, yaxis, _size: size } = byId("contour")._fullLayout;
  const box = byId("contour").getBoundingClientRect();
  const px = [event.clientX - box.left - size.l, event.clientY - box.top - size.t];
  if (px[0] < 0 || px[1] < 0 || px[0] > size.w || px[1] > size.h) return;
  set.start = [xaxis, yaxis].map((axis, i) => {
    const unit = 10 ** Math.floor(Math.log10(Math.abs(axis.range[1] - axis.range[0]) / 1000));
    return Number((Math.round(axis.p2c(px[i]) / unit) * unit).toPrecision(6));
  });
  for (const { id, get } of FIELDS.slice(0, 2)) { byId(id).value = get(); complain(id, ""); }
  changed();
}, true);

function begin() {
  const k = recall();
  if (k === null) { set = fromOwn(); show(); }
  const still = STILL || k !== null;
  step = k ?? (still ? set.steps : 0);
  if (DATA.zigzag) drawZigzag();
  compute();
  if (still) return;
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    if (step === 0 && !playing) play(); // unless something was done before
  }, { threshold: 0.6 });
  seen.observe(byId("contour"));
}

begin();
window.addEventListener("hashchange", () => {
  const k = recall();
  if (k === null) return;
  pause();
  step = k;
  compute();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (DATA.zigzag) drawZigzag();
  draw();
});
