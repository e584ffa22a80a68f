// Cards with a picture each: one is pressed, Python hears which. Text goes through textContent only.

import { markTheme } from "../shared/colours.js";
import { element, setAll, shape } from "../shared/elements.js";

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".presets");
  const content = data?.[0];
  if (!root || !content) return;
  markTheme(root);
  root.choose = (key) => setTriggerValue("choose", key);
  const text = JSON.stringify(content.cards);
  if (root.dataset.text !== text) {
    root.dataset.text = text;
    root.replaceChildren(...content.cards.map((card) => cardOf(root, card)));
  }
  for (const card of root.children) card.setAttribute("aria-pressed", String(card.dataset.key === content.chosen));
}

function cardOf(root, card) {
  const node = element("button", "card", picture(card.curves), element("span", "", card.title));
  node.dataset.key = card.key;
  node.onclick = () => root.choose(card.key);
  return setAll(node, { type: "button", title: card.shows, "aria-label": `${card.title}: ${card.shows}` });
}

// Points are from 0 to 1; y goes up.
function picture(curves) {
  const lines = curves.map(({ style, dash, points, faint }) => {
    const path = points.map(([x, y], i) => `${i ? "L" : "M"}${(x * 100).toFixed(2)} ${((1 - y) * 50).toFixed(2)}`).join("");
    const look = { class: faint ? "faint" : "", "data-style": style, "stroke-dasharray": dash.join(" ") };
    return shape("path", { ...look, d: path });
  });
  const axis = shape("path", { class: "axis", d: "M0 0V50H100" });
  return shape("svg", { viewBox: "0 0 100 50", preserveAspectRatio: "none", "aria-hidden": "true" }, axis, ...lines);
}
