// What the views of a solution share: reading a lens off a payload of vimpo_core/views, the lens picker, and what stands
// around tokens in every drawing.
//
// data = a payload, or one frame of a film with the payload's lenses and decimals: whole numbers of the last shown digit.
// No credit is computed here: arrays are looked up, and three readings of one measured number are spelt out (log-ratio =
// difference, surprisal = minus, probability = exp).

import { element, label, upright } from "./elements.js";
import { markOf } from "./marks.js";
import { fromWhole } from "./numbers.js";
import { niceStep } from "./scales.js";
import { beginsWithSpace, partOf } from "./words.js";

export function lensOf(data, key) {
  return data.lenses.find((lens) => lens.key === key) ?? data.lenses[0];
}

export function decimalsOf(data, lens) {
  return data.decimals[lens.scale] ?? 3;
}

// One number a token, in the lens's unit; null instead of the list where it was not recorded, null inside: not finite.
export function seriesOf(data, key) {
  const { arrays, decimals } = data;
  const lens = lensOf(data, key);
  const scaled = (list, digits) => list.map((v) => fromWhole(v, digits));
  const nats = (name, read) =>
    (arrays[name] ? scaled(arrays[name], decimals.nats).map((v) => (v === null ? null : read(v))) : null);
  if (key === "probability") return nats("logprob", Math.exp);
  if (key === "surprisal") return nats("logprob", (v) => (v === 0 ? 0 : -v));
  if (key === "log_ratio") {
    if (!arrays.logprob || !arrays.ref_logprob) return null;
    const difference = arrays.logprob.map((v, t) => minus(v, arrays.ref_logprob[t]));
    return scaled(difference, decimals.nats);
  }
  if (!arrays[key] || (key === "values" && !hasGroup(data))) return null;
  const list = key === "values" || key === "values_from_end" ? arrays[key].slice(1) : arrays[key];
  return scaled(list, decimalsOf(data, lens));
}

// A solution on its own has no V_0 to start from: then V is anchored at the end alone.
export function hasGroup(data) {
  return data.baseline !== null;
}

// What V_0 is called where there is little room.
export function shortAnchor(data) {
  return data.anchor.length > 14 ? "V₀" : data.anchor;
}

export function minus(a, b) {
  return a === null || b === null ? null : a - b;
}

const SCALE_NAMES = {
  reward: "Credit and value, in reward units",
  whitened: "Whitened over the step, no unit",
  grpo: "Normalised in the group, no unit",
  tool: "As its tool recorded it",
  nats: "This token, in nats",
  position: "This position, in nats",
  probability: "Probability",
};

// The lenses of `data` as options, grouped by the scale they share.
export function fillPicker(select, data) {
  const groups = Object.entries(SCALE_NAMES).map(([scale, label]) => {
    const group = document.createElement("optgroup");
    group.label = label;
    for (const lens of data.lenses.filter((l) => l.scale === scale)) {
      const missing = seriesOf(data, lens.key) === null ? ` (${lens.absent})` : "";
      group.append(Object.assign(document.createElement("option"), {
        value: lens.key, textContent: `${lens.label}  ${lens.symbol}${missing}`,
      }));
    }
    return group;
  });
  select.replaceChildren(...groups.filter((group) => group.children.length));
}

// --- tokens in drawings ----------------------------------------------------------------------------------------------

// A token inside a sentence or a table; what begins with a space shows it.
export function tokenText(text) {
  return element("span", `token-text${beginsWithSpace(text) ? " spaced" : ""}`, text);
}

// What the pieces of a solution are: of one that was recorded as text alone they are words.
export function pieceName(data) {
  return data.of_words ? "word" : "token";
}

// The title of an axis along the solution.
export function axisOfTokens(data) {
  return `${pieceName(data)}s of the solution, from the first to the last`;
}

export function tokenTitle(data, t) {
  const parts = [element("span", "token-number", `${pieceName(data)} #${t}`), tokenText(data.text[t])];
  const part = partOf(data.units, t);
  if (part) parts.push(element("span", "of", part));
  const mark = markOf(data);
  if (t === mark.token) parts.push(element("span", `token-${mark.kind}`, mark.short));
  return element("p", "token-title", ...parts);
}

