// The core in a page. openCore(core.wasm, compiled) resolves to ask(request, document): `request` is an object with one
// key, `document` the text or bytes that a request to load reads, and the answer an object with `answer` or `error`,
// or the result of `read` on its text. docs/interface.md has the requests.
async function openCore(compiled, read = JSON.parse) {
  const instance = await WebAssembly.instantiate(compiled, { env: { emscripten_notify_memory_growth() {} } });
  const core = instance.exports;
  core._initialize();
  const writer = new TextEncoder();
  const reader = new TextDecoder();
  // Memory may grow, and move, in each call: views are made when they are used.
  const written = (text) => {
    const bytes = typeof text === "string" ? writer.encode(text) : text;
    const at = core.infercost_allocate(bytes.length || 1);
    if (!at) throw new Error("the memory is full");
    new Uint8Array(core.memory.buffer, at, bytes.length).set(bytes);
    return [at, bytes.length];
  };
  return (request, document = "") => {
    const texts = [JSON.stringify(request), document].map(written);
    const at = core.infercost_answer(...texts.flat());
    for (const [text] of texts) core.infercost_free(text);
    if (!at) throw new Error("the memory is full");
    return read(reader.decode(new Uint8Array(core.memory.buffer, at, core.infercost_length())));
  };
}
