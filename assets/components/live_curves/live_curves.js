// Small-multiple training curves on canvas. One view per mount: zoom, hover and open notes live in it, so new data changes the
// lines and nothing else. Text goes through textContent only.


const views = new WeakMap();

export default function ({ data: [data], parentElement }) {
  const root = parentElement.querySelector(".curves");
  let view = views.get(root);
  if (!view) {
    view = createView(root);
    views.set(root, view);
  }
  view.update(data);
  return view.destroy;
}

const MARGIN = { left: 46, right: 10, top: 8, bottom: 22 };
const SVG = "http://www.w3.org/2000/svg";

function createView(root) {
  const view = {
    root,
    grid: root.querySelector(".grid"),
    legend: root.querySelector(".legend"),
    status: root.querySelector(".status"),
    reset: root.querySelector(".reset"),
    tiles: [],
    data: null,
    zoom: null, // [from, to] in steps, null = all
    hover: null, // step under the crosshair, null = none
    hoverTile: null,
    drag: null, // [from, to] in steps while the pointer is down
    frame: 0,
  };
  view.draw = () => {
    if (!view.frame) view.frame = requestAnimationFrame(() => paint(view));
  };
  view.reset.onclick = () => setZoom(view, null);
  const observer = new ResizeObserver(view.draw);
  observer.observe(view.grid);
  view.update = (data) => update(view, data);
  view.destroy = () => {
    observer.disconnect();
    cancelAnimationFrame(view.frame);
    views.delete(root);
  };
  return view;
}

function update(view, data) {
  const layout = data.charts.map((chart) => chart.id).join() + data.runs.map((run) => run.id).join();
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
  view.reset.hidden = !zoom;
  view.draw();
}

// --- elements --------------------------------------------------------------------------------------------------------

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function buildLegend(view) {
  view.legend.replaceChildren(
    ...view.data.runs.map((run) => {
      const item = element("li");
      item.dataset.style = run.style;
      item.append(swatch(run), element("span", "", run.name));
      return item;
    }),
  );
}

function swatch(run) {
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("class", "swatch");
  icon.setAttribute("viewBox", "0 0 40 4");
  icon.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", "M0 2H40");
  line.setAttribute("stroke", "currentColor");
  line.setAttribute("stroke-width", "3");
  line.setAttribute("stroke-dasharray", (run.dash ?? []).join(" "));
  icon.append(line);
  return icon;
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
  const tile = { chart, node: element("article", "tile"), values: [] };
  const title = element("div", "title");
  tile.info = infoButton(chart.title);
  const unit = chart.unit ? element("span", "unit", chart.unit) : "";
  title.append(element("h3", "", chart.title), unit, tile.info, valueGroups(view, tile));
  tile.canvas = element("canvas", "plot");
  tile.canvas.tabIndex = 0;
  tile.canvas.setAttribute("role", "img");
  tile.note = element("div", "note");
  tile.note.hidden = true;
  tile.note.setAttribute("role", "region");
  tile.note.setAttribute("aria-label", `About ${chart.title}`);
  tile.node.append(title, tile.canvas, tile.note);
  listenToInfo(view, tile);
  listenToCanvas(view, tile);
  return tile;
}

function infoButton(title) {
  const button = element("button", "info");
  button.type = "button";
  button.setAttribute("aria-label", `What ${title} means`);
  button.setAttribute("aria-expanded", "false");
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("viewBox", "0 0 16 16");
  icon.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M8 1.2a6.8 6.8 0 1 1 0 13.6A6.8 6.8 0 0 1 8 1.2M8 7.2v4.2M8 4.4v.4");
  path.setAttribute("fill", "none");
  path.setAttribute("stroke", "currentColor");
  path.setAttribute("stroke-width", "1.5");
  path.setAttribute("stroke-linecap", "round");
  icon.append(path);
  button.append(icon);
  return button;
}

