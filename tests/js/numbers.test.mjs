// Numbers as text: what a reader sees of a number is the number.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  decimalsFor, fixed, fromWhole, probability, readable, short, signed, significant, tickText, whole, withMinus,
} from "../../assets/components/shared/numbers.js";
import { ticksAround, ticksWithin } from "../../assets/components/shared/scales.js";

const each = (name, of, table) => test(name, () => {
  for (const [given, expected] of table) assert.equal(of(...given), expected, `${name}: ${JSON.stringify(given)}`);
});

each("a fixed number has a true minus, none before a zero, and says that it is not finite", fixed, [
  [[0.125, 3], "0.125"], [[-0.61, 2], "−0.61"], [[-0.004, 2], "0.00"], [[-0, 1], "0.0"], [[0, 0], "0"], [[-12.6, 0], "−13"],
  [[null, 2], "not finite"], [[undefined, 2], "not finite"],
]);

each("a signed number has its sign, a zero none", signed, [
  [[0.125, 2], "+0.13"], [[-0.61, 2], "−0.61"], [[0.004, 2], "0.00"], [[-0.004, 2], "0.00"], [[0, 3], "0.000"],
  [[null, 2], "not finite"],
]);

each("a short number has no zeros at its end", short, [
  [[1, 3], "1"], [[0.5, 3], "0.5"], [[-1 / 3, 3], "−0.333"], [[-0.0001, 3], "0"], [[0.6666, 2], "0.67"],
]);

each("significant digits count from the first that is no zero", significant, [
  [[0.012345, 3], "0.0123"], [[1234567, 3], "1230000"], [[-0.00000012345, 2], "−1.2e−7"], [[0, 3], "0"], [[0.3, 3], "0.3"],
]);

each("thousands are set apart", whole, [
  [[999], "999"], [[1000], "1,000"], [[-1234567.4], "−1,234,567"], [[0.4], "0"],
]);

each("a readable number shows what one reads at a glance", readable, [
  [[0.7134, true], "71.3 %"], [[0.7134, true, 0], "71 %"], [[-0.051, true], "−5.1 %"], [[0, false], "0.000"],
  [[0.12345, false], "0.123"],
  [[-1.2345, false], "−1.23"], [[12.345, false], "12.3"], [[1234.5, false], "1,235"], [[99_999_999, false], "1.0e+8"],
  [[0.00012, false], "1.2e−4"], [[-0.0000001, false], "≈ 0"],
]);

each("a probability that would round to zero is written with its power of ten", probability, [
  [[1], "1.000"], [[0.25], "0.250"], [[0.0005], "0.001"], [[0.000012], "1.2·10⁻⁵"], [[0], "0"],
]);

each("whole numbers of the last digit become numbers, and what is not finite stays so", fromWhole, [
  [[-3861, 4], -0.3861], [[0, 2], 0], [[7, 0], 7], [[null, 3], null], [[undefined, 3], null],
]);

each("the multiples of a step need so many decimals", decimalsFor, [
  [[1], 0], [[20], 0], [[0.5], 1], [[0.1], 1], [[0.25], 2], [[2.5], 1], [[0.05], 2], [[0.025], 3], [[0.002], 3], [[2500], 0],
]);

test("every minus becomes a true one", () => assert.equal(withMinus("-1e-5"), "−1e−5"));

const texts = (ticks, isShare) => ticks.map((tick) => tickText(tick, ticks, isShare));

test("ticks can be told apart and say where they stand", () => {
  assert.deepEqual(texts([0, 0.5, 1], true), ["0 %", "50 %", "100 %"]);
  assert.deepEqual(texts([0, 0.025, 0.05], true), ["0.0 %", "2.5 %", "5.0 %"]);
  assert.deepEqual(texts([-0.2, 0, 0.2], false), ["−0.2", "0", "0.2"]);
  assert.deepEqual(texts([0, 2.5, 5], false), ["0", "2.5", "5.0"]);
  assert.deepEqual(texts([0, 5000, 10_000], false), ["0", "5 k", "10 k"]);
  assert.deepEqual(texts([0, 500_000, 1_000_000], false), ["0", "0.5 M", "1.0 M"]);
  assert.deepEqual(texts([0, 0.0002, 0.0004], false), ["0", "2e−4", "4e−4"]);
});

test("no two ticks of an axis are written alike, whatever its range", () => {
  for (const low of [-3.7, -0.00002, 0, 0.013, 5, 812])
    for (const span of [2e-5, 0.0011, 0.037, 0.99, 4.2, 63, 12_345, 3.3e6])
      for (const isShare of [false, true])
        for (const ticks of [ticksWithin(low, low + span, 5), ticksAround(low, low + span)]) {
          if (!isShare && Math.max(...ticks.map(Math.abs)) > 1e4 * span) continue;
          assert.equal(new Set(texts(ticks, isShare)).size, ticks.length, `${low} + ${span}: ${texts(ticks, isShare)}`);
        }
});
