// Colours as they are on the page, whatever they were written as, and whether the page is dark.

import { signed } from "./numbers.js";

const PLAIN = new Map();

// As "#rrggbb" and an opacity: programs that read SVG know neither oklab() nor color-mix().
export function plainColour(colour) {
  if (!PLAIN.has(colour)) PLAIN.set(colour, painted(colour));
  return PLAIN.get(colour);
}

function painted(colour) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, 1];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
  return [`#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")}`, alpha / 255];
}

export function isLight(hex) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 128;
}

const MARKED = new WeakMap();

// Says on `root` whether the page is dark, and puts styles (name -> hues by theme and dash) into css as --name and --name-dash.
// Streamlit tells a component no theme: text is light where the page is dark.
export function markTheme(root, styles = {}) {
  const theme = isLight(plainColour(getComputedStyle(root).color)[0]) ? "dark" : "light";
  const marked = theme + JSON.stringify(styles);
  if (MARKED.get(root) === marked) return; // writing a property anew restyles every node below it
  MARKED.set(root, marked);
  root.dataset.theme = theme;
  for (const [name, { hues, dash }] of Object.entries(styles)) {
    root.style.setProperty(`--${name}`, hues[theme]);
    root.style.setProperty(`--${name}-dash`, dash.join(" ") || "none");
  }
}

// "#rrggbb" with an opacity: cheaper to draw than the opacity of a whole shape, and saved pictures keep it.
export function faint(hex, share) {
  return hex + Math.round(255 * share).toString(16).padStart(2, "0");
}

const NEAR_ZERO = 0.02; // of the scale: below this neither colour nor underline claims a sign

// How strong a value is coloured, from 0 to 1, and what its colour claims: "+", "-", "0", "amount" (no sign) or "none" (no value).
export function ramp(value, max, isSigned) {
  if (value === null) return { share: 0, sign: "none" };
  const share = max ? Math.min(1, Math.abs(value) / max) : 0;
  return { share, sign: !isSigned ? "amount" : share < NEAR_ZERO ? "0" : value > 0 ? "+" : "-" };
}

// Whether a value lies beyond its scale, whose end's colour it has all the same: by more than a number's own noise.
export function isBeyond(value, max) {
  return value !== null && max > 0 && Math.abs(value) > max * (1 + 1e-9);
}

export function paintSign(node, value, scale) {
  const { share, sign } = ramp(value, scale.max, scale.signed);
  node.style.setProperty("--m", share.toFixed(3));
  node.dataset.sign = sign;
  const beyond = isBeyond(value, scale.max);
  if (beyond || node.dataset.beyond !== undefined) {
    node.toggleAttribute("data-beyond", beyond);
    if (beyond) node.setAttribute("title", `Beyond the scale: ${signed(value, scale.decimals ?? 2)}`);
    else node.removeAttribute("title");
  }
  return sign;
}
