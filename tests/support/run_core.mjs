// Gives requests to the WebAssembly core under node: run_core.mjs core.wasm core.js < requests > answers.
// A line of each is JSON: [request, document] or an answer as its text. With --time, lines are milliseconds.
import { readFileSync } from "node:fs";

const [wasm, script, mode] = process.argv.slice(2);
const openCore = new Function(`${readFileSync(script, "utf8")}\nreturn openCore;`)();
const ask = await openCore(readFileSync(wasm));
const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
const out = [];
for (const line of lines) {
  const [request, document] = JSON.parse(line);
  const begin = performance.now();
  const answer = ask(request, document);
  const spent = performance.now() - begin;
  out.push(mode === "--time" ? String(spent) : JSON.stringify(answer));
}
process.stdout.write(out.join("\n") + "\n");
