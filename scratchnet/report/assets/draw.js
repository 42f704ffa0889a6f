"use strict";
// The page to draw on: strokes and pictures in, probabilities and what the layers make of it out.
//
// All work waits for the next frame of the screen, and is done once a frame at most.

const byId = (id) => document.getElementById(id);
const NETWORK = (window.NETWORK = makeNetwork(DATA.network));
const DRAWING = (window.DRAWING = makeDrawing(DATA.drawing));

const canvas = byId("canvas"), pad = canvas.parentElement;
const context = canvas.getContext("2d", { willReadFrequently: true });
const PEN = canvas.dataset.pen * Math.max(canvas.width, canvas.height);
const MOST_PIXELS = 4096; // of a picture's side; a larger one is made smaller first
const QUIET = 700; // milliseconds without a change, after which the answer is read out

// What was done: {points} of a stroke, {picture, ink} or {} for an empty canvas. Strokes count from
// the last of the others on; a stroke behind a picture takes its place.
const steps = [];
let pending = 0; // the frame that is waited for
let painted = 0; // points of the last stroke that are on the canvas

// ---- strokes

const isStroke = (step) => Boolean(step && step.points);
const lastStep = () => steps[steps.length - 1];

// The part of the canvas that strokes have touched: left, top, right, bottom.
const touched = [0, 0, 0, 0];

function clearCanvas() {
  touched.splice(0, 4, canvas.width, canvas.height, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
}

// The stroke from its point k on: a dot where it begins, then lines.
function paintStroke(points, k = 0) {
  context.fillStyle = context.strokeStyle = "#fff";
  context.lineWidth = PEN;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  if (k === 0) {
    context.arc(points[0][0], points[0][1], PEN / 2, 0, 2 * Math.PI);
    context.fill();
    context.beginPath();
  }
  context.moveTo(...points[Math.max(k - 1, 0)]);
  for (const point of points.slice(Math.max(k, 1))) context.lineTo(...point);
  context.stroke();
  const reach = PEN / 2 + 2;
  for (const [x, y] of points.slice(k)) {
    touched[0] = Math.max(Math.min(touched[0], Math.floor(x - reach)), 0);
    touched[1] = Math.max(Math.min(touched[1], Math.floor(y - reach)), 0);
    touched[2] = Math.min(Math.max(touched[2], Math.ceil(x + reach)), canvas.width);
    touched[3] = Math.min(Math.max(touched[3], Math.ceil(y + reach)), canvas.height);
  }
}

// Everything anew, as after a step back. A stroke that is being drawn ends.
function repaint() {
  pointer = null;
  setKeyboardPen(false);
  let first = steps.length;
  while (first > 0 && isStroke(steps[first - 1])) first -= 1;
  clearCanvas();
  const picture = first === steps.length && lastStep()?.picture;
  if (picture) context.putImageData(picture, 0, 0);
  for (const { points } of steps.slice(first)) paintStroke(points);
  painted = isStroke(lastStep()) ? lastStep().points.length : 0;
  schedule();
}

function beginStroke(point) {
  const behindPicture = Boolean(lastStep()?.picture);
  if (isStroke(lastStep())) paintRest();
  if (behindPicture) clearCanvas();
  complain("");
  steps.push({ points: [point] });
  painted = 0;
  schedule();
}

function continueStroke(point) {
  lastStep().points.push(point);
  schedule();
}

// The points of the last stroke that are not on the canvas yet.
function paintRest() {
  const { points } = lastStep();
  if (painted < points.length) paintStroke(points, painted);
  painted = points.length;
}

function clear() {
  complain("");
  if (steps.length && Object.keys(lastStep()).length) steps.push({});
  repaint();
}

function undo() {
  complain("");
  steps.pop();
  repaint();
}

// ---- mouse, pen and finger

let pointer = null; // which one draws

function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * canvas.width,
    ((event.clientY - box.top) / box.height) * canvas.height,
  ];
}

canvas.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  pointer = event.pointerId;
  canvas.setPointerCapture(pointer);
  setKeyboardPen(false);
  beginStroke(placeOf(event));
});

canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  const between = event.getCoalescedEvents();
  for (const each of between.length ? between : [event]) continueStroke(placeOf(each));
});

for (const name of ["pointerup", "pointercancel"])
  canvas.addEventListener(name, (event) => {
    if (event.pointerId === pointer) pointer = null;
  });

// ---- keyboard

const mark = byId("pen");
const at = [canvas.width / 2, canvas.height / 2];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let down = false;

function setKeyboardPen(isDown) {
  down = isDown;
  mark.classList.toggle("down", down);
}

function showPen(shown) {
  mark.hidden = !shown;
  mark.style.left = `${(100 * at[0]) / canvas.width}%`;
  mark.style.top = `${(100 * at[1]) / canvas.height}%`;
}

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || pointer !== null) return;
  if (event.key in ARROWS) {
    const far = event.shiftKey ? 40 : 10;
    const limits = [canvas.width, canvas.height];
    ARROWS[event.key].forEach((sign, i) => {
      at[i] = Math.min(Math.max(at[i] + far * sign, 0), limits[i]);
    });
    if (down) continueStroke([...at]);
  } else if (event.key === " ") {
    if (event.repeat) return event.preventDefault();
    setKeyboardPen(!down);
    if (down) beginStroke([...at]);
    const [x, y] = [at[0] / canvas.width, at[1] / canvas.height].map((v) => Math.round(100 * v));
    say(`Pen ${down ? "down" : "up"}, ${x} percent from the left, ${y} from the top.`);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else return;
  event.preventDefault();
  showPen(true);
});
canvas.addEventListener("focus", () => showPen(canvas.matches(":focus-visible")));
canvas.addEventListener("blur", () => {
  setKeyboardPen(false);
  showPen(false);
});
canvas.addEventListener("pointerdown", () => showPen(false));

document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
  if (pointer !== null) return;
  event.preventDefault();
  undo();
});
byId("clear").addEventListener("click", clear);
byId("undo").addEventListener("click", undo);

// ---- pictures

function complain(text) {
  byId("wrong").textContent = text;
}

// The paper behind a transparent picture: white if its ink is dark, else black.
function paperBehind(pixels) {
  let total = 0, opaque = 0;
  for (let k = 0; k < pixels.length; k += 4) {
    total += (pixels[k + 3] / 255) * greyOf(pixels[k], pixels[k + 1], pixels[k + 2]);
    opaque += pixels[k + 3] / 255;
  }
  return total < 127.5 * opaque ? 255 : 0;
}

const greyOf = (red, green, blue) => 0.299 * red + 0.587 * green + 0.114 * blue;

// The values from 0 to 255 that the network's channels are made of.
function valuesOf(pixels, paper) {
  const channels = DRAWING.shape[2], values = new Float64Array((pixels.length / 4) * channels);
  const on = (k, c) => paper + (pixels[k + c] - paper) * (pixels[k + 3] / 255);
  for (let k = 0, i = 0; k < pixels.length; k += 4) {
    const colours = [on(k, 0), on(k, 1), on(k, 2)];
    if (channels === 1) values[i++] = greyOf(...colours);
    else for (const value of colours) values[i++] = value;
  }
  return values;
}

async function openPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return complain(`The browser cannot read ${file.name} as a picture. Take a PNG or a JPEG.`);
  }
  const share = Math.min(1, MOST_PIXELS / Math.max(bitmap.width, bitmap.height));
  const [w, h] = [bitmap.width, bitmap.height].map((n) => Math.max(1, Math.round(n * share)));
  const whole = new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
  whole.drawImage(bitmap, 0, 0, w, h);
  const { data: pixels } = whole.getImageData(0, 0, w, h);
  const paper = paperBehind(pixels);
  const ink = DRAWING.see(valuesOf(pixels, paper), h, w).slice();
  showWhole(bitmap, paper);
  bitmap.close();
  steps.push({ picture: context.getImageData(0, 0, canvas.width, canvas.height), ink });
  complain(ink.some(Boolean) ? "" : `Nothing can be seen in ${file.name}.`);
  repaint();
}

