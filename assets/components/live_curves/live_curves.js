// Small-multiple training curves on canvas. One view per mount: zoom, hover and open notes live in it, so new data changes the
// lines and nothing else. Text goes through textContent only.

import { markTheme } from "../shared/colours.js";
import { element, setAll, shape } from "../shared/elements.js";
import { mountView } from "../shared/mounting.js";
import { readable, tickText } from "../shared/numbers.js";
import { clamp, extent, indexAt, scale, ticksAround } from "../shared/scales.js";

export default function (component) {
  return mountView(component, ".curves", createCurves, update);
}

const MARGIN = { left: 46, right: 10, top: 8, bottom: 22 };

function createCurves(view) {
  Object.assign(view, {
    grid: view.at(".grid"),
    tiles: [],
    zoom: null, // [from, to] in steps, null = all
    hovered: null, // step under the crosshair, null = none
    hoveredTile: null,
    drag: null, // [from, to] in steps while the pointer is down
    frame: 0,
  });
  view.draw = () => {
    if (!view.frame) view.frame = requestAnimationFrame(() => paint(view));
  };
  view.at(".reset").onclick = () => setZoom(view, null);
  view.resize = new ResizeObserver(view.draw);
  view.resize.observe(view.grid);
  view.leave = () => cancelAnimationFrame(view.frame);
}

function update(view, data) {
  const layout = JSON.stringify([
    data.charts.map((chart) => chart.metrics.map((metric) => [metric.name, runsWith(data, metric).length])),
    data.runs.map((run) => run.id),
  ]);
  const theme = readTheme(view.root);
  if (view.layout === layout && view.version === data.version && view.theme?.id === theme.id) return;
  view.data = data;
  view.version = data.version;
  view.theme = theme;
  if (view.layout !== layout) {
    view.layout = layout;
    buildLegend(view);
    buildTiles(view);
  }
  fillNotes(view);
  view.draw();
}

function setZoom(view, zoom) {
  view.zoom = zoom;
  view.at(".reset").hidden = !zoom;
  view.draw();
}

// --- elements --------------------------------------------------------------------------------------------------------

function buildLegend(view) {
  const item = (run) => styled(run, element("li", "", swatch(run), element("span", "", run.name)));
  view.at(".legend").replaceChildren(...view.data.runs.map(item));
}

// In the hue of the run's rule.
function styled(run, node) {
  node.dataset.style = run.style;
  return node;
}

function swatch(run) {
  const dash = (run.dash ?? []).join(" ");
  const line = shape("path", { d: "M0 2H40", stroke: "currentColor", "stroke-width": 3, "stroke-dasharray": dash });
  return shape("svg", { class: "swatch", viewBox: "0 0 40 4", "aria-hidden": "true" }, line);
}

// A rule that Python sent no hue for is drawn in the colour of the text.
function hueOf(view, run) {
  return run.hues?.[view.root.dataset.theme] ?? view.theme.ink;
}

function buildTiles(view) {
  view.grid.classList.toggle("crowded", view.data.runs.length > 2);
  view.tiles = view.data.charts.map((chart) => buildTile(view, chart));
  view.grid.replaceChildren(...view.tiles.map((tile) => tile.node));
}

function buildTile(view, chart) {
  const tile = { chart, values: [], info: infoButton(chart.title) };
  const unit = chart.unit ? element("span", "unit", chart.unit) : "";
  const title = element("div", "title", element("h3", "", chart.title), unit, tile.info, valueGroups(view, tile));
  tile.canvas = setAll(element("canvas", "plot"), { tabindex: 0, role: "img" });
  tile.note = setAll(element("div", "note"), { hidden: "", role: "region", "aria-label": `About ${chart.title}` });
  tile.node = element("article", "tile", title, tile.canvas, tile.note);
  listenToInfo(view, tile);
  listenToCanvas(view, tile);
  return tile;
}

function infoButton(title) {
  const mark = shape("path", {
    d: "M8 1.2a6.8 6.8 0 1 1 0 13.6A6.8 6.8 0 0 1 8 1.2M8 7.2v4.2M8 4.4v.4", fill: "none", stroke: "currentColor",
    "stroke-width": 1.5, "stroke-linecap": "round",
  });
  const button = element("button", "info", shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, mark));
  return setAll(button, { type: "button", "aria-label": `What ${title} means`, "aria-expanded": "false" });
}

