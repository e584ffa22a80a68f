// What else could have stood at a token, by policy and reference.

import { element } from "../shared/elements.js";
import { tokenText } from "../shared/lenses.js";
import { fromWhole } from "../shared/numbers.js";
import { chance } from "./quantities.js";

export function alternatives(view, t) {
  const { data } = view;
  const { topk, decimals, arrays, text } = data;
  const heading = element("h4", "", "Alternatives here");
  if (!topk) return data.advice ? [] : [heading, element("p", "missing", "Not recorded at this step.")];
  const rows = topk.token[t].map((token, n) => ({
    text: topk.texts[token], policy: topk.logprob[t][n], reference: topk.ref_logprob[t][n], isChosen: n === topk.chosen[t],
  }));
  if (topk.chosen[t] === -1 && arrays.logprob && arrays.ref_logprob) {
    rows.push({ text: text[t], policy: arrays.logprob[t], reference: arrays.ref_logprob[t], isChosen: true });
  }
  const cell = (logprob) => {
    const bar = element("span", "bar");
    bar.style.width = `${logprob === null ? 0 : 100 * Math.exp(fromWhole(logprob, decimals.nats))}%`;
    return element("td", "", element("span", "bar-track", bar), element("span", "", chance(logprob, decimals.nats)));
  };
  const head = element("tr", "", ...["token", "policy π", "reference"].map((name) => element("th", "", name)));
  const body = rows.slice(0, 8).map((row) => {
    const name = element("td", "alternative", tokenText(row.text), row.isChosen ? " taken" : "");
    return element("tr", row.isChosen ? "chosen" : "", name, cell(row.policy), cell(row.reference));
  });
  return [heading, element("table", "alternatives", element("thead", "", head), element("tbody", "", ...body))];
}
