// The course's progress in the browser's own storage.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import store from "../../assets/components/browser_store/browser_store.js";

const METHODS = {
  getItem(name) { return Object.hasOwn(this, name) ? this[name] : null; },
  setItem(name, text) { this[name] = text; },
  removeItem(name) { delete this[name]; },
};

beforeEach(() => { globalThis.localStorage = Object.create(METHODS); });

function opened(data, parentElement = {}) {
  const told = [];
  store({ parentElement, data: data && [data], setStateValue: (...said) => told.push(said) });
  return told;
}

test("what was changed is written under a name of the course, and null removes it", () => {
  opened({ changes: { one: { done: true }, two: { done: false } }, is_known: true });
  opened({ changes: { two: null }, is_known: true });
  assert.deepEqual({ ...localStorage }, { "vimpo-lab.course.one": '{"done":true}' });
});

test("Python is told once what was there, of the course alone, and not what is no record", () => {
  Object.assign(localStorage, { "vimpo-lab.course.one": '{"done":true}', "vimpo-lab.course.bad": "{", other: "1" });
  const place = {};
  assert.deepEqual(opened({ changes: {}, is_known: false }, place), [["held", { one: { done: true } }]]);
  assert.deepEqual(opened({ changes: {}, is_known: false }, place), []);
  assert.deepEqual(opened({ changes: {}, is_known: true }), []);
  assert.deepEqual(opened(undefined), []);
});

test("a browser that refuses storage is told from no error", () => {
  globalThis.localStorage = new Proxy({}, {
    get() { throw new Error("refused"); },
    ownKeys() { throw new Error("refused"); },
  });
  assert.deepEqual(opened({ changes: { one: {} }, is_known: false }), [["held", {}]]);
});
