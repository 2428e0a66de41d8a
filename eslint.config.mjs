import { readdirSync, readFileSync } from "node:fs";

import js from "@eslint/js";
import globals from "globals";

const ASSETS = "pyinfercost/report/html/assets";

/* Scripts of a page are joined in one function: a declaration at the top level of one is visible in the others. */
const DECLARATION = /^(?:const|let|class|(?:async )?function) (?:\{([^}]*)\}|(\w+))/gm;
const shared = readdirSync(ASSETS)
  .filter((name) => name.endsWith(".js"))
  .flatMap((name) => [...readFileSync(`${ASSETS}/${name}`, "utf8").matchAll(DECLARATION)])
  .flatMap(([, several, one]) => (several ? several.split(",").map((name) => name.trim()) : [one]));
const given = ["PER_TOKENS", "SHORT_DTYPES", "TOML", "uPlot"];
const joined = Object.fromEntries([...shared, ...given].map((name) => [name, "writable"]));

export default [
  js.configs.recommended,
  {
    rules: {
      eqeqeq: "error",
      "max-len": ["error", { code: 120 }],
      "no-unused-vars": ["error", { vars: "local" }],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  {
    files: [`${ASSETS}/*.js`],
    languageOptions: { sourceType: "script", globals: { ...globals.browser, ...joined } },
    rules: { "no-redeclare": "off" },
  },
  {
    files: [`${ASSETS}/data.js`] /* it awaits at its top level */,
    languageOptions: { sourceType: "module" },
    rules: { "no-unused-vars": "off" },
  },
  { files: ["tests/support/*.{js,mjs}"], languageOptions: { globals: globals.node } },
  { files: ["tests/support/*.js"], languageOptions: { sourceType: "commonjs" } },
  { ignores: ["build/", "docs/"] },
];