// The runs that have a metric: what was kept and the last update stand only where they differ from all and the mean.
function runsWith(data, metric) {
  return data.runs.filter((run) => metric.name in run.series);
}

// One group a metric ("sampled 71 % 69 %"), one coloured number a run.
function valueGroups(view, tile) {
  const { chart } = tile;
  const box = element("div", "values");
  for (const metric of chart.metrics) {
    const group = element("span", "group");
    if (metric.short) group.append(element("span", "group-label", `${metric.open ? "○" : "●"} ${metric.short}`));
    for (const run of runsWith(view.data, metric)) {
      const value = styled(run, element("span", "value"));
      group.append(value);
      tile.values.push({ node: value, metric, run: run.id });
    }
    box.append(group);
  }
  return box;
}

function fillNotes(view) {
  for (const tile of view.tiles) {
    const parts = tile.chart.metrics.map((metric) => noteOf(view, metric));
    const text = JSON.stringify(parts);
    if (tile.noteText === text) continue;
    tile.noteText = text;
    const close = tile.note.querySelector(".close") ?? closeButton(view, tile);
    tile.note.replaceChildren(...parts.flatMap(noteElements), close);
  }
}

function noteOf(view, metric) {
  const now = runsWith(view.data, metric).map((run) => ({ style: run.style, name: run.name, ...run.notes[metric.name] }));
  return { label: metric.label, definition: metric.definition, expected: metric.expected, now };
}

function noteElements(part) {
  const remarks = sameRemarks(part.now).map((runs) => {
    const line = element("p", "now");
    const said = (run) => `${run.name} ${run.value}${run === runs.at(-1) ? ": " : ", "}`;
    line.append(...runs.map((run) => styled(run, element("strong", "", said(run)))), runs[0].remark);
    return line;
  });
  const expected = element("p", "expected", `Expected: ${part.expected}`);
  return [element("h4", "", part.label), element("p", "", part.definition), expected, ...remarks];
}

// Runs of which the same is to be said share one line.
function sameRemarks(now) {
  const groups = new Map();
  for (const run of now) groups.set(run.remark, [...(groups.get(run.remark) ?? []), run]);
  return [...groups.values()];
}

function closeButton(view, tile) {
  const close = setAll(element("button", "close", "×"), { type: "button", "aria-label": "Close" });
  close.onclick = () => toggleNote(view, tile, false);
  return close;
}

function listenToInfo(view, tile) {
  tile.info.onclick = () => toggleNote(view, tile, tile.note.hidden);
  tile.node.onkeydown = (event) => {
    if (event.key === "Escape" && !tile.note.hidden) {
      event.stopPropagation();
      toggleNote(view, tile, false);
    }
  };
}

function toggleNote(view, tile, show) {
  for (const other of view.tiles) {
    other.note.hidden = true;
    other.info.setAttribute("aria-expanded", "false");
  }
  if (!show) {
    tile.info.focus();
    return;
  }
  tile.note.hidden = false;
  tile.info.setAttribute("aria-expanded", "true");
  tile.note.classList.remove("from-right", "above");
  const page = view.root.getBoundingClientRect();
  if (tile.note.getBoundingClientRect().right > page.right + 12) tile.note.classList.add("from-right");
  const fits = tile.note.offsetHeight < tile.node.offsetTop + 20;
  if (tile.note.getBoundingClientRect().bottom > page.bottom + 12 && fits) tile.note.classList.add("above");
}

// --- pointer and keyboard --------------------------------------------------------------------------------------------

function listenToCanvas(view, tile) {
  const { canvas } = tile;
  canvas.onpointermove = (event) => {
    const step = stepAt(view, canvas, event);
    view.hovered = step;
    view.hoveredTile = tile;
    if (view.drag) view.drag[1] = step;
    view.draw();
  };
  canvas.onpointerdown = (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const step = stepAt(view, canvas, event);
    view.drag = [step, step];
  };
  canvas.onpointerup = () => {
    const [from, to] = (view.drag ?? [0, 0]).toSorted((a, b) => a - b);
    view.drag = null;
    if (to - from >= 2) setZoom(view, [from, to]);
    else view.draw();
  };
  canvas.onpointercancel = () => {
    view.drag = null;
    view.draw();
  };
  canvas.onpointerleave = () => {
    if (view.drag) return;
    view.hovered = null;
    view.draw();
  };
  canvas.ondblclick = () => setZoom(view, null);
  canvas.onblur = canvas.onpointerleave;
  canvas.onkeydown = (event) => moveByKey(view, tile, event);
}

