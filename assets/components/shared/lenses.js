// What the views of a solution share: reading a lens off a payload of vimpo_core/views, the lens picker, and what stands
// around tokens in every drawing.
//
// data = a payload, or one frame of a film with the payload's lenses and decimals: whole numbers of the last shown digit.
// No credit is computed here: arrays are looked up, and three readings of one measured number are spelt out (log-ratio =
// difference, surprisal = minus, probability = exp).

import { element, label, upright } from "./elements.js";
import { markOf } from "./marks.js";
import { fromWhole } from "./numbers.js";

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

export function tokenTitle(data, t) {
  const parts = [element("span", "token-number", `token #${t}`), element("span", "token-text", data.text[t])];
  const mark = markOf(data);
  if (t === mark.token) parts.push(element("span", `token-${mark.kind}`, mark.short));
  return element("p", "token-title", ...parts);
}

// The tokens below their columns, as much of each as has room; with none, the first and the last number.
export function tokenNames(data, x, y) {
  const width = x(1) - x(0);
  const count = data.text.length;
  if (width < 9) return [label(x(0), y, "token 0", "tick", "start"), label(x(count), y, `${count}`, "tick", "end")];
  const room = Math.max(1, Math.floor((width - 2) / 8));
  const mark = markOf(data);
  return data.text.map((text, t) =>
    label(x(t + 0.5), y, [...text].slice(0, room).join(""), `curve-token${t === mark.token ? ` curve-${mark.kind}` : ""}`, "middle"),
  );
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

export function legendScale(ends, isSigned) {
  const bar = element("span", `legend-bar ${isSigned ? "legend-signed" : "legend-amount"}`);
  return element("span", "legend-scale", bar, element("span", "legend-ends", ...ends.map((e) => element("span", "", e))));
}

export function legendSigns(above, below) {
  return element("span", "", element("span", "sample sample-plus", above), " ", element("span", "sample sample-minus", below));
}
