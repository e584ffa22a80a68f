// Solutions in a table: sorted, filtered and walked through in the browser. Python sends all rows once, column by column
// (vimpo_core/views/solution_table.py), and hears only which solution to open.

import { element, setAll } from "../shared/elements.js";
import { followPython, mountView, reportSoon, watchWidth } from "../shared/mounting.js";
import { fromWhole, short, signed } from "../shared/numbers.js";
import { clamp } from "../shared/scales.js";
import { FILTERS, READINGS, hitOf, idOf, passes, sortedBy } from "./rows.js";

const PAGE = 128; // rows that are drawn at once
const NARROW = 600; // px: cards, whatever the columns need

const VERDICTS = { right: "✓ right", wrong: "✕ wrong", none: "– no answer", "": "not judged" };
const HELP = {
  lowest: "The lowest token credit of the solution, in reward",
  own: "The token with the lowest credit; ✓ where that is the one to be found",
  other: "The token with the lowest credit off the other policy; ✓ where that is the one to be found",
  surprisal: "The least probable token; ✓ where that is the one to be found",
  residual: "What token credit leaves unexplained of the reward; sorted by size",
};
const MARKS = { right: "✓", wrong: "✕", none: "–", "": "" };

export default function (component) {
  const report = ({ open }) => component.setTriggerValue("open", open);
  return mountView(component, ".solution-table", createTable, updateTable, report);
}

function createTable(view) {
  Object.assign(view, { rows: [], shown: [], nodes: new Map(), page: 0, cursor: null, current: null });
  view.at("thead").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) sortBy(view, button.dataset.column);
  });
  view.at("tbody").addEventListener("click", (event) => {
    const row = rowOf(view, event);
    if (row) open(view, row, true);
  });
  view.at(".filters").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) filterBy(view, button.dataset.only);
  });
  view.at(".previous").addEventListener("click", () => walk(view, -1, false));
  view.at(".next").addEventListener("click", () => walk(view, 1, false));
  view.at(".pages").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) turnTo(view, view.page + Number(button.dataset.by));
  });
  view.root.addEventListener("keydown", (event) => onKey(view, event));
  watchWidth(view, view.at(".scroller"), () => {
    fit(view);
    markCurrent(view, true);
  });
}

function updateTable(view, data) {
  const isFirst = view.data === null;
  const isNew = view.version !== data.version;
  view.data = data;
  const current = followPython(view, "current", data.current, isNew);
  if (isFirst) Object.assign(view, { only: data.only, sort: data.sort });
  if (!isNew && current === view.current) return;
  view.version = data.version;
  view.current = current;
  if (isNew) readRows(view);
  else markCurrent(view, true);
}

function readRows(view) {
  const { columns, count } = view.data;
  const names = Object.keys(columns);
  view.rows = Array.from({ length: count }, (_, at) => {
    const row = Object.fromEntries(names.map((name) => [name, columns[name][at]]));
    return { ...row, at, id: idOf(row) };
  });
  view.nodes.clear();
  const all = columnsOf(view.data);
  view.columns = all.filter((column) => column.isKept || view.rows.some((row) => column.value(row) !== null));
  sayMissing(view, all);
  if (!view.columns.some((column) => column.key === view.sort?.key)) view.sort = null;
  if (!FILTERS[view.only]) view.only = "all";
  drawFilters(view);
  drawHead(view);
  arrange(view);
  fit(view);
  markCurrent(view, true);
}

// Cards where the columns have no room.
function fit(view) {
  const box = view.at(".scroller");
  view.root.classList.remove("cards");
  const hasRoom = box.clientWidth >= NARROW && box.scrollWidth <= box.clientWidth;
  view.root.classList.toggle("cards", !hasRoom);
  view.width = box.clientWidth;
}

// --- columns ---------------------------------------------------------------------------------------------------------

