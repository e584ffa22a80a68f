// A token tree under one policy or two, its controls, the terms of a path, and both descents.
// All numbers are Python's (vimpo_core/tree/tree_lab.py): here they are drawn, and
// whole thousandths are subtracted where it says so. A change is asked for at once, one question at a time: what
// changes while an answer is under way is asked for together afterwards, so a slider never queues up.

import { markTheme, paintSign, ramp } from "../shared/colours.js";
import { path, yAxis } from "../shared/drawing.js";
import { element, label, setAll, shape } from "../shared/elements.js";
import { REPORT_AFTER_MS, mountView, watchWidth } from "../shared/mounting.js";
import { fixed, signed, significant } from "../shared/numbers.js";
import { offerToSave, picture } from "../shared/save_figure.js";
import { clamp, scale } from "../shared/scales.js";

const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");
const FRAME_MS = { moving: 100, calm: 500 };
const PATIENCE_MS = 3000; // an answer that has not come by then is not waited for
const BETA_STEPS = 100;
const LETTERS = "abcd";
const ROW_HEIGHT = { 2: 120, 3: 98, 4: 90, 5: 80 };
const EDGE = { top: 24, side: 6, bottom: 26 };
const ROOM = { pill: 50, letter: 13, chance: 52, digit: 13, below: 42 };
// px a node needs for its value, its token, token and probability, its reward, a value below it
const CHART = { height: 168, left: 46, right: 10, top: 10, bottom: 26 };
const NAMES = {
  policy: { reference: "Reference", local: "Local fixed point", soft: "Soft optimum", both: "Both optima", descent: "Descent" },
  values: { plain: "V of the policy", soft: "V soft", implied: "V implied" },
  loss: { kappa: "ρ − κ (VIMPO)", rho: "ρ alone (soft)" },
};
const HELP = {
  vocab: "How many tokens there are to choose from",
  depth: "How many tokens a solution has",
  seed: "The same seed gives the same tree and the same reference",
  share: "How many of the leaves the seed rewards with 1",
  beta: "Reward that one nat of moving away from the reference costs",
  policy: "Whose probabilities are drawn",
  values: "V of the policy: its mean reward from here on. V soft: the best mean reward from here on, KL cost counted. " +
    "V implied: where the path's terms lead from the start",
  loss: "ρ − κ is VIMPO's value loss, whose terms count KL; ρ alone leaves it out",
};
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
  offerToSave(at(".save"), root, () => (view.trees.length ? [picture(view.trees[view.lookedAt].svg), "tree"] : null));
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
    buildControls(view, data);
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

// Writes only what is new: most of what a step or a slider leaves as it was need not be laid out again.
function put(node, text) {
  if (node.firstChild?.data !== text) node.textContent = text;
}

function say(node, text) {
  if (node.getAttribute("aria-label") !== text) node.setAttribute("aria-label", text);
}

// --- the tree as numbers -------------------------------------------------------------------------------------------

// Nodes are numbered depth by depth, so that the children of node i are vocab * i + 1 + token.
const parentOf = (i, vocab) => Math.floor((i - 1) / vocab);
const letterOf = (i, vocab) => LETTERS[(i - 1) % vocab];

function pathTo(i, vocab) {
  const nodes = [];
  for (let at = i; at > 0; at = parentOf(at, vocab)) nodes.unshift(at);
  return nodes;
}

function nodeOf(letters, vocab) {
  return [...letters].reduce((i, letter) => vocab * i + 1 + LETTERS.indexOf(letter), 0);
}

const lettersOf = (i, vocab) => pathTo(i, vocab).map((node) => letterOf(node, vocab)).join("");

function firstLeaf(data) {
  return (data.vocab ** data.depth - 1) / (data.vocab - 1);
}

function selectedNode(view) {
  const letters = view.state.path.slice(0, view.data.depth);
  return [...letters].every((letter) => LETTERS.indexOf(letter) < view.data.vocab) ? nodeOf(letters, view.data.vocab) : 0;
}

