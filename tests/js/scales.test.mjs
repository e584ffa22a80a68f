// Scales, ticks, and which place a key or a pointer means.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  clamp, extent, indexAt, nearestIn, niceStep, placeInLine, placeOfKey, scale, ticksAround, ticksWithin,
} from "../../assets/components/shared/scales.js";
import { isBeyond } from "../../assets/components/shared/colours.js";

const close = (found, expected) => {
  assert.equal(found.length, expected.length, `${found}`);
  found.forEach((u, i) => assert.ok(Math.abs(u - expected[i]) < 1e-9, `${found}`));
};

test("a scale puts both ends where they belong and what lies between in proportion", () => {
  const y = scale(-1, 3, 100, 20);
  assert.deepEqual([y(-1), y(3), y(1), y(5)], [100, 20, 60, -20]);
});

test("the extent passes over what is not known", () => {
  assert.deepEqual(extent([3, null, -2, 0]), [-2, 3]);
  assert.deepEqual(extent([null]), [Infinity, -Infinity]);
});

test("a nice step is the least of 1, 2, 5 and their tenfolds that is large enough", () => {
  for (const [rough, step] of [[1, 1], [1.1, 2], [2.3, 5], [6, 10], [0.03, 0.05], [0.0011, 0.002], [740, 1000]])
    assert.ok(Math.abs(niceStep(rough) - step) < 1e-12 * step, `${rough}: ${niceStep(rough)}`);
  assert.equal(niceStep(2.3, [1, 2, 2.5, 5, 10]), 2.5);
});

test("ticks within a range are multiples of one step, at most so many apart, both ends counted", () => {
  close(ticksWithin(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  close(ticksWithin(-0.31, 0.3, 4), [-0.2, 0, 0.2]);
  close(ticksWithin(0.9, 2.2, 7), [1, 1.2, 1.4, 1.6, 1.8, 2, 2.2]);
});

test("ticks around a range begin and end outside it", () => {
  close(ticksAround(0, 1), [0, 0.5, 1]);
  close(ticksAround(0.12, 0.61), [0, 0.2, 0.4, 0.6, 0.8]);
  for (const [low, high] of [[-3, 17], [0.001, 0.0042], [812, 990]]) {
    const ticks = ticksAround(low, high);
    assert.ok(ticks[0] <= low + 1e-9 && ticks.at(-1) >= high - 1e-9 && ticks.length <= 5, `${ticks}`);
  }
});

test("the newest measurement is the last at or before a step", () => {
  const steps = [2, 4, 8];
  assert.deepEqual([1, 2, 3, 4, 7, 8, 99].map((step) => indexAt(steps, step)), [-1, 0, 0, 1, 1, 2, 2]);
  assert.equal(indexAt([], 3), -1);
});

test("the nearest of ascending values is found from both sides, the upper one in the middle", () => {
  const steps = [2, 4, 8];
  assert.deepEqual([-5, 2.9, 3, 5.9, 6, 6.1, 99].map((step) => nearestIn(steps, step)), [0, 0, 1, 1, 2, 2, 2]);
});

test("a value is kept within its bounds, and where there is no room at the lower one", () => {
  assert.deepEqual([clamp(-1, 0, 3), clamp(2, 0, 3), clamp(7, 0, 3), clamp(4, 0, -1)], [0, 2, 3, 0]);
});

test("arrow keys lead to the places beside, Home and End to the ends, never beyond; other keys nowhere", () => {
  const from = (at, key, jump) => placeOfKey(key, at, 5, jump);
  const keys = ["ArrowLeft", "ArrowDown", "ArrowRight", "ArrowUp", "Home", "End"];
  assert.deepEqual(keys.map((key) => from(2, key)), [1, 1, 3, 3, 0, 4]);
  assert.deepEqual([from(0, "ArrowLeft"), from(4, "ArrowRight"), from(1, "ArrowRight", 10), from(-1, "ArrowRight")], [0, 4, 4, 0]);
  for (const key of ["a", "Tab", "PageUp", "Enter"]) assert.equal(from(2, key), null, key);
});

test("in a line Enter and space choose where one is, and up and down are left to the page", () => {
  const keys = ["ArrowLeft", "ArrowRight", "Home", "End", "Enter", " "];
  assert.deepEqual(keys.map((key) => placeInLine(key, 2, 5)), [1, 3, 0, 4, 2, 2]);
  assert.deepEqual(["ArrowUp", "ArrowDown", "x"].map((key) => placeInLine(key, 2, 5)), [null, null, null]);
});

test("what lies beyond a colour scale is told from what stands at its end, and nothing is beyond a scale of nothing", () => {
  assert.deepEqual([1.01, -2.1, 1, -1, 0.3, null].map((u) => isBeyond(u, 1)), [true, true, false, false, false, false]);
  assert.equal(isBeyond(0.1 + 0.2, 0.3), false);
  assert.equal(isBeyond(5, 0), false);
});
