// A token tree under one policy or two, its controls, the terms of a path, and both descents.
// All numbers are Python's (vimpo_core/tree/tree_lab.py): here they are drawn, and
// whole thousandths are subtracted where it says so. A change is asked for at once, one question at a time: what
// changes while an answer is under way is asked for together afterwards, so a slider never queues up.

import { markTheme } from "../shared/colours.js";
import { element, setAll } from "../shared/elements.js";
import { REPORT_AFTER_MS, mountView, watchWidth } from "../shared/mounting.js";
import { fixed } from "../shared/numbers.js";
import { offerToSave } from "../shared/save_figure.js";
import { clamp } from "../shared/scales.js";
import { drawCharts } from "./descent_charts.js";
import { buildControls } from "./tree_controls.js";
import { drawLegend, paintTree, placeTrees } from "./tree_drawing.js";
import { NAMES } from "./tree_names.js";
import {
  chance, decodeFrames, firstLeaf, framesNow, lettersOf, letterOf, numbersOf, parentOf, pathTo, selectedNode, valueText, withSign,
} from "./tree_numbers.js";

const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");
const FRAME_MS = { moving: 100, calm: 500 };
const HEADING = "Every token sequence, with the value of each prefix";
const PATIENCE_MS = 3000; // an answer that has not come by then is not waited for
const OWN_TREE = ["vocab", "depth", "seed"];

export default function (component) {
  return mountView(component, ".tree-lab", createLab, updateLab);
}

// --- state ---------------------------------------------------------------------------------------------------------

function createLab(view) {
  const { root, at } = view;
  Object.assign(view, {
    state: {}, pending: {}, sent: {}, n: 0, waiting: 0, playing: 0, isPlayWanted: false, frames: null, framesVersion: "",
    trees: [], lookedAt: 0, weights: null,
  });
  at(".play").addEventListener("click", () => (view.playing ? pause(view) : play(view)));
  at(".step").addEventListener("click", () => goTo(view, view.state.at + 1));
  at(".rewind").addEventListener("click", () => goTo(view, 0));
  at(".scrubber input").addEventListener("input", (event) => goTo(view, Number(event.target.value)));
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && view.playing) pause(view);
  });
  offerToSave(at(".save"), root, () => view.trees.length && {
    name: "tree", about: view.data.about, heading: HEADING, parts: [view.trees[view.lookedAt].svg, at(".legend")],
  });
  watchWidth(view, at(".trees"), () => {
    measure(view);
    drawAll(view);
  });
  view.leave = () => {
    clearInterval(view.playing);
    clearTimeout(view.waiting);
  };
}

function updateLab(view, data) {
  const isFirst = !view.data;
  if (isFirst) {
    view.n = data.n;
    buildControls(view, data, { change, pause, drawAll });
  }
  if (data.n === view.n) {
    clearTimeout(view.waiting);
    [view.waiting, view.sent] = [0, {}];
  }
  view.data = data;
  // What was changed here since Python's question stays as it was changed.
  view.state = { ...data.state, ...plain(view.sent), ...plain(view.pending) };
  if (data.frames) [view.frames, view.framesVersion] = [decodeFrames(data), data.version];
  markTheme(view.root, data.styles);
  drawAll(view);
  view.root.dataset.answered = data.n;
  if (view.state.policy === "descent" && view.framesVersion !== data.version && !view.waiting) change(view, { at: view.state.at });
  else ask(view);
  if (view.isPlayWanted && framesNow(view)) play(view);
}

function plain({ edit, rewards, reset, ...names }) {
  return "path" in names ? { ...names, path: names.path === "start" ? "" : names.path } : names;
}

function change(view, changes, isSoon = false) {
  if (OWN_TREE.some((name) => name in changes)) {
    for (const name of ["path", "edit", "rewards"]) delete view.pending[name];
  }
  Object.assign(view.pending, changes);
  Object.assign(view.state, plain(changes));
  if (view.playing) return;
  clearTimeout(view.timer);
  if (isSoon) view.timer = setTimeout(() => ask(view), REPORT_AFTER_MS);
  else ask(view);
}

function ask(view) {
  if (view.waiting || view.playing || !Object.keys(view.pending).length) return;
  clearTimeout(view.timer);
  view.n += 1;
  [view.sent, view.pending] = [view.pending, {}];
  view.waiting = setTimeout(() => {
    view.waiting = 0;
    ask(view);
  }, PATIENCE_MS);
  view.report({ n: view.n, has: view.framesVersion, ...view.sent });
}

// --- drawing -------------------------------------------------------------------------------------------------------

