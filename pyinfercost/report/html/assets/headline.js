/* The figures at the top, each with its band or a note: one for each row of the catalog of figures. */
function card(figure, value, shown, unit, band, state = "") {
  return element(
    "div",
    { class: `figure ${state}` },
    term(figure.title, `${figure.words[0].toUpperCase()}${figure.words.slice(1)}.`, { class: "title" }),
    element(
      "output",
      { "data-key": figure.key, "data-value": value === null ? "" : value },
      shown,
      unit ? element("small", {}, ` ${unit}`) : null,
    ),
    band ? element("span", { class: "band" }, band) : null,
  );
}

/* A figure of the view; undefined where it has none, null where it is not known. */
function valueOfFigure(view, key) {
  const { totals, estimate } = view;
  if (key === "flops") return totals.contraction_flops + totals.pointwise_flops;
  // Of a pipeline the totals are those of all stages, and a device holds one.
  if (key === "peak_memory_bytes" && estimate && estimate.stages && estimate.stages.length)
    return estimate.per_device.memory_bytes;
  if (key === "traffic_bytes") return totals.bytes_read + totals.bytes_written;
  return estimate && key in estimate ? estimate[key] : totals[key];
}

/* The band of a figure, whose ends have keys such as latency_low_s; nothing where it has none. */
function bandOf(view, figure) {
  const [low, high] = ["low", "high"].map((end) => valueOfFigure(view, figure.key.replace(/_([a-z]+)$/, `_${end}_$1`)));
  return typeof low === "number" && typeof high === "number"
    ? `${quantity(low, figure.unit)} to ${quantity(high, figure.unit)}`
    : "";
}

/* The instances that are paid, and how many of their devices are unused; nothing where devices are paid one by one. */
function paidText({ instances, price }, devices) {
  if (instances === null || !(price.devices > 1)) return "";
  const idle = price.devices * instances - devices;
  return (
    `${instances} instance${instances === 1 ? "" : "s"} of ${price.devices} ` +
    `devices${idle ? `, ${idle} of them unused` : ""}`
  );
}

const priceText = ({ estimate: { cost, devices } }) =>
  [cost.price.text, paidText(cost, devices), `${Number((100 * cost.utilization).toFixed(1))} % in use`]
    .filter(Boolean)
    .join(", ");

/* What stands below a figure, for those that have more to say than their band. */
const NOTES = {
  throughput_per_s: () => "one forward after another",
  energy_j: ({ estimate }, band) =>
    estimate.energy_j === null
      ? "the machine's file gives no power"
      : band + (estimate.latency_s ? `, ${digits(estimate.energy_j / estimate.latency_s)} W` : ""),
  cost_usd: priceText,
  [costKey(true)]: priceText,
  peak_memory_bytes: ({ estimate, totals, machine }) => {
    if (!estimate) return `activations ${quantity(totals.peak_activation_bytes, "B")}`;
    const dram = machine.memory[machine.memory.length - 1].capacity_bytes;
    const fits = estimate.fits_in_memory ? "fits" : "DOES NOT FIT";
    return dram === null ? "the machine's memory is its owner's choice" : `${fits} in ${quantity(dram, "B")}`;
  },
  flops: ({ totals }) => `${quantity(totals.macs, "MAC")} in contractions; a multiply-add is 2 FLOP`,
  traffic_bytes: ({ totals }) => `${quantity(totals.bytes_read, "B")} read, each op by itself`,
  parameters: ({ totals }) => quantity(totals.parameter_bytes, "B"),
};

function cardOf(view, figure) {
  const value = valueOfFigure(view, figure.key);
  if (value === undefined || (value === null && !figure.always)) return null;
  const band = bandOf(view, figure);
  const note = NOTES[figure.key] ? NOTES[figure.key](view, band) : band;
  const shown = value === null ? quantity(null) : quantity(value * figure.items, figure.unit);
  const bad = figure.key === "peak_memory_bytes" && view.estimate && view.estimate.fits_in_memory === false;
  return card(
    figure,
    value,
    shown,
    value !== null && figure.items > 1 ? `per million ${figure.per}` : "",
    note,
    bad ? "bad" : "",
  );
}

/* Two figures are large: the time, and what it costs; without a price its rate, and without a machine the work. */
const LARGE = [
  ["latency_s", "flops"],
  [costKey(true), "cost_usd", "tokens_per_s", "throughput_per_s", "parameters"],
];

