"use strict";
// Draws the figures and pictures of the page, in the colours of its style sheet.

const DATA = JSON.parse(document.getElementById("page-data").textContent);
const FIGURES = JSON.parse(document.getElementById("page-figures").textContent);
const STILL = matchMedia("(prefers-reduced-motion: reduce)").matches;

function shade(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// What every figure has in common; a figure's own layout wins.
function themed(layout) {
  const axis = { gridcolor: shade("line"), zerolinecolor: shade("line"), linecolor: shade("line"), automargin: true };
  const common = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: shade("text"), family: "system-ui, sans-serif", size: 13 },
    hoverlabel: { bgcolor: shade("panel"), bordercolor: shade("line"), font: { color: shade("text") } },
    legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom" },
    margin: { l: 50, r: 12, t: 40, b: 45 },
  };
  const found = { ...common, ...layout };
  for (const name of ["xaxis", "yaxis", "yaxis2"])
    if (name !== "yaxis2" || layout.yaxis2) found[name] = { ...axis, ...layout[name] };
  return found;
}

function drawFigure(id) {
  const figure = FIGURES[id];
  for (const trace of figure.data)
    if (trace.texttemplate) trace.textfont = { color: shade("text") };
  Plotly.react(document.getElementById(id), figure.data, themed(figure.layout), {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
  });
}

function drawFigures() {
  Object.keys(FIGURES).forEach(drawFigure);
}

// With the keyboard: left and right go along a curve, up and down to the next one.
function readByKeyboard(place) {
  let curve = 0, point = -1;
  place.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    if (!(event.key in steps) || !place.data.length) return;
    event.preventDefault();
    const [down, right] = steps[event.key];
    curve = (curve + down + place.data.length) % place.data.length;
    const n = (place.data[curve].x || []).length;
    point = Math.max(0, Math.min(n - 1, point + right));
    if (n) Plotly.Fx.hover(place, [{ curveNumber: curve, pointNumber: point }]);
  });
}

// A picture of bytes: grey from 0 to 255, or signed from blue over the background to orange.
function drawPicture(canvas) {
  const bytes = Uint8Array.from(atob(canvas.dataset.pixels), (c) => c.charCodeAt(0));
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const signed = canvas.dataset.kind === "signed";
  const ends = [[0, 119, 187], [247, 247, 247], [224, 108, 31]];
  const channels = canvas.dataset.kind === "colour" ? 3 : 1;
  for (let k = 0; k < canvas.width * canvas.height; k += 1) {
    const byte = bytes[channels * k];
    let colour = channels === 3 ? [...bytes.subarray(3 * k, 3 * k + 3)] : [byte, byte, byte];
    if (signed) {
      const value = byte / 127.5 - 1, end = value < 0 ? ends[0] : ends[2];
      colour = ends[1].map((from, c) => from + (end[c] - from) * Math.abs(value));
    }
    image.data.set([...colour, 255], 4 * k);
  }
  context.putImageData(image, 0, 0);
}

drawFigures();
for (const id of Object.keys(FIGURES)) readByKeyboard(document.getElementById(id));
document.querySelectorAll("canvas[data-pixels]").forEach(drawPicture);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawFigures);
