// What drawings share: the axis at the left, a line through values, labels that keep apart.

import { label, shape } from "./elements.js";

export function yAxis(x, y, low, high, count) {
  const step = niceStep((high - low) / 4);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const marks = [];
  for (let u = Math.ceil(low / step) * step; u <= high; u += step) {
    marks.push(
      shape("line", { class: "grid", x1: x(0), x2: x(count), y1: y(u), y2: y(u) }),
      label(x(0) - 8, y(u) + 5, u.toFixed(digits).replace("-", "−").replace(/^−(0\.?0*)$/, "$1"), "tick", "end"),
    );
  }
  return marks;
}

export function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
}

export function path(x, y, values) {
  let isDown = false;
  return values.map((u, t) => {
    if (u === null) {
      isDown = false;
      return "";
    }
    const command = isDown ? "L" : "M";
    isDown = true;
    return `${command}${x(t).toFixed(1)},${y(u).toFixed(1)}`;
  }).join("");
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
