// The newest solutions beside the training curves.
// Elements are kept and refilled, so that a link keeps its keyboard focus while solutions stream in.

import { renderStrip } from "../shared/token_strip.js";

const lists = new WeakMap();

export default function ({ data: [data], parentElement }) {
  const root = parentElement.querySelector(".solutions");
  const layout = data.problems.map((problem) => problem.solutions.length).join();
  let view = lists.get(root);
  if (view?.layout !== layout) {
    view = { layout, problems: data.problems.map((problem) => buildProblem(problem.solutions.length)) };
    lists.set(root, view);
    root.querySelector(".list").replaceChildren(...view.problems.map((problem) => problem.node));
  }
  markTheme(root);
  if (view.version === data.version) return;
  view.version = data.version;
  root.querySelector(".heading").textContent = data.heading;
  fillScale(root.querySelector(".scale"), data.scale);
  data.problems.forEach((problem, i) => fillProblem(view.problems[i], problem, data.scale));
}

function make(tag, className) {
  const node = document.createElement(tag);
  node.className = className;
  return node;
}

function buildProblem(count) {
  const node = make("li", "problem");
  const head = make("p", "prompt");
  const prompt = document.createElement("code");
  const gold = make("span", "muted");
  head.append(prompt, gold);
  const solutions = Array.from({ length: count }, buildSolution);
  node.append(head, ...solutions.map((solution) => solution.node));
  return { node, prompt, gold, solutions };
}

function buildSolution() {
  const parts = {
    node: make("div", "solution"),
    name: document.createElement("strong"),
    verdict: make("span", "verdict"),
    reward: make("span", "muted"),
    group: make("span", "muted"),
    closer: make("a", "closer"),
    strip: document.createElement("div"),
  };
  // A new tab: this one goes on showing the run.
  parts.closer.target = "_blank";
  const facts = make("p", "facts");
  facts.append(parts.name, parts.verdict, parts.reward, parts.group, parts.closer);
  parts.node.append(facts, parts.strip);
  return parts;
}

function fillProblem(parts, problem, scale) {
  parts.prompt.textContent = problem.prompt;
  parts.gold.textContent = `answer ${problem.gold}`;
  problem.solutions.forEach((solution, i) => fillSolution(parts.solutions[i], solution, scale));
}

function fillSolution(parts, solution, scale) {
  parts.name.textContent = solution.name;
  parts.name.dataset.style = solution.style;
  parts.verdict.textContent = `${solution.right ? "✓" : "✗"} ${solution.verdict}`;
  parts.verdict.dataset.right = solution.right ? "yes" : "no";
  parts.reward.textContent = solution.reward;
  parts.group.textContent = solution.group;
  parts.closer.textContent = "Look closer";
  parts.closer.href = solution.href;
  parts.closer.setAttribute("aria-label", `Look closer at the ${solution.name} solution`);
  renderStrip(parts.strip, solution.strip, scale);
}

function fillScale(node, scale) {
  node.classList.toggle("flat", !scale.max);
  node.querySelector(".low").textContent = `−${scale.max}`;
  node.querySelector(".high").textContent = `+${scale.max}`;
  node.querySelector(".unit").textContent = scale.caption;
  node.setAttribute("aria-label", `Colour scale: ${scale.caption}, from minus ${scale.max} to plus ${scale.max}`);
}

function markTheme(root) {
  const [r, g, b] = getComputedStyle(root).color.match(/[\d.]+/g).map(Number);
  root.dataset.theme = 0.299 * r + 0.587 * g + 0.114 * b > 128 ? "dark" : "light";
}