// The picture as large as it fits into the canvas.
function showWhole(bitmap, paper) {
  const fit = Math.min(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const [w, h] = [bitmap.width * fit, bitmap.height * fit];
  clearCanvas();
  const place = [(canvas.width - w) / 2, (canvas.height - h) / 2, w, h];
  context.fillStyle = `rgb(${paper},${paper},${paper})`;
  context.fillRect(...place);
  context.drawImage(bitmap, ...place);
}

function openFirst(files) {
  const file = [...files].find((one) => one.type.startsWith("image/"));
  if (file) openPicture(file);
  else if (files.length) complain(`${files[0].name} is no picture. Take a PNG or a JPEG.`);
}

byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  openFirst(event.target.files);
  event.target.value = ""; // or the same file could not be opened again
});
document.addEventListener("paste", (event) => openFirst(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  pad.classList.add("over");
});
document.addEventListener("dragleave", () => pad.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  pad.classList.remove("over");
  openFirst(event.dataTransfer.files);
});

// ---- from the canvas to the answer

const grey = new Float64Array(canvas.width * canvas.height);

// What the network sees of the strokes. Where the ink is looked for, the part that they have
// touched is enough.
function lookAtStrokes() {
  const whole = [0, 0, canvas.width, canvas.height];
  const [left, top, right, bottom] = DATA.drawing.style ? touched : whole;
  const w = right - left, h = bottom - top;
  if (w <= 0 || h <= 0) return null; // a pen that was never on the canvas
  const { data } = context.getImageData(left, top, w, h), part = grey.subarray(0, w * h);
  for (let k = 0; k < part.length; k += 1) part[k] = data[4 * k];
  return DRAWING.see(part, h, w, 0);
}

// What the network sees; null where there is nothing.
function look() {
  const step = lastStep();
  if (isStroke(step)) paintRest();
  const ink = isStroke(step) ? lookAtStrokes() : step?.ink;
  return ink && ink.some(Boolean) ? ink : null;
}

function schedule() {
  pending ||= requestAnimationFrame(update);
}

function update() {
  pending = 0;
  const ink = look();
  byId("hint").hidden = steps.length > 0 && Object.keys(lastStep()).length > 0;
  showSeen(ink);
  showAnswer(ink && NETWORK.predict(DRAWING.inputs(ink)));
  showStages(ink !== null);
}

// ---- the answer

const rows = [...byId("bars").children].map((row) => ({
  row, name: row.children[0], bar: row.children[1].firstElementChild, share: row.children[2],
}));
const [best, more] = byId("best").children;
const inOrder = DATA.classes.length <= DATA.allClasses;
const every = DATA.classes.map((_, k) => k);
byId("bars").classList.toggle("words", DATA.classes.some((name) => name.length > 2));

const percent = (p) => `${(100 * p).toFixed(1)}\u00a0%`;

// What does not change costs no layout.
function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// The classes that the network gives: the likeliest, or all that are likelier than not.
function chosen(p) {
  if (DATA.network.multilabel) return every.filter((k) => p[k] > 0.5);
  return [every.reduce((a, b) => (p[b] > p[a] ? b : a))];
}

function showAnswer(p) {
  const found = p ? chosen(p) : [];
  const shown = inOrder || !p ? every : [...every].sort((a, b) => p[b] - p[a]);
  rows.forEach(({ row, name, bar, share }, place) => {
    const k = shown[place];
    if (!inOrder) write(name, DATA.classes[k]);
    row.classList.toggle("best", found.includes(k));
    bar.style.transform = `scaleX(${p ? p[k].toFixed(3) : 0})`;
    write(share, p ? percent(p[k]) : "–");
  });
  const names = found.map((k) => DATA.classes[k]).join(", ");
  write(best, p ? names || "none" : "–");
  write(more, !p ? "Nothing is drawn yet." : found.length === 1 ? percent(p[found[0]]) : "");
  if (p) say(`${names || "None"}${found.length === 1 ? `, ${percent(p[found[0]])}` : ""}.`);
  else say(steps.length ? "Empty." : "");
}