const LETTER = 8; // px of one in a drawing

// The tokens below their columns where nearly all fit, else numbers, and the words of the marked token among them.
export function tokenNames(data, x, y) {
  const width = x(1) - x(0);
  const names = namesOf(data);
  const room = Math.max(1, Math.floor((width - 2) / LETTER));
  const fitting = names.filter(({ from, to, text }) => [...text].length <= room * (to - from));
  const mark = markOf(data);
  const isMarked = ({ from, to }) => mark.kind && from <= mark.token && mark.token < to;
  const style = (name) => `curve-token${isMarked(name) ? ` curve-${mark.kind}` : ""}`;
  if (width >= 9 && fitting.length >= 0.8 * names.length) {
    return names.map((name) => {
      const shown = cutTo(name.text, room * (name.to - name.from));
      return label(x((name.from + name.to) / 2), y, shown, style(name), "middle");
    });
  }
  return tokenNumbers(data, x, y);
}

// A name where so many letters have room; one that is cut says so.
export function cutTo(text, room) {
  const letters = [...text];
  return letters.length <= room ? text : `${letters.slice(0, Math.max(1, room - 1)).join("")}…`;
}

// A name a token, one a character that was cut into several.
function namesOf(data) {
  const units = new Map((data.units ?? []).map(([from, to, text]) => [from, { from, to, text: text.trim() }]));
  const names = [];
  for (let t = 0; t < data.text.length; t = names.at(-1).to) {
    const text = data.text[t].startsWith("<0x") ? "·" : data.text[t].trim();
    names.push(units.get(t) ?? { from: t, to: t + 1, text });
  }
  return names;
}

function tokenNumbers(data, x, y) {
  const count = data.text.length;
  const perToken = x(1) - x(0);
  const step = Math.max(1, niceStep(70 / perToken));
  const { token: marked, kind } = markOf(data);
  const word = marked === null || marked >= count ? "" : [...data.text[marked].trim()].slice(0, 12).join("");
  const half = (text) => LETTER * text.length / 2 + 6;
  const labels = [];
  if (word) labels.push(label(x(marked + 0.5), y, word, `curve-token curve-${kind}`, "middle"));
  for (let t = 0; t < count; t += step) {
    const text = t ? String(t) : `${pieceName(data)} 0`;
    const at = x(t + 0.5) + (t ? 0 : half(text) / 2);
    if (word && Math.abs(at - x(marked + 0.5)) < half(text) + half(word)) continue;
    labels.push(label(at, y, text, "tick", "middle"));
  }
  return labels;
}

export function stepMarks(data, x, y1, y2) {
  if (data.line_starts.length > 40) return [];
  return data.line_starts.slice(1).map((t) => upright("step-mark", x(t), y1, y2));
}

// The token whose column is under the pointer; null beside the plot.
export function tokenAt(event, plot, x, count) {
  const at = event.clientX - plot.getBoundingClientRect().left;
  const t = Math.floor((at - x(0)) / (x(1) - x(0)));
  return t < 0 || t >= count ? null : t;
}

// The colours from one end to the other; where every value is 0 there are none to explain.
export function legendOf(max, isSigned, middle = "0") {
  if (!max) return element("span", "", "Every value is 0: no colours.");
  return legendScale(isSigned ? [`−${max}`, middle, `+${max}`] : ["0", `${max}`], isSigned);
}

function legendScale(ends, isSigned) {
  const bar = element("span", `legend-bar ${isSigned ? "legend-signed" : "legend-amount"}`);
  return element("span", "legend-scale", bar, element("span", "legend-ends", ...ends.map((e) => element("span", "", e))),
    element("span", "legend-beyond", "beyond the scale"));
}

export function legendSigns(above, below) {
  return element("span", "", element("span", "sample sample-plus", above), " ", element("span", "sample sample-minus", below));
}