function decodeFrames(data) {
  const bytes = Uint8Array.from(atob(data.frames), (character) => character.charCodeAt(0));
  const numbers = new Int16Array(bytes.buffer);
  const nodes = firstLeaf(data) + data.rewards.length;
  return Array.from({ length: numbers.length / (4 * nodes) }, (_, step) => {
    const array = (k) => numbers.subarray((4 * step + k) * nodes, (4 * step + k + 1) * nodes);
    return { probability: array(0), plain: array(1), implied: array(2), kappa: array(3) };
  });
}

function framesNow(view) {
  return view.framesVersion === view.data.version && view.state.policy === "descent" ? view.frames : null;
}

// Until its frames have come a descent is drawn where it starts.
function numbersOf(view, policy) {
  const { data, state } = view;
  if (policy === "descent" && framesNow(view)) return framesNow(view)[state.at];
  const found = data.policies[policy] ?? data.policies.reference;
  return state.loss === "kappa" ? found : { ...found, implied: found.implied_rho };
}

function valuesOf(view, numbers) {
  return view.state.values === "soft" ? view.data.soft : numbers[view.state.values];
}

const policiesDrawn = (view) => (view.state.policy === "both" ? ["local", "soft"] : [view.state.policy]);

// Values are whole thousandths.
const valueText = (thousandths, decimals = 3) => fixed(thousandths / 1000, decimals);
const withSign = (thousandths) => signed(thousandths / 1000, 3);
const chance = (data, whole, decimals = 2) => fixed(whole / data.probability_unit, decimals);

// --- controls ------------------------------------------------------------------------------------------------------

function buildControls(view, data) {
  const locked = new Set(data.locked);
  const { options } = data;
  const controls = {
    vocab: () => choice(view, "vocab", "Tokens", options.vocab.map((v) => [v, String(v)])),
    depth: () => choice(view, "depth", "Depth", options.depth.map((d) => [d, String(d)])),
    seed: () => seedControl(view, options.most_seed),
    share: () => slider(view, "share", "Rewarded", { min: 0, max: 100, step: 5 }, Number, (share) => `${share}%`, Number),
    beta: () => slider(view, "beta", "β", { min: 0, max: BETA_STEPS, step: 1 }, (k) => betaAt(options.beta, k),
      (beta) => significant(beta, 3), (beta) => betaPosition(options.beta, beta)),
    policy: () => choice(view, "policy", "Policy", Object.entries(NAMES.policy)),
    values: () => choice(view, "values", "Nodes show", Object.entries(NAMES.values)),
    loss: () => choice(view, "loss", "Loss", Object.entries(NAMES.loss)),
  };
  const groups = { tree: ["vocab", "depth", "seed", "share", "beta"], view: ["policy", "values", "loss"] };
  view.controls = {};
  for (const [group, names] of Object.entries(groups)) {
    const place = view.at(`[data-group=${group}]`);
    for (const name of names.filter((n) => !locked.has(n))) {
      view.controls[name] = controls[name]();
      place.append(view.controls[name].node);
    }
  }
  if (!locked.has("reset")) {
    const reset = button("Reset", "Back to the usual tree and view", () => change(view, { reset: true }));
    reset.className = "reset";
    view.at("[data-group=tree]").append(reset);
  }
  view.at(".terms").hidden = locked.has("path");
  view.at(".descent").hidden = locked.has("at");
  view.canToggle = !locked.has("rewards");
  if (!locked.has("ref")) buildEditor(view);
  view.at(".scrubber input").max = options.steps;
}

function button(text, title, act) {
  const node = setAll(element("button", "", text), { type: "button", title });
  node.addEventListener("click", act);
  return node;
}

