// What is known of one token, as words: each number of a payload with its unit's decimals, or why it is not there. No drawing.

import { hasGroup, lensOf, minus } from "../shared/lenses.js";
import { fixed, fromWhole, probability, significant } from "../shared/numbers.js";

export const units = (value, decimals) => fixed(fromWhole(value, decimals), decimals);

export function bracketed(text) {
  return text.startsWith("−") ? `(${text})` : text;
}

export function chance(logprob, decimals) {
  const log = fromWhole(logprob, decimals);
  return log === null ? "not finite" : probability(Math.exp(log));
}

export const MISSING = "not recorded";

// What stands where a lens has no number: not recorded, or not there by this run's rule.
export function absent(data, key) {
  return lensOf(data, key).absent ?? MISSING;
}

// [lens key or null, label, symbol, text, part]: what the card's table and the hover card list.
export function quantities(view, t) {
  const { arrays, decimals } = view.data;
  const reward = (name, at = t) => (arrays[name] ? units(arrays[name][at], decimals.reward) : MISSING);
  const nats = (name) => (arrays[name] ? units(arrays[name][t], decimals.nats) : MISSING);
  const plain = (name) => (arrays[name] ? units(arrays[name][t], decimals.grpo) : MISSING);
  const odds = (name) => (arrays[name] ? chance(arrays[name][t], decimals.nats) : MISSING);
  const pair = arrays.logprob && arrays.ref_logprob;
  const above = view.data.pushes.grpo ? units(view.data.pushes.grpo[t], decimals.reward) : MISSING;
  const difference = (a, b) => units(minus(a, b), decimals.nats);
  return [
    ["td_terms", "Token credit", "δ", reward("td_terms"), "credit"],
    ["advantages", "Advantage", "A", reward("advantages"), "credit"],
    ...valueRows(view, t, reward),
    ["rho", "Scaled log-ratio", "ρ", reward("rho"), "credit"],
    ["kappa", "Scaled KL", "κ", arrays.kappa ? reward("kappa") : absent(view.data, "kappa"), "credit"],
    [null, "Reward above group mean", "", above, "credit"],
    ["advantages_whitened", "Whitened advantage", "", plain("advantages_whitened"), "scaled"],
    ["grpo", "GRPO advantage", "", plain("grpo"), "scaled"],
    ...(arrays.tool_advantage ? [["tool_advantage", "Advantage, by its tool", "", plain("tool_advantage"), "tool"]] : []),
    ["probability", "Probability", "π", odds("logprob"), "policy"],
    [null, "Reference", "π_ref", odds("ref_logprob"), "policy"],
    ["logprob", "Log-probability", "", nats("logprob"), "policy"],
    ["ref_logprob", "Reference log-prob.", "", nats("ref_logprob"), "policy"],
    ["log_ratio", "Log-ratio", "", pair ? difference(arrays.logprob[t], arrays.ref_logprob[t]) : MISSING, "policy"],
    ["surprisal", "Surprisal", "", arrays.logprob ? difference(0, arrays.logprob[t]) : MISSING, "policy"],
    ["kl", "KL at this position", "", nats("kl"), "policy"],
    ["entropy", "Entropy", "H", nats("entropy"), "policy"],
    ...view.data.tool.map(({ name, values }) => [
      null, name, "", values[t] === null ? MISSING : significant(values[t], 4), "tool",
    ]),
  ];
}

// A solution on its own starts from no V_0: its V before and after are those counted back from the end, as in the formulas.
function valueRows(view, t, reward) {
  if (!hasGroup(view.data)) {
    return [
      [null, "Value before", "V", reward("values_from_end"), "credit"],
      ["values_from_end", "Value after", "V", reward("values_from_end", t + 1), "credit"],
    ];
  }
  return [
    [null, "Value before", "V", reward("values"), "credit"],
    ["values", "Value after", "V", reward("values", t + 1), "credit"],
    ["values_from_end", "Value from the end", "V", reward("values_from_end", t + 1), "credit"],
  ];
}

export const NOT_IN_HOVER = new Set([
  "Value from the end", "Whitened advantage", "GRPO advantage", "Log-probability", "Reference log-prob.", "Log-ratio", "Surprisal",
]);

// That a number is not there, and what one can do about it where something can be done.
export function notRecorded(data) {
  return data.advice ? `Not recorded. ${data.advice}` : "Not recorded at this step.";
}
