// How long solutions in pieces of words are laid out: which tokens belong to one word, which are one character together, what
// is folded away, which stretch is shown side by side. Tokens by number; nothing here touches the page.

// Whether tokens are pieces of words rather than single characters (an end token is long in every vocabulary).
export function isOfWords(text) {
  return text.filter((piece) => piece.length > 1).length > Math.max(1, text.length / 5);
}

export function beginsWithSpace(piece) {
  return piece.length > 1 && piece[0] === " ";
}

// Tokens that only shape the text: spaces, tabs and line breaks.
export function isBlank(piece) {
  return /^[␣⏎⇥␍ ]+$/.test(piece);
}

// The spaces behind a line break, which indent what the next token begins: many vocabularies have them in one piece.
export function indentOf(piece) {
  return piece?.match(/⏎( +)$/)?.[1] ?? "";
}

// Whether a token goes on with the word before it: no line is broken between the two.
export function goesOn(before, piece) {
  return /[\p{L}\p{N}]$/u.test(before) && /^[\p{L}\p{N}\p{M}.,:;!?)\]'’]/u.test(piece) && !/⏎/.test(before);
}

// For each token the number of its unit in `units` ([first, behind the last, text] each), -1 for most.
export function unitsByToken(units, count) {
  const of = new Array(count).fill(-1);
  (units ?? []).forEach(([from, to], number) => of.fill(number, from, to));
  return of;
}

// "part 2 of 4 of “🙂”" of a token that is a piece of a character, "" of every other.
export function partOf(units, t) {
  const unit = (units ?? []).find(([from, to]) => from <= t && t < to);
  return unit && unit[1] - unit[0] > 1 ? `part ${t - unit[0] + 1} of ${unit[1] - unit[0]} of “${unit[2].trim()}”` : "";
}

// --- folds -----------------------------------------------------------------------------------------------------------

export const WHOLE = { over: 480, head: 120, tail: 80 }; // tokens of a solution that is read, and of one in a list
export const LISTED = { over: 160, head: 60, tail: 40 };
const LONGEST_BLOCK = 80;
const LEAST_FOLD = 40;

// Where the blocks begin that are folded or shown as one: lines, and stretches of long ones.
export function blockStarts(count, lineStarts) {
  const starts = [];
  const lines = lineStarts.length ? lineStarts : [0];
  lines.forEach((start, line) => {
    const end = lines[line + 1] ?? count;
    for (let t = start; t < end; t += LONGEST_BLOCK) starts.push(t);
  });
  return starts;
}

// Stretches [from, to) to fold: all but the beginning, the end, what lies around the `kept` tokens and in `opened` stretches.
export function foldsOf(count, lineStarts, kept, opened, { over, head, tail } = WHOLE) {
  if (count <= over) return [];
  const starts = blockStarts(count, lineStarts);
  const endOf = (block) => starts[block + 1] ?? count;
  const isShown = starts.map((start, block) => endOf(block) <= head || start >= count - tail ||
    opened.some(([from, to]) => from <= start && start < to));
  if (starts.length) isShown[0] = isShown[starts.length - 1] = true;
  for (const t of kept) {
    const block = starts.findLastIndex((start) => start <= t);
    for (const near of [block - 1, block, block + 1]) if (near in isShown) isShown[near] = true;
  }
  const folds = [];
  starts.forEach((start, block) => {
    if (isShown[block]) return;
    if (folds.at(-1)?.[1] === start) folds.at(-1)[1] = endOf(block);
    else folds.push([start, endOf(block)]);
  });
  return folds.filter(([from, to]) => to - from >= LEAST_FOLD);
}

// What stands for a fold: "⋯ 812 tokens, 37 lines".
export function foldWords([from, to], lineStarts) {
  const lines = lineStarts.filter((start) => start >= from && start < to).length;
  return `⋯ ${to - from} tokens${lines > 1 ? `, ${lines} lines` : ""}`;
}

// --- side by side ----------------------------------------------------------------------------------------------------

export const PAGE = 48; // columns that rows one below the other have at once

// The stretch of `count` columns around a token: all where they are few.
export function pageOf(token, count, size = PAGE) {
  if (count <= size + size / 3) return [0, count];
  const from = Math.floor(Math.min(token, count - 1) / size) * size;
  return [from, Math.min(count, from + size)];
}

// How wide each column must be for its text, px of a letter given: "34px 52px ...".
export function columnWidths(text, letter) {
  return text.map((piece) => `${Math.round(letter * Math.min(14, Math.max(1.7, [...piece].length + 0.6)))}px`).join(" ");
}
