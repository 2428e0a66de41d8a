/* The figures at the top, each with its band, and where they are from. */
function card(key, title, value, unit, band = "", state = "") {
  return element("div", { class: `card ${state}` },
    element("span", { class: "title" }, title),
    element("output", { "data-key": key, "data-value": value === null ? "" : value }, quantity(value, unit)),
    element("span", { class: "band" }, band));
}

function drawHeadline(view) {
  const { totals, estimate } = view;
  const flops = totals.contraction_flops + totals.pointwise_flops;
  const cards = [];
  if (estimate) {
    const between = (low, high, unit) => `${quantity(low, unit)} to ${quantity(high, unit)}`;
    cards.push(card("latency_s", "Latency, predicted", estimate.latency_s, "s",
      between(estimate.latency_low_s, estimate.latency_high_s, "s")));
    cards.push(card("throughput_per_s", "Throughput", estimate.throughput_per_s, "", "per second, one after another"));
    const watts = estimate.energy_j && estimate.latency_s ? `, ${digits(estimate.energy_j / estimate.latency_s)} W` : "";
    cards.push(card("energy_j", "Energy of a forward", estimate.energy_j, "J",
      estimate.energy_j === null ? "the machine's file gives no power"
        : between(estimate.energy_low_j, estimate.energy_high_j, "J") + watts));
    if (estimate.cost) {
      cards.push(card("usd_per_million", "Cost of a million items", estimate.cost.usd_per_million, "USD",
        `${estimate.cost.price.text}, ${Number((100 * estimate.cost.utilization).toFixed(1))} % in use`));
    }
    if (estimate.usd_per_million_tokens) {
      cards.push(card("usd_per_million_tokens", "Cost of a million tokens", estimate.usd_per_million_tokens, "USD",
        `${estimate.tokens} in a forward`));
    }
    const dram = view.machine.memory[view.machine.memory.length - 1].capacity_bytes;
    const fits = estimate.fits_in_memory ? "fits" : "DOES NOT FIT";
    cards.push(card("peak_memory_bytes", "Peak memory", totals.peak_memory_bytes, "B",
      dram === null ? "the machine's memory is its owner's choice" : `${fits} in ${quantity(dram, "B")}`,
      estimate.fits_in_memory ? "" : "bad"));
  } else {
    cards.push(card("peak_memory_bytes", "Peak memory", totals.peak_memory_bytes, "B",
      `activations ${quantity(totals.peak_activation_bytes, "B")}`));
  }
  cards.push(card("flops", "FLOPs", flops, "FLOP", `${quantity(totals.macs, "MAC")} in contractions; a multiply-add is 2 FLOP`));
  cards.push(card("traffic_bytes", "Traffic", totals.bytes_read + totals.bytes_written, "B",
    `${quantity(totals.bytes_read, "B")} read, each op by itself`));
  cards.push(card("parameters", "Parameters", totals.parameters, "", quantity(totals.parameter_bytes, "B")));
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
  const band = `Band: four of five measurements are expected inside; constants of ${said.constants || "unknown origin"}.`;
  const peaks = said.verified === "yes" ? "Peaks are from the datasheet and were verified" : "Peaks are from the datasheet and NOT verified";
  byId("origin-summary").textContent = `${band} ${peaks}${said.verified === "yes" && said.unverified ? ", with exceptions" : ""}.`;
  const lines = [
    ["machine", `${view.machine.name} (${view.machine.kind}, family ${view.machine.family})`],
    ["peaks and memory", said.datasheet || "no source is given"],
    ["not verified", said.unverified || (said.verified === "yes" ? "nothing" : "the whole file")],
    ["constants of time", said.constants || "not known"],
    ["error band", `${said.band || "not known"}; ${percent(view.machine.spread)} where a kind of kernel has none of its own`],
    ["energy", "predicted from the same terms; its band is wider than that of the time"],
  ];
  if (view.estimate.cost) lines.push(["price", `${view.estimate.cost.price.text}${view.estimate.cost.price.dated ? `, of ${view.estimate.cost.price.dated}` : ""}`]);
  byId("origin").replaceChildren(...lines.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function drawLedger(view) {
  const lines = [];
  const { nodes, modelled_nodes: modelled, unmodelled: missing } = profile.coverage;
  if (missing.length) {
    lines.push(element("li", { class: "bad" }, `Not modelled, and in no figure: ${missing.map((entry) => `${entry.op} x${entry.count}`).join(", ")} (${modelled} of ${nodes} nodes are modelled).`));
  } else {
    lines.push(element("li", {}, `All ${nodes} nodes are modelled.`));
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
