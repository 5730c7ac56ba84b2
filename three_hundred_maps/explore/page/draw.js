// Maps as pictures, and the two charts; everything takes colours from the style sheet's variables.
import { COLOUR_MAPS } from "./colours.js";

const SVG = "http://www.w3.org/2000/svg";

export function node(name, attrs = {}, ...children) {
  const made = ["svg", "g", "path", "line", "rect", "circle", "text", "title"].includes(name)
    ? document.createElementNS(SVG, name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attrs)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function palette(name) {
  const steps = COLOUR_MAPS[name].match(/.{6}/g).map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (steps.length - 1);
    const low = Math.min(Math.floor(place), steps.length - 2);
    return steps[low].map((c, k) => Math.round(c + (place - low) * (steps[low + 1][k] - c)));
  });
}
const palettes = {};

export const quantile = (values, part) => Float64Array.from(values).sort()[Math.floor(part * (values.length - 1))];

const short = (value) => (value === 0 || (Math.abs(value) >= 0.01 && Math.abs(value) < 1e4) ? String(Number(value.toPrecision(3))) : Number(value.toPrecision(2)).toExponential().replace("e+", "e"));

// Colour scale of an array: {place: value to 0-1, ticks: [[label, place]]}, down to `decades` below the brightest pixel or to the faintest.
export function logScale(values, decades) {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  const [least, high] = positive.length ? [0.005, 1].map((part) => Math.log10(quantile(positive, part))) : [-1, 0];
  const gap = positive.length < values.length ? 0.3 : 0; // the faintest is told from nothing
  let low = Math.max(least - gap, high - decades);
  if (high - low < 1e-6) low = high - 1;
  const place = (value) => (value > 0 ? (Math.log10(value) - low) / (high - low) : 0);
  let ticks = [];
  for (const steps of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 5, 7]]) {
    ticks = [];
    for (let power = Math.floor(low); power <= high; power++) ticks.push(...steps.map((step) => Number(`${step}e${power}`)));
    ticks = ticks.filter((value) => place(value) >= 0 && place(value) <= 1);
    if (ticks.length > 2) break;
  }
  if (ticks.length < 2) ticks = [10 ** low, 10 ** high];
  return { place, ticks: ticks.map((value) => [short(value), place(value)]) };
}

export function linearScale(limit) {
  const ticks = [-limit, 0, limit].map((v) => [`${v > 0 ? "+" : ""}${short(v)}`, (v + limit) / (2 * limit)]);
  return { place: (value) => (value + limit) / (2 * limit), ticks, signed: true };
}

// A row-major map, +y up, one canvas pixel a map pixel.
export function paint(canvas, values, size, scale, colours) {
  const table = (palettes[colours] ||= palette(colours));
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  const image = context.createImageData(size, size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const value = values[(size - 1 - y) * size + x];
      const colour = Number.isFinite(value) ? table[Math.max(0, Math.min(255, Math.round(255 * scale.place(value))))] : [128, 128, 128];
      image.data.set([...colour, 255], 4 * (y * size + x));
    }
  }
  context.putImageData(image, 0, 0);
}

export function colourBar(scale, colours) {
  const table = (palettes[colours] ||= palette(colours));
  const stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((i) => `rgb(${table[i]})`).join(",");
  const bar = node("div", { class: "bar", "aria-hidden": "true" });
  bar.append(node("div", { class: "ramp", style: `background:linear-gradient(to right,${stops})` }));
  const every = Math.ceil(scale.ticks.length / 4);
  for (const [label, place] of scale.ticks.filter((_, i) => i % every === 0)) {
    const shift = { 0: 0, 1: -100 }[place] ?? -50; // a number at an end stays over its bar
    const tick = node("span", { style: `left:${100 * place}%;transform:translateX(${shift}%)` });
    tick.textContent = label;
    bar.append(tick);
  }
  return bar;
}

// Circles of radius (in R200c) over a map `width` R200c wide; the dashed one is the second; dark over a `signed` map, whose middle is white.
export function circles(width, radii, signed) {
  const svg = node("svg", { viewBox: "-1 -1 2 2", class: signed ? "circles signed" : "circles", "aria-hidden": "true" });
  radii.forEach((radius, i) => {
    svg.append(node("circle", { cx: 0, cy: 0, r: (2 * radius) / width, "stroke-dasharray": i ? "0.06 0.05" : "none" }));
  });
  return svg;
}

