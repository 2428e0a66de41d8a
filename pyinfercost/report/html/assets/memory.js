/* What is held while each node runs: weights below, live tensors and workspace on top. */
function drawMemory(view, pick) {
  const place = byId("memory");
  const live = view.layers.map((layer) => layer.live_activation_bytes);
  const resident = view.totals.peak_memory_bytes - view.totals.peak_activation_bytes;
  const peak = live.indexOf(Math.max(...live));
  const note = byId("memory-note");
  if (!live.length || live.some((bytes) => typeof bytes !== "number")) {
    note.textContent = "Not known: it depends on sizes that have no value.";
    eraseChart(place);
    return null;
  }
  const owner = view.layers[peak];
  const stages =
    view.estimate && view.estimate.stages && view.estimate.stages.length ? "All stages together: peak" : "Peak";
  note.textContent =
    `${stages} ${quantity(view.totals.peak_memory_bytes, "B")}: ${quantity(resident, "B")} of weights and buffers, ` +
    `${quantity(live[peak], "B")} while ${nameOf(owner)} runs.`;
  const dram = view.machine ? view.machine.memory[view.machine.memory.length - 1].capacity_bytes : null;
  const most = live[peak];
  const room = dram === null ? Infinity : dram - resident;
  const high = Math.max(most, room > 0 && room < 2.5 * most ? room : 0) * 1.15 || 1;
  const steps = stepsOf(live.map((_, node) => [node, node + 1]));
  const weights = -0.14 * high; /* drawn to scale, weights would leave no room for what changes */
  const level = (value) => ({ values: steps.at.map(() => value) });
  const name = owner.module || owner.op;
  return drawChart(place, {
    title: note.textContent,
    role: "application",
    aria: WALKED,
    height: () => 250,
    x: { low: 0, high: live.length, label: `nodes in execution order (${live.length})` },
    y: { low: weights, high, text: (tick) => (tick < 0 ? "" : tickOf(tick, "B")) },
    at: steps.at,
    lines: [
      level(weights),
      { ...level(0), above: 0, fill: "weights" },
      { values: steps.of(live), above: 1, fill: "live" },
    ],
    items: live.map((_, node) => ({ x: node + 0.5 })),
    nearest: true,
    begin: peak,
    tell: (node) => [
      nameOf(view.layers[node]),
      `${quantity(resident + live[node], "B")} held, ${quantity(live[node], "B")} of it live`,
    ],
    pick,
    marks: [
      { x: 0, y: weights, text: `weights and buffers ${quantity(resident, "B")} (not to scale)`, css: "inside" },
      { x: peak + 0.5, y: most, text: `peak: ${name.length > 40 ? `…${name.slice(-40)}` : name}`, css: "peak inside" },
      ...(room > 0 && room < high ? [{ y: room, text: `the machine has ${quantity(dram, "B")}`, css: "bad" }] : []),
    ],
  });
}
