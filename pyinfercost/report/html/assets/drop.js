/* A model that is dropped on the page: the JSON of a graph, the config of a decoder, or the header of a GGUF file.
   Nothing leaves the page. */
const LARGEST_JSON = 20e6;
const FIRST_BYTES = 2 ** 20; /* of a GGUF file; vocabularies make headers several times as long */
const LARGEST_HEADER = 2 ** 28;
const HINTS = {
  onnx: "ONNX files are read by the command line: pyinfercost explore model.onnx writes the page of it",
  pt2: "Archives of torch are read by the command line: pyinfercost explore model.pt2 writes the page of it",
  safetensors: "Weights alone say nothing of a model's graph; pyinfercost explore FOLDER reads its config.json, too",
  pt: "Pickles are not opened; export the model (torch.export.save) and run pyinfercost explore model.pt2",
  pth: "Pickles are not opened; export the model (torch.export.save) and run pyinfercost explore model.pt2",
  bin: "Pickles are not opened; pyinfercost explore FOLDER reads the config.json beside it",
};

const READ = "the config.json of a language model, a .gguf file, and the JSON of a graph";
/* Files that lie beside a config.json, by keys that they have. */
const OTHERS = [
  {
    keys: ["peft_type"],
    is: "describes an adapter; drop the config.json of its model, which costs the same once the adapter is merged",
  },
  { keys: ["weight_map"], is: "is the index of the files of weights; drop the config.json beside it" },
  { keys: ["added_tokens"], is: "is of a tokenizer; drop the config.json beside it" },
  { keys: ["tokenizer_class"], is: "is of a tokenizer; drop the config.json beside it" },
  { keys: ["image_processor_type"], is: "is of a processor of images; drop the config.json beside it" },
  { keys: ["_class_name"], is: "is of diffusers, which the command line reads: pyinfercost explore diffusers:FILE" },
  {
    keys: ["totals", "layers"],
    is: "is a profile, which has figures but not the graph; pyinfercost explore MODEL writes the page of its model",
  },
];

/* The phases of a file's model as `SETUP.phases` has them, each loaded once by a core. Errors are sentences. */
async function phasesOfFile(file, ask) {
  const ending = file.name.toLowerCase().split(".").pop();
  if (ending in HINTS) throw new Refused(HINTS[ending]);
  if (ending === "gguf") return phasesOfGguf(file, ask);
  if (file.size > LARGEST_JSON)
    throw new Refused(
      `${file.name} has ${quantity(file.size, "B")}; the JSON of a graph has less than ` +
        `${quantity(LARGEST_JSON, "B")}, and other files of models are read by the command line`,
    );
  if (!file.size) throw new Refused(`${file.name} is empty`);
  const begin = await file.slice(0, 64).text();
  if (!/^\s*\{/.test(begin)) throw new Refused(`${file.name} is none of the files that this page reads: ${READ}`);
  const text = await file.text();
  if (!/"tensors"\s*:/.test(text)) {
    const config = parsed(file.name, text);
    const other = OTHERS.find(({ keys }) => keys.every((key) => key in config));
    if (other && !("model_type" in config && other.keys[0] !== "peft_type"))
      throw new Refused(`${file.name} ${other.is}`);
    if ("model_type" in config) return phasesOfConfig(config, file.name, ask);
    if (!("schema_version" in config))
      throw new Refused(
        `${file.name} is JSON, but neither the config of a model, which has a model_type, nor a graph, ` +
          "which ic.capture(model, inputs).to_json() writes",
      );
  }
  const answer = await ask("load", { kind: "graph" }, text);
  const { guards = [] } = JSON.parse(text);
  const generates = /"role":\s*"kv_cache"/.test(text);
  const reads = Object.values(answer.sizes).some(({ role }) => role === "context");
  return [
    phaseOf(generates ? (reads ? "decode" : "prefill") : "forward", answer, generates, { kind: "graph", text }, guards),
  ];
}

const bothPhases = (ask, documentOf) =>
  Promise.all(
    ["prefill", "decode"].map(async (name) => {
      const text = JSON.stringify(documentOf(name));
      return phaseOf(name, await ask("load", { kind: "decoder" }, text), true, { kind: "decoder", text }, []);
    }),
  );

function parsed(name, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Refused(`${name} is no complete JSON: ${error.message.replace(/\.$/, "")}`);
  }
}

