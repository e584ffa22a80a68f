// One solution under every saved policy of its run: steps x tokens heat map, the scrubbed step as text, its value curve.
//
// Python sends all numbers once (views.film_payload); scrubbing, playing and changing the lens happen here. Python hears,
// 150 ms later and never while it plays, what was selected: {step, token, lens}, only what was changed here.

import { paintSign } from "../shared/colours.js";
import { path, valueScale, yAxis } from "../shared/drawing.js";
import { element, label, level, shape } from "../shared/elements.js";
import {
  axisOfTokens, decimalsOf, fillPicker, legendOf, legendSigns, lensOf, minus, seriesOf, stepMarks, tokenNames, tokenText,
} from "../shared/lenses.js";
import { followPython, mountView, reportSoon, watchWidth } from "../shared/mounting.js";
import { fromWhole, short, signed } from "../shared/numbers.js";
import { offerToSave } from "../shared/save_figure.js";
import { clamp, scale } from "../shared/scales.js";
import { renderStrip } from "../shared/token_strip.js";

const WHOLE_FILM_MS = 6000;
const BESIDE = { left: 52, right: 14, top: 10, bottom: 34 };
const ROWS = { height: 330, least: 4, most: 26 };
const MARKED_FROM = 11; // px of a row: below, marks would hide the colour
const CURVE_HEIGHT = 250;
const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");

export default function (component) {
  return mountView(component, ".film-strip", createFilm, updateFilm);
}

// --- state ---------------------------------------------------------------------------------------------------------

function createFilm(view) {
  const { root, at } = view;
  Object.assign(view, { playing: 0, changed: new Set() });
  at("select").addEventListener("change", (event) => choose(view, { lens: event.target.value }));
  at("input").addEventListener("input", (event) => {
    pause(view);
    choose(view, { step: view.data.frames[Number(event.target.value)].step });
  });
  at(".play").addEventListener("click", () => (view.playing ? pause(view) : play(view)));
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && view.playing) pause(view);
  });
  listenToMap(view, at(".map .plot"));
  for (const place of root.querySelectorAll(".save")) {
    offerToSave(place, root, () => figureOf(view, place.dataset.figure));
  }
  watchWidth(view, at(".map .plot"), () => drawFilm(view));
  view.leave = () => clearInterval(view.playing);
}

function updateFilm(view, data) {
  const isNew = view.version !== data.version;
  view.data = data;
  const chosen = {};
  for (const name of ["step", "token", "lens"]) chosen[name] = followPython(view, name, data[name], isNew);
  if (!isNew && Object.entries(chosen).every(([name, value]) => view[name] === value)) return;
  Object.assign(view, chosen);
  view.token = clamp(view.token, 0, data.text.length - 1);
  if (!isNew) {
    showFilm(view, true);
    return;
  }
  pause(view);
  view.version = data.version;
  view.at("input").max = data.frames.length - 1;
  fillPicker(view.at("select"), frameData(view, 0));
  drawFilm(view);
}

function choose(view, changes) {
  const isLens = "lens" in changes;
  for (const [name, value] of Object.entries(changes)) {
    if (view[name] === value) continue;
    view[name] = value;
    view.changed.add(name);
  }
  showFilm(view, isLens);
  if (!view.playing) reportFilm(view);
}

function reportFilm(view) {
  if (view.changed.size) reportSoon(view, () => Object.fromEntries([...view.changed].map((name) => [name, view[name]])));
}

function play(view) {
  const { frames } = view.data;
  if (frameOf(view) === frames.length - 1) choose(view, { step: frames[0].step });
  const pause_ms = CALM.matches ? 1200 : clamp(WHOLE_FILM_MS / frames.length, 180, 700);
  clearTimeout(view.timer);
  view.playing = setInterval(() => {
    const next = frameOf(view) + 1;
    if (next < frames.length) choose(view, { step: frames[next].step });
    if (next >= frames.length - 1) pause(view);
  }, pause_ms);
  showPlay(view);
  view.at(".map .plot").scrollIntoView({ block: "nearest" }); // what plays is seen
}

