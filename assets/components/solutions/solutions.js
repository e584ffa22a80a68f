// The newest solutions beside the training curves.
// Elements are kept and refilled, so that a link keeps its keyboard focus while solutions stream in.

import { markTheme } from "../shared/colours.js";
import { element, setAll } from "../shared/elements.js";
import { mountView } from "../shared/mounting.js";
import { renderStrip } from "../shared/token_strip.js";

export default function (component) {
  return mountView(component, ".solutions", () => {}, update);
}

function update(view, data) {
  const layout = data.problems.map((problem) => problem.solutions.length).join();
  if (view.layout !== layout) {
    const problems = data.problems.map((problem) => buildProblem(problem.solutions.length));
    Object.assign(view, { layout, version: null, problems });
    view.at(".list").replaceChildren(...view.problems.map((problem) => problem.node));
  }
  markTheme(view.root);
  if (view.version === data.version) return;
  view.version = data.version;
  view.at(".heading").textContent = data.heading;
  fillScale(view.at(".scale"), data.scale);
  data.problems.forEach((problem, i) => fillProblem(view.problems[i], problem, data.scale));
}

function buildProblem(count) {
  const [prompt, gold] = [element("code"), element("span", "muted")];
  const solutions = Array.from({ length: count }, buildSolution);
  const node = element("li", "problem", element("p", "prompt", prompt, gold), ...solutions.map((solution) => solution.node));
  return { node, prompt, gold, solutions };
}

function buildSolution() {
  const parts = {
    name: element("strong"),
    verdict: element("span", "verdict"),
    reward: element("span", "muted"),
    group: element("span", "muted"),
    closer: setAll(element("a", "closer"), { target: "_blank" }), // this tab goes on showing the run
    strip: element("div"),
  };
  const { name, verdict, reward, group, closer, strip } = parts;
  return { ...parts, node: element("div", "solution", element("p", "facts", name, verdict, reward, group, closer), strip) };
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
