// Plots of two lines each that grow while they are measured; the same axes from the first point to the last, so nothing
// jumps. Pointer or arrow keys read the values.

import { markTheme } from "../shared/colours.js";
import { path, yAxis } from "../shared/drawing.js";
import { element, label, level, setAll, shape, upright } from "../shared/elements.js";
import { mountView, watchWidth } from "../shared/mounting.js";
import { significant, withMinus } from "../shared/numbers.js";
import { clamp, placeOfKey, scale, ticksWithin } from "../shared/scales.js";

const ROOM = { left: 62, right: 12, top: 38, bottom: 44, height: 220 };
const LEAST_SPAN = 1e-9;

export default function (component) {
  return mountView(component, ".curve-plots", createPlots, updatePlots);
}

function createPlots(view) {
  view.plots = [];
  watchWidth(view, view.root, () => drawPlots(view));
}

function updatePlots(view, data) {
  markTheme(view.root);
  if (view.version === data.version) return;
  view.version = data.version;
  view.data = data;
  drawPlots(view);
}

function drawPlots(view) {
  view.width = view.root.clientWidth;
  if (view.plots.length !== view.data.plots.length) {
    view.plots = view.data.plots.map(createPlot);
    view.root.replaceChildren(...view.plots.map((plot) => plot.figure));
  }
  view.plots.forEach((plot, i) => drawPlot(view, plot, view.data.plots[i]));
}

function createPlot() {
  const caption = element("figcaption", "");
  const area = element("div", "plot");
  const readout = element("p", "readout");
  setAll(area, { role: "slider", tabindex: 0, "aria-valuemin": 0 });
  const plot = { figure: element("figure", "", caption, area, readout), caption, area, readout, at: null };
  const go = (at) => {
    plot.at = clamp(at, 0, plot.data.points.length - 1);
    readAt(plot);
  };
  area.addEventListener("pointermove", (event) => go(nearest(plot, event)));
  area.addEventListener("pointerleave", () => { plot.at = null; readAt(plot); });
  area.addEventListener("keydown", (event) => {
    const count = plot.data.points.length;
    const to = placeOfKey(event.key, plot.at ?? count - 1, count);
    if (to === null) return;
    event.preventDefault();
    go(to);
  });
  return plot;
}

function drawPlot(view, plot, data) {
  plot.data = data;
  plot.caption.replaceChildren(data.title, ...(data.unit ? [element("span", "", ` ${data.unit}`)] : []));
  const drawn = data.lines.map((l) => l.label).join(" and ");
  plot.area.setAttribute("aria-label", `${data.title}${data.unit ? `, ${data.unit}` : ""}: ${drawn}; arrow keys read it`);
  const width = plot.area.clientWidth;
  const value = data.is_log ? (v) => (v > 0 ? Math.log10(v) : null) : (v) => v;
  const numbers = data.points.flatMap((p) => p.y).filter((v) => v !== null).map(value).filter((v) => v !== null);
  let [low, high] = data.domain ?? [Math.min(0, ...numbers), Math.max(0, ...numbers) * 1.05];
  if (high - low < LEAST_SPAN) high = low + 1; // nothing measured yet, or only zeros
  if (data.is_log) [low, high] = [Math.floor(Math.min(-4, ...numbers)), Math.ceil(Math.max(0, ...numbers))];
  const { left, right, top, height } = ROOM;
  const x = scale(0, data.x_max, left, width - right);
  const y = scale(low, high, top + height, top);
  Object.assign(plot, { x, y, value });
  const svg = shape("svg", { width, height: top + height + ROOM.bottom, "aria-hidden": "true" });
  svg.append(...(data.is_log ? decades(x, y, low, high, data.x_max) : yAxis(x, y, low, high, data.x_max)));
  svg.append(...xMarks(plot, data));
  plot.marks = shape("g", {});
  svg.append(plot.marks, ...data.lines.map((line, i) => shape("path", { class: `curve ${line.role}`, d: curve(plot, i) })));
  svg.append(...data.lines.flatMap((line, i) => lastDot(plot, line, i)));
  const share = (width - left - right) / data.lines.length;
  const nameOf = (line) => `${line.role === "ill" ? "- - " : "—— "}${line.label}`;
  svg.append(...data.lines.map((line, i) => label(left + share * i, 18, nameOf(line), line.role, "start")));
  plot.area.replaceChildren(svg);
  plot.area.setAttribute("aria-valuemax", Math.max(0, data.points.length - 1));
  readAt(plot);
}

function decades(x, y, low, high, x_max) {
  const marks = [];
  for (let d = low; d <= high; d++) {
    marks.push(level("grid", x(0), x(x_max), y(d)), label(x(0) - 8, y(d) + 5, withMinus(`1e${d}`), "tick", "end"));
  }
  return marks;
}

function xMarks(plot, data) {
  const below = ROOM.top + ROOM.height + 18;
  const ticks = ticksWithin(0, data.x_max, 4).filter(Number.isInteger);
  const name = label(plot.x(data.x_max / 2), below + 19, data.x_label, "", "middle");
  return [...ticks.map((u) => label(plot.x(u), below, `${u}`, "tick", "middle")), name];
}

function curve({ data, x, y, value }, i) {
  const known = data.points.map((point) => (point.y[i] === null ? null : value(point.y[i])));
  return path(x, y, known, data.points.map((point) => point.x));
}

function lastDot(plot, line, i) {
  const point = plot.data.points.findLast((p) => p.y[i] !== null && plot.value(p.y[i]) !== null);
  if (!point) return [];
  return [shape("circle", { class: `dot ${line.role}`, r: 4, cx: plot.x(point.x), cy: plot.y(plot.value(point.y[i])) })];
}

function nearest(plot, event) {
  const left = event.clientX - plot.area.getBoundingClientRect().left;
  const distances = plot.data.points.map((p) => Math.abs(plot.x(p.x) - left));
  return distances.indexOf(Math.min(...distances));
}

function readAt(plot) {
  const { data, marks } = plot;
  const point = data.points[Math.min(plot.at ?? data.points.length - 1, data.points.length - 1)];
  marks.replaceChildren();
  if (!point) {
    plot.readout.textContent = "Nothing measured yet.";
    return;
  }
  if (plot.at !== null) marks.append(upright("here", plot.x(point.x), ROOM.top, ROOM.top + ROOM.height));
  const number = (v) => (v === null ? "not a number" : significant(v, 3));
  const said = `${data.x_label} ${point.x}: ${data.lines.map((line, i) => `${line.label} ${number(point.y[i])}`).join(", ")}`;
  plot.readout.textContent = said;
  setAll(plot.area, { "aria-valuenow": data.points.indexOf(point), "aria-valuetext": said });
}