function pause(view) {
  const wasPlaying = Boolean(view.playing);
  clearInterval(view.playing);
  view.playing = 0;
  showPlay(view);
  if (wasPlaying) {
    showReadout(view);
    reportFilm(view);
  }
}

function showPlay(view) {
  view.at(".play").textContent = view.playing ? "❚❚ Pause" : "▶ Play";
  view.at(".map .readout").setAttribute("aria-live", view.playing ? "off" : "polite");
}

// --- numbers -------------------------------------------------------------------------------------------------------

function frameOf(view) {
  return Math.max(0, view.data.frames.findIndex((frame) => frame.step === view.step));
}

function frameData(view, index) {
  return { ...view.data, arrays: view.data.frames[index].arrays };
}

function rewardOf(data) {
  return fromWhole(data.reward, data.decimals.reward);
}

// V is coloured by its distance from R: without credit it is R everywhere.
function centreOf(data, lens) {
  return lens.key === "values_from_end" ? rewardOf(data) : 0;
}

// --- drawing -------------------------------------------------------------------------------------------------------

function drawFilm(view) {
  const { data } = view;
  const plot = view.at(".map .plot");
  view.width = plot.clientWidth;
  if (!view.width) return;
  view.map = buildMap(view, view.width);
  plot.replaceChildren(view.map.svg);
  view.curve = buildFilmCurve(view, view.at(".curve .plot").clientWidth);
  view.at(".curve .plot").replaceChildren(view.curve.svg);
  view.at(".curve figcaption").replaceChildren(
    "Value ", element("i", "", "V"), element("sub", "", "t"), " of each prefix, ",
    element("span", "key key-start", "end-anchored, R added"), " ", element("span", "key key-end", "the other steps"),
  );
  view.at(".curve .readout").textContent = data.has_group
    ? "Counted back from the reward R: a solution that is scored again has no group to start from at the other steps."
    : "Counted back from the reward R: a solution of its own has no group to start from.";
  showFilm(view, true);
}

function columnsOf(data, width) {
  return scale(0, Math.max(1, data.text.length), BESIDE.left, width - BESIDE.right);
}

function buildMap(view, width) {
  const { data } = view;
  const count = data.frames.length;
  const rowHeight = clamp(ROWS.height / count, ROWS.least, ROWS.most);
  const x = columnsOf(data, width);
  const y = (row) => BESIDE.top + rowHeight * row;
  const [right, bottom] = [x(data.text.length), y(count)];
  const height = bottom + BESIDE.bottom;
  const svg = shape("svg", { width, height, role: "img" });
  const size = { width: x(1) - x(0), height: rowHeight };
  const cells = data.frames.map((_, row) =>
    data.text.map((_, t) => shape("rect", { class: "cell", x: x(t), y: y(row), ...size })),
  );
  const marks = ["plus", "minus"].map((name) => shape("path", { class: `marks marks-${name}` }));
  const rowNow = shape("rect", { class: "row-now", x: x(0) - 1, width: right - x(0) + 2, height: rowHeight });
  const columnNow = shape("rect", { class: "column-now", y: y(0), width: size.width, height: bottom - y(0) });
  const names = stepNames(data, rowHeight, y);
  const wrong = data.first_wrong === null
    ? []
    : [level("column-wrong", x(data.first_wrong), x(data.first_wrong + 1), bottom + 2)];
  svg.append(
    ...cells.flat(), ...marks,
    shape("rect", { class: "map-frame", x: x(0), y: y(0), width: right - x(0), height: bottom - y(0) }),
    ...stepMarks(data, x, y(0), bottom),
    columnNow, rowNow, ...names.values(), ...wrong, ...tokenNames(data, x, bottom + 20),
  );
  return { svg, x, y, rowHeight, cells, marks, rowNow, columnNow, names };
}

