// The list of runs: search, sort, tags and ticks answer here at once, Python keeps them in the address and acts on the runs.
// Rows are kept and refilled, and their order stays until somebody sorts or searches: nothing jumps while a run trains.

import { element, setAll } from "../shared/elements.js";
import { linkWithin } from "../shared/going.js";
import { followPython, mountView, reportSoon } from "../shared/mounting.js";
import { fits, ordered, SORTS } from "./order.js";
import { createRow, fillRow } from "./row.js";

const A_PAGE = 50;
const HINT = "Tick runs to compare them, to tag or delete them.";
const TYPING_MS = 600; // a search is one entry of the browser's history, not one a letter

export default function (component) {
  return mountView(component, ".runs-list", create, (view, data) => {
    view.act = (what) => component.setTriggerValue("act", what);
    const whole = wholeOf(view, data);
    if (whole) update(view, whole);
    else view.act({ do: "whole" });
  });
}

function create(view) {
  Object.assign(view, {
    rows: new Map(), order: new Map(), more: new Map(), open: new Set(), q: "", sort: "", tag: "", runs: "",
    search: view.at("input"), picker: view.at("select"), typing: 0,
  });
  view.search.addEventListener("input", () => searched(view, false));
  view.search.addEventListener("change", () => searched(view, true));
  view.picker.append(...Object.entries(SORTS).map(([value, words]) => setAll(element("option", "", words), { value })));
  view.picker.addEventListener("change", () => sortBy(view, view.picker.value));
  view.leave = () => clearTimeout(view.typing);
}

// While runs train only the rows that changed since the list was sent whole are sent. null: they are changes of another list.
function wholeOf(view, data) {
  if (data.groups) view.sent = data;
  if (data.groups || view.sent?.version !== data.since) return data.groups ? data : null;
  const groups = view.sent.groups.map((group) => ({ ...group, rows: group.rows.map((row) => data.changed[row.key] ?? row) }));
  return { ...view.sent, ...data, groups };
}

function update(view, data) {
  const isFirst = !view.data;
  view.data = data;
  const before = view.q + view.sort + view.tag;
  for (const name of ["q", "sort", "tag", "runs"]) view[name] = followPython(view, name, data[name], isFirst);
  if (view.q + view.sort + view.tag !== before) view.order.clear();
  if (view.root.getRootNode().activeElement !== view.search) view.search.value = view.q;
  view.picker.value = view.sort;
  draw(view);
}

// ---- what somebody does

function searched(view, isDone) {
  clearTimeout(view.typing);
  view.typing = setTimeout(() => tell(view), isDone ? 0 : TYPING_MS);
  if (view.q === view.search.value) return;
  view.q = view.search.value;
  reorder(view);
}

function sortBy(view, sort) {
  view.sort = sort;
  view.picker.value = sort;
  reorder(view);
  tell(view);
}

function reorder(view) {
  view.order.clear();
  view.more.clear();
  draw(view);
}

function toggleTag(view, tag) {
  const chosen = tagsOf(view);
  view.tag = (chosen.includes(tag) ? chosen.filter((one) => one !== tag) : [...chosen, tag]).join();
  reorder(view);
  tell(view);
}

function tick(view, keys, isOn) {
  const others = ticked(view).filter((key) => !keys.includes(key));
  view.runs = (isOn ? [...others, ...keys] : others).join();
  draw(view);
  tell(view);
}

function tell(view) {
  reportSoon(view, () => ({ q: view.q, sort: view.sort, tag: view.tag, runs: view.runs }));
}

const tagsOf = (view) => view.tag.split(",").filter(Boolean);
const ticked = (view) => view.runs.split(",").filter(Boolean);

// ---- drawing

function draw(view) {
  const { data } = view;
  drawTags(view);
  drawBulk(view);
  const tags = tagsOf(view);
  const groups = data.groups.map((group) => {
    const fitting = group.rows.filter((row) => fits(row, view.q, tags));
    return { ...group, all: group.rows.length, rows: keepOrder(view, group.key, ordered(fitting, view.sort)) };
  });
  const shown = groups.filter((group) => group.rows.length);
  const none = shown.length ? [] : [element("p", "none", data.groups.length ? "No run fits. " : "", ...clearing(view))];
  replaceIfOther(view.at(".groups"), [...shown.map((group) => drawGroup(view, group)), ...none]);
}

function clearing(view) {
  if (!view.data.groups.length) return [];
  return [button("Show all", () => {
    Object.assign(view, { q: "", tag: "" });
    view.search.value = "";
    reorder(view);
    tell(view);
  })];
}

// A new run comes first; the others stay where they are until somebody sorts.
function keepOrder(view, key, rows) {
  const before = view.order.get(key);
  const places = before && new Map(before.map((one, place) => [one, place]));
  const found = places ? rows.slice().sort((a, b) => (places.get(a.key) ?? -1) - (places.get(b.key) ?? -1)) : rows;
  view.order.set(key, found.map((row) => row.key));
  return found;
}

function drawTags(view) {
  const pressed = tagsOf(view);
  const known = [...new Set([...view.data.tags, ...pressed])];
  const box = view.at(".only");
  const text = JSON.stringify([known, pressed]);
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  const focused = view.root.getRootNode().activeElement?.dataset?.tag;
  box.replaceChildren(...known.map((tag) => {
    const chip = button(tag, () => toggleTag(view, tag), "tag");
    chip.dataset.tag = tag;
    return setAll(chip, { "aria-pressed": String(pressed.includes(tag)) });
  }));
  view.at("datalist").replaceChildren(...view.data.tags.map((tag) => setAll(element("option"), { value: tag })));
  [...box.children].find((chip) => chip.dataset.tag === focused)?.focus();
}

