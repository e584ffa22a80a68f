// The rows of Start: what a lambda and a beta make of a solution's credit, and the words beside them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { carried, carriers, correlation, deltaAt, lowestOf } from "../../assets/components/credit_rows/reach.js";
import { ofReading, ofVimpo, pushes, setting, spread } from "../../assets/components/credit_rows/sayings.js";

const DELTA = [0.1, 0, -0.8, 0.2];
const ALL = [true, true, true, true];
const OWN = { rule: "vimpo", per_beta: DELTA };
const DATA = { names: { grpo: "GRPO", vimpo: "VIMPO" }, text: ["a", "b", "c", "d"], first_wrong: 2, readings: [OWN] };

test("lambda 0 leaves each token its own credit, lambda 1 hands it all that follow, one half fades", () => {
  assert.deepEqual(carried(DELTA, ALL, 0), DELTA);
  assert.deepEqual(carried(DELTA, ALL, 1).map((v) => v.toFixed(9)), [-0.5, -0.6, -0.6, 0.2].map((v) => v.toFixed(9)));
  assert.deepEqual(carried([0, 0, -0.8, 0], ALL, 0.5), [-0.2, -0.4, -0.8, 0]);
});

test("a token that does not count is passed over; what is no number makes no numbers before it", () => {
  assert.deepEqual(carried([0, 5, -1], [true, false, true], 0.5), [-0.5, 0, -1]);
  assert.deepEqual(carried([0, null, -1], [true, true, true], 1), [null, null, -1]);
});

test("credit is linear in beta", () => {
  assert.deepEqual(deltaAt([1, null, -2], 0.5), [0.5, null, -1]);
});

test("a row is said by the tokens that carry at least half of the most", () => {
  assert.deepEqual(carriers([-0.9, -0.5, -0.1, 0]), { count: 2, low: -0.9, high: -0.5 });
  assert.equal(spread([-0.9, -0.5, -0.1, 0]), "−0.90 to −0.50 on 2 of 4");
  assert.equal(spread([0, 0]), "0 on every token");
  assert.equal(lowestOf([null, 0.1, -0.2, -0.2]), 2);
});

test("that the lowest push is not on the mistake is said, and only then", () => {
  assert.match(ofVimpo(DATA, [-0.7, -0.9, -0.8, 0.2], 1), /follow\. Lowest: #1, not the mistake\.$/);
  assert.match(ofVimpo(DATA, DELTA, 0), /its own credit, δ\.$/);
});

test("another policy's reading is called nearly the same only where it is", () => {
  assert.ok(Math.abs(correlation([1, 2, 3], [2, 4, 6]) - 1) < 1e-12);
  assert.equal(correlation([1, 1], [2, 3]), null);
  const same = { rule: "grpo", per_beta: [0.2, 0, -1.9, 0.3] };
  assert.match(ofReading(DATA, same), /^Nearly the same map \(correlation 1\.00\), though GRPO never used δ\.$/);
  assert.match(ofReading(DATA, { rule: "grpo", per_beta: [-1.9, 0.2, 0, 0.3] }), /^Another map/);
});

test("a rule pushes where it trained the run with these very numbers, else it would", () => {
  const run = { ...DATA, rule: "vimpo" };
  assert.deepEqual(
    [pushes(run, "vimpo", true), pushes(run, "vimpo", false), pushes(run, "grpo", true)],
    ["VIMPO pushes", "VIMPO would push", "GRPO would push"],
  );
});

test("what a slider was moved from is said where the run trained with it", () => {
  assert.equal(setting("λ", 1, 1, true, 2), "λ: 1");
  assert.equal(setting("λ", 0.5, 1, true, 2), "λ: 0.5 (trained with 1)");
  assert.equal(setting("λ", 0.5, 1, false, 2), "λ: 0.5");
});
