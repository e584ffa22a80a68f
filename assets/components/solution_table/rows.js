// Which rows are shown and in what order. Nothing here touches the page.

export const READINGS = ["own", "other", "surprisal"];

export const FILTERS = {
  all: "All",
  wrong: "Wrong",
  right: "Right",
  missed: "Wrong and missed",
  unjudged: "Wrong, step not judged",
};

export function idOf({ step, group, sample }) {
  return `${step}/${group}/${sample}`;
}

// Whether a reading blames the token that is to be found.
export function hitOf(row, name) {
  return Array.isArray(row[name]) && row.target !== null && row[name][0] === row.target[0];
}

export function isKnown(row, name) {
  return row[name] !== null;
}

// missed: the first wrong token is known and the policy's own credit does not name it.
export function passes(row, only) {
  const isWrong = row.verdict === "wrong" || row.verdict === "none";
  if (only === "wrong") return isWrong;
  if (only === "right") return row.verdict === "right";
  if (only === "missed") return isWrong && row.target !== null && isKnown(row, "own") && !hitOf(row, "own");
  if (only === "unjudged") return isWrong && row.target === null;
  return true;
}

// A new list; way: 1 ascending, -1 descending. What is not known comes last either way, equals keep their order.
export function sortedBy(rows, column, way = 1) {
  if (!column) return [...rows];
  const keyed = rows.map((row) => [column.value(row), row]);
  keyed.sort(([a, one], [b, two]) => {
    if (a === null || b === null) return (a === null) - (b === null) || one.at - two.at;
    const order = typeof a === "string" ? collator.compare(a, b) : a - b;
    return way * order || one.at - two.at;
  });
  return keyed.map(([, row]) => row);
}

const collator = new Intl.Collator("en", { numeric: true });
