// Another text under the same path begins at its top: Streamlit keeps the place of the one before it.

let last = null;

export default function ({ data, parentElement }) {
  // The element is there for its script alone.
  const box = parentElement.host ?? parentElement;
  box.closest?.('[data-testid="stElementContainer"]')?.style.setProperty("display", "none");
  const { text } = data?.[0] ?? {};
  if (text === undefined || text === last) return;
  const isFirst = last === null;
  last = text;
  if (isFirst || location.hash) return;
  document.querySelector('[data-testid="stMain"]')?.scrollTo({ top: 0, behavior: "instant" });
}
