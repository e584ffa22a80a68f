// What each row holds at a lambda and a beta, and what can be said of it. Numbers only: nothing here touches the page.
//
// The recursion is that of vimpo_core.credit (tests/js/credit_rows.test.mjs and tests/vimpo_core/views hold the two together).

// delta_t = beta (log pi - log pi_ref - KL): linear in beta. null: not finite.
export function deltaAt(perBeta, beta) {
  return perBeta.map((value) => (value === null ? null : beta * value));
}

// A_t = delta_t + lambda A_{t+1}; a token that does not count has 0 and is passed over.
export function carried(delta, counts, lambda) {
  const found = new Array(delta.length).fill(0);
  let running = 0;
  for (let t = delta.length - 1; t >= 0; t--) {
    if (!counts[t]) continue;
    running = delta[t] === null || running === null ? null : delta[t] + lambda * running;
    found[t] = running;
  }
  return found;
}

// The reward above the group's mean on every token that counts; null: the group's rewards are not known.
export function alike(aboveGroup, counts) {
  return aboveGroup === null ? null : counts.map((is) => (is ? aboveGroup : 0));
}

// Tokens that carry at least half of what the one with most carries, and between which numbers; none where all are 0.
export function carriers(values) {
  const known = values.filter((v) => v !== null);
  const most = Math.max(0, ...known.map(Math.abs));
  const heavy = most ? known.filter((v) => Math.abs(v) >= most / 2) : [];
  return { count: heavy.length, low: Math.min(...heavy), high: Math.max(...heavy) };
}

// The token with the lowest number, the first of several; null where none has a number.
export function lowestOf(values) {
  let lowest = null;
  values.forEach((v, t) => {
    if (v !== null && (lowest === null || v < values[lowest])) lowest = t;
  });
  return lowest;
}

// How alike two rows of numbers are, from -1 to 1; null where one of them is flat or not known throughout.
export function correlation(a, b) {
  if ([...a, ...b].includes(null)) return null;
  const off = (list) => {
    const mean = list.reduce((sum, v) => sum + v, 0) / list.length;
    return list.map((v) => v - mean);
  };
  const [x, y] = [off(a), off(b)];
  const dot = (u, v) => u.reduce((sum, one, i) => sum + one * v[i], 0);
  const size = Math.sqrt(dot(x, x) * dot(y, y));
  return size ? dot(x, y) / size : null;
}