/* Whether a figure of a language model is another one by another name: of a step of one token, or of one sequence. */
const TWINS = { ttft_s: "latency_s", tpot_s: "latency_s", throughput_per_s: "tokens_per_s" };
function isTwin(estimate, key) {
  if (key === "cost_usd")
    return (
      estimate.tokens > 0 &&
      estimate.cost &&
      Math.abs(estimate[costKey(true)] / estimate.cost.usd_per_million - 1) < 1e-9
    );
  return key in TWINS && typeof estimate[key] === "number" && estimate[key] === estimate[TWINS[key]];
}

function drawHeadline(view) {
  const { estimate } = view;
  const cards = new Map();
  for (const figure of FIGURES) {
    if (!estimate && figure.machine) continue;
    if (estimate && isTwin(estimate, figure.key)) continue;
    const made = cardOf(view, figure);
    if (made) cards.set(figure.key, { made, figure });
  }
  const large = LARGE.map((keys) => keys.find((key) => cards.has(key))).filter(Boolean);
  const groups = SAID.groups.map((name) => {
    const own = [...cards]
      .filter(([key, { figure }]) => figure.group === name && !large.includes(key))
      .map(([, { made }]) => made);
    return own.length ? element("div", { class: "card group" }, element("h2", {}, name), ...own) : null;
  });
  const parts = [
    element("div", { class: "large" }, ...large.map((key) => cards.get(key).made)),
    element("div", { class: "cards" }, ...groups),
  ];
  for (const key of large) cards.get(key).made.className = `card ${cards.get(key).made.className}`;
  if (estimate) parts.push(boundBar(estimate.bound), effectLine(view), fitBar(view));
  byId("sentence").textContent = sentenceOf(view);
  byId("headline").replaceChildren(...parts.filter(Boolean));
  drawNow(view);
}

