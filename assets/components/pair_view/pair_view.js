// Two solutions of one prompt: a branch and what it grew from, or an edit and its original. Python sends all numbers once
// (pairs.pair_payload: whole numbers of the last shown digit) and hears {side, token} when a token was clicked. Of one solution
// under two policies (kind "policies") the same token is chosen everywhere, and followed when Python names another.

import { apart, path, valueScale, yAxis } from "../shared/drawing.js";
import { element, label, level, setAll, shape, upright } from "../shared/elements.js";
import { legendOf, shortAnchor, tokenText, axisOfTokens } from "../shared/lenses.js";
import { followPython, mountView, reportSoon, watchWidth } from "../shared/mounting.js";
import { fixed, fromWhole, short, signed } from "../shared/numbers.js";
import { offerToSave } from "../shared/save_figure.js";
import { clamp, scale } from "../shared/scales.js";
import { foldUnder, keepNoteInside, renderStrip, selectToken, targetOfKey, tokenOf, unfold } from "../shared/token_strip.js";

const PAIR_CURVE = { height: 300, left: 44, right: 132, top: 16, bottom: 30 };

export default function (component) {
  return mountView(component, ".pair-view", createPair, updatePair, "token");
}

function updatePair(view, data) {
  const isNew = view.version !== data.version;
  const token = ofPolicies(data) ? followPython(view, "token", data.token, isNew) : data.fork;
  if (!isNew && (!ofPolicies(data) || token === view.token)) return;
  view.version = data.version;
  view.data = data;
  view.token = token;
  view.chosen = { side: 1, token: clamp(token, 0, data.sides[1].text.length - 1) };
  if (isNew) drawPair(view);
  else showPair(view);
}

const ofPolicies = (data) => data.kind === "policies";
const fileName = { edit: "edit", branch: "branch", policies: "two-policies" };

function createPair(view) {
  const { root, at } = view;
  view.chosen = null;
  view.hosts = [...root.querySelectorAll(".strip-host")];
  view.titles = [...root.querySelectorAll(".strip-title")];
  view.hosts.forEach((host, side) => listenToPair(view, host, side));
  at("select").addEventListener("change", () => drawDifference(view));
  offerToSave(at(".save"), root, () => view.curve && {
    name: fileName[view.data.kind],
    about: view.data.about,
    heading: `${view.data.sides.map((side) => side.name).join(" and ")}, token by token`,
    parts: [
      at(".pair-strips"), at("figcaption"), { node: view.curve.svg, over: "value, in reward", under: axisOfTokens(view.data) },
    ],
  });
  watchWidth(view, at(".plot"), () => {
    drawPairCurve(view);
    view.hosts.forEach(keepNoteInside);
  });
}

function drawPair(view) {
  const { data } = view;
  drawRates(view);
  data.sides.forEach((side, index) => {
    view.titles[index].replaceChildren(side.name, " ", element("span", "detail", data.details?.[index] ?? verdictOf(side)));
    const strip = stripOf(side, scaledBy(data, side.td_terms), side.name, side.note);
    renderStrip(view.hosts[index], { ...strip, fork: data.fork }, scaleOf(data));
  });
  view.at(".differences").hidden = !comparesAll(data);
  if (comparesAll(data)) drawDifference(view);
  drawPairLegend(view);
  drawPairCurve(view);
  drawEndings(view);
  drawNumbers(view);
  showPair(view);
}

// --- numbers -------------------------------------------------------------------------------------------------------

function scaledBy(data, list) {
  return list.map((v) => fromWhole(v, data.decimals));
}

function scaleOf(data) {
  return { max: data.scale, signed: true, unit: "reward", decimals: data.decimals };
}

function verdictOf(side) {
  return side.is_right ? "✓ right" : side.first_wrong === null ? "✕ not right" : `✕ wrong from #${side.first_wrong}`;
}

function exactly(tried) {
  if (tried.rate > 0 && tried.rate < 1) return `always earns ${fixed(tried.rate, 2)}`;
  return tried.rate ? "always right" : "never right";
}

const comparesAll = (data) => data.kind !== "branch";
const forkName = (data) => (comparesAll(data) ? "first difference" : "fork");
const percent = (share) => fixed(100 * share, 0);

// --- rates ---------------------------------------------------------------------------------------------------------

