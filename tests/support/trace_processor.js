// node trace_processor.js FOLDER < requests > replies
//
// Perfetto's trace processor outside a browser: FOLDER has `engine_bundle.js` and `trace_processor*.wasm` of its page,
// which expect to run in a worker. Requests and replies are streams of its RPC.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const folder = process.argv[2];
const say = (...words) => process.stderr.write(words.join(" ") + "\n");
const file = (name) => new Uint8Array(fs.readFileSync(path.join(folder, path.basename(String(name))))).buffer;
const worker = {
  WorkerGlobalScope: function () {},
  importScripts: () => {},
  location: { href: "http://nowhere/engine_bundle.js" },
  fetch: async (name) => ({ ok: true, arrayBuffer: async () => file(name) }),
  XMLHttpRequest: class {
    open(method, name) {
      this.name = name;
    }
    send() {
      this.status = 200;
      this.response = file(this.name);
    }
  },
  console: { log: say, warn: say, error: say },
  TextDecoder,
  TextEncoder,
  URL,
  performance,
  crypto,
  setTimeout,
  clearTimeout,
  Uint8Array,
};
worker.self = worker;
vm.createContext(worker);
vm.runInContext(fs.readFileSync(path.join(folder, "engine_bundle.js"), "utf8"), worker);

const port = { postMessage: (reply) => fs.writeSync(1, Buffer.from(reply)) };
const requests = new Uint8Array(fs.readFileSync(0));
const ask = (tries) => {
  try {
    if (!port.onmessage) worker.onmessage({ data: port });
    port.onmessage({ data: requests });
  } catch (error) {
    if (!tries) throw error;
    setTimeout(() => ask(tries - 1), 100); // the wasm is still being compiled
  }
};
setTimeout(() => ask(300), 100);
