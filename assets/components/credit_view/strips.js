// The solution's tokens coloured by a lens, beside them by what GRPO pushes; the lens's words above, the legend below.

import { element } from "../shared/elements.js";
import { decimalsOf, hasGroup, legendOf, legendSigns, lensOf, minus, pieceName, seriesOf, shortAnchor } from "../shared/lenses.js";
import { markOf } from "../shared/marks.js";
import { fromWhole } from "../shared/numbers.js";
import { renderStrip } from "../shared/token_strip.js";
import { isFolded } from "./folding.js";
import { MISSING, absent, notRecorded } from "./quantities.js";

// Lenses that train; every other is read off the policy.
const PUSHES = {
  advantages_whitened: "what VIMPO's actor pushes",
  grpo: "what GRPO pushes",
};

export function showLens(view) {
  const { data } = view;
  const lens = lensOf(view.data, view.lens);
  view.at("select").value = lens.key;
  const isMissing = seriesOf(view.data, lens.key) === null;
  view.at(".lens-help").textContent = isMissing && lens.absent === MISSING ? `${notRecorded(data)} ${lens.help}` : lens.help;
  const hasGrpo = seriesOf(view.data, "grpo") !== null;
  view.at(".of-grpo").hidden = !hasGrpo;
  const pushed = lens.key === "tool_advantage" ? `as ${data.tool_name ?? "its tool"} recorded it` : PUSHES[lens.key];
  title(view, "lens", `${lens.label} ${lens.symbol}`, pushed ?? (isMissing ? absent(data, lens.key) : data.name));
  title(view, "grpo", "GRPO advantage", `pushed on every ${pieceName(data)} alike`);
  drawStrip(view, "lens", lens, isFolded(view) ? "" : data.note);
  if (hasGrpo) drawStrip(view, "grpo", lensOf(view.data, "grpo"), "");
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
    layout: isFolded(view) ? "flow" : "lines",
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
    ? `GRPO has no unit: −${grpo} to +${grpo}.`
    : "GRPO: 0 on every token, since the group got equal rewards.";
  if (!seriesOf(view.data, lens.key)) return grpoScale;
  if (lens.scale === "reward") return `In reward. ${grpoScale}`;
  if (lens.scale === "tool") return `As it stands in the tool's file. ${grpoScale}`;
  if (lens.scale === "grpo") return "No unit: reward minus group mean, over the group's spread.";
  if (lens.scale === "whitened") return `No unit: over the spread of all tokens of the step. ${grpoScale}`;
  return lens.scale === "probability" ? grpoScale : `In${unit}. ${grpoScale}`;
}