// key; head: what its button says, and in a card its label where `card` is none; first: the direction of the first press;
// value(row): what it is sorted by, null where not known; cell(row): what it shows; isText: aligned to the left; isKept: drawn
// where nothing is known too.
function columnsOf(data) {
  const number = (value) => signed(fromWhole(value, data.decimals), Math.min(3, data.decimals));
  const numbers = (key, head, first, value = (row) => row[key]) => (
    { key, head, first, value, cell: (row) => (row[key] === null ? unknown() : number(row[key])) });
  const counts = (key, head, first, shift = 0) => (
    { key, head, first, value: (row) => row[key], cell: (row) => String(row[key] + shift) });
  const blames = (key) => ({
    key, head: `${data.heads[key]} blames`, card: data.heads[key], first: -1, isText: true,
    value: (row) => pointValue(row, key), cell: (row) => pointCell(row, key),
  });
  return [
    data.is_run && counts("step", "Step", -1),
    { key: "prompt", head: "Prompt", first: 1, isText: true, value: (row) => row.prompt, cell: (row) => promptCell(data, row) },
    counts("sample", "No.", 1, 1),
    data.is_judged && {
      key: "answer", head: "Answer", first: 1, isText: true, isKept: true, value: (row) => row.answer || null, cell: verdictCell,
    },
    { key: "reward", head: "Reward", first: 1, value: (row) => row.reward, cell: rewardCell },
    counts("length", "Tokens", -1),
    numbers("lowest", "Lowest δ", 1),
    ...READINGS.filter((key) => data.heads[key]).map(blames),
    data.is_judged && {
      key: "target", head: data.heads.target, first: 1, isText: true, isKept: true,
      value: (row) => row.target?.[0] ?? null,
      cell: (row) => (row.target ? tokenNodes(row.target) : element("span", "faint unknown", "–")),
    },
    numbers("residual", "Residual", -1, (row) => (row.residual === null ? null : Math.abs(row.residual))),
  ].filter(Boolean);
}

function promptCell(data, row) {
  const text = data.prompts[row.prompt];
  const node = element("span", "prompt", text);
  node.title = text;
  return node;
}

// Columns without any number are left out, and named. Of another policy's reading Python says more.
function sayMissing(view, all) {
  const left = all.filter((column) => !view.columns.includes(column) && column.key !== "other");
  const names = left.map((column) => column.card ?? column.head);
  view.at(".missing").textContent = names.length && view.rows.length ? `Not recorded: ${names.join(", ")}.` : "";
}

function verdictCell(row) {
  const mark = element("span", `mark ${row.verdict}`, MARKS[row.verdict]);
  setAll(mark, { role: "img", "aria-label": VERDICTS[row.verdict] });
  return [mark, " ", element("span", "answer", row.answer || "no answer")];
}

function rewardCell(row) {
  if (row.reward === null) return unknown();
  return row.flipped ? [short(row.reward, 3), element("small", "", " flipped")] : short(row.reward, 3);
}

// Hits above what points elsewhere, that above what points nowhere; by place within.
function pointValue(row, name) {
  const blamed = row[name];
  if (blamed === null) return null;
  if (!row.target) return blamed === -1 ? -3e6 : -2e6 - blamed[0];
  if (blamed === -1) return -1e6;
  return (hitOf(row, name) ? 1e6 : 0) - blamed[0];
}

function pointCell(row, name) {
  const blamed = row[name];
  if (blamed === null) return unknown();
  if (blamed === -1) return element("span", "faint", "nowhere");
  if (!row.target) return element("span", "faint", ...tokenNodes(blamed));
  const hits = hitOf(row, name);
  const mark = element("span", `mark ${hits ? "hit" : "missed"}`, hits ? "✓" : "✕");
  setAll(mark, { role: "img", "aria-label": hits ? "hit" : "missed" });
  return [mark, " ", ...tokenNodes(blamed)];
}

function tokenNodes([at, text]) {
  return [`#${at} `, element("span", "token-text", text)];
}

