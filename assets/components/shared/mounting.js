// How a view lives on the page: made once for its element, given Python's data whenever it comes, taken off again. Selecting
// happens in the browser; Python hears of it a little later, and its answer to an older click must not pull it back.
//
// view = { root, at, data, version, width, hovered, report, leave, ... }: at(selector) finds in it, width is what it was last drawn
// for, report(value) tells Python; leave(), where there is one, ends what else goes on.

const VIEWS = new WeakMap();
export const REPORT_AFTER_MS = 150;

// create(view) is called once, update(view, data) whenever data comes; `report`: how Python is told, or the name of the state.
export function mountView(component, selector, create, update, report = "view") {
  const data = component.data?.[0];
  const root = component.parentElement.querySelector(selector);
  if (!root || !data) return undefined;
  let view = VIEWS.get(root);
  if (!view) {
    view = {
      root, at: (inside) => root.querySelector(inside), data: null, version: null, width: 0, hovered: null, timer: 0,
      fromPython: {}, reported: {}, unanswered: {},
    };
    VIEWS.set(root, view);
    create(view);
  }
  view.report = typeof report === "string" ? (value) => component.setStateValue(report, value) : report;
  update(view, data);
  return () => {
    clearTimeout(view.timer);
    view.resize?.disconnect();
    view.leave?.();
    VIEWS.delete(root);
  };
}

// Draws again when the plot has another width than `view.width`, the one it was drawn for.
export function watchWidth(view, plot, redraw) {
  view.resize = new ResizeObserver(() => {
    if (view.data && plot.clientWidth !== view.width) redraw();
  });
  view.resize.observe(plot);
}

// `selection`: what is selected when the time comes.
export function reportSoon(view, selection) {
  clearTimeout(view.timer);
  view.timer = setTimeout(() => {
    view.reported = selection();
    for (const [name, value] of Object.entries(view.reported)) (view.unanswered[name] ??= []).push(value);
    view.report({ ...view.reported });
  }, REPORT_AFTER_MS);
}

// Follows Python only when it says something new: answers come in the order of the reports, some time after them.
export function followPython(view, name, value, isNew) {
  const waiting = view.unanswered[name] ?? [];
  const answered = waiting.indexOf(value);
  const isAnswer = answered >= 0 || view.reported[name] === value;
  const isNews = isNew || (view.fromPython[name] !== value && !isAnswer);
  if (isNew) view.unanswered[name] = [];
  else if (answered >= 0) waiting.splice(0, answered + 1);
  view.fromPython[name] = value;
  return isNews ? value : view[name];
}
