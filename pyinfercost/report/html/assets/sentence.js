/* The first sentence: the time, what most of it is spent on, and what would reduce that. */
const WAITS = {
  compute: "is arithmetic",
  dram: "waits for memory",
  cache: "waits for caches",
  link: "waits for links between devices",
  launch: "waits for kernels to start",
};
const PLAIN_EFFECTS = new Set([
  "matrix unit",
  "vector unit",
  "dram bandwidth",
  "cache-resident",
  "link bandwidth",
  "launch floor",
]);
const SHARES = [
  [0.93, "nearly all"],
  [0.79, ""],
  [0.72, "three quarters"],
  [0.69, ""],
  [0.64, "two thirds"],
  [0.54, ""],
  [0.46, "half"],
  [0.36, ""],
  [0.3, "a third"],
  [0, ""],
];

function shareOf(share) {
  const [, words] = SHARES.find(([least]) => share >= least);
  return words || `${Math.round(100 * share)} %`;
}

/* A machine without its vendor and remarks: "L4", "H100 SXM5 80GB". */
const shortName = (machine) => machine.name.replace(/^(NVIDIA|AMD|Intel|Google|AWS) /, "").replace(/ \(.*\)$/, "");
function withArticle(name) {
  const spelled = /^[A-Z]+\d|^[A-Z]+( |$)/.test(name);
  return `${(spelled ? /^[AEFHILMNORSX]/ : /^[AEIOU]/).test(name) ? "an" : "a"} ${name}`;
}

/* Effects among the layers that a term binds, with their shares of the whole time, the largest first. */
function effectsWithin(view, bound = null) {
  const taken = new Map();
  const whole = sum(view.layers.map((layer) => layer.latency_s));
  for (const layer of view.layers) {
    if (!layer.latency_s || (bound && layer.bound !== bound)) continue;
    taken.set(layer.effect, (taken.get(layer.effect) || 0) + (layer.effect_share * layer.latency_s) / whole);
  }
  return [...taken].sort((one, other) => other[1] - one[1]);
}

function timeText({ estimate, machine, sizes }) {
  const where = estimate.devices > 1 ? `${estimate.devices} x ${shortName(machine)}` : withArticle(shortName(machine));
  const time = quantity(estimate.latency_s, "s");
  const each = (rate, what) => (rate ? ` (${digits(rate)} ${what} per second)` : "");
  if (estimate.tpot_s)
    return `${quantity(estimate.tpot_s, "s")} per output token on ${where}${each(estimate.tokens_per_s, "tokens")}`;
  if (estimate.ttft_s)
    return `${quantity(estimate.ttft_s, "s")} to the first token on ${where}${each(estimate.tokens_per_s, "tokens")}`;
  return (
    `${time}${sizes.batch > 1 ? ` for a batch of ${sizes.batch}` : ""} on ${where}` +
    `${each(estimate.throughput_per_s, sizes.batch ? "items" : "forwards")}`
  );
}

function sentenceOf(view) {
  const { estimate, totals } = view;
  if (!estimate) {
    return (
      `${quantity(valueOfFigure(view, "flops"), "FLOP")}, ${quantity(totals.parameters, "")} parameters and ` +
      `${quantity(totals.peak_memory_bytes, "B")} at the peak; a machine (--hardware) adds time, energy and ` +
      "cost."
    );
  }
  const parts = [];
  if (estimate.fits_in_memory === false) parts.push("Does not fit into the memory of the machine. If it did: ");
  parts.push(timeText(view));
  const bounds = Object.entries(estimate.bound).sort((one, other) => other[1] - one[1]);
  let remedy = "";
  if (bounds.length && bounds[0][1] > 0) {
    const [bound, share] = bounds[0];
    parts.push(`; ${shareOf(share)} of it ${WAITS[bound] || `is bound by ${bound}`}`);
    const [effect, taken] = effectsWithin(view, bound)[0] || ["", 0];
    if (effect && !PLAIN_EFFECTS.has(effect))
      parts.push(taken >= share / 2 ? `, mostly ${effect}` : `, most of all ${effect} (${percent(taken)} of the time)`);
    remedy = (SAID.effects[effect] || {}).remedy || "";
    if (SETUP)
      remedy = remedy.replace(/\(--execution ([\w-]+)\)/, (_, name) => `(execution: ${EXECUTION_NAMES[name] ?? name})`);
  }
  if (SAID.hint && view.isReported) parts.push(`: ${SAID.hint}`);
  else if (remedy) parts.push(`: ${remedy} would reduce it`);
  return `${parts.join("")}.`;
}
