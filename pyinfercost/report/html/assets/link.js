/* The core runs in workers, so that the page answers while it computes. */
async function unpacked(packed) {
  const bytes = Uint8Array.from(atob(packed.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
const unpackedText = async (packed) => new TextDecoder().decode(await unpacked(packed));

/* The program of a worker: the first message has the compiled core, each other one a request. */
function coreWorker() {
  let opened = null;
  self.onmessage = async ({ data }) => {
    const { id, compiled, request, document } = data;
    try {
      if (compiled) opened = openCore(compiled, (text) => text);
      const ask = await opened;
      self.postMessage({ id, text: request ? ask(request, document) : "" });
    } catch (error) {
      self.postMessage({ id, failure: String(error.message || error) });
    }
  };
}

/* What the core refuses, in its words. */
class Refused extends Error {}

/* A core in a worker of its own: ask(name, fields, document) resolves to the answer, or throws what is wrong with it;
   end() stops it. */
async function startCore(compiled) {
  const source = `${openCore}\n(${coreWorker})();`;
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(address);
  const waiting = new Map();
  let last = 0;
  worker.onmessage = ({ data }) => {
    const { done, fail } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.failure) fail(new Error(data.failure));
    else done(data.text);
  };
  const failed = (event) => {
    for (const { fail } of waiting.values()) fail(new Error(event.message || "the worker of the core cannot start"));
    waiting.clear();
  };
  worker.onerror = failed;
  const send = (message) =>
    new Promise((done, fail) => {
      last += 1;
      waiting.set(last, { done, fail });
      worker.postMessage({ ...message, id: last });
    });
  await send({ compiled });
  URL.revokeObjectURL(address);
  const ask = async (name, fields, document = "") => {
    const { answer, error } = JSON.parse(await send({ request: { [name]: fields }, document }));
    if (error) throw new Refused(error.message);
    return answer;
  };
  return { ask, end: () => worker.terminate() };
}
