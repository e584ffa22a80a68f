// Token trees drawn: laid out once a width, painted with every step; captions, spoken names and the legend.

import { paintSign, ramp } from "../shared/colours.js";
import { element, label, shape } from "../shared/elements.js";
import { fixed } from "../shared/numbers.js";
import { NAMES } from "./tree_names.js";
import {
  chance, firstLeaf, letterOf, lettersOf, numbersOf, parentOf, policiesDrawn, selectedNode, valueText, valuesOf,
} from "./tree_numbers.js";

const ROW_HEIGHT = { 2: 120, 3: 98, 4: 90, 5: 80 };
const EDGE = { top: 24, side: 6, bottom: 26 };
// Below, px a node needs for its value, its token, token and probability, its reward, a value below it.
const ROOM = { pill: 50, letter: 13, chance: 52, digit: 13, below: 42 };

// `listen(view, index, plot)`: called for each tree that is built.
export function placeTrees(view, listen) {
  const { data, state } = view;
  const policies = policiesDrawn(view);
  const isBeside = policies.length === 2 && view.width >= 1000;
  const width = isBeside ? (view.width - 28) / 2 : view.width;
  const layout = [data.vocab, data.depth, policies.length, width, state.values === "implied"].join();
  if (view.layout !== layout) {
    const hadFocus = Boolean(view.root.getRootNode().activeElement?.closest(".node"));
    view.layout = layout;
    view.trees = policies.map((_, index) => buildTree(view, index, width, listen));
    view.at(".trees").classList.toggle("beside", isBeside);
    view.at(".trees").replaceChildren(...view.trees.map((tree) => tree.figure));
    view.lookedAt = Math.min(view.lookedAt, policies.length - 1);
    if (hadFocus) view.trees[view.lookedAt].nodes[selectedNode(view)].group.focus({ preventScroll: true });
  }
  policies.forEach((policy, index) => { view.trees[index].policy = policy; });
}

function buildTree(view, index, width, listen) {
  const { data } = view;
  const { vocab, depth } = data;
  const row = ROW_HEIGHT[depth];
  const leaves = data.rewards.length;
  const hasLeafValues = view.state.values === "implied" && (width - 2 * EDGE.side) / leaves >= ROOM.below;
  const height = EDGE.top + row * depth + EDGE.bottom + (hasLeafValues ? 22 : 0);
  const svg = shape("svg", { width, height, role: "none" });
  const nodes = [];
  for (let d = 0, i = 0; d <= depth; d++) {
    const room = (width - 2 * EDGE.side) / vocab ** d;
    for (let k = 0; k < vocab ** d; k++, i++) {
      const x = EDGE.side + room * (k + 0.5);
      const parent = nodes[parentOf(i, vocab)];
      nodes.push(buildNode(i, { x, y: EDGE.top + row * d, room, d, vocab, depth, position: k % vocab, parent }));
    }
  }
  svg.append(...nodes.map((node) => node.group));
  const plot = element("div", "plot");
  plot.setAttribute("role", "tree");
  plot.append(svg);
  const caption = element("figcaption");
  const figure = element("figure", "", caption, plot);
  listen(view, index, plot);
  return { figure, caption, plot, svg, nodes, policy: null };
}

function buildNode(i, { x, y, room, d, vocab, depth, position, parent }) {
  const isLeaf = d === depth;
  const group = shape("g", {
    class: `node${isLeaf ? " leaf" : ""}`, role: "treeitem", tabindex: -1, "aria-level": d + 1, "aria-selected": "false",
    "aria-posinset": d ? position + 1 : 1, "aria-setsize": d ? vocab : 1,
  });
  if (!isLeaf) group.setAttribute("aria-expanded", "true");
  group.dataset.index = i;
  const small = isLeaf ? Math.max(2.5, Math.min(12, room * 0.4)) : Math.max(3, Math.min(9, room * 0.36));
  const half = !isLeaf && room >= ROOM.pill ? 13 : small;
  const node = { group, x, y, room, half, isLeaf };
  if (parent) {
    const [from, to] = [parent.y + parent.half, y - half];
    const line = `M${parent.x},${from}C${parent.x},${(from + to) / 2} ${x},${(from + to) / 2} ${x},${to}`;
    node.edge = shape("path", { class: "edge", d: line });
    group.append(shape("path", { class: "reach", d: line }), shape("path", { class: "glow", d: line }), node.edge);
    if (room >= ROOM.letter) {
      node.name = label(x, to - 9, letterOf(i, vocab), "edge-name", "middle");
      const wide = room >= ROOM.chance ? 42 : 13; // the edge stops behind its name
      const paper = shape("rect", { class: "under-name", x: x - wide / 2, y: to - 24, width: wide, height: 19 });
      group.append(paper, node.name);
    }
  }
  const hasText = isLeaf ? 2 * half >= ROOM.digit : room >= ROOM.pill;
  const wide = !isLeaf && hasText ? Math.min(52, room - 4) / 2 : half;
  const box = (name, more) => shape("rect", {
    class: name, x: x - wide - more, y: y - half - more, width: 2 * (wide + more), height: 2 * (half + more),
    rx: isLeaf ? 2 : half + more,
  });
  node.mark = box("mark", 0);
  group.append(box("ring", 4), node.mark);
  if (hasText) {
    node.text = label(x, y + (isLeaf ? Math.min(6, half * 0.55) : 6), "", "mark-text", "middle");
    if (isLeaf) node.text.style.fontSize = `${Math.min(16, 1.7 * half).toFixed(1)}px`;
    group.append(node.text);
  }
  if (isLeaf && room >= ROOM.below) {
    node.below = label(x, y + half + 19, "", "below-text", "middle");
    group.append(node.below);
  }
  return node;
}

