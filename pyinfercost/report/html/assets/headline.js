/* The figures at the top, each with its band or a note: a card for each row of the catalog of figures. */
function card(key, title, value, shown, band = "", state = "") {
  return element("div", { class: `card ${state}` },
    element("span", { class: "title" }, title),
    element("output", { "data-key": key, "data-value": value === null ? "" : value }, shown),
    element("span", { class: "band" }, band));
}

/* A figure of the view; undefined where it has none, null where it is not known. */
function valueOfFigure(view, key) {
  const { totals, estimate } = view;
  if (key === "flops") return totals.contraction_flops + totals.pointwise_flops;
  if (key === "traffic_bytes") return totals.bytes_read + totals.bytes_written;
  return estimate && key in estimate ? estimate[key] : totals[key];
}

/* The band of a figure, whose ends have keys such as latency_low_s; nothing where it has none. */
function bandOf(view, figure) {
  const [low, high] = ["low", "high"].map((end) => valueOfFigure(view, figure.key.replace(/_([a-z]+)$/, `_${end}_$1`)));
  return typeof low === "number" && typeof high === "number" ? `${quantity(low, figure.unit)} to ${quantity(high, figure.unit)}` : "";
}

/* What stands below a figure, for those that have more to say than their band. */
const NOTES = {
  throughput_per_s: () => "one forward after another",
  energy_j: ({ estimate }, band) => (estimate.energy_j === null ? "the machine's file gives no power"
    : band + (estimate.latency_s ? `, ${digits(estimate.energy_j / estimate.latency_s)} W` : "")),
  cost_usd: ({ estimate }) => `${estimate.cost.price.text}, ${Number((100 * estimate.cost.utilization).toFixed(1))} % in use`,
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
  const note = NOTES[figure.key] ? NOTES[figure.key](view, band) : band || figure.words;
  const shown = value === null ? quantity(null) : quantity(value * figure.items, figure.unit) + (figure.per ? ` per million ${figure.per}` : "");
  const bad = figure.key === "peak_memory_bytes" && view.estimate && view.estimate.fits_in_memory === false;
  return card(figure.key, figure.title, value, shown, note, bad ? "bad" : "");
}

function drawHeadline(view) {
  const { estimate } = view;
  const cards = FIGURES.filter((figure) => estimate || !figure.machine).map((figure) => cardOf(view, figure));
  const parts = [element("div", { class: "cards" }, ...cards)];
  if (estimate) parts.push(boundBar(estimate.bound), effectLine(view));
  byId("headline").replaceChildren(...parts);
}

function boundBar(bound) {
  const known = BOUNDS.filter((name) => bound[name] > 0);
  const bar = element("div", { class: "stack", role: "img", "aria-label":
    `Bound by ${known.map((name) => `${name} ${percent(bound[name])}`).join(", ") || "nothing"}` });
  for (const name of known) {
    const wide = bound[name] > 0.12;
    bar.append(element("span", { class: `fill ${name}`, style: `width:${100 * bound[name]}%`, title: `${name} ${percent(bound[name])}` },
      wide ? `${name} ${percent(bound[name])}` : ""));
  }
  return element("div", { class: "bound" }, element("span", { class: "title" }, "The time is bound by"), bar);
}

function effectLine(view) {
  const taken = new Map();
  let whole = 0;
  for (const layer of view.layers) {
    if (!layer.latency_s) continue;
    whole += layer.latency_s;
    taken.set(layer.effect, (taken.get(layer.effect) || 0) + layer.effect_share * layer.latency_s);
  }
  const most = [...taken].sort((one, other) => other[1] - one[1]).filter(([, seconds]) => seconds >= 0.01 * whole).slice(0, 5);
  return element("p", { class: "note" }, "Spent on: " + (most.map(([name, seconds]) => `${name} ${percent(seconds / whole)}`).join(", ") || "nothing"));
}

function drawOrigin(view) {
  byId("origin-panel").hidden = !view.machine;
  if (!view.machine) return;
  const said = view.machine.provenance || {};
  const evidence = Object.entries(view.estimate.evidence || {}).filter(([, share]) => share >= 0.01)
    .map(([word, share]) => (share > 0.99 ? word : `${word} ${percent(share)}`)).join(", ") || "not known";
  const band = `Band: four of five measurements are expected inside. Evidence: ${evidence}.`;
  const peaks = said.verified === "yes" ? "Peaks are from the datasheet and were verified" : "Peaks are from the datasheet and NOT verified";
  byId("origin-summary").textContent = `${band} ${peaks}${said.verified === "yes" && said.unverified ? ", with exceptions" : ""}.`;
  const lines = [
    ["machine", `${view.machine.name} (${view.machine.kind}, family ${view.machine.family})`],
    ["peaks and memory", said.datasheet || "no source is given"],
    ["not verified", said.unverified || (said.verified === "yes" ? "nothing" : "the whole file")],
    ["constants of time", said.constants || "not known"],
    ["error band", `evidence by time: ${evidence}; ${percent(view.machine.spread)} where a kind of kernel has no band of its own`],
    ["energy", "predicted from the same terms; its band is wider than that of the time"],
  ];
  if (view.estimate.cost) lines.push(["price", `${view.estimate.cost.price.text}${view.estimate.cost.price.dated ? `, of ${view.estimate.cost.price.dated}` : ""}`]);
  byId("origin").replaceChildren(...lines.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function drawLedger(view) {
  const lines = [];
  const { nodes, modelled_nodes: modelled, unmodelled: missing } = profile.coverage;
  if (missing.length) {
    lines.push(element("li", { class: "bad" }, `Not modeled, and in no figure: ${missing.map((entry) => `${entry.op} x${entry.count}`).join(", ")} (${modelled} of ${nodes} nodes are modelled).`));
  } else {
    lines.push(element("li", {}, `All ${nodes} nodes are modeled.`));
  }
  for (const size of profile.data_sizes || []) {
    lines.push(element("li", {}, `Assumed: ${size.name} is ${size.value} (at most ${size.bound}); it depends on data.`));
  }
  if (view.estimate) {
    lines.push(element("li", {}, view.estimate.sustained
      ? "Assumed: the machine is at work all the time, so that its power is a limit, too."
      : "Assumed: a forward by itself on an idle machine; under load a board may lower its clock."));
    lines.push(element("li", {}, "Estimated and not measured: every time, energy and cost on this page."));
    const emulated = [...new Set(view.layers.map((layer) => layer.note).filter((note) => note && !note.startsWith("in the kernel")))];
    for (const note of emulated) lines.push(element("li", {}, `Assumed: ${note}.`));
  }
  byId("ledger").replaceChildren(...lines);
}
