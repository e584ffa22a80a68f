// One solution, seen through its credit: strips, value curve, formula card and quantities, all linked. Here is what links
// them: which token and lens are selected, and what follows the pointer; each part is drawn by a module of its own.
//
// Python sends every number once (views.inspector_payload: whole numbers of the last shown digit); hovering, selecting
// and changing the lens happen here and update everything at once. Python only hears, 150 ms later, which token and
// lens are selected, to put them in the address bar (mounting.js). No credit is computed here; reading a lens is in lenses.js.

import { element } from "../shared/elements.js";
import { axisOfTokens, decimalsOf, fillPicker, lensOf, seriesOf, tokenTitle } from "../shared/lenses.js";
import { followPython, mountView, reportSoon, watchWidth } from "../shared/mounting.js";
import { signed } from "../shared/numbers.js";
import { offerToSave } from "../shared/save_figure.js";
import { clamp } from "../shared/scales.js";
import { foldUnder, keepNoteInside, selectToken, targetOfKey, tokenOf, unfold } from "../shared/token_strip.js";
import { drawCard } from "./card.js";
import { isFolded, listenToFold, showFold } from "./folding.js";
import { fillHoverCard, placeHoverCard } from "./hover_card.js";
import { drawPrompt, listenToPrompt } from "./prompt.js";
import { absent } from "./quantities.js";
import { showLens } from "./strips.js";
import { drawCurve, listenToCurve, moveGhost } from "./value_curve.js";

export default function (component) {
  return mountView(component, ".credit-view", createView, update);
}

// --- state ---------------------------------------------------------------------------------------------------------

function createView(view) {
  const { root, at } = view;
  at("select").addEventListener("change", (event) => chooseLens(view, event.target.value, true));
  view.hosts = [...root.querySelectorAll(".strip-host")];
  for (const host of view.hosts) listenToStrip(view, host);
  listenToPrompt(view);
  listenToFold(view, () => drawAll(view));
  listenToCurve(view, at(".plot"), {
    hover: (index, anchor) => hover(view, index, anchor), choose: (index) => chooseToken(view, index, null),
  });
  at(".card").addEventListener("click", (event) => {
    const row = event.target.closest("[data-lens]");
    if (row) chooseLens(view, row.dataset.lens, true);
  });
  for (const place of root.querySelectorAll(".save")) {
    offerToSave(place, root, () => figureOf(view, place.dataset.figure));
  }
  watchWidth(view, at(".plot"), () => {
    drawCurve(view);
    view.hosts.forEach(keepNoteInside);
  });
}

function update(view, data) {
  const isNew = view.version !== data.version;
  view.data = data;
  const token = followPython(view, "token", data.token, isNew);
  const lens = followPython(view, "lens", data.lens, isNew);
  if (!isNew && token === view.token && lens === view.lens && isFolded(view) === view.wasFolded) return;
  view.version = data.version;
  view.token = clamp(token, 0, data.text.length - 1);
  view.lens = lens;
  if (isNew) {
    fillPicker(view.at("select"), view.data);
    drawPrompt(view);
  }
  drawAll(view);
}

function drawAll(view) {
  showFold(view);
  showLens(view);
  showToken(view, false);
}

function reportSelection(view) {
  reportSoon(view, () => ({ token: view.token, lens: view.lens }));
}

function chooseToken(view, index, focusIn) {
  const last = view.data.text.length - 1;
  const token = clamp(index, 0, last);
  if (last < 0) return;
  if (token !== view.token) {
    view.token = token;
    reportSelection(view);
  }
  showToken(view, focusIn);
}

function chooseLens(view, lens, isReported) {
  view.lens = lens;
  showLens(view);
  showToken(view, false);
  if (isReported) reportSelection(view);
}

function listenToStrip(view, host) {
  host.addEventListener("click", (event) => {
    if (tokenOf(event) !== null) chooseToken(view, tokenOf(event), host);
    const folded = foldUnder(event);
    if (folded !== null) for (const each of view.hosts) unfold(each, folded, each === host);
  });
  host.addEventListener("pointerover", (event) => hover(view, tokenOf(event), event.target));
  host.addEventListener("pointerleave", () => hover(view, null));
  host.addEventListener("keydown", (event) => {
    const to = targetOfKey(host, event.key, tokenOf(event) ?? view.token);
    if (event.key === "Escape") hover(view, null);
    if (to === null) return;
    event.preventDefault();
    hover(view, null);
    chooseToken(view, to, host);
  });
  host.addEventListener("focusin", (event) => {
    if (tokenOf(event) !== null && tokenOf(event) !== view.token) chooseToken(view, tokenOf(event), null);
  });
}

// --- the selected and the hovered token -----------------------------------------------------------------------------

function showToken(view, focusIn) {
  const sought = focusIn ?? view.hosts[0]; // both strips may lie in one box that scrolls
  for (const host of view.hosts) selectToken(host, view.token, host === focusIn, host === sought);
  drawCurve(view);
  drawCard(view);
  const lens = lensOf(view.data, view.lens);
  const series = seriesOf(view.data, view.lens);
  const number = series ? signed(series[view.token], decimalsOf(view.data, lens)) : absent(view.data, view.lens);
  const what = `${view.data.of_words ? "Word" : "Token"} ${view.token}, ${view.data.text[view.token]}`;
  view.at(".live").textContent = `${what}: ${lens.label} ${number} ${lens.unit}`;
  view.at(".now").replaceChildren(tokenTitle(view.data, view.token), element("b", "", number));
}

function hover(view, index, anchor) {
  if (index === view.hovered) return;
  view.hovered = index;
  for (const old of view.root.querySelectorAll(".hovered")) old.classList.remove("hovered");
  const card = view.at(".hover-card");
  card.hidden = index === null;
  moveGhost(view);
  if (index === null) return;
  for (const same of view.root.querySelectorAll(`.token[data-index="${index}"]`)) same.classList.add("hovered");
  fillHoverCard(view, card, index);
  placeHoverCard(view, card, anchor);
}

// --- figures as files ------------------------------------------------------------------------------------------------

function figureOf(view, which) {
  const { data } = view;
  const found = { name: `${which}-${view.lens}`, about: data.about };
  if (which === "strips") return { ...found, heading: "", parts: [view.at(".strips"), view.at(".legend")] };
  const plot = { node: view.curve?.svg, over: "value, in reward", under: axisOfTokens(data) };
  const of = data.name ? `, ${data.name}` : "";
  return view.curve && { ...found, heading: `Value of each prefix${of}`, parts: [view.at("figcaption"), plot] };
}