function drawRates(view) {
  view.at(".rates").replaceChildren(...(view.data.tries ?? []).flatMap((tried, side) => {
    const quiet = side === 0 ? "quiet" : "";
    const bar = element("span", `rate-bar ${quiet}`, element("i"), element("b"));
    bar.firstChild.style.width = `${100 * tried.rate}%`;
    Object.assign(bar.lastChild.style, { left: `${100 * tried.low}%`, width: `${100 * (tried.high - tried.low)}%` });
    bar.lastChild.hidden = tried.exact;
    const words = tried.exact
      ? [element("b", "", exactly(tried)), ": nothing can follow"]
      : [
        element("b", "", `${tried.successes} of ${tried.n} right`),
        tried.is_partial
          ? `, mean reward ${fixed(tried.rate, 2)} (${fixed(tried.low, 2)} to ${fixed(tried.high, 2)})`
          : `, ${percent(tried.rate)} % (${percent(tried.low)} to ${percent(tried.high)})`,
      ];
    return [
      element("span", "", "with ", tokenText(tried.label)), bar,
      element("span", "rate-words", ...words),
    ];
  }));
}

// --- strips --------------------------------------------------------------------------------------------------------

function stripOf(side, values, label, note) {
  return {
    label: `${label}, token credit`, text: side.text, units: side.units, lineStarts: side.line_starts, values,
    firstWrong: side.first_wrong, note, layout: "lines", interactive: true, small: false,
  };
}

function drawDifference(view) {
  const { data } = view;
  const which = view.at("select").value;
  const side = data.sides[1];
  const [before, after] = data.sides.map((each) => (ofPolicies(data) ? each.name : each.name.toLowerCase()));
  view.titles[2].replaceChildren("Difference ", element("span", "detail", `${after} minus ${before}`));
  const strip = { ...stripOf(side, scaledBy(data, data.differences[which]), "Difference", ""), firstWrong: null };
  renderStrip(view.hosts[2], { ...strip, fork: data.fork }, scaleOf(data));
  showPair(view);
}

function drawPairLegend(view) {
  const { data } = view;
  const parts = data.scale
    ? [legendOf(data.scale, true)]
    : [element("span", "", "No credit: policy and reference agree.")];
  parts.push(element("span", "",
    element("span", "sample sample-plus", "positive"), " ", element("span", "sample sample-minus", "negative"), " ",
    data.fork === null ? "" : element("span", "sample sample-fork", forkName(data)),
    data.sides.some((side) => side.first_wrong !== null) ? element("span", "sample sample-wrong", "first wrong token") : ""));
  parts.push(element("span", "legend-unit", "Token credit δ in reward; one scale for both."));
  view.at(".legend").replaceChildren(...parts);
}

// --- curves --------------------------------------------------------------------------------------------------------

function drawPairCurve(view) {
  const { data } = view;
  const plot = view.at(".plot");
  view.width = plot.clientWidth;
  if (!view.width) return;
  const sides = data.sides.map((side) => (
    { ...side, values: scaledBy(data, side.values), reward: fromWhole(side.reward, data.decimals) }));
  const baseline = fromWhole(data.baseline, data.decimals);
  const { left, right, top, bottom, height } = PAIR_CURVE;
  const count = Math.max(1, ...sides.map((s) => s.text.length));
  const x = scale(0, count, left, view.width - right);
  const y = valueScale([...sides.flatMap((s) => s.values), 0, 1, baseline], height - bottom, top);
  const svg = shape("svg", { width: view.width, height, role: "img", "aria-label": curveWords(sides) });
  view.band = shape("rect", { class: "band selection", y: top, height: height - top - bottom, rx: 3 });
  svg.append(
    ...yAxis(x, y, y.low, y.high, count), view.band,
    ...(baseline === null ? [] : [level("baseline", x(0), x(count), y(baseline))]),
    ...forkLine(data, x, top, height - bottom),
    shape("path", { class: "first-line", d: path(x, y, sides[0].values) }),
    shape("path", { class: "second-line", d: path(x, y, sides[1].values) }),
    ...(data.tries ?? []).flatMap((tried, side) => tryMarks(tried, side, x, y)),
    ...lineEnds(view, sides, baseline, x, y, count),
  );
  view.curve = { svg, x, y };
  plot.replaceChildren(svg);
  view.at("figcaption").replaceChildren(
    "Implied value ", element("i", "", "V"), element("sub", "", "t"),
    ` of each prefix, ${baseline === null ? "counted from 0 (no V₀)" : `from the ${data.anchor}`}`,
    element("br"), element("span", "key key-first", sides[0].name), " ", element("span", "key key-second", sides[1].name), " ",
    ...(data.tries ? [element("span", "key key-tried", triedName(data.tries))] : []),
    element("span", "key key-reward", "reward R"),
  );
  showBand(view);
}

