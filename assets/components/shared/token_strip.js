// Coloured tokens, shared by every component that shows a solution. Nothing here knows Streamlit, runs or the mathematics: it
// gets readable text and numbers and draws them.
//
//   renderStrip(container, strip, scale)      draw, or repaint in place when only numbers changed (1 ms for 60 tokens)
//   selectToken(container, index, focus, isSought)      mark one token as selected; focus = true moves the keyboard there,
//                                             isSought = false leaves the box that scrolls where it is
//   unfold(container, index, focus)           show what is folded around a token: long solutions are folded by lines
//   targetOfKey(container, key, from)         the token that a key leads to, up and down by the rows on the page
//
// strip = {
//   label: "VIMPO token credit",   accessible name of the strip
//   text: ["9", "+", ...],         readable text of each token, marks for control characters already in place
//   units: [[4, 8, "🙂"], ...],    tokens that are one character together: first, behind the last, text; may be left out
//   lineStarts: [0, 9, 17],        index of the first token of each step of the solution
//   values: [0.01, null, ...],     one number a token to colour by, null where not finite; null instead of the list:
//                                  not recorded, no colours
//   shown: [0.51, ...],            numbers to read out where they are not the coloured ones (V_t, coloured by its
//                                  distance from the baseline); leave out otherwise
//   firstWrong: 17 | null,         gets the red underline
//   mark: "drop",                  where firstWrong is the largest true drop instead: a violet dotted one; leave out otherwise
//   note: "11+9 became 10",        what to write under the first wrong token; "" for the underline alone
//   fork: 12,                      gets the mark of a fork; may be left out
//   layout: "lines" | "flow",      one step a line, or steps side by side, broken only between steps where possible
//   interactive: true | false,     a listbox of options, or a picture with one description
//   small: true | false,           16 px for lists, 20 px for the strip one looks at
// }
// scale = { max: 0.8, signed: true, unit: "reward", decimals: 4 }
//   signed: blue/solid above zero, orange/dashed below, nothing near zero; not signed: grey by amount.

import { isBeyond, paintSign } from "./colours.js";
import { element, setAll } from "./elements.js";
import { signed } from "./numbers.js";
import { placeInLine } from "./scales.js";
import {
  LISTED, WHOLE, beginsWithSpace, foldWords, foldsOf, goesOn, indentOf, isBlank, isOfWords, partOf, unitsByToken,
} from "./words.js";

const STRIPS = new WeakMap();

export function renderStrip(container, strip, scale) {
  const shape = JSON.stringify([
    strip.text, strip.units, strip.lineStarts, strip.firstWrong, strip.note, strip.layout, strip.interactive, strip.small,
    strip.fork, strip.mark,
  ]);
  let drawn = STRIPS.get(container);
  if (!drawn || drawn.shape !== shape) {
    const kept = [strip.firstWrong, strip.fork].filter((t) => t !== null && t !== undefined);
    drawn = { shape, kept, opened: [], selected: null, tokens: [], folds: [] };
    STRIPS.set(container, drawn);
    Object.assign(drawn, { strip, scale });
    build(container, drawn);
  } else {
    Object.assign(drawn, { strip, scale });
    paintAll(drawn);
  }
  container.setAttribute("aria-label", strip.interactive ? strip.label : `${strip.label}: ${strip.text.join("")}`);
  keepNoteInside(container);
}

export function selectToken(container, index, focus, isSought = true) {
  const drawn = STRIPS.get(container);
  if (!drawn) return;
  if (isFolded(drawn, index)) {
    drawn.kept.push(index);
    build(container, drawn);
    keepNoteInside(container);
  }
  const previous = drawn.tokens[drawn.selected];
  if (previous) {
    previous.setAttribute("aria-selected", "false");
    previous.tabIndex = -1;
  }
  drawn.selected = index;
  const token = drawn.tokens[index];
  if (!token) return;
  token.setAttribute("aria-selected", "true");
  token.tabIndex = 0;
  if (focus) token.focus({ preventScroll: true });
  if (isSought) bringIntoSight(token);
}

export function unfold(container, index, focus) {
  const drawn = STRIPS.get(container);
  const fold = drawn?.folds.find(([from, to]) => from <= index && index < to);
  if (!fold) return;
  drawn.opened.push(fold);
  build(container, drawn);
  selectToken(container, drawn.selected, focus, false);
  keepNoteInside(container);
}

function isFolded(drawn, index) {
  return drawn.folds.some(([from, to]) => from <= index && index < to);
}

