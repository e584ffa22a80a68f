// One solution in three rows on one scale: what GRPO pushes, what VIMPO pushes at a lambda, what is read off a trained policy.
//
// Python sends the numbers once (vimpo_core/views/credit_rows.py); the sliders and the switch work the rows out again here, in
// the browser (reach.js), and put the words beside them (js). Python hears nothing of it.

import { element, setAll } from "../shared/elements.js";
import { legendOf } from "../shared/lenses.js";
import { markOf } from "../shared/marks.js";
import { mountView } from "../shared/mounting.js";
import { fixed, signed } from "../shared/numbers.js";
import { foldUnder, renderStrip, selectToken, targetOfKey, tokenOf, unfold } from "../shared/token_strip.js";
import { keep, kept } from "./kept.js";
import { alike, carried, deltaAt } from "./reach.js";
import {
  everyToken, lowest, ofGrpo, ofReading, ofVimpo, pushes, readOff, setting, spread, tokenName,
} from "./sayings.js";

const MIDDLE = 50; // of 100 places of the beta slider: the run's own beta, with as much room above it as below

export default function (component) {
  return mountView(component, ".credit-rows", create, update);
}

function create(view) {
  view.token = null;
  for (const input of view.root.querySelectorAll("input")) input.addEventListener("input", () => moved(view));
  listen(view, view.at(".rows"));
  view.resize = new ResizeObserver(() => view.data && placeMistake(view));
  view.resize.observe(view.root);
}

function update(view, data) {
  if (view.version === data.version) return;
  const solution = JSON.stringify([data.text, data.readings, data.beta, data.gae_lambda]);
  const isOther = solution !== view.solution;
  Object.assign(view, { data, version: data.version, solution });
  if (isOther) {
    view.token = null;
    asLeft(view);
  }
  drawFrame(view);
  showRows(view);
  showToken(view, null);
  placeMistake(view);
}

// As the tab's reader left it, else as the run was trained.
function asLeft(view) {
  const trained = { lambda: Math.round(100 * view.data.gae_lambda), beta: MIDDLE, other: false };
  const { lambda, beta, other } = kept(view.data) ?? trained;
  view.at(".lambda").value = lambda;
  view.at(".beta").value = beta;
  view.at(".switch input").checked = other;
}

function moved(view) {
  const [lambda, beta] = [".lambda", ".beta"].map((slider) => Number(view.at(slider).value));
  keep(view.data, { lambda, beta, other: view.at(".switch input").checked });
  showRows(view);
}

// What the sliders and the switch stand at. A slider that was not moved gives the run's own number, not a rounded one.
function choice(view) {
  const { data } = view;
  const place = Number(view.at(".lambda").value);
  const lambda = place === Math.round(100 * data.gae_lambda) ? data.gae_lambda : place / 100;
  const isOther = view.at(".switch input").checked && data.readings.length > 1;
  return { lambda, beta: (data.beta * Number(view.at(".beta").value)) / MIDDLE, reading: data.readings[isOther ? 1 : 0] };
}

// --- drawing ---------------------------------------------------------------------------------------------------------

// What no slider moves: as many rows as there are, names of the controls, the legend.
function drawFrame(view) {
  const { data } = view;
  const boxes = ["grpo", "vimpo", "read", ...data.more].map(() => {
    const [head, says] = [element("b", ""), element("span", "says")];
    const row = element("div", "row", element("div", "head", head, says), element("div", "host"), element("p", "follows"));
    return row;
  });
  view.at(".rows").replaceChildren(...boxes);
  const other = data.readings[1];
  view.at(".switch").hidden = !other;
  view.at(".switch span").textContent = other ? `Read it off the ${data.names[other.rule]} run instead` : "";
  const { max } = data.scale;
  view.at(".legend").replaceChildren(
    legendOf(max, true, "0"), element("span", "legend-words", "reward units, before scaling; orange: less likely"),
  );
}

function showRows(view) {
  const { data } = view;
  const { lambda, beta, reading } = choice(view);
  view.rows = [...rowsOf(data, lambda, beta, reading), ...data.more.map((row) => asSent(data, row))];
  view.rows.forEach((row, i) => drawRow(view, view.at(".rows").children[i], row));
  showSetting(view.at(".lambda"), setting("λ, how far back", lambda, data.gae_lambda, data.is_trained, 2), view.rows[1].says);
  showSetting(view.at(".beta"), setting("β, size of δ", beta, data.beta, data.is_trained, 3), view.rows[2].says);
  showReadout(view, view.token);
}

