// The page: which cluster and line of sight, its maps side by side, a read-out, profiles, and a prediction beside the truth.
import { MapStore, Predictions } from "./store.js";
import { circles, colourBar, linearScale, logScale, massHistogram, node, paint, profile, profileChart, quantile } from "./draw.js";

const COLOURS = { sz: "magma", xray: "inferno", star: "bone", mass: "viridis", predicted: "viridis", residual: "RdBu_r" };
const DECADES = { sz: 3, xray: 5, star: 4, mass: 3, predicted: 3 };
const FLOOR = 1e6; // Msun kpc-2: the benchmark's logarithm is log10(max(m, FLOOR))
const RESIDUAL_DEX = 0.5;

const at = (id) => document.getElementById(id);
const state = { split: "test", row: 0, los: 0, cursor: null };
const kept = new Map(); // maps of the clusters looked at last
let store, predictions, shown, several, drawing = 0;

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
        if (String(mass.shape) !== String(Object.values(maps)[0].shape)) {
          throw new Error(`the prediction has shape ${mass.shape} (los, y, x), the store's maps ${Object.values(maps)[0].shape}`);
        }
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
  if (name === "residual") return linearScale(RESIDUAL_DEX);
  if (name === "predicted" && shown.mass) return scaleOf("mass", shown.mass); // the same colour is the same mass
  const values = at("fixed").checked ? map.data : plane(map, state.los);
  if (values.some((v) => v < 0)) return linearScale(quantile(values.map(Math.abs), 0.995) || 1);
  return logScale(values, DECADES[name] || 4);
}

const modified = (event) => event.altKey || event.ctrlKey || event.metaKey; // the browser's own keys

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
    if (!step || modified(event)) return;
    event.preventDefault();
    event.stopPropagation();
    const [x, y] = state.cursor || [size >> 1, size >> 1];
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
  // Maps of an observed store are in units of an R200c that is somewhat off: their kpc are not known.
  const kpc = `; ${(Math.hypot(place(x), place(y)) * halo().R200c).toFixed(0)} kpc from the centre`;
  const where = store.attrs.observed ? "of the observer's R200c" : `R200c${kpc}`;
  const values = Object.entries(shown).map(([name, map]) => `${name} ${written(plane(map, state.los)[y * size + x])}`);
  at("readout").textContent = `x ${place(x).toFixed(3)}, y ${place(y).toFixed(3)} ${where}: ${values.join(", ")}`;
  document.querySelectorAll(".cross").forEach((old) => old.remove());
  document.querySelectorAll(".square").forEach((square) =>
    square.append(node("div", { class: "cross", style: `left:${(100 * (x + 0.5)) / size}%;top:${100 - (100 * (y + 0.5)) / size}%` })),
  );
}

// A signed view has no logarithm; of others noise alone is negative.
const logarithmic = (name) => name !== "residual" && (name in DECADES || !store.attrs.view_attrs?.[name]?.signed);

function drawProfiles() {
  const names = Object.keys(shown).filter(logarithmic);
  const points = Object.fromEntries(names.map((name) => [name, profile(plane(shown[name], state.los), shown[name].shape[2], width())]));
  const zero = (name) => points[name === "predicted" && points.mass ? "mass" : name][0][1];
  const series = names.map((name) => ({ label: name, points: points[name], zero: zero(name), style: styleOf(name) }));
  at("profiles").replaceChildren(profileChart(series));
  at("legend").replaceChildren(...series.map((s) => node("li", {}, node("i", { class: s.style }), s.label)));
}

// Views without a colour of their own share six, then the same six dashed.
function styleOf(name) {
  const place = store.attrs.views.filter((view) => !(view in DECADES)).indexOf(name);
  return place < 0 ? `s-${name}` : `other-${place % 6}${place % 12 < 6 ? "" : " dashed"}`;
}

