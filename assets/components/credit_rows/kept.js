// Where the sliders and the switch of a solution stand, as long as the tab lives: Back finds them as they were left. A browser may
// refuse storage (private windows): then they begin as trained.

const PREFIX = "vimpo-lab.rows.";

function nameOf(data) {
  return PREFIX + JSON.stringify([location.pathname, data.text, data.beta, data.gae_lambda]);
}

// { lambda, beta, other }: the places of both sliders and of the switch.
export function keep(data, places) {
  try {
    sessionStorage.setItem(nameOf(data), JSON.stringify(places));
  } catch { /* not kept */ }
}

// What was kept, null where nothing was or it is nothing like it.
export function kept(data) {
  try {
    const found = JSON.parse(sessionStorage.getItem(nameOf(data)));
    const isWhole = [found?.lambda, found?.beta].every((place) => place >= 0 && place <= 100) && typeof found.other === "boolean";
    return isWhole ? found : null;
  } catch {
    return null;
  }
}
