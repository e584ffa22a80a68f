// Every rule on the same tokens. Python sends rule_views.rules_payload with both readings; which one is shown, the selected token
// and hovering are the browser's, Python hears what was chosen, to put it in the address. A row of the group, once clicked, is
// opened by Python.
//
// data = { text, line_starts, first_wrong, rows, group, group_rule, scales, lenses, token, lens }; a row has for each reading
// whole numbers of its last digit ("values"), how many digits, whether all are the same, or why there are none.

import { paintSign } from "../shared/colours.js";
import { element, setAll } from "../shared/elements.js";
import { legendOf, legendSigns } from "../shared/lenses.js";
import { markOf } from "../shared/marks.js";
import { followPython, mountView, reportSoon } from "../shared/mounting.js";
import { fromWhole, signed } from "../shared/numbers.js";
import { offerToSave } from "../shared/save_figure.js";
import { clamp } from "../shared/scales.js";
import { beginsWithSpace, columnWidths, isOfWords, pageOf, partOf } from "../shared/words.js";

export default function (component) {
  return mountView(component, ".rules-view", createRules, updateRules);
}

function createRules(view) {
  const { root, at } = view;
  listenToLenses(view);
  listenToRows(view, at(".strips-box"));
  at(".pager").addEventListener("click", (event) => {
    const to = event.target.dataset.to;
    if (to === undefined) return;
    view.token = Number(to);
    drawRules(view);
    reportRules(view);
  });
  offerToSave(at(".save"), root, () => view.data && {
    name: `every-rule-${view.lens}`,
    about: view.data.about,
    heading: `Every rule on the same tokens: ${view.data.lenses.find((lens) => lens.key === view.lens).label}`,
    parts: [at(".strips-box"), at(".legend")],
  });
}

function updateRules(view, data) {
  const isNew = view.version !== data.version;
  view.data = data;
  const token = followPython(view, "token", data.token, isNew);
  const lens = followPython(view, "lens", data.lens, isNew);
  if (!isNew && token === view.token && lens === view.lens) return;
  view.version = data.version;
  view.token = clamp(token, 0, data.text.length - 1);
  view.lens = lens;
  if (isNew) view.row = firstRow(view);
  drawRules(view);
}

// --- drawing ---------------------------------------------------------------------------------------------------------

function drawRules(view) {
  const { data } = view;
  const hadFocus = view.root.getRootNode().activeElement?.classList.contains("token");
  const longest = Math.max(data.text.length, ...data.group.map((row) => row.text.length));
  view.page = pageOf(view.token, longest);
  view.ofWords = isOfWords(data.text);
  view.at(".strips-box").style.setProperty("--count", view.page[1] - view.page[0]);
  view.at(".strips-box").classList.toggle("of-words", view.ofWords);
  drawLenses(view);
  drawPager(view);
  view.at(".group-rows").setAttribute("aria-label", `${data.group_rule} on every solution of the prompt`);
  view.at(".group-rows").replaceChildren(...(data.group.length ? [
    headOf(`${data.group_rule}, the prompt's ${data.group.length} solutions`, "click a token to open its solution"),
    ...data.group.map((row, index) => rowOf(view, row, row, "group", index, row.is_chosen)),
  ] : []));
  view.at(".rule-rows").replaceChildren(
    headOf("Every rule", data.group.length ? "the solution marked above" : "the same tokens", true),
    ...data.rows.map((row, index) => rowOf(view, data, row, "rules", index, false)),
  );
  drawRulesLegend(view);
  showColumn(view, hadFocus);
}

function headOf(name, says, hasNumber) {
  const row = element("div", "rule-row head", titleOf(name, says));
  row.setAttribute("role", "presentation");
  if (hasNumber) row.append(numberCell());
  return row;
}

function titleOf(name, detail) {
  return element("p", "strip-title", element("span", "", name), element("br", ""), element("span", "detail", detail));
}

