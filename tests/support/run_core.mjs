// Gives requests to the WebAssembly core under node: run_core.mjs ASSETS < requests > answers.
// A line of a request is JSON, [request, document], and one of an answer its text. With --time, lines are milliseconds.
import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";

const [folder, mode] = process.argv.slice(2);
const openCore = new Function(`${readFileSync(`${folder}/core.js`, "utf8")}\nreturn openCore;`)();
const compiled = await WebAssembly.compile(inflateSync(readFileSync(`${folder}/core.wasm.zz`)));
const ask = await openCore(compiled, (text) => text);
const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
const out = [];
for (const line of lines) {
  const [request, document] = JSON.parse(line);
  const begin = performance.now();
  const answer = ask(request, document);
  const spent = performance.now() - begin;
  out.push(mode === "--time" ? String(spent) : answer);
}
process.stdout.write(out.join("\n") + "\n");
