/* What the core needs to estimate any point: machines, graphs, and the choices that there are. */
let SETUP = null; // eslint-disable-line prefer-const -- main.js assigns it

/* Operations that the loader of machines makes with constants in clocks; the page stores the clocks. */
const OF_CLOCKS = [
  (value) => value,
  (clocks, hz) => clocks * (1 / hz),
  (clocks, hz) => clocks / hz,
  (clocks, hz) => 1 / (clocks * hz),
];

/* Machines are stored by columns, as catalog_pack.py writes them. */
function catalogOf({ count, paths, columns }) {
  const entries = Array.from({ length: count }, () => ({}));
  const write = (entry, path, value) => {
    let at = entry;
    for (const key of path.slice(0, -1)) at = at[key] ??= {};
    at[path[path.length - 1]] = value;
  };
  const cells = ([values, runs]) => {
    const found = [];
    for (let at = 0; at < runs.length; at += 2)
      for (let times = runs[at + 1]; times > 0; times--) found.push(runs[at] < 0 ? undefined : values[runs[at]]);
    return found;
  };
  const clocks = cells(columns[paths.findIndex((path) => path.join(".") === "machine.clock_hz")]);
  paths.forEach((path, at) => {
    const made = OF_CLOCKS[columns[at][2]];
    cells(columns[at]).forEach((value, row) => {
      if (value !== undefined)
        write(entries[row], path, value === null || value === 0 ? value : made(value, clocks[row]));
    });
  });
  return entries;
}

/* The JSON text of a graph whose tensors are relative, as packed_graphs.py writes them. */
function unpackedGraph(text) {
  const graph = JSON.parse(text);
  const made = [];
  const read = {};
  const firstOf = {};
  const modules = [];
  for (let i = 0; i < graph.modules.length; i += 2)
    modules.push((modules.length ? modules[modules.length - 1] : "").slice(0, graph.modules[i]) + graph.modules[i + 1]);
  delete graph.modules;
  let place = 0;
  for (const node of graph.nodes) {
    const absolute = (at, name) => {
      if (at === null) return null;
      if (typeof at === "number") return made[made.length - at];
      const [role, number] = [at[0], Number(at.slice(1))];
      if (role === "@") return made[number];
      const key = role + name;
      read[key] = (read[key] || 0) + number;
      return read[key];
    };
    for (const [name, argument] of Object.entries(node.args || {})) {
      if (argument === null) continue;
      if (argument[0] === "tensor") argument[1] = absolute(argument[1], name);
      else if (argument[0] === "tensors") argument[1] = argument[1].map((at) => absolute(at, name));
    }
    const before = firstOf[node.op] || 0;
    node.outputs = node.outputs.map((step) => before + step);
    if (node.outputs.length) firstOf[node.op] = node.outputs[0];
    made.push(...node.outputs);
    if ("module" in node) {
      place += node.module;
      node.module = modules[place];
    }
  }
  place = 0;
  for (const tensor of graph.tensors) {
    if (!Array.isArray(tensor.name)) continue;
    place += tensor.name[0];
    tensor.name = `${modules[place]}.${tensor.name[1]}`;
  }
  let at = 0;
  graph.held_until = graph.held_until.map((step) => {
    if (step === null) return null;
    at += step;
    return at;
  });
  if (!graph.held_until.length) delete graph.held_until;
  return JSON.stringify(graph);
}

/* What a machine can be rented as: an instance, the place of which some costs depend on. */
const offerOf = ([usd_per_h, devices, has_host, text, cloud, grid, pue]) => ({
  usd_per_h,
  devices,
  has_host,
  text,
  cloud,
  grid,
  pue,
});

async function readSetup() {
  const setup = JSON.parse(await unpackedText(byId("pyinfercost-setup").textContent));
  const entries = catalogOf(JSON.parse(await unpackedText(byId("pyinfercost-catalog").textContent)));
  const { own } = setup;
  if (own) {
    const at = entries.findIndex(({ machine }) => machine.id === own.machine.id);
    if (at < 0) entries.push(own);
    else entries[at] = own;
  }
  entries.sort(({ machine: { id: one } }, { machine: { id: other } }) => (one < other ? -1 : 1));
  setup.machines = entries.map(({ machine, terms, offers, price }, index) => ({
    index,
    machine,
    id: machine.id,
    name: machine.name,
    kind: machine.kind,
    terms,
    offers: offers.map(offerOf),
    price,
  }));
  for (const { sizes, guards } of setup.phases) for (const size of sizes) size.maximum = mostOf(size, guards);
  setup.machineOf = new Map(setup.machines.map((machine) => [machine.id, machine]));
  return setup;
}

/* The most that a size can be: its own maximum, or that of a comparison with a number that the capture made. (A capture
   begins at 2, which says nothing about 1.) */
function mostOf({ name, maximum }, guards) {
  let most = maximum;
  for (const [size, relation, text] of guards) {
    const bound = Number(text);
    if (size === name && Number.isInteger(bound) && (relation === "<" || relation === "<="))
      most = Math.min(most ?? Infinity, relation === "<" ? bound - 1 : bound);
  }
  return most;
}

