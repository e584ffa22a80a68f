// A table with links. Text goes through textContent only; addresses come from Python, relative to the app.

import { element, setAll } from "../shared/elements.js";

export default function ({ data, parentElement }) {
  const content = data?.[0];
  const table = parentElement.querySelector("table");
  if (!content || !table) return;
  const text = JSON.stringify(content);
  if (table.dataset.text === text) return;
  table.dataset.text = text;
  const head = element("thead", "", element("tr", "", ...content.head.map((words) => heading("col", words))));
  const body = element("tbody", "", ...content.rows.map(([first, ...others]) =>
    element("tr", "", heading("row", ...first.map(piece)), ...others.map((cell, i) => named(content.head[i + 1], cell)))));
  table.replaceChildren(element("caption", "", content.caption), head, body);
}

function heading(scope, ...children) {
  return setAll(element("th", "", ...children), { scope });
}

// On a phone a row is a card, where each cell has its column's name beside it.
function named(column, cell) {
  const made = element("td", "", ...cell.map(piece));
  made.dataset.column = column;
  return made;
}

function piece({ text, href, is_aside }) {
  return setAll(element(href ? "a" : "span", is_aside ? "aside" : "", text), href ? { href, target: "_blank" } : {});
}
