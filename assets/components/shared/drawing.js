// What drawings share: the axis at the left, a line through values, labels that keep apart.

import { label, level } from "./elements.js";
import { decimalsFor, fixed } from "./numbers.js";
import { extent, niceStep, scale, ticksWithin } from "./scales.js";

export function yAxis(x, y, low, high, count) {
  const decimals = decimalsFor(niceStep((high - low) / 4));
  return ticksWithin(low, high, 4).flatMap((u) => [
    level("grid", x(0), x(count), y(u)),
    label(x(0) - 8, y(u) + 5, fixed(u, decimals), "tick", "end"),
  ]);
}

// A line through `values`, broken where one is null; `xs`: where each lies, without them one after the other.
export function path(x, y, values, xs) {
  return values.map((u, t) => {
    if (u === null) return "";
    return `${t && values[t - 1] !== null ? "L" : "M"}${x(xs ? xs[t] : t).toFixed(1)},${y(u).toFixed(1)}`;
  }).join("");
}

// A scale from what is known of `values` to pixels, lowest at the bottom, with a little room at both ends.
export function valueScale(values, bottom, top) {
  const [low, high] = extent(values);
  const pad = 0.06 * (high - low);
  return Object.assign(scale(low - pad, high + pad, bottom, top), { low: low - pad, high: high + pad });
}

// Labels that would overlap are pushed apart, in order, without going below `floor`.
export function apart(labels, gap, floor = Infinity) {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  sorted.forEach((l, i) => { if (i) l.y = Math.max(l.y, sorted[i - 1].y + gap); });
  for (let i = sorted.length - 1; i >= 0; i--) {
    sorted[i].y = Math.min(sorted[i].y, i === sorted.length - 1 ? floor : sorted[i + 1].y - gap);
  }
  return sorted;
}
