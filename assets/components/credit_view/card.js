// The selected token: its credit worked out from the digits on the page, what else could have stood there, and all its numbers.

import { element } from "../shared/elements.js";
import { hasGroup, pieceName, tokenTitle } from "../shared/lenses.js";
import { alternatives } from "./alternatives.js";
import { MISSING, bracketed, quantities, units } from "./quantities.js";
import { v } from "./symbols.js";

export function drawCard(view) {
  const card = view.at(".card");
  const { data, token } = view;
  if (!data.text.length) {
    card.replaceChildren(element("p", "missing", "This solution is empty."));
    return;
  }
  const heading = tokenTitle(view.data, token);
  heading.append(element("span", "of", `of ${data.text.length}, counted from 0`));
  card.replaceChildren(heading, ...formulas(view, token), ...alternatives(view, token), quantityTable(view, token));
}

function formulas(view, t) {
  const { arrays, decimals, beta, gae_lambda } = view.data;
  const digits = decimals.reward;
  if (!arrays.td_terms) {
    const missing = view.data.missing.join(", ");
    const where = view.data.advice ? "" : " at this step";
    const then = view.data.advice ?? "Without them there is no credit.";
    return [element("p", "missing", `Not recorded${where}: ${missing}. ${then}`)];
  }
  const nat = (name) => units(arrays[name][t], decimals.nats);
  const unit = (name, at = t) => units(arrays[name][at], digits);
  const value = hasGroup(view.data) ? "values" : "values_from_end";
  const next = t + 1 < arrays.advantages.length ? unit("advantages", t + 1) : "0";
  const kl = view.data.kl_name; // "": the run's loss subtracts none
  const ratio = `${beta} × (${nat("logprob")} − ${bracketed(nat("ref_logprob"))})`;
  return [
    element("div", "formulas",
      ...line([v("δ", t)], [v("β"), " (log ", v("π"), " − log ", v("π", "ref"), ")", ...(kl ? [" − ", v("β"), ` ${kl}`] : [])]),
      ...line([], [kl ? `${ratio} − ${beta} × ${nat("kappa_kl")}` : ratio]),
      ...(kl ? line([], [`${unit("rho")} − ${unit("kappa")}`]) : []),
      ...line([], [element("b", "result", unit("td_terms"))]),
      ...(arrays[value] ? [
        ...line([v("V", t + 1)], [v("V", t), " + ", v("δ", t)], "first"),
        ...line([], [`${unit(value)} + ${bracketed(unit("td_terms"))} = `, element("b", "", unit(value, t + 1))]),
      ] : []),
      ...line([v("A", t)], [v("δ", t), " + ", v("λ"), " ", v("A", t + 1)], "first"),
      ...line([], [`${unit("td_terms")} + ${gae_lambda} × ${bracketed(next)} = `, element("b", "", unit("advantages"))]),
    ),
  ];
}

function line(left, right, extra = "") {
  return [
    element("span", `lhs ${extra}`, ...left), element("span", `eq ${extra}`, "="), element("span", `rhs ${extra}`, ...right),
  ];
}

// Of another tool's run what it lacks is named once, above; elsewhere a missing number stands in its row.
function quantityTable(view, t) {
  const known = quantities(view, t).filter((row) => !view.data.advice || row[3] !== MISSING);
  const column = (part, caption) => {
    const rows = known.filter((row) => row[4] === part).map(([key, label, symbol, text]) => {
      const name = element("td", "", label, symbol ? element("i", "", ` ${symbol}`) : "");
      const row = element("tr", key === view.lens ? "active" : "", name, element("td", "number", text));
      if (key) {
        row.dataset.lens = key;
        row.title = "Colour the tokens by this";
      }
      return row;
    });
    return rows.length ? [element("table", "quantities", element("caption", "", caption), element("tbody", "", ...rows))] : [];
  };
  const ofTool = column("tool", `As ${view.data.tool_name ?? "its tool"} recorded it`);
  const ours = [
    ...column("credit", "Credit, in reward"), ...column("policy", "Policy, logs in nats"),
    ...column("scaled", "Once scaled, no unit"),
  ];
  const all = element("details", "all-numbers", element("summary", "", `All numbers of this ${pieceName(view.data)}`),
    element("div", "quantity-columns", ...ours, ...ofTool));
  all.open = Boolean(view.isAllOpen);
  all.addEventListener("toggle", () => { view.isAllOpen = all.open; });
  return all;
}
