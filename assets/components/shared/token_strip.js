// Coloured tokens, shared by every component that shows a solution. Nothing here knows Streamlit, runs or the mathematics: it
// gets readable text and numbers and draws them.
//
//   renderStrip(container, strip, scale)      draw, or repaint in place when only numbers changed (1 ms for 60 tokens)
//   selectToken(container, index, focus)      mark one token as selected; focus = true moves the keyboard there
//
// strip = {
//   label: "VIMPO token credit",   accessible name of the strip
//   text: ["9", "+", ...],         readable text of each token, marks for control characters already in place
//   lineStarts: [0, 9, 17],        index of the first token of each step of the solution
//   values: [0.01, null, ...],     one number a token to colour by, null where not finite; null instead of the list:
//                                  not recorded, no colours
//   shown: [0.51, ...],            numbers to read out where they are not the coloured ones (V_t, coloured by its
//                                  distance from the baseline); leave out otherwise
//   firstWrong: 17 | null,         gets the red underline
//   mark: "drop",                  where firstWrong is the largest true drop instead: a violet dotted one; leave out otherwise
//   note: "11+9 became 10",        what to write under the first wrong token; "" for the underline alone
//   layout: "lines" | "flow",      one step a line, or steps side by side, broken only between steps where possible
//   interactive: true | false,     a listbox of options, or a picture with one description
//   small: true | false,           16 px for lists, 20 px for the strip one looks at
// }
// scale = { max: 0.8, signed: true, unit: "reward", decimals: 4 }
//   signed: blue/solid above zero, orange/dashed below, nothing near zero; not signed: grey by amount.

import { paintSign } from "./colours.js";
import { element, setAll } from "./elements.js";
import { signed } from "./numbers.js";

const STRIPS = new WeakMap();

export function renderStrip(container, strip, scale) {
  const shape = JSON.stringify([
    strip.text, strip.lineStarts, strip.firstWrong, strip.mark, strip.note, strip.layout, strip.interactive, strip.small,
  ]);
  let drawn = STRIPS.get(container);
  if (!drawn || drawn.shape !== shape) {
    drawn = { shape, tokens: buildTokens(container, strip), selected: null };
    STRIPS.set(container, drawn);
  }
  container.setAttribute("aria-label", strip.interactive ? strip.label : `${strip.label}: ${strip.text.join("")}`);
  drawn.tokens.forEach((token, index) => paintToken(token, index, strip, scale));
  keepNoteInside(container);
  return drawn.tokens;
}

export function selectToken(container, index, focus) {
  const drawn = STRIPS.get(container);
  if (!drawn) return;
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
  bringIntoSight(token);
}

// Inside the nearest box that scrolls, never the page itself: a deep link must not make the page jump.
function bringIntoSight(token) {
  const box = token.closest("[data-scrolls]");
  if (!box || box.scrollHeight <= box.clientHeight) return;
  const [inner, outer] = [token.getBoundingClientRect(), box.getBoundingClientRect()];
  if (inner.top < outer.top) box.scrollTop += inner.top - outer.top - 8;
  if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom + 8;
}

function buildTokens(container, strip) {
  container.classList.remove("strip-lines", "strip-flow");
  container.classList.add("strip", `strip-${strip.layout}`);
  container.classList.toggle("strip-small", Boolean(strip.small));
  container.setAttribute("role", strip.interactive ? "listbox" : "img");
  if (strip.interactive) container.setAttribute("aria-orientation", "horizontal");
  const starts = new Set(strip.lineStarts);
  const [lines, tokens] = [[], []];
  strip.text.forEach((text, index) => {
    if (!index || starts.has(index)) lines.push(setAll(element("div", "step"), { role: "none" }));
    const token = element("span", "token", text);
    token.dataset.index = index;
    if (strip.interactive) setAll(token, { role: "option", "aria-selected": "false", tabindex: index ? -1 : 0 });
    tokens.push(token);
    lines.at(-1).append(index === strip.firstWrong ? withWrongMark(lines.at(-1), token, strip) : token);
  });
  container.replaceChildren(...lines);
  return tokens;
}

function withWrongMark(step, token, { note, mark }) {
  const anchor = setAll(element("span", mark === "drop" ? "wrong drop" : "wrong", token), { role: "none" });
  if (note) {
    anchor.append(setAll(element("span", "wrong-note", `↑ ${note}`), { "aria-hidden": "true" }));
    step.classList.add("has-note");
  }
  return anchor;
}

export function paintToken(token, index, strip, scale) {
  const value = strip.values ? strip.values[index] : null;
  paintSign(token, value, scale);
  if (!strip.interactive) return;
  const wrong = index !== strip.firstWrong ? "" : strip.mark === "drop" ? ", largest true drop" : ", first wrong token";
  const number = strip.values ? signed(strip.shown ? strip.shown[index] : value, scale.decimals) : "not recorded";
  const unit = value === null || !scale.unit ? "" : ` ${scale.unit}`;
  token.setAttribute("aria-label", `token ${index} of ${strip.text.length}, "${strip.text[index]}", ${number}${unit}${wrong}`);
}

// The number of the token that an event happened on; null beside the tokens.
export function tokenOf(event) {
  const token = event.target.closest?.(".token");
  return token ? Number(token.dataset.index) : null;
}

export function keepNoteInside(container) {
  const note = container.querySelector(".wrong-note");
  if (!note) return;
  note.style.transform = "";
  const overhang = note.getBoundingClientRect().right - container.getBoundingClientRect().right;
  if (overhang > 0) note.style.transform = `translateX(${-Math.ceil(overhang)}px)`;
}
