// The page: which cluster and line of sight, its maps side by side, a read-out, profiles, and a prediction beside the truth.
import { MapStore, Predictions } from "./store.js";
import { circles, colourBar, linearScale, logScale, massHistogram, node, paint, profile, profileChart } from "./draw.js";

const COLOURS = { sz: "magma", xray: "inferno", star: "bone", mass: "viridis", predicted: "viridis", residual: "RdBu_r" };
const DECADES = { sz: 3, xray: 5, star: 4, mass: 3, predicted: 3 };
const FLOOR = 1e6; // Msun kpc-2: the benchmark's logarithm is log10(max(m, FLOOR))
const RESIDUAL_DEX = 0.5;

const at = (id) => document.getElementById(id);
const state = { split: "test", row: 0, los: 0, cursor: null };
const kept = new Map(); // maps of the clusters looked at last
let store, predictions, shown, drawing = 0;

const halos = () => store.splits[state.split];
const halo = () => halos()[state.row];
const width = () => store.attrs.width_R200c;

function report(text, bad = false) {
  at("status").textContent = text;
  at("status").className = bad ? "error" : "";
}

async function mapsOf(one) {
  if (!kept.has(one)) {
    const reading = store.maps(one, store.attrs.views).then(async (maps) => {
      const mass = predictions && (await predictions.mass(one));
      if (mass) {
        maps.predicted = mass;
        if (maps.mass) {
          const logs = (v) => Math.log10(Math.max(v, FLOOR));
          const data = Float32Array.from(mass.data, (v, i) => logs(v) - logs(maps.mass.data[i]));
          maps.residual = { data, shape: mass.shape, attrs: { units: "dex", long_name: "log10 of predicted over true surface density" } };
        }
      }
      return maps;
    });
    kept.set(one, reading);
    if (kept.size > 6) kept.delete(kept.keys().next().value);
  }
  return kept.get(one);
}

const plane = (map, los) => map.data.subarray(los * map.shape[1] * map.shape[2], (los + 1) * map.shape[1] * map.shape[2]);

function scaleOf(name, map) {
  if (name === "residual") return linearScale(RESIDUAL_DEX, "");
  const values = at("fixed").checked ? map.data : plane(map, state.los);
  const signed = values.some((v) => v < 0);
  if (signed) return linearScale(values.reduce((m, v) => Math.max(m, Math.abs(v)), 0) || 1, "");
  return logScale(values, DECADES[name] || 4);
}

function figure(name, map) {
  const size = map.shape[2];
  const canvas = node("canvas", { tabindex: 0, role: "img", "data-view": name, "aria-label": `${map.attrs.long_name || name}, line of sight ${state.los}` });
  const scale = scaleOf(name, map);
  const colours = scale.signed ? COLOURS.residual : COLOURS[name] || "cividis";
  paint(canvas, plane(map, state.los), size, scale, colours);
  const square = node("div", { class: "square" }, canvas);
  if (at("circles").checked) square.append(circles(width(), [1, halo().R500c / halo().R200c], scale.signed));
  const move = (x, y) => setCursor(Math.max(0, Math.min(size - 1, x)), Math.max(0, Math.min(size - 1, y)));
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    move(Math.floor(((event.clientX - box.left) / box.width) * size), size - 1 - Math.floor(((event.clientY - box.top) / box.height) * size));
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point); // a tap moves nothing
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const [x, y] = state.cursor || [size / 2, size / 2];
    move(x + step[0], y + step[1]);
  });
  const caption = node("figcaption", {}, name === "mass" && predictions ? "true mass" : name);
  const units = map.attrs.units === "1" ? "" : ` (${map.attrs.units.replaceAll(" ", "\u00a0").replaceAll("-", "\u2011")})`;
  caption.append(node("small", {}, `${map.attrs.long_name || ""}${units}`));
  return node("figure", {}, caption, square, colourBar(scale, colours));
}

const written = (value) => (value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4) ? value.toPrecision(3) : value.toExponential(2));

function setCursor(x, y) {
  state.cursor = [x, y];
  const size = Object.values(shown)[0].shape[2];
  const place = (i) => ((i + 0.5) / size - 0.5) * width();
  const radius = Math.hypot(place(x), place(y));
  const values = Object.entries(shown).map(([name, map]) => `${name} ${written(plane(map, state.los)[y * size + x])}`);
  at("readout").textContent = `x ${place(x).toFixed(3)}, y ${place(y).toFixed(3)} R200c; ${(radius * halo().R200c).toFixed(0)} kpc from the centre: ${values.join(", ")}`;
  document.querySelectorAll(".cross").forEach((old) => old.remove());
  document.querySelectorAll(".square").forEach((square) =>
    square.append(node("div", { class: "cross", style: `left:${(100 * (x + 0.5)) / size}%;top:${100 - (100 * (y + 0.5)) / size}%` })),
  );
}