function forkLine(data, x, top, foot) {
  if (data.fork === null) return [];
  const at = x(data.fork);
  return [
    upright("fork-line", at, top, foot),
    label(at, foot + 20, `${forkName(data)} #${data.fork}`, "tick", at < 110 ? "start" : "middle"),
  ];
}

function triedName(tries) {
  return `${tries.some((tried) => tried.is_partial) ? "mean reward of the tries" : "share of tries that succeed"}, 95 %`;
}

function curveWords(sides) {
  const said = ({ name, values, reward }) =>
    `${name}: implied value from ${fixed(values[0], 2)} to ${fixed(values.at(-1), 2)}, reward ${reward}`;
  return sides.map(said).join("; ");
}

// What the tries found, on the same axis as what the policy implies: V^pi after the token that was given.
function tryMarks(tried, side, x, y) {
  const quiet = side === 0 ? "quiet" : "";
  const at = x(tried.given) + (side === 0 ? -5 : 5);
  return [
    upright(`tried ${quiet}`, at, y(tried.low), y(tried.high)),
    shape("path", { class: `tried-dot ${quiet}`, d: `M${at},${y(tried.rate) - 7}l6,7l-6,7l-6,-7Z` }),
  ];
}

function lineEnds(view, sides, baseline, x, y, count) {
  const labels = sides.flatMap((s, side) => {
    const last = s.values.at(-1);
    const kind = side ? "strong" : "faint";
    return last === null ? [] : [{ y: y(last), text: `${view.data.short[side]} ${signed(last, 2)}`, kind }];
  });
  if (baseline !== null) labels.push({ y: y(baseline), text: `${shortAnchor(view.data)} ${short(baseline, 2)}`, kind: "faint" });
  const marks = sides.flatMap((s, side) => (s.values.at(-1) === null ? [] : [
    upright("gap", x(s.text.length), y(s.values.at(-1)), y(s.reward)),
    shape("circle", { class: `reward ${side ? "" : "quiet"}`, cx: x(s.text.length), cy: y(s.reward), r: 5 }),
  ]));
  return [...marks, ...apart(labels, 19).map((l) => label(x(count) + 14, l.y + 5, l.text, l.kind, "start"))];
}

// --- endings -------------------------------------------------------------------------------------------------------

function drawEndings(view) {
  const { tries, sides } = view.data;
  view.at(".endings").replaceChildren(...(tries ? [1, 0] : []).map((side) => {
    const tried = tries[side];
    const count = (ending) => element("td", "count", tried.exact ? "always" : `${ending.count} ×`);
    const rows = tried.endings.map((ending) =>
      element("tr", "", count(ending), endingText(ending, tried.position, tried.given), saidOf(ending)));
    const more = tried.left_out ? [element("p", "more", `and ${tried.left_out} more, rarer ones`)] : [];
    return element("section", "",
      element("h4", "", sides[side].name, ": how it went on after ", tokenText(tried.label)),
      element("table", "", element("tbody", "", ...rows)), ...more);
  }));
}

function endingText(ending, position, given) {
  const part = (from, to, kind) => {
    const wrong = ending.first_wrong;
    if (wrong === null || wrong < from || wrong >= to) return [element("span", kind, ending.text.slice(from, to).join(""))];
    return [
      element("span", kind, ending.text.slice(from, wrong).join("")),
      element("span", `${kind} amiss`, ending.text[wrong]),
      element("span", wrong === from && kind === "forced" ? "" : kind, ending.text.slice(wrong + 1, to).join("")),
    ].filter((node) => node.textContent);
  };
  const parts = [...part(0, position, "given"), ...part(position, given, "forced"), ...part(given, ending.text.length, "")];
  const cell = element("td", "ending", ...parts);
  cell.setAttribute("dir", "ltr");
  return cell;
}

function saidOf(ending) {
  const isRight = ending.status === "correct";
  const word = isRight ? "✓ right" : ending.status === "rejected" ? "✕ no answer" : "✕ wrong";
  const where = !isRight && ending.first_wrong !== null ? ` from #${ending.first_wrong}` : "";
  return element("td", `said ${isRight ? "" : "no"}`, word + where);
}

// --- every token in numbers ----------------------------------------------------------------------------------------

