/* What is shown is a view: a point of a model, with the figures of its layers. That of the stored profile is drawn at
   once; those of other points are answers of the core. A start page has no profile. */
if (typeof DecompressionStream === "undefined") {
  const figures = new DOMParser()
    .parseFromString(document.querySelector("noscript").textContent, "text/html")
    .querySelector("pre");
  document.body.prepend(element("p", {}, "This browser cannot unpack the report. The same figures as text:"), figures);
  document.documentElement.dataset.ready = "true";
  await new Promise(() => {}); /* it never resolves, so that no script after this one runs */
}
const STORED = JSON.parse(await unpackedText(byId("pyinfercost-profile").textContent));
const FIGURES = SAID.cards;
/* The figure of tokens in the place of one of items, and the cost where items are tokens. */
const ofTokens = (key) => FIGURES.find(({ replaces }) => replaces === key);
const costKey = (tokens) => (tokens ? ofTokens("cost_usd").key : "cost_usd");

/* Layers are stored as indices of distinct ones, and of the values in which equal layers differ. */
function unfolded({ keys, rows, row, own }) {
  const layers = row.map((at) => Object.fromEntries(keys.map((key, place) => [key, rows[at][place]])));
  for (const [key, { values, at }] of Object.entries(own))
    at.forEach((place, index) => {
      layers[index][key] = values[place];
    });
  return layers;
}

/* `plant` is what the tree of modules depends on: it is the same object at all points of a deployed graph. */
function plantOf(layers, coverage, parameters) {
  return { layers, unmodelled: new Set(coverage.unmodelled.map((entry) => entry.op)), parameters };
}

function viewOfProfile() {
  const layers = unfolded(STORED.layers);
  const parameters = new Map(STORED.modules.map((module) => [module.module, module.parameters]));
  const { estimate } = STORED;
  return {
    ...STORED,
    layers,
    machine: estimate ? estimate.machine : null,
    plant: plantOf(layers, STORED.coverage, parameters),
    isReported: true,
  };
}

/* What computes nothing, moves nothing and takes no time (a view) has no row, unless it is not modeled. */
function isIdle(layer, plant) {
  return (
    !layer.contraction_flops &&
    !layer.pointwise_flops &&
    !layer.bytes_read &&
    !layer.bytes_written &&
    !layer.latency_s &&
    !plant.unmodelled.has(layer.op)
  );
}

/* The figures of a row: those of its layers together. */
function figuresOf(view, node) {
  const { estimate, totals, layers, plant } = view;
  let [flops, bytes, latency, energy, energyKnown] = [0, 0, 0, 0, false];
  const by = {};
  for (const index of node.layers) {
    const layer = layers[index];
    flops += layer.contraction_flops + layer.pointwise_flops;
    bytes += layer.bytes_read + layer.bytes_written;
    if (layer.latency_s) {
      latency += layer.latency_s;
      by[layer.bound] = (by[layer.bound] || 0) + layer.latency_s;
    }
    if (layer.energy_j !== null && layer.energy_j !== undefined) {
      energy += layer.energy_j;
      energyKnown = true;
    }
  }
  const whole = estimate ? estimate.latency_s : 0;
  const wholeFlops = totals.contraction_flops + totals.pointwise_flops;
  const bound = Object.keys(by).sort((one, other) => by[other] - by[one])[0];
  const missing = () => node.layers.some((index) => plant.unmodelled.has(layers[index].op));
  return {
    flops,
    bytes,
    intensity: bytes ? flops / bytes : null,
    latency: estimate ? latency : null,
    cost: estimate && estimate.cost && whole ? (estimate.cost.usd_per_million * latency) / whole : null,
    share: estimate ? (whole ? latency / whole : null) : wholeFlops ? flops / wholeFlops : null,
    energy: energyKnown ? energy : null,
    bound: estimate ? bound || (missing() ? "unknown" : "fused") : "",
  };
}

const nameOf = (layer) => `${layer.module || "(model)"} · ${layer.op.replace(/^(aten|engine)\./, "")}`;