/* What matters most, beside the settings: on a small screen the figures themselves are below them. */
function drawNow({ estimate }) {
  if (!estimate) return;
  const money = estimate[costKey(true)] ?? (estimate.cost ? estimate.cost.usd_per_million : null);
  byId("now").textContent = [
    quantity(estimate.latency_s, "s"),
    money === null || money === undefined ? "" : `${digits(money)} USD per million`,
    estimate.fits_in_memory === false ? "does not fit" : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

function boundBar(bound) {
  const known = BOUNDS.filter((name) => bound[name] > 0);
  const bar = element(
    "div",
    {
      class: "stack",
      role: "img",
      "aria-label": `Bound by ${known.map((name) => `${name} ${percent(bound[name])}`).join(", ") || "nothing"}`,
    },
    ...known.map((name) => element("span", { class: `fill ${name}`, style: `width:${100 * bound[name]}%` })),
  );
  const legend = element(
    "ul",
    { class: "legend" },
    ...known.map((name) =>
      element(
        "li",
        {},
        element("span", { class: `swatch ${name}` }),
        term(name, meaningOf(name)),
        ` ${percent(bound[name])}`,
      ),
    ),
  );
  return element("div", { class: "bound" }, element("span", { class: "title" }, "The time is bound by"), bar, legend);
}

/* What a device holds, and the memory that it has. */
function fitBar({ estimate, totals }) {
  const { memory, machine_memory_bytes: capacity } = estimate;
  if (!capacity) return null;
  const held = memory
    ? [
        ["weights", memory.weight_bytes],
        ["KV cache", memory.kv_cache_bytes],
        ["activations", memory.activation_bytes],
      ]
    : [
        ["weights", totals.peak_memory_bytes - totals.peak_activation_bytes],
        ["activations", totals.peak_activation_bytes],
      ];
  const taken = sum(held.map(([, bytes]) => bytes));
  const whole = Math.max(taken, capacity);
  const words =
    taken > capacity
      ? `${quantity(taken - capacity, "B")} too much for ${quantity(capacity, "B")}`
      : `${quantity(capacity - taken, "B")} of ${quantity(capacity, "B")} left`;
  const bar = element(
    "div",
    {
      class: "stack fits",
      role: "img",
      "aria-label":
        `Memory of a device: ${held.map(([name, bytes]) => `${name} ${quantity(bytes, "B")}`).join(", ")}; ` +
        `${words}`,
    },
    ...held.map(([, bytes], at) => element("span", { class: `held${at}`, style: `width:${(100 * bytes) / whole}%` })),
    taken > capacity ? element("i", { class: "limit", style: `left:${(100 * capacity) / whole}%` }) : null,
  );
  const legend = element(
    "ul",
    { class: "legend" },
    ...held.map(([name, bytes], at) =>
      element("li", {}, element("span", { class: `swatch held${at}` }), `${name} ${quantity(bytes, "B")}`),
    ),
    element("li", { class: taken > capacity ? "bad" : null }, words),
  );
  return element(
    "div",
    { class: "bound" },
    element("span", { class: "title" }, "The memory of a device holds"),
    bar,
    legend,
  );
}

function effectLine(view) {
  const most = effectsWithin(view)
    .filter(([, share]) => share >= 0.01)
    .slice(0, 5);
  const words = most.flatMap(([name, share], at) => [
    at ? ", " : "",
    term(name, meaningOf(name)),
    ` ${percent(share)}`,
  ]);
  return element("p", { class: "note" }, "Spent on: ", ...(words.length ? words : ["nothing"]));
}

function drawOrigin(view) {
  byId("origin-panel").hidden = !view.machine;
  if (!view.machine) return;
  const said = view.machine.provenance || {};
  const evidence =
    Object.entries(view.estimate.evidence || {})
      .filter(([, share]) => share >= 0.01)
      .map(([word, share]) => (share > 0.99 ? word : `${word} ${percent(share)}`))
      .join(", ") || "not known";
  const band = `Band: four of five measurements are expected inside. Evidence: ${evidence}.`;
  const peaks =
    said.verified === "yes"
      ? "Peaks are from the datasheet and were verified"
      : "Peaks are from the datasheet and NOT verified";
  byId("origin-summary").textContent =
    `${band} ${peaks}${said.verified === "yes" && said.unverified ? ", with exceptions" : ""}.`;
  const lines = [
    ["machine", `${view.machine.name} (${view.machine.kind}, family ${view.machine.family})`],
    ["peaks and memory", said.datasheet || "no source is given"],
    ["not verified", said.unverified || (said.verified === "yes" ? "nothing" : "the whole file")],
    ["constants of time", said.constants || "not known"],
    [
      "error band",
      `evidence by time: ${evidence}; ${percent(view.machine.spread)} where a kind of kernel has no band of its own`,
    ],
    ["energy", "predicted from the same terms; its band is wider than that of the time"],
  ];
  if (view.estimate.cost)
    lines.push([
      "price",
      `${view.estimate.cost.price.text}` +
        `${view.estimate.cost.price.dated ? `, of ${view.estimate.cost.price.dated}` : ""}`,
    ]);
  const { cost, devices } = view.estimate;
  if (cost && cost.instances !== null)
    lines.push(["paid", `${digits(cost.usd_per_h)} USD/h for ${paidText(cost, devices) || `${devices} devices`}`]);
  byId("origin").replaceChildren(
    ...lines.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]),
  );
}

function drawLedger(view) {
  const lines = [];
  const { nodes, modelled_nodes: modelled, unmodelled: missing } = view.coverage;
  if (missing.length) {
    lines.push(
      element(
        "li",
        { class: "bad" },
        `Not modeled, and in no figure: ${missing.map((entry) => `${entry.op} x${entry.count}`).join(", ")}` +
          ` (${modelled} of ${nodes} nodes are modeled).`,
      ),
    );
  } else {
    lines.push(element("li", {}, `All ${nodes} nodes are modeled.`));
  }
  for (const size of view.data_sizes || []) {
    lines.push(
      element("li", {}, `Assumed: ${size.name} is ${size.value} (at most ${size.bound}); it depends on data.`),
    );
  }
  if (view.estimate) {
    lines.push(
      element(
        "li",
        {},
        view.estimate.sustained
          ? "Assumed: the machine is at work all the time, so that its power is a limit, too."
          : "Assumed: a forward by itself on an idle machine; under load a board may lower its clock.",
      ),
    );
    lines.push(element("li", {}, "Estimated and not measured: every time, energy and cost on this page."));
    const emulated = [
      ...new Set(view.layers.map((layer) => layer.note).filter((note) => note && !note.startsWith("in the kernel"))),
    ];
    for (const note of emulated) lines.push(element("li", {}, `Assumed: ${note}.`));
  }
  byId("ledger").replaceChildren(...lines);
}