// The last of several texts, once nothing has changed for a while: nobody is flooded.
let waiting = 0;
function say(text) {
  clearTimeout(waiting);
  waiting = setTimeout(() => write(byId("says"), text), QUIET);
}

// ---- pictures of what goes through the network

const seen = byId("seen").getContext("2d", { willReadFrequently: true });
const seenPixels = seen.createImageData(DRAWING.shape[1], DRAWING.shape[0]);

function showSeen(ink) {
  const { data } = seenPixels, channels = DRAWING.shape[2];
  for (let k = 0; k < data.length / 4; k += 1) {
    for (let c = 0; c < 3; c += 1)
      data[4 * k + c] = ink ? Math.round(255 * ink[k * channels + Math.min(c, channels - 1)]) : 0;
    data[4 * k + 3] = 255;
  }
  seen.putImageData(seenPixels, 0, 0);
}

// Colours from -1 over 0 to 1: blue, the colour of panels, orange.
const COLOURS = new Uint8ClampedArray(4 * 511);

function mixColours() {
  const middle = shade("panel").match(/[0-9a-f]{2}/gi).map((two) => parseInt(two, 16));
  const ends = [[0, 119, 187], [224, 108, 31]];
  for (let k = 0; k < 511; k += 1) {
    const share = (k - 255) / 255, end = ends[share < 0 ? 0 : 1];
    middle.forEach((from, c) => {
      COLOURS[4 * k + c] = from + (end[c] - from) * Math.abs(share);
    });
    COLOURS[4 * k + 3] = 255;
  }
}

const ON_A_LINE = innerWidth < 640 ? 32 : 64; // units

// Where each value of a stage is in its picture: units as cells in lines, maps side by side with a
// pixel between them.
function layOut({ maps, shown }) {
  const [height, width, all] = maps || [1, 1, shown];
  const gap = maps ? 1 : 0, columns = Math.min(shown, maps ? 8 : ON_A_LINE);
  const wide = columns * (width + gap) - gap;
  const high = Math.ceil(shown / columns) * (height + gap) - gap;
  const from = [], to = [];
  for (let m = 0; m < shown; m += 1)
    for (let i = 0; i < height; i += 1)
      for (let j = 0; j < width; j += 1) {
        const top = Math.floor(m / columns) * (height + gap), left = (m % columns) * (width + gap);
        from.push((i * width + j) * all + m);
        to.push((top + i) * wide + left + j);
      }
  return { wide, high, columns, from: Int32Array.from(from), to: Int32Array.from(to) };
}

const stages = DATA.stages.map((stage, k) => {
  const place = layOut(stage), picture = byId(`stage-${k}`);
  picture.width = place.wide;
  picture.height = place.high;
  // A map is 3.5 rem wide; a unit 0.9 rem, or more where there are few.
  const cell = stage.maps ? 3.5 : Math.max(0.9, Math.min(2, 28.8 / place.columns));
  const wide = cell * place.columns;
  picture.style.width = `${wide}rem`;
  picture.parentElement.style.width = `${Math.max(wide, 18)}rem`;
  const brush = picture.getContext("2d", { willReadFrequently: true });
  const image = brush.createImageData(place.wide, place.high);
  return { ...place, layer: stage.layer, brush, image };
});

function showStages(any) {
  for (const { layer, from, to, brush, image } of stages) {
    const values = any ? NETWORK.outputs[layer] : null;
    let largest = 0;
    for (let k = 0; any && k < from.length; k += 1)
      largest = Math.max(largest, Math.abs(values[from[k]]));
    for (let k = 0; k < from.length; k += 1) {
      const colour = largest ? 255 + Math.round((255 * values[from[k]]) / largest) : 255;
      for (let c = 0; c < 4; c += 1) image.data[4 * to[k] + c] = COLOURS[4 * colour + c];
    }
    brush.putImageData(image, 0, 0);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  mixColours();
  schedule();
});
mixColours();
repaint();
