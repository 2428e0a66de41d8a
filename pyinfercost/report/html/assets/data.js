/* What is shown: the profile that the report is of, or another of the points that were computed with it. */
const profile = JSON.parse(byId("pyinfercost-profile").textContent);
profile.layers = unfolded(profile.layers);
const NO_ESTIMATE = profile.estimate === null;
const FIGURES = SAID.cards;

/* Layers are stored as indices of distinct ones, and of the values in which equal layers differ. */
function unfolded({ keys, rows, row, own }) {
  const layers = row.map((at) => Object.fromEntries(keys.map((key, place) => [key, rows[at][place]])));
  for (const [key, { values, at }] of Object.entries(own)) at.forEach((place, index) => { layers[index][key] = values[place]; });
  return layers;
}

function viewOfProfile() {
  return {
    sizes: profile.sizes, precision: profile.precision, totals: profile.totals, memory: profile.memory,
    estimate: profile.estimate, machine: NO_ESTIMATE ? null : profile.estimate.machine, layers: profile.layers, isReported: true,
  };
}

async function unpackPoints() {
  const packed = byId("pyinfercost-points").textContent.trim();
  if (!packed || typeof DecompressionStream === "undefined") return null;
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

/* A point of the grid as a view; null where there is none. */
function viewOfPoint(points, place) {
  if (place === points.base) return viewOfProfile();
  const point = points.points[place];
  if (point.refused !== undefined) return null;
  const keys = Object.keys(point.layers);
  const columns = keys.map((key) => points.columns[point.layers[key]]);
  const layers = profile.layers.map((own, row) => {
    const layer = { module: own.module, op: own.op, phase: own.phase };
    keys.forEach((key, at) => { layer[key] = columns[at][row]; });
    return layer;
  });
  return { ...point, machine: points.machines[point.estimate.machine], layers };
}

/* Switches choose a value on each axis; the last axis is the fastest. */
const placeOf = (points, chosen) => points.axes.reduce((place, axis, at) => place * axis.values.length + chosen[at], 0);
function chosenAt(points, place) {
  const chosen = [];
  for (let at = points.axes.length - 1; at >= 0; at--) {
    const count = points.axes[at].values.length;
    chosen[at] = place % count;
    place = Math.floor(place / count);
  }
  return chosen;
}

/* What computes nothing, moves nothing and takes no time (a view) has no row, unless it is not modeled. */
function isIdle(layer) {
  const known = layer.latency_s !== null || NO_ESTIMATE;
  return known && !layer.contraction_flops && !layer.pointwise_flops && !layer.bytes_read && !layer.bytes_written
    && !layer.latency_s && !unmodelled.has(layer.op);
}
const unmodelled = new Set(profile.coverage.unmodelled.map((entry) => entry.op));
const ownParameters = new Map(profile.modules.map((module) => [module.module, module.parameters]));

/* The figures of a row: those of its layers together. */
function figuresOf(view, node) {
  const layers = node.layers.map((index) => view.layers[index]);
  const flops = sum(layers.map((layer) => layer.contraction_flops + layer.pointwise_flops));
  const bytes = sum(layers.map((layer) => layer.bytes_read + layer.bytes_written));
  const timed = layers.filter((layer) => layer.latency_s);
  const latency = NO_ESTIMATE ? null : sum(timed.map((layer) => layer.latency_s));
  const whole = NO_ESTIMATE ? 0 : view.estimate.latency_s;
  const wholeFlops = view.totals.contraction_flops + view.totals.pointwise_flops;
  const by = {};
  for (const layer of timed) by[layer.bound] = (by[layer.bound] || 0) + layer.latency_s;
  const bound = Object.keys(by).sort((one, other) => by[other] - by[one])[0];
  const energies = layers.map((layer) => layer.energy_j).filter((energy) => energy !== null && energy !== undefined);
  const cost = NO_ESTIMATE || !view.estimate.cost || !whole ? null : view.estimate.cost.usd_per_million * latency / whole;
  return {
    flops, bytes, intensity: bytes ? flops / bytes : null, latency, cost,
    share: NO_ESTIMATE ? (wholeFlops ? flops / wholeFlops : null) : (whole ? latency / whole : null),
    energy: energies.length ? sum(energies) : null,
    bound: NO_ESTIMATE ? "" : bound || (layers.some((layer) => unmodelled.has(layer.op)) ? "unknown" : "fused"),
  };
}