// Asked once a width: asking after something was drawn makes the browser lay everything out at once.
function measure(view) {
  view.width = view.at(".trees").clientWidth;
  view.chartsWidth = view.at(".charts").clientWidth;
}

function drawAll(view) {
  if (!view.width) measure(view);
  if (!view.width) return;
  for (const control of Object.values(view.controls)) control.show();
  placeTrees(view, listenToTree);
  drawLegend(view);
  drawCharts(view);
  refresh(view);
}

// What changes with the step, the pointer and the selection.
function refresh(view) {
  for (const tree of view.trees) paintTree(view, tree);
  markPath(view);
  showTerms(view);
  showStep(view);
}

// --- a path --------------------------------------------------------------------------------------------------------

function markPath(view) {
  const node = view.hovered ?? selectedNode(view);
  const onPath = new Set([0, ...pathTo(node, view.data.vocab)]);
  const selected = selectedNode(view);
  for (const tree of view.trees) {
    tree.nodes.forEach(({ group }, i) => {
      group.classList.toggle("on-path", onPath.has(i));
      group.classList.toggle("chosen", i === node);
      group.setAttribute("aria-selected", i === selected ? "true" : "false");
      group.tabIndex = i === selected ? 0 : -1;
    });
  }
}

function showTerms(view) {
  const { data, state } = view;
  const node = view.hovered ?? selectedNode(view);
  const policy = view.trees[view.lookedAt]?.policy ?? view.trees[0].policy;
  const numbers = numbersOf(view, policy);
  const nodes = pathTo(node, data.vocab);
  const hasKappa = state.loss === "kappa";
  const totals = { rho: 0, kappa: 0, delta: 0 };
  const rows = nodes.map((i) => {
    const before = parentOf(i, data.vocab);
    const delta = numbers.implied[i] - numbers.implied[before];
    const kappa = hasKappa ? numbers.kappa[before] : 0;
    const rho = delta + kappa;
    totals.rho += rho;
    totals.kappa += kappa;
    totals.delta += delta;
    const reference = data.policies.reference.probability[i];
    const terms = hasKappa ? [withSign(rho), valueText(kappa), withSign(delta)] : [withSign(rho)];
    const chances = [numbers.probability[i], reference].map((whole) => chance(data, whole, 3));
    return [letterOf(i, data.vocab), ...chances, ...terms, valueText(numbers.implied[i])];
  });
  const sums = hasKappa ? [withSign(totals.rho), valueText(totals.kappa), withSign(totals.delta)] : [withSign(totals.rho)];
  const head = ["token", "π", "π_ref", ...(hasKappa ? ["ρ", "κ", "δ = ρ − κ"] : ["δ = ρ"]), "V implied"];
  const blank = Array(head.length - 2).fill("");
  const letters = element("b", "", lettersOf(node, data.vocab) || "not begun");
  view.at(".terms h4").replaceChildren("Path ", letters, `, ${NAMES.policy[policy].toLowerCase()}`);
  view.at(".terms table").replaceChildren(
    tableRow("thead", "th", head), tableRow("tbody", "td", ["start", ...blank, valueText(numbers.implied[0])], ...rows),
    tableRow("tfoot", "td", ["sum", "", "", ...sums, ""]),
  );
  view.at(".terms .sum").replaceChildren(...sumInWords(view, node, numbers, totals.delta));
}

function tableRow(tag, cell, ...rows) {
  return element(tag, "", ...rows.map((cells) => element("tr", "", ...cells.map((text) => element(cell, "", text)))));
}

function sumInWords(view, node, numbers, sum) {
  const { data } = view;
  if (node < firstLeaf(data)) {
    return [`So far the terms add up to ${withSign(sum)}. Go on to a leaf to compare them with its reward.`];
  }
  const reward = data.rewards[node - firstLeaf(data)] * data.reward_unit;
  const start = numbers.implied[0];
  const residual = element("b", "", `residual ${withSign(sum - (reward - start))}`);
  const anchor = view.state.loss === "kappa" ? "mean reward" : "(mean reward − β KL)";
  const difference = `reward − ${anchor} = ${valueText(reward, 0)} − ${valueText(start)} = ${withSign(reward - start)}`;
  return [`The terms add up to ${withSign(sum)}; ${difference}: `, residual, "."];
}

// --- pointer and keys ----------------------------------------------------------------------------------------------

