// Figures as files, made in the browser from what it shows: SVG for slides, PNG for everything else. Colours and fonts are
// written out, so that a figure looks the same outside the page.
//
//   offerToSave(place, around, figureOf)       the two buttons; figureOf(): [svg, name], or null when nothing is drawn
//   saveFigure(svg, name, kind, around)       download name.svg or name.png; `around`: an element whose background it gets
//   picture(svg)                              a copy of an SVG on the page that needs none of its style sheets
//   pictureOfStrips(box, legend, caption)     the strips in a box as an SVG, their titles above, the caption in legend's type

import { plainColour } from "./colours.js";
import { SVG, element, shape } from "./elements.js";

const WRITTEN_OUT = [
  "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-family", "font-size", "font-weight",
  "text-anchor", "text-decoration-line", "visibility",
];
const PNG_SCALE = 2; // sharp on a projector

export function offerToSave(place, around, figureOf) {
  const button = (kind) => {
    const save = element("button", "", kind.toUpperCase());
    save.type = "button";
    save.addEventListener("click", () => {
      const found = figureOf();
      if (found) saveFigure(found[0], found[1], kind, around);
    });
    return save;
  };
  place.append(element("span", "", "Save this picture as"), button("svg"), button("png"));
}

function saveFigure(figure, name, kind, around) {
  putPaper(figure, around);
  const text = new XMLSerializer().serializeToString(figure);
  if (kind === "svg") return offer(new Blob([text], { type: "image/svg+xml" }), `${name}.svg`);
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = PNG_SCALE * Number(figure.getAttribute("width"));
    canvas.height = PNG_SCALE * Number(figure.getAttribute("height"));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => offer(blob, `${name}.png`), "image/png");
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}

function offer(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

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
  node.removeAttribute("class");
}

function paint(node, name, colour) {
  if (!colour || colour === "none") return node.setAttribute(name, "none");
  const [hex, opacity] = plainColour(colour);
  node.setAttribute(name, hex);
  if (opacity < 1) node.setAttribute(`${name}-opacity`, opacity.toFixed(3));
}

function putPaper(figure, around) {
  let holder = around;
  const isClear = (node) => plainColour(getComputedStyle(node).backgroundColor)[1] === 0;
  while (holder && isClear(holder)) holder = holder.parentElement ?? holder.getRootNode().host;
  const paper = shape("rect", { width: "100%", height: "100%" });
  paint(paper, "fill", holder ? getComputedStyle(holder).backgroundColor : "#ffffff");
  figure.setAttribute("xmlns", SVG);
  figure.prepend(paper);
}

export function pictureOfStrips(box, legend, caption) {
  const [top, left] = [box.scrollTop, box.scrollLeft];
  box.scrollTo(0, 0); // titles stick to the top while it is scrolled
  const frame = box.getBoundingClientRect();
  const place = (node) => {
    const at = node.getBoundingClientRect();
    return { x: at.left - frame.left, y: at.top - frame.top, width: at.width, height: at.height };
  };
  const height = Math.ceil(box.scrollHeight);
  const figure = shape("svg", { width: Math.ceil(box.scrollWidth), height: height + 34 });
  for (const title of box.querySelectorAll(".strip-title")) figure.append(...pictureOfTitle(title, place));
  for (const token of box.querySelectorAll(".token")) figure.append(...pictureOfToken(token, place(token)));
  for (const wrong of box.querySelectorAll(".wrong")) {
    const { x, y, width, height } = place(wrong);
    const mark = shape("rect", { x, y: y + height + 2, width: width - 1, height: 3 });
    paint(mark, "fill", getComputedStyle(wrong, "::after").backgroundColor);
    figure.append(mark);
  }
  for (const note of box.querySelectorAll(".wrong-note, .in-picture")) figure.append(words(note, place(note), note.textContent));
  figure.append(words(legend, { x: 3, y: height + 6, height: 20 }, caption));
  box.scrollTo(left, top);
  return figure;
}

// What follows the name is left out where it does not fit on its line: SVG text does not wrap.
function pictureOfTitle(title, place) {
  const detail = title.querySelector(".detail");
  const name = words(title, place(title), title.firstChild.textContent);
  return detail?.getClientRects().length === 1 ? [name, words(detail, place(detail), detail.textContent)] : [name];
}

function pictureOfToken(token, { x, y, width, height }) {
  const style = getComputedStyle(token);
  const paper = shape("rect", { x, y, width, height: height - 3, rx: 2 });
  paint(paper, "fill", style.backgroundColor);
  const line = shape("line", { x1: x, x2: x + width, y1: y + height - 1.5, y2: y + height - 1.5, "stroke-width": 3 });
  paint(line, "stroke", style.borderBottomColor);
  if (style.borderBottomStyle === "dashed") line.setAttribute("stroke-dasharray", "4 3");
  return [paper, line, words(token, { x: x + 2, y: y + 1, height: height - 4 }, token.textContent)];
}

export function words(node, { x, y, height }, text) {
  const style = getComputedStyle(node);
  const size = parseFloat(style.fontSize);
  const written = shape("text", {
    x, y: y + Math.min(height, size * 1.3) / 2 + size * 0.35,
    "font-family": style.fontFamily, "font-size": size, "font-weight": style.fontWeight, "xml:space": "preserve",
  });
  paint(written, "fill", style.color);
  written.textContent = text;
  return written;
}
