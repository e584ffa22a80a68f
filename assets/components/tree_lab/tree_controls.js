// The controls of the token tree. A change is asked of `on`, which the lab gives.

import { element, setAll } from "../shared/elements.js";
import { significant } from "../shared/numbers.js";
import { clamp } from "../shared/scales.js";
import { NAMES } from "./tree_names.js";
import { letterOf, lettersOf, parentOf, selectedNode } from "./tree_numbers.js";

const BETA_STEPS = 100;
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

// `on`: what a control does with the view: change, pause, drawAll.
export function buildControls(view, data, on) {
  const locked = new Set(data.locked);
  const { options } = data;
  const controls = {
    vocab: () => choice(view, on, "vocab", "Tokens", options.vocab.map((v) => [v, String(v)])),
    depth: () => choice(view, on, "depth", "Depth", options.depth.map((d) => [d, String(d)])),
    seed: () => seedControl(view, on, options.most_seed),
    share: () => slider(view, on, "share", "Rewarded", { min: 0, max: 100, step: 5 }, Number, (share) => `${share}%`, Number),
    beta: () => slider(view, on, "beta", "β", { min: 0, max: BETA_STEPS, step: 1 }, (k) => betaAt(options.beta, k),
      (beta) => significant(beta, 3), (beta) => betaPosition(options.beta, beta)),
    policy: () => choice(view, on, "policy", "Policy", Object.entries(NAMES.policy)),
    values: () => choice(view, on, "values", "Nodes show", Object.entries(NAMES.values)),
    loss: () => choice(view, on, "loss", "Loss", Object.entries(NAMES.loss)),
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
    const reset = button("Reset", "Back to the usual tree and view", () => on.change(view, { reset: true }));
    reset.className = "reset";
    view.at("[data-group=tree]").append(reset);
  }
  view.at(".terms").hidden = locked.has("path");
  view.at(".descent").hidden = locked.has("at");
  view.canToggle = !locked.has("rewards");
  if (!locked.has("ref")) buildEditor(view, on);
  view.at(".scrubber input").max = options.steps;
}

function button(text, title, act) {
  const node = setAll(element("button", "", text), { type: "button", title });
  node.addEventListener("click", act);
  return node;
}

function choice(view, on, name, title, options) {
  const node = element("fieldset", "choice", element("legend", "", title));
  node.dataset.control = name;
  node.title = HELP[name];
  const inputs = options.map(([value, text]) => {
    const input = element("input");
    Object.assign(input, { type: "radio", name: `tree-lab-${name}`, value });
    input.addEventListener("change", () => {
      on.pause(view);
      on.change(view, { [name]: value });
      on.drawAll(view);
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

function slider(view, on, name, title, range, valueAt, text, positionOf) {
  const input = element("input");
  Object.assign(input, { type: "range", ...range });
  input.setAttribute("aria-label", `${title}: ${HELP[name]}`);
  const said = element("output");
  input.addEventListener("input", () => {
    on.pause(view);
    on.change(view, { [name]: valueAt(Number(input.value)) });
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

function seedControl(view, on, most) {
  const input = element("input");
  Object.assign(input, { type: "number", min: 0, max: most, step: 1 });
  input.setAttribute("aria-label", `Seed: ${HELP.seed}`);
  const set = (seed) => {
    on.pause(view);
    on.change(view, { seed });
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
function buildEditor(view, on) {
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
    on.pause(view);
    const node = selectedNode(view);
    const { vocab } = view.data;
    said.textContent = `${input.value}%`;
    on.change(view, {
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