async function phasesOfConfig(config, name, ask) {
  try {
    return Object.assign(await bothPhases(ask, (phase) => ({ config, phase })), { scheme: "hf:" });
  } catch (error) {
    const [, families] = /Families with a graph are ([\w, ]+)/.exec(error.message) || [];
    if (!families) throw error;
    throw new Refused(
      `${name} is the config of a model of the type ${config.model_type}. This page builds those of ` +
        `${families}; the page of yours is written where Python is: pyinfercost explore hf:FOLDER`,
    );
  }
}

/* The core reads the header from the first bytes of a file, and answers how many it needs where the header goes on. */
async function phasesOfGguf(file, ask) {
  let [bytes, begin] = [FIRST_BYTES, null];
  const load = async (phase) => {
    const source = { kind: "gguf", file: file.name, size: file.size, phase };
    for (;;) {
      begin ??= new Uint8Array(await file.slice(0, bytes).arrayBuffer());
      const answer = await ask("load", source, begin);
      if (answer.needs === undefined) return phaseOf(phase, answer, true, { ...source, text: begin }, []);
      if (answer.needs > LARGEST_HEADER)
        throw new Refused(`${file.name} has a header of more than ${quantity(LARGEST_HEADER, "B")}`);
      bytes = Math.max(2 * bytes, answer.needs);
      begin = null;
    }
  };
  return Object.assign([await load("prefill"), await load("decode")], { engine: "llamacpp" });
}

/* A phase of a model; the choices of its sizes are those of its graph. */
function phaseOf(name, { sizes }, splits, source, guards) {
  return {
    name,
    formats: [""],
    splits,
    source,
    fixed: {},
    of_data: {},
    guards,
    sizes: Object.entries(sizes)
      .filter(([, size]) => Number.isInteger(size.default))
      .map(([size, { default: value, minimum, maximum, role }]) => ({
        name: size,
        value,
        role: role || "",
        minimum: Number.isInteger(minimum) ? minimum : 1,
        maximum: mostOf({ name: size, maximum: Number.isInteger(maximum) ? maximum : null }, guards),
      })),
  };
}

function watchDrops(take) {
  const place = byId("drop");
  const input = element("input", { type: "file", "aria-label": "A file of a model" });
  const said = element("p", { class: "note", role: "status", id: "drop-said" });
  place.append(
    element(
      "label",
      {},
      "Drop a model here, or choose one: the ",
      element("code", {}, "config.json"),
      " of a language model, a ",
      element("code", {}, ".gguf"),
      " file, of which only the header is read, or the JSON of a graph (",
      element("code", {}, "Graph.to_json()"),
      "). ",
      input,
    ),
    said,
  );
  const read = async (file) => {
    said.textContent = `Reading ${file.name} ...`;
    said.classList.remove("bad");
    try {
      await take(file);
      said.textContent = "";
    } catch (error) {
      said.textContent =
        error instanceof Refused ? `${error.message}.` : `${file.name} cannot be read: ${error.message}`;
      said.classList.add("bad");
    }
    document.documentElement.dataset.dropped = file.name;
  };
  input.addEventListener("change", () => {
    if (input.files.length) read(input.files[0]);
  });
  for (const name of ["dragover", "dragenter"])
    document.addEventListener(name, (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
  document.addEventListener("dragleave", () => place.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    if (event.dataTransfer.files.length) read(event.dataTransfer.files[0]);
  });
}
