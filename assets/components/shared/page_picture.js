// What lies on the page as shapes of an SVG that needs no style sheet: papers and borders, every line of text where the page
// broke it, drawings. What one chooses with and what only readers of the screen hear is left out.
//
//   pictureOfPart(node)     {shape, width, height} of an element with all that is in it, or of an SVG
//   picture(svg)            a copy of an SVG on the page with everything written out
//   paint(node, name, colour)     a fill or stroke as "#rrggbb" and an opacity

import { plainColour } from "./colours.js";
import { SVG, level, setAll, shape } from "./elements.js";

const WRITTEN_OUT = [
  "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-family", "font-size", "font-weight",
  "font-style", "text-anchor", "text-decoration-line", "visibility",
];
const LEFT_OUT = "select, input, textarea, .picker, .save, .live, .tip, .hover-card";

export function picture(svg) {
  const copy = svg.cloneNode(true);
  const originals = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, index) => writeOut(node, getComputedStyle(originals[index])));
  return copy;
}

function writeOut(node, style) {
  for (const name of WRITTEN_OUT) {
    const value = style.getPropertyValue(name);
    if (value && value !== "none" && value !== "normal") node.setAttribute(name.replace("-line", ""), value);
  }
  for (const name of ["fill", "stroke"]) paint(node, name, style.getPropertyValue(name));
  for (const name of ["class", "style", "tabindex"]) node.removeAttribute(name);
}

export function paint(node, name, colour) {
  if (!colour || colour === "none") return setAll(node, { [name]: "none" });
  const [hex, opacity] = plainColour(colour);
  setAll(node, { [name]: hex });
  if (opacity < 1) node.setAttribute(`${name}-opacity`, opacity.toFixed(3));
  return node;
}

export function pictureOfPart(part) {
  const scrolled = [part, ...part.querySelectorAll("*")].filter((node) => node.scrollLeft || node.scrollTop);
  const kept = scrolled.map((node) => [node, node.scrollLeft, node.scrollTop]);
  // Titles stick to the top of a box that scrolls.
  for (const node of scrolled) node.scrollTo({ left: 0, top: 0, behavior: "instant" });
  const { left, top } = part.getBoundingClientRect();
  const sheet = { left, top, width: 0, height: 0, gradients: 0 };
  const group = shape("g", {});
  draw(part, group, sheet);
  for (const [node, x, y] of kept) node.scrollTo({ left: x, top: y, behavior: "instant" });
  return { shape: group, width: Math.ceil(sheet.width), height: Math.ceil(sheet.height) };
}

function place(sheet, at, isDrawn = true) {
  const [x, y] = [at.left - sheet.left, at.top - sheet.top];
  if (isDrawn) {
    sheet.width = Math.max(sheet.width, x + at.width);
    sheet.height = Math.max(sheet.height, y + at.height);
  }
  return { x, y, width: at.width, height: at.height };
}

function draw(node, group, sheet) {
  const style = getComputedStyle(node);
  if (style.display === "none" || style.visibility === "hidden" || node.matches(LEFT_OUT)) return;
  if (node.namespaceURI === SVG) {
    const { x, y, width, height } = place(sheet, node.getBoundingClientRect());
    group.append(setAll(picture(node), { x, y, width, height, overflow: style.overflow === "visible" ? "visible" : "hidden" }));
    return;
  }
  if (Number(style.opacity) < 1) group.append(group = shape("g", { opacity: style.opacity }));
  if (style.display !== "contents") group.append(...boxOf(node, style, sheet));
  for (const child of node.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) group.append(...linesOf(child, style, sheet));
    else if (child.nodeType === Node.ELEMENT_NODE) draw(child, group, sheet);
  }
  group.append(...markBehind(node, sheet));
}

// --- boxes -------------------------------------------------------------------------------------------------------------

