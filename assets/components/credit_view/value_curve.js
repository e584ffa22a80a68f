// The value of every prefix as a curve over the tokens: where it starts, where it ends, and what the selected token moved.

import { apart, path, valueScale, yAxis } from "../shared/drawing.js";
import { element, label, level, setAll, shape, upright } from "../shared/elements.js";
import { hasGroup, shortAnchor, stepMarks, tokenAt, tokenNames } from "../shared/lenses.js";
import { fixed, fromWhole, short, signed } from "../shared/numbers.js";
import { scale } from "../shared/scales.js";
import { v } from "./symbols.js";

const CURVE = { height: 270, left: 44, right: 150, top: 16, bottom: 42 };

export function drawCurve(view) {
  const { data } = view;
  const plot = view.at(".plot");
  view.width = plot.clientWidth;
  if (!view.width) return;
  const isMissing = !data.arrays[hasGroup(data) ? "values" : "values_from_end"];
  view.at('.save[data-figure="value-curve"]').style.display = isMissing ? "none" : "";
  if (isMissing) {
    view.at("figcaption").textContent = "Value of each prefix";
    const needed = data.missing.length ? data.missing.join(", ") : "the reward";
    plot.replaceChildren(element("p", "missing", `Not recorded: the value needs ${needed}.`));
    view.curve = null;
    return;
  }
  const fromStart = `start-anchored at the ${data.anchor}`;
  const keys = hasGroup(view.data)
    ? [element("span", "key key-start", fromStart), " ", element("span", "key key-end", "end-anchored, R added")]
    : [element("span", "key key-start", "end-anchored, R added; no group, so no start-anchored value")];
  view.at("figcaption").replaceChildren("Value ", v("V", "t"), " of each prefix: ", ...keys);
  const key = `${data.version} ${view.width}`;
  if (!view.curve || view.curve.key !== key) {
    view.curve = buildCurve(view, key);
    plot.replaceChildren(view.curve.svg);
  }
  moveBand(view.curve, view.curve.selection, view.token);
  view.curve.selectedSegment.setAttribute("d", segment(view.curve, view.token));
  view.curve.selectedSegment.setAttribute("class", `segment ${sign(data.arrays.td_terms[view.token])}`);
  moveGhost(view);
}

function buildCurve(view, key) {
  const { data } = view;
  const real = (u) => fromWhole(u, data.decimals.reward);
  const values = data.arrays[hasGroup(view.data) ? "values" : "values_from_end"].map(real);
  const fromEnd = (data.arrays.values_from_end ?? []).map(real);
  const [reward, baseline] = [real(data.reward), real(data.baseline)];
  const count = Math.max(1, values.length - 1);
  const x = scale(0, count, CURVE.left, view.width - CURVE.right);
  const y = valueScale([...values, ...fromEnd, reward ?? 0, baseline, 0, 1], CURVE.height - CURVE.bottom, CURVE.top);
  const said = curveSummary(values, reward, baseline, data);
  const svg = shape("svg", { width: view.width, height: CURVE.height, role: "img", "aria-label": said });
  const curve = { key, svg, x, y, values, count };
  curve.selection = band("selection");
  curve.ghost = band("ghost");
  curve.selectedSegment = shape("path", { class: "segment" });
  svg.append(
    ...yAxis(x, y, y.low, y.high, count),
    curve.ghost, curve.selection,
    ...(baseline === null ? [] : area(x, y, values, baseline, count)),
    ...stepMarks(data, x, CURVE.top, CURVE.height - CURVE.bottom),
    ...(baseline === null ? [] : [level("baseline", x(0), x(count), y(baseline))]),
    shape("path", { class: "from-end", d: path(x, y, fromEnd) }),
    shape("path", { class: "from-start", d: path(x, y, values) }),
    curve.selectedSegment,
    ...ending(x, y, values, reward, baseline, data, count),
    ...tokenNames(data, x, CURVE.height - CURVE.bottom + 20),
  );
  return curve;
}

