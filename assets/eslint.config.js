// Lint of the scripts: what a browser would only tell on the page. Run by `npm --prefix assets run lint`.
import globals from "globals";

const rules = {
  "no-undef": "error",
  "no-unused-vars": ["error", { args: "after-used", caughtErrors: "none", ignoreRestSiblings: true }],
  "no-use-before-define": "off",
  "no-redeclare": "error",
  "no-const-assign": "error",
  "no-dupe-keys": "error",
  "no-dupe-args": "error",
  "no-dupe-else-if": "error",
  "no-duplicate-imports": "error",
  "no-import-assign": "error",
  "no-self-assign": "error",
  "no-unreachable": "error",
  "no-unsafe-negation": "error",
  "no-unsafe-optional-chaining": "error",
  "no-unexpected-multiline": "error",
  "no-var": "error",
  "prefer-const": ["error", { destructuring: "all" }],
  "use-isnan": "error",
  "valid-typeof": "error",
  "max-len": ["error", 132],
  eqeqeq: ["error", "always", { null: "ignore" }],
  // Text of models and files reaches the page through textContent alone.
  "no-restricted-properties": [
    "error", ...["innerHTML", "outerHTML", "insertAdjacentHTML", "write"].map((property) => ({ property })),
  ],
  "no-eval": "error",
  "no-implied-eval": "error",
  "no-new-func": "error",
};

export default [
  { files: ["assets/components/**/*.js"], languageOptions: { globals: globals.browser }, rules },
  { files: ["assets/*.js", "tests/js/*.mjs"], languageOptions: { globals: globals.node }, rules },
];