function choice(view, name, title, options) {
  const node = element("fieldset", "choice", element("legend", "", title));
  node.dataset.control = name;
  node.title = HELP[name];
  const inputs = options.map(([value, text]) => {
    const input = element("input");
    Object.assign(input, { type: "radio", name: `tree-lab-${name}`, value });
    input.addEventListener("change", () => {
      pause(view);
      change(view, { [name]: value });
      drawAll(view);
    });
    const label = element("label", "", input, element("span", "", text));
    label.dataset.value = value;
    node.append(label);
    return input;
  });
  const show = () => {
    for (const input of inputs) {
      input.checked = input.value === String(view.state[name]);
      if (name === "depth") input.disabled = view.state.vocab ** Number(input.value) > view.data.options.most_leaves;
    }
  };
  return { node, show };
}

function slider(view, name, title, range, valueAt, text, positionOf) {
  const input = element("input");
  Object.assign(input, { type: "range", ...range });
  input.setAttribute("aria-label", `${title}: ${HELP[name]}`);
  const said = element("output");
  input.addEventListener("input", () => {
    pause(view);
    change(view, { [name]: valueAt(Number(input.value)) });
    said.textContent = text(view.state[name]);
  });
  const node = element("label", "slider", element("span", "", title), input, said);
  node.dataset.control = name;
  node.title = HELP[name];
  const show = () => {
    const position = positionOf(view.state[name]);
    // An exact value of a link lies between two positions: the slider shows the nearest and keeps the value.
    if (Number(input.value) !== Math.round(position)) input.value = position;
    said.textContent = text(view.state[name]);
    input.setAttribute("aria-valuetext", said.textContent);
  };
  return { node, show };
}

function betaAt([low, high], position) {
  return Number((low * (high / low) ** (position / BETA_STEPS)).toPrecision(2));
}

function betaPosition([low, high], beta) {
  return (BETA_STEPS * Math.log(beta / low)) / Math.log(high / low);
}

function seedControl(view, most) {
  const input = element("input");
  Object.assign(input, { type: "number", min: 0, max: most, step: 1 });
  input.setAttribute("aria-label", `Seed: ${HELP.seed}`);
  const set = (seed) => {
    pause(view);
    change(view, { seed });
  };
  input.addEventListener("change", () => {
    const seed = clamp(Math.round(Number(input.value)) || 0, 0, most);
    input.value = seed;
    set(seed);
  });
  const next = button("Another tree", "The tree of the next seed", () => set((view.state.seed + 1) % (most + 1)));
  const node = element("span", "seed", element("label", "", element("span", "", "Seed"), input), next);
  node.dataset.control = "seed";
  node.title = HELP.seed;
  return { node, show: () => { input.value = view.state.seed; } };
}

