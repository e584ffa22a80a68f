// A symbol as it is typeset in a formula: a letter, with an index where it has one.

import { element } from "../shared/elements.js";

export function v(letter, index) {
  const symbol = element("i", "", letter);
  return index === undefined ? symbol : element("span", "", symbol, element("sub", "", String(index)));
}
