// Makes machines of device files as a page does: own_machines.mjs ASSETS < document > answers.
// The document has `setup` and `catalog` of a page, and `files`: [name, text, id of a machine that the page lacks, or
// ""].
// A line of each answer is JSON: {own} or {refused}.
import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";

const [folder] = process.argv.slice(2);
const parser = inflateSync(readFileSync(`${folder}/toml.js.zz`)).toString();
const scripts = ["numbers", "setup", "own_machine"].map((name) => readFileSync(`${folder}/${name}.js`, "utf8"));
const script = [parser, ...scripts].join("\n");
const page = new Function(`class Refused extends Error {}\n${script}
return { catalogOf, ownMachine, takeMachine, Refused, set: (setup) => { SETUP = setup; } };`)();
const { setup, catalog, files } = JSON.parse(readFileSync(0, "utf8"));
const machines = page.catalogOf(catalog).map(({ machine, terms, usd_per_h, price }) => ({
  machine,
  id: machine.id,
  name: machine.name,
  kind: machine.kind,
  terms,
  usdPerH: usd_per_h,
  price,
}));
for (const [name, text, without, size] of files) {
  const known = machines.filter(({ id }) => id !== without);
  page.set({ own_machines: setup, machines: known, machineOf: new Map(known.map((each) => [each.id, each])) });
  const begin = performance.now();
  let answer = null;
  try {
    const own = await page.takeMachine({ name, size: size ?? text.length, text: async () => text });
    answer = { own };
  } catch (error) {
    if (!(error instanceof page.Refused)) throw error;
    answer = { refused: error.message };
  }
  process.stdout.write(`${JSON.stringify({ ...answer, ms: performance.now() - begin })}\n`);
}