// The reference of the selected edge; its siblings share what is left as they shared before it was moved.
function buildEditor(view) {
  const input = element("input");
  Object.assign(input, { type: "range", min: 1, step: 1 });
  const [name, said] = [element("span"), element("output")];
  const place = view.at(".editor");
  place.append(element("label", "slider", name, input, said));
  const hold = () => {
    const { data } = view;
    const first = data.vocab * parentOf(selectedNode(view), data.vocab) + 1;
    view.weights = data.policies.reference.probability.slice(first, first + data.vocab);
  };
  input.addEventListener("pointerdown", hold);
  input.addEventListener("focus", hold);
  input.addEventListener("input", () => {
    if (!view.weights) hold();
    pause(view);
    const node = selectedNode(view);
    const { vocab } = view.data;
    said.textContent = `${input.value}%`;
    change(view, {
      path: view.state.path,
      edit: {
        prefix: lettersOf(parentOf(node, vocab), vocab), weights: view.weights, token: (node - 1) % vocab,
        percent: Number(input.value),
      },
    });
  });
  view.controls.ref = {
    show() {
      const { data } = view;
      const node = selectedNode(view);
      place.hidden = node === 0;
      if (node === 0) return;
      const before = lettersOf(parentOf(node, data.vocab), data.vocab);
      const percent = Math.round((100 * data.policies.reference.probability[node]) / data.probability_unit);
      name.textContent = `Reference: ${letterOf(node, data.vocab)} ${before ? `after ${before}` : "at the start"}`;
      input.max = 101 - data.vocab;
      input.setAttribute("aria-label", `${name.textContent}, probability in percent`);
      if (view.sent.edit || view.pending.edit) return;
      input.value = percent;
      said.textContent = `${percent}%`;
    },
  };
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
  placeTrees(view);
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

function placeTrees(view) {
  const { data, state } = view;
  const policies = policiesDrawn(view);
  const isBeside = policies.length === 2 && view.width >= 1000;
  const width = isBeside ? (view.width - 28) / 2 : view.width;
  const layout = [data.vocab, data.depth, policies.length, width, state.values === "implied"].join();
  if (view.layout !== layout) {
    const hadFocus = Boolean(view.root.getRootNode().activeElement?.closest(".node"));
    view.layout = layout;
    view.trees = policies.map((_, index) => buildTree(view, index, width));
    view.at(".trees").classList.toggle("beside", isBeside);
    view.at(".trees").replaceChildren(...view.trees.map((tree) => tree.figure));
    view.lookedAt = Math.min(view.lookedAt, policies.length - 1);
    if (hadFocus) view.trees[view.lookedAt].nodes[selectedNode(view)].group.focus({ preventScroll: true });
  }
  policies.forEach((policy, index) => { view.trees[index].policy = policy; });
}

function buildTree(view, index, width) {
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
  listenToTree(view, index, plot);
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

function paintTree(view, tree) {
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

function drawLegend(view) {
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

function drawCharts(view) {
  const place = view.at(".charts");
  if (view.at(".descent").hidden) return;
  const { curves } = view.data;
  const columns = view.chartsWidth >= 640 ? 3 : view.chartsWidth >= 420 ? 2 : 1;
  const width = Math.floor((view.chartsWidth - 20 * (columns - 1)) / columns);
  const far = Math.max(...["kappa", "rho"].flatMap((loss) => [...curves[loss].local, ...curves[loss].soft]), 0.01);
  const both = (loss) => ["local", "soft"].map((hue) => ({ values: curves[loss][hue], hue, name: `to ${hue}` }));
  const losses = [
    { values: curves.kappa.loss, hue: "local", name: "ρ − κ" }, { values: curves.rho.loss, hue: "soft", name: "ρ alone" },
  ];
  view.charts = [
    buildChart(view, width, "Loss", losses, Math.max(...curves.kappa.loss, ...curves.rho.loss, 0.001), null),
    buildChart(view, width, "Distance with ρ − κ", both("kappa"), far, "kappa"),
    buildChart(view, width, "Distance with ρ alone", both("rho"), far, "rho"),
  ];
  place.replaceChildren(...view.charts.map((chart) => chart.figure));
}

function buildChart(view, width, title, lines, most, loss) {
  const { steps } = view.data.options;
  const x = scale(0, steps, CHART.left, width - CHART.right);
  const y = scale(0, 1.05 * most, CHART.height - CHART.bottom, CHART.top);
  const ends = lines.map(({ name, values }) => `${name} from ${fixed(values[0], 3)} to ${fixed(values.at(-1), 3)}`);
  const svg = shape("svg", { width, height: CHART.height, role: "img", "aria-label": `${title} by step: ${ends.join(", ")}` });
  const cursor = shape("line", { class: "cursor", y1: CHART.top, y2: y(0) });
  svg.append(
    ...yAxis(x, y, 0, 1.05 * most, steps),
    label(x(0), CHART.height - 6, "0", "tick", "start"), label(x(steps / 2), CHART.height - 6, String(steps / 2), "tick", "middle"),
    label(x(steps), CHART.height - 6, `step ${steps}`, "tick", "end"),
    cursor,
    ...lines.map(({ values, hue }) => shape("path", { class: `line line-${hue}`, d: path(x, y, values) })),
  );
  const keys = lines.map(({ hue, name }) => element("span", `key key-${hue}`, name));
  const figure = element("figure", "", element("figcaption", "", element("b", "", title), ...keys), svg);
  figure.classList.toggle("other", Boolean(loss) && loss !== view.state.loss);
  figure.style.width = `${width}px`;
  return { figure, x, cursor };
}
