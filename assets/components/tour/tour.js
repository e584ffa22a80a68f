// A step of a tour, drawn over the page: a ring that follows the real element wherever it goes and never takes a click, and a
// note beside it. Python says which step it is and whether it is done; here only `until` is watched, a selector that matches
// once something has happened that never leaves the browser.

import { mountView } from "../shared/mounting.js";

const LOOK_MS = 120; // between two searches for the element; the ring itself follows every frame
const MISSING_MS = 1500; // what a rerun redraws may be away for a moment
const RESTLESS_MS = 1500; // how long what is drawn above a new step's element may still push it out of sight
const GAP = 14; // px between ring and note
const AROUND = 6; // px between element and ring

export default function (component) {
  return mountView(component, ".tour", createView, update, component.setTriggerValue);
}

function createView(view) {
  Object.assign(view, { target: null, asked: 0, lookedAt: 0, foundAt: 0, side: null, told: 0, frame: 0 });
  const { at } = view;
  at(".back").onclick = () => go(view, view.data.number - 1);
  at(".next").onclick = () => go(view, view.data.number < view.data.count ? view.data.number + 1 : 0);
  at(".end").onclick = () => go(view, 0);
  // An open list, dialog or note closes first; Streamlit may have closed it before the key comes here.
  let wasOpen = false;
  const onKeyFirst = () => { wasOpen = Boolean(document.querySelector(OPEN)); };
  const onKey = (event) => {
    if (event.key === "F6") moveFocus(view, event);
    if (event.key === "Escape" && !event.defaultPrevented && !wasOpen) go(view, 0);
  };
  document.addEventListener("keydown", onKeyFirst, true);
  document.addEventListener("keydown", onKey);
  const onScroll = () => { view.isShown = true; }; // the reader's own way is not undone
  for (const name of ["wheel", "touchmove"]) document.addEventListener(name, onScroll, { passive: true });
  const follow = (now) => {
    view.frame = requestAnimationFrame(follow);
    if (view.data) followTarget(view, now);
  };
  view.frame = requestAnimationFrame(follow);
  view.leave = () => {
    cancelAnimationFrame(view.frame);
    document.removeEventListener("keydown", onKeyFirst, true);
    document.removeEventListener("keydown", onKey);
    for (const name of ["wheel", "touchmove"]) document.removeEventListener(name, onScroll);
    if (view.hasEnded) setTimeout(() => document.querySelector(view.data.button)?.focus({ preventScroll: true }));
  };
}

const OPEN = '[role="dialog"], [data-testid="stSelectboxVirtualDropdown"], [aria-expanded="true"][aria-haspopup]';

function go(view, number) {
  view.hasEnded = number === 0;
  view.report("go", number);
}

// --- the note ----------------------------------------------------------------------------------------------------------

function update(view, data) {
  const isNew = view.data?.number !== data.number || view.data.title !== data.title;
  const isNewlyDone = data.done && (isNew || !view.data.done);
  view.data = data;
  fillNote(view);
  if (isNew) {
    const now = performance.now();
    Object.assign(view, { target: null, lookedAt: 0, foundAt: now, since: now, side: null, isShown: false, told: 0 });
    say(view, `Tour, step ${data.number} of ${data.count}. ${data.title}. ${data.text}`);
  }
  if (isNewlyDone) say(view, `Done. ${data.said}`);
  if (data.asked > view.asked) view.wantsFocus = true;
  view.asked = data.asked;
}

function fillNote(view) {
  const { at, data } = view;
  const isLast = data.number === data.count;
  at(".note").classList.toggle("is-done", data.done);
  at(".progress").textContent = `${data.number} of ${data.count}`;
  at("h2").textContent = data.title;
  at(".text").textContent = data.text;
  at(".said").textContent = data.done ? `✓ ${data.said}` : "";
  at(".back").disabled = data.number === 1;
  at(".next").textContent = data.done ? (isLast ? "Finish" : "Next") : isLast ? "End" : "Skip";
}

function say(view, text) {
  view.at(".spoken").textContent = text;
}

