// One solution, a row for everybody who judges it. Python sends the rows (app/components/aligned_strips.py) with the sentences
// beside them; here they are drawn, and the top row lets one choose a token with the pointer or the keys.

import { markTheme, paintSign } from "../shared/colours.js";
import { element, setAll } from "../shared/elements.js";
import { followPython, mountView, reportSoon } from "../shared/mounting.js";
import { fixed, signed } from "../shared/numbers.js";
import { placeInLine } from "../shared/scales.js";
import { tokenOf } from "../shared/token_strip.js";
import { columnWidths, isOfWords } from "../shared/words.js";

export default function (component) {
  return mountView(component, ".aligned", createAligned, updateAligned);
}

function createAligned(view) {
  view.token = null;
  listenToTop(view, view.at(".rows"));
}

function updateAligned(view, data) {
  const isNew = view.version !== data.version;
  view.data = data;
  const token = followPython(view, "token", data.token, isNew);
  if (!isNew && token === view.token) return;
  view.version = data.version;
  view.token = token;
  markTheme(view.root);
  if (isNew) drawRows(view);
  showChoice(view, false);
}

// --- rows ------------------------------------------------------------------------------------------------------------

function drawRows(view) {
  const { data } = view;
  const hadFocus = view.root.getRootNode().activeElement?.classList.contains("token");
  view.at(".rows").style.setProperty("--count", data.text.length);
  if (isOfWords(data.text)) view.at(".rows").style.setProperty("--columns", columnWidths(data.text, 11.5));
  else view.at(".rows").style.removeProperty("--columns");
  view.at(".rows").replaceChildren(topRow(view), ...data.rows.map((row) => drawnRow(data, row)));
  view.hadFocus = hadFocus;
}

function topRow(view) {
  const { data } = view;
  const cells = element("div", "cells", ...data.text.map((text, t) => option(data, text, t)));
  setAll(cells, { role: "listbox", "aria-orientation": "horizontal", "aria-label": data.label });
  return element("div", "row", rowLabel(data.title, data.says), cells);
}

function option(data, text, t) {
  const says = `token ${t} of ${data.text.length}, "${text}"${t === data.first_wrong ? ", first wrong token" : ""}`;
  return setAll(cell(data, text, t), { role: "option", "aria-label": says });
}

function cell(data, text, t) {
  const isWrong = t === data.first_wrong;
  const startsStep = t && data.line_starts.includes(t);
  const token = element("span", `token${startsStep ? " starts-step" : ""}${isWrong ? " is-wrong" : ""}`, text);
  token.dataset.index = t;
  return token;
}

function drawnRow(data, row) {
  const heading = rowLabel(row.label, row.says);
  if (!row.values && !row.picks.length) return element("div", "row", heading, element("span", "absent", row.absent));
  const picks = new Set(row.picks);
  const cells = data.text.map((text, t) => {
    const token = cell(data, row.values || picks.has(t) ? text : "·", t);
    token.classList.toggle("pick", picks.has(t));
    if (row.values) paintSign(token, row.values[t], row.scale);
    return token;
  });
  const box = setAll(element("div", "cells", ...cells), { role: "img", "aria-label": `${row.label}: ${row.says}` });
  return element("div", "row", heading, box);
}

function rowLabel(name, says) {
  return element("span", "row-label", element("b", "", name), element("small", "", says));
}

// --- the chosen token ------------------------------------------------------------------------------------------------

function listenToTop(view, rows) {
  rows.addEventListener("click", (event) => {
    if (tokenOf(event) !== null) chooseColumn(view, tokenOf(event), true);
  });
  rows.addEventListener("keydown", (event) => {
    const from = tokenOf(event);
    if (from === null) return;
    const to = placeInLine(event.key, from, view.data.text.length);
    if (to === null) return;
    event.preventDefault();
    chooseColumn(view, to, true);
  });
}

function chooseColumn(view, index, focus) {
  view.token = index;
  showChoice(view, focus);
  reportSoon(view, () => ({ token: view.token }));
}

function showChoice(view, focus) {
  const { data, token } = view;
  const options = [...view.root.querySelectorAll('[role="option"]')];
  options.forEach((each, t) => {
    each.setAttribute("aria-selected", String(t === token));
    each.tabIndex = t === (token ?? 0) ? 0 : -1;
  });
  if (focus || view.hadFocus) options[token ?? 0]?.focus({ preventScroll: true });
  view.hadFocus = false;
  view.at(".readout").replaceChildren(...readoutOf(data, token));
  drawBars(view.at(".bars"), token === null ? null : data.bars?.[token]);
}

function readoutOf(data, token) {
  if (token === null) return [data.hint];
  const said = [element("b", "", `#${token} “${data.text[token]}”`)];
  for (const row of data.rows.filter((each) => each.values)) said.push(` · ${row.label} ${amountOf(row, token)}`);
  if (data.notes) said.push(` · ${data.notes[token]}`);
  return said;
}

function amountOf(row, token) {
  const value = row.values[token];
  const number = (row.scale.signed ? signed : fixed)(value, row.scale.decimals);
  return row.scale.unit && value !== null ? `${number} ${row.scale.unit}` : number;
}

function drawBars(box, bars) {
  if (!bars) {
    box.replaceChildren();
    return;
  }
  const keys = JSON.stringify(bars.map((bar) => [bar.label, bar.style]));
  if (box.dataset.keys !== keys) {
    box.dataset.keys = keys;
    box.replaceChildren(...bars.flatMap((bar) => {
      const track = element("div", "bar", element("i", ""));
      track.dataset.style = bar.style;
      track.setAttribute("role", "img");
      return [element("span", "", bar.label), track, element("span", "", "")];
    }));
  }
  bars.forEach((bar, k) => {
    const [, track, said] = [...box.children].slice(3 * k, 3 * k + 3);
    track.firstChild.style.width = bar.share === null ? "0" : `${100 * bar.share}%`;
    track.setAttribute("aria-label", `${bar.label}: ${bar.says}`);
    said.textContent = bar.says;
  });
}
