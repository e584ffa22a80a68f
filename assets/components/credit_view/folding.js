// The view folded to its strip while something else is drawn below it, and the press that brings back the rest.

const LOW = 0.6;

export function isFolded(view) {
  return Boolean(view.data.folded && !view.isUnfolded);
}

export function listenToFold(view, draw) {
  view.at(".unfold").addEventListener("click", () => {
    view.isUnfolded = !view.isUnfolded;
    draw();
  });
}

export function showFold(view) {
  view.wasFolded = isFolded(view);
  view.root.classList.toggle("is-folded", view.wasFolded);
  view.at(".now").hidden = !view.wasFolded;
  const press = view.at(".unfold");
  press.hidden = !view.data.folded;
  press.textContent = view.wasFolded ? "Curve and numbers" : "The strip alone";
  press.setAttribute("aria-expanded", String(!view.wasFolded));
  if (view.data.folded) openInSight(view);
}

// What is opened below is seen: where a link opens it so low in the window that little of it would be (a phone, where the
// pickers stand in a pile), the page begins at the strip. Later the reader scrolls.
function openInSight(view) {
  const section = view.data.section ?? true;
  if (view.seen === section) return;
  view.seen = section;
  requestAnimationFrame(() => {
    if (view.root.getBoundingClientRect().top > LOW * window.innerHeight) view.root.scrollIntoView({ block: "start" });
  });
}
