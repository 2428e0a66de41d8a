// Reads GGUF files with the page's own script under node: read_gguf.mjs gguf_header.js < request > answers.
// The request is JSON: { tables, files: [path, ...] }; a line of each file is JSON: its figures and the documents of
// its decoder, or the sentence that it is refused with.
import { openAsBlob, readFileSync } from "node:fs";
import { basename } from "node:path";

const script = readFileSync(process.argv[2], "utf8");
const { readGgufHeader, ggufDecoder, GgufError } = new Function(
  `${script}\nreturn { readGgufHeader, ggufDecoder, GgufError };`,
)();
const { tables, files } = JSON.parse(readFileSync(0, "utf8"));

function refused(error) {
  if (!(error instanceof GgufError)) throw error;
  return error.message;
}

for (const path of files) {
  const blob = await openAsBlob(path);
  let read = 0;
  const file = {
    name: basename(path),
    size: blob.size,
    slice(from, to) {
      read += to - from;
      return blob.slice(from, to);
    },
  };
  const begin = performance.now();
  const out = {};
  try {
    const header = await readGgufHeader(file, tables);
    Object.assign(out, {
      architecture: header.architecture,
      name: header.name,
      bytes: header.bytes,
      parameters: header.parameters,
      tensors: [...header.tensors.values()].map(({ name, shape, type, bytes }) => [name, shape, type, bytes]),
      settings: Object.fromEntries([...header.settings].map(([key, value]) => [key, value])),
    });
    try {
      for (const phase of ["decode", "prefill"]) out[phase] = ggufDecoder(header, tables, phase);
    } catch (error) {
      out.refused = refused(error);
    }
  } catch (error) {
    out.error = refused(error);
  }
  process.stdout.write(`${JSON.stringify({ ...out, ms: performance.now() - begin, read })}\n`);
}
