// Arms laid over each other. A panel is a "curve" along an axis
// that all curve panels share (one crosshair in all of them), a "path" of one metric against another as training goes on, or
// "points". Hover, arrow keys and the legend work on what was sent; nothing goes to the server.

import { faint, markTheme } from "../shared/colours.js";
import { path } from "../shared/drawing.js";
import { element, label, level, setAll, shape, upright } from "../shared/elements.js";
import { mountView, watchWidth } from "../shared/mounting.js";
import { readable, tickText, whole } from "../shared/numbers.js";
import { offerToSave } from "../shared/save_figure.js";
import { extent, indexAt, nearestIn, placeOfKey, scale, ticksWithin } from "../shared/scales.js";

const PLOT = { left: 64, right: 18, top: 10, bottom: 48, height: 300 };
const DENSE = 60; // more points than these and a curve gets a marker only here and there

export default function (component) {
  return mountView(component, ".compare", createView, update);
}

function createView(view) {
  Object.assign(view, { panels: [], pinned: null, theme: "" });
  offerToSave(view.at(".save"), view.root, () => {
    if (!view.panels.some((p) => p.svg)) return null;
    hideTip(view);
    return { name: "comparison", about: view.data.about, heading: "", parts: [view.at(".legend"), view.at(".panels")] };
  });
  watchWidth(view, view.at(".panels"), () => draw(view));
}

function update(view, data) {
  markTheme(view.root);
  const { theme } = view.root.dataset;
  const isNew = view.data?.version !== data.version;
  if (!isNew && view.theme === theme) return;
  if (isNew && view.data?.arms.length !== data.arms.length) view.pinned = null;
  const paper = getComputedStyle(view.root).getPropertyValue("--st-background-color").trim() || "none";
  Object.assign(view, { data, theme, paper });
  fillLegend(view);
  draw(view);
}

// --- legend ----------------------------------------------------------------------------------------------------------

function fillLegend(view) {
  const items = view.data.arms.map((arm, number) => {
    const button = element("button", "", swatch(view, arm), element("span", "", arm.label), count(arm));
    button.type = "button";
    button.setAttribute("aria-pressed", String(view.pinned === number));
    button.addEventListener("click", () => {
      view.pinned = view.pinned === number ? null : number;
      fillPressed(view);
      emphasise(view, view.pinned);
    });
    button.addEventListener("pointerenter", () => emphasise(view, number));
    button.addEventListener("pointerleave", () => emphasise(view, view.pinned));
    return element("li", "", button);
  });
  view.at(".legend").replaceChildren(...items);
}

function count(arm) {
  return element("span", "count", arm.count);
}

function fillPressed(view) {
  view.root.querySelectorAll(".legend button").forEach((button, number) =>
    button.setAttribute("aria-pressed", String(view.pinned === number)));
}

function swatch(view, arm) {
  return shape("svg", { width: 46, height: 16, "aria-hidden": "true" }, ...swatchShapes(view, arm, 8));
}

function swatchShapes(view, arm, y) {
  return [meanLine(view, arm, `M0,${y}H46`), mark(view, arm, 23, y)];
}

function meanLine(view, arm, d) {
  return shape("path", { class: "mean", d, stroke: arm.hues[view.theme], "stroke-dasharray": arm.dash.join(" ") || "none" });
}

function emphasise(view, number) {
  for (const node of view.root.querySelectorAll(".arm")) {
    node.classList.toggle("back", number !== null && Number(node.dataset.arm) !== number);
  }
}

// --- markers ---------------------------------------------------------------------------------------------------------

const SHAPES = {
  circle: "M-5,0A5,5 0 1 0 5,0A5,5 0 1 0 -5,0Z",
  square: "M-4.5,-4.5H4.5V4.5H-4.5Z",
  diamond: "M0,-6L6,0L0,6L-6,0Z",
  "triangle-up": "M0,-5.5L5.5,4.5H-5.5Z",
  "triangle-down": "M0,5.5L5.5,-4.5H-5.5Z",
  plus: "M-5.5,0H5.5M0,-5.5V5.5",
  cross: "M-4.5,-4.5L4.5,4.5M-4.5,4.5L4.5,-4.5",
  hexagon: "M-5.5,0L-2.75,-4.8H2.75L5.5,0L2.75,4.8H-2.75Z",
  pentagon: "M0,-5.5L5.2,-1.7L3.2,4.5H-3.2L-5.2,-1.7Z",
  star: "M0,-6.5L1.8,-2L6.5,-2L2.7,1L4.2,6L0,3L-4.2,6L-2.7,1L-6.5,-2L-1.8,-2Z",
  hourglass: "M-5,-5.5H5L-5,5.5H5Z",
  house: "M-4.5,5V-1L0,-6L4.5,-1V5Z",
  "half-moon": "M-5.5,-2.5H5.5A5.5,5.5 0 0 1 -5.5,-2.5Z",
  arrow: "M0,-6L5.5,0H2V5.5H-2V0H-5.5Z",
};

