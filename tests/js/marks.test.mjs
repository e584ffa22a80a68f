// Which token of a solution stands out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { markOf } from "../../assets/components/shared/marks.js";

test("the first wrong token is marked where it is known, whatever was measured beside it", () => {
  assert.deepEqual(markOf({ first_wrong: 0, largest_drop: 3 }), {
    token: 0, kind: "wrong", name: "first wrong token", short: "first wrong",
  });
});

test("the largest true drop is marked as such and not as wrong", () => {
  const mark = markOf({ first_wrong: null, largest_drop: 0 });
  assert.deepEqual([mark.token, mark.kind, mark.name], [0, "drop", "largest true drop"]);
});

test("nothing is marked where nothing is known", () => {
  assert.equal(markOf({ first_wrong: null, largest_drop: null }).token, null);
  assert.equal(markOf({ text: [] }).kind, "");
});
