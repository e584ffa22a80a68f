// Is it right? Implied V_t, Monte Carlo V^pi, the soft optimum's value and, where the run has one, the learned critic's V_t on
// one axis; below them the advantages.
//
// Python sends truth_views.truth_payload again whenever more tries are in: the drawing is refilled in one go, the axes of a
// solution never shrink meanwhile, selection and focus stay. Hovering and selecting happen here; Python hears which token
// is selected, to put it in the address. Nothing is computed here but places on the screen.

import { markTheme } from "../shared/colours.js";
import { apart, path, yAxis } from "../shared/drawing.js";
import { element, label, level, setAll, shape } from "../shared/elements.js";
import { stepMarks, tokenAt, tokenNames, tokenTitle, axisOfTokens } from "../shared/lenses.js";
import { markOf } from "../shared/marks.js";
import { followPython, mountView, reportSoon, watchWidth } from "../shared/mounting.js";
import { fixed, signed } from "../shared/numbers.js";
import { offerToSave } from "../shared/save_figure.js";
import { clamp, placeOfKey, scale } from "../shared/scales.js";

const PLOT = { left: 48, right: 124, top: 24, values: 250, labels: 40, gap: 22, credits: 170, bottom: 14 };
const MISSING = "not recorded";
const NOT_TRIED = "not tried";

export default function (component) {
  return mountView(component, ".truth", createView, update);
}

function createView(view) {
  view.scale = { key: "", low: 0, high: 1, most: 0 };
  listen(view, view.at(".plot"));
  offerToSave(view.at(".save"), view.root, () => view.svg && {
    name: "is-it-right",
    about: view.data.about,
    heading: `Is it right? Implied credit beside ${view.data.rollouts} tries from each prefix`,
    parts: [view.at(".keys"), { node: view.svg, under: axisOfTokens(view.data) }],
  });
  watchWidth(view, view.at(".plot"), () => draw(view));
}

function update(view, data) {
  const isNew = view.data?.version !== data.version;
  const isOther = view.data?.text.join("\u0000") !== data.text.join("\u0000");
  const token = followPython(view, "token", data.token, isOther);
  view.data = data;
  view.token = clamp(token, 0, data.text.length - 1);
  markTheme(view.root, data.styles);
  if (isNew || !view.svg) draw(view);
  else show(view);
}

// --- drawing ---------------------------------------------------------------------------------------------------------

function draw(view) {
  const { data } = view;
  const plot = view.at(".plot");
  view.width = plot.clientWidth;
  if (!view.width || !data.text.length) return;
  keepScale(view);
  const chart = axesOf(view);
  const { svg, x, y, c, count } = chart;
  const middle = (t) => x(t) + (x(1) - x(0)) / 2;
  chart.selection = shape("rect", { class: "band selection", rx: 3 });
  chart.ghost = shape("rect", { class: "band ghost", rx: 3 });
  svg.append(
    ...yAxis(x, y, view.scale.low, view.scale.high, count),
    ...yAxis(x, c, -view.scale.most, view.scale.most, count),
    level("zero", x(0), x(count), c(0)),
    ...stepMarks(data, x, PLOT.top, PLOT.top + PLOT.values),
    ...stepMarks(data, x, chart.credits, chart.credits + PLOT.credits),
    chart.ghost, chart.selection,
    label(x(0), PLOT.top - 9, "value of the prefix, reward", "panel", "start"),
    label(x(0), chart.credits - 8, "advantage of the token, reward", "panel", "start"),
    shape("path", { class: "soft-band", d: area(x, y, data.soft) }),
    shape("path", { class: "tried-band", d: area(x, y, data.monte_carlo) }),
    shape("path", { class: "soft", d: joined(x, y, data.soft.value) }),
    ...(data.values ? [shape("path", { class: "implied", d: path(x, y, data.values) })] : []),
    ...(data.critic ? [shape("path", { class: "critic", d: path(x, y, data.critic) })] : []),
    shape("path", { class: "tried", d: joined(x, y, data.monte_carlo.value) }),
    ...(data.stretches.length ? places(data.monte_carlo.value, x, y) : []),
    ...names(data, x, y, count),
    ...(data.advantages ? bars(data.advantages, x, c) : []),
    ...(data.grpo === null ? [] : [
      level("flat", x(0), x(count), c(data.grpo)),
      label(x(count) + 8, c(data.grpo) + 5, "R − mean, flat", "name name-flat", "start"),
    ]),
    ...(data.critic_steps ? ticks(data.critic_steps, x, c) : []),
    ...tries(data.difference, middle, c, x(1) - x(0)),
    ...stretches(data.stretches, x, c),
    ...tokenNames(data, x, chart.labels),
  );
  view.chart = chart;
  view.svg = svg;
  drawKeys(view);
  plot.replaceChildren(svg);
  show(view);
}

