/* The machine of a reader: its device file becomes one more machine of the page. Constants of its family are those of
   a cataloged machine; facts of the file, and what is derived from both, follow hardware/loading.py. Nothing leaves
   the page. */
const LARGEST_TOML = 1e6;
const MACHINE_COMMAND = (file) => `pyinfercost explore MODEL --hardware ${file}`;

const factOf = (data, dotted) =>
  dotted
    .split(".")
    .reduce(
      (value, key) =>
        value !== null && typeof value === "object" && Object.hasOwn(value, key) ? value[key] : undefined,
      data,
    );
const isTable = (value) =>
  value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Date);
const quoted = (value) => {
  const text = JSON.stringify(value, (_, each) => (typeof each === "bigint" ? Number(each) : each)) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/* ---- the file ---- */

/* The content of a device file, checked as hardware/files.py checks it; numbers are of one type afterwards. */
function readMachineFile(name, text) {
  let data;
  try {
    data = TOML.parse(text, { integersAsBigInt: true });
  } catch (error) {
    const place = error.line ? ` in line ${error.line}` : "";
    throw new Refused(
      `${name} is no TOML${place}: ${String(error.message)
        .split("\n")[0]
        .replace(/^Invalid TOML document: /, "")
        .replace(/\.$/, "")}`,
    );
  }
  if (Object.hasOwn(data, "calibration"))
    throw new Refused(
      `${name} has constants of its own, [calibration], which the command line reads: ${MACHINE_COMMAND(name)}`,
    );
  checkTable(data, SETUP.own_machines.schema, name, "");
  const plain = (value) =>
    typeof value === "bigint"
      ? Number(value)
      : Array.isArray(value)
        ? value.map(plain)
        : isTable(value)
          ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
          : value;
  const found = plain(data);
  checkMachine(found, name);
  return found;
}

function checkTable(data, rules, name, prefix) {
  for (const [key, value] of Object.entries(data)) {
    if (!Object.hasOwn(rules, key))
      throw new Refused(
        `${name} has an unknown key ${quoted(prefix + key)}; valid here: ${Object.keys(rules).join(", ")}`,
      );
    const rule = rules[key];
    if (!rule.keys) checkValue(value, rule, name, prefix + key);
    else if (isTable(value)) checkTable(value, rule.keys, name, `${prefix}${key}.`);
    else throw new Refused(`${name}: ${prefix}${key} is ${quoted(value)}; expected a table`);
  }
  for (const [key, rule] of Object.entries(rules))
    if (rule.required && !Object.hasOwn(data, key))
      throw new Refused(
        `${name} does not give ${prefix}${key}, which every device file has; expected ${expectedOf(rule)}`,
      );
}

function checkValue(value, rule, name, key) {
  const many = rule.type.endsWith("s");
  const items = !many ? [value] : Array.isArray(value) ? value : [null];
  const [least, most] = SETUP.own_machines.plausible;
  for (const item of items) {
    if (!fits(item, rule)) throw new Refused(`${name}: ${key} is ${quoted(value)}; expected ${expectedOf(rule)}`);
    const size = typeof item === "number" || typeof item === "bigint" ? Math.abs(Number(item)) : 0;
    if (size !== 0 && (size < least || size > most))
      throw new Refused(`${name}: ${key} is ${quoted(value)}; expected 0, or ${least} to ${most}`);
  }
}

function fits(item, { type, low, high, above, choices }) {
  const one = type.replace(/s$/, "");
  if (one === "boolean") return typeof item === "boolean";
  if (one === "text") return typeof item === "string" && item.trim() !== "" && (!choices || choices.includes(item));
  if (typeof item !== "bigint" && (one === "integer" || typeof item !== "number")) return false;
  const number = Number(item);
  return (
    Number.isFinite(number) &&
    number >= (low ?? -Infinity) &&
    number <= (high ?? Infinity) &&
    (above === undefined || number > above)
  );
}

function expectedOf({ keys, type, low, high, choices }) {
  if (keys) return "a table";
  if (choices) return `one of ${choices.join(", ")}`;
  const words = {
    text: "a text",
    texts: "a list of texts",
    boolean: "true or false",
    integer: "an integer",
    integers: "a list of integers",
    number: "a number",
  }[type];
  return low === undefined && high === undefined
    ? words
    : low === high
      ? `${low}`
      : `${words} from ${low ?? "any"} to ${high ?? "any"}`;
}

/* What no key alone shows. */
function checkMachine(data, name) {
  const refuse = (text) => {
    throw new Refused(`${name}: ${text}`);
  };
  for (const key of ["id", "family"])
    if (!/^[a-z0-9][a-z0-9.+-]{0,99}$/.test(data[key]))
      refuse(`${key} is ${quoted(data[key])}; expected lower-case letters, digits, '-', '+' and '.', at most 100`);
  if (factOf(data, "compute.array") && data.kind !== "systolic")
    refuse(`[compute.array] is in a file of kind ${data.kind}; expected it only in systolic`);
  for (const level of SETUP.own_machines.levels) {
    const cache = factOf(data, `memory.${level}`);
    if (cache && (cache.capacity_kib_per_core === undefined) === (cache.capacity_mib === undefined))
      refuse(`[memory.${level}] needs either capacity_kib_per_core (private to a core) or capacity_mib (shared)`);
  }
  const dram = factOf(data, "memory.dram") || {};
  if (dram.usable_gib > (dram.capacity_gib ?? 0))
    refuse(
      `memory.dram.usable_gib is ${dram.usable_gib}; expected at most memory.dram.capacity_gib, ` +
        `${dram.capacity_gib ?? "which is missing"}`,
    );
  if (dram.usable_share !== undefined && (dram.capacity_gib === undefined || dram.usable_gib !== undefined))
    refuse("[memory.dram] has usable_share; expected it beside capacity_gib and without usable_gib");
  if (dram.channels && dram.transfer_mt_per_s && dram.bandwidth_gb_per_s) {
    const product =
      (dram.channels * ((dram.channel_bits ?? SETUP.own_machines.channel_bits) / 8) * dram.transfer_mt_per_s) / 1000;
    if (Math.abs(product / dram.bandwidth_gb_per_s - 1) > SETUP.own_machines.tolerance)
      refuse(
        `memory.dram.bandwidth_gb_per_s is ${dram.bandwidth_gb_per_s}; expected ${product}, which its ` +
          "channels have together",
      );
  }
  const gaps = [];
  if (factOf(data, "compute.cores") === undefined) gaps.push("compute.cores");
  if (!["matrix", "vector"].some((unit) => Object.keys(factOf(data, `compute.${unit}_tflop_per_s`) || {}).length))
    gaps.push("a peak rate (compute.matrix_tflop_per_s or compute.vector_tflop_per_s)");
  if (
    dram.bandwidth_gb_per_s === undefined &&
    !(factOf(data, "memory.scratchpad") && factOf(data, "link.host.bandwidth_gb_per_s") !== undefined)
  )
    gaps.push("a memory bandwidth (memory.dram.bandwidth_gb_per_s)");
  if (gaps.length) refuse(`estimates need ${gaps.join(", and ")}, which the file does not give`);
}

/* ---- its machine ---- */

/* The cataloged machine whose constants a file has: that of its id, or of its family the one with the most similar
   peak. */
function baseOf(data, name) {
  const { families, constants } = SETUP.own_machines;
  const cataloged = SETUP.machines.filter(
    ({ file, machine }) => !file && !machine.provenance.constants.startsWith("this device"),
  );
  const kin = cataloged.filter(({ machine }) => machine.family === data.family);
  if (!kin.length || !Object.hasOwn(constants, data.family)) {
    const known = Object.keys(constants).filter((family) =>
      cataloged.some(({ machine }) => machine.family === family && machine.kind === data.kind),
    );
    throw new Refused(
      families.includes(data.family)
        ? `${name}: no machine of the catalog is of the family ${data.family}, so that the page has no ` +
          `constants of it; the command line has them: ${MACHINE_COMMAND(name)}`
        : `${name}: family is ${quoted(data.family)}; expected one of ${known.join(", ")}`,
    );
  }
  if (kin[0].kind !== data.kind)
    throw new Refused(`${name}: the family ${data.family} is of kind ${kin[0].kind}, and the file says ${data.kind}`);
  const same = kin.find(({ id }) => id === data.id);
  if (same) return same;
  const most = (rates) => Math.max(0, ...Object.values(rates));
  const peak =
    most(factOf(data, "compute.matrix_tflop_per_s") || {}) * 1e12 ||
    most(factOf(data, "compute.vector_tflop_per_s") || {}) * 1e12;
  const distance = ({ machine }) =>
    Math.abs(Math.log((most(machine.matrix_flop_per_s) || most(machine.vector_flop_per_s)) / peak));
  return kin.reduce((best, each) => (distance(each) < distance(best) ? each : best));
}

/* The core's machine of a file, by core_arguments of hardware/loading.py. */
function machineOfFile(data, base) {
  const known = SETUP.own_machines.constants[data.family];
  const of = (dotted) => factOf(data, dotted);
  const cores = of("compute.cores");
  const clock = of("compute.clock_ghz") ? of("compute.clock_ghz") * 1e9 : known["assumed.clock_hz"];
  const made = structuredClone(base.machine);
  const sustained = made.constants["power.sustained"] === 1;
  for (const name of SETUP.own_machines.per_clock)
    if (made.constants[name]) made.constants[name] *= base.machine.clock_hz / clock;
  for (const name of Object.keys(made.constants))
    if (/^(link|library|power|energy)\./.test(name)) delete made.constants[name];
  for (const key of Object.keys(made.overheads_s)) {
    const fixed = known[`overheads.${key}_s`] ?? 0; /* the rest is in clocks */
    if (clock !== base.machine.clock_hz)
      made.overheads_s[key] = fixed + (made.overheads_s[key] - fixed) * (base.machine.clock_hz / clock);
  }
  const share = shareOfPeak(data);
  const matrix = ratesOf(of("compute.matrix_tflop_per_s"), share);
  const vector = ratesOf(of("compute.vector_tflop_per_s"), share);
  const perClock = known["assumed.vector_flop_per_clock_per_core"];
  if (!Object.keys(vector).length && perClock !== undefined) vector.float32 = perClock * cores * clock;
  made.achieved.dram = known["achieved.dram"];
  if (of("memory.dram.inline_ecc")) made.achieved.dram *= known["stream.inline_ecc"] ?? 1;
  const power = powerOf(data, known, clock, sustained);
  if (sustained && !power)
    throw new Refused(
      `the page is of machines at work all the time, and the power of ${data.id} under load is unknown: ` +
        "power.tdp_w is missing, or its family has no constants of power",
    );
  const joules = power ? engineJoules(data, known, power) : {};
  Object.assign(
    made.constants,
    linkFacts(data),
    libraryFacts(data),
    power ? powerTimes(power, joules, sustained) : {},
    energyJoules(data, known, joules),
  );
  const array = of("compute.array");
  if (array) Object.assign(made, { array: { ...array } });
  else delete made.array;
  return Object.assign(made, {
    id: data.id,
    name: `${data.name}${sustained ? ", sustained" : ""}`,
    kind: data.kind,
    family: data.family,
    cores,
    clock_hz: clock,
    matrix_flop_per_s: matrix,
    vector_flop_per_s: vector,
    memory: memoryOf(data, known, cores, clock),
    sparsity_2_4: of("sparsity.factor_2_4") || 1,
    power_w: powerLimits(data, known),
    links_byte_per_s: linksOf(data),
    provenance: {
      ...made.provenance,
      datasheet: data.source.text,
      verified: data.verified ? "yes" : "no",
      unverified: (data.source.unverified || []).join(", "),
    },
  });
}

/* What all cores reach together: loops are split into equal parts, for which the slowest core decides. */
function shareOfPeak(data) {
  const cores = factOf(data, "compute.cores");
  const fast = Math.min(factOf(data, "compute.performance_cores") || cores, cores);
  const rate = factOf(data, "compute.efficiency_core_rate") || 1;
  return (cores <= fast ? cores : Math.max(fast, cores * rate)) / (fast + (cores - fast) * rate);
}

function ratesOf(rates = {}, share = 1) {
  const { dtypes } = SETUP.own_machines;
  return Object.fromEntries(
    Object.entries(rates)
      .filter(([dtype]) => Object.hasOwn(dtypes, dtype))
      .map(([dtype, rate]) => [dtypes[dtype], rate * 1e12 * share]),
  );
}

function memoryOf(data, known, cores, clock) {
  const dram = factOf(data, "memory.dram") || {};
  const array = factOf(data, "compute.array");
  const dramRate = (dram.bandwidth_gb_per_s || factOf(data, "link.host.bandwidth_gb_per_s")) * 1e9;
  const levels = [];
  const add = (level, capacity, bandwidth) =>
    levels.push({ level, capacity_bytes: capacity, bandwidth_byte_per_s: bandwidth });
  for (const level of SETUP.own_machines.levels) {
    const cache = factOf(data, `memory.${level}`);
    if (!cache) continue;
    const capacity =
      cache.capacity_kib_per_core === undefined
        ? cache.capacity_mib * 2 ** 20
        : cache.capacity_kib_per_core * 1024 * cores;
    const perClock = known[`cache.${level}_byte_per_clock_per_core`];
    const multiple = known[`cache.${level}_over_dram_bandwidth`];
    if (cache.bandwidth_gb_per_s !== undefined) add(level, capacity, cache.bandwidth_gb_per_s * 1e9);
    else if (perClock !== undefined) add(level, capacity, perClock * cores * clock);
    else if (dram.bandwidth_gb_per_s === undefined && array)
      add(level, capacity, (array.rows + array.cols) * array.units * clock);
    else if (multiple !== undefined) add(level, capacity, multiple * dramRate);
  }
  const assumed = known["assumed.scratchpad_bytes_per_core"];
  if (!levels.length && assumed !== undefined)
    add("scratchpad", assumed * cores, (known["cache.scratchpad_over_dram_bandwidth"] ?? 1) * dramRate);
  const usable = dram.usable_gib || dram.capacity_gib;
  add(
    "dram",
    usable === undefined ? null : usable * (dram.usable_share || 1) * 2 ** 30,
    dramRate,
  ); /* null: not limited */
  return levels;
}

function linksOf(data) {
  const found = {};
  for (const link of ["host", "device"]) {
    const bandwidth = factOf(data, `link.${link}.bandwidth_gb_per_s`);
    if (bandwidth !== undefined) found[link] = bandwidth * 1e9;
  }
  const nic = factOf(data, "link.network.nic_gb_per_s");
  if (nic !== undefined) found.network = nic * 1e9 * (factOf(data, "link.network.nics_per_device") || 1);
  return found;
}

function linkFacts(data) {
  const kind = String(factOf(data, "link.host.kind"));
  const facts = {};
  if (kind.startsWith("PCIe")) facts["link.host_shared"] = 1;
  if (data.kind === "cpu" || kind.includes("memory")) facts["link.host_unified"] = 1;
  if (data.kind === "systolic" && factOf(data, "memory.dram.bandwidth_gb_per_s") === undefined)
    facts["link.host_weights"] = 1;
  if (factOf(data, "link.host.direct")) facts["link.host_direct"] = 1;
  const latency = factOf(data, "link.network.latency_us");
  if (latency !== undefined) facts["link.network_latency_s"] = latency * 1e-6;
  if (data.devices_per_node !== undefined) facts["link.node_devices"] = data.devices_per_node;
  for (const key of ["peers", "domain", "reduces"]) {
    const value = factOf(data, `link.device.${key}`);
    if (value !== undefined) facts[`link.device_${key}`] = Number(value);
  }
  return facts;
}

const libraryFacts = (data) =>
  data.kind === "gpu" && data.vendor === "NVIDIA" && factOf(data, "compute.matrix_tflop_per_s.tf32")
    ? { "library.rounds_to_tf32": 1 }
    : {};

/* ---- power: the laws are those of hardware/loading.py ---- */
function powerOf(data, known, clock, sustained) {
  const { slot_w: slot, least_share: least, halvings } = SETUP.own_machines.power;
  const tdp = factOf(data, "power.tdp_w");
  const dram = known["power.dram_j_per_byte"];
  if (data.kind !== "gpu" || tdp === undefined || dram === undefined) return null;
  const fixed = (known["power.static_fraction"] ?? 0) * tdp + (known["power.static_w"] ?? 0);
  const most = tdp * (tdp > slot ? (known["power.burst"] ?? 1) : 1);
  const burst = Math.max(most - fixed, least * tdp);
  const dynamic = sustained ? Math.max(tdp - fixed, least * tdp) : burst;
  const energy = (share) => {
    const voltage =
      1 +
      (known["power.voltage_rise"] ?? 0) *
        Math.max(0, (share * clock) / (known["power.lowest_voltage_hz"] ?? Infinity) - 1);
    return voltage * voltage;
  };
  const held = (lowest) => {
    if (lowest * energy(1) <= dynamic) return 1;
    let [low, high] = [0, 1];
    for (let time = 0; time < halvings; time++) {
      const share = (low + high) / 2;
      if (lowest * share * energy(share) <= dynamic) low = share;
      else high = share;
    }
    return low;
  };
  return { dynamic, burst, dram, energy, held };
}

const enginesOf = (data) =>
  ["matrix", "vector"].flatMap((engine) =>
    Object.entries(factOf(data, `compute.${engine}_tflop_per_s`) || {})
      .filter(([dtype, rate]) => Object.hasOwn(SETUP.own_machines.dtypes, dtype) && rate > 0)
      .map(([dtype, rate]) => ({ engine, key: `${engine}_${dtype}`, rate })),
  );

/* The energy of a FLOP that constants state; that of other dtypes is in proportion to their bits. */
function perFlop(known, table) {
  const { bits, power } = SETUP.own_machines;
  const found = {};
  for (const [engine, stated] of power.known_energy) {
    for (const [dtype, count] of Object.entries(bits)) {
      const own = known[`${table}.${engine}_${dtype}`];
      const other = known[`${table}.${engine}_${stated}`];
      if (own !== undefined || other !== undefined) found[`${engine}_${dtype}`] = own ?? (other * count) / bits[stated];
    }
  }
  return found;
}

function engineJoules(data, known, power) {
  const stated = perFlop(known, "power");
  return Object.fromEntries(
    enginesOf(data).map(({ engine, key, rate }) => {
      const reached = (known[`achieved.${key}`] || known[`achieved.${engine}`]) * rate * 1e12;
      const lowest = stated[key] ?? power.burst / (reached * power.energy(1));
      return [key, lowest * power.energy(power.held(lowest * reached))];
    }),
  );
}

const powerTimes = ({ dram, dynamic }, joules, sustained) => ({
  "power.sustained": Number(sustained),
  "power.dram_s_per_byte": dram / dynamic,
  ...Object.fromEntries(Object.entries(joules).map(([key, joule]) => [`power.${key}`, joule / dynamic])),
});

function energyJoules(data, known, atClock) {
  const tdp = factOf(data, "power.tdp_w");
  const fixed = known["energy.static_fraction"];
  const dram = known["energy.dram_j_per_byte"];
  if (tdp === undefined || fixed === undefined || dram === undefined) return {};
  const stated = { ...atClock, ...perFlop(known, "energy") };
  const link = known["energy.link_j_per_byte"];
  return {
    "energy.static_w": fixed * tdp,
    "energy.most_w": tdp,
    "energy.dram_j_per_byte": dram,
    "energy.cache_j_per_byte": known["energy.cache_j_per_byte"] ?? 0,
    "energy.spread": known["energy.spread"] ?? 0,
    ...(link === undefined ? {} : { "energy.link_j_per_byte": link }),
    ...Object.fromEntries(
      enginesOf(data).map(({ key, rate }) => [`energy.${key}`, stated[key] ?? (((1 - fixed) * tdp) / rate) * 1e-12]),
    ),
  };
}

function powerLimits(data, known) {
  const tdp = factOf(data, "power.tdp_w");
  const fraction = known["assumed.idle_fraction_of_tdp"];
  const idle =
    factOf(data, "power.idle_w") ?? (tdp !== undefined && fraction !== undefined ? fraction * tdp : undefined);
  return { ...(tdp === undefined ? {} : { tdp }), ...(idle === undefined ? {} : { idle }) };
}

/* ---- in the page ---- */

/* The numbers that costs need of a machine; those of transfer and start are the base's where their links are equal. */
function termsOfFile(machine, base) {
  const same =
    machine.links_byte_per_s.host === base.machine.links_byte_per_s.host &&
    machine.constants["link.host_unified"] === base.machine.constants["link.host_unified"];
  const copies = same ? {} : { weights_s_per_byte: null, link_byte_per_s: null, link_latency_s: null };
  const found = {
    ...copies,
    memory_bytes: machine.memory[machine.memory.length - 1].capacity_bytes ?? "unbounded",
    idle_w: machine.power_w.idle ?? 0,
    is_a100: Number(machine.id.includes("a100")),
    grid_g_per_kwh: null,
    pue: null,
  };
  return Object.fromEntries(
    Object.entries(base.terms).map(([name, value]) => [name, Object.hasOwn(found, name) ? found[name] : value]),
  );
}

/* A machine of the page as `SETUP.machines` has it; its id there is that of no other machine. */
function ownMachine(name, text) {
  const data = readMachineFile(name, text);
  const base = baseOf(data, name);
  const machine = machineOfFile(data, base);
  let id = data.id;
  for (let time = 2; SETUP.machineOf.has(id); time++) id = `${data.id}:${time}`;
  return {
    machine,
    id,
    name: `${data.name} (${name})`,
    kind: data.kind,
    terms: termsOfFile(machine, base),
    offers: [],
    price: "",
    file: name,
    from: `constants of ${data.family}, from ${base.machine.name}`,
  };
}

/* Reads the file of a machine, which becomes one of the page; resolves to it. Errors are sentences. */
async function takeMachine(file) {
  if (file.size > LARGEST_TOML)
    throw new Refused(
      `${file.name} has ${quantity(file.size, "B")}; the file of a machine has less than ` +
        `${quantity(LARGEST_TOML, "B")}`,
    );
  const own = ownMachine(file.name, await file.text());
  SETUP.machines.push({ ...own, index: SETUP.machines.length });
  SETUP.machineOf.set(own.id, SETUP.machines[SETUP.machines.length - 1]);
  return own;
}

/* The list of machines with those of files, a button that reads one, and where their constants are from. `choose` takes
   the id of a machine. Files that are dropped anywhere come here, too. */
let takeDroppedMachine = null;
function ownMachineChooser(select, choose) {
  const input = element("input", {
    type: "file",
    accept: ".toml",
    hidden: true,
    "aria-label": "The TOML file of a machine",
  });
  const button = element("button", { type: "button", class: "own-file" }, "own file ...");
  const from = element("small", { class: "own-from" });
  const said = element("small", { class: "own-said bad", role: "status" });
  const group = element("optgroup", { label: "Of your files" });
  button.addEventListener("click", () => input.click());
  takeDroppedMachine = async (file) => {
    said.textContent = "";
    try {
      choose((await takeMachine(file)).id);
    } catch (error) {
      said.textContent =
        error instanceof Refused ? `${error.message}.` : `${file.name} cannot be read: ${error.message}.`;
      byId("settings").open = true;
    }
    document.documentElement.dataset.machineFile = file.name;
  };
  input.addEventListener("change", () => {
    if (input.files.length) takeDroppedMachine(input.files[0]);
    input.value = ""; /* the same file, changed, is read again */
  });
  const sync = (id) => {
    for (const { file, id: own, name } of SETUP.machines) {
      if (file && ![...group.children].some(({ value }) => value === own))
        group.append(element("option", { value: own }, name));
    }
    if (group.children.length && !group.parentNode) select.prepend(group);
    from.textContent = SETUP.machineOf.get(id).from || "";
  };
  return { sync, parts: element("div", { class: "own-machine" }, button, input, from, said) };
}

/* Files of machines that are dropped anywhere; before a model is there, they wait for it. */
function watchMachineDrops() {
  const holdsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  document.addEventListener(
    "drop",
    async (event) => {
      const [file] = event.dataTransfer ? event.dataTransfer.files : [];
      if (!file) return;
      const isMachine = file.name.toLowerCase().endsWith(".toml");
      if (!isMachine && !SETUP.phases.length) return;
      if (!isMachine && !byId("drop").hidden) return;
      event.preventDefault();
      if (isMachine) event.stopImmediatePropagation(); /* it is no model */
      byId("drop").classList.remove("over");
      const said = byId("drop-said") || byId("fixed");
      if (!isMachine) {
        said.textContent =
          `${file.name} is no file of a machine, which ends in .toml; pyinfercost explore writes the page of ` +
          "another model.";
      } else if (takeDroppedMachine) {
        takeDroppedMachine(file);
      } else {
        try {
          const own = await takeMachine(file);
          SETUP.start.machine = own.id;
          said.textContent = `${own.machine.name} is the machine, with ${own.from}. Now drop a model.`;
        } catch (error) {
          said.textContent =
            error instanceof Refused ? `${error.message}.` : `${file.name} cannot be read: ${error.message}.`;
        }
        document.documentElement.dataset.machineFile = file.name;
      }
    },
    true,
  );
}
