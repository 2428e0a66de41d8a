/* Figures along one size: a line, its band, the point that is chosen, and the knee. */
const CURVE_FIGURES = [
  { key: "latency_s", title: "Latency", unit: "s", band: true },
  { key: "throughput_per_s", title: "Throughput", unit: "per s", rate: true },
  { ...ofTokens("throughput_per_s"), title: "Tokens", words: "", rate: true, tokens: true },
  { key: "cost_usd", title: "Cost", unit: "USD", items: 1e6, words: "USD per million items", priced: true },
  { ...ofTokens("cost_usd"), words: "", priced: true, tokens: true },
  { key: "energy_j", title: "Energy", unit: "J" },
  { key: "peak_memory_bytes", title: "Memory", unit: "B", memory: true },
];
const KNEE = 0.9;
const PATIENCE_MS = 20;
const CURVE_POINTS = 41;

function makeCurves(evaluator, choose) {
  let [axis, figure] = ["", "latency_s"];
  let shown = null;
  const axes = element("select", { "aria-label": "Size along the chart" });
  const figures = element("select", { "aria-label": "Figure" });
  byId("curve-tools").replaceChildren(figures, element("span", {}, "along"), axes);
  axes.addEventListener("change", () => {
    axis = axes.value;
    byId("curves-panel").dispatchEvent(new Event("redraw"));
  });
  figures.addEventListener("change", () => {
    figure = figures.value;
    byId("curves-panel").dispatchEvent(new Event("redraw"));
  });

  function offer(view, state) {
    const names = sizesOf(state).map(({ name }) => name);
    if (!names.includes(axis)) [axis] = names;
    axes.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    axes.value = axis;
    const allowed = CURVE_FIGURES.filter(
      (each) =>
        (!each.tokens || view.estimate.tokens) &&
        (!each.priced || view.estimate.cost) &&
        (each.key !== "energy_j" || view.estimate.energy_j !== null),
    );
    if (!allowed.some(({ key }) => key === figure)) figure = "latency_s";
    figures.replaceChildren(...allowed.map(({ key, title }) => element("option", { value: key }, title)));
    figures.value = figure;
  }

  /* The curve of a state for the size and the figure that are chosen. */
  async function curveOf(state) {
    const size = sizesOf(state).find(({ name }) => name === axis);
    const wanted = Math.max(
      4 * state.sizes[axis],
      { batch: 512, context: 32768, sequence: 8192 }[size.role] ?? 4 * size.value,
    );
    const high = Math.max(state.sizes[axis], Math.min(wanted, reachOf(size, wanted)));
    const values = [...new Set([...spread(size.minimum, high, CURVE_POINTS), state.sizes[axis]])].sort(
      (one, other) => one - other,
    );
    const row = CURVE_FIGURES.find(({ key }) => key === figure);
    const columns = [
      row.key,
      "throughput_per_s",
      "peak_memory_bytes",
      ...(row.band ? ["latency_low_s", "latency_high_s"] : []),
    ];
    const of = axis;
    const [found] = await evaluator.curve(state, [state.machine], of, values, [...new Set(columns)]);
    return {
      of,
      values,
      found,
      row,
      held: found.refused ? null : await heldOf(state, of, values, found.peak_memory_bytes),
    };
  }

  /* The largest value that fits into the memory: between two points of the chart, others are asked for. */
  async function heldOf(state, of, values, bytes) {
    const { memory } = SETUP.machineOf.get(state.machine).machine;
    const capacity = memory[memory.length - 1].capacity_bytes;
    let [tried, taken] = [values, bytes];
    for (;;) {
      const unfit = capacity === null ? -1 : taken.findIndex((each) => each > capacity);
      if (unfit < 0) return null;
      if (!unfit || tried[unfit] - tried[unfit - 1] <= 1) return unfit ? tried[unfit - 1] : 0;
      tried = spread(tried[unfit - 1], tried[unfit], CURVE_POINTS);
      const [finer] = await evaluator.curve(state, [state.machine], of, tried, ["peak_memory_bytes"]);
      if (finer.refused) return tried[0];
      taken = finer.peak_memory_bytes;
    }
  }

  /* Begins with the curve of a state, so that the core computes it while the page draws the point. */
  let ahead = null;
  function prepare(state) {
    if (!sizesOf(state).some(({ name }) => name === axis)) return;
    const curve = curveOf(state);
    curve.catch(() => {}); /* told where it is shown */
    ahead = { state, curve };
  }
  /* Resolves when the curve is there, or after a while: drawn together with the point it costs one layout of the
     page. */
  const prepared = () =>
    Promise.race([ahead ? ahead.curve.catch(() => {}) : null, new Promise((done) => setTimeout(done, PATIENCE_MS))]);

  async function update(view, state, current) {
    const panel = byId("curves-panel");
    panel.hidden = !sizesOf(state).length;
    if (panel.hidden) return;
    offer(view, state);
    let made = ahead && ahead.state === state ? await ahead.curve : null;
    if (!made || made.of !== axis || made.row.key !== figure) made = await curveOf(state);
    const { values, found, row, held } = made;
    if (found.refused) throw new Refused(found.refused);
    if (!current()) return;
    shown = { view, state: { ...state, sizes: { ...state.sizes } }, values, found, row, largest: held };
    draw();
  }

  function draw() {
    if (!shown || byId("curves-panel").hidden) return;
    const { view, state, values, found, row, largest } = shown;
    const times = row.items || 1;
    const ys = found[row.key].map((value) => value * times);
    const place = byId("curve");
    if (!ys.some((value) => value > 0)) {
      /* a graph that takes no time */
      eraseChart(place);
      byId("curve-note").textContent = `${row.words || row.title}: it is zero, or not known.`;
      return;
    }
    const at = values.indexOf(state.sizes[axis]);
    const [low, high] = [values[0], values[values.length - 1]];
    const lows = row.band ? found.latency_low_s : ys;
    const highs = row.band ? found.latency_high_s : ys;
    const yLow = Math.min(...lows.filter((value) => value > 0)) * 0.8;
    const shownAt = (column) => column.map((value) => Math.max(value, yLow));
    const { memory } = view.machine;
    const capacity = memory[memory.length - 1].capacity_bytes;
    const unfit = capacity === null ? -1 : found.peak_memory_bytes.findIndex((bytes) => bytes > capacity);
    const held = unfit < 0 ? values.length : unfit;
    const knee = kneeOf(found.throughput_per_s.slice(0, held));
    const isBatch = size(axis).role === "batch";
    /* near the end of the chart, none is known */
    const hasKnee = isBatch && knee > 0 && 2 * values[knee] <= values[held - 1];
    const fits = shownAt(ys).map((value, index) => (index < held ? value : null));
    const beyond = shownAt(ys).map((value, index) => (index >= held - 1 ? value : null));
    drawChart(place, {
      title: `${row.title} along ${axis}`,
      role: "slider",
      aria: {
        valuemin: low,
        valuemax: high,
        valuenow: state.sizes[axis],
        valuetext: `${axis} ${state.sizes[axis]}: ${quantity(ys[at], row.unit)}`,
      },
      height: (width) => Math.min(Math.max(width * 0.45, 240), 360),
      x: { low: high > low ? low : low / 2, high: high > low ? high : 2 * low, log: true, label: axis, ticks: 12 },
      y: { low: yLow, high: Math.max(...highs) * 1.25, log: true, ticks: 6, text: (tick) => tickOf(tick, row.unit) },
      at: values,
      lines: [
        { values: shownAt(lows) },
        { values: shownAt(highs), above: 0, fill: "accent", opacity: 0.13 },
        { values: fits, color: "accent", width: 2 },
        { values: beyond, color: "accent", width: 2, dash: [6, 4] },
      ],
      items: values.map((value, index) => ({ x: value, y: ys[index], css: index === at ? "here" : undefined })),
      nearest: true,
      begin: at,
      tell: (index) => [
        `${axis} ${values[index]}`,
        `${quantity(ys[index], row.unit)}${row.items > 1 ? " per million" : ""}`,
      ],
      pick: (index) => choose(axis, values[index]),
      marks: [
        ...(row.memory && capacity
          ? [{ y: capacity, text: `the machine has ${quantity(capacity, "B")}`, css: "bad" }]
          : []),
        ...(hasKnee ? [{ x: values[knee], text: `knee at ${values[knee]}` }] : []),
      ],
    });
    byId("curve-note").textContent =
      `${row.words || row.title} on ${view.estimate.devices > 1 ? `${view.estimate.devices} x ` : ""}` +
      `${shortName(view.machine)}; the dot is the chosen ${axis}.` +
      (hasKnee
        ? ` At ${axis} ${values[knee]}, the knee, the rate is ${100 * KNEE} % of the largest in the chart; ` +
          "from there on, latency grows faster than the rate."
        : isBatch && held > 1
          ? ` The rate grows up to the ${held < values.length ? "largest that fits" : "end of the chart"}: ` +
            `take the largest ${axis} whose latency is short enough.`
          : "") +
      (held < values.length
        ? ` Dashed: ${held ? `from ${axis} ${largest + 1} on, ` : ""}it does not fit into the memory.`
        : "") +
      (isBatch ? keptWords(view, state) : "") +
      " Choose a point in the chart to go there.";
  }

  /* A serving engine holds fewer sequences than the memory would: it keeps a part of that for itself. */
  function keptWords({ estimate: { max_sequences: most, memory, layout } }, { engine }) {
    if (most === null || engine === "torch" || memory?.reserved_bytes === undefined) return "";
    return (
      ` The caches of ${ENGINE_NAMES[engine]} hold ${most} sequences${layout.data > 1 ? " of each copy" : ""}` +
      ` at once: beside the weights, it keeps ${quantity(memory.reserved_bytes, "B")} of a device for its ` +
      "steps and as a reserve; the chart counts what a step needs."
    );
  }
  const size = (name) => sizesOf(shown.state).find((each) => each.name === name);
  /* The first point whose rate is near the largest one. */
  const kneeOf = (rates) => rates.findIndex((rate) => rate >= KNEE * Math.max(...rates));
  function refuse(message) {
    shown = null;
    eraseChart(byId("curve"));
    byId("curve-note").textContent = `There is no such chart: ${message}.`;
  }
  return { prepare, prepared, update, refuse };
}
