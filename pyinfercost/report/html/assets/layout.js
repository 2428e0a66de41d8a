/* How the model lies on several devices: nodes with their devices, what each holds, and what travels between them. */
const MOST_DRAWN = 16;

/* The repeated layers of a model: the most frequent list of modules, and its first and last number. */
function layerRange(layers) {
  const lists = new Map();
  for (const { module } of layers) {
    const found = /^(.*?)\.(\d+)(?:\.|$)/.exec(module || "");
    if (!found) continue;
    const known = lists.get(found[1]) || { name: found[1], calls: 0, first: Infinity, last: -Infinity };
    known.calls += 1;
    known.first = Math.min(known.first, Number(found[2]));
    known.last = Math.max(known.last, Number(found[2]));
    lists.set(found[1], known);
  }
  return [...lists.values()].sort((one, other) => other.calls - one.calls)[0] || null;
}

/* The place of a rank on each axis: neighbors share products, then the tokens of a prompt, then stages follow. */
function placeOfRank(rank, { tensor = 1, context = 1, pipeline = 1 }) {
  const within = Math.floor(rank / tensor);
  return {
    tensor: rank % tensor,
    context: within % context,
    pipeline: Math.floor(within / context) % pipeline,
    data: Math.floor(within / context / pipeline),
  };
}

/* The layers of a stage, and its other modules. */
function stageLines({ modules, latency_s: latency, memory_bytes: memory }, number, stages) {
  const layers = modules
    .map((module) => /\.(\d+)$/.exec(module))
    .filter(Boolean)
    .map((found) => Number(found[1]));
  const others = modules.filter((module) => !/\.\d+$/.test(module)).map((module) => module.split(".").pop());
  const parts = layers.length ? [`layers ${layers[0]}-${layers[layers.length - 1]}`] : [];
  return [
    `stage ${number + 1} of ${stages}`,
    [...parts, ...new Set(others)].join(", ") || "no module",
    `${quantity(latency, "s")}, ${quantity(memory, "B")}`,
  ];
}

/* What a rank has, in short lines. */
function holdings(rank, estimate, range) {
  const { layout } = estimate;
  const place = placeOfRank(rank, layout);
  const lines = [];
  const stage = (estimate.stages || [])[place.pipeline];
  if (stage) lines.push(...stageLines(stage, place.pipeline, layout.pipeline));
  else if (range) lines.push(`layers ${range.first}-${range.last}`);
  if (layout.tensor > 1) lines.push(`heads, columns: 1/${layout.tensor}`);
  if (layout.expert > 1) lines.push(`experts: 1/${layout.expert}`);
  if (layout.context > 1) lines.push(`tokens ${place.context + 1} of ${layout.context}`);
  const copies = (layout.data || 1) * (layout.attention_data || 1);
  if (copies > 1) {
    const own =
      place.data * (layout.attention_data || 1) +
      Math.floor(place.tensor / ((layout.tensor || 1) / (layout.attention_data || 1)));
    lines.push(`batch ${own + 1} of ${copies}`);
  }
  return lines;
}

const WAYS = {
  all_reduce: "sums",
  reduce_scatter: "sums, each device a part",
  all_gather: "parts, to all devices",
  all_to_all: "parts, to their devices",
  send: "activations, to the next stage",
  dispatch: "tokens, to their experts",
  combine: "results of experts, to their tokens",
  broadcast: "from one device to all",
};

function travels({ op, devices, nodes, calls, bytes_sent: bytes, latency_s: latency }) {
  const where = nodes > 1 ? `between ${nodes} nodes` : "inside a node";
  const swatch = element("span", { class: `swatch ${nodes > 1 ? "network" : "near"}` });
  const text =
    `${calls} x ${op} (${WAYS[op] || op}), ${devices} devices ${where}: a device sends ` +
    `${quantity(bytes, "B")} in ${quantity(latency, "s")}`;
  return element("li", {}, swatch, text);
}

function useLine(title, use) {
  const parts = [
    `weights ${quantity(use.weight_bytes, "B")}`,
    use.kv_cache_bytes === null ? "" : `KV cache ${quantity(use.kv_cache_bytes, "B")}`,
    `${quantity(use.memory_bytes, "B")} at the peak`,
    quantity(use.contraction_flops + use.pointwise_flops, "FLOP"),
    `${quantity(use.bytes_sent, "B")} sent`,
    use.energy_j === null ? "" : quantity(use.energy_j, "J"),
    use.link_energy_j ? `${quantity(use.link_energy_j, "J")} of it links` : "",
    use.usd_per_h === null ? "" : `${digits(use.usd_per_h)} USD/h`,
  ];
  return [element("dt", {}, title), element("dd", {}, parts.filter(Boolean).join(", "))];
}

function drawLayout(view) {
  const { estimate } = view;
  const shown = Boolean(estimate && estimate.per_device && estimate.devices > 1);
  byId("layout-panel").hidden = !shown;
  if (!shown) return;
  const { devices, nodes, layout } = estimate;
  const drawn = Math.min(devices, MOST_DRAWN);
  const inNode = Math.ceil(devices / nodes);
  const text =
    Object.entries(layout)
      .map(([name, value]) => `${name}=${Number(value)}`)
      .join(", ") || "copies of the model";
  byId("layout-note").textContent =
    `${devices} devices in ${nodes} node${nodes > 1 ? "s" : ""}, ${text}.` +
    (drawn < devices ? ` The first ${drawn} are drawn.` : "");
  const range = layerRange(view.layers);
  const place = byId("layout");
  const near = estimate.exchanges.some((exchange) => exchange.nodes === 1);
  const far = estimate.exchanges.some((exchange) => exchange.nodes > 1);
  const wire = near ? " near" : far ? " network" : "";
  const columns = Math.max(1, Math.min(inNode, 8, Math.floor((place.clientWidth - 24) / 132)));
  const tensor = layout.tensor || 1;
  /* A wire below the devices of a group that shares products. */
  const isWired = (rank, at, ranks) =>
    wire &&
    at % columns !== columns - 1 &&
    at !== ranks - 1 &&
    (tensor === 1 || (rank + 1) % tensor !== 0 || layout.expert > tensor);
  const boxes = Array.from({ length: Math.ceil(drawn / inNode) }, (_, node) => {
    const ranks = Math.min(inNode, drawn - node * inNode);
    const devices = Array.from({ length: ranks }, (__, at) => {
      const rank = node * inNode + at;
      const lines = holdings(rank, estimate, range).map((text) => element("small", { title: text }, text));
      const css = `device${isWired(rank, at, ranks) ? ` wired${wire}` : ""}`;
      return element("div", { class: css }, element("strong", {}, `rank ${rank}`), ...lines);
    });
    return element(
      "div",
      { class: `node${far && node ? " linked" : ""}` },
      element("p", { class: "note" }, nodes > 1 ? `node ${node}` : "one node"),
      element("div", { class: "ranks", style: `grid-template-columns:repeat(${columns},minmax(0,1fr))` }, ...devices),
    );
  });
  place.replaceChildren(...boxes);
  byId("layout-travels").replaceChildren(
    ...(estimate.exchanges.length
      ? estimate.exchanges.map(travels)
      : [element("li", {}, "Nothing travels between the devices.")]),
  );
  byId("layout-uses").replaceChildren(
    ...useLine("a device", estimate.per_device),
    ...useLine(`all ${devices}`, estimate.in_all),
  );
}
