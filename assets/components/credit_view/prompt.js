// The prompt above a solution: its text, and on demand its tokens as the model saw them.

import { renderStrip } from "../shared/token_strip.js";

export function drawPrompt(view) {
  const { prompt } = view.data;
  view.at(".prompt").hidden = !prompt;
  if (!prompt) return;
  view.at(".prompt-seen").hidden = !prompt.pieces.length && !prompt.short;
  view.at(".prompt-seen button").textContent = prompt.pieces.length
    ? `As the model saw it: ${prompt.pieces.length} tokens` : "The whole prompt";
  showPrompt(view);
}

// What is asked stands at the end of a prompt, behind its examples.
function showEnd(box) {
  requestAnimationFrame(() => { box.scrollTop = box.scrollHeight; });
}

export function listenToPrompt(view) {
  view.at(".prompt-seen button").addEventListener("click", () => {
    view.promptIsSeen = !view.promptIsSeen;
    showPrompt(view);
  });
}

// Examples that all prompts of the step begin with wait for the press.
function showPrompt(view) {
  const { prompt } = view.data;
  const isSeen = Boolean(view.promptIsSeen);
  const isInTokens = isSeen && prompt.pieces.length > 0;
  view.at(".prompt-text").textContent = isSeen && !isInTokens ? prompt.text : prompt.short ?? prompt.text;
  showEnd(view.at(".prompt-text"));
  view.at(".prompt-seen button").setAttribute("aria-expanded", String(isSeen));
  view.at(".prompt-strip").hidden = !isInTokens;
  if (!isInTokens) return;
  const starts = prompt.pieces.flatMap((piece, t) => (!t || prompt.pieces[t - 1].includes("⏎") ? [t] : []));
  renderStrip(view.at(".prompt-strip"), {
    label: "The prompt as the model saw it", text: prompt.pieces, units: prompt.units, lineStarts: starts, values: null,
    firstWrong: null, note: "", layout: "lines", interactive: false, small: true,
  }, { max: 0, signed: false, unit: "", decimals: 0 });
  showEnd(view.at(".prompt-strip"));
}
