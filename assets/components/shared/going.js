// A link to another page of the app that keeps the session, as the menu does: one entry of the browser's history. Streamlit looks
// at the address when the browser says that it went back or on; st.switch_page would leave a second entry that nobody opened.

import { element, setAll } from "./elements.js";

export function linkWithin(words, href, className = "") {
  const node = setAll(element("a", className, words), { href });
  node.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return; // a tab or window of its own
    event.preventDefault();
    history.pushState({}, "", node.href);
    window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
  });
  return node;
}