// One group a metric ("sampled 71 % 69 %"), one coloured number a run.
function valueGroups(view, tile) {
  const { chart } = tile;
  const box = element("div", "values");
  for (const metric of chart.metrics) {
    const group = element("span", "group");
    if (metric.short) group.append(element("span", "group-label", `${metric.open ? "○" : "●"} ${metric.short}`));
    for (const run of view.data.runs) {
      const value = element("span", "value");
      value.dataset.style = run.style;
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
  const now = view.data.runs.map((run) => ({ style: run.style, name: run.name, ...run.notes[metric.name] }));
  return { label: metric.label, definition: metric.definition, expected: metric.expected, now };
}

function noteElements(part) {
  const remarks = sameRemarks(part.now).map((runs) => {
    const line = element("p", "now");
    for (const run of runs) {
      const head = element("strong", "", `${run.name} ${run.value}${run === runs.at(-1) ? ": " : ", "}`);
      head.dataset.style = run.style;
      line.append(head);
    }
    line.append(runs[0].remark);
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
  const close = element("button", "close", "×");
  close.type = "button";
  close.setAttribute("aria-label", "Close");
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
  if (!show) return tile.info.focus();
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
    view.hover = step;
    view.hoverTile = tile;
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
    view.hover = null;
    view.draw();
  };
  canvas.ondblclick = () => setZoom(view, null);
  canvas.onblur = canvas.onpointerleave;
  canvas.onkeydown = (event) => moveByKey(view, tile, event);
}

function moveByKey(view, tile, event) {
  const [low, high] = range(view);
  const last = Math.min(high, lastStep(view));
  const current = view.hover ?? last;
  const moves = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: low, End: last };
  if (event.key === "Escape") {
    view.hover = null;
    setZoom(view, null);
  } else if (event.key in moves) {
    view.hover = Math.max(low, Math.min(high, moves[event.key]));
    view.hoverTile = tile;
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
  return Math.round(low + Math.min(1, Math.max(0, share)) * (high - low));
}

// --- drawing ---------------------------------------------------------------------------------------------------------

function readTheme(root) {
  const probe = element("span", "probe");
  root.append(probe);
  const resolve = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const paper = resolve("--paper");
  root.dataset.theme = isDark(paper) ? "dark" : "light";
  const theme = {
    paper,
    ink: resolve("--ink"),
    muted: resolve("--muted"),
    rule: resolve("--rule"),
    font: getComputedStyle(root).fontFamily,
  };
  probe.remove();
  theme.id = Object.values(theme).join();
  return theme;
}

function isDark(colour) {
  const [r, g, b] = colour.match(/[\d.]+/g).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
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
  const { root, status, hover, zoom } = view;
  const where = zoom ? `Steps ${zoom[0]} to ${zoom[1]}` : "Drag over a chart to zoom, double-click to see all";
  status.textContent = hover === null ? where : `Step ${hover}`;
  root.dataset.hover = hover === null ? "" : "yes";
}

function linesOf(view, tile) {
  return tile.chart.metrics.flatMap((metric) =>
    view.data.runs.map((run) => ({ metric, run, ...(run.series[metric.name] ?? { steps: [], values: [] }) })),
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
  if (view.hover !== null) paintCrosshair(context, view, tile, frame, lines);
}

// Plot area, x and y scales. The y range covers what is visible, widened to round ticks so that it seldom moves.
function frameOf(view, tile, lines, width, height) {
  const [low, high] = range(view);
  const area = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
  const ticks = yTicks(tile.chart, lines, low, high);
  const [min, max] = [ticks[0], ticks.at(-1)];
  return {
    ...area,
    low,
    high,
    ticks,
    x: (step) => area.left + ((step - low) / (high - low)) * (area.right - area.left),
    y: (value) => area.bottom - ((value - min) / (max - min)) * (area.bottom - area.top),
  };
}

function yTicks(chart, lines, low, high) {
  if (chart.domain) return roundTicks(...chart.domain);
  let [min, max] = chart.from_zero ? [0, 0] : [Infinity, -Infinity];
  for (const { steps, values } of lines)
    for (let i = 0; i < steps.length; i++)
      if (steps[i] >= low && steps[i] <= high && values[i] !== null) {
        min = Math.min(min, values[i]);
        max = Math.max(max, values[i]);
      }
  if (min > max) return [0, 1];
  const centre = (min + max) / 2;
  const least = Math.max(chart.least_span ?? 0, Math.abs(centre) * 1e-6, 1e-9);
  if (max - min < least) [min, max] = min >= 0 && min < least ? [0, least] : [centre - least / 2, centre + least / 2];
  return roundTicks(min, max);
}

function roundTicks(min, max) {
  const raw = (max - min) / 2.6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const first = Math.floor(min / step + 1e-9);
  const last = Math.ceil(max / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
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
    context.fillText(withMinus(axisText(tick, tile.chart.metrics[0].percent, frame.ticks)), frame.left - 6, y);
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
  const x = Math.round(frame.x(view.hover)) + 0.5;
  if (x < frame.left - 1 || x > frame.right + 1) return;
  context.strokeStyle = view.theme.muted;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, frame.top);
  context.lineTo(x, frame.bottom);
  context.stroke();
  for (const { metric, run, steps, values } of lines) {
    const at = indexAt(steps, view.hover);
    if (at < 0 || values[at] === null || steps[at] < frame.low) continue;
    paintDot(context, view, frame, hueOf(view, run), steps[at], values[at], metric.open, 4.5);
  }
  if (tile === view.hoverTile) paintStepLabel(context, view, frame, x);
}

function paintStepLabel(context, view, frame, x) {
  const text = String(view.hover);
  context.font = `600 13px ${view.theme.font}`;
  const half = context.measureText(text).width / 2 + 6;
  const centre = Math.min(frame.right - half + MARGIN.right, Math.max(frame.left + half - 8, x));
  context.fillStyle = view.theme.ink;
  context.beginPath();
  context.roundRect(centre - half, frame.bottom + 3, 2 * half, 19, 4);
  context.fill();
  context.fillStyle = view.theme.paper;
  context.textAlign = "center";
  context.fillText(text, centre, frame.bottom + 17);
}

// Index of the newest measurement at or before a step, -1 when there is none.
function indexAt(steps, step) {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function showValues(view, tile) {
  const spoken = [];
  for (const { node, metric, run: id } of tile.values) {
    const run = view.data.runs.find((candidate) => candidate.id === id);
    const { steps, values } = run.series[metric.name] ?? { steps: [], values: [] };
    const at = view.hover === null ? steps.length - 1 : indexAt(steps, view.hover);
    node.textContent = at < 0 || values[at] === null ? "–" : withMinus(valueText(values[at], metric.percent));
    spoken.push(`${run.name} ${metric.label} ${node.textContent}`);
  }
  tile.canvas.setAttribute("aria-label", `${tile.chart.title}: ${spoken.join(", ")}`);
}

function withMinus(text) {
  return text.replaceAll("-", "−");
}

function valueText(value, percent) {
  if (percent) return `${(100 * value).toFixed(0)} %`;
  const size = Math.abs(value);
  if (size !== 0 && size < 1e-6) return "≈ 0";
  if (size >= 1e6 || (size !== 0 && size < 1e-3)) return value.toExponential(1);
  if (size >= 100) return value.toFixed(0).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

// Ticks of one axis share their number of decimals, only as many as tell them apart.
function axisText(tick, percent, ticks) {
  if (percent) return `${Math.round(100 * tick)} %`;
  const span = Math.abs(ticks.at(-1) - ticks[0]);
  const largest = Math.max(...ticks.map(Math.abs));
  if (tick === 0) return "0";
  if (largest >= 10_000) return `${+(tick / 1000).toFixed(1)}k`;
  if (span < 1e-3) return tick.toExponential(0);
  const step = ticks[1] - ticks[0];
  const decimals = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step) - 1e-9)));
  const exact = Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6 ? decimals + 1 : decimals;
  return tick.toFixed(exact);
}
