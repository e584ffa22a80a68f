// The card that follows the pointer: the numbers of the token under it.

import { element } from "../shared/elements.js";
import { tokenTitle } from "../shared/lenses.js";
import { MISSING, NOT_IN_HOVER, quantities } from "./quantities.js";

export function fillHoverCard(view, card, t) {
  const isThere = (text) => !view.data.advice || text !== MISSING;
  const rows = quantities(view, t)
    .filter(([key, label, , text, part]) => (part !== "tool" || key) && isThere(text) && !NOT_IN_HOVER.has(label));
  card.replaceChildren(
    tokenTitle(view.data, t),
    element("dl", "hover-list", ...rows.flatMap(([key, label, symbol, text]) => [
      element("dt", key === view.lens ? "active" : "", label, symbol ? element("i", "", ` ${symbol}`) : ""),
      element("dd", key === view.lens ? "active" : "", text),
    ])),
  );
}

// Beside the step, so that the lines one is about to point at stay readable; below or above where there is no room.
export function placeHoverCard(view, card, anchor) {
  const frame = view.root.getBoundingClientRect();
  const box = anchor.getBoundingClientRect();
  const step = anchor.closest(".step");
  const beside = step ? step.lastElementChild.getBoundingClientRect().right + 28 : Infinity;
  const isBeside = beside + card.offsetWidth < frame.right && beside > box.right;
  const lowest = window.innerHeight - card.offsetHeight - 8;
  const below = box.bottom + 12;
  const top = isBeside ? Math.min(box.top - 10, lowest) : below < lowest ? below : box.top - card.offsetHeight - 8;
  const left = isBeside ? beside : Math.min(box.left, frame.right - card.offsetWidth);
  card.style.left = `${Math.max(frame.left, left) - frame.left}px`;
  card.style.top = `${Math.max(8, top) - frame.top}px`;
}
