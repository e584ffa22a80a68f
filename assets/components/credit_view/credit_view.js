// One solution, seen through its credit: strips, value curve, formula card and quantities, all linked.
//
// Python sends every number once (views.inspector_payload: whole numbers of the last shown digit); hovering, selecting
// and changing the lens happen here and update everything at once. Python only hears, 150 ms later, which token and
// lens are selected, to put them in the address bar (mounting.js). No credit is computed here; reading a lens is in lenses.js.

import { apart, path, valueScale, yAxis } from "../shared/drawing.js";
import { element, label, level, setAll, shape, upright } from "../shared/elements.js";
import {
  decimalsOf, fillPicker, hasGroup, legendOf, legendSigns, lensOf, minus, pieceName, seriesOf, shortAnchor, stepMarks, tokenAt,
  tokenNames, tokenText, tokenTitle,
} from "../shared/lenses.js";
import { markOf } from "../shared/marks.js";
import { followPython, mountView, reportSoon, watchWidth } from "../shared/mounting.js";
import { fixed, fromWhole, probability, short, signed, significant } from "../shared/numbers.js";
import { offerToSave, picture, pictureOfStrips } from "../shared/save_figure.js";
import { clamp, scale } from "../shared/scales.js";
import { foldUnder, keepNoteInside, renderStrip, selectToken, targetOfKey, tokenOf, unfold } from "../shared/token_strip.js";

export default function (component) {
  return mountView(component, ".credit-view", createView, update);
}

// --- state ---------------------------------------------------------------------------------------------------------

function createView(view) {
  const { root, at } = view;
  at("select").addEventListener("change", (event) => chooseLens(view, event.target.value, true));
  view.hosts = [...root.querySelectorAll(".strip-host")];
  for (const host of view.hosts) listenToStrip(view, host);
  listenToPrompt(view);
  listenToCurve(view, at(".plot"));
  at(".card").addEventListener("click", (event) => {
    const row = event.target.closest("[data-lens]");
    if (row) chooseLens(view, row.dataset.lens, true);
  });
  for (const place of root.querySelectorAll(".save")) {
    offerToSave(place, root, () => figureOf(view, place.dataset.figure));
  }
  watchWidth(view, at(".plot"), () => {
    drawCurve(view);
    view.hosts.forEach(keepNoteInside);
  });
}

function update(view, data) {
  const isNew = view.version !== data.version;
  view.data = data;
  const token = followPython(view, "token", data.token, isNew);
  const lens = followPython(view, "lens", data.lens, isNew);
  if (!isNew && token === view.token && lens === view.lens) return;
  view.version = data.version;
  view.token = clamp(token, 0, data.text.length - 1);
  view.lens = lens;
  if (isNew) {
    fillPicker(view.at("select"), view.data);
    drawPrompt(view);
  }
  showLens(view);
  showToken(view, false);
}

function reportSelection(view) {
  reportSoon(view, () => ({ token: view.token, lens: view.lens }));
}

function chooseToken(view, index, focusIn) {
  const last = view.data.text.length - 1;
  const token = clamp(index, 0, last);
  if (last < 0) return;
  if (token !== view.token) {
    view.token = token;
    reportSelection(view);
  }
  showToken(view, focusIn);
}

function chooseLens(view, lens, isReported) {
  view.lens = lens;
  showLens(view);
  showToken(view, false);
  if (isReported) reportSelection(view);
}

// --- what a token's numbers are -------------------------------------------------------------------------------------

const units = (value, decimals) => fixed(fromWhole(value, decimals), decimals);

function bracketed(text) {
  return text.startsWith("−") ? `(${text})` : text;
}

function chance(logprob, decimals) {
  const log = fromWhole(logprob, decimals);
  return log === null ? "not finite" : probability(Math.exp(log));
}

const MISSING = "not recorded";

// What stands where a lens has no number: not recorded, or not there by this run's rule.
function absent(data, key) {
  return lensOf(data, key).absent ?? MISSING;
}

