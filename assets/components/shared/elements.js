// Elements and shapes, made in one call. Text reaches the page as text nodes, never as HTML.

export const SVG = "http://www.w3.org/2000/svg";

export function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export function setAll(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export function shape(tag, attributes, ...children) {
  const node = setAll(document.createElementNS(SVG, tag), attributes);
  node.append(...children);
  return node;
}

export function label(x, y, text, className, anchor) {
  return shape("text", { x, y, class: className, "text-anchor": anchor }, text);
}

export function level(className, x1, x2, y) {
  return shape("line", { class: className, x1, x2, y1: y, y2: y });
}

export function upright(className, x, y1, y2) {
  return shape("line", { class: className, x1: x, x2: x, y1, y2 });
}
