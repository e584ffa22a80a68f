// A table with links. Text goes through textContent only; addresses come from Python, relative to the app.


export default function ({ data, parentElement }) {
  const content = data?.[0];
  const table = parentElement.querySelector("table");
  if (!content || !table) return;
  const text = JSON.stringify(content);
  if (table.dataset.text === text) return;
  table.dataset.text = text;
  const head = node("thead", node("tr", ...content.head.map((words) => heading("col", words))));
  const body = node("tbody", ...content.rows.map(([first, ...others]) =>
    node("tr", heading("row", ...first.map(piece)), ...others.map((cell) => node("td", ...cell.map(piece))))));
  table.replaceChildren(node("caption", content.caption), head, body);
}

function node(tag, ...children) {
  const made = document.createElement(tag);
  made.append(...children);
  return made;
}

function heading(scope, ...children) {
  const made = node("th", ...children);
  made.scope = scope;
  return made;
}

function piece({ text, href, is_aside }) {
  const made = node(href ? "a" : "span", text);
  if (is_aside) made.className = "aside";
  if (href) {
    made.href = href;
    made.target = "_blank";
  }
  return made;
}