// Step labels beside the rows, as many as have room; the last one always.
function stepNames(data, rowHeight, y) {
  const every = Math.ceil(16 / rowHeight);
  const last = data.frames.length - 1;
  const names = new Map();
  data.frames.forEach((frame, row) => {
    if (row !== last && (row % every || last - row < every)) return;
    names.set(row, label(BESIDE.left - 10, y(row) + rowHeight / 2 + 5, String(frame.step), "tick", "end"));
  });
  return names;
}

function buildFilmCurve(view, width) {
  const { data } = view;
  const values = data.frames.map((frame) => frame.arrays.values_from_end?.map((u) => fromWhole(u, data.decimals.reward)) ?? []);
  const reward = rewardOf(data);
  const height = Math.max(CURVE_HEIGHT, Number(view.map.svg.getAttribute("height")));
  const x = columnsOf(data, width);
  const count = data.text.length;
  const y = valueScale([...values.flat(), reward, 0, 1], height - BESIDE.bottom, BESIDE.top);
  const svg = shape("svg", { width, height, role: "img" });
  const now = shape("path", { class: "now-line" });
  const band = shape("rect", {
    class: "band selection", y: BESIDE.top, width: Math.max(3, x(1) - x(0)), height: height - BESIDE.top - BESIDE.bottom, rx: 3,
  });
  svg.append(
    ...yAxis(x, y, y.low, y.high, count), band,
    ...stepMarks(data, x, BESIDE.top, height - BESIDE.bottom),
    level("baseline", x(0), x(count), y(reward)),
    label(x(0) + 6, y(reward) + (reward < 0.5 ? -7 : 18), `reward R = ${short(reward, 3)}`, "tick", "start"),
    ...values.map((line) => shape("path", { class: "ghost-line", d: path(x, y, line) })),
    now, ...tokenNames(data, x, height - BESIDE.bottom + 20),
  );
  return { svg, x, y, values, now, band };
}

// --- what is selected ----------------------------------------------------------------------------------------------

function showFilm(view, isRepainted) {
  if (!view.map) return;
  const { data, map, curve } = view;
  const lens = lensOf(data, view.lens);
  if (isRepainted) paintMap(view, lens);
  const row = frameOf(view);
  view.at("input").value = row;
  view.at("input").setAttribute("aria-valuetext", `step ${view.step}`);
  view.at(".at-step").textContent = `step ${view.step} of ${data.frames.at(-1).step}`;
  map.rowNow.setAttribute("y", map.y(row));
  map.columnNow.setAttribute("x", map.x(view.token));
  for (const [at, name] of map.names) name.setAttribute("class", at === row ? "tick now" : "tick");
  curve.now.setAttribute("d", path(curve.x, curve.y, curve.values[row]));
  curve.band.setAttribute("x", curve.x(view.token));
  curve.svg.setAttribute("aria-label", `Value of each prefix at step ${view.step}, end-anchored`);
  showStrip(view, lens, row);
  showReadout(view);
}

function paintMap(view, lens) {
  const { data, map } = view;
  const [max, centre] = [data.scales[lens.scale], centreOf(data, lens)];
  const feet = { "+": "", "-": "" };
  const isMarked = map.rowHeight >= MARKED_FROM;
  data.frames.forEach((_, row) => {
    const series = seriesOf(frameData(view, row), lens.key);
    map.cells[row].forEach((cell, t) => {
      const sign = paintSign(cell, series && minus(series[t], centre), { max, signed: lens.signed });
      if (isMarked && sign in feet) feet[sign] += `M${map.x(t) + 2},${map.y(row + 1) - 2}H${map.x(t + 1) - 2}`;
    });
  });
  map.marks[0].setAttribute("d", feet["+"]);
  map.marks[1].setAttribute("d", feet["-"]);
  map.svg.setAttribute("aria-label", `${lens.label} of ${data.text.length} tokens at ${data.frames.length} steps`);
  view.at("select").value = lens.key;
  view.at(".lens-help").textContent = lens.help;
  view.at(".map figcaption").textContent = `${lens.label} ${lens.symbol} by training step, a row each, and token`;
  drawFilmLegend(view, lens);
}

