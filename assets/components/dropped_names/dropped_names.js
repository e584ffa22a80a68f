// A browser names the folders of a file only where somebody chose its folder (webkitRelativePath), not where they dropped
// it. Streamlit's field notes them in relativePath then, and sends webkitRelativePath: it says the same from here on.

const NAMED = Symbol.for("vimpo-lab.dropped-names");

export default function (component) {
  // The element is there for its script alone.
  const box = component.parentElement.host ?? component.parentElement;
  box.closest?.('[data-testid="stElementContainer"]')?.style.setProperty("display", "none");
  if (File.prototype[NAMED]) return;
  const chosen = Object.getOwnPropertyDescriptor(File.prototype, "webkitRelativePath");
  if (!chosen?.get) return;
  Object.defineProperty(File.prototype, NAMED, { value: true });
  Object.defineProperty(File.prototype, "webkitRelativePath", {
    ...chosen,
    get() {
      const dropped = typeof this.relativePath === "string" && this.relativePath.startsWith("/");
      return chosen.get.call(this) || (dropped ? this.relativePath.slice(1) : "");
    },
  });
}