// Where a key leads from a token; null for one that leads nowhere.
export function targetOfKey(container, key, from) {
  if (key === "ArrowUp" || key === "ArrowDown") return neighbour(container, from, key === "ArrowDown");
  return placeInLine(key, from, STRIPS.get(container).strip.text.length);
}

// In the row below or above, the one whose middle is nearest; at the first and the last row the first and the last token.
function neighbour(container, index, down) {
  const { tokens, strip } = STRIPS.get(container);
  const step = down ? 1 : -1;
  const own = tokens[index].getBoundingClientRect();
  const middle = (own.left + own.right) / 2;
  let [best, row, gap] = [null, null, Infinity];
  for (let t = index + step; t >= 0 && t < strip.text.length; t += step) {
    if (!tokens[t]) return best ?? t;
    const at = tokens[t].getBoundingClientRect();
    const isOther = (place) => Math.abs(at.top - place) > own.height / 2;
    if (row === null && !isOther(own.top)) continue;
    if (row !== null && isOther(row)) break;
    row ??= at.top;
    const distance = Math.abs((at.left + at.right) / 2 - middle);
    if (distance < gap) [best, gap] = [t, distance];
  }
  return best ?? (down ? strip.text.length - 1 : 0);
}

// Inside the nearest box that scrolls, never the page itself: a deep link must not make the page jump.
function bringIntoSight(token) {
  const box = token.closest("[data-scrolls]");
  if (!box || box.scrollHeight <= box.clientHeight) return;
  const [inner, outer] = [token.getBoundingClientRect(), box.getBoundingClientRect()];
  if (inner.top < outer.top) box.scrollTop += inner.top - outer.top - 8;
  if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom + 8;
}

// --- building ----------------------------------------------------------------------------------------------------------

function build(container, drawn) {
  const { strip } = drawn;
  const isInLines = strip.layout === "lines" || strip.text.some((piece) => piece.includes("⏎"));
  const ofWords = isOfWords(strip.text);
  container.classList.remove("strip-lines", "strip-flow");
  container.classList.add("strip", isInLines ? "strip-lines" : "strip-flow");
  container.classList.toggle("strip-words", ofWords);
  container.classList.toggle("strip-small", Boolean(strip.small));
  container.setAttribute("role", strip.interactive ? "listbox" : "img");
  if (strip.interactive) container.setAttribute("aria-orientation", "horizontal");
  drawn.folds = foldsOf(strip.text.length, strip.lineStarts, drawn.kept, drawn.opened, strip.small ? LISTED : WHOLE);
  drawn.tokens = new Array(strip.text.length).fill(null);
  container.replaceChildren(...linesOf(drawn, ofWords));
  paintAll(drawn);
}

function linesOf(drawn, ofWords) {
  const { strip, folds, tokens } = drawn;
  const starts = new Set(strip.lineStarts);
  const foldAt = new Map(folds.map((fold) => [fold[0], fold]));
  const units = unitsByToken(strip.units, strip.text.length);
  const drop = strip.mark === "drop" ? " drop" : "";
  const lines = [];
  let [word, unit] = [null, null];
  for (let t = 0; t < strip.text.length; t++) {
    if (!t || starts.has(t)) {
      lines.push(setAll(element("div", "step"), { role: "none" }));
      if (t && strip.text[t - 1].includes("⏎⏎")) lines.at(-1).classList.add("after-blank");
      const indent = t ? indentOf(strip.text[t - 1]) : "";
      if (indent) lines.at(-1).append(element("span", "indent", indent));
      word = null;
    }
    const line = lines.at(-1);
    if (foldAt.has(t)) {
      line.append(foldOf(foldAt.get(t), strip));
      t = foldAt.get(t)[1] - 1;
      word = null;
      continue;
    }
    const token = tokenElement(strip, t);
    tokens[t] = token;
    const placed = t === strip.firstWrong ? setAll(element("span", `wrong${drop}`, token), { role: "none" }) : token;
    const [from, to, text] = units[t] < 0 ? [0, 0, ""] : strip.units[units[t]];
    if (to - from > 1) {
      if (t === from || !unit) line.append(unit = unitElement(to - from, text));
      placed.style.gridColumn = t - from + 1;
      unit.insertBefore(placed, unit.lastChild);
      token.classList.add("part");
      token.textContent = "";
      word = null;
    } else if (ofWords && t && tokens[t - 1] && units[t - 1] < 0 && line.lastChild && goesOn(strip.text[t - 1], strip.text[t])) {
      if (!word) {
        word = setAll(element("span", "word"), { role: "none" });
        line.lastChild.replaceWith(word);
        word.append(tokens[t - 1].closest(".wrong") ?? tokens[t - 1]);
      }
      word.append(placed);
    } else {
      line.append(placed);
      word = null;
    }
    if (t === strip.firstWrong && strip.note) line.dataset.note = strip.note;
  }
  for (const line of lines) {
    const { note } = line.dataset;
    if (note) line.append(setAll(element("span", `wrong-note${drop}`, `↑ ${note}`), { "aria-hidden": "true" }));
  }
  return lines;
}