function boxOf(node, style, sheet) {
  const at = place(sheet, node.getBoundingClientRect(), false);
  const below = parseFloat(style.borderBottomWidth) || 0;
  const paper = { ...at, height: at.height - below, rx: Math.min(parseFloat(style.borderTopLeftRadius) || 0, at.height / 2) };
  const found = [];
  if (plainColour(style.backgroundColor)[1] > 0) found.push(paint(shape("rect", paper), "fill", style.backgroundColor));
  if (style.backgroundImage.startsWith("linear-gradient")) found.push(...gradient(paper, style, sheet));
  if (style.backgroundImage.startsWith("radial-gradient")) found.push(dot(at, style)); // in a leading space
  const around = parseFloat(style.borderTopWidth) || 0;
  if (around && below && parseFloat(style.borderLeftWidth)) {
    const edge = { x: at.x + around / 2, y: at.y + around / 2, width: at.width - around, height: at.height - around };
    found.push(line(shape("rect", { ...edge, rx: paper.rx, fill: "none" }), style, "Top", around));
  } else {
    if (around) found.push(line(level("", at.x, at.x + at.width, at.y + around / 2), style, "Top", around));
    if (below) found.push(line(level("", at.x, at.x + at.width, at.y + at.height - below / 2), style, "Bottom", below));
  }
  const key = getComputedStyle(node, "::before"); // the piece of line before the name of a curve
  if (key.content !== "none" && parseFloat(key.borderTopWidth)) {
    const [width, y] = [parseFloat(key.width), at.y + Math.min(at.height, 1.45 * parseFloat(style.fontSize)) / 2];
    found.push(line(level("", at.x, at.x + width, y), key, "Top", parseFloat(key.borderTopWidth)));
  }
  if (found.length) place(sheet, node.getBoundingClientRect());
  for (const one of found) one.removeAttribute("class");
  return found;
}

function line(node, style, side, width) {
  const kind = style[`border${side}Style`];
  const dashes = { dashed: `${Math.max(4, 1.5 * width)} ${Math.max(3, width)}`, dotted: `${width} ${width}` }[kind];
  setAll(node, { "stroke-width": width, ...(dashes ? { "stroke-dasharray": dashes } : {}) });
  return paint(node, "stroke", style[`border${side}Color`]);
}

// The red or violet bar below the token that stands out, drawn behind it on the page.
function markBehind(node, sheet) {
  if (!node.matches(".wrong")) return [];
  const style = getComputedStyle(node, "::after");
  const { x, y, width, height } = place(sheet, node.getBoundingClientRect());
  const isDrop = node.matches(".drop");
  const mark = shape("line", { x1: x, x2: x + width - 1, y1: y + height + 3.5, y2: y + height + 3.5, "stroke-width": 3 });
  if (isDrop) mark.setAttribute("stroke-dasharray", "4 3");
  const colour = isDrop ? style.getPropertyValue("--st-violet-color") : style.backgroundColor;
  sheet.height = Math.max(sheet.height, y + height + 5);
  return [paint(mark, "stroke", colour)];
}

function dot(at, style) {
  const size = parseFloat(style.fontSize);
  const spot = shape("circle", { cx: at.x + 0.3 * size, cy: at.y + 0.75 * size, r: 1.2, "fill-opacity": 0.55 });
  return paint(spot, "fill", style.color);
}

let gradients = 0;

// From left to right. Where a stop is clear it has the colour of its neighbours: SVG mixes colours, not light.
function gradient(at, style, sheet) {
  const colours = stopsOf(style.backgroundImage).map(plainColour);
  const stops = colours.flatMap(([hex, opacity], n) => {
    const offset = n / (colours.length - 1);
    const shown = opacity > 0 ? [hex] : [colours[n - 1], colours[n + 1]].filter(Boolean).map(([neighbour]) => neighbour);
    return shown.map((colour) => shape("stop", { offset, "stop-color": colour, "stop-opacity": opacity.toFixed(3) }));
  });
  const id = `scale-${(gradients += 1)}`;
  const bar = shape("rect", { ...at, fill: `url(#${id})`, stroke: plainColour(style.color)[0], "stroke-opacity": 0.2 });
  sheet.gradients += 1;
  return [shape("linearGradient", { id }, ...stops), bar];
}

