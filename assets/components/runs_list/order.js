// Which runs fit a search, and in which order they stand.

export const SORTS = {
  "-made": "Newest first",
  made: "Oldest first",
  name: "Name",
  "-name": "Name, last first",
  state: "State",
  "-state": "State, last first",
  "-step": "Most steps",
  step: "Fewest steps",
  "-first": "Sampled or first, highest",
  first: "Sampled or first, lowest",
  "-last": "Greedy or last, highest",
  last: "Greedy or last, lowest",
};

// Every word of the search somewhere in what is known of the run, and every tag.
export function fits(row, search, tags) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = words.length ? textOf(row) : "";
  return words.every((word) => text.includes(word)) && tags.every((tag) => row.tags.includes(tag));
}

function textOf({ name, id, tags, note, settings, state }) {
  return [name, id, ...tags, note, settings.replaceAll("\u00a0", " "), state].join("\n").toLowerCase();
}

// What has no value stands at the end, whichever way.
export function ordered(rows, sort) {
  const way = sort.startsWith("-") ? -1 : 1;
  const name = sort.replace("-", "");
  const byName = new Intl.Collator("en", { numeric: true }).compare;
  const compare = name === "name" ? (a, b) => byName(a.name, b.name) : (a, b) => compared(a[name], b[name]);
  const isThere = (row) => row[name] !== null && row[name] !== undefined;
  const there = rows.filter(isThere).sort((a, b) => way * compare(a, b));
  return [...there, ...rows.filter((row) => !isThere(row))];
}

function compared(a, b) {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