export function paintTree(view, tree) {
  const { data, state } = view;
  const numbers = numbersOf(view, tree.policy);
  const values = valuesOf(view, numbers);
  const first = firstLeaf(data);
  tree.figure.dataset.hue = hueOf(view, tree.policy);
  say(tree.plot, `Token tree, ${NAMES.policy[tree.policy]}: arrow keys walk, Enter changes a leaf's reward`);
  tree.caption.replaceChildren(...captionOf(view, tree.policy, numbers));
  tree.nodes.forEach((node, i) => {
    const probability = numbers.probability[i] / data.probability_unit;
    if (node.edge) {
      node.edge.style.strokeWidth = (1 + Math.min(10, node.room * 0.55) * probability).toFixed(2);
      node.edge.style.opacity = (0.25 + 0.75 * probability).toFixed(3);
      const shown = chance(data, numbers.probability[i]).replace(/^0/, "");
      if (node.room >= ROOM.chance) put(node.name, `${letterOf(i, data.vocab)} ${shown}`);
    }
    const away = (values[i] - values[0]) / data.reward_unit;
    const { sign } = ramp(away, 1, true);
    if (node.isLeaf) {
      const reward = data.rewards[i - first];
      node.group.dataset.reward = reward;
      if (node.text) put(node.text, String(reward));
      if (node.below) put(node.below, state.values === "implied" ? valueText(values[i], 2) : "");
    } else {
      paintSign(node.mark, away, { max: 1, signed: true });
      if (node.text) put(node.text, valueText(values[i], 2));
    }
    say(node.group, spoken(view, i, numbers, values, sign));
  });
}

function spoken(view, i, numbers, values, sign) {
  const { data } = view;
  const value = `value ${valueText(values[i])}`;
  if (i === 0) return `Start, ${value}`;
  const before = lettersOf(parentOf(i, data.vocab), data.vocab);
  const side = { "+": ", above the start", "-": ", below the start", 0: "" }[sign];
  const isLeaf = i >= firstLeaf(data);
  const reward = isLeaf ? `, reward ${data.rewards[i - firstLeaf(data)]}` : "";
  const name = `${letterOf(i, data.vocab)} after ${before || "the start"}`;
  return `${name}, probability ${chance(data, numbers.probability[i])}, ${value}${side}${reward}`;
}

// A descent has the hue of where it leads.
function hueOf(view, policy) {
  return policy === "descent" ? { kappa: "local", rho: "soft" }[view.state.loss] : policy;
}

function captionOf(view, policy, numbers) {
  const name = element("b", "", NAMES.policy[policy]);
  name.className = "hue";
  const parts = [name, element("span", "", `mean reward ${valueText(numbers.plain[0])}`)];
  const goal = view.data.policies[policy]?.implied_rho[0];
  if (goal !== undefined) parts.push(element("span", "", `mean reward − β KL ${valueText(goal)}`));
  if (policy === "descent") parts.push(element("span", "", `step ${view.state.at}`));
  return parts;
}

export function drawLegend(view) {
  const { data } = view;
  const change = view.canToggle ? ", click a leaf to change it" : "";
  const ends = ["−1", "V at the start", "+1"].map((text) => element("span", "", text));
  const parts = [
    element("span", "legend-scale", element("span", "legend-bar"), element("span", "legend-ends", ...ends)),
    element("span", "",
      element("span", "sample-plus", "above"), " ", element("span", "sample-minus", "below"), " the start, in reward"),
    element("span", "", "wide edge: likely token"),
    element("span", "", element("i", "paid"), " reward 1 ", element("i", "unpaid"), ` reward 0${change}`),
  ];
  const words = data.is_flat
    ? "Every leaf has the same reward: there is nothing to learn, and both optima are the reference."
    : `The two optima differ by ${fixed(data.apart, 3)} in path total variation.`;
  parts.push(element("span", "legend-words", words));
  view.at(".legend").replaceChildren(...parts);
}

// Writes only what is new: most of what a step or a slider leaves as it was need not be laid out again.
function put(node, text) {
  if (node.firstChild?.data !== text) node.textContent = text;
}

function say(node, text) {
  if (node.getAttribute("aria-label") !== text) node.setAttribute("aria-label", text);
}