function mark(view, arm, x, y, size = 1, isSmall = false) {
  return shape("path", {
    class: isSmall ? "mark small" : "mark", d: SHAPES[arm.marker] ?? SHAPES.circle, stroke: arm.hues[view.theme],
    fill: isSmall ? "none" : view.paper, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${size})`,
  });
}

// --- panels ----------------------------------------------------------------------------------------------------------

function draw(view) {
  const box = view.at(".panels");
  view.width = box.clientWidth;
  if (!view.width) return;
  box.classList.toggle("several", view.data.panels.length > 1);
  const nodes = view.data.panels.map((panel) => element("article", "panel", element("h3", "", panel.title)));
  box.replaceChildren(...nodes);
  // All of one width: measured once, before anything is in the way.
  const width = nodes[0]?.clientWidth ?? 0;
  view.panels = view.data.panels.map((panel, number) => fillPanel(view, panel, nodes[number], width));
  hideTip(view);
  emphasise(view, view.pinned);
  view.root.dataset.drawn = view.data.version;
}

function fillPanel(view, panel, node, width) {
  const isRecorded = panel.lines.some((line) => line.seeds.some((seed) => seed));
  if (!isRecorded) {
    node.append(element("p", "nothing", "Not recorded by any of these runs."));
    return { panel, svg: null };
  }
  const frame = frameOf(panel, width);
  const svg = shape("svg", { width, height: frame.height, tabindex: 0, role: "img", "aria-label": spoken(view, panel) });
  svg.append(
    ...yMarks(frame, panel), ...xMarks(frame, panel),
    ...panel.lines.map((line, number) => armNode(view, panel, line, number, frame)),
  );
  const drawn = { panel, svg, frame, at: null };
  if (panel.kind === "curve") {
    drawn.grid = [...new Set(panel.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
    drawn.cross = shape("line", { class: "cross", y1: PLOT.top, y2: frame.bottom });
    svg.append(drawn.cross);
  } else {
    drawn.spots = spotsOf(panel, frame);
    drawn.halo = shape("circle", { class: "halo", r: 10 });
    svg.append(drawn.halo);
  }
  svg.append(shape("rect", { class: "catch", x: 0, y: 0, width, height: frame.height }));
  listen(view, drawn);
  node.append(svg);
  return drawn;
}

function spoken(view, panel) {
  const last = panel.lines.map((line, number) => {
    const at = line.mean.length - 1;
    return `${view.data.arms[number].label} ${at < 0 ? "not recorded" : readable(line.mean[at], panel.y.percent)}`;
  });
  return `${panel.title}, at the end: ${last.join("; ")}. Arrow keys read values.`;
}

function frameOf(panel, width) {
  const [xs, ys] = [[], []];
  for (const line of panel.lines) {
    const seeds = line.seeds.filter(Boolean);
    xs.push(...line.x, ...seeds.flatMap((seed) => seed.x ?? []));
    ys.push(...line.mean, ...(line.low ?? []), ...(line.high ?? []), ...seeds.flatMap((seed) => seed.y));
  }
  let [left, right] = extent(xs);
  if (panel.kind === "curve" || left >= 0 && left < 0.25 * right) left = panel.kind === "points" ? left : Math.min(left, 0);
  let [low, high] = extent(ys);
  if (low >= 0 && low < 0.25 * high) low = 0;
  const padX = panel.kind === "curve" ? 0 : 0.04 * (right - left || 1);
  const padY = 0.05 * (high - low || Math.abs(high) || 1);
  [left, right] = [left - (left === 0 ? 0 : padX), right + padX || 1];
  [low, high] = [low - (low === 0 ? 0 : padY), high + padY];
  if (left === right) right = left + 1;
  const bottom = PLOT.top + PLOT.height;
  return {
    width, height: bottom + PLOT.bottom, bottom, left, right, low, high,
    x: scale(left, right, PLOT.left, width - PLOT.right),
    y: scale(low, high, bottom, PLOT.top),
    xOf: scale(PLOT.left, width - PLOT.right, left, right),
  };
}

function yMarks(frame, panel) {
  const ticks = ticksWithin(frame.low, frame.high, 5);
  const nodes = ticks.flatMap((u) => [
    level("grid", PLOT.left, frame.width - PLOT.right, frame.y(u)),
    label(PLOT.left - 8, frame.y(u) + 5, tickText(u, ticks, panel.y.percent), "", "end"),
  ]);
  if (panel.kind === "curve" || panel.y.title === panel.title) return nodes;
  const side = label(16, PLOT.top + PLOT.height / 2, panel.y.title, "axis", "middle");
  side.setAttribute("transform", `rotate(-90 16 ${PLOT.top + PLOT.height / 2})`);
  return [...nodes, side];
}

function xMarks(frame, panel) {
  const ticks = ticksWithin(frame.left, frame.right, frame.width < 500 ? 4 : 6);
  const nodes = ticks.map((u) => label(frame.x(u), frame.bottom + 20, tickText(u, ticks, panel.x.percent), "", "middle"));
  const middle = (PLOT.left + frame.width - PLOT.right) / 2;
  nodes.push(label(middle, frame.bottom + 42, panel.x.title, "axis", "middle"));
  if (panel.kind === "points" && frame.left < 0.5 && frame.right > 0.5) {
    nodes.push(upright("chance", frame.x(0.5), PLOT.top, frame.bottom));
  }
  return nodes;
}

function armNode(view, panel, line, number, frame) {
  const arm = view.data.arms[number];
  const hue = arm.hues[view.theme];
  const node = shape("g", { class: "arm" });
  node.dataset.arm = number;
  if (panel.kind === "points") {
    line.seeds.forEach((seed) => seed && node.append(mark(view, arm, frame.x(seed.x[0]), frame.y(seed.y[0]), 0.8, true)));
    if (line.mean.length) node.append(mark(view, arm, frame.x(line.x[0]), frame.y(line.mean[0]), 1.7));
    return node;
  }
  if (line.low) node.append(shape("path", { class: "band", d: band(line, frame), fill: faint(hue, 0.17) }));
  if (line.seeds.length > 1) {
    const d = line.seeds.map((seed) => (seed ? path(frame.x, frame.y, seed.y, seed.x ?? line.x) : "")).join("");
    node.append(shape("path", { class: "seed", d, stroke: faint(hue, view.data.arms.length > 3 ? 0.24 : 0.38) }));
  }
  node.append(
    meanLine(view, arm, path(frame.x, frame.y, line.mean, line.x)),
    ...marks(view, arm, number, panel, line, frame),
  );
  return node;
}

// A closed area for every stretch in which both bounds are known.
function band(line, frame) {
  let d = "";
  for (let from = 0; from < line.x.length; from++) {
    if (line.low[from] === null || line.high[from] === null) continue;
    let to = from;
    while (to + 1 < line.x.length && line.low[to + 1] !== null && line.high[to + 1] !== null) to++;
    const side = (values, order) => order.map((i) => `${frame.x(line.x[i]).toFixed(1)},${frame.y(values[i]).toFixed(1)}`).join("L");
    const order = Array.from({ length: to - from + 1 }, (_, i) => from + i);
    d += `M${side(line.high, order)}L${side(line.low, order.reverse())}Z`;
    from = to;
  }
  return d;
}

// Every measurement of a sparse curve; of a dense one eight, shifted from arm to arm so that they do not cover each other. The
// end of a path is larger.
function marks(view, arm, number, panel, line, frame) {
  const count = line.mean.length;
  const last = count - 1;
  const every = panel.kind === "curve" && count <= DENSE ? 1 : Math.ceil(count / 8);
  const shift = every === 1 ? 0 : Math.floor((every * ((number * 3) % 8)) / 8);
  const shown = line.mean.map((u, i) => i).filter((i) => line.mean[i] !== null && (i % every === shift || i === last));
  const size = (i) => (panel.kind === "path" && i === last ? 1.5 : 0.85);
  return shown.map((i) => mark(view, arm, frame.x(line.x[i]), frame.y(line.mean[i]), size(i)));
}

// --- reading values --------------------------------------------------------------------------------------------------

function listen(view, drawn) {
  const { svg } = drawn;
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = drawn.frame.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  svg.addEventListener("pointermove", (event) => show(view, drawn, nearest(drawn, ...place(event))));
  svg.addEventListener("pointerdown", (event) => show(view, drawn, nearest(drawn, ...place(event))));
  svg.addEventListener("pointerleave", () => document.activeElement !== svg && hideTip(view));
  svg.addEventListener("blur", () => hideTip(view));
  svg.addEventListener("keydown", (event) => {
    const many = (drawn.grid ?? drawn.spots).length;
    const now = drawn.at ?? (event.key === "ArrowLeft" || event.key === "ArrowDown" ? many : -1);
    const to = placeOfKey(event.key, now, many, event.shiftKey ? 10 : 1);
    if (event.key === "Escape") hideTip(view);
    if (to === null) return;
    event.preventDefault();
    show(view, drawn, to);
  });
}

function nearest(drawn, px, py) {
  if (drawn.grid) return nearestIn(drawn.grid, drawn.frame.xOf(px));
  let [best, least] = [null, Infinity];
  drawn.spots.forEach((spot, number) => {
    const distance = (spot.px - px) ** 2 + (spot.py - py) ** 2;
    if (distance < least) [best, least] = [number, distance];
  });
  return best;
}

// Everything that can be pointed at in a path or among points, from left to right.
function spotsOf(panel, frame) {
  const spots = [];
  panel.lines.forEach((line, arm) => {
    line.mean.forEach((y, i) => y !== null && line.x[i] !== null && spots.push({ arm, x: line.x[i], y, step: line.steps?.[i] }));
    if (panel.kind === "points" && line.seeds.length > 1) {
      line.seeds.forEach((seed, n) => seed && spots.push({ arm, x: seed.x[0], y: seed.y[0], seed: n, solutions: seed.n }));
    } else if (panel.kind === "points" && line.seeds[0]) spots.at(-1).solutions = line.seeds[0].n;
  });
  for (const spot of spots) Object.assign(spot, { px: frame.x(spot.x), py: frame.y(spot.y) });
  return spots.sort((a, b) => a.x - b.x);
}

function show(view, drawn, at) {
  if (at === null || at === undefined) return;
  drawn.at = at;
  if (drawn.grid) showCurve(view, drawn, drawn.grid[at]);
  else showSpot(view, drawn, drawn.spots[at]);
}

function showCurve(view, drawn, x) {
  for (const other of view.panels) {
    other.halo?.setAttribute("visibility", "hidden");
    if (!other.cross) continue;
    const px = other.frame.x(x);
    for (const end of ["x1", "x2"]) other.cross.setAttribute(end, px);
    other.cross.style.visibility = "visible";
  }
  const { panel } = drawn;
  const drawnLines = panel.lines.map((line, number) => [line, view.data.arms[number]]).filter(([line]) => line.x.length);
  const rows = drawnLines.map(([line, arm]) => {
    const i = measuredAt(line.x, x);
    const value = i === null ? null : line.mean[i];
    const bounds = i === null || !line.low || line.low[i] === null ? "" :
      `${readable(line.low[i], panel.y.percent)} to ${readable(line.high[i], panel.y.percent)}`;
    return { arm, value, bounds };
  });
  rows.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
  const table = element("table", "", ...rows.map(({ arm, value, bounds }) => {
    const cells = [element("td", "", swatch(view, arm)), element("td", "", arm.label),
      element("td", "value", value === null ? "–" : readable(value, panel.y.percent)), element("td", "interval", bounds)];
    return element("tr", "", ...cells);
  }));
  place(view, drawn, drawn.frame.x(x), PLOT.top, [element("p", "head", `${panel.x.title} ${whole(x)}`), table]);
}

// The newest measurement at or before x; none beyond the arm's last one.
function measuredAt(xs, x) {
  return x > xs.at(-1) || x < xs[0] ? null : indexAt(xs, x);
}

function showSpot(view, drawn, spot) {
  hideMarks(view);
  const { panel } = drawn;
  const arm = view.data.arms[spot.arm];
  setAll(drawn.halo, { cx: spot.px, cy: spot.py });
  drawn.halo.style.visibility = "visible";
  const mean = arm.seeds.length > 1 ? `mean of ${arm.seeds.length} seeds` : arm.seeds[0];
  const whose = spot.seed === undefined ? mean : arm.seeds[spot.seed];
  const step = spot.step === undefined ? "" : `, step ${spot.step}`;
  const lines = [
    element("p", "head", swatch(view, arm), ` ${arm.label}`),
    element("p", "", `${whose}${step}`),
    element("p", "", `${panel.y.title} ${readable(spot.y, panel.y.percent)}`),
    element("p", "", `${panel.x.title} ${readable(spot.x, panel.x.percent)}`),
  ];
  if (spot.solutions) lines.push(element("p", "", `on ${spot.solutions} wrong solutions`));
  place(view, drawn, spot.px, spot.py, lines);
}

function place(view, drawn, px, py, content) {
  const tip = view.at(".tip");
  tip.replaceChildren(...content);
  tip.hidden = false;
  const frame = view.root.getBoundingClientRect();
  const box = drawn.svg.getBoundingClientRect();
  const x = box.left - frame.left + px;
  const isRoom = x + 18 + tip.offsetWidth <= frame.width;
  tip.style.left = `${isRoom ? x + 18 : Math.max(0, x - 18 - tip.offsetWidth)}px`;
  tip.style.top = `${box.top - frame.top + py + 6}px`;
}

function hideTip(view) {
  view.at(".tip").hidden = true;
  hideMarks(view);
  for (const drawn of view.panels) drawn.at = null;
}

function hideMarks(view) {
  for (const { cross, halo } of view.panels) {
    for (const node of [cross, halo]) if (node) node.style.visibility = "hidden";
  }
}
