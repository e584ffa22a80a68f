// Records of the course in this browser. data = [{ changes: { name: record, or null to remove it }, is_known }]: only the
// records that this session changed, so that two tabs do not undo each other. What was there at first goes to Python once.

const PREFIX = "vimpo-lab.course.";
const SEEN = new WeakSet();

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  // The element is there for its script alone.
  const box = parentElement.host ?? parentElement;
  box.closest?.('[data-testid="stElementContainer"]')?.style.setProperty("display", "none");
  const { changes = {}, is_known: isKnown = true } = data?.[0] ?? {};
  for (const [name, record] of Object.entries(changes)) write(name, record);
  if (isKnown || SEEN.has(parentElement)) return;
  SEEN.add(parentElement);
  setStateValue("held", readAll());
}

// A browser may refuse storage (private windows, full disk): then the course works without remembering.
function write(name, record) {
  try {
    if (record === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(record));
  } catch { /* not kept */ }
}

function readAll() {
  const held = {};
  try {
    for (const name of Object.keys(localStorage)) {
      if (!name.startsWith(PREFIX)) continue;
      try {
        held[name.slice(PREFIX.length)] = JSON.parse(localStorage.getItem(name));
      } catch { /* not one of ours */ }
    }
  } catch { /* nothing to be read */ }
  return held;
}