function moveByKey(view, tile, event) {
  const [low, high] = range(view);
  const last = Math.min(high, lastStep(view));
  const current = view.hovered ?? last;
  const moves = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: low, End: last };
  if (event.key === "Escape") {
    view.hovered = null;
    setZoom(view, null);
  } else if (event.key in moves) {
    view.hovered = clamp(moves[event.key], low, high);
    view.hoveredTile = tile;
    view.draw();
  } else return;
  event.preventDefault();
}

function lastStep(view) {
  return Math.max(0, ...view.data.runs.map((run) => run.last_step ?? 0));
}

function range(view) {
  return view.zoom ?? [0, Math.max(1, view.data.x_max)];
}

function stepAt(view, canvas, event) {
  const box = canvas.getBoundingClientRect();
  const [low, high] = range(view);
  const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
  return Math.round(low + clamp(share, 0, 1) * (high - low));
}

// --- drawing ---------------------------------------------------------------------------------------------------------

function readTheme(root) {
  const probe = element("span", "probe");
  root.append(probe);
  const resolve = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  markTheme(root);
  const theme = {
    paper: resolve("--paper"),
    ink: resolve("--ink"),
    muted: resolve("--muted"),
    rule: resolve("--rule"),
    font: getComputedStyle(root).fontFamily,
  };
  probe.remove();
  theme.id = Object.values(theme).join();
  return theme;
}

function paint(view) {
  view.frame = 0;
  if (!view.data) return;
  showStatus(view);
  for (const tile of view.tiles) {
    paintTile(view, tile);
    showValues(view, tile);
  }
  view.root.dataset.drawn = lastStep(view); // canvases cannot be asked what they show
}

function showStatus(view) {
  const { hovered, zoom } = view;
  const where = zoom ? `Steps ${zoom[0]} to ${zoom[1]}` : "Drag over a chart to zoom, double-click to see all";
  view.at(".status").textContent = hovered === null ? where : `Step ${hovered}`;
  view.root.dataset.hover = hovered === null ? "" : "yes"; // a tour waits for it
}

function linesOf(view, tile) {
  return tile.chart.metrics.flatMap((metric) =>
    runsWith(view.data, metric).map((run) => ({ metric, run, ...run.series[metric.name] })),
  );
}

function paintTile(view, tile) {
  const { canvas } = tile;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width || !height) return;
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const lines = linesOf(view, tile);
  const frame = frameOf(view, tile, lines, width, height);
  paintAxes(context, view, tile, frame);
  context.save();
  context.beginPath();
  context.rect(frame.left - 5, 0, frame.right - frame.left + 10, frame.bottom + 4);
  context.clip();
  if (view.drag) paintDrag(context, view, frame);
  for (const line of lines) paintLine(context, view, frame, line);
  context.restore();
  if (view.hovered !== null) paintCrosshair(context, view, tile, frame, lines);
}

// Plot area, x and y scales. The y range covers what is visible, widened to round ticks so that it seldom moves.
function frameOf(view, tile, lines, width, height) {
  const [low, high] = range(view);
  const area = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
  const ticks = yTicks(tile.chart, lines, low, high);
  return {
    ...area,
    low,
    high,
    ticks,
    x: scale(low, high, area.left, area.right),
    y: scale(ticks[0], ticks.at(-1), area.bottom, area.top),
  };
}

function yTicks(chart, lines, low, high) {
  if (chart.domain) return ticksAround(...chart.domain);
  const seen = lines.flatMap(({ steps, values }) => values.filter((_, i) => steps[i] >= low && steps[i] <= high));
  let [min, max] = extent(chart.from_zero ? [0, ...seen] : seen);
  if (min > max) return [0, 1];
  const centre = (min + max) / 2;
  const least = Math.max(chart.least_span ?? 0, Math.abs(centre) * 1e-6, 1e-9);
  if (max - min < least) [min, max] = min >= 0 && min < least ? [0, least] : [centre - least / 2, centre + least / 2];
  return ticksAround(min, max);
}