function showStrip(view, lens, row) {
  const { data } = view;
  const series = seriesOf(frameData(view, row), lens.key);
  const centre = centreOf(data, lens);
  renderStrip(view.at(".strip-host"), {
    label: `Step ${view.step}, ${lens.label}`, text: data.text, units: data.units, lineStarts: data.line_starts,
    values: series && series.map((v) => minus(v, centre)), shown: series, firstWrong: data.first_wrong,
    note: data.note, layout: "flow", interactive: false, small: false,
  }, { max: data.scales[lens.scale], signed: lens.signed, unit: lens.unit, decimals: decimalsOf(data, lens) });
}

function showReadout(view) {
  const { data } = view;
  const { row, t } = view.hovered ?? { row: frameOf(view), t: view.token };
  const lens = lensOf(data, view.lens);
  const series = seriesOf(frameData(view, row), lens.key);
  view.at(".map .readout").replaceChildren(
    `step ${data.frames[row].step}, token #${t} `, tokenText(data.text[t]), ` ${lens.label} `,
    element("b", "", series ? signed(series[t], decimalsOf(data, lens)) : "not recorded"), lens.unit ? ` ${lens.unit}` : "",
  );
}

function drawFilmLegend(view, lens) {
  const { data } = view;
  const max = data.scales[lens.scale];
  const isValue = lens.key === "values_from_end";
  const parts = [legendOf(max, lens.signed, isValue ? "R" : "0")];
  if (max && lens.signed) {
    parts.push(isValue ? legendSigns("above R", "below it") : legendSigns("positive", "negative"));
  } else if (max) {
    parts.push(element("span", "", "darker is further from 0"));
  }
  if (data.first_wrong !== null) parts.push(element("span", "sample sample-wrong", "first wrong token"));
  parts.push(element("span", "legend-unit", `${lens.unit ? `In ${lens.unit}; one` : "One"} scale for all steps.`));
  view.at(".legend").replaceChildren(...parts);
}

// --- figures as files ------------------------------------------------------------------------------------------------

function figureOf(view, which) {
  const { data } = view;
  if (!view[which]) return null;
  const found = { name: `film-${which}-${view.lens}`, about: data.about };
  const under = axisOfTokens(data);
  const caption = view.at(`.${which} figcaption`);
  if (which === "curve") {
    const plot = { node: view.curve.svg, over: "value, in reward", under };
    return { ...found, heading: `Value of each prefix under the policy of step ${view.step}`, parts: [caption, plot] };
  }
  const map = { node: view.map.svg, over: "training step, a row each", under };
  return {
    ...found,
    heading: `${lensOf(data, view.lens).label} under every saved policy; the tokens as at step ${view.step}`,
    parts: [view.at(".strip-host"), map, view.at(".legend")],
  };
}

// --- pointer and keys ----------------------------------------------------------------------------------------------

function listenToMap(view, plot) {
  const cellAt = (event) => {
    if (!view.map) return null;
    const box = plot.getBoundingClientRect();
    const { map, data } = view;
    const t = Math.floor((event.clientX - box.left - map.x(0)) / (map.x(1) - map.x(0)));
    const row = Math.floor((event.clientY - box.top - map.y(0)) / map.rowHeight);
    return t < 0 || t >= data.text.length || row < 0 || row >= data.frames.length ? null : { row, t };
  };
  plot.addEventListener("pointermove", (event) => {
    view.hovered = cellAt(event);
    if (view.map) showReadout(view);
  });
  plot.addEventListener("pointerleave", () => {
    view.hovered = null;
    if (view.map) showReadout(view);
  });
  plot.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (!cell) return;
    pause(view);
    choose(view, { step: view.data.frames[cell.row].step, token: cell.t });
  });
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    pause(view);
    view.hovered = null;
    const row = clamp(frameOf(view) + move[0], 0, view.data.frames.length - 1);
    choose(view, { step: view.data.frames[row].step, token: clamp(view.token + move[1], 0, view.data.text.length - 1) });
  });
}
