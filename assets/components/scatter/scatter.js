// Reward against telescope: one mark a solution, circle for right and cross for wrong. A click or Enter reports
// which solution to open; nothing is computed here.

import { element, label, level, shape, upright } from "../shared/elements.js";
import { mountView } from "../shared/mounting.js";
import { decimalsFor, fixed } from "../shared/numbers.js";
import { offerToSave } from "../shared/save_figure.js";
import { extent, placeOfKey, scale, ticksWithin } from "../shared/scales.js";

const MARGIN = { left: 62, right: 16, top: 12, bottom: 50 };
const HEADING = "Reward against the sum of the token credits; a circle is a right solution, a cross a wrong one";
const LARGEST = 520; // px; both axes have one scale, so the line is at 45 degrees and the plot is square

export default function (component) {
  const report = ({ group, sample }) => component.setTriggerValue("open", { group, sample });
  return mountView(component, ".scatter", createChart, update, report);
}

function update(chart, data) {
  const isNew = chart.data?.version !== data.version;
  chart.data = data;
  if (isNew) draw(chart);
  mark(chart);
}

function createChart(chart) {
  Object.assign(chart, { nodes: [], order: [], size: 0 });
  const plot = chart.at(".plot");
  const indexOf = (event) => {
    const node = event.target.closest?.(".point");
    return node ? Number(node.dataset.index) : null;
  };
  plot.addEventListener("click", (event) => {
    if (indexOf(event) !== null) chart.report(chart.data.points[indexOf(event)]);
  });
  plot.addEventListener("pointerover", (event) => tell(chart, indexOf(event)));
  plot.addEventListener("pointerleave", () => tell(chart, null));
  plot.addEventListener("focusin", (event) => tell(chart, indexOf(event)));
  plot.addEventListener("focusout", () => tell(chart, null));
  plot.addEventListener("keydown", (event) => onKey(chart, event, indexOf(event)));
  offerToSave(chart.at(".save"), chart.root, () => chart.svg && {
    name: "reward-against-telescope", about: chart.data.about, heading: HEADING, parts: [chart.svg],
  });
  chart.resize = new ResizeObserver(() => {
    if (chart.data && sizeOf(chart) !== chart.size) {
      draw(chart);
      mark(chart);
    }
  });
  chart.resize.observe(chart.root);
}

function onKey(chart, event, index) {
  if (index === null) return;
  if (event.key === "Escape") tell(chart, null);
  const isOpening = event.key === "Enter" || event.key === " ";
  const to = placeOfKey(event.key, chart.order.indexOf(index), chart.order.length);
  if (!isOpening && to === null) return;
  event.preventDefault();
  if (isOpening) {
    chart.report(chart.data.points[index]);
    return;
  }
  rove(chart, chart.order[to]);
  chart.nodes[chart.order[to]].focus({ preventScroll: true });
}

function rove(chart, index) {
  for (const node of chart.nodes) node.tabIndex = -1;
  if (chart.nodes[index]) chart.nodes[index].tabIndex = 0;
}

// --- drawing --------------------------------------------------------------------------------------------------------

function sizeOf(chart) {
  return Math.min(LARGEST, Math.max(280, chart.root.clientWidth));
}

function draw(chart) {
  const { points } = chart.data;
  const size = (chart.size = sizeOf(chart));
  const [low, high] = extent([...points.flatMap((p) => [p.x, p.y]), 0]);
  const pad = 0.08 * (high - low || 1);
  const [from, to] = [low - pad, high + pad];
  const room = size - MARGIN.left - MARGIN.right;
  const x = scale(from, to, MARGIN.left, MARGIN.left + room);
  const y = scale(from, to, MARGIN.top + room, MARGIN.top);
  const svg = shape("svg", { width: size, height: MARGIN.top + room + MARGIN.bottom, role: "none" });
  svg.append(...axes(chart.data, x, y, from, to, room), ...fitLine(x, y, from, to));
  if (chart.data.residuals) svg.append(...points.map((p) => way(x, y, p)));
  chart.nodes = points.map((point, index) => pointNode(point, index, x(point.x), y(point.y)));
  chart.order = points.map((_, index) => index).sort((a, b) => points[a].x - points[b].x || points[a].y - points[b].y);
  // This prompt's solutions lie on top.
  const onTop = [...chart.nodes].sort((a, b) => points[a.dataset.index].own - points[b.dataset.index].own);
  svg.append(...onTop);
  chart.svg = svg;
  chart.at(".plot").replaceChildren(svg);
}

