// Reads GGUF files as a page does, with the core under node: read_gguf.mjs ASSETS < paths > answers.
// The paths are a list in JSON; a line of each answer is JSON: {phases} or {refused}, and the bytes that were read.
import { openAsBlob, readFileSync } from "node:fs";
import { basename } from "node:path";
import { inflateSync } from "node:zlib";

const [folder] = process.argv.slice(2);
const scripts = ["numbers", "core", "setup", "drop"].map((name) => readFileSync(`${folder}/${name}.js`, "utf8"));
const page = new Function(`class Refused extends Error {}\n${scripts.join("\n")}
return { openCore, phasesOfFile, Refused };`)();
const core = await page.openCore(await WebAssembly.compile(inflateSync(readFileSync(`${folder}/core.wasm.zz`))));
const ask = async (name, fields, document) => {
  const { answer, error } = core({ [name]: fields }, document);
  if (error) throw new page.Refused(error.message);
  return answer;
};

for (const path of JSON.parse(readFileSync(0, "utf8"))) {
  const blob = await openAsBlob(path);
  let read = 0;
  const file = {
    name: basename(path),
    size: blob.size,
    slice(from, to) {
      read += Math.min(to, blob.size) - from;
      return blob.slice(from, to);
    },
  };
  const begin = performance.now();
  const out = {};
  try {
    const phases = await page.phasesOfFile(file, ask);
    out.phases = phases.map(({ name, sizes }) => ({ name, sizes }));
  } catch (error) {
    if (!(error instanceof page.Refused)) throw error;
    out.refused = error.message;
  }
  process.stdout.write(`${JSON.stringify({ ...out, ms: performance.now() - begin, read })}\n`);
}