/* How far sliders and charts of a size go: to its maximum, or else to the positions of the model; where neither is
   known, to `otherwise`. A number beyond the positions can still be typed: its figures are those of that work. */
function reachOf({ value, maximum, positions }, otherwise) {
  return Math.min(maximum ?? Infinity, Math.max(value, positions ?? otherwise));
}

/* ---- the state, which the address keeps ---- */
const chosenPhase = (state) => SETUP.phases.find((phase) => phase.name === state.phase);
const sizesOf = (state) => chosenPhase(state).sizes;
const prefixed = (name) => `size.${name}`;

/* The settings that the page began with; sizes of all phases have a key of their own. */
function startState() {
  const state = { ...SETUP.start, sizes: {} };
  for (const phase of SETUP.phases) for (const { name, value } of phase.sizes) state.sizes[name] ??= value;
  Object.assign(state.sizes, SETUP.start.sizes);
  return state;
}

/* Whether the point itself is the first one, whatever is asked of its server. */
const OF_POINT = [
  "phase",
  "machine",
  "format",
  "precision",
  "engine",
  "execution",
  "devices",
  "tensor",
  "pipeline",
  "expert",
  "usd_per_h",
  "utilization",
  "place",
  "bandwidth",
  "compute",
];
function isFirstPoint(state) {
  const start = startState();
  return (
    OF_POINT.every((key) => String(state[key]) === String(start[key])) &&
    sizesOf(state).every(({ name }) => state.sizes[name] === start.sizes[name])
  );
}

const NUMBERS = new Set([
  "devices",
  "tensor",
  "pipeline",
  "expert",
  "bandwidth",
  "compute",
  "usd_per_h",
  "utilization",
  "limit_s",
  "rate_per_s",
  "prompt",
  "output",
  "ttft_s",
  "tpot_s",
]);

function stateOfAddress() {
  const state = startState();
  for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
    const number = Number(text);
    if (key.startsWith("size.")) {
      if (Object.hasOwn(state.sizes, key.slice(5)) && Number.isInteger(number) && number >= 1)
        state.sizes[key.slice(5)] = number;
    } else if (NUMBERS.has(key)) {
      if (Number.isFinite(number) && number >= 0) state[key] = number;
    } else if (Object.hasOwn(state, key) && key !== "sizes") state[key] = text;
  }
  return allowed(state);
}

/* Choices that contradict each other, or that this page does not have, fall back to what there is. */
function allowed(state) {
  const start = startState();
  if (!SETUP.machineOf.has(state.machine)) state.machine = start.machine;
  const phase =
    SETUP.phases.find(({ name }) => name === state.phase) || SETUP.phases.find(({ name }) => name === start.phase);
  state.phase = phase.name;
  if (!phase.formats.includes(state.format)) state.format = "";
  if (!SETUP.precisions.includes(state.precision)) state.precision = start.precision;
  if (!Object.hasOwn(SETUP.engines, state.engine)) state.engine = start.engine;
  if (!SETUP.engines[state.engine].includes(state.execution)) [state.execution] = SETUP.engines[state.engine];
  if (state.place && !Object.hasOwn(SETUP.places, state.place)) state.place = "";
  for (const name of ["devices", "tensor", "pipeline", "expert"])
    state[name] = Math.max(1, Math.min(1024, Math.round(state[name] || 1)));
  if (state.devices % state.tensor) state.tensor = 1;
  if ((state.devices / state.tensor) % state.pipeline) state.pipeline = 1;
  if (state.tensor % state.expert) state.expert = 1;
  for (const name of ["bandwidth", "compute"]) state[name] = Math.max(0.25, Math.min(16, state[name] || 1));
  for (const [name, low, high] of [
    ["rate_per_s", 1e-3, 1e6],
    ["prompt", 1, 1e5],
    ["output", 1, 1e5],
    ["ttft_s", 1e-4, 1e4],
    ["tpot_s", 1e-5, 1e3],
  ])
    state[name] = Math.max(low, Math.min(high, state[name] || start[name]));
  if (state.usd_per_h !== "" && !(Number(state.usd_per_h) >= 0 && Number.isFinite(Number(state.usd_per_h))))
    state.usd_per_h = "";
  state.utilization = Math.max(0.001, Math.min(1, state.utilization || 1));
  for (const { name, minimum, maximum } of phase.sizes) {
    state.sizes[name] = Math.max(minimum, Math.min(maximum ?? 2 ** 30, Math.round(state.sizes[name])));
  }
  return state;
}

function addressOf(state) {
  const start = startState();
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (key !== "sizes" && String(value) !== String(start[key])) parts.set(key, value);
  }
  for (const [name, value] of Object.entries(state.sizes))
    if (value !== start.sizes[name]) parts.set(prefixed(name), value);
  return parts.toString();
}
