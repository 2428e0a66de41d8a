/* Settings of the page: each control changes one key of the state. A new one has its default in `setup_document`
   (live_packs.py), its check in `allowed` of setup.js and its use in point.js. */
const ENGINE_NAMES = {
  torch: "PyTorch",
  vllm: "vLLM",
  sglang: "SGLang",
  trtllm: "TensorRT-LLM",
  llamacpp: "llama.cpp",
  tensorrt: "TensorRT",
  onnxruntime: "ONNX Runtime",
};
const EXECUTION_NAMES = {
  eager: "eager",
  compiled: "compiled",
  cuda_graph: "CUDA graph",
  "reduce-overhead": "compiled, CUDA graph",
};
const KIND_NAMES = { gpu: "GPUs", cpu: "CPUs", systolic: "Accelerators" };
const FORMAT_NAMES = {
  "": "as captured",
  int8_wo: "int8 weights",
  int4_wo: "int4 weights",
  fp8_dynamic: "fp8 weights and activations",
  int8_dynamic: "int8 weights and activations",
};
const SLIDER_STEPS = 400;

/* Numbers that divide a whole number, the largest first. */
const divisors = (number) =>
  Array.from({ length: number }, (_, at) => number - at).filter((each) => number % each === 0);
const withOwn = (values, own) => (values.includes(String(own)) ? values : [...values, String(own)]);