function curveSummary(values, reward, baseline, data) {
  const last = values[values.length - 1];
  const start = baseline === null ? "an unknown baseline" : `the ${data.anchor} ${fixed(baseline, 2)}`;
  const end = last === null ? "a value that is not finite" : fixed(last, 2);
  return `Value curve over ${data.text.length} tokens: from ${start} to ${end}; the reward was ${reward ?? "not recorded"}.`;
}

// Blue where the value lies above V_0, orange below: the same picture cut at the baseline.
function area(x, y, values, baseline, count) {
  const known = values.findIndex((u) => u === null);
  const part = known === -1 ? values : values.slice(0, known);
  if (part.length < 2) return [];
  const d = `${path(x, y, part)}L${x(part.length - 1)},${y(baseline)}L${x(0)},${y(baseline)}Z`;
  const half = (name, top, bottom) => {
    const window = shape("rect", { x: x(0), width: x(count) - x(0), y: top, height: Math.max(0, bottom - top) });
    const clip = shape("clipPath", { id: `credit-${name}` }, window);
    return [clip, shape("path", { class: `area area-${name}`, d, "clip-path": `url(#credit-${name})` })];
  };
  return [...half("above", 0, y(baseline)), ...half("below", y(baseline), CURVE.height)];
}

function ending(x, y, values, reward, baseline, data, count) {
  const last = values[values.length - 1];
  const at = x(count);
  if (reward === null) return [];
  const marks = [shape("circle", { class: "reward", cx: at, cy: y(reward), r: 6 })];
  const labels = [{ y: y(reward), text: `reward R = ${short(reward, 3)}`, kind: "strong" }];
  if (last !== null && baseline !== null) {
    marks.unshift(upright("gap", at, y(last), y(reward)));
    marks.push(shape("circle", { class: "last", cx: at, cy: y(last), r: 4 }));
    labels.push({ y: y(last), text: `residual ${signed(fromWhole(data.residual, data.decimals.reward), 3)}`, kind: "" });
  }
  if (baseline !== null) labels.push({ y: y(baseline), text: `${shortAnchor(data)} ${short(baseline, 3)}`, kind: "faint" });
  return [...marks, ...endLabels(labels, at)];
}

function endLabels(labels, at) {
  return apart(labels, 19, CURVE.height - CURVE.bottom).map((l) => label(at + 14, l.y + 5, l.text, `end ${l.kind}`, "start"));
}

function segment(curve, t) {
  const [from, to] = [curve.values[t], curve.values[t + 1]];
  if (from === null || to === null || to === undefined) return "";
  return `M${curve.x(t)},${curve.y(from)}L${curve.x(t + 1)},${curve.y(to)}`;
}

function sign(value) {
  if (!value) return "";
  return value > 0 ? "plus" : "minus";
}

function band(name) {
  return shape("rect", { class: `band ${name}`, y: CURVE.top, height: CURVE.height - CURVE.top - 10, rx: 3 });
}

function moveBand(curve, rect, t) {
  const width = Math.max(3, curve.x(t + 1) - curve.x(t));
  setAll(rect, { x: (curve.x(t) + curve.x(t + 1) - width) / 2, width });
}

export function moveGhost(view) {
  if (!view.curve) return;
  view.curve.ghost.setAttribute("visibility", view.hovered === null ? "hidden" : "visible");
  if (view.hovered !== null) moveBand(view.curve, view.curve.ghost, view.hovered);
}

export function listenToCurve(view, plot, { hover, choose }) {
  const under = (event) => (view.curve ? tokenAt(event, plot, view.curve.x, view.data.text.length) : null);
  plot.addEventListener("pointermove", (event) => hover(under(event), view.curve?.svg ?? plot));
  plot.addEventListener("pointerleave", () => hover(null));
  plot.addEventListener("click", (event) => {
    if (under(event) !== null) choose(under(event));
  });
}