// [lens key or null, label, symbol, text, part]: what the card's table and the hover card list.
function quantities(view, t) {
  const { arrays, decimals } = view.data;
  const reward = (name, at = t) => (arrays[name] ? units(arrays[name][at], decimals.reward) : MISSING);
  const nats = (name) => (arrays[name] ? units(arrays[name][t], decimals.nats) : MISSING);
  const plain = (name) => (arrays[name] ? units(arrays[name][t], decimals.grpo) : MISSING);
  const odds = (name) => (arrays[name] ? chance(arrays[name][t], decimals.nats) : MISSING);
  const pair = arrays.logprob && arrays.ref_logprob;
  const difference = (a, b) => units(minus(a, b), decimals.nats);
  return [
    ["td_terms", "Token credit", "δ", reward("td_terms"), "credit"],
    ["advantages", "Advantage", "A", reward("advantages"), "credit"],
    [null, "Value before", "V", hasGroup(view.data) ? reward("values") : MISSING, "credit"],
    ["values", "Value after", "V", hasGroup(view.data) ? reward("values", t + 1) : MISSING, "credit"],
    ["values_from_end", "Value from the end", "V", reward("values_from_end", t + 1), "credit"],
    ["rho", "Scaled log-ratio", "ρ", reward("rho"), "credit"],
    ["kappa", "Scaled KL", "κ", arrays.kappa ? reward("kappa") : absent(view.data, "kappa"), "credit"],
    ["advantages_whitened", "Whitened advantage", "", plain("advantages_whitened"), "credit"],
    ["grpo", "GRPO advantage", "", plain("grpo"), "credit"],
    ...(arrays.tool_advantage ? [["tool_advantage", "Advantage, by its tool", "", plain("tool_advantage"), "credit"]] : []),
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

const NOT_IN_HOVER = new Set([
  "Value from the end", "Whitened advantage", "Log-probability", "Reference log-prob.", "Log-ratio", "Surprisal",
]);

// --- the prompt ------------------------------------------------------------------------------------------------------

function drawPrompt(view) {
  const { prompt } = view.data;
  view.at(".prompt").hidden = !prompt;
  if (!prompt) return;
  view.at(".prompt-text").textContent = prompt.text;
  showEnd(view.at(".prompt-text"));
  view.at(".prompt-seen").hidden = !prompt.pieces.length;
  view.at(".prompt-seen button").textContent = `As the model saw it: ${prompt.pieces.length} tokens`;
  showPrompt(view);
}

// What is asked stands at the end of a prompt, behind its examples.
function showEnd(box) {
  requestAnimationFrame(() => { box.scrollTop = box.scrollHeight; });
}

function listenToPrompt(view) {
  view.at(".prompt-seen button").addEventListener("click", () => {
    view.promptIsSeen = !view.promptIsSeen;
    showPrompt(view);
  });
}

function showPrompt(view) {
  const { prompt } = view.data;
  const isSeen = Boolean(view.promptIsSeen && prompt.pieces.length);
  view.at(".prompt-seen button").setAttribute("aria-expanded", String(isSeen));
  view.at(".prompt-strip").hidden = !isSeen;
  if (!isSeen) return;
  const starts = prompt.pieces.flatMap((piece, t) => (!t || prompt.pieces[t - 1].includes("⏎") ? [t] : []));
  renderStrip(view.at(".prompt-strip"), {
    label: "The prompt as the model saw it", text: prompt.pieces, units: prompt.units, lineStarts: starts, values: null,
    firstWrong: null, note: "", layout: "lines", interactive: false, small: true,
  }, { max: 0, signed: false, unit: "", decimals: 0 });
  showEnd(view.at(".prompt-strip"));
}

// That a number is not there, and what one can do about it where something can be done.
function notRecorded(data) {
  return data.advice ? `Not recorded. ${data.advice}` : "Not recorded at this step.";
}

// --- strips, picker, legend -----------------------------------------------------------------------------------------

// Lenses that train; every other is read off the policy.
const PUSHES = {
  advantages_whitened: "what VIMPO's actor pushes",
  grpo: "what GRPO pushes",
};

function showLens(view) {
  const { data } = view;
  const lens = lensOf(view.data, view.lens);
  view.at("select").value = lens.key;
  const isMissing = seriesOf(view.data, lens.key) === null;
  view.at(".lens-help").textContent = isMissing && lens.absent === MISSING ? `${notRecorded(data)} ${lens.help}` : lens.help;
  const grpo = seriesOf(view.data, "grpo")
    ? `what GRPO pushes: the same for every ${pieceName(data)}` : "not recorded: needs a group and its rewards";
  const pushed = lens.key === "tool_advantage" ? `as ${data.tool_name ?? "its tool"} recorded it` : PUSHES[lens.key];
  title(view, "lens", `${lens.label} ${lens.symbol}`, pushed ?? (isMissing ? absent(data, lens.key) : data.name));
  title(view, "grpo", "GRPO advantage", grpo);
  drawStrip(view, "lens", lens, data.note);
  drawStrip(view, "grpo", lensOf(view.data, "grpo"), "");
  drawLegend(view, lens);
}

function title(view, which, label, detail) {
  view.at(`h3[data-strip="${which}"]`).replaceChildren(label, " ", element("span", "detail", detail));
}

function drawStrip(view, which, lens, note) {
  const { data } = view;
  const host = view.at(`.strip-host[data-strip="${which}"]`);
  const series = seriesOf(view.data, lens.key);
  const around = lens.key === "values" || lens.key === "values_from_end" ? fromWhole(data.baseline ?? 0, data.decimals.reward) : 0;
  const strip = {
    label: `${which === "lens" ? data.name : "GRPO"}, ${lens.label}${series ? "" : `, ${absent(data, lens.key)}`}`,
    text: data.text,
    units: data.units,
    lineStarts: data.line_starts,
    values: series && series.map((v) => minus(v, around)),
    shown: series,
    firstWrong: markOf(data).token,
    mark: markOf(data).kind,
    note,
    layout: "lines",
    interactive: true,
    small: false,
  };
  renderStrip(host, strip, {
    max: data.scales[lens.scale], signed: lens.signed, unit: lens.unit, decimals: decimalsOf(view.data, lens),
  });
}

function drawLegend(view, lens) {
  const { data } = view;
  const max = data.scales[lens.scale];
  const legend = view.at(".legend");
  const isValue = hasGroup(view.data) && (lens.key === "values" || lens.key === "values_from_end");
  const unit = lens.unit ? ` ${lens.unit}` : "";
  const parts = seriesOf(view.data, lens.key) ? [legendOf(max, lens.signed, isValue ? shortAnchor(data) : "0")] : [];
  if (!parts.length) {
    const why = absent(data, lens.key);
    parts.push(element("span", "", `${why[0].toUpperCase()}${why.slice(1)}: no colours.`));
  } else if (max && lens.signed) {
    const above = isValue ? `above the ${data.anchor}` : "positive";
    const below = isValue ? "below it" : "negative";
    parts.push(legendSigns(above, below));
  } else if (max) {
    const isLikelihood = lens.scale === "nats" && lens.key !== "surprisal";
    parts.push(element("span", "", `darker is further from 0${isLikelihood ? " (less likely)" : ""}`));
  }
  const mark = markOf(data);
  if (mark.kind) parts.push(element("span", `sample sample-${mark.kind}`, mark.name));
  parts.push(element("span", "legend-unit", legendText(view, lens, unit)));
  legend.replaceChildren(...parts);
}

function legendText(view, lens, unit) {
  const { grpo } = view.data.scales;
  const grpoScale = !seriesOf(view.data, "grpo") ? "" : grpo
    ? `GRPO's advantage is normalised and has no unit: its strip runs from −${grpo} to +${grpo}.`
    : "GRPO's advantage is 0 on every token: the group got equal rewards.";
  if (!seriesOf(view.data, lens.key)) return grpoScale;
  if (lens.scale === "reward") return `One scale for everything in reward units on this page. ${grpoScale}`;
  if (lens.scale === "tool") return `As it stands in the tool's file. ${grpoScale}`;
  if (lens.scale === "grpo") return "No unit: reward minus group mean, over the group's spread.";
  if (lens.scale === "whitened") return `No unit: over the spread of all tokens of the step. ${grpoScale}`;
  return lens.scale === "probability" ? grpoScale : `In${unit}; one scale for all of this kind. ${grpoScale}`;
}

function listenToStrip(view, host) {
  host.addEventListener("click", (event) => {
    if (tokenOf(event) !== null) chooseToken(view, tokenOf(event), host);
    const folded = foldUnder(event);
    if (folded !== null) for (const each of view.hosts) unfold(each, folded, each === host);
  });
  host.addEventListener("pointerover", (event) => hover(view, tokenOf(event), event.target));
  host.addEventListener("pointerleave", () => hover(view, null));
  host.addEventListener("keydown", (event) => {
    const to = targetOfKey(host, event.key, tokenOf(event) ?? view.token);
    if (event.key === "Escape") hover(view, null);
    if (to === null) return;
    event.preventDefault();
    hover(view, null);
    chooseToken(view, to, host);
  });
  host.addEventListener("focusin", (event) => {
    if (tokenOf(event) !== null && tokenOf(event) !== view.token) chooseToken(view, tokenOf(event), null);
  });
}

// --- the selected and the hovered token -----------------------------------------------------------------------------

function showToken(view, focusIn) {
  const sought = focusIn ?? view.hosts[0]; // both strips may lie in one box that scrolls
  for (const host of view.hosts) selectToken(host, view.token, host === focusIn, host === sought);
  drawCurve(view);
  drawCard(view);
  const lens = lensOf(view.data, view.lens);
  const series = seriesOf(view.data, view.lens);
  const number = series ? signed(series[view.token], decimalsOf(view.data, lens)) : absent(view.data, view.lens);
  const what = `${view.data.of_words ? "Word" : "Token"} ${view.token}, ${view.data.text[view.token]}`;
  view.at(".live").textContent = `${what}: ${lens.label} ${number} ${lens.unit}`;
}

function hover(view, index, anchor) {
  if (index === view.hovered) return;
  view.hovered = index;
  for (const old of view.root.querySelectorAll(".hovered")) old.classList.remove("hovered");
  const card = view.at(".hover-card");
  card.hidden = index === null;
  moveGhost(view);
  if (index === null) return;
  for (const same of view.root.querySelectorAll(`.token[data-index="${index}"]`)) same.classList.add("hovered");
  fillHoverCard(view, card, index);
  placeHoverCard(view, card, anchor);
}

function fillHoverCard(view, card, t) {
  const isThere = (text) => !view.data.advice || text !== MISSING;
  const rows = quantities(view, t)
    .filter(([, label, , text, part]) => part !== "tool" && isThere(text) && !NOT_IN_HOVER.has(label));
  card.replaceChildren(
    tokenTitle(view.data, t),
    element("dl", "hover-list", ...rows.flatMap(([key, label, symbol, text]) => [
      element("dt", key === view.lens ? "active" : "", label, symbol ? element("i", "", ` ${symbol}`) : ""),
      element("dd", key === view.lens ? "active" : "", text),
    ])),
  );
}

// Beside the step, so that the lines one is about to point at stay readable; below or above where there is no room.
function placeHoverCard(view, card, anchor) {
  const frame = view.root.getBoundingClientRect();
  const box = anchor.getBoundingClientRect();
  const step = anchor.closest(".step");
  const beside = step ? step.lastElementChild.getBoundingClientRect().right + 28 : Infinity;
  const isBeside = beside + card.offsetWidth < frame.right && beside > box.right;
  const lowest = window.innerHeight - card.offsetHeight - 8;
  const below = box.bottom + 12;
  const top = isBeside ? Math.min(box.top - 10, lowest) : below < lowest ? below : box.top - card.offsetHeight - 8;
  const left = isBeside ? beside : Math.min(box.left, frame.right - card.offsetWidth);
  card.style.left = `${Math.max(frame.left, left) - frame.left}px`;
  card.style.top = `${Math.max(8, top) - frame.top}px`;
}

// --- formula card ---------------------------------------------------------------------------------------------------

function drawCard(view) {
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

function v(letter, index) {
  const symbol = element("i", "", letter);
  return index === undefined ? symbol : element("span", "", symbol, element("sub", "", String(index)));
}

function alternatives(view, t) {
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

// Of another tool's run what it lacks is named once, above; elsewhere a missing number stands in its row.
function quantityTable(view, t) {
  const all = quantities(view, t).filter((row) => !view.data.advice || row[3] !== MISSING);
  const column = (part, caption) => {
    const rows = all.filter((row) => row[4] === part).map(([key, label, symbol, text]) => {
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
  const ours = [...column("credit", "Credit, in reward"), ...column("policy", "Policy, logs in nats")];
  return element("div", "quantity-columns", ...ours, ...ofTool);
}

// --- value curve ----------------------------------------------------------------------------------------------------

const CURVE = { height: 270, left: 44, right: 150, top: 16, bottom: 42 };

function drawCurve(view) {
  const { data } = view;
  const plot = view.at(".plot");
  view.width = plot.clientWidth;
  if (!view.width) return;
  const isMissing = !data.arrays[hasGroup(data) ? "values" : "values_from_end"];
  view.at('.save[data-figure="value-curve"]').style.display = isMissing ? "none" : "";
  if (isMissing) {
    view.at("figcaption").textContent = "Value of each prefix";
    const needed = data.missing.length ? data.missing.join(", ") : "the reward";
    plot.replaceChildren(element("p", "missing", `Not recorded: the value needs ${needed}.`));
    view.curve = null;
    return;
  }
  const fromStart = `start-anchored at the ${data.anchor}`;
  const keys = hasGroup(view.data)
    ? [element("span", "key key-start", fromStart), " ", element("span", "key key-end", "end-anchored, R added")]
    : [element("span", "key key-start", "end-anchored, R added; no group, so no start-anchored value")];
  view.at("figcaption").replaceChildren("Value ", v("V", "t"), " of each prefix: ", ...keys);
  const key = `${data.version} ${view.width}`;
  if (!view.curve || view.curve.key !== key) {
    view.curve = buildCurve(view, key);
    plot.replaceChildren(view.curve.svg);
  }
  moveBand(view.curve, view.curve.selection, view.token);
  view.curve.selectedSegment.setAttribute("d", segment(view.curve, view.token));
  view.curve.selectedSegment.setAttribute("class", `segment ${sign(data.arrays.td_terms[view.token])}`);
  moveGhost(view);
}

function buildCurve(view, key) {
  const { data } = view;
  const real = (u) => fromWhole(u, data.decimals.reward);
  const values = data.arrays[hasGroup(view.data) ? "values" : "values_from_end"].map(real);
  const fromEnd = (data.arrays.values_from_end ?? []).map(real);
  const [reward, baseline] = [real(data.reward), real(data.baseline)];
  const count = Math.max(1, values.length - 1);
  const x = scale(0, count, CURVE.left, view.width - CURVE.right);
  const y = valueScale([...values, ...fromEnd, reward ?? 0, baseline, 0, 1], CURVE.height - CURVE.bottom, CURVE.top);
  const said = curveSummary(values, reward, baseline, data);
  const svg = shape("svg", { width: view.width, height: CURVE.height, role: "img", "aria-label": said });
  const curve = { key, svg, x, y, values, count };
  curve.selection = band("selection");
  curve.ghost = band("ghost");
  curve.selectedSegment = shape("path", { class: "segment" });
  svg.append(
    ...yAxis(x, y, y.low, y.high, count),
    curve.ghost, curve.selection,
    ...(baseline === null ? [] : area(x, y, values, baseline, count)),
    ...stepMarks(data, x, CURVE.top, CURVE.height - CURVE.bottom),
    ...(baseline === null ? [] : [level("baseline", x(0), x(count), y(baseline))]),
    shape("path", { class: "from-end", d: path(x, y, fromEnd) }),
    shape("path", { class: "from-start", d: path(x, y, values) }),
    curve.selectedSegment,
    ...ending(x, y, values, reward, baseline, data, count),
    ...tokenNames(data, x, CURVE.height - CURVE.bottom + 20),
  );
  return curve;
}

function curveSummary(values, reward, baseline, data) {
  const last = values[values.length - 1];
  const start = baseline === null ? "an unknown baseline" : `the ${data.anchor} ${fixed(baseline, 2)}`;
  const end = last === null ? "a value that is not finite" : fixed(last, 2);
  return `Value curve over ${data.text.length} tokens: from ${start} to ${end}; the reward was ${reward ?? "not recorded"}.`;
}

// Blue where the value lies above V_0, orange below: the same picture cut at the baseline.
function area(x, y, values, baseline, count) {
  const known = values.findIndex((u) => u === null);
  const part = known === -1 ? values : values.slice(0, known);
  if (part.length < 2) return [];
  const d = `${path(x, y, part)}L${x(part.length - 1)},${y(baseline)}L${x(0)},${y(baseline)}Z`;
  const half = (name, top, bottom) => {
    const window = shape("rect", { x: x(0), width: x(count) - x(0), y: top, height: Math.max(0, bottom - top) });
    const clip = shape("clipPath", { id: `credit-${name}` }, window);
    return [clip, shape("path", { class: `area area-${name}`, d, "clip-path": `url(#credit-${name})` })];
  };
  return [...half("above", 0, y(baseline)), ...half("below", y(baseline), CURVE.height)];
}

function ending(x, y, values, reward, baseline, data, count) {
  const last = values[values.length - 1];
  const at = x(count);
  if (reward === null) return [];
  const marks = [shape("circle", { class: "reward", cx: at, cy: y(reward), r: 6 })];
  const labels = [{ y: y(reward), text: `reward R = ${short(reward, 3)}`, kind: "strong" }];
  if (last !== null && baseline !== null) {
    marks.unshift(upright("gap", at, y(last), y(reward)));
    marks.push(shape("circle", { class: "last", cx: at, cy: y(last), r: 4 }));
    labels.push({ y: y(last), text: `residual ${signed(fromWhole(data.residual, data.decimals.reward), 3)}`, kind: "" });
  }
  if (baseline !== null) labels.push({ y: y(baseline), text: `${shortAnchor(data)} ${short(baseline, 3)}`, kind: "faint" });
  return [...marks, ...endLabels(labels, at)];
}

function endLabels(labels, at) {
  return apart(labels, 19, CURVE.height - CURVE.bottom).map((l) => label(at + 14, l.y + 5, l.text, `end ${l.kind}`, "start"));
}

function segment(curve, t) {
  const [from, to] = [curve.values[t], curve.values[t + 1]];
  if (from === null || to === null || to === undefined) return "";
  return `M${curve.x(t)},${curve.y(from)}L${curve.x(t + 1)},${curve.y(to)}`;
}

function sign(value) {
  if (!value) return "";
  return value > 0 ? "plus" : "minus";
}

function band(name) {
  return shape("rect", { class: `band ${name}`, y: CURVE.top, height: CURVE.height - CURVE.top - 10, rx: 3 });
}

function moveBand(curve, rect, t) {
  const width = Math.max(3, curve.x(t + 1) - curve.x(t));
  setAll(rect, { x: (curve.x(t) + curve.x(t + 1) - width) / 2, width });
}

function moveGhost(view) {
  if (!view.curve) return;
  view.curve.ghost.setAttribute("visibility", view.hovered === null ? "hidden" : "visible");
  if (view.hovered !== null) moveBand(view.curve, view.curve.ghost, view.hovered);
}

function listenToCurve(view, plot) {
  const under = (event) => (view.curve ? tokenAt(event, plot, view.curve.x, view.data.text.length) : null);
  plot.addEventListener("pointermove", (event) => hover(view, under(event), view.curve?.svg ?? plot));
  plot.addEventListener("pointerleave", () => hover(view, null));
  plot.addEventListener("click", (event) => {
    if (under(event) !== null) chooseToken(view, under(event), null);
  });
}

// --- figures as files ------------------------------------------------------------------------------------------------

function figureOf(view, which) {
  const name = `${which}-${view.lens}`;
  if (which === "strips") return [pictureOfStrips(view.at(".strips"), view.at(".legend"), captionOfStrips(view)), name];
  return view.curve && [picture(view.curve.svg), name];
}

function captionOfStrips(view) {
  const { data } = view;
  const scaleOf = (key) => {
    const lens = lensOf(data, key);
    const max = data.scales[lens.scale];
    if (!max) return `${lens.label} 0 everywhere`;
    return `${lens.label} ${lens.signed ? `−${max} to +${max}` : `0 to ${max}`}${lens.unit ? ` ${lens.unit}` : ""}`;
  };
  const shown = [view.lens, "grpo"].filter((key, at, keys) => seriesOf(data, key) && keys.indexOf(key) === at);
  return shown.length ? `Scale: ${shown.map(scaleOf).join("; ")}` : "";
}
