// Makes machines of device files as a page does: own_machines.mjs ASSETS < document > answers.
// The document has `setup` and `catalog` of a page, and `files`: [name, text, size].
// A line of each answer is JSON: {own} or {refused}.
import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";

const [folder] = process.argv.slice(2);
const unpacked = (name) => inflateSync(readFileSync(`${folder}/${name}.zz`));
const scripts = ["numbers", "core", "setup", "own_machine"].map((name) => readFileSync(`${folder}/${name}.js`, "utf8"));
const script = [unpacked("toml.js").toString(), ...scripts].join("\n");
const page = new Function(`class Refused extends Error {}\n${script}
return { catalogOf, takeMachine, openCore, Refused, set: (setup) => { SETUP = setup; } };`)();
const core = await page.openCore(await WebAssembly.compile(unpacked("core.wasm")));
const ask = async (name, fields, document) => {
  const { answer, error } = core({ [name]: fields }, document);
  if (error) throw new page.Refused(error.message);
  return answer;
};
const { setup, catalog, files } = JSON.parse(readFileSync(0, "utf8"));
const machines = page.catalogOf(catalog).map(({ machine, terms }) => ({
  machine,
  id: machine.id,
  name: machine.name,
  kind: machine.kind,
  terms,
}));
for (const [name, text, size] of files) {
  const known = [...machines];
  page.set({ own_machines: setup, machines: known, machineOf: new Map(known.map((each) => [each.id, each])) });
  const begin = performance.now();
  let answer = null;
  try {
    const own = await page.takeMachine({ name, size: size ?? text.length, text: async () => text }, ask);
    answer = { own };
  } catch (error) {
    if (!(error instanceof page.Refused)) throw error;
    answer = { refused: error.message };
  }
  process.stdout.write(`${JSON.stringify({ ...answer, ms: performance.now() - begin })}\n`);
}
