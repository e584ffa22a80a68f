// An error in a component's script is said in its place, and reaches the console as well. Errors that come later, while it paints
// or answers a key, are the page's own: those whose stack names this script are said here too.
//
// Streamlit imports the script anew for every change of the data, and imports that wait for the same script are answered in any
// order. It takes back a call that was overtaken; the newest of those that stand is then drawn again.

const GUARDED = new Set();
const STANDING = new WeakMap(); // the last calls for an element that were not taken back, oldest first
const MANY = 8; // more than ever wait for one script
const THIS_SCRIPT = new Error().stack?.match(/([^\s@(]+):\d+:\d+/)?.[1];

window.addEventListener("error", (event) => {
  if (!THIS_SCRIPT || !event.error?.stack?.includes(THIS_SCRIPT)) return;
  for (const parent of GUARDED) sayError(parent, event.error);
});

export function guarded(draw) {
  return (component) => {
    const parent = component.parentElement;
    const calls = STANDING.get(parent) ?? [];
    STANDING.set(parent, [...calls, component].slice(-MANY));
    let leave = show(draw, component);
    return () => {
      if (!parent.isConnected) {
        GUARDED.delete(parent);
        leave?.();
        return;
      }
      const standing = STANDING.get(parent);
      const others = standing.filter((one) => one !== component);
      STANDING.set(parent, others);
      if (others.length && standing.at(-1) === component) leave = show(draw, others.at(-1));
    };
  };
}

function show(draw, component) {
  const parent = component.parentElement;
  GUARDED.add(parent);
  boxOf(parent)?.remove();
  try {
    return draw(component);
  } catch (error) {
    sayError(parent, error);
    reportError(error);
    return undefined;
  }
}

function boxOf(parent) {
  return [...parent.children].find((child) => child.className === "script-error");
}

function sayError(parent, error) {
  let box = boxOf(parent);
  if (!box) {
    box = document.createElement("p");
    box.className = "script-error";
    box.setAttribute("role", "alert");
    box.style.cssText = "margin:0 0 8px;padding:10px 14px;border:1px solid currentColor;border-radius:8px;font:inherit";
    parent.prepend(box);
  }
  box.textContent = `This could not be drawn: ${error?.message ?? error}. The numbers are safe; reload the page.`;
}
