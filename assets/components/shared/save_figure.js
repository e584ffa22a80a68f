// Figures as files that stand alone, made in the browser from what it shows: SVG for slides, PNG for everything else. Above the
// picture stand the problem, the run and what is drawn, below it the scale; colours and fonts are written out.
//
//   offerToSave(place, around, figureOf)     the two buttons
//     around: an element whose type, colour and background the picture gets
//     figureOf(): null where nothing is drawn, else {
//       name: of the file, heading: what is drawn,
//       about: {title, facts: [...]}, from vimpo_core/formats/about.py,
//       parts: elements of the page, or {node, over, under} with the titles of its axes,
//     }

import { plainColour } from "./colours.js";
import { SVG, element, setAll, shape } from "./elements.js";
import { lineOfText, measured, paint, pictureOfPart } from "./page_picture.js";
import { wrapped } from "./wrapping.js";

const PNG_SCALE = 2; // sharp on a projector
const LARGEST = 16_000; // px of a side, which every browser can draw
const MARGIN = 22;
const NARROWEST = 520; // px: from a phone, too, the words above have room
const LONG_TITLE = 160; // letters
const MAKER = "VIMPO Lab";

export function offerToSave(place, around, figureOf) {
  const button = (kind) => {
    const save = element("button", "", kind.toUpperCase());
    save.type = "button";
    save.addEventListener("click", () => {
      const found = figureOf();
      if (found) saveFigure(sheetOf(found, around), found.name, kind);
    });
    return save;
  };
  place.append(element("span", "", "Save this picture as"), button("svg"), button("png"));
}

function saveFigure(figure, name, kind) {
  const text = new XMLSerializer().serializeToString(figure);
  if (kind === "svg") return offer(new Blob([text], { type: "image/svg+xml" }), `${name}.svg`);
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    const [width, height] = ["width", "height"].map((side) => Number(figure.getAttribute(side)));
    const scale = Math.min(PNG_SCALE, LARGEST / Math.max(width, height));
    [canvas.width, canvas.height] = [Math.floor(scale * width), Math.floor(scale * height)];
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

// --- the sheet ---------------------------------------------------------------------------------------------------------

function sheetOf({ about = { title: "", facts: [] }, heading, parts }, around) {
  const drawn = parts.map((part) => ({ over: "", under: "", ...(part.node ? part : { node: part }) }))
    .map((part) => ({ ...part, ...pictureOfPart(part.node) }))
    .filter(({ width, height }) => width && height);
  const width = Math.max(NARROWEST, ...drawn.map((part) => part.width));
  const figure = shape("svg", { xmlns: SVG, role: "img" }, shape("title", {}, about.title));
  const type = typeOf(around);
  let y = MARGIN;
  const write = (text, style, most) => {
    const size = parseFloat(style.fontSize);
    for (const line of wrapped(text, width, (said) => widest(said, style), most)) {
      figure.append(lineOfText(line, { x: MARGIN, y: y + size, width: 0 }, style));
      y += 1.35 * size;
    }
  };
  write(about.title, type(about.title.length > LONG_TITLE ? 16 : 20, 600), 16);
  y += 2;
  for (const fact of about.facts) write(fact, type(14, 400, 0.72), 6);
  y += 8;
  write(heading, type(16, 600), 4);
  for (const part of drawn) {
    y += 10;
    write(part.over, type(14, 400, 0.72), 2);
    figure.append(setAll(part.shape, { transform: `translate(${MARGIN} ${y})` }));
    y += part.height;
    if (part.under) {
      const style = type(14, 400, 0.72);
      const x = MARGIN + Math.max(0, (part.width - widest(part.under, style)) / 2);
      figure.append(lineOfText(part.under, { x, y: y + 16, width: 0 }, style));
      y += 20;
    }
  }
  y += 8;
  write(MAKER, type(12, 400, 0.72), 1);
  const size = { width: Math.ceil(width + 2 * MARGIN), height: Math.ceil(y + MARGIN / 2) };
  figure.insertBefore(paint(shape("rect", size), "fill", paperOf(around)), figure.firstChild.nextSibling);
  return setAll(figure, size);
}

// A file has not the fonts of the page: room for the usual one, too.
function widest(text, style) {
  return Math.max(measured(text, style).width, measured(text, { ...style, fontFamily: "sans-serif" }).width);
}

function typeOf(around) {
  const { fontFamily, color } = getComputedStyle(around);
  const [hex, opacity] = plainColour(color);
  return (size, fontWeight, share = 1) => ({
    fontFamily, fontWeight, fontSize: `${size}px`, color: hex + Math.round(255 * opacity * share).toString(16).padStart(2, "0"),
  });
}

function paperOf(around) {
  let holder = around;
  const isClear = (node) => plainColour(getComputedStyle(node).backgroundColor)[1] === 0;
  while (holder && isClear(holder)) holder = holder.parentElement ?? holder.getRootNode().host;
  return holder ? getComputedStyle(holder).backgroundColor : "#ffffff";
}
