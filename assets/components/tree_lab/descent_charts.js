// Charts of both descents: their losses, and how far each policy is from either optimum.

import { path, yAxis } from "../shared/drawing.js";
import { element, label, shape } from "../shared/elements.js";
import { fixed } from "../shared/numbers.js";
import { scale } from "../shared/scales.js";

const CHART = { height: 168, left: 46, right: 10, top: 10, bottom: 26 };

export function drawCharts(view) {
  const place = view.at(".charts");
  if (view.at(".descent").hidden) return;
  const { curves } = view.data;
  const columns = view.chartsWidth >= 640 ? 3 : view.chartsWidth >= 420 ? 2 : 1;
  const width = Math.floor((view.chartsWidth - 20 * (columns - 1)) / columns);
  const far = Math.max(...["kappa", "rho"].flatMap((loss) => [...curves[loss].local, ...curves[loss].soft]), 0.01);
  const both = (loss) => ["local", "soft"].map((hue) => ({ values: curves[loss][hue], hue, name: `to ${hue}` }));
  const losses = [
    { values: curves.kappa.loss, hue: "local", name: "ρ − κ" }, { values: curves.rho.loss, hue: "soft", name: "ρ alone" },
  ];
  view.charts = [
    buildChart(view, width, "Loss", losses, Math.max(...curves.kappa.loss, ...curves.rho.loss, 0.001), null),
    buildChart(view, width, "Distance with ρ − κ", both("kappa"), far, "kappa"),
    buildChart(view, width, "Distance with ρ alone", both("rho"), far, "rho"),
  ];
  place.replaceChildren(...view.charts.map((chart) => chart.figure));
}

function buildChart(view, width, title, lines, most, loss) {
  const { steps } = view.data.options;
  const x = scale(0, steps, CHART.left, width - CHART.right);
  const y = scale(0, 1.05 * most, CHART.height - CHART.bottom, CHART.top);
  const ends = lines.map(({ name, values }) => `${name} from ${fixed(values[0], 3)} to ${fixed(values.at(-1), 3)}`);
  const svg = shape("svg", { width, height: CHART.height, role: "img", "aria-label": `${title} by step: ${ends.join(", ")}` });
  const cursor = shape("line", { class: "cursor", y1: CHART.top, y2: y(0) });
  svg.append(
    ...yAxis(x, y, 0, 1.05 * most, steps),
    label(x(0), CHART.height - 6, "0", "tick", "start"), label(x(steps / 2), CHART.height - 6, String(steps / 2), "tick", "middle"),
    label(x(steps), CHART.height - 6, `step ${steps}`, "tick", "end"),
    cursor,
    ...lines.map(({ values, hue }) => shape("path", { class: `line line-${hue}`, d: path(x, y, values) })),
  );
  const keys = lines.map(({ hue, name }) => element("span", `key key-${hue}`, name));
  const figure = element("figure", "", element("figcaption", "", element("b", "", title), ...keys), svg);
  figure.classList.toggle("other", Boolean(loss) && loss !== view.state.loss);
  figure.style.width = `${width}px`;
  return { figure, x, cursor };
}
