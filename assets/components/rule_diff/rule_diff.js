// Two rules slot by slot with one token's numbers. Python sends words and numbers ready to be read (app/components/rule_diff.py);
// nothing is computed here.

import { element } from "../shared/elements.js";

const DRAWN = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".rule-diff");
  const [sent] = data ?? [];
  if (!root || !sent || DRAWN.get(root) === sent.version) return;
  DRAWN.set(root, sent.version);
  const corner = element("th", "", element("span", "sr", "Slot"));
  root.querySelector("thead").replaceChildren(element("tr", "", corner, ...sent.names.map((name) => element("th", "", name))));
  root.querySelector("tbody").replaceChildren(...sent.slots.map((slot, index) => slotRow(sent, slot, index)));
}

function slotRow(sent, slot, index) {
  const isResult = slot.is_different === null;
  const mark = isResult ? "" : slot.is_different ? "≠" : "=";
  const head = element("th", "", element("span", "mark", mark), slot.title);
  head.scope = "row";
  if (!isResult) head.append(element("span", "sr", slot.is_different ? ", differs" : ", the same"));
  const cells = [0, 1].map((side) => {
    const missing = isResult && sent.why_not[side] && !slot.lines[side].length;
    return element("td", "",
      ...(slot.terms[side] ? [element("span", "term", slot.terms[side])] : []),
      ...slot.lines[side].map(lineOf),
      ...(missing ? [element("span", "why-not", sent.why_not[side])] : []),
    );
  });
  const row = element("tr", `${slot.is_different ? "different" : ""}${isResult ? "weight" : ""}`, head, ...cells);
  row.dataset.slot = index;
  return row;
}

function lineOf([symbol, written, result, says]) {
  const sum = written === result ? [] : [`${written} = `];
  const line = element("span", "line", element("i", "", symbol), " = ", ...sum, element("b", "", result));
  if (says) line.append(element("small", "", says));
  return line;
}