// Grows with what has to be shown and never shrinks for the same solution and beta, so that refining does not move the axes.
function keepScale({ data, scale: kept }) {
  const key = `${data.beta} ${data.text.join("\u0000")} ${data.monte_carlo.value.at(-1)}`;
  if (kept.key !== key) Object.assign(kept, { key, low: 0, high: 1, most: 0 });
  const known = (list) => (list ?? []).filter((u) => u !== null);
  const values = [...known(data.values), ...known(data.critic)];
  kept.low = Math.min(kept.low, ...values) - (Math.min(...values) < kept.low ? 0.05 : 0);
  kept.high = Math.max(kept.high, ...values);
  const { value, low, high } = data.difference;
  const together = data.stretches.flatMap((one) => [one.value, one.low, one.high]);
  const credits = [data.advantages, data.critic_steps, value, low, high, together, [data.grpo ?? 0]].flatMap(known);
  const most = Math.max(...credits.map(Math.abs), 0.05);
  if (most > kept.most) kept.most = Math.ceil(most * 8) / 8;
}

function axesOf(view) {
  const { data, scale: kept, width } = view;
  const count = data.text.length;
  const labels = PLOT.top + PLOT.values + 22;
  const credits = PLOT.top + PLOT.values + PLOT.labels + PLOT.gap;
  const height = credits + PLOT.credits + PLOT.bottom;
  const pad = 0.03 * (kept.high - kept.low);
  const x = scale(0, count, PLOT.left, width - PLOT.right);
  const y = scale(kept.low - pad, kept.high + pad, PLOT.top + PLOT.values, PLOT.top);
  const c = scale(-kept.most, kept.most, credits + PLOT.credits, credits);
  const svg = shape("svg", { width, height, role: "none" });
  return { svg, x, y, c, count, labels, credits, height };
}

// Through the prefixes that were tried, straight over those that were not.
function joined(x, y, values) {
  return `M${corners(x, y, values).join("L")}`;
}

// Where prefixes were tried, if not all of them were.
function places(values, x, y) {
  return values.flatMap((u, t) => (u === null ? [] : [shape("circle", { class: "dot", cx: x(t), cy: y(u), r: 3 })]));
}

function area(x, y, { low, high }) {
  return `${joined(x, y, high)}L${corners(x, y, low).reverse().join("L")}Z`;
}

function corners(x, y, values) {
  return values.map((u, t) => (u === null ? "" : `${x(t).toFixed(1)},${y(u).toFixed(1)}`)).filter(Boolean);
}

// What the tokens between two tried prefixes changed together: a line across them, its interval in the middle.
function stretches(list, x, c) {
  return list.map(({ from, to, value, low, high }) => {
    const middle = (x(from) + x(to)) / 2;
    const whisker = high - low < 1e-9 ? "" : `M${middle},${c(low)}V${c(high)}M${middle - 4},${c(low)}h8M${middle - 4},${c(high)}h8`;
    return shape("path", { class: "whisker", d: `M${x(from) + 2},${c(value)}H${x(to) - 2}${whisker}` });
  });
}

function bars(advantages, x, c) {
  const width = x(1) - x(0);
  return advantages.map((u, t) => {
    if (!u) return null;
    const [top, bottom] = [Math.min(c(u), c(0)), Math.max(c(u), c(0))];
    return shape("rect", {
      class: u > 0 ? "bar-plus" : "bar-minus", x: x(t) + 0.16 * width, width: 0.68 * width, y: top, height: bottom - top,
    });
  }).filter(Boolean);
}

// What the critic says of each token: a short line across its column.
function ticks(steps, x, c) {
  const width = x(1) - x(0);
  const marks = steps.map((u, t) => (u === null ? "" : `M${x(t) + 0.16 * width},${c(u)}h${0.68 * width}`));
  return [shape("path", { class: "critic-step", d: marks.join("") })];
}

