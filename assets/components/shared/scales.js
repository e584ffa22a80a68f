// Where things lie: scales, ticks, and which place is meant.

export function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}

// A straight scale: `from` lies at `start`, `to` at `end`.
export function scale(from, to, start, end) {
  return (value) => start + ((end - start) * (value - from)) / (to - from);
}

// Least and largest of what is known, [Infinity, -Infinity] of nothing.
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const u of values) {
    if (u === null) continue;
    if (u < low) low = u;
    if (u > high) high = u;
  }
  return [low, high];
}

// The least of 1, 2, 5, 10, 20 ... that is not below `rough`.
export function niceStep(rough, factors = [1, 2, 5, 10]) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return factors.map((factor) => factor * power).find((step) => step >= rough * 0.999);
}

// The multiples of a nice step from `low` to `high`, at most `count` steps apart.
export function ticksWithin(low, high, count) {
  const step = niceStep((high - low) / count);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) ticks.push(n * step);
  return ticks;
}

// Ticks around a range, so that the axis ends on one: it seldom moves while the range grows.
export function ticksAround(low, high) {
  const step = niceStep((high - low) / 2.6, [1, 2, 2.5, 5, 10]);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

// Index of the last of ascending values at or before one, -1 where there is none.
export function indexAt(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export function nearestIn(sorted, value) {
  const at = clamp(indexAt(sorted, value), 0, sorted.length - 1);
  return at + 1 < sorted.length && sorted[at + 1] - value <= value - sorted[at] ? at + 1 : at;
}

// Where a key leads among `count` places, from `at`; null for a key that leads nowhere.
export function placeOfKey(key, at, count, jump = 1) {
  const last = count - 1;
  const to = { ArrowLeft: at - jump, ArrowDown: at - jump, ArrowRight: at + jump, ArrowUp: at + jump, Home: 0, End: last }[key];
  return to === undefined ? null : clamp(to, 0, last);
}

// The same in a line of text: up and down lead nowhere, Enter and space choose where one is.
export function placeInLine(key, at, count) {
  if (key === "ArrowUp" || key === "ArrowDown") return null;
  return key === "Enter" || key === " " ? at : placeOfKey(key, at, count);
}