function drawBulk(view) {
  const keys = ticked(view);
  const { said } = view.data;
  const own = keys.filter((key) => view.data.own.includes(key));
  const text = JSON.stringify([keys, own, said]);
  const box = view.at(".bulk");
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  box.dataset.ticked = String(keys.length > 0);
  const last = said.key ? "" : said.text; // what is said of one run stands there
  view.at(".count").textContent = keys.length ? words(keys.length, own.length) : last ? "" : HINT;
  view.at(".said").textContent = last;
  view.at(".said").dataset.tone = said.tone;
  view.at(".doing").replaceChildren(...(keys.length ? bulkActions(view, keys, own) : []));
  view.at(".undo").replaceChildren(...(said.undo.length ? [button("Undo", () => view.act({ do: "undo" }))] : []));
}

function words(count, own) {
  const readOnly = count - own;
  return `${count} ticked` + (readOnly ? ` (${readOnly === count ? "" : `${readOnly} of them `}read-only)` : "");
}

function bulkActions(view, keys, own) {
  const open = linkWithin("Compare", `compare?runs=${encodeURIComponent(keys.join())}`, "strong");
  const clear = button("Untick", () => tick(view, keys, false));
  if (!own.length) return [open, clear];
  const field = setAll(element("input", "field"), {
    type: "text", maxlength: view.data.longestTag, list: "known-tags", "aria-label": "Tag for the ticked runs", placeholder: "tag",
  });
  const send = (way) => field.value.trim() && view.act({ do: "tag", keys: own, [way]: [field.value.trim()] });
  field.addEventListener("keydown", (event) => event.key === "Enter" && send("add"));
  const remove = button(`Delete ${own.length}`, () => {
    view.act({ do: "delete", keys: own });
    tick(view, own, false);
  });
  return [open, field, button("Add tag", () => send("add")), button("Remove tag", () => send("remove")), remove, clear];
}

function drawGroup(view, group) {
  const kept = view.groups?.get(group.key) ?? createGroup(view, group);
  (view.groups ??= new Map()).set(group.key, kept);
  const keys = group.rows.map((row) => row.key);
  const chosen = ticked(view);
  const on = keys.filter((key) => chosen.includes(key)).length;
  kept.count.textContent = group.rows.length === group.all ? ` ${group.all}` : ` ${group.rows.length} of ${group.all}`;
  kept.all.checked = on > 0 && on === keys.length;
  kept.all.indeterminate = on > 0 && on < keys.length;
  kept.all.onchange = () => tick(view, keys, kept.all.checked);
  for (const [name, head] of Object.entries(kept.heads)) {
    head.setAttribute("aria-sort", view.sort === name ? "ascending" : view.sort === `-${name}` ? "descending" : "none");
  }
  const most = view.more.get(group.key) ?? A_PAGE;
  const nodes = group.rows.slice(0, most).flatMap((row) => {
    const parts = view.rows.get(row.key) ?? createRow(row.key, handlers(view, row.key));
    view.rows.set(row.key, parts);
    const isOpen = view.open.has(row.key);
    fillRow(parts, row, { isTicked: chosen.includes(row.key), isOpen, known: view.data, labels: group.labels });
    return isOpen ? [parts.node, parts.more] : [parts.node];
  });
  replaceIfOther(kept.body, nodes);
  const left = group.rows.length - most;
  kept.rest.hidden = left <= 0;
  kept.rest.textContent = left > A_PAGE ? `Show ${A_PAGE} more of ${left}` : `Show the other ${left}`;
  kept.rest.onclick = () => {
    view.more.set(group.key, most + A_PAGE);
    draw(view);
  };
  return kept.node;
}

function createGroup(view, group) {
  const all = setAll(element("input"), { type: "checkbox", "aria-label": `Tick all runs of: ${group.title}` });
  const count = element("span", "count");
  const heads = {};
  const cells = group.heads.map(([name, words, sorts]) => {
    const shown = sorts ? button(words, () => sortBy(view, next(view.sort, name)), "by") : element("span", "", words);
    const head = setAll(element("th", `c-${name}`, shown), { scope: "col", role: "columnheader" });
    if (sorts) heads[name] = head;
    return head;
  });
  const body = setAll(element("tbody"), { role: "rowgroup" });
  const top = setAll(element("thead", "", setAll(element("tr", "", ...cells), { role: "row" })), { role: "rowgroup" });
  const table = setAll(element("table", "", top, body), { role: "table", "aria-label": group.title });
  const rest = setAll(element("button", "rest"), { type: "button" });
  const title = element("label", "", all, element("span", "", group.title));
  const heading = element("h4", "", title, count, element("span", "why", group.why));
  return { node: element("section", "group", heading, table, rest), all, count, heads, body, rest };
}

// Numbers and dates begin with the largest, words with the first.
function next(sort, name) {
  const first = name === "name" || name === "state" ? name : `-${name}`;
  return sort === first ? (first === name ? `-${name}` : name) : first;
}

function handlers(view, key) {
  return {
    tick: (isOn) => tick(view, [key], isOn),
    act: (what) => view.act({ ...what, keys: [key] }),
    tag: (tag) => toggleTag(view, tag),
    toggle: () => {
      if (!view.open.delete(key)) view.open.add(key);
      draw(view);
    },
  };
}

function replaceIfOther(box, nodes) {
  if (box.childNodes.length === nodes.length && nodes.every((node, i) => node === box.childNodes[i])) return;
  box.replaceChildren(...nodes);
}

function button(text, onClick, className = "") {
  const node = setAll(element("button", className, text), { type: "button" });
  node.addEventListener("click", onClick);
  return node;
}