function listenToTree(view, index, plot) {
  const nodeAt = (event) => {
    const group = event.target.closest?.(".node");
    return group ? Number(group.dataset.index) : null;
  };
  const look = (node) => {
    if (view.hovered === node) return;
    view.hovered = node;
    if (node !== null) view.lookedAt = index;
    markPath(view);
    showTerms(view);
  };
  plot.addEventListener("pointerover", (event) => look(nodeAt(event)));
  plot.addEventListener("pointerleave", () => look(null));
  plot.addEventListener("focusin", () => {
    view.lookedAt = index;
    showTerms(view);
  });
  plot.addEventListener("click", (event) => {
    const node = nodeAt(event);
    if (node === null) return;
    view.lookedAt = index;
    select(view, node, index);
    if (event.target.closest(".mark, .ring")) toggle(view, node);
  });
  plot.addEventListener("keydown", (event) => onKey(view, event, nodeAt(event), index));
}

function onKey(view, event, node, index) {
  if (node === null || event.ctrlKey || event.metaKey || event.altKey) return;
  const { vocab } = view.data;
  const first = firstLeaf(view.data);
  const offset = (i) => pathTo(i, vocab).length;
  const beside = (step) => (node + step >= 0 && offset(node + step) === offset(node) ? node + step : node);
  const moves = {
    ArrowUp: () => (node ? parentOf(node, vocab) : 0),
    ArrowDown: () => (node < first ? vocab * node + 1 : node),
    ArrowLeft: () => beside(-1),
    ArrowRight: () => (node + 1 < view.trees[index].nodes.length ? beside(1) : node),
    Home: () => 0,
  };
  const isChange = event.key === "Enter" || event.key === " ";
  if (!isChange && !(event.key in moves)) return;
  event.preventDefault();
  if (isChange) toggle(view, node);
  else select(view, moves[event.key](), index);
}

function select(view, node, index) {
  const letters = lettersOf(node, view.data.vocab);
  view.hovered = null;
  view.weights = null;
  if (letters !== view.state.path) change(view, { path: letters || "start" }, true);
  markPath(view);
  view.trees[index].nodes[node].group.focus({ preventScroll: true });
  view.controls.ref?.show();
  showTerms(view);
}

// Four leaves a hexadecimal digit, as app/tree/tree_link.py reads them.
function toggle(view, node) {
  const { data } = view;
  const leaf = node - firstLeaf(data);
  if (leaf < 0 || !view.canToggle) return;
  pause(view);
  data.rewards[leaf] = 1 - data.rewards[leaf];
  const bits = data.rewards.join("");
  const digits = bits.match(/.{1,4}/g).map((four) => parseInt(four.padEnd(4, "0"), 2).toString(16));
  change(view, { path: view.state.path, rewards: digits.join("") });
  refresh(view);
}

// --- the descent ---------------------------------------------------------------------------------------------------

function play(view) {
  const { steps } = view.data.options;
  view.isPlayWanted = true;
  if (view.state.policy !== "descent") {
    change(view, { policy: "descent", at: view.state.at >= steps ? 0 : view.state.at });
    drawAll(view);
    return;
  }
  if (!framesNow(view)) return;
  view.isPlayWanted = false;
  if (view.state.at >= steps) change(view, { at: 0 }, true);
  clearTimeout(view.timer);
  view.root.classList.toggle("moving", !CALM.matches);
  view.playing = setInterval(() => {
    change(view, { at: Math.min(view.state.at + 1, steps) });
    refresh(view);
    if (view.state.at >= steps) pause(view);
  }, CALM.matches ? FRAME_MS.calm : FRAME_MS.moving);
  showStep(view);
}

function pause(view) {
  view.isPlayWanted = false;
  if (!view.playing) return;
  clearInterval(view.playing);
  view.playing = 0;
  view.root.classList.remove("moving");
  showStep(view);
  ask(view);
}

function goTo(view, step) {
  pause(view);
  const at = clamp(step, 0, view.data.options.steps);
  const isNew = view.state.policy !== "descent";
  change(view, isNew ? { policy: "descent", at } : { at }, !isNew);
  (isNew ? drawAll : refresh)(view);
}

function showStep(view) {
  const { data, state } = view;
  const curves = data.curves[state.loss];
  const { at } = state;
  view.at(".play").textContent = view.playing ? "❚❚ Pause" : "▶ Play";
  view.at(".scrubber input").value = at;
  view.at(".at-step").textContent = `step ${at} of ${data.options.steps}`;
  const where = view.at(".where");
  where.setAttribute("aria-live", view.playing ? "off" : "polite");
  const [local, soft] = [fixed(curves.local[at], 3), fixed(curves.soft[at], 3)];
  where.textContent = `${NAMES.loss[state.loss]}: loss ${fixed(curves.loss[at], 4)}, ` +
    `path total variation ${local} to the local fixed point, ${soft} to the soft optimum.`;
  for (const chart of view.charts ?? []) setAll(chart.cursor, { x1: chart.x(at), x2: chart.x(at) });
}