function makeControls(place, change, shownView) {
  let state = null;
  const syncs = [];
  const set = (key, value) => change({ ...state, [key]: value });

  /* A labeled control; `sync` shows the state in it. */
  function field(title, control, sync, more = null) {
    syncs.push(sync);
    return element("label", { class: "field" }, element("span", { class: "title" }, title), control, more);
  }
  /* `names` has the words of a value, or makes them; `write` returns the keys of the state that a value changes. */
  function choice(title, key, options, names = {}, write = (value) => ({ [key]: value }), read = () => state[key]) {
    const select = element("select", { name: key });
    select.addEventListener("change", () => change({ ...state, ...write(select.value) }));
    const sync = () => {
      const wanted = options().map((value) => [
        value,
        typeof names === "function" ? names(value) : (names[value] ?? value),
      ]);
      const shown = wanted.join("\n");
      if (select.dataset.options !== shown) {
        select.replaceChildren(...wanted.map(([value, words]) => element("option", { value }, words)));
        select.dataset.options = shown;
      }
      select.value = read();
    };
    const made = field(title, select, sync);
    syncs.push(() => {
      made.hidden = options().length < 2;
    });
    return made;
  }
  function machines() {
    const select = element("select", { name: "machine" });
    const groups = new Map();
    for (const machine of SETUP.machines) {
      const name = KIND_NAMES[machine.kind] || machine.kind;
      if (!groups.has(name)) groups.set(name, element("optgroup", { label: name }));
      groups.get(name).append(element("option", { value: machine.id }, machine.name));
    }
    select.append(...groups.values());
    select.addEventListener("change", () => change({ ...state, machine: select.value, usd_per_h: "" }));
    const own = ownMachineChooser(select, (id) => change({ ...state, machine: id, usd_per_h: "" }));
    return element(
      "div",
      {},
      field("Machine", select, () => {
        own.sync(state.machine);
        select.value = state.machine;
      }),
      own.parts,
    );
  }
  /* A slider with a number beside it; the slider is logarithmic where the range is wide. */
  function slider(title, { key, low, high, whole = false, unit = "", read, write }) {
    const wide = low > 0 && high / low > 50;
    const value = () => read();
    const toStep = (at) =>
      (wide ? Math.log(at / low) / Math.log(high / low) : (at - low) / (high - low)) * SLIDER_STEPS;
    const ofStep = (step) => {
      const share = step / SLIDER_STEPS;
      const at = wide ? low * (high / low) ** share : low + (high - low) * share;
      return whole ? Math.round(at) : Number(at.toPrecision(3));
    };
    const range = element("input", { type: "range", min: 0, max: SLIDER_STEPS, step: 1, "aria-label": title });
    const number = element("input", {
      type: "number",
      name: key,
      min: low,
      step: whole ? 1 : "any",
      "aria-label": `${title}, as a number`,
    });
    range.addEventListener("input", () => {
      let next = ofStep(Number(range.value));
      if (whole && next === value() && Number(range.value) > toStep(value()))
        next += 1; /* a key press moves small numbers, too */
      write(next);
    });
    number.addEventListener("change", () => {
      if (number.value !== "" && Number.isFinite(Number(number.value))) write(Number(number.value));
      else number.value = value();
    });
    const sync = () => {
      range.value = Math.round(Math.max(0, Math.min(SLIDER_STEPS, toStep(Math.max(value(), low)))));
      range.setAttribute("aria-valuetext", `${value()} ${unit}`.trim());
      if (document.activeElement !== number) number.value = value();
    };
    syncs.push(sync);
    return element(
      "div",
      { class: "field" },
      element("span", { class: "title" }, title),
      element("div", { class: "slide" }, range, number),
    );
  }
  const plain = (title, key, low, high, more = {}) =>
    slider(title, { key, low, high, read: () => state[key], write: (value) => set(key, value), ...more });

  function group(title, ...parts) {
    return element("fieldset", {}, element("legend", {}, title), ...parts.filter(Boolean));
  }

  function sizes() {
    const holder = element("div", {});
    let shown = "";
    syncs.push(
      () => {
        if (shown === state.phase) return;
        shown = state.phase;
        const before = syncs.length;
        const made = sizesOf(state).map((size) =>
          slider(size.name, {
            key: `size.${size.name}`,
            low: size.minimum,
            high: reachOf(size, { batch: 1024, context: 131072, sequence: 32768 }[size.role] ?? 4096),
            whole: true,
            read: () => state.sizes[size.name],
            write: (value) => change({ ...state, sizes: { ...state.sizes, [size.name]: value } }),
          }),
        );
        const own = syncs.splice(before);
        holder.sync = () => own.forEach((sync) => sync());
        holder.replaceChildren(...made);
      },
      () => holder.sync && holder.sync(),
    );
    return holder;
  }
  /* What is shown of the price is that of the point, since the cheapest offer depends on the devices. */
  let showPrice = () => {};
  function price() {
    const input = element("input", {
      type: "number",
      name: "usd_per_h",
      min: 0,
      step: "any",
      "aria-label": "Price of a device hour in USD",
    });
    input.addEventListener("change", () => set("usd_per_h", input.value));
    const said = element("small", {});
    showPrice = (cost, { usd_per_h: typed, devices }) => {
      if (typed === "") input.placeholder = cost === null ? "not known" : String(cost.price.usd_per_h);
      const words = cost === null ? "no price is known; type one" : typed === "" ? cost.price.text : "your price";
      said.textContent = [words, cost && typed === "" ? paidText(cost, devices) : ""].filter(Boolean).join(": ");
    };
    return field(
      "USD per device hour",
      input,
      () => {
        input.value = state.usd_per_h;
      },
      said,
    );
  }
  function places() {
    const select = element("select", { name: "place" });
    select.append(
      element("option", { value: "" }, "where the price is of"),
      ...Object.keys(SETUP.places).map((name) => element("option", { value: name }, name)),
    );
    select.addEventListener("change", () => set("place", select.value));
    return field("Grid", select, () => {
      select.value = state.place;
    });
  }

  const powers = () => ["1", "2", "4", "8", "16", "32"];
  const many = SETUP.phases.some(({ splits }) => splits);
  /* Devices of a language model share its layers at first: copies of it would hold no more of it. */
  const devicesOf = () =>
    choice(
      "Devices",
      "devices",
      () => withOwn(powers(), state.devices),
      {},
      (value) => ({ devices: Number(value), tensor: chosenPhase(state).splits ? Number(value) : 1, pipeline: 1 }),
    );
  /* How the model lies on them: each way in which they share layers, are stages of layers, or hold copies. */
  function layoutOf() {
    const ways = () => {
      const found = divisors(state.devices).flatMap((tensor) =>
        divisors(state.devices / tensor).map((pipeline) => `${tensor} ${pipeline}`),
      );
      return found.filter((way) => many || way.startsWith("1 ") || way === `${state.tensor} ${state.pipeline}`);
    };
    const words = (way) => {
      const [tensor, pipeline] = way.split(" ").map(Number);
      const copies = state.devices / tensor / pipeline;
      return (
        [
          tensor > 1 ? `${tensor} share each layer` : "",
          pipeline > 1 ? `${pipeline} stages` : "",
          copies > 1 ? `${copies} copies` : "",
        ]
          .filter(Boolean)
          .join(", ") || "one device"
      );
    };
    const write = (way) => {
      const [tensor, pipeline] = way.split(" ").map(Number);
      return { tensor, pipeline };
    };
    return choice("Their layout", "layout", ways, words, write, () => `${state.tensor} ${state.pipeline}`);
  }
  const restart = element("button", { type: "button" }, "As it began");
  restart.addEventListener("click", () => change(startState()));
  const copied = element("textarea", {
    id: "copied",
    readonly: true,
    hidden: true,
    rows: 5,
    "aria-label": "What was copied",
  });
  function copying(title, textOf) {
    const button = element("button", { type: "button" }, title);
    button.addEventListener("click", async () => {
      copied.value = textOf();
      copied.hidden = false;
      try {
        await navigator.clipboard.writeText(copied.value);
      } catch {
        copied.select();
      } /* a page of a file may not be allowed to */
    });
    return button;
  }
  place.replaceChildren(
    group(
      "Machine",
      machines(),
      devicesOf(),
      layoutOf(),
      choice("Groups of experts", "expert", () =>
        SETUP.experts ? powers().filter((n) => state.tensor % n === 0) : ["1"],
      ),
    ),
    group(
      "Model",
      choice("Phase", "phase", () => SETUP.phases.map(({ name }) => name)),
      choice("Weights", "format", () => SETUP.phases.find(({ name }) => name === state.phase).formats, FORMAT_NAMES),
      choice("Precision", "precision", () => SETUP.precisions),
      choice("Engine", "engine", () => Object.keys(SETUP.engines), ENGINE_NAMES),
      choice("Execution", "execution", () => SETUP.engines[state.engine], EXECUTION_NAMES),
      sizes(),
    ),
    group("Money", price(), plain("Share of paid time in use", "utilization", 0.01, 1), places()),
    group(
      "What would help",
      plain("Memory bandwidth, times", "bandwidth", 1, 4),
      plain("Arithmetic, times", "compute", 1, 4),
    ),
    element(
      "div",
      { class: "buttons" },
      restart,
      copying("Copy the command", () => commandOf(state, shownView().estimate.cost)),
      copying("Copy the JSON", () => documentText(shownView())),
    ),
    copied,
  );
  const shown = (next) => {
    state = next;
    for (const sync of syncs) sync();
  };
  return Object.assign(shown, { priced: (cost, asked) => showPrice(cost, asked) });
}

