// A solution's value by both anchors. Python sends whole numbers of the last shown digit (vimpo_core/views/lessons.py), so that the
// gap between the curves is the same at every position to the last digit.

import { apart, path, valueScale, yAxis } from "../shared/drawing.js";
import { label, level, setAll, shape, upright } from "../shared/elements.js";
import { mountView, watchWidth } from "../shared/mounting.js";
import { fixed, fromWhole, short } from "../shared/numbers.js";
import { clamp, placeOfKey, scale } from "../shared/scales.js";

const ROOM = { left: 64, right: 118, top: 14, bottom: 44, height: 290 };
// On a phone what is what stands below the tokens, which have the whole width.
const NARROW_PIXELS = 560, NARROW_ROOM = { ...ROOM, left: 40, right: 12, bottom: 88 };
const CHARACTER_PIXELS = 9.2;

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
  const at = event.clientX - view.plot.getBoundingClientRect().left, { left, right } = view.room;
  return Math.round(((at - left) / (view.width - left - right)) * (view.data.start.length - 1));
}

// --- drawing ---------------------------------------------------------------------------------------------------------

function drawAnchors(view) {
  const { data, plot } = view;
  view.width = plot.clientWidth;
  view.isNarrow = view.width < NARROW_PIXELS;
  view.room = view.isNarrow ? NARROW_ROOM : ROOM;
  const count = data.start.length - 1;
  const real = (v) => fromWhole(v, data.decimals);
  const curves = { start: data.start.map(real), end: data.end.map(real) };
  const shown = data.anchor === "both" ? ["start", "end"] : [data.anchor];
  const { left, right, top, height, bottom } = view.room;
  const x = scale(0, Math.max(1, count), left, view.width - right);
  const y = valueScale([...curves.start, ...curves.end, 0, 1, real(data.baseline)], top + height, top);
  Object.assign(view, { x, y, curves, shown });
  const svg = shape("svg", { width: view.width, height: top + height + bottom, "aria-hidden": "true" });
  svg.append(...yAxis(x, y, y.low, y.high, count), ...levels(view, real), ...tokens(view));
  view.marks = shape("g", {});
  svg.append(view.marks, ...shown.map((name) => shape("path", { class: `curve ${name}`, d: path(x, y, curves[name]) })));
  plot.replaceChildren(svg);
  plot.setAttribute("aria-valuemax", count);
  mark(view);
}

// The two fixed ends and, on the right or below, what is what.
function levels(view, real) {
  const { data, x, y, curves, shown } = view;
  const count = data.start.length - 1;
  const names = { start: "from the start", end: "from the end" };
  const lines = [[real(data.baseline), data.anchor_name], [real(data.reward), `reward ${short(real(data.reward), 3)}`]];
  const labels = [
    ...lines.map(([value, text]) => ({ y: y(value) + 5, text, className: "" })),
    ...shown.map((name) => ({ y: y(curves[name][count]) + 5, text: names[name], className: name })),
  ];
  const drawn = lines.map(([value]) => level("level", x(0), x(count), y(value)));
  if (!view.isNarrow) {
    return [...drawn, ...apart(labels, 17).map((l) => label(x(count) + 10, l.y, l.text, l.className, "start"))];
  }
  const ends = apart(lines.map(([value, text]) => ({ y: y(value) - 5, text })), 17);
  const dashes = { start: "solid: ", end: "dashed: " };
  const below = view.room.top + view.room.height + 48;
  return [
    ...drawn,
    ...ends.map((l) => label(x(0) + 4, l.y, l.text, "", "start")),
    ...shown.map((name, i) => label(x(0), below + 20 * i, dashes[name] + names[name], name, "start")),
  ];
}

// Those that have room, the first wrong one always: none is printed over another.
function tokens(view) {
  const { data, x, room } = view;
  const below = room.top + room.height + 24;
  const half = (t) => (data.text[t].length * CHARACTER_PIXELS) / 2;
  const touch = (a, b) => Math.abs(x(a) - x(b)) < half(a) + half(b);
  const wrong = data.first_wrong;
  let last = null;
  return data.text.flatMap((text, t) => {
    const isWrong = t === wrong;
    if (!isWrong && ((last !== null && touch(last, t)) || (wrong !== null && touch(wrong, t)))) return [];
    last = t;
    const nodes = [label(x(t + 0.5), below, text, `token${isWrong ? " wrong" : ""}`, "middle")];
    if (isWrong) nodes.push(level("wrong-mark", x(t) + 1, x(t + 1) - 1, below + 6));
    return nodes;
  });
}

function mark(view) {
  const { data, position: at, x, y, curves, shown, marks } = view;
  const line = upright("here", x(at), view.room.top, view.room.top + view.room.height);
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
