// The token tree as numbers: nodes, paths, values and frames. All of them are Python's (vimpo_core/tree/tree_lab.py).

import { fixed, signed } from "../shared/numbers.js";

const LETTERS = "abcd";

// Nodes are numbered depth by depth, so that the children of node i are vocab * i + 1 + token.
export const parentOf = (i, vocab) => Math.floor((i - 1) / vocab);
export const letterOf = (i, vocab) => LETTERS[(i - 1) % vocab];

export function pathTo(i, vocab) {
  const nodes = [];
  for (let at = i; at > 0; at = parentOf(at, vocab)) nodes.unshift(at);
  return nodes;
}

function nodeOf(letters, vocab) {
  return [...letters].reduce((i, letter) => vocab * i + 1 + LETTERS.indexOf(letter), 0);
}

export const lettersOf = (i, vocab) => pathTo(i, vocab).map((node) => letterOf(node, vocab)).join("");

export function firstLeaf(data) {
  return (data.vocab ** data.depth - 1) / (data.vocab - 1);
}

export function selectedNode(view) {
  const letters = view.state.path.slice(0, view.data.depth);
  return [...letters].every((letter) => LETTERS.indexOf(letter) < view.data.vocab) ? nodeOf(letters, view.data.vocab) : 0;
}

export function decodeFrames(data) {
  const bytes = Uint8Array.from(atob(data.frames), (character) => character.charCodeAt(0));
  const numbers = new Int16Array(bytes.buffer);
  const nodes = firstLeaf(data) + data.rewards.length;
  return Array.from({ length: numbers.length / (4 * nodes) }, (_, step) => {
    const array = (k) => numbers.subarray((4 * step + k) * nodes, (4 * step + k + 1) * nodes);
    return { probability: array(0), plain: array(1), implied: array(2), kappa: array(3) };
  });
}

export function framesNow(view) {
  return view.framesVersion === view.data.version && view.state.policy === "descent" ? view.frames : null;
}

// Until its frames have come a descent is drawn where it starts.
export function numbersOf(view, policy) {
  const { data, state } = view;
  if (policy === "descent" && framesNow(view)) return framesNow(view)[state.at];
  const found = data.policies[policy] ?? data.policies.reference;
  return state.loss === "kappa" ? found : { ...found, implied: found.implied_rho };
}

export function valuesOf(view, numbers) {
  return view.state.values === "soft" ? view.data.soft : numbers[view.state.values];
}

export const policiesDrawn = (view) => (view.state.policy === "both" ? ["local", "soft"] : [view.state.policy]);

// Values are whole thousandths.
export const valueText = (thousandths, decimals = 3) => fixed(thousandths / 1000, decimals);
export const withSign = (thousandths) => signed(thousandths / 1000, 3);
export const chance = (data, whole, decimals = 2) => fixed(whole / data.probability_unit, decimals);
