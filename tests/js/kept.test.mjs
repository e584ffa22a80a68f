// Sliders of Start and chapter 1 as they were left.

import assert from "node:assert/strict";
import { test } from "node:test";

import { keep, kept } from "../../assets/components/credit_rows/kept.js";

const SOLUTION = { text: ["1", "+"], beta: 0.1, gae_lambda: 1 };
const PLACES = { lambda: 30, beta: 50, other: true };

test("a solution's places are found again on its page, and no other's", () => {
  const held = {};
  globalThis.location = { pathname: "/" };
  globalThis.sessionStorage = { getItem: (name) => held[name] ?? null, setItem: (name, text) => { held[name] = text; } };
  assert.equal(kept(SOLUTION), null);
  keep(SOLUTION, PLACES);
  assert.deepEqual(kept({ ...SOLUTION, more: ["rows"] }), PLACES);
  assert.equal(kept({ ...SOLUTION, beta: 0.3 }), null);
  held[Object.keys(held)[0]] = '{"lambda":"<b>","beta":50,"other":true}';
  assert.equal(kept(SOLUTION), null);
});

test("a browser that refuses storage keeps nothing and says no error", () => {
  globalThis.sessionStorage = { getItem() { throw new Error("refused"); }, setItem() { throw new Error("refused"); } };
  keep(SOLUTION, PLACES);
  assert.equal(kept(SOLUTION), null);
});
