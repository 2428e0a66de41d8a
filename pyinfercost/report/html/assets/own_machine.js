/* The machine of a reader: the core makes it of a device file and of the constants of its family, which the page has.
   Nothing leaves the page. */
const LARGEST_TOML = 1e6;

/* ---- the file ---- */

/* The content of a device file as JSON, in which integers have no fraction and other numbers have an exponent or one.
   Values that JSON lacks are texts, which the core refuses. */
function jsonOfToml(value) {
  if (typeof value === "bigint") return BigInt.asIntN(64, value) === value ? String(value) : `"${value}"`;
  if (typeof value === "number" && Number.isInteger(value)) return value.toExponential();
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : `"${value}"`;
  if (Array.isArray(value)) return `[${value.map(jsonOfToml).join()}]`;
  if (value === null || typeof value !== "object" || value instanceof Date) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}:${jsonOfToml(each)}`);
  return `{${members.join()}}`;
}

function readToml(name, text) {
  try {
    return TOML.parse(text, { integersAsBigInt: true });
  } catch (error) {
    const place = error.line ? ` in line ${error.line}` : "";
    throw new Refused(
      `${name} is no TOML${place}: ${String(error.message)
        .split("\n")[0]
        .replace(/^Invalid TOML document: /, "")
        .replace(/\.$/, "")}`,
    );
  }
}

/* ---- its machine ---- */

/* The cataloged machine that is most like one of a file: of its id, else of its family, else of its kind. */
function kinOf({ id, family, kind }) {
  const cataloged = SETUP.machines.filter(({ file }) => !file);
  return (
    cataloged.find((known) => known.id === id) ??
    cataloged.find(({ machine }) => machine.family === family) ??
    cataloged.find((known) => known.kind === kind)
  );
}

/* ---- in the page ---- */

/* The numbers that costs need of a machine; those of transfer and start are the base's where their links are equal. */
function termsOfFile(machine, base) {
  const same =
    machine.links_byte_per_s.host === base.machine.links_byte_per_s.host &&
    machine.constants["link.host_unified"] === base.machine.constants["link.host_unified"];
  const ofLink = ["weights_s_per_byte", "service_weights_s_per_byte", "link_byte_per_s", "link_latency_s"];
  const copies = same ? {} : Object.fromEntries(ofLink.map((name) => [name, null]));
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

/* Reads the file of a machine, which becomes one of the page; resolves to it as in `SETUP.machines`, with an id that no
   other machine has. Errors are sentences. */
async function takeMachine(file, ask) {
  const { name } = file;
  if (file.size > LARGEST_TOML)
    throw new Refused(
      `${name} has ${quantity(file.size, "B")}; the file of a machine has less than ${quantity(LARGEST_TOML, "B")}`,
    );
  const data = readToml(name, await file.text());
  const { families } = SETUP.own_machines;
  if (!Object.hasOwn(families, data.family)) {
    const known = Object.keys(families).join(", ");
    throw new Refused(`${name}: 'family' is ${JSON.stringify(String(data.family))}; expected one of ${known}`);
  }
  const base = kinOf(data);
  const sustained = base !== undefined && base.machine.constants["power.sustained"] === 1;
  const calibration = JSON.stringify(families[data.family]);
  const { machine } = await ask(
    "device",
    { file: name },
    `{"device":${jsonOfToml(data)},"calibration":${calibration},"sustained":${sustained}}`,
  );
  let { id } = machine;
  for (let time = 2; SETUP.machineOf.has(id); time++) id = `${machine.id}:${time}`;
  const own = {
    machine,
    id,
    name: `${machine.name} (${name})`,
    kind: machine.kind,
    terms: termsOfFile(machine, base),
    offers: [],
    price: "",
    file: name,
    from: `constants of ${machine.family}`,
  };
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
      choose((await takeMachine(file, askMachines)).id);
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

/* Files of machines that are dropped anywhere; before a model is there, they wait for it. `ask` is of a core. */
let askMachines = null;
function watchMachineDrops(ask) {
  askMachines = ask;
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
          const own = await takeMachine(file, ask);
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
