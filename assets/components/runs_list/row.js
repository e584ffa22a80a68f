// One run of the list: a line, and below it, once opened, all there is to say and do. Text goes through textContent only.

import { element, setAll } from "../shared/elements.js";
import { linkWithin } from "../shared/going.js";

const SHOWN_TAGS = 2; // of a line, which has room for as many

const LOCKED = "Read-only: it cannot be renamed, tagged, noted or deleted.";

export function createRow(key, on) {
  const parts = {
    key, on, text: "", opened: "",
    tick: setAll(element("input"), { type: "checkbox" }),
    name: setAll(element("button", "name"), { type: "button" }),
    state: element("span", "state"), step: element("span"), first: element("span"), last: element("span"),
    tags: element("span", "tags"), made: element("span"), links: element("span", "links"),
  };
  parts.tick.addEventListener("change", () => on.tick(parts.tick.checked));
  parts.name.addEventListener("click", on.toggle);
  parts.cells = ["tick", "name", "state", "step", "first", "last", "tags", "made", "links"].map((name) =>
    setAll(element("td", `c-${name}`, parts[name]), { role: "cell" }));
  parts.node = setAll(element("tr", "run", ...parts.cells), { role: "row" });
  parts.node.dataset.key = key;
  const [facts, formBox, acting] = [element("div", "facts"), element("div"), element("p", "acting")];
  const details = setAll(element("td", "", facts, formBox, acting), { role: "cell", colspan: "9" });
  Object.assign(parts, { facts, formBox, acting, more: setAll(element("tr", "more", details), { role: "row" }) });
  return parts;
}

// known: what the list knows beside its rows: the lengths that a field may have, and what has been said of which run.
export function fillRow(parts, row, { isTicked, isOpen, known, labels }) {
  [parts.cells[4].dataset.label, parts.cells[5].dataset.label] = labels;
  parts.tick.checked = isTicked;
  parts.name.setAttribute("aria-expanded", String(isOpen));
  const text = JSON.stringify(row);
  if (parts.text !== text) {
    parts.text = text;
    fillLine(parts, row);
  }
  if (!isOpen) {
    parts.opened = "";
    return;
  }
  const of = known.said.key === row.key ? known.said : null;
  const opened = text + JSON.stringify(of);
  if (parts.opened !== opened) openDetails(parts, row, { known, of });
  parts.opened = opened;
}

function fillLine(parts, row) {
  setAll(parts.tick, { "aria-label": `Tick ${row.name}` }).disabled = !row.readable;
  setText(parts.name, row.name);
  parts.name.title = `${row.name} (${row.id})`;
  setText(parts.state, row.state);
  parts.state.dataset.tone = row.tone;
  setText(parts.step, row.steps);
  setText(parts.first, row.firstText);
  setText(parts.last, row.lastText);
  setText(parts.made, row.madeText);
  const more = row.tags.length - SHOWN_TAGS;
  const others = more > 0 ? [setAll(button(`+${more}`, parts.on.toggle, "tag others"), { title: row.tags.join(", ") })] : [];
  const shown = row.tags.slice(0, SHOWN_TAGS);
  parts.tags.replaceChildren(...shown.map((tag) => button(tag, () => parts.on.tag(tag), "tag")), ...others);
  parts.links.replaceChildren(...row.links.slice(0, 2).map(linkTo));
}

// Fields are refilled only where they hold what Python last said: what somebody is typing is left alone, and so is the focus.
function openDetails(parts, row, said) {
  if (!parts.opened) {
    parts.form = row.own ? createForm(parts, row, said.known) : null;
    parts.form ? parts.formBox.replaceChildren(parts.form.node) : parts.formBox.replaceChildren();
  }
  parts.form?.follow(row);
  parts.form?.say(said.of);
  parts.facts.replaceChildren(...[
    row.sentence && element("p", "", row.sentence),
    element("p", "quiet", [row.id, row.settings].filter(Boolean).join(" · ")),
    !row.own && row.note && element("p", "note", row.note),
    !row.own && element("p", "quiet", LOCKED),
  ].filter(Boolean));
  const text = JSON.stringify([row.links, row.actions]); // of what is pressed nothing is replaced without need
  if (parts.acting.dataset.text === text) return;
  parts.acting.dataset.text = text;
  parts.acting.replaceChildren(...row.links.map(linkTo), ...row.actions.map((what) =>
    button(said.known.actions[what], () => parts.on.act({ do: what }), "")));
}

function createForm(parts, row, known) {
  const name = field("Name", "input", row.given, { maxlength: known.longestName });
  const tags = field("Tags, separated by commas", "input", row.tags.join(", "), { list: "known-tags", maxlength: 500 });
  const note = field("Note", "textarea", row.note, { rows: 2, maxlength: known.longestNote });
  let base = row;
  const save = button("Save", () => parts.on.act(changes()), "strong");
  const typed = () => tags.input.value.split(",").map((tag) => tag.trim()).filter(Boolean);
  const changes = () => ({
    do: "save",
    add: typed().filter((tag) => !base.tags.includes(tag)),
    remove: base.tags.filter((tag) => !typed().includes(tag)),
    ...(note.input.value === base.note ? {} : { note: note.input.value }),
    ...(name.input.value === base.given ? {} : { name: name.input.value }),
  });
  const follow = (newer) => {
    if (name.input.value === base.given) name.input.value = newer.given;
    if (note.input.value === base.note) note.input.value = newer.note;
    // tags that were typed and are not saved yet stay, beside what others did meanwhile
    const { add, remove } = changes();
    const kept = [...newer.tags.filter((tag) => !remove.includes(tag)), ...add.filter((tag) => !newer.tags.includes(tag))];
    if (newer.tags.join() !== base.tags.join()) tags.input.value = kept.join(", ");
    base = newer;
  };
  const told = setAll(element("span", "said"), { role: "status" });
  const say = (said) => {
    told.textContent = said?.text ?? "";
    told.dataset.tone = said?.tone ?? "";
  };
  const node = element("div", "form", name.node, tags.node, note.node, element("div", "saving", save, told));
  return { node, follow, say };
}

function field(words, tag, value, limits) {
  const input = setAll(element(tag, "field"), limits);
  input.value = value;
  return { input, node: element("label", "", element("span", "", words), input) };
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function button(text, onClick, className) {
  const node = setAll(element("button", className, text), { type: "button" });
  node.addEventListener("click", onClick);
  return node;
}

const linkTo = ({ words, href }) => linkWithin(words, href);