function paintAxes(context, view, tile, frame) {
  const { theme } = view;
  context.font = `13px ${theme.font}`;
  context.lineWidth = 1;
  context.fillStyle = theme.muted;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const tick of frame.ticks) {
    const y = Math.round(frame.y(tick)) + 0.5;
    context.strokeStyle = theme.rule;
    context.beginPath();
    context.moveTo(frame.left, y);
    context.lineTo(frame.right, y);
    context.stroke();
    context.fillText(tickText(tick, frame.ticks, tile.chart.metrics[0].percent), frame.left - 6, y);
  }
  context.textBaseline = "alphabetic";
  const baseline = frame.bottom + 17;
  const middle = Math.round((frame.low + frame.high) / 2);
  for (const [step, align] of [[frame.low, "left"], [middle, "center"], [frame.high, "right"]]) {
    context.textAlign = align;
    context.fillText(String(step), frame.x(step), baseline);
  }
}

function paintLine(context, view, frame, { metric, run, steps, values }) {
  const colour = hueOf(view, run);
  context.strokeStyle = colour;
  context.lineWidth = metric.open ? 1.5 : 2.25;
  context.lineJoin = "round";
  context.setLineDash(run.dash ?? []);
  context.beginPath();
  let connected = false;
  for (let i = 0; i < steps.length; i++) {
    if (values[i] === null) connected = false;
    else if (connected) context.lineTo(frame.x(steps[i]), frame.y(values[i]));
    else {
      context.moveTo(frame.x(steps[i]), frame.y(values[i]));
      connected = true;
    }
  }
  context.stroke();
  context.setLineDash([]);
  for (let i = 0; i < steps.length; i++) {
    if (values[i] === null || steps[i] < frame.low || steps[i] > frame.high) continue;
    const alone = (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null;
    const newest = i === steps.length - 1;
    if (metric.sparse || alone || newest) paintDot(context, view, frame, colour, steps[i], values[i], metric.open);
  }
}

function paintDot(context, view, frame, colour, step, value, open, radius = 3.5) {
  context.beginPath();
  context.arc(frame.x(step), frame.y(value), radius, 0, 2 * Math.PI);
  context.fillStyle = open ? view.theme.paper : colour;
  context.fill();
  context.strokeStyle = colour;
  context.lineWidth = 1.75;
  context.stroke();
}

function paintDrag(context, view, frame) {
  const [a, b] = view.drag.map(frame.x);
  context.fillStyle = view.theme.rule;
  context.fillRect(Math.min(a, b), frame.top, Math.abs(b - a), frame.bottom - frame.top);
}

function paintCrosshair(context, view, tile, frame, lines) {
  const x = Math.round(frame.x(view.hovered)) + 0.5;
  if (x < frame.left - 1 || x > frame.right + 1) return;
  context.strokeStyle = view.theme.muted;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, frame.top);
  context.lineTo(x, frame.bottom);
  context.stroke();
  for (const { metric, run, steps, values } of lines) {
    const at = indexAt(steps, view.hovered);
    if (at < 0 || values[at] === null || steps[at] < frame.low) continue;
    paintDot(context, view, frame, hueOf(view, run), steps[at], values[at], metric.open, 4.5);
  }
  if (tile === view.hoveredTile) paintStepLabel(context, view, frame, x);
}

function paintStepLabel(context, view, frame, x) {
  const text = String(view.hovered);
  context.font = `600 13px ${view.theme.font}`;
  const half = context.measureText(text).width / 2 + 6;
  const centre = clamp(x, frame.left + half - 8, frame.right - half + MARGIN.right);
  context.fillStyle = view.theme.ink;
  context.beginPath();
  context.roundRect(centre - half, frame.bottom + 3, 2 * half, 19, 4);
  context.fill();
  context.fillStyle = view.theme.paper;
  context.textAlign = "center";
  context.fillText(text, centre, frame.bottom + 17);
}

function showValues(view, tile) {
  const spoken = [];
  for (const { node, metric, run: id } of tile.values) {
    const run = view.data.runs.find((candidate) => candidate.id === id);
    const { steps, values } = run.series[metric.name];
    const at = view.hovered === null ? steps.length - 1 : indexAt(steps, view.hovered);
    node.textContent = at < 0 || values[at] === null ? "–" : readable(values[at], metric.percent, 0);
    spoken.push(`${run.name} ${metric.label} ${node.textContent}`);
  }
  tile.canvas.setAttribute("aria-label", `${tile.chart.title}: ${spoken.join(", ")}`);
}
