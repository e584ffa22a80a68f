// Which token of a solution stands out: the first wrong one where a step verifier knows it, else the largest true drop where
// that was measured. `short` has room beside the token.

const NOTHING = { token: null, kind: "", name: "", short: "" };

export function markOf(data) {
  if (Number.isInteger(data.first_wrong)) {
    return { token: data.first_wrong, kind: "wrong", name: "first wrong token", short: "first wrong" };
  }
  if (Number.isInteger(data.largest_drop)) {
    return { token: data.largest_drop, kind: "drop", name: "largest true drop", short: "largest true drop" };
  }
  return NOTHING;
}