function drawCharts() {
  const names = Object.keys(shown).filter((name) => name !== "residual");
  const points = Object.fromEntries(names.map((name) => [name, profile(plane(shown[name], state.los), shown[name].shape[2], width())]));
  const zero = (name) => points[name === "predicted" && points.mass ? "mass" : name][0][1];
  const series = names.map((name) => ({ label: name, points: points[name], zero: zero(name), style: `s-${name}` }));
  at("profiles").replaceChildren(profileChart(series));
  at("legend").replaceChildren(...series.map((s) => node("li", {}, node("i", { class: s.style }), s.label)));
  at("histogram").replaceChildren(
    massHistogram(halos(), halo(), (row) => {
      const here = row.indexOf(halo());
      choose({ row: row[(here + 1) % row.length].row });
    }),
  );
  const h = halo();
  const rows = [
    ["simulation", h.simulation],
    ["region : snapshot : halo", h.key],
    ["redshift", h.redshift.toFixed(3)],
    ["M200c", `${h.M200c.toExponential(3)} Msun`],
    ["R200c, R500c", `${h.R200c.toFixed(0)}, ${h.R500c.toFixed(0)} kpc`],
    ["c200c", h.c200c.toFixed(2)],
    ["gas, stars in R500c", `${h.f_gas_500.toFixed(3)}, ${h.f_star_500.toFixed(3)}`],
    ["relaxed", h.relaxed ? "yes" : "no"],
  ];
  at("values").tBodies[0].replaceChildren(...rows.map(([name, value]) => node("tr", {}, node("th", { scope: "row" }, name), node("td", {}, value))));
}

async function draw() {
  const mine = ++drawing;
  at("los-number").textContent = `${state.los} of 0 to ${at("los").max}`;
  report(`Reading cluster ${halo().key}…`);
  try {
    const maps = await mapsOf(halo());
    if (mine !== drawing) return;
    shown = maps;
  } catch (error) {
    report(`The maps of ${halo().key} cannot be read: ${error.message}`, true);
    kept.delete(halo());
    return;
  }
  const focused = document.activeElement?.dataset?.view;
  at("maps").replaceChildren(...Object.entries(shown).map(([name, map]) => figure(name, map)));
  if (focused) document.querySelector(`canvas[data-view="${focused}"]`)?.focus();
  if (state.cursor) setCursor(...state.cursor);
  drawCharts();
  report(predictions && !shown.predicted ? "The predictions do not hold this cluster." : "");
  history.replaceState(null, "", `#${new URLSearchParams({ split: state.split, halo: halo().key, los: state.los })}`);
  document.body.dataset.ready = `${state.split}/${state.row}/${state.los}`;
}

function choose(change) {
  Object.assign(state, change);
  state.row = (state.row + halos().length) % halos().length;
  const count = Number(at("los").max) + 1;
  state.los = (state.los + count) % count;
  at("split").value = state.split;
  const label = (h) => `${h.key}, ${h.M200c.toExponential(2)} Msun`;
  at("halo").replaceChildren(...halos().map((h) => new Option(label(h), h.row, false, h.row === state.row)));
  at("los").value = state.los;
  return draw();
}

async function start() {
  const asked = new URLSearchParams(location.search);
  const given = await fetch("config.json").then((r) => (r.ok ? r.json() : {})).catch(() => ({}));
  const address = asked.get("store") || given.store;
  if (!address) throw new Error("no store is named: add ?store=URL to the address, or start it with three-hundred-maps explore STORE");
  store = await MapStore.open(address);
  const predicted = asked.get("predictions") || given.predictions;
  if (predicted) predictions = await Predictions.open(predicted);
  if (!Object.keys(store.splits).length) throw new Error("the store holds no cluster");
  document.title = `${store.attrs.name}: cluster maps`;
  at("name").textContent = store.attrs.name;
  at("about").textContent = `${store.attrs.synthetic ? "SYNTHETIC. " : ""}${store.attrs.description || ""}`;
  at("split").replaceChildren(...Object.entries(store.splits).map(([name, rows]) => new Option(`${name} (${rows.length})`, name)));
  const first = await store.maps(Object.values(store.splits)[0][0], [store.attrs.views[0]]);
  at("los").max = Object.values(first)[0].shape[0] - 1;
  at("split").addEventListener("change", () => choose({ split: at("split").value, row: 0 }));
  at("halo").addEventListener("change", () => choose({ row: Number(at("halo").value) }));
  at("los").addEventListener("input", () => choose({ los: Number(at("los").value) }));
  at("circles").addEventListener("change", draw);
  at("fixed").addEventListener("change", draw);
  document.addEventListener("keydown", (event) => {
    if (/^(SELECT|INPUT)$/.test(event.target.tagName)) return;
    const change = { ArrowRight: { los: state.los + 1 }, ArrowLeft: { los: state.los - 1 }, ArrowDown: { row: state.row + 1 }, ArrowUp: { row: state.row - 1 } }[event.key];
    if (!change) return;
    event.preventDefault();
    choose(change);
  });
  at("controls").hidden = false;
  const link = new URLSearchParams(location.hash.slice(1));
  const split = store.splits[link.get("split")] ? link.get("split") : store.splits.test ? "test" : Object.keys(store.splits)[0];
  const row = Math.max(0, store.splits[split].findIndex((h) => h.key === link.get("halo")));
  await choose({ split, row, los: Number(link.get("los")) || 0 });
}

start().catch((error) => report(`The store cannot be shown: ${error.message}`, true));