function unknown() {
  const node = element("span", "faint unknown", "–");
  return setAll(node, { title: "not recorded", role: "img", "aria-label": "not recorded" });
}

// --- drawing ---------------------------------------------------------------------------------------------------------

function drawFilters(view) {
  const names = Object.keys(FILTERS).filter((name) => name === "all" || view.data.is_judged);
  view.at(".filters").replaceChildren(...names.map((name) => {
    const count = view.rows.filter((row) => passes(row, name)).length;
    const button = element("button", "", FILTERS[name], element("span", "count", String(count)));
    button.dataset.only = name;
    return setAll(button, { type: "button", "aria-pressed": String(name === view.only) });
  }));
}

function drawHead(view) {
  const heads = view.columns.map((column) => {
    const button = setAll(element("button", "", column.head, element("span", "arrow")), { type: "button" });
    button.dataset.column = column.key;
    if (HELP[column.key]) button.title = HELP[column.key];
    return setAll(element("th", column.isText ? "text" : "", button), { role: "columnheader", scope: "col" });
  });
  view.at("thead").replaceChildren(setAll(element("tr", "", ...heads), { role: "row" }));
}

// Sort and filter all rows, then draw the page of the current solution, or the first.
function arrange(view) {
  view.shown = sortedBy(view.rows.filter((row) => passes(row, view.only)), columnOf(view), view.sort?.way);
  const at = view.shown.findIndex((row) => row.id === view.current);
  view.page = Math.max(0, Math.floor(at / PAGE));
  view.cursor = at < 0 ? view.shown[0]?.id : view.current;
  for (const button of view.root.querySelectorAll(".filters button")) {
    button.setAttribute("aria-pressed", String(button.dataset.only === view.only));
  }
  view.columns.forEach((column, place) => {
    const way = column.key === view.sort?.key ? view.sort.way : 0;
    const head = view.at("thead tr").children[place];
    head.setAttribute("aria-sort", way ? (way > 0 ? "ascending" : "descending") : "none");
    head.querySelector(".arrow").textContent = way ? (way > 0 ? "▲" : "▼") : "";
  });
  drawPage(view);
}

function columnOf(view) {
  return view.columns.find((column) => column.key === view.sort?.key);
}

function drawPage(view) {
  const first = view.page * PAGE;
  const rows = view.shown.slice(first, first + PAGE);
  const table = setAll(view.at("table"), { "aria-rowcount": view.shown.length + 1, "aria-label": view.data.label });
  table.hidden = false;
  view.at("tbody").replaceChildren(...rows.map((row, at) => setAll(nodeOf(view, row), { "aria-rowindex": first + at + 2 })));
  view.at(".empty").textContent = rows.length ? "" : "No solution is like that.";
  view.at(".scroller").scrollTop = 0;
  drawPages(view, first, rows.length);
  markCurrent(view, true);
}

function nodeOf(view, row) {
  let node = view.nodes.get(row.id);
  if (node) return node;
  const cells = view.columns.map((column) => {
    const content = [column.cell(row)].flat();
    const name = element("span", "label", column.card ?? column.head);
    return setAll(element("td", `of-${column.key}${column.isText ? " text" : ""}`, name, ...content), { role: "gridcell" });
  });
  node = setAll(element("tr", row.verdict, ...cells), { role: "row", tabindex: -1 });
  node.dataset.id = row.id;
  view.nodes.set(row.id, node);
  return node;
}

function drawPages(view, first, count) {
  const { length } = view.shown;
  if (length <= PAGE) {
    view.at(".pages").replaceChildren();
    return;
  }
  const button = (words, by, isOff) => {
    const node = setAll(element("button", "", words), { type: "button" });
    node.dataset.by = by;
    node.disabled = isOff;
    return node;
  };
  view.at(".pages").replaceChildren(
    button("‹ Rows before", -1, first === 0),
    element("span", "", `rows ${first + 1} to ${first + count} of ${length}`),
    button("Rows after ›", 1, first + count >= length),
  );
}