function rowOf(view, solution, row, place, index, isOpen) {
  const reading = row[view.lens];
  const name = place === "group" ? `${row.sample + 1}${verdictMark(row)}` : row.name;
  const drawn = element("div", `rule-row${isOpen ? " is-open" : ""}`, titleOf(name, detailOf(view, row, place)));
  drawn.setAttribute("role", "row");
  drawn.firstChild.setAttribute("role", "rowheader");
  if (!reading.values) {
    drawn.append(element("span", "absent in-picture", reading.why_not));
    drawn.lastChild.setAttribute("role", "gridcell");
    return drawn;
  }
  const values = reading.values.map((v) => fromWhole(v, reading.decimals));
  const colours = { max: view.data.scales[view.lens], signed: true };
  const starts = new Set(solution.line_starts.slice(1));
  const [from, to] = view.page;
  if (view.ofWords) drawn.style.setProperty("--columns", widthsOf(view, solution));
  solution.text.slice(from, to).forEach((text, column) => {
    const t = from + column;
    const token = element("span", `token${starts.has(t) ? " starts-step" : ""}${beginsWithSpace(text) ? " spaced" : ""}`, text);
    Object.assign(token.dataset, { place, row: index, index: t });
    setAll(token, { role: "gridcell", tabindex: -1, "aria-label": spokenCell(view, solution, row, place, t) });
    paintSign(token, values[t], colours);
    drawn.append(t === markOf(solution).token ? markAround(token, markOf(solution)) : token);
  });
  drawn.append(numberCell());
  drawn.lastChild.setAttribute("role", "gridcell");
  return drawn;
}

// What a verifier of the lab said; nothing where none did.
function verdictMark(row) {
  return row.is_right === null ? "" : row.is_right ? " ✓" : " ✕";
}

// As wide as the text of each token of the page; columns that the solution does not reach are as wide as one letter.
function widthsOf(view, solution) {
  const [from, to] = view.page;
  const letter = view.root.clientWidth <= 560 ? 10 : 11;
  return columnWidths(Array.from({ length: to - from }, (_, column) => solution.text[from + column] ?? ""), letter);
}

function drawPager(view) {
  const [from, to] = view.page;
  const count = view.data.text.length;
  const isWhole = from === 0 && to >= count;
  view.at(".pager").hidden = isWhole;
  if (isWhole) return;
  const button = (words, target) => {
    const made = setAll(element("button", "", words), { type: "button" });
    if (target < 0 || target >= count) made.disabled = true;
    made.dataset.to = target;
    return made;
  };
  const last = Math.min(to, count);
  view.at(".pager").replaceChildren(
    button("‹ earlier", from - 1), element("span", "", `tokens ${from} to ${last - 1} of ${count}`), button("later ›", last),
  );
}

function numberCell() {
  const number = element("span", "number in-picture");
  number.style.gridColumn = "-3";
  return number;
}

function markAround(token, mark) {
  return setAll(element("span", mark.kind === "drop" ? "wrong drop" : "wrong", token), { role: "presentation" });
}

// What one must know to read the row: whether its tokens can differ at all, and where its two readings part.
function detailOf(view, row, place) {
  if (place === "group") return row.reward === null ? "reward not recorded" : `reward ${row.reward}`;
  const [shown, other] = [row[view.lens], row[view.lens === "push" ? "credit" : "push"]];
  if (!shown.values) return row.formula;
  if (!shown.is_flat) return row.formula;
  if (view.lens === "push" && other.values && !other.is_flat) return "pushes every token alike; its credit differs by token";
  return view.lens === "push" ? "pushes every token alike" : "credits every token alike";
}

function numberOf(reading, t) {
  return t < (reading.values?.length ?? 0) ? signed(fromWhole(reading.values[t], reading.decimals), reading.decimals) : "";
}