function axes(data, x, y, from, to, room) {
  const ticks = ticksWithin(from, to, 7);
  const decimals = Math.max(1, decimalsFor(ticks[1] - ticks[0]));
  const nodes = ticks.flatMap((u) => {
    const kind = u === 0 ? "zero" : "grid";
    return [
      upright(kind, x(u), y(from), y(to)),
      level(kind, x(from), x(to), y(u)),
      label(x(u), y(from) + 20, fixed(u, decimals), "", "middle"),
      label(x(from) - 8, y(u) + 5, fixed(u, decimals), "", "end"),
    ];
  });
  const side = label(16, y(from) - room / 2, `reward − ${data.anchor}`, "axis", "middle");
  side.setAttribute("transform", `rotate(-90 16 ${y(from) - room / 2})`);
  const below = label(x(from) + room / 2, y(from) + 43, `sum of the token credits ${data.symbol}, in reward`, "axis", "middle");
  return [...nodes, below, side];
}

function fitLine(x, y, from, to) {
  const at = to - 0.04 * (to - from);
  return [
    shape("line", { class: "fit", x1: x(from), y1: y(from), x2: x(to), y2: y(to) }),
    label(x(at) - 10, y(at) + 4, "no residual", "fit-label", "end"),
  ];
}

// From a solution to the line, the way its credits have to go: a residual as a length.
function way(x, y, point) {
  return level("way", x(point.x), x(point.y), y(point.y));
}

function pointNode(point, index, cx, cy) {
  const node = shape("g", {
    class: `point ${point.right ? "right" : "wrong"}${point.own ? " own" : ""}`, role: "option", tabindex: -1,
    transform: `translate(${cx.toFixed(1)} ${cy.toFixed(1)})`, "aria-label": point.lines.join(", "), "aria-selected": "false",
  });
  node.dataset.index = index;
  node.append(
    shape("circle", { class: "target", r: 12 }),
    shape("circle", { class: "ring", r: 10 }),
    point.right ? shape("circle", { class: "mark", r: 5.5 }) : shape("path", { class: "mark", d: "M-5,-5L5,5M-5,5L5,-5" }),
  );
  return node;
}

// The solution that the page shows.
function mark(chart) {
  const { points, group, sample } = chart.data;
  const chosen = points.findIndex((p) => p.group === group && p.sample === sample);
  chart.nodes.forEach((node, index) => {
    node.classList.toggle("chosen", index === chosen);
    node.classList.toggle("own", points[index].group === group);
    node.setAttribute("aria-selected", index === chosen ? "true" : "false");
  });
  const isFocused = chart.nodes.some((node) => node.matches(":focus"));
  if (!isFocused) rove(chart, chosen === -1 ? (chart.order[0] ?? 0) : chosen);
}

function tell(chart, index) {
  const tip = chart.at(".tip");
  for (const node of chart.nodes) node.classList.toggle("active", Number(node.dataset.index) === index);
  tip.hidden = index === null;
  if (index === null) return;
  tip.replaceChildren(...chart.data.points[index].lines.map((text, n) => element("p", n === 0 ? "head" : "", text)));
  const frame = chart.root.getBoundingClientRect();
  const at = chart.nodes[index].getBoundingClientRect();
  const left = at.right - frame.left + 10;
  const isRoom = left + tip.offsetWidth <= Math.max(frame.width, chart.size);
  tip.style.left = `${isRoom ? left : Math.max(0, at.left - frame.left - tip.offsetWidth - 10)}px`;
  tip.style.top = `${Math.max(0, at.top - frame.top - 10)}px`;
}
