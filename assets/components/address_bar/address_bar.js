// data = [{ page, query, is_told }]: the address that the page has of itself. It takes the place of the one that is shown, so
// that Back never visits an address that nobody opened; Python hears of it and then says the same, which changes nothing any
// more, unless it did so before (is_told).

const SHOWN = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  // The element is there for its script alone.
  const box = parentElement.host ?? parentElement;
  box.closest?.('[data-testid="stElementContainer"]')?.style.setProperty("display", "none");
  const { page, query, is_told: isTold } = data?.[0] ?? {};
  if (query === undefined || SHOWN.get(parentElement) === query) return;
  if (location.pathname.split("/").at(-1) !== page) return; // somebody has gone on meanwhile
  SHOWN.set(parentElement, query);
  history.replaceState(history.state, "", location.pathname + (query && `?${query}`));
  if (!isTold) setTriggerValue("shown", query);
}