function spokenCell(view, solution, row, place, t) {
  const who = place === "group" ? `solution ${row.sample + 1}` : row.name;
  const mark = markOf(solution);
  const wrong = t === mark.token ? `, ${mark.name}` : "";
  const part = partOf(solution.units, t);
  const text = `"${solution.text[t]}"${part ? `, ${part}` : ""}`;
  return `${who}, token ${t} of ${solution.text.length}, ${text}, ${numberOf(row[view.lens], t)}${wrong}`;
}

function drawRulesLegend(view) {
  const max = view.data.scales[view.lens];
  const mark = markOf(view.data);
  view.at(".legend").replaceChildren(
    legendOf(max, true),
    ...(max ? [legendSigns(...lensOf(view).signs)] : []),
    ...(mark.kind ? [element("span", `sample sample-${mark.kind}`, mark.name)] : []),
    element("span", "legend-unit", lensOf(view).unit),
  );
}

function lensOf(view) {
  return view.data.lenses.find((lens) => lens.key === view.lens);
}

// --- the two readings ------------------------------------------------------------------------------------------------

function drawLenses(view) {
  const { lenses } = view.data;
  const place = view.at(".lenses");
  if (place.children.length !== lenses.length) {
    place.replaceChildren(...lenses.map((lens) => {
      const button = element("button", "", lens.label);
      button.type = "button";
      button.dataset.lens = lens.key;
      button.setAttribute("role", "radio");
      return button;
    }));
  }
  for (const button of place.children) {
    const isOn = button.dataset.lens === view.lens;
    button.setAttribute("aria-checked", String(isOn));
    button.tabIndex = isOn ? 0 : -1;
  }
  view.at(".lens-help").textContent = lenses.find((lens) => lens.key === view.lens).help;
}

function listenToLenses(view) {
  const take = (lens) => {
    if (lens === view.lens) return;
    view.lens = lens;
    drawRules(view);
    reportRules(view);
  };
  view.at(".lenses").addEventListener("click", (event) => {
    if (event.target.dataset.lens) take(event.target.dataset.lens);
  });
  view.at(".lenses").addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    take(view.data.lenses.find((lens) => lens.key !== view.lens).key);
    view.at('.lenses [aria-checked="true"]').focus();
  });
}

// --- the selected and the hovered column -----------------------------------------------------------------------------

function showColumn(view, focus) {
  for (const token of view.root.querySelectorAll(".token")) token.tabIndex = -1;
  const of = (place, row) => view.at(`.token[data-place="${place}"][data-row="${row}"][data-index="${view.token}"]`);
  const current = of("rules", view.row);
  for (const start of [current, of("group", chosenRow(view))]) if (start) start.tabIndex = 0;
  if (focus) current?.focus({ preventScroll: true });
  if (current) bringColumnIntoSight(view.at(".strips-box"), current);
  markColumns(view);
  showNumbers(view);
}

function chosenRow(view) {
  return view.data.group.findIndex((row) => row.is_chosen);
}

function markColumns(view) {
  const { hovered } = view;
  const chosen = String(chosenRow(view));
  for (const token of view.root.querySelectorAll(".token")) {
    const { place, row, index } = token.dataset;
    const isOfSolution = place === "rules" || row === chosen;
    token.setAttribute("aria-selected", String(isOfSolution && Number(index) === view.token));
    const isUnder = hovered?.place === place && Number(index) === hovered.t && (place === "rules" || Number(row) === hovered.row);
    token.classList.toggle("hovered", isUnder);
  }
}

// Between the names at the left and the numbers at the right, which both stay where they are.
function bringColumnIntoSight(box, token) {
  const row = token.closest(".rule-row");
  const [left, right] = [row.firstChild, row.lastChild].map((node) => node.getBoundingClientRect());
  const { left: from, right: to } = token.getBoundingClientRect();
  if (from < left.right) box.scrollLeft += from - left.right - 8;
  else if (to > right.left) box.scrollLeft += to - right.left + 8;
}

