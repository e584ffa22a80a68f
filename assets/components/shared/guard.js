// An error in a component's script is said in its place, and reaches the console as well. Errors that come later, while it paints
// or answers a key, are the page's own: those whose stack names this script are said here too.

const GUARDED = new Set();
const THIS_SCRIPT = new Error().stack?.match(/([^\s@(]+):\d+:\d+/)?.[1];

window.addEventListener("error", (event) => {
  if (!THIS_SCRIPT || !event.error?.stack?.includes(THIS_SCRIPT)) return;
  for (const parent of GUARDED) sayError(parent, event.error);
});

export function guarded(draw) {
  return (component) => {
    const parent = component.parentElement;
    GUARDED.add(parent);
    boxOf(parent)?.remove();
    let leave;
    try {
      leave = draw(component);
    } catch (error) {
      sayError(parent, error);
      reportError(error);
    }
    return () => {
      GUARDED.delete(parent);
      leave?.();
    };
  };
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
