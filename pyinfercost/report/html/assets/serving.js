/* A server under load, simulated: what requests wait for, and what tokens cost, against the rate of requests. */
const SERVED_REQUESTS = 10000;
const SERVED_RATES = 10;
const TRIED_REQUESTS = 2000; /* for the rate that a server reaches at most */
const ENDLESS_RATE = 1e6;
const LENGTHS = 0.5; /* standard deviation of lengths over their mean */
const SERVED_FIGURES = [
  {
    key: "ttft",
    title: "Time to the first token",
    unit: "s",
    of: ({ latencies }) => [latencies.ttft_s.p50, latencies.ttft_s.p99],
    limit: "ttft_s",
  },
  {
    key: "tpot",
    title: "Time per output token",
    unit: "s",
    of: ({ latencies }) => [latencies.tpot_s.p50, latencies.tpot_s.p99],
    limit: "tpot_s",
  },
  {
    key: "e2e",
    title: "Time of a request",
    unit: "s",
    of: ({ latencies }) => [latencies.e2e_s.p50, latencies.e2e_s.p99],
  },
  { key: "tokens", title: "Output tokens", unit: "per s", of: ({ tokens_per_s: rate }) => [rate] },
  {
    key: "usd",
    title: "Cost of a million output tokens",
    unit: "USD",
    of: (found) => [found[costKey(true)]],
    priced: true,
  },
];

