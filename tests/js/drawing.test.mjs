// Lines, labels and colours, as far as they are numbers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { faint, isLight, ramp } from "../../assets/components/shared/colours.js";
import { apart, path, valueScale } from "../../assets/components/shared/drawing.js";

const same = (u) => u;

test("a line is broken where a value is not known", () => {
  assert.equal(path(same, same, [1, 2, null, 4, null, null, 5, 6]), "M0.0,1.0L1.0,2.0M3.0,4.0M6.0,5.0L7.0,6.0");
  assert.equal(path(same, same, [null, null]), "");
});

test("a line lies where its xs say", () => {
  assert.equal(path((u) => 10 * u, same, [1, 2, 3], [0.5, 2, 7]), "M5.0,1.0L20.0,2.0L70.0,3.0");
});

test("a scale of values leaves room at both ends, of what is known", () => {
  const y = valueScale([0, null, 1, 0.5], 200, 100);
  assert.deepEqual([y.low, y.high], [-0.06, 1.06]);
  assert.deepEqual([y(y.low), y(y.high), Math.round(y(0.5))], [200, 100, 150]);
});

test("labels keep apart, keep their order and stay above the floor", () => {
  const places = (ys, floor) => apart(ys.map((y) => ({ y })), 10, floor).map(({ y }) => y);
  assert.deepEqual(places([50, 10, 12]), [10, 20, 50]);
  assert.deepEqual(places([95, 96, 97], 100), [80, 90, 100]);
  assert.deepEqual(places([]), []);
});

test("a colour claims a sign only where there is one", () => {
  assert.deepEqual(ramp(0.5, 1, true), { share: 0.5, sign: "+" });
  assert.deepEqual(ramp(-3, 2, true), { share: 1, sign: "-" });
  assert.deepEqual(ramp(0.01, 1, true), { share: 0.01, sign: "0" });
  assert.deepEqual(ramp(-0.019, 1, true).sign, "0");
  assert.deepEqual(ramp(-0.02, 1, true).sign, "-");
  assert.deepEqual(ramp(0.25, 0.5, false), { share: 0.5, sign: "amount" });
  assert.deepEqual(ramp(null, 1, true), { share: 0, sign: "none" });
  assert.deepEqual(ramp(5, 0, true), { share: 0, sign: "0" });
});

test("light text tells a dark page", () => {
  assert.deepEqual(["#ffffff", "#fafafa", "#000000", "#1c2430"].map(isLight), [true, true, false, false]);
});

test("an opacity is the fourth part of a colour", () => {
  assert.deepEqual([faint("#0b7d72", 1), faint("#0b7d72", 0), faint("#0b7d72", 0.17)], ["#0b7d72ff", "#0b7d7200", "#0b7d722b"]);
});
