// A solution's value by both anchors. Python sends whole numbers of the last shown digit (vimpo_core/views/lessons.py), so that the
// gap between the curves is the same at every position to the last digit.

import { apart, path, valueScale, yAxis } from "../shared/drawing.js";
import { label, level, setAll, shape, upright } from "../shared/elements.js";
import { mountView, watchWidth } from "../shared/mounting.js";
import { fixed, fromWhole, short } from "../shared/numbers.js";
import { clamp, placeOfKey, scale } from "../shared/scales.js";

const ROOM = { left: 64, right: 118, top: 14, bottom: 44, height: 290 };
const NARROW = { ...ROOM, left: 42, right: 100 };
const LETTER = { most: 15, least: 9, wide: 0.62 }; // pixels, and a letter's width over its height

export default function (component) {
  return mountView(component, ".anchors", createAnchors, updateAnchors);
}

function createAnchors(view) {
  const plot = view.at(".plot");
  Object.assign(view, { plot, position: 0 });
  plot.addEventListener("pointermove", (event) => go(view, positionOf(view, event)));
  plot.addEventListener("pointerdown", (event) => go(view, positionOf(view, event)));
  plot.addEventListener("keydown", (event) => {
    const to = placeOfKey(event.key, view.position, view.data.start.length);
    if (to === null) return;
    event.preventDefault();
    go(view, to);
  });
  watchWidth(view, plot, () => drawAnchors(view));
}

function updateAnchors(view, data) {
  if (view.version === data.version) return;
  // The position stays where the reader put it while only the anchor changes.
  if (view.data?.text.join() !== data.text.join()) view.position = data.at;
  view.version = data.version;
  view.data = data;
  drawAnchors(view);
}

function go(view, position) {
  const at = clamp(position, 0, view.data.start.length - 1);
  if (at === view.position) return;
  view.position = at;
  mark(view);
}

function positionOf(view, event) {
  const left = event.clientX - view.plot.getBoundingClientRect().left;
  return Math.round(((left - view.room.left) / (view.width - view.room.left - view.room.right)) * (view.data.start.length - 1));
}

// --- drawing ---------------------------------------------------------------------------------------------------------

function drawAnchors(view) {
  const { data, plot } = view;
  view.width = plot.clientWidth;
  view.room = view.width < 480 ? NARROW : ROOM;
  const count = data.start.length - 1;
  const real = (v) => fromWhole(v, data.decimals);
  const curves = { start: data.start.map(real), end: data.end.map(real) };
  const shown = data.anchor === "both" ? ["start", "end"] : [data.anchor];
  const { left, right, top, height } = view.room;
  const x = scale(0, Math.max(1, count), left, view.width - right);
  const y = valueScale([...curves.start, ...curves.end, 0, 1, real(data.baseline)], top + height, top);
  Object.assign(view, { x, y, curves, shown });
  const svg = shape("svg", { width: view.width, height: top + height + ROOM.bottom, "aria-hidden": "true" });
  svg.append(...yAxis(x, y, y.low, y.high, count), ...levels(view, real), ...tokens(view, count));
  view.marks = shape("g", {});
  svg.append(view.marks, ...shown.map((name) => shape("path", { class: `curve ${name}`, d: path(x, y, curves[name]) })));
  plot.replaceChildren(svg);
  plot.setAttribute("aria-valuemax", count);
  mark(view);
}

// The two fixed ends and, on the right, what is what.
function levels(view, real) {
  const { data, x, y, curves, shown } = view;
  const count = data.start.length - 1;
  const names = { start: "from the start", end: "from the end" };
  const lines = [[real(data.baseline), data.anchor_name], [real(data.reward), `reward ${short(real(data.reward), 3)}`]];
  const labels = [
    ...lines.map(([value, text]) => ({ y: y(value) + 5, text, className: "" })),
    ...shown.map((name) => ({ y: y(curves[name][count]) + 5, text: names[name], className: name })),
  ];
  return [
    ...lines.map(([value]) => level("level", x(0), x(count), y(value))),
    ...apart(labels, 17).map((l) => label(x(count) + 10, l.y, l.text, l.className, "start")),
  ];
}

function tokens(view, count) {
  const { data, x } = view;
  const below = ROOM.top + ROOM.height + 24;
  const size = clamp((x(1) - x(0)) / LETTER.wide, LETTER.least, LETTER.most);
  return data.text.flatMap((text, t) => {
    const isWrong = t === data.first_wrong;
    const middle = x(t + 0.5);
    const nodes = [label(middle, below, text, `token${isWrong ? " wrong" : ""}`, "middle")];
    nodes[0].style.fontSize = `${size}px`;
    if (isWrong) nodes.push(level("wrong-mark", x(t) + 1, x(t + 1) - 1, below + 6));
    return count > 70 && t % 2 && !isWrong ? [] : nodes;
  });
}

function mark(view) {
  const { data, position: at, x, y, curves, shown, marks } = view;
  const line = upright("here", x(at), ROOM.top, ROOM.top + ROOM.height);
  const gap = upright("gap", x(at), y(curves.start[at]), y(curves.end[at]));
  marks.replaceChildren(line, ...(shown.length === 2 ? [gap] : []));
  const digits = (units) => fixed(fromWhole(units, data.decimals), data.decimals);
  const where = at === data.text.length ? "After the last token" : `Before token #${at} “${data.text[at]}”`;
  const parts = shown.map((name) => `V ${digits(data[name][at])} counted from the ${name}`);
  const difference = shown.length === 2 ? `; they differ by ${digits(data.start[at] - data.end[at])}` : "";
  const said = `${where}: ${parts.join(", ")}${difference}`;
  view.at(".readout").textContent = said;
  setAll(view.plot, { "aria-valuenow": at, "aria-valuetext": said });
}