function drawNumbers(view) {
  const { data } = view;
  const digits = Math.min(4, data.decimals);
  const number = (value) => (value === null || value === undefined ? "–" : signed(fromWhole(value, data.decimals), digits));
  const [one, two] = data.short;
  const head = [
    "#", data.sides[0].name, data.sides[1].name, `δ ${one}`, `δ ${two}`, "difference", `V ${one}`, `V ${two}`, "difference",
  ];
  const rows = data.sides[1].text.map((text, t) => {
    const c = data.counterpart[t];
    const [a, b] = data.sides;
    const cells = [
      String(t), c < 0 ? "–" : tokenText(a.text[c]), tokenText(text),
      number(c < 0 ? null : a.td_terms[c]), number(b.td_terms[t]), number(data.differences.td_terms[t]),
      number(c < 0 ? null : a.values[c + 1]), number(b.values[t + 1]), number(data.differences.values[t]),
    ];
    return element("tr", c < 0 || a.text[c] !== text ? "changed" : "", ...cells.map((cell) => element("td", "", cell)));
  });
  const top = element("tr", "", ...head.map((h) => element("th", "", h)));
  const table = element("table", "", element("thead", "", top), element("tbody", "", ...rows));
  view.at(".numbers > div").replaceChildren(table);
}

// --- selection -----------------------------------------------------------------------------------------------------

function listenToPair(view, host, index) {
  const side = Math.min(index, 1);
  const choose = (token, focus) => {
    view.chosen = { side, token };
    showPair(view, focus ? host : null);
    view.token = token;
    if (ofPolicies(view.data)) reportSoon(view, () => ({ ...view.chosen }));
    else view.report({ ...view.chosen });
  };
  host.addEventListener("click", (event) => {
    if (tokenOf(event) !== null) choose(tokenOf(event), true);
    const folded = foldUnder(event);
    if (folded !== null) unfold(host, folded, true);
  });
  host.addEventListener("pointerover", (event) => {
    view.hovered = tokenOf(event) === null ? null : { side, token: tokenOf(event) };
    showReadoutOfPair(view);
  });
  host.addEventListener("pointerleave", () => {
    view.hovered = null;
    showReadoutOfPair(view);
  });
  host.addEventListener("keydown", (event) => {
    const from = tokenOf(event) ?? 0;
    const to = targetOfKey(host, event.key, from);
    if (to === null) return;
    event.preventDefault();
    choose(to, true);
  });
}

function showPair(view, focus) {
  const { data, chosen } = view;
  if (!chosen) return;
  view.hosts.forEach((host, index) => {
    const isChosen = ofPolicies(data) || Math.min(index, 1) === chosen.side;
    if (index < 2 || comparesAll(data)) selectToken(host, isChosen ? chosen.token : -1, host === focus);
    const tokens = host.querySelectorAll(".token");
    // A strip without the selected token stays reachable with the keyboard.
    if (tokens.length && !host.querySelector('.token[tabindex="0"]')) tokens[0].tabIndex = 0;
  });
  showReadoutOfPair(view);
  showBand(view);
}

function showBand(view) {
  if (!view.curve || !view.chosen) return;
  const { x } = view.curve;
  setAll(view.band, { x: x(view.chosen.token), width: Math.max(3, x(1) - x(0)) });
}

function showReadoutOfPair(view) {
  const { data } = view;
  const { side, token } = view.hovered ?? view.chosen;
  const other = side === 1 ? data.counterpart[token] : data.counterpart.indexOf(token);
  const said = [tokenWords(data, side, token)];
  if (other >= 0) {
    said.push(" · ", tokenWords(data, 1 - side, other));
    const t = side === 1 ? token : other;
    const [delta, value] = ["td_terms", "values"].map((name) => element("b", "", amount(data, data.differences[name][t])));
    said.push(element("span", "", " · difference δ ", delta, ", V ", value));
  } else {
    said.push(element("span", "", comparesAll(data) ? " · no counterpart" : " · after the fork the two stand in different states"));
  }
  view.at(".readout").replaceChildren(...said);
}

function tokenWords(data, side, token) {
  const s = data.sides[side];
  const text = tokenText(s.text[token] ?? "");
  const [delta, after] = [s.td_terms[token], s.values[token + 1]].map((value) => element("b", "", amount(data, value)));
  return element("span", "", `${s.name} #${token} `, text, " δ ", delta, `, V ${amount(data, s.values[token])} → `, after);
}

function amount(data, value) {
  return signed(fromWhole(value, data.decimals), Math.min(3, data.decimals));
}