function rowsOf(data, lambda, beta, reading) {
  const grpo = alike(data.above_group, data.counts);
  const vimpo = carried(deltaAt(data.readings[0].per_beta, beta), data.counts, lambda);
  const read = deltaAt(reading.per_beta, beta);
  const isAsTrained = lambda === data.gae_lambda && beta === data.beta;
  const { told } = data;
  return [
    {
      name: data.names.grpo, label: pushes(data, "grpo", true), says: everyToken(data), values: grpo,
      follows: told ? ofGrpo(data) : "",
    },
    {
      name: data.names.vimpo, label: pushes(data, "vimpo", isAsTrained), says: spread(vimpo), values: vimpo,
      follows: told ? ofVimpo(data, vimpo, lambda) : "",
    },
    {
      name: "δ", label: readOff(data, reading), says: lowest(data, read), values: read,
      follows: told ? ofReading(data, reading) : "",
    },
  ].map((row) => ({ ...row, scale: data.scale, picks: [] }));
}

function asSent(data, row) {
  return { ...row, name: row.label, follows: row.note, scale: row.scale ?? data.scale };
}

function drawRow(view, box, row) {
  const { data } = view;
  const mark = markOf(data);
  const [head, host, follows] = box.children;
  setText(head.children[0], row.label);
  setText(head.children[1], row.says);
  setText(follows, row.follows);
  if (row.absent) {
    setText(host, row.absent);
    return;
  }
  renderStrip(host, {
    label: `${row.label}, ${row.says}`,
    text: data.text,
    units: data.units,
    lineStarts: data.line_starts,
    values: row.values,
    firstWrong: mark.token,
    mark: mark.kind,
    note: "",
    layout: "flow",
    interactive: true,
  }, row.scale);
  for (const token of host.querySelectorAll(".token")) {
    token.classList.toggle("pick", row.picks.includes(Number(token.dataset.index)));
  }
}

// Above the first row, ending over the marked token with an arrow, where that stands in the first line with room before it.
function placeMistake(view) {
  const place = view.at(".mistake");
  const token = view.root.querySelector(".host .wrong");
  setText(place, token && view.data.note ? `${view.data.note} ↓` : "");
  place.classList.remove("apart");
  if (!place.textContent) return;
  place.style.width = "max-content";
  const places = [view.root.querySelector(".host .token"), token, view.root];
  const [first, at, outer] = places.map((node) => node.getBoundingClientRect());
  const zoom = outer.width / view.root.offsetWidth; // large type: what is measured is larger than what is set
  const width = Math.round((at.right - outer.left) / zoom);
  const isApart = at.top > first.bottom || place.scrollWidth > width;
  place.style.width = `${width}px`;
  place.classList.toggle("apart", isApart);
  if (isApart) setText(place, `Red underline: ${view.data.note}`);
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// The picture that a slider makes is said with its number: it is what a reader who cannot see it moves it for.
function showSetting(input, words, picture) {
  setText(input.closest("label").querySelector("span"), words);
  setAll(input, { "aria-label": words.split(":")[0], "aria-valuetext": `${words.split(": ")[1]}; ${picture}` });
}

// --- the chosen token ------------------------------------------------------------------------------------------------

function hosts(view) {
  return [...view.root.querySelectorAll(".host.strip")];
}

function listen(view, rows) {
  const hostOf = (event) => event.target.closest(".host");
  rows.addEventListener("click", (event) => {
    if (tokenOf(event) !== null) choose(view, tokenOf(event), hostOf(event));
    const folded = foldUnder(event);
    if (folded !== null) for (const each of hosts(view)) unfold(each, folded, each === hostOf(event));
  });
  rows.addEventListener("keydown", (event) => {
    const host = hostOf(event);
    const to = host && tokenOf(event) !== null ? targetOfKey(host, event.key, tokenOf(event)) : null;
    if (to === null) return;
    event.preventDefault();
    choose(view, to, host);
  });
  rows.addEventListener("pointerover", (event) => showReadout(view, tokenOf(event) ?? view.token));
  rows.addEventListener("pointerleave", () => showReadout(view, view.token));
}

function choose(view, token, host) {
  view.token = token;
  showToken(view, host);
}

function showToken(view, focusIn) {
  if (view.token !== null) for (const host of hosts(view)) selectToken(host, view.token, host === focusIn, false);
  showReadout(view, view.token);
}

function showReadout(view, token) {
  if (token === null) {
    view.at(".readout").replaceChildren();
    return;
  }
  const said = view.rows.filter((row) => row.values && !row.absent).map((row) => ` · ${row.name} ${numberOf(row, token)}`);
  view.at(".readout").replaceChildren(element("b", "", tokenName(view.data, token)), ...said);
}

function numberOf(row, token) {
  const { decimals, signed: isSigned, unit } = row.scale;
  const number = (isSigned ? signed : fixed)(row.values[token], decimals);
  return unit && unit !== "reward" ? `${number} ${unit}` : number;
}
