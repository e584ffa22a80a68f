// Reading a lens off a payload: nothing is computed but three readings of one measured number.

import assert from "node:assert/strict";
import { test } from "node:test";

import { cutTo, decimalsOf, hasGroup, lensOf, minus, seriesOf } from "../../assets/components/shared/lenses.js";

const DATA = {
  lenses: [
    { key: "td_terms", scale: "reward" }, { key: "values", scale: "reward" }, { key: "values_from_end", scale: "reward" },
    { key: "logprob", scale: "nats" }, { key: "surprisal", scale: "nats" }, { key: "probability", scale: "probability" },
    { key: "log_ratio", scale: "nats" }, { key: "kl", scale: "position" }, { key: "advantages_whitened", scale: "whitened" },
  ],
  decimals: { reward: 4, nats: 3, position: 3 },
  baseline: 5000,
  arrays: {
    td_terms: [100, null, -250], values: [5000, 5100, 5100, 4850], values_from_end: [1, 2, 3, 4], logprob: [0, -693, null],
    ref_logprob: [-500, -693, -1], kl: null,
  },
};

test("whole numbers become numbers in the lens's unit, and what is not finite stays null", () => {
  assert.deepEqual(seriesOf(DATA, "td_terms"), [0.01, null, -0.025]);
  assert.deepEqual(seriesOf(DATA, "logprob"), [0, -0.693, null]);
});

test("a token's value is the one after it", () => {
  assert.deepEqual(seriesOf(DATA, "values"), [0.51, 0.51, 0.485]);
  assert.deepEqual(seriesOf(DATA, "values_from_end"), [0.0002, 0.0003, 0.0004]);
});

test("probability, surprisal and log-ratio are readings of the log-probability", () => {
  const [certain, half, unknown] = seriesOf(DATA, "probability");
  assert.equal(certain, 1);
  assert.ok(Math.abs(half - 0.5) < 1e-3 && unknown === null);
  assert.deepEqual(seriesOf(DATA, "surprisal"), [0, 0.693, null]);
  assert.deepEqual(seriesOf(DATA, "log_ratio"), [0.5, 0, null]);
});

test("what was not recorded is null instead of a list", () => {
  assert.equal(seriesOf(DATA, "kl"), null);
  assert.equal(seriesOf({ ...DATA, arrays: {} }, "probability"), null);
  assert.equal(seriesOf({ ...DATA, arrays: { logprob: [0] } }, "log_ratio"), null);
});

test("without a group there is no value from the start", () => {
  const alone = { ...DATA, baseline: null };
  assert.deepEqual([hasGroup(DATA), hasGroup(alone)], [true, false]);
  assert.equal(seriesOf(alone, "values"), null);
  assert.equal(seriesOf(alone, "values_from_end").length, 3);
});

test("an unknown lens is the first, an unknown scale has three decimals", () => {
  assert.equal(lensOf(DATA, "nonsense").key, "td_terms");
  assert.deepEqual([decimalsOf(DATA, { scale: "reward" }), decimalsOf(DATA, { scale: "grpo" })], [4, 3]);
});

test("a difference with something unknown is unknown", () => {
  assert.deepEqual([minus(3, 1), minus(null, 1), minus(1, null)], [2, null, null]);
});

test("a token's name that is cut for want of room says so", () => {
  assert.deepEqual(["milk", "bread", "\u{1f642}\u{1f642}x"].map((text) => cutTo(text, 4)), ["milk", "bre…", "\u{1f642}\u{1f642}x"]);
});