function makeServing(evaluator, set) {
  let figure = "ttft";
  let shown = null;
  const inputs = new Map();
  const number = (key, title, unit, scale = 1) => {
    const input = element("input", { type: "number", min: 0, step: "any", name: key, "aria-label": title });
    input.addEventListener("change", () => {
      if (Number(input.value) > 0) set(key, Number(input.value) / scale);
    });
    inputs.set(key, { input, scale });
    return element("label", {}, `${title} `, input, unit);
  };
  const figures = element("select", { "aria-label": "Figure of the server" });
  figures.addEventListener("change", () => {
    figure = figures.value;
    draw();
  });
  byId("serving-tools").replaceChildren(
    number("rate_per_s", "Requests per second", ""),
    number("prompt", "prompt tokens", ""),
    number("output", "output tokens", ""),
    number("ttft_s", "first token (p99) within", " ms", 1e3),
    number("tpot_s", "each further token (p99) within", " ms", 1e3),
  );
  byId("serving-figures").replaceChildren(figures);

  async function update(view, state, current) {
    const panel = byId("serving-panel");
    panel.hidden =
      !SETUP.phases.some(({ name }) => name === "decode") || !SETUP.phases.some(({ name }) => name === "prefill");
    if (panel.hidden) return;
    for (const [key, { input, scale }] of inputs)
      if (document.activeElement !== input) input.value = Number((state[key] * scale).toPrecision(6));
    if (!SETUP.all_engines[state.engine].serves || state.engine === "torch") {
      shown = null;
      eraseChart(byId("serving"));
      byId("serving-figures").hidden = true;
      const [engine] = Object.keys(SETUP.engines).filter((name) => name !== "torch" && SETUP.all_engines[name].serves);
      const go = element("button", { type: "button" }, `Serve with ${ENGINE_NAMES[engine] || engine}`);
      go.addEventListener("click", () => set("engine", engine));
      byId("serving-note").textContent = "";
      byId("serving-answer").replaceChildren(
        "PyTorch by itself does not batch the requests of a server. ",
        engine ? go : "",
      );
      return;
    }
    byId("serving-figures").hidden = false;
    if (!shown)
      byId("serving-answer").textContent =
        `Simulating ${SERVED_REQUESTS.toLocaleString("en")} requests at each of ${SERVED_RATES} rates ...`;
    const begin = performance.now();
    const server = await evaluator.server(state);
    const rates = Array.from({ length: SERVED_RATES }, (_, at) => (server.most_per_s * (at + 1)) / SERVED_RATES);
    const curve = await server.serve(rates);
    if (!current()) return;
    document.documentElement.dataset.servingMs = String(performance.now() - begin);
    shown = { state: { ...state }, curve, server, fleet: undefined };
    draw();
    shown.fleet = await fleetOf(shown);
    if (!current()) return;
    draw();
  }

  const holds =
    (state) =>
    ({ latencies }) =>
      latencies.ttft_s.p99 <= state.ttft_s && latencies.tpot_s.p99 <= state.tpot_s;

  /* The fewest servers that hold the limits at the asked rate: by the rate of one that does, and then simulated. */
  async function fleetOf({ state, curve, server }) {
    const held = curve.filter(holds(state));
    if (!held.length) return null;
    const [low] = held.slice(-1);
    const next = curve.find(({ rate_per_s: rate }) => rate > low.rate_per_s);
    let best = low.rate_per_s;
    if (next) {
      const finer = await server.serve(
        Array.from(
          { length: SERVED_RATES - 1 },
          (_, at) => low.rate_per_s + ((next.rate_per_s - low.rate_per_s) * (at + 1)) / SERVED_RATES,
        ),
      );
      best = Math.max(best, ...finer.filter(holds(state)).map(({ rate_per_s: rate }) => rate));
    }
    for (
      let servers = Math.max(1, Math.ceil(state.rate_per_s / best));
      servers <= 1000;
      servers = Math.ceil(servers * 1.1 + 0.5)
    ) {
      const [found] = await server.serve([state.rate_per_s], servers);
      if (holds(state)(found)) return { servers, found, best };
    }
    return null;
  }

  function draw() {
    if (!shown || byId("serving-panel").hidden) return;
    const { state, curve, server, fleet } = shown;
    const offered = SERVED_FIGURES.filter(({ priced }) => !priced || server.usd_per_h !== null);
    if (!offered.some(({ key }) => key === figure)) figure = "ttft";
    figures.replaceChildren(...offered.map(({ key, title }) => element("option", { value: key }, title)));
    figures.value = figure;
    const row = offered.find(({ key }) => key === figure);
    const machine =
      `${state.devices > 1 ? `${state.devices} x ` : ""}` + `${shortName(SETUP.machineOf.get(state.machine).machine)}`;
    const money = (found) =>
      found.usd_per_h === null
        ? ""
        : `, ${digits(found.usd_per_h)} USD/h, ${digits(found[costKey(true)])} USD per million output tokens`;
    byId("serving-answer").textContent = fleet
      ? `${state.rate_per_s} requests per second need ` +
        `${fleet.servers === 1 ? "one server" : `${fleet.servers} servers`} of ${machine}` +
        `${money(fleet.found)}: first token ${quantity(fleet.found.latencies.ttft_s.p99, "s")}, each further ` +
        `one ${quantity(fleet.found.latencies.tpot_s.p99, "s")} (p99). One holds the limits up to ` +
        `${digits(fleet.best)} requests per second.`
      : fleet === null
        ? `No rate holds the limits on ${machine}: at ${digits(curve[0].rate_per_s)} requests per second the ` +
          `first token takes ${quantity(curve[0].latencies.ttft_s.p99, "s")}, each further one ` +
          `${quantity(curve[0].latencies.tpot_s.p99, "s")} (p99).`
        : "Counting servers ...";
    byId("serving-note").textContent =
      `One server, ${SERVED_RATES} rates up to the ${digits(server.most_per_s)} requests per second that ` +
      `it finishes, ${SERVED_REQUESTS.toLocaleString("en")} simulated requests each: prompts of ` +
      `${state.prompt} and answers of ${state.output} tokens on average, lognormal, at random times. ` +
      "Line: median; dashed: 99th percentile (p99: one request in a hundred waits longer).";
    const lines = curve.map(row.of);
    const values = lines.flat().filter((value) => value > 0);
    const limit = row.limit ? state[row.limit] : null;
    const most = Math.max(...values, limit !== null && limit < 10 * Math.max(...values) ? limit : 0);
    const yLow = Math.min(...values) * 0.8;
    drawChart(byId("serving"), {
      title: `${row.title} against the rate of requests`,
      height: (width) => Math.min(Math.max(width * 0.42, 230), 340),
      x: { low: 0, high: curve[curve.length - 1].rate_per_s * 1.03, label: "requests per second" },
      y: { low: yLow, high: most * 1.25, log: true, ticks: 6, text: (tick) => tickOf(tick, row.unit) },
      at: curve.map(({ rate_per_s: rate }) => rate),
      lines: lines[0].map((_, which) => ({
        values: lines.map((found) => Math.max(found[which], yLow)),
        color: "accent",
        width: 2,
        ...(which ? { dash: [6, 4] } : {}),
      })),
      items: curve.map(({ rate_per_s: rate }) => ({ x: rate })),
      nearest: true,
      tell: (at) => [
        `${digits(curve[at].rate_per_s)} requests per second`,
        ...lines[at].map(
          (value, which) => `${lines[at].length > 1 ? ["median ", "p99 "][which] : ""}${quantity(value, row.unit)}`,
        ),
        `${digits(curve[at].tokens_per_s)} output tokens per second`,
      ],
      marks: limit === null ? [] : [{ y: limit, text: `limit ${quantity(limit, "s")}`, css: "bad first" }],
    });
  }
  function refuse(message) {
    shown = null;
    eraseChart(byId("serving"));
    byId("serving-figures").hidden = true;
    byId("serving-note").textContent = "";
    const [reads, steps] = ["prefill", "decode"].map((phase) => SETUP.phases.find(({ name }) => name === phase));
    byId("serving-answer").textContent = !reads.sizes.some(({ name }) => name === "sequence")
      ? "No server of this model can be simulated: the length of what it reads is not open."
      : steps.sizes.some(({ role }) => role === "context")
        ? `There is no such server: ${message}.`
        : "No server of this model can be simulated: its steps are known at one length of the context " +
          `only${steps.fixed.context ? ` (${steps.fixed.context} tokens)` : ""}, and those of a server have ` +
          "many.";
  }
  return { update, refuse };
}