// Dot and interval of each token; what was certain and changed nothing needs no interval.
function tries({ value, low, high }, middle, c, width) {
  const cap = Math.min(4, width / 4);
  const capAt = (t, u) => `M${middle(t) - cap},${c(u)}h${2 * cap}`;
  const whisker = (t) => `M${middle(t)},${c(low[t])}V${c(high[t])}${capAt(t, low[t])}${capAt(t, high[t])}`;
  const whiskers = value.map((u, t) => (u === null || high[t] - low[t] < 1e-9 ? "" : whisker(t))).join("");
  const radius = Math.min(4, Math.max(1.5, width / 4));
  return [
    shape("path", { class: "whisker", d: whiskers }),
    ...value.flatMap((u, t) => (u === null ? [] : [shape("circle", { class: "dot", cx: middle(t), cy: c(u), r: radius })])),
  ];
}

// At the right end of the curves, pushed apart where they would overlap.
function names(data, x, y, count) {
  const list = [
    { y: y(data.monte_carlo.value.at(-1)), text: "Monte Carlo", kind: "" },
    { y: y(data.soft.value.at(-1)), text: "soft optimum", kind: "name-soft" },
  ];
  if (data.values?.at(-1) != null) list.push({ y: y(data.values.at(-1)), text: "implied", kind: "name-implied" });
  if (data.critic?.at(-1) != null) list.push({ y: y(data.critic.at(-1)), text: "learned critic", kind: "name-critic" });
  return apart(list, 18, PLOT.top + PLOT.values)
    .map((one) => label(x(count) + 8, one.y + 5, one.text, `name ${one.kind}`, "start"));
}

function drawKeys(view) {
  const { data } = view;
  const line = (className) => key(level(className, 1, 27, 6));
  const band = (className) => shape("rect", { class: `${className}-band`, x: 0, y: 0, width: 28, height: 12 });
  const anchor = data.anchor === "start" ? `start-anchored at the ${data.anchor_name}` : "end-anchored, R added";
  const entries = [
    [data.values ? line("implied") : key(), `implied V, ${data.values ? anchor : MISSING}`],
    [key(band("tried"), level("tried", 2, 27, 6)), `Monte Carlo ${data.value_name} of the policy, 95% interval`],
    [key(band("soft"), level("soft", 0, 28, 6)), `soft optimum at beta ${data.beta}, from the reference's tries`],
    [key(
      shape("rect", { class: "bar-plus", x: 2, y: 1, width: 9, height: 10 }),
      shape("rect", { class: "bar-minus", x: 16, y: 1, width: 9, height: 10 }),
    ), data.advantages ? "implied δ" : `implied δ, ${MISSING}`],
    [key(
      shape("path", { class: "whisker", d: "M14,0V12M10,0h8M10,12h8" }), shape("circle", { class: "dot", cx: 14, cy: 6, r: 4 }),
    ), "Monte Carlo Q − V, 95% interval"],
    data.grpo === null ? [key(), "R − group mean: needs a group"] : [line("flat"), "R − group mean, before GRPO's spread"],
  ];
  if (data.critic) {
    entries.splice(3, 0, [line("critic"), "V of the run's learned critic, before each token; short lines: its V(next) − V"]);
  }
  view.at(".keys").replaceChildren(...entries.map(([mark, text]) => element("span", "", mark, text)));
}

function key(...shapes) {
  return shapes.length ? element("i", "", shape("svg", { viewBox: "0 0 28 12" }, ...shapes)) : "";
}

// --- the selected and the hovered token ------------------------------------------------------------------------------

function show(view) {
  const { chart, data, token } = view;
  if (!chart) return;
  place(chart, chart.selection, token);
  chart.ghost.setAttribute("visibility", view.hovered === null ? "hidden" : "visible");
  if (view.hovered !== null) place(chart, chart.ghost, view.hovered);
  const t = view.hovered ?? token;
  view.at(".readout").replaceChildren(...readout(data, t));
  const said = { "aria-valuemax": data.text.length - 1, "aria-valuenow": token, "aria-valuetext": spoken(data, token) };
  setAll(view.at(".plot"), said);
}

function place(chart, rect, t) {
  const width = Math.max(3, chart.x(t + 1) - chart.x(t));
  setAll(rect, { x: chart.x(t), width, y: PLOT.top, height: chart.height - PLOT.top - PLOT.bottom });
}

