// What the views of a solution share: reading a lens off a payload of vimpo_core.views, the lens picker, following Python,
// and small drawing helpers. Python puts this text in front of a component's own script.
//
// data = a payload, or one frame of a film with the payload's lenses and decimals: whole numbers of the last shown digit.
// No credit is computed here: arrays are looked up, and three readings of one measured number are spelt out (log-ratio =
// difference, surprisal = minus, probability = exp).

function lensOf(data, key) {
  return data.lenses.find((lens) => lens.key === key) ?? data.lenses[0];
}

function decimalsOf(data, lens) {
  return data.decimals[lens.scale] ?? 3;
}

// One number a token, in the lens's unit; null instead of the list where it was not recorded, null inside: not finite.
function seriesOf(data, key) {
  const { arrays, decimals } = data;
  const lens = lensOf(data, key);
  const scaled = (list, digits) => list.map((v) => (v === null ? null : v / 10 ** digits));
  const nats = (name, read) =>
    arrays[name] && scaled(arrays[name], decimals.nats).map((v) => (v === null ? null : read(v)));
  if (key === "probability") return nats("logprob", Math.exp);
  if (key === "surprisal") return nats("logprob", (v) => (v === 0 ? 0 : -v));
  if (key === "log_ratio") {
    if (!arrays.logprob || !arrays.ref_logprob) return null;
    const difference = arrays.logprob.map((v, t) => minus(v, arrays.ref_logprob[t]));
    return scaled(difference, decimals.nats);
  }
  if (!arrays[key] || (key === "values" && !hasGroup(data))) return null;
  const list = key === "values" || key === "values_from_end" ? arrays[key].slice(1) : arrays[key];
  return scaled(list, decimalsOf(data, lens));
}

// A solution on its own has no group mean to start from: then V is anchored at the end alone.
function hasGroup(data) {
  return data.baseline !== null;
}

function minus(a, b) {
  return a === null || b === null ? null : a - b;
}

const SCALE_NAMES = {
  reward: "Credit and value, in reward units",
  whitened: "Whitened over the step, no unit",
  grpo: "Normalised in the group, no unit",
  nats: "This token, in nats",
  position: "This position, in nats",
  probability: "Probability",
};

// The lenses of `data` as options, grouped by the scale they share.
function fillPicker(select, data) {
  const groups = Object.entries(SCALE_NAMES).map(([scale, label]) => {
    const group = document.createElement("optgroup");
    group.label = label;
    for (const lens of data.lenses.filter((l) => l.scale === scale)) {
      const missing = seriesOf(data, lens.key) === null ? " (not recorded)" : "";
      group.append(Object.assign(document.createElement("option"), {
        value: lens.key, textContent: `${lens.label}  ${lens.symbol}${missing}`,
      }));
    }
    return group;
  });
  select.replaceChildren(...groups.filter((group) => group.children.length));
}

// Python's answer to an older click must not pull the selection back: follow it only when it says something new.
function followPython(view, name, value, isNew) {
  const isNews = isNew || view.fromPython[name] !== value && view.reported[name] !== value;
  view.fromPython[name] = value;
  return isNews ? value : view[name];
}

// --- drawing ---------------------------------------------------------------------------------------------------------

function yAxis(x, y, low, high, count) {
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

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
}

function path(x, y, values) {
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

const SVG = "http://www.w3.org/2000/svg";

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function label(x, y, text, className, anchor) {
  const node = shape("text", { x, y, class: className, "text-anchor": anchor });
  node.textContent = text;
  return node;
}
