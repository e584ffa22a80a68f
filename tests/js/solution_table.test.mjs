// The order and the choice of rows in the table of solutions.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FILTERS, passes, sortedBy } from "../../assets/components/solution_table/rows.js";

const ROWS = [
  { at: 0, verdict: "wrong", target: [3, "a"], own: [3, "a"], length: 7 },
  { at: 1, verdict: "wrong", target: [3, "a"], own: [1, "a"], length: null },
  { at: 2, verdict: "none", target: null, own: [0, "b"], length: 9 },
  { at: 3, verdict: "right", target: null, own: null, length: 7 },
  { at: 4, verdict: "wrong", target: [2, "c"], own: -1, length: 8 },
  { at: 5, verdict: "wrong", target: [2, "c"], own: null, length: 1 },
  { at: 6, verdict: "right", target: [2, "c"], own: [0, "c"], length: 2 },
];
const kept = (only) => ROWS.filter((row) => passes(row, only)).map((row) => row.at);
const order = (way) => sortedBy(ROWS, { value: (row) => row.length }, way).map((row) => row.at);

test("missed is a wrong one whose first wrong token is known and not the one that is blamed, if any is", () => {
  assert.deepEqual(Object.keys(FILTERS).map(kept), [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 4, 5], [3, 6], [1, 4], [2]]);
});

test("what is not known comes last either way, and equals keep their order", () => {
  assert.deepEqual(order(1), [5, 6, 0, 3, 4, 2, 1]);
  assert.deepEqual(order(-1), [2, 4, 0, 3, 6, 5, 1]);
  assert.deepEqual(sortedBy(ROWS, undefined).map((row) => row.at), [0, 1, 2, 3, 4, 5, 6]);
});
