// A tap on a word that Notation explains says what it means where it stands. data = [{ words: { anchor: [name, meaning] } }].
//
// The word is a link to its row of Notation: with a key held, or by the bubble's own link, it leads there.

const GAP = 6; // pixels between a word and its bubble, and between the bubble and the window's edge
let words = {};
let bubble = null;

export default function ({ parentElement, data }) {
  // The element is there for its script alone.
  const box = parentElement.host ?? parentElement;
  box.closest?.('[data-testid="stElementContainer"]')?.style.setProperty("display", "none");
  words = data?.[0]?.words ?? {};
  if (bubble) return;
  bubble = bubbleIn(document.querySelector(".stApp") ?? document.body);
  document.addEventListener("click", open, { capture: true });
  document.addEventListener("scroll", (event) => event.target !== bubble && bubble.hidePopover(), { capture: true });
}

function bubbleIn(parent) {
  const found = document.createElement("div");
  found.className = "word-bubble";
  found.popover = "auto";
  found.tabIndex = -1;
  found.setAttribute("role", "dialog");
  parent.append(found);
  return found;
}

function open(event) {
  const link = event.target.closest?.('a[href*="notation#"]');
  const found = link && words[link.hash.slice(1)];
  if (!found || bubble.contains(link) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  event.stopPropagation();
  fill(link, ...found);
  bubble.showPopover();
  place(link);
  bubble.focus({ preventScroll: true });
}

function fill(link, name, meaning) {
  const head = document.createElement("b");
  head.textContent = name;
  const onward = document.createElement("a");
  Object.assign(onward, { href: link.href, target: "_blank", textContent: "Notation" });
  bubble.setAttribute("aria-label", name);
  bubble.replaceChildren(head, `: ${meaning} `, onward);
}

// Below the word, or above it where there is no room; large type zooms what is set, not what is measured.
function place(link) {
  const zoom = bubble.currentCSSZoom ?? 1;
  const [word, size] = [link.getBoundingClientRect(), bubble.getBoundingClientRect()];
  const isBelow = word.bottom + GAP + size.height < innerHeight;
  const left = Math.max(GAP, Math.min(word.left, innerWidth - size.width - GAP));
  const top = isBelow ? word.bottom + GAP : Math.max(GAP, word.top - GAP - size.height);
  Object.assign(bubble.style, { left: `${left / zoom}px`, top: `${top / zoom}px` });
}
