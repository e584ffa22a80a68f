// The solution's tokens coloured by a lens, and apart from them by what GRPO and VIMPO push, in Start's words (sayings.js) and
// in reward units before scaling; the lens's words above, the legend below.

import { everyToken, lowest, pushes, readOff, spread } from "../credit_rows/sayings.js";
import { element } from "../shared/elements.js";
import { decimalsOf, hasGroup, legendOf, legendSigns, lensOf, minus, seriesOf, shortAnchor } from "../shared/lenses.js";
import { markOf } from "../shared/marks.js";
import { fromWhole } from "../shared/numbers.js";
import { renderStrip } from "../shared/token_strip.js";
import { isFolded } from "./folding.js";
import { MISSING, absent, notRecorded } from "./quantities.js";

const CREDIT = "td_terms";
// Lenses that are a push, as an optimiser gets it; every other is read off the policy.
const SCALED = {
  advantages_whitened: "what VIMPO's actor pushes, scaled",
  grpo: "what GRPO pushes, scaled",
};

export function showLens(view) {
  const { data } = view;
  const lens = lensOf(view.data, view.lens);
  view.at("select").value = lens.key;
  const isMissing = seriesOf(view.data, lens.key) === null;
  view.at(".lens-help").textContent = isMissing && lens.absent === MISSING ? `${notRecorded(data)} ${lens.help}` : lens.help;
  title(view, "lens", ...titleOf(view, lens, isMissing));
  drawStrip(view, "lens", lens, isFolded(view) ? "" : data.note);
  drawPushes(view);
  drawLegend(view, lens);
}

function titleOf({ data }, lens, isMissing) {
  const of = { ...data.pushes, text: data.text, first_wrong: data.first_wrong };
  if (lens.key === CREDIT && !isMissing && of.rule) return [readOff(of, of), lowest(of, seriesOf(data, CREDIT))];
  const ofTool = lens.key === "tool_advantage" && `as ${data.tool_name ?? "its tool"} recorded it`;
  return [`${lens.label} ${lens.symbol}`, ofTool || (SCALED[lens.key] ?? (isMissing ? absent(data, lens.key) : data.name))];
}

function drawPushes(view) {
  const { data } = view;
  const of = data.pushes;
  const says = { grpo: () => everyToken(of), vimpo: (values) => spread(values) };
  for (const rule of ["grpo", "vimpo"]) {
    const values = of[rule] && of[rule].map((v) => fromWhole(v, data.decimals.reward));
    view.at(`.push[data-strip="${rule}"]`).hidden = !values;
    if (!values) continue;
    title(view, rule, pushes(of, rule, rule === "grpo" || of.is_as_trained), says[rule](values));
    draw(view, rule, `${of.names[rule]}, pushed`, values, values, REWARD(data), "");
  }
  view.at(".pushes").hidden = !of.grpo && !of.vimpo;
}

const REWARD = (data) => ({ max: data.scales.reward, signed: true, unit: "reward", decimals: data.decimals.reward });

function title(view, which, label, detail) {
  view.at(`h3[data-strip="${which}"]`).replaceChildren(label, " ", element("span", "detail", detail));
}

function drawStrip(view, which, lens, note) {
  const { data } = view;
  const series = seriesOf(view.data, lens.key);
  const around = lens.key === "values" || lens.key === "values_from_end" ? fromWhole(data.baseline ?? 0, data.decimals.reward) : 0;
  draw(
    view, which, `${data.name}, ${lens.label}${series ? "" : `, ${absent(data, lens.key)}`}`,
    series && series.map((v) => minus(v, around)), series,
    { max: data.scales[lens.scale], signed: lens.signed, unit: lens.unit, decimals: decimalsOf(view.data, lens) }, note,
  );
}

function draw(view, which, label, values, shown, scale, note) {
  const { data } = view;
  const strip = {
    label,
    text: data.text,
    units: data.units,
    lineStarts: data.line_starts,
    values,
    shown,
    firstWrong: markOf(data).token,
    mark: markOf(data).kind,
    note,
    layout: isFolded(view) ? "flow" : "lines",
    interactive: true,
    small: false,
  };
  renderStrip(view.at(`.strip-host[data-strip="${which}"]`), strip, scale);
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

function legendText({ data }, lens, unit) {
  const pushed = data.pushes.grpo || data.pushes.vimpo;
  const max = data.scales.reward;
  if (seriesOf(data, lens.key) && lens.scale === "reward") return pushed ? "In reward, pushes before scaling." : "In reward.";
  const apart = pushed ? `Pushes in reward, before scaling: −${max} to +${max}.` : "";
  if (!seriesOf(data, lens.key) || lens.scale === "probability") return apart;
  const own = {
    tool: "As it stands in the tool's file.",
    grpo: "No unit: reward minus group mean, over the group's spread.",
    whitened: "No unit: over the spread of all tokens of the step.",
  };
  return `${own[lens.scale] ?? `In${unit}.`} ${apart}`;
}