/* The JSON of a point, with the keys of `pyinfercost profile --format json` that the page knows. */
function documentText({ model, precision, sizes, totals, coverage, memory, layers, estimate }) {
  const keys = SETUP.estimate_keys.filter((key) => key in estimate);
  const rows = layers.map((layer) => Object.fromEntries(SETUP.layer_keys.map((key) => [key, layer[key]])));
  return JSON.stringify({
    model,
    precision,
    sizes,
    totals,
    coverage,
    memory,
    layers: rows,
    estimate: Object.fromEntries(keys.map((key) => [key, estimate[key]])),
  });
}

/* The layout as the command line reads it; empty for one device. */
function layoutText(state) {
  const parts = [
    ["tensor", state.tensor],
    ["pipeline", state.pipeline],
    ["expert", state.expert],
    ["data", state.devices / state.tensor / state.pipeline],
  ].filter(([, count]) => count > 1);
  return parts.map(([name, count]) => `${name}=${count}`).join(",");
}

/* How the command line is told devices and their price. */
function moneyOptions(state, cost) {
  const { price } = SETUP.machineOf.get(state.machine);
  const laid = state.devices > 1 ? ["--layout", layoutText(state)] : [];
  if (state.usd_per_h !== "") return [...laid, "--price", state.usd_per_h];
  return cost === null ? laid : [...laid, "--price", price];
}

/* The command line that gives the figures of a state, with its cost. */
function commandOf(state, cost) {
  const words = [
    "pyinfercost",
    "profile",
    SETUP.spec(state),
    "--hardware",
    SETUP.machineOf.get(state.machine).file ?? state.machine,
    "--precision",
    state.precision,
  ];
  const add = (option, value) => words.push(option, value);
  if (SETUP.host && state.machine === SETUP.start.machine) add("--host", SETUP.host); /* of the stored machine alone */
  if (state.engine !== "torch") add("--engine", state.engine);
  if (state.execution !== SETUP.engines[state.engine][0]) add("--execution", state.execution);
  if (state.format) add("--quantize", state.format);
  words.push(...moneyOptions(state, cost));
  if (state.utilization !== 1) add("--utilization", state.utilization);
  if (state.place) add("--region", state.place);
  for (const { name } of sizesOf(state)) add("--set", `${name}=${state.sizes[name]}`);
  return words
    .map(String)
    .map((word) => (/^[\w@%+=:,./#-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");
}
