// Which runs fit a search, and in which order they stand.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fits, ordered } from "../../assets/components/runs_list/order.js";

const row = (key, values = {}) => ({
  key, id: key, name: key, tags: [], note: "", settings: "", state: "Finished", last: null, ...values,
});
const keys = (rows) => rows.map((one) => one.key).join();

test("every word of a search is somewhere in what is known of a run, and every tag is one of its own", () => {
  const run = row("GRPO, seed 0", { tags: ["to show", "best"], note: "Ran away", settings: "learning\u00a0rate\u00a00.002" });
  assert.ok(fits(run, "  SEED grpo away ", []) && fits(run, "rate 0.002", []) && fits(run, "", ["best", "to show"]));
  assert.ok(!fits(run, "grpo 7", []) && !fits(run, "", ["best", "show"]) && !fits(run, ".*", []));
});

test("names are sorted with their numbers as numbers, and what has no value stands at the end both ways", () => {
  const rows = [row("b 10", { last: 0.5 }), row("b 9"), row("a", { last: 0.7 })];
  assert.equal(keys(ordered(rows, "name")), "a,b 9,b 10");
  assert.equal(keys(ordered(rows, "-last")), "a,b 10,b 9");
  assert.equal(keys(ordered(rows, "last")), "b 10,a,b 9");
});

test("the newest come first unless asked for the oldest, and the rows themselves stay as they came", () => {
  const rows = [row("old", { made: "2026-01-01T00:00:00" }), row("new", { made: "2026-02-01T00:00:00" })];
  assert.equal(keys(ordered(rows, "-made")), "new,old");
  assert.equal(keys(ordered(rows, "made")), "old,new");
  assert.equal(keys(rows), "old,new");
});