function readout(data, t) {
  const { implied, truth } = data.decimals;
  const head = tokenTitle(data, t);
  head.append(element("span", "of", `of ${data.text.length}, counted from 0`));
  const bounds = ({ low, high }, at, format) => `${format(low[at], truth)} to ${format(high[at], truth)}`;
  const within = (band, at, format) => (band.value[at] === null ? [NOT_TRIED] : [
    format(band.value[at], truth), " ",
    element("small", "", band.high[at] - band.low[at] < 1e-9 ? "exact" : bounds(band, at, format)),
  ]);
  const stretch = data.stretches.find((one) => one.from <= t && t < one.to);
  const together = stretch && [
    signed(stretch.value, truth), " ",
    element("small", "", `${signed(stretch.low, truth)} to ${signed(stretch.high, truth)}`),
  ];
  const number = (list, at, format) => (list ? format(list[at], implied) : MISSING);
  const values = [
    ["implied V", [number(data.values, t, fixed)], [number(data.values, t + 1, fixed)]],
    ["Monte Carlo", within(data.monte_carlo, t, fixed), within(data.monte_carlo, t + 1, fixed)],
    ["soft optimum", within(data.soft, t, fixed), within(data.soft, t + 1, fixed)],
  ];
  if (data.critic) values.splice(1, 0, ["learned critic", [fixed(data.critic[t], truth)], [criticAfter(data, t)]]);
  const credits = [
    ["implied δ", [number(data.advantages, t, signed)]],
    stretch ? [`Monte Carlo Q − V of #${stretch.from} to #${stretch.to - 1}`, together]
      : ["Monte Carlo Q − V", within(data.difference, t, signed)],
    ["R − group mean", [data.grpo === null ? "needs a group" : signed(data.grpo, truth)]],
  ];
  if (data.critic_steps) credits.splice(1, 0, ["learned critic, V(next) − V", [signed(data.critic_steps[t], truth)]]);
  return [
    head,
    table("Value of the prefix", ["", "before", "after"], values.map(([name, before, after]) => [[name], before, after])),
    table("Advantage of the token", null, credits.map(([name, ...cells]) => [[name], ...cells])),
    element("p", "of", `${data.rollouts} tries from each ${data.stretches.length ? "tried " : ""}prefix; intervals 95%.`),
  ];
}

// The critic judges what is still to be written: after the last token the reward itself takes its place.
function criticAfter(data, t) {
  return t + 1 < data.critic.length ? fixed(data.critic[t + 1], data.decimals.truth) : "reward";
}

function table(caption, heads, rows) {
  const line = (cells, tag) => element("tr", "", ...cells.map((cell, i) => element(i && tag === "td" ? "td" : "th", "", ...cell)));
  const top = heads ? [line(heads.map((h) => [h]), "th")] : [];
  return element("table", "", element("caption", "", caption), element("tbody", "", ...top, ...rows.map((row) => line(row, "td"))));
}

function spoken(data, t) {
  const implied = data.advantages ? signed(data.advantages[t], data.decimals.implied) : MISSING;
  const { value, low, high } = data.difference;
  const critic = data.critic_steps ? `learned critic ${signed(data.critic_steps[t], 2)}, ` : "";
  const mark = markOf(data);
  const wrong = t === mark.token ? `, ${mark.name}` : "";
  const tried = value[t] === null ? NOT_TRIED
    : `Monte Carlo ${signed(value[t], 2)}, ${signed(low[t], 2)} to ${signed(high[t], 2)}`;
  return `token ${t}, ${data.text[t]}${wrong}: implied ${implied}, ${critic}${tried}`;
}

// --- pointer and keys ------------------------------------------------------------------------------------------------

function listen(view, plot) {
  const under = (event) => (view.chart ? tokenAt(event, plot, view.chart.x, view.data.text.length) : null);
  const hover = (t) => {
    if (t === view.hovered) return;
    view.hovered = t;
    show(view);
  };
  plot.addEventListener("pointermove", (event) => hover(under(event)));
  plot.addEventListener("pointerleave", () => hover(null));
  plot.addEventListener("click", (event) => {
    if (under(event) !== null) choose(view, under(event));
  });
  plot.addEventListener("keydown", (event) => {
    const to = placeOfKey(event.key, view.token, view.data.text.length);
    if (to === null) return;
    event.preventDefault();
    view.hovered = null;
    choose(view, to);
  });
}

function choose(view, token) {
  if (token === view.token) return;
  view.token = token;
  show(view);
  reportSoon(view, () => ({ token: view.token }));
}
