// What stands beside each row, in words: made of its very numbers, so that a moved slider never leaves a sentence behind.

import { fixed, signed, short } from "../shared/numbers.js";
import { carriers, correlation, lowestOf } from "./reach.js";

const FULL_NAMES = { grpo: "Group Relative Policy Optimization", vimpo: "Value-Implicit Policy Optimization" };
const NEARLY_THE_SAME = 0.9;

// "VIMPO pushes" of the rule that trained the run, at what it trained with; everything else would, on the same solution.
export function pushes(data, rule, isAsTrained) {
  return `${data.names[rule]} ${rule === data.rule && isAsTrained ? "pushes" : "would push"}`;
}

export function readOff(data, reading) {
  return `Read off ${data.names[reading.rule]}’s policy: δ`;
}

export function everyToken(data) {
  return data.above_group === null ? "the group’s rewards are not known" : `${signed(data.above_group, 2)} on every token`;
}

// "−0.91 to −0.89 on 20 of 22": those that carry at least half of the most.
export function spread(values) {
  const { count, low, high } = carriers(values);
  if (!count) return "0 on every token";
  const ends = [...new Set([signed(low, 2), signed(high, 2)])];
  return `${ends.join(" to ")} on ${count} of ${values.length}`;
}

// "−0.91 on #19 “1”, the mistake".
export function lowest(data, values) {
  const t = lowestOf(values);
  if (t === null || !(values[t] < 0)) return "nowhere below 0";
  return `${signed(values[t], 2)} on ${tokenName(data, t)}${t === data.first_wrong ? ", the mistake" : ""}`;
}

export function tokenName(data, t) {
  return `#${t} “${data.text[t]}”`;
}

export function ofGrpo(data) {
  if (data.above_group === 0) return `${FULL_NAMES.grpo}: all solutions here earned the same, so it pushes none.`;
  return `${FULL_NAMES.grpo}: one reward, so every token alike.`;
}

export function ofVimpo(data, values, lambda) {
  const isOwn = data.is_trained && lambda === data.gae_lambda;
  return `${FULL_NAMES.vimpo}: λ ${short(lambda, 2)}${isOwn ? ", as trained," : ""} ${reachOf(lambda)}.${missed(data, values)}`;
}

function reachOf(lambda) {
  if (lambda === 0) return "leaves each token its own credit, δ";
  if (lambda === 1) return "hands each token its own δ and all that follow";
  return `hands each token what follows, times ${short(lambda, 2)} a step`;
}

// Where the push is lowest, when that is not the mistake, and by a difference that can be read.
function missed(data, values) {
  const [t, wrong] = [lowestOf(values), data.first_wrong];
  const isMiss = wrong !== null && t !== null && values[t] < 0 && signed(values[t], 2) !== signed(values[wrong], 2);
  return isMiss ? ` Lowest: #${t}, not the mistake.` : "";
}

export function ofReading(data, reading) {
  const own = data.readings[0];
  if (reading === own) return "How far training moved each token: a reading, not a push. Train colours by it.";
  const r = correlation(own.per_beta, reading.per_beta);
  const isSame = r !== null && r > NEARLY_THE_SAME;
  const said = isSame ? "Nearly the same map" : "Another map";
  return `${said}${r === null ? "" : ` (correlation ${fixed(r, 2)})`}, though ${data.names[reading.rule]} ${howTrained(reading)}.`;
}

function howTrained(reading) {
  return reading.rule === "grpo" ? "never used δ" : "trained by another rule";
}

// What a slider says: its value, and what the run trained with once it was moved from there.
export function setting(name, value, own, isTrained, decimals) {
  const now = `${name}: ${short(value, decimals)}`;
  return isTrained && value !== own ? `${now} (trained with ${short(own, decimals)})` : now;
}
