// Pieces of words: which belong together, what is folded, which stretch is shown side by side.

import assert from "node:assert/strict";
import { test } from "node:test";

import { tokenNames } from "../../assets/components/shared/lenses.js";
import {
  LISTED, WHOLE, beginsWithSpace, blockStarts, columnWidths, foldWords, foldsOf, goesOn, indentOf, isBlank, isOfWords, pageOf,
  partOf, unitsByToken,
} from "../../assets/components/shared/words.js";

test("pieces of words are told from characters, whatever the end token is called", () => {
  assert.equal(isOfWords([..."9+2+42;11", "<|im_end|>"]), false);
  assert.equal(isOfWords(["Let", " us", " count", ":", "⏎"]), true);
  assert.equal(isOfWords([]), false);
});

test("a piece goes on with its word, a word with a space and a line break do not", () => {
  for (const [a, b] of [["un", "able"], [" 1", "2"], ["word", "."], ["é", "t"]]) assert.ok(goesOn(a, b), a);
  for (const [a, b] of [["un", " able"], [".", "Next"], ["⏎", "x"], ["a", "("]]) assert.ok(!goesOn(a, b), a);
});

test("a leading space and what is nothing but space are told apart", () => {
  assert.deepEqual([" a", "a", " ", "␣"].map(beginsWithSpace), [true, false, false, false]);
  assert.deepEqual(["␣␣", "⏎⏎", "⇥", "a␣"].map(isBlank), [true, true, true, false]);
});

test("the spaces that a line break brings along indent the next line", () => {
  assert.deepEqual(["⏎    ", "⏎⏎  ", "⏎", "  ", "a ", undefined].map(indentOf), ["    ", "  ", "", "", "", ""]);
});

test("tokens of one character know their part of it", () => {
  const units = [[1, 5, " 🙂"], [6, 7, "é"]];
  assert.deepEqual(unitsByToken(units, 8), [-1, 0, 0, 0, 0, -1, 1, -1]);
  assert.deepEqual([0, 1, 4, 6].map((t) => partOf(units, t)), ["", "part 1 of 4 of “🙂”", "part 4 of 4 of “🙂”", ""]);
  assert.deepEqual(unitsByToken(undefined, 2), [-1, -1]);
});

const lines = (count, length) => Array.from({ length: Math.ceil(count / length) }, (_, line) => line * length);

test("nothing of a solution that can be read at once is folded", () => {
  assert.deepEqual(foldsOf(WHOLE.over, lines(WHOLE.over, 10), [], []), []);
  assert.deepEqual(foldsOf(WHOLE.over, lines(WHOLE.over, 10), [], [], LISTED), [[60, 440]]);
});

test("a long solution shows its beginning, its end, and the lines around the tokens that matter", () => {
  const folds = foldsOf(2000, lines(2000, 10), [1000], []);
  assert.deepEqual(folds, [[120, 990], [1020, 1920]]);
  assert.equal(foldWords(folds[0], lines(2000, 10)), "⋯ 870 tokens, 87 lines");
});

test("what was opened stays open, and folds never hold a kept token", () => {
  assert.deepEqual(foldsOf(2000, lines(2000, 10), [1000], [[120, 990]]), [[1020, 1920]]);
  for (const kept of [0, 119, 120, 500, 1919, 1999]) {
    assert.ok(!foldsOf(2000, lines(2000, 7), [kept], []).some(([from, to]) => from <= kept && kept < to), kept);
  }
});

test("prose without a line break is folded all the same, in stretches", () => {
  assert.deepEqual(blockStarts(200, [0]), [0, 80, 160]);
  assert.deepEqual(foldsOf(2000, [0], [], []), [[80, 1920]]);
  assert.equal(foldWords([80, 1920], [0]), "⋯ 1840 tokens");
});

test("few columns are shown at once, the token's among them", () => {
  assert.deepEqual(pageOf(10, 60), [0, 60]);
  assert.deepEqual(pageOf(100, 2000), [96, 144]);
  assert.deepEqual(pageOf(1999, 2000), [1968, 2000]);
  assert.equal(columnWidths(["a", " basket", "x".repeat(80)], 10), "17px 76px 140px");
});

// A document that keeps what is made, as far as a label needs it.
function drawn(data, width) {
  const made = () => ({
    attributes: {}, text: "",
    setAttribute(name, value) { this.attributes[name] = value; },
    append(...parts) { this.text += parts.join(""); },
  });
  globalThis.document = { createElementNS: made };
  return tokenNames(data, (t) => (width * t) / data.text.length, 20);
}

test("columns are named by their tokens where these fit, by numbers where they do not", () => {
  const characters = drawn({ text: [..."9+2;11."], first_wrong: 4 }, 140);
  assert.deepEqual(characters.map((l) => l.text), [..."9+2;11."]);
  assert.equal(characters[4].attributes.class, "curve-token curve-wrong");
  const words = drawn({ text: Array.from({ length: 400 }, (_, t) => ` word${t}`), first_wrong: 210 }, 800);
  assert.deepEqual(words.map((l) => l.text), ["word210", "token 0", "50", "100", "150", "250", "300", "350"]);
});

test("a character that is cut into bytes is named once, over its tokens", () => {
  const text = ["<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "!", "<0xC3>"];
  const names = drawn({ text, units: [[0, 4, "🙂"]], first_wrong: null }, 120);
  assert.deepEqual(names.map((l) => [l.text, l.attributes.x]), [["🙂", 40], ["!", 90], ["·", 110]]);
});
