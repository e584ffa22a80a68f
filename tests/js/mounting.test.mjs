// Selection between browser and Python, and a script that fails.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { followPython, mountView, reportSoon } from "../../assets/components/shared/mounting.js";

test("Python is followed when it says something new, not when it answers an older click", () => {
  const view = { token: 2, fromPython: {}, reported: {}, unanswered: {} };
  const follow = (value, isNew = false) => (view.token = followPython(view, "token", value, isNew));
  assert.equal(follow(5, true), 5);
  view.token = 7;
  assert.equal(follow(5), 7); // the same again: chosen in the browser meanwhile
  view.reported = { token: 7 };
  view.token = 9;
  assert.equal(follow(7), 9); // the answer to what was reported before
  assert.equal(follow(3), 3); // a link
  assert.equal(follow(3, true), 3); // other data: whatever it says
});

test("the answer to an older report, come after a newer one was sent, pulls nothing back", () => {
  const view = { token: 9, fromPython: { token: 1 }, reported: { token: 8 }, unanswered: { token: [5, 7, 8] } };
  const follow = (value) => (view.token = followPython(view, "token", value, false));
  assert.equal(follow(5), 9);
  assert.equal(follow(8), 9); // Python passes over what was overtaken
  assert.deepEqual(view.unanswered.token, []);
  assert.equal(follow(5), 5); // said anew, of its own accord
});

test("only the last selection is reported, as it is when the time comes", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const told = [];
  const view = { timer: 0, reported: {}, unanswered: {}, token: 1, report: (value) => told.push(value) };
  for (const token of [2, 3]) {
    view.token = token;
    reportSoon(view, () => ({ token: view.token }));
    mock.timers.tick(100);
  }
  view.token = 4;
  mock.timers.tick(49);
  assert.deepEqual(told, []);
  mock.timers.tick(1);
  mock.timers.reset();
  assert.deepEqual([told, view.reported], [[{ token: 4 }], { token: 4 }]);
});

test("a view is made once for its element, given data whenever it comes, and made anew after it left", () => {
  const root = { querySelector: (inside) => `found ${inside}` };
  const said = [];
  const create = (view) => said.push(["create", view.at(".plot")]);
  const update = (view, data) => {
    said.push(["update", data]);
    view.leave = () => said.push(["leave"]);
    view.report("chosen");
  };
  const component = (data) => ({
    data: data && [data], parentElement: { querySelector: (selector) => (selector === ".it" ? root : null) },
    setStateValue: (...told) => said.push(told),
  });
  const mount = (data, report) => mountView(component(data), ".it", create, update, report);
  assert.equal(mount(undefined), undefined);
  mount("a");
  const leave = mount("b", "token");
  leave();
  mount("c", (value) => said.push(["own", value]));
  assert.deepEqual(said, [
    ["create", "found .plot"], ["update", "a"], ["view", "chosen"], ["update", "b"], ["token", "chosen"], ["leave"],
    ["create", "found .plot"], ["update", "c"], ["own", "chosen"],
  ]);
});

function fakePage() {
  const page = { listeners: {}, reported: [] };
  const node = () => ({
    style: {},
    setAttribute() {},
    remove() { this.parent.children = this.parent.children.filter((child) => child !== this); },
  });
  page.parent = () => ({
    children: [],
    isConnected: true,
    prepend(child) {
      child.parent = this;
      this.children.unshift(child);
    },
  });
  Object.assign(globalThis, {
    window: { addEventListener: (name, listener) => { page.listeners[name] = listener; } },
    document: { createElement: node }, reportError: (error) => page.reported.push(error),
  });
  return page;
}

test("a script that fails says so in its place, once, and the page hears of it; when it works again the words go", async () => {
  const page = fakePage();
  const { guarded } = await import("../../assets/components/shared/guard.js");
  const [parent, other] = [page.parent(), page.parent()];
  let isBroken = true;
  const draw = guarded(() => {
    if (isBroken) throw new Error("broken on purpose");
  });
  draw({ parentElement: parent });
  draw({ parentElement: parent });
  const said = "This could not be drawn: broken on purpose. The numbers are safe; reload the page.";
  assert.deepEqual(parent.children.map((box) => box.textContent), [said]);
  assert.equal(page.reported.length, 2);
  assert.deepEqual(other.children, []);
  isBroken = false;
  const leave = draw({ parentElement: parent });
  assert.deepEqual(parent.children, []);
  const late = new Error("in a frame");
  late.stack = "Error: in a frame\n    at https://elsewhere.example/page.js:1:1";
  page.listeners.error({ error: late });
  assert.deepEqual(parent.children, []); // the page's own
  const own = new Error("in a frame");
  own.stack = `Error: in a frame\n    at ${new URL("../../assets/components/shared/guard.js", import.meta.url).href}:9:9`;
  page.listeners.error({ error: own });
  assert.equal(parent.children.length, 1);
  parent.isConnected = false;
  leave();
  parent.children.length = 0;
  page.listeners.error({ error: own });
  assert.deepEqual(parent.children, []);
});

test("data that comes late, after newer data was drawn, does not stay; the view lives on until its element is gone", async () => {
  const page = fakePage();
  const { guarded } = await import("../../assets/components/shared/guard.js");
  const parent = page.parent();
  const [drawn, left] = [[], []];
  const draw = guarded(({ data }) => {
    drawn.push(data);
    return () => left.push(data);
  });
  const call = (data) => draw({ parentElement: parent, data });
  call("16 tries");
  call("256 tries");
  const overtaken = call("64 tries"); // asked for before, answered after
  overtaken();
  assert.deepEqual(drawn, ["16 tries", "256 tries", "64 tries", "256 tries"]);
  const early = call("1,024 tries");
  const newest = call("4,096 tries");
  early(); // overtaken in the order that it was asked: nothing to mend
  assert.equal(drawn.at(-1), "4,096 tries");
  assert.equal(drawn.length, 6);
  assert.deepEqual(left, []);
  parent.isConnected = false;
  newest();
  assert.deepEqual(left, ["4,096 tries"]);
});