function drawHalo() {
  at("histogram").replaceChildren(
    massHistogram(halos(), halo(), (row) => {
      const here = row.indexOf(halo());
      choose({ row: row[(here + 1) % row.length].row });
    }),
  );
  const h = halo();
  const rows = [
    ["simulation", h.simulation],
    ["region : snapshot : halo", h.name],
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
  const one = halo();
  report(`Reading cluster ${one.key}…`);
  try {
    const maps = await mapsOf(one);
    if (mine !== drawing) return;
    shown = maps;
  } catch (error) {
    kept.delete(one);
    if (mine !== drawing) return;
    // Nothing of the cluster before may stand under this one's name.
    for (const id of ["maps", "readout", "profiles", "legend"]) at(id).replaceChildren();
    drawHalo();
    report(`The maps of ${one.key} cannot be read: ${(error.cause || error).message}`, true);
    return;
  }
  const focused = document.activeElement?.dataset?.view;
  at("maps").replaceChildren(...Object.entries(shown).map(([name, map]) => figure(name, map)));
  if (focused) document.querySelector(`canvas[data-view="${focused}"]`)?.focus();
  if (state.cursor) setCursor(...state.cursor);
  drawProfiles();
  drawHalo();
  report(predictions && !shown.predicted ? "The predictions do not hold this cluster." : "");
  history.replaceState(null, "", `#${new URLSearchParams({ split: state.split, halo: halo().key, los: state.los })}`);
  document.body.dataset.ready = `${state.split}/${state.row}/${state.los}`;
}

function choose(change) {
  Object.assign(state, change);
  state.row = (state.row + halos().length) % halos().length;
  const count = Number(at("los").max) + 1;
  state.los = ((state.los % count) + count) % count || 0;
  at("split").value = state.split;
  const label = (h) => `${several ? h.key : h.name}, ${h.M200c.toExponential(2)} Msun`;
  at("halo").replaceChildren(...halos().map((h) => new Option(label(h), h.row, false, h.row === state.row)));
  at("los").value = state.los;
  return draw();
}

async function start() {
  const asked = new URLSearchParams(location.search);
  const given = await fetch("config.json").then((r) => (r.ok ? r.json() : {})).catch(() => ({}));
  const address = asked.get("store") || given.store;
  if (!address) throw new Error("no store is named: add ?store=URL to the address, or start it with three-hundred-maps explore STORE");
  const named = (what, where) => (error) => {
    throw new Error(`${what} at ${where}: ${(error.cause || error).message}`);
  };
  store = await MapStore.open(address).catch(named("store", address));
  const predicted = asked.get("predictions") || given.predictions;
  several = new Set(Object.values(store.splits).flatMap((rows) => rows.map((h) => h.simulation))).size > 1;
  if (predicted) predictions = await Predictions.open(predicted).catch(named("predictions", predicted));
  if (several && predictions?.by === "name") throw new Error("the predictions do not say of which simulation their clusters are");
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
    if (modified(event)) return;
    const change = { ArrowRight: { los: state.los + 1 }, ArrowLeft: { los: state.los - 1 }, ArrowDown: { row: state.row + 1 }, ArrowUp: { row: state.row - 1 } }[event.key];
    if (!change) return;
    event.preventDefault();
    choose(change);
  });
  if (store.attrs.observed) at("circles").nextSibling.textContent = " the observer's R200c and R500c";
  at("controls").hidden = false;
  addEventListener("hashchange", () => choose(linked()));
  await choose(linked());
}

// What the address names, as far as the store has it.
function linked() {
  const link = new URLSearchParams(location.hash.slice(1));
  const split = Object.hasOwn(store.splits, link.get("split")) ? link.get("split") : store.splits.test ? "test" : Object.keys(store.splits)[0];
  const row = Math.max(0, store.splits[split].findIndex((h) => link.get("halo") === h.key || link.get("halo") === h.name));
  return { split, row, los: Math.trunc(link.get("los")) || 0 };
}

start().catch((error) => report(`Nothing can be shown: ${error.message}`, true));