function markCurrent(view, isSought) {
  for (const [id, node] of view.nodes) {
    node.setAttribute("aria-selected", String(id === view.current));
    node.tabIndex = id === view.cursor ? 0 : -1;
  }
  const at = view.shown.findIndex((row) => row.id === view.current);
  view.at(".place").textContent = view.shown.length ? `${at < 0 ? "–" : at + 1} of ${view.shown.length}` : "none";
  view.at(".previous").disabled = at <= 0;
  view.at(".next").disabled = !view.shown.length || at === view.shown.length - 1;
  if (isSought && at >= 0) bringIntoSight(view, view.nodes.get(view.current));
}

// Inside the box of the table alone, in its middle: the page never jumps.
function bringIntoSight(view, node) {
  const box = view.at(".scroller");
  if (!node?.isConnected || box.scrollHeight <= box.clientHeight) return;
  const head = view.at("thead");
  const [inner, outer, top] = [node, box, head].map((each) => each.getBoundingClientRect());
  const covered = getComputedStyle(head).position === "sticky" ? top.height : 0;
  const zoom = outer.height / box.offsetHeight || 1; // large type: what is measured is larger than what is scrolled by
  if (inner.top >= outer.top + covered && inner.bottom <= outer.bottom) return;
  box.scrollTop += ((inner.top + inner.bottom) / 2 - (outer.top + covered + outer.bottom) / 2) / zoom;
}

// --- what a press does -----------------------------------------------------------------------------------------------

function sortBy(view, key) {
  const column = view.columns.find((each) => each.key === key);
  const isSame = view.sort?.key === key;
  const isBack = isSame && view.sort.way !== column.first;
  view.sort = isBack ? null : { key, way: isSame ? -column.first : column.first };
  arrange(view);
}

function filterBy(view, only) {
  view.only = only;
  arrange(view);
}

function turnTo(view, page) {
  view.page = page;
  view.cursor = view.shown[page * PAGE]?.id;
  drawPage(view);
}

// The solution so many rows on; from one that is not listed the first.
function walk(view, by, focus) {
  const at = view.shown.findIndex((row) => row.id === view.current);
  const row = view.shown[at < 0 ? 0 : at + by];
  if (row) open(view, row, focus);
}

function open(view, row, focus) {
  view.current = row.id;
  moveTo(view, row, focus);
  const { id, step, group, sample } = row;
  reportSoon(view, () => ({ current: id, open: { step, group, sample, only: view.only, sort: sortText(view) } }));
}

function sortText(view) {
  return view.sort ? `${view.sort.way < 0 ? "-" : ""}${view.sort.key}` : "";
}

// Move the keyboard's place to a row, on its page.
function moveTo(view, row, focus) {
  view.cursor = row.id;
  const page = Math.floor(view.shown.indexOf(row) / PAGE);
  if (page !== view.page) {
    view.page = page;
    drawPage(view);
  }
  markCurrent(view, false);
  const node = view.nodes.get(row.id);
  if (focus) node.focus({ preventScroll: true });
  bringIntoSight(view, node);
}

function rowOf(view, event) {
  const node = event.target.closest?.("tbody tr");
  return node ? view.shown.find((row) => row.id === node.dataset.id) : null;
}

function onKey(view, event) {
  if (event.altKey || event.ctrlKey || event.metaKey || !view.shown.length) return;
  const row = rowOf(view, event);
  const by = { j: 1, k: -1 }[event.key.toLowerCase()];
  if (by) {
    event.preventDefault();
    walk(view, by, Boolean(row));
    return;
  }
  if (!row) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    open(view, row, true);
    return;
  }
  const at = view.shown.indexOf(row);
  const last = view.shown.length - 1;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  moveTo(view, view.shown[clamp(to, 0, last)], true);
}
