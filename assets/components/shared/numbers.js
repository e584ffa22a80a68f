// Numbers as text, one way everywhere: a true minus, no sign before a zero, and what is no number is said.

const MINUS = "−";

export function withMinus(text) {
  return text.replaceAll("-", MINUS);
}

// "0.12", "−0.61", "0.00".
export function fixed(value, decimals) {
  if (value === null || value === undefined) return "not finite";
  const digits = Math.abs(value).toFixed(decimals);
  return (value < 0 && Number(digits) ? MINUS : "") + digits;
}

// "+0.12", "−0.61", "0.00".
export function signed(value, decimals) {
  const text = fixed(value, decimals);
  return value > 0 && Number(text) ? `+${text}` : text;
}

// At most so many decimals: "0.5", "1", "−0.333".
export function short(value, decimals) {
  return withMinus(String(Number(fixed(value, decimals).replace(MINUS, "-"))));
}

// So many digits that count: "0.0123", "1.2e−7".
export function significant(value, digits) {
  return withMinus(String(Number(value.toPrecision(digits))));
}

// "12,345".
export function whole(value) {
  return fixed(value, 0).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

// As many digits as one reads at a glance; a share in percent.
export function readable(value, isShare, percentDecimals = 1) {
  if (isShare) return `${fixed(100 * value, percentDecimals)} %`;
  const size = Math.abs(value);
  if (size !== 0 && size < 1e-6) return "≈ 0";
  if (size >= 1e7 || (size !== 0 && size < 1e-3)) return withMinus(value.toExponential(1));
  if (size >= 100) return whole(value);
  return fixed(value, size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

// "0.123", and where that would be 0: "1.2·10⁻⁵".
export function probability(p) {
  if (p >= 0.0005) return p.toFixed(3);
  const [mantissa, exponent] = p.toExponential(1).split("e");
  const raised = [...exponent].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  return p === 0 ? "0" : `${mantissa}·10${raised.join("")}`;
}

// Python sends whole numbers of the last shown digit: (−3861, 4) is −0.3861. What is not finite stays null.
export function fromWhole(value, decimals) {
  return value === null || value === undefined ? null : value / 10 ** decimals;
}

// How many decimals the multiples of a step need.
export function decimalsFor(step) {
  const decimals = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const scaled = step * 10 ** decimals;
  return Math.abs(scaled - Math.round(scaled)) > 1e-6 ? decimals + 1 : decimals;
}

// A tick of an axis: all have the decimals that tell two apart.
export function tickText(tick, ticks, isShare) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : Math.abs(tick) || 1;
  const largest = Math.max(...ticks.map(Math.abs));
  const text = (unit) => fixed(tick / unit, decimalsFor(step / unit));
  if (isShare) return `${text(0.01)} %`;
  if (tick === 0) return "0";
  if (largest >= 1e6) return `${text(1e6)} M`;
  if (largest >= 1e4) return `${text(1e3)} k`;
  if (largest >= 1e-3) return text(1);
  return withMinus(tick.toExponential(decimalsFor(step / 10 ** Math.floor(Math.log10(Math.abs(tick))))));
}