// The colours of "linear-gradient(90deg, a, b, c)", whatever brackets they hold.
export function stopsOf(text) {
  const inside = text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"));
  const parts = [""];
  let depth = 0;
  for (const letter of inside) {
    depth += { "(": 1, ")": -1 }[letter] ?? 0;
    if (letter === "," && !depth) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  const isAngle = (part) => /^\s*(to |-?[\d.]+(deg|turn|rad))/.test(part);
  return parts.filter((part) => !isAngle(part)).map((part) => part.trim().replace(/\s+-?[\d.]+%$/, ""));
}

// --- text --------------------------------------------------------------------------------------------------------------

const ROOM = document.createRange();
const LETTERS = new Intl.Segmenter(undefined, { granularity: "grapheme" });

function linesOf(node, style, sheet) {
  const isKept = style.whiteSpaceCollapse ? style.whiteSpaceCollapse !== "collapse" : style.whiteSpace.startsWith("pre");
  const text = node.data;
  const from = isKept ? 0 : text.length - text.trimStart().length;
  const to = isKept ? text.length : text.trimEnd().length;
  if (from >= to) return [];
  ROOM.setStart(node, from);
  ROOM.setEnd(node, to);
  const boxes = [...ROOM.getClientRects()].filter((box) => box.width > 0);
  if (!boxes.length) return [];
  const lines = boxes.length === 1 ? [{ text: text.slice(from, to), box: boxes[0] }] : brokenLines(node, from, to);
  return lines.map(({ text: said, box }) => {
    const at = place(sheet, box);
    const words = isKept ? said : said.replace(/\s+/g, " ").trim();
    const width = isKept || said === words ? at.width : 0;
    return lineOfText(words, { x: at.x, y: at.y + ascentOf(style, at.height), width }, style);
  });
}

function brokenLines(node, from, to) {
  const lines = [];
  for (const { segment, index } of LETTERS.segment(node.data.slice(from, to))) {
    ROOM.setStart(node, from + index);
    ROOM.setEnd(node, from + index + segment.length);
    const box = ROOM.getClientRects()[0];
    if (!box || !box.width) continue;
    const last = lines.at(-1);
    if (last && Math.abs(last.box.top - box.top) < box.height / 2) {
      last.text += segment;
      const left = Math.min(last.box.left, box.left);
      const right = Math.max(last.box.left + last.box.width, box.right);
      last.box = { left, top: last.box.top, width: right - left, height: last.box.height };
    } else lines.push({ text: segment, box: { left: box.left, top: box.top, width: box.width, height: box.height } });
  }
  return lines;
}

// How far below the top of its box a line stands.
function ascentOf(style, height) {
  const { fontBoundingBoxAscent: up, fontBoundingBoxDescent: down } = measured("x", style);
  return (height * up) / (up + down);
}

const PEN = document.createElement("canvas").getContext("2d");

export function measured(text, { fontStyle = "normal", fontWeight = 400, fontSize, fontFamily }) {
  PEN.font = `${fontStyle} ${fontWeight} ${fontSize} ${fontFamily}`;
  return PEN.measureText(text);
}

// width: that it has on the page, kept where another program has another font; 0: whatever it gets.
export function lineOfText(text, { x, y, width }, style) {
  const node = shape("text", {
    x: x.toFixed(1), y: y.toFixed(1), "font-family": style.fontFamily, "font-size": parseFloat(style.fontSize),
    "font-weight": style.fontWeight, "xml:space": "preserve",
  }, text);
  if (style.fontStyle === "italic") node.setAttribute("font-style", "italic");
  if (style.textDecorationLine?.includes("underline")) node.setAttribute("text-decoration", "underline");
  if (width) setAll(node, { textLength: width.toFixed(1), lengthAdjust: "spacingAndGlyphs" });
  return paint(node, "fill", style.color);
}
