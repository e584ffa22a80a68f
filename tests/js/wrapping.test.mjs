// Text in pictures: broken where it fits, at every length.

import assert from "node:assert/strict";
import { test } from "node:test";

import { wrapped } from "../../assets/components/shared/wrapping.js";

const letters = (text) => [...text].length;

test("lines are broken between words, and nothing of a text is lost", () => {
  const text = "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May.";
  for (const width of [8, 20, 40, 1000]) {
    const lines = wrapped(text, width, letters);
    assert.ok(lines.every((line) => letters(line) <= width));
    assert.equal(lines.join(" "), text);
  }
});

test("a word longer than a line is cut, and a character of two halves stays whole", () => {
  const lines = wrapped("\u{1F642}".repeat(25), 10, letters);
  assert.deepEqual(lines.map(letters), [10, 10, 5]);
});

test("what has no room says that there is more", () => {
  const lines = wrapped("one two three four five", 10, letters, 2);
  assert.deepEqual(lines, ["one two", "three fo …"]);
  assert.deepEqual(wrapped("", 10, letters), []);
});