// Mean of a map in rings, [radius in R200c, mean]; 16 logarithmic rings.
export function profile(values, size, width) {
  const inner = (0.7 * width) / size;
  const rings = 16;
  const step = Math.log(1 / inner) / rings;
  const sums = new Float64Array(rings);
  const counts = new Float64Array(rings);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const radius = Math.hypot(x + 0.5 - size / 2, y + 0.5 - size / 2) * (width / size);
      const ring = Math.floor(Math.log(radius / inner) / step);
      if (ring < 0 || ring >= rings) continue;
      sums[ring] += values[y * size + x];
      counts[ring] += 1;
    }
  }
  const points = [];
  for (let i = 0; i < rings; i++) if (counts[i]) points.push([inner * Math.exp((i + 0.5) * step), sums[i] / counts[i]]);
  return points;
}

// Radial profiles on logarithmic axes, each over its own innermost ring; series: [{label, points, style}].
export function profileChart(series) {
  const [w, h, left, bottom, top] = [420, 250, 44, 40, 8];
  const shown = series.map((s) => ({ ...s, points: s.points.map(([r, v], ring) => [Math.log10(r), Math.log10(v) - Math.log10(s.zero), ring]).filter(([, v]) => Number.isFinite(v)) }));
  const all = shown.flatMap((s) => s.points);
  if (!all.length) return "no map is above 0 at its centre";
  const xs = [Math.min(...all.map((p) => p[0])), 0];
  const ys = [Math.max(-6, Math.floor(Math.min(-0.1, ...all.map((p) => p[1])))), Math.ceil(Math.max(...all.map((p) => p[1])) * 2) / 2];
  const px = (x) => left + ((x - xs[0]) / (xs[1] - xs[0])) * (w - left - 8);
  const py = (y) => top + ((ys[1] - Math.max(y, ys[0])) / (ys[1] - ys[0])) * (h - top - bottom);
  const svg = node("svg", { viewBox: `0 0 ${w} ${h}`, class: "chart", role: "img", "aria-label": "Radial profiles of the views" });
  for (let y = Math.ceil(ys[0]); y <= ys[1]; y++) {
    svg.append(node("line", { x1: left, x2: w - 8, y1: py(y), y2: py(y), class: "grid" }), node("text", { x: left - 6, y: py(y) + 4, "text-anchor": "end" }, y === 0 ? "1" : `1e${y}`));
  }
  for (const r of [0.03, 0.1, 0.3, 1]) {
    if (Math.log10(r) < xs[0]) continue;
    svg.append(node("line", { x1: px(Math.log10(r)), x2: px(Math.log10(r)), y1: top, y2: h - bottom, class: "grid" }), node("text", { x: px(Math.log10(r)), y: h - bottom + 16, "text-anchor": "middle" }, String(r)));
  }
  svg.append(node("text", { x: (left + w) / 2, y: h - 6, "text-anchor": "middle" }, "radius in R200c"));
  for (const s of shown) {
    svg.append(node("path", { d: s.points.map(([x, y, ring], i) => `${s.points[i - 1]?.[2] === ring - 1 ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join(""), class: `series ${s.style}` }));
  }
  return svg;
}

// Histogram of log10 M200c; a click on a bar calls pick(halos of the bar).
export function massHistogram(halos, chosen, pick) {
  const [w, h, left, bottom] = [420, 120, 8, 34];
  const logs = halos.map((halo) => Math.log10(halo.M200c));
  const low = Math.floor(Math.min(...logs) * 10) / 10;
  const bins = Math.max(1, Math.ceil((Math.max(...logs) - low) * 10 + 1e-9));
  const rows = Array.from({ length: bins }, () => []);
  logs.forEach((value, i) => rows[Math.min(bins - 1, Math.floor((value - low) * 10))].push(halos[i]));
  const most = Math.max(...rows.map((row) => row.length));
  const step = (w - 2 * left) / bins;
  const svg = node("svg", { viewBox: `0 0 ${w} ${h}`, class: "chart", role: "img", "aria-label": "Number of clusters by mass; the list above chooses too" });
  rows.forEach((row, i) => {
    const tall = (row.length / most) * (h - bottom - 6);
    const bar = node("rect", { x: left + i * step + 1, y: h - bottom - tall, width: step - 2, height: tall, class: row.includes(chosen) ? "bin chosen" : "bin" });
    bar.append(node("title", {}, `${row.length} of log10 M200c/Msun ${(low + i / 10).toFixed(1)} to ${(low + (i + 1) / 10).toFixed(1)}`));
    if (row.length) bar.addEventListener("click", () => pick(row));
    svg.append(bar);
    if (i % Math.ceil(bins / 8) === 0) svg.append(node("text", { x: left + i * step, y: h - bottom + 15 }, (low + i / 10).toFixed(1)));
  });
  svg.append(node("text", { x: w / 2, y: h - 4, "text-anchor": "middle" }, "log10 of M200c in Msun"));
  return svg;
}