function tokenElement(strip, t) {
  const text = strip.text[t];
  const token = element("span", "token", text.slice(0, text.length - indentOf(text).length));
  token.dataset.index = t;
  if (beginsWithSpace(text)) token.classList.add("spaced");
  else if (isBlank(text)) token.classList.add("blank");
  if (t === strip.fork) token.classList.add("fork");
  if (strip.interactive) setAll(token, { role: "option", "aria-selected": "false", tabindex: t ? -1 : 0 });
  return token;
}

// A character over the tokens that it is cut into: read once, coloured piece by piece.
function unitElement(count, text) {
  const glyph = setAll(element("span", "glyph in-picture", text), { "aria-hidden": "true" });
  const unit = setAll(element("span", "unit", glyph), { role: "none" });
  unit.style.gridTemplateColumns = `repeat(${count}, minmax(0.62ch, 1fr))`;
  return unit;
}

function foldOf(fold, strip) {
  const words = foldWords(fold, strip.lineStarts);
  const node = element("span", "fold in-picture", words);
  node.dataset.from = fold[0];
  if (strip.interactive) {
    setAll(node, { role: "option", "aria-selected": "false", "aria-label": `${words.slice(2)} folded, from token ${fold[0]} on` });
    node.title = "Show them";
  }
  return node;
}

function paintAll({ tokens, strip, scale }) {
  tokens.forEach((token, index) => token && paintToken(token, index, strip, scale));
}

function paintToken(token, index, strip, scale) {
  const value = strip.values ? strip.values[index] : null;
  paintSign(token, value, scale);
  if (!strip.interactive) return;
  const wrong = index !== strip.firstWrong ? "" : strip.mark === "drop" ? ", largest true drop" : ", first wrong token";
  const number = strip.values ? signed(strip.shown ? strip.shown[index] : value, scale.decimals) : "not recorded";
  const unit = value === null || !scale.unit ? "" : ` ${scale.unit}`;
  const part = partOf(strip.units, index);
  const text = `"${strip.text[index]}"${part ? `, ${part}` : ""}`;
  const beyond = isBeyond(value, scale.max) ? ", beyond the scale" : "";
  token.setAttribute("aria-label", `token ${index} of ${strip.text.length}, ${text}, ${number}${unit}${beyond}${wrong}`);
}

// The number of the token that an event happened on; null beside the tokens.
export function tokenOf(event) {
  const token = event.target.closest?.(".token");
  return token ? Number(token.dataset.index) : null;
}

// The first token of the fold that an event happened on; null elsewhere.
export function foldUnder(event) {
  const fold = event.target.closest?.(".fold");
  return fold ? Number(fold.dataset.from) : null;
}

// Under its token where that is in the last row of its line, else with the token's words; never beyond the edge.
export function keepNoteInside(container) {
  const note = container.querySelector(".wrong-note");
  const wrong = container.querySelector(".wrong");
  if (!note || !wrong) return;
  Object.assign(note.style, { margin: "", maxWidth: `${container.clientWidth}px` });
  const line = note.closest(".step");
  const said = line.dataset.note;
  const at = wrong.getBoundingClientRect();
  const isInLastRow = line.lastElementChild.previousElementSibling.getBoundingClientRect().bottom <= at.bottom + at.height / 2;
  const word = wrong.textContent.trim();
  const words = isInLastRow || !word ? `↑ ${said}` : `“${word}” ↑ ${said}`;
  if (note.textContent !== words) note.textContent = words;
  const [outer, from, own] = [container, line, note].map((node) => node.getBoundingClientRect());
  const left = Math.min(isInLastRow ? at.left - from.left : 0, outer.right - from.left - own.width);
  // Taken back at the right: a note makes no line longer.
  Object.assign(note.style, { marginLeft: `${Math.floor(left)}px`, marginRight: `${-Math.floor(left) - Math.ceil(own.width)}px` });
}