// Of the hovered column, else of the selected one.
function showNumbers(view) {
  const { data } = view;
  const t = view.hovered?.place === "rules" ? view.hovered.t : view.token;
  const rows = view.at(".rule-rows").children;
  rows[0].querySelector(".number").textContent = `#${t} “${data.text[t]}”`;
  data.rows.forEach((row, index) => {
    const number = rows[index + 1].querySelector(".number");
    if (number) number.textContent = numberOf(row[view.lens], t);
  });
  data.group.forEach((row, index) => {
    const number = view.at(".group-rows").children[index + 1].querySelector(".number");
    const isHovered = view.hovered?.place === "group" && view.hovered.row === index;
    if (number) number.textContent = isHovered || row.is_chosen ? numberOf(row[view.lens], isHovered ? view.hovered.t : t) : "";
  });
}

// --- pointer and keys ------------------------------------------------------------------------------------------------

function listenToRows(view, box) {
  const cellAt = (event) => {
    const token = event.target.closest?.(".token");
    return token ? { place: token.dataset.place, row: Number(token.dataset.row), t: Number(token.dataset.index) } : null;
  };
  const hover = (cell) => {
    if (JSON.stringify(cell) === JSON.stringify(view.hovered)) return;
    view.hovered = cell;
    markColumns(view);
    showNumbers(view);
  };
  box.addEventListener("pointerover", (event) => hover(cellAt(event)));
  box.addEventListener("pointerleave", () => hover(null));
  box.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (cell) takeCell(view, cell);
  });
  box.addEventListener("keydown", (event) => {
    const cell = cellAt(event);
    const move = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity],
      Enter: [0, 0], " ": [0, 0],
    }[event.key];
    if (!cell || !move) return;
    event.preventDefault();
    view.hovered = null;
    if (cell.place === "group") moveInGroup(view, cell, move, event.key === "Enter" || event.key === " ");
    else moveInRules(view, cell, move);
  });
}

function moveInRules(view, { row, t }, [down, right]) {
  const { rows, text } = view.data;
  let next = row;
  do next += down; while (rows[next] && !rows[next][view.lens].values);
  view.row = down && rows[next] ? next : row;
  view.token = clamp(t + right, 0, text.length - 1);
  showChosen(view, true);
  reportRules(view);
}

// The column of the token, on the page of columns that holds it.
function showChosen(view, focus) {
  if (view.token >= view.page[0] && view.token < view.page[1]) showColumn(view, focus);
  else {
    drawRules(view);
    showColumn(view, focus);
  }
}

// The keys move over the group's tokens; Enter opens a solution.
function moveInGroup(view, { row, t }, [down, right], isOpening) {
  const { group } = view.data;
  const to = clamp(row + down, 0, group.length - 1);
  const at = clamp(t + right, view.page[0], Math.min(view.page[1], group[to].text.length) - 1);
  const token = view.at(`.token[data-place="group"][data-row="${to}"][data-index="${at}"]`);
  if (isOpening) takeCell(view, { place: "group", row, t });
  if (isOpening || !token) return;
  for (const other of view.root.querySelectorAll('.token[data-place="group"]')) other.tabIndex = -1;
  token.tabIndex = 0;
  token.focus({ preventScroll: true });
  view.hovered = { place: "group", row: to, t: at };
  markColumns(view);
  showNumbers(view);
}

function takeCell(view, { place, row, t }) {
  view.token = t;
  if (place === "group" && !view.data.group[row].is_chosen) {
    view.at(".live").textContent = `opening solution ${view.data.group[row].sample + 1}`;
    reportSoon(view, () => ({ token: t, lens: view.lens, sample: view.data.group[row].sample }));
    return;
  }
  if (place === "rules") view.row = row;
  showColumn(view, place === "rules");
  reportRules(view);
}

function reportRules(view) {
  reportSoon(view, () => ({ token: view.token, lens: view.lens }));
}

function firstRow(view) {
  return Math.max(0, view.data.rows.findIndex((row) => row[view.lens].values));
}