// Between the note and what can be used inside the ring.
function moveFocus(view, event) {
  event.preventDefault();
  const isInNote = view.root.getRootNode().activeElement?.closest(".note");
  if (isInNote && view.target) usableIn(view.target)?.focus();
  else view.at(".note").focus({ preventScroll: true });
}

const USABLE = 'button:enabled, input:enabled, select, canvas[tabindex="0"], a[href], [tabindex="0"]';

function usableIn(target) {
  if (target.matches(USABLE)) return target;
  const found = [...target.querySelectorAll(USABLE)].filter((node) => !node.closest('[data-testid="stTooltipIcon"]'));
  return found.find((node) => node.tabIndex >= 0) ?? found[0];
}

// --- the ring ----------------------------------------------------------------------------------------------------------

function followTarget(view, now) {
  if (now - view.lookedAt > LOOK_MS) {
    view.lookedAt = now;
    if (!isVisible(view.target)) view.target = find(view.data.target, document);
    watch(view);
  }
  const isThere = isVisible(view.target);
  if (isThere) view.foundAt = now;
  if (isThere && !view.isShown) bringIntoSight(view, now);
  view.at(".missing").hidden = isThere || view.data.done || now - view.foundAt < MISSING_MS;
  place(view, isThere ? view.target.getBoundingClientRect() : null);
  if (view.wantsFocus) {
    view.wantsFocus = false;
    view.at(".note").focus({ preventScroll: true });
  }
}

function isVisible(node) {
  return Boolean(node?.isConnected && node.getClientRects().length);
}

// The first visible match in the page or, below it, in the open shadow roots of components.
function find(selector, scope) {
  const own = [...scope.querySelectorAll(selector)].find(isVisible);
  if (own) return own;
  for (const host of scope.querySelectorAll("*")) {
    const inner = host.shadowRoot && find(selector, host.shadowRoot);
    if (inner) return inner;
  }
  return null;
}

function watch(view) {
  const { number, until, done } = view.data;
  if (!until || done || view.told === number || !view.target) return;
  if (!view.target.getRootNode().querySelector(until)) return;
  view.told = number;
  view.report("done", number);
}

function bringIntoSight(view, now) {
  const box = view.target.getBoundingClientRect();
  if (box.top >= 80 && box.bottom <= innerHeight - 20) {
    view.isShown = now - view.since > RESTLESS_MS;
    return;
  }
  view.isShown = true;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const block = box.height > innerHeight - 160 ? "start" : "center";
  view.target.style.scrollMarginTop = "90px"; // below Streamlit's header
  view.target.scrollIntoView({ block, behavior: isCalm ? "auto" : "smooth" });
}

function place(view, box) {
  const [ring, note] = [view.at(".ring"), view.at(".note")];
  note.hidden = false;
  ring.hidden = !box;
  const size = { width: note.offsetWidth, height: note.offsetHeight };
  if (box) {
    put(ring, box.left - AROUND, box.top - AROUND);
    ring.style.width = `${box.width + 2 * AROUND}px`;
    ring.style.height = `${box.height + 2 * AROUND}px`;
  }
  const spots = box ? spotsBeside(box, size) : {};
  if (!(view.side in spots)) view.side = Object.keys(spots)[0] ?? null;
  const [left, top] = spots[view.side] ?? corner(size);
  put(note, left, top);
}

function put(node, left, top) {
  node.style.left = `${Math.round(left)}px`;
  node.style.top = `${Math.round(top)}px`;
}

// The sides of the ring where the note fits, the best first. Next to it the note covers the least of what belongs to it.
function spotsBeside(box, { width, height }) {
  const out = AROUND + GAP;
  const inside = (value, size, room) => Math.max(12, Math.min(value, room - size - 12));
  const x = inside(box.left, width, innerWidth);
  const y = inside(box.top, height, innerHeight);
  const spots = {
    right: [box.right + out, y], left: [box.left - out - width, y],
    below: [x, box.bottom + out], above: [x, box.top - out - height],
  };
  const fits = ([left, top]) => left >= 8 && top >= 64 && left + width <= innerWidth - 8 && top + height <= innerHeight - 8;
  return Object.fromEntries(Object.entries(spots).filter(([, spot]) => fits(spot)));
}

function corner({ width, height }) {
  return [innerWidth - width - 24, innerHeight - height - 24];
}
