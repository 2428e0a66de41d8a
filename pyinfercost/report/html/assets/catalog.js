/* All machines of the catalog at many batches: which one is the cheapest, or the fastest, under a limit of the
   latency. */
const CATALOG_BATCHES = 20;
const CATALOG_ROWS = 12;

function makeCatalog(evaluator, choose, setLimit) {
  let shown = null;
  let all = false;
  const limit = element("input", {
    type: "number",
    min: 0,
    step: "any",
    "aria-label": "Latency at most, in milliseconds",
  });
  const more = element("button", { type: "button" }, "All machines");
  byId("catalog-tools").replaceChildren(element("label", {}, "latency at most ", limit, " ms"), more);
  limit.addEventListener("change", () => setLimit(limit.value === "" ? "" : Number(limit.value) / 1e3));
  more.addEventListener("click", () => {
    all = !all;
    more.textContent = all ? "The best ones" : "All machines";
    drawTable();
  });

  async function update(view, state, current) {
    if (document.activeElement !== limit)
      limit.value = state.limit_s === "" ? "" : Number((state.limit_s * 1e3).toPrecision(6));
    const batch = sizesOf(state).find(({ role }) => role === "batch");
    const axis = batch ? batch.name : (sizesOf(state)[0] || {}).name;
    const values =
      axis === undefined
        ? [0]
        : batch
          ? spread(batch.minimum, Math.max(batch.minimum + 1, Math.min(batch.maximum ?? 512, 512)), CATALOG_BATCHES)
          : [state.sizes[axis]];
    if (batch && !values.includes(state.sizes[axis])) values.push(state.sizes[axis]);
    values.sort((one, other) => one - other);
    byId("catalog-panel").hidden = false;
    const tokens = Boolean(view.estimate.tokens);
    const cost = costKey(tokens);
    const ids = SETUP.machines.map(({ id }) => id);
    const begin = performance.now();
    const columns = ["latency_s", cost, "throughput_per_s", "peak_memory_bytes", "usd_per_h"];
    let found = await evaluator.curve(state, ids, axis, values, columns);
    if (!current()) return;
    let onlyThis = "";
    if (batch && found.every(({ refused }) => refused)) {
      /* a graph may hold at few batches; the chosen one has figures */
      onlyThis = found[0].refused;
      values.splice(0, values.length, state.sizes[axis]);
      found = await evaluator.curve(state, ids, axis, values, columns);
      if (!current()) return;
    }
    document.documentElement.dataset.catalogMs = String(performance.now() - begin);
    const rows = found.map((columns, index) => bestOf(SETUP.machines[index], columns, values, cost, state));
    shown = { rows, values, state: { ...state }, axis, tokens, batch, onlyThis };
    draw();
  }

  /* The cheapest point of a machine that holds the limit and fits its memory; the fastest one where no price is
     known. */
  function bestOf(known, columns, values, cost, state) {
    if (columns.refused) return { known, value: null };
    const capacity = known.machine.memory[known.machine.memory.length - 1].capacity_bytes;
    const scale = cost === "cost_usd" ? 1e6 : 1;
    let best = null;
    values.forEach((value, at) => {
      const point = {
        known,
        value,
        latency: columns.latency_s[at],
        cost: columns[cost][at] === null ? null : columns[cost][at] * scale,
        rate: columns.throughput_per_s[at],
        usdPerH: columns.usd_per_h[at],
      };
      if (capacity !== null && columns.peak_memory_bytes[at] > capacity) return;
      if (state.limit_s !== "" && point.latency > state.limit_s) return;
      const better = !best || (point.cost !== null ? point.cost < best.cost : point.rate > best.rate);
      if (better) best = point;
    });
    return best || { known, value: null };
  }

  function ranked() {
    const able = shown.rows.filter(({ value }) => value !== null);
    return able.sort(
      (one, other) =>
        (one.cost === null) - (other.cost === null) || (one.cost ?? -one.rate) - (other.cost ?? -other.rate),
    );
  }

  function draw() {
    if (!shown || byId("catalog-panel").hidden) return;
    drawMachines();
    drawTable();
  }
  const perMillion = () => `USD per million ${shown.tokens ? "tokens" : "items"}`;

  function drawMachines() {
    const place = byId("catalog");
    const rows = ranked().filter(({ cost, latency }) => cost > 0 && latency > 0);
    const best = rows[0];
    const unfit = shown.rows.length - ranked().length;
    byId("catalog-note").textContent =
      `${shown.rows.length} machines, each at ` +
      (shown.onlyThis
        ? `${shown.axis} ${shown.state.sizes[shown.axis]}`
        : shown.batch
          ? `the cheapest ${shown.axis} of the ${shown.values.length} computed`
          : "this point") +
      `${shown.state.limit_s === "" ? "" : ` with a latency of at most ${quantity(shown.state.limit_s, "s")}`}` +
      `${unfit ? `; ${unfit} cannot hold the model${shown.state.limit_s === "" ? "" : " or the limit"}` : ""}` +
      ". " +
      (best
        ? `The cheapest is ${withArticle(shortName(best.known.machine))}: ${digits(best.cost)} ${perMillion()}` +
          `${shown.batch ? ` with ${shown.axis} ${best.value}` : ""}, ${quantity(best.latency, "s")}.`
        : "No machine with a known price does.");
    if (!rows.length) {
      eraseChart(place);
      return;
    }
    const [xs, ys] = [rows.map(({ latency }) => latency), rows.map(({ cost }) => cost)];
    const isOwn = (row) => row.known.id === shown.state.machine;
    const named = rows.filter((row, at) => at < 3 || isOwn(row)).filter(farApart(xs, ys));
    drawChart(place, {
      title: byId("catalog-note").textContent,
      height: (width) => Math.min(Math.max(width * 0.5, 260), 420),
      x: {
        low: Math.min(...xs) * 0.7,
        high: Math.max(...xs) * 1.4,
        log: true,
        label: "latency",
        ticks: 9,
        text: seconds,
      },
      y: { low: Math.min(...ys) * 0.6, high: Math.max(...ys) * 1.5, log: true, label: perMillion(), ticks: 6 },
      at: [],
      lines: [],
      items: rows.map((row) => ({
        x: row.latency,
        y: row.cost,
        css: `machine ${row.known.kind}${isOwn(row) ? " own" : ""}`,
        size: isOwn(row) ? 14 : 10,
      })),
      isSilent: true /* the table is for the keyboard */,
      tell: (at) => [
        rows[at].known.name,
        `${quantity(rows[at].latency, "s")}, ${digits(rows[at].cost)} ${perMillion()}` +
          `${shown.batch ? `, ${shown.axis} ${rows[at].value}` : ""}`,
      ],
      pick: (at) => pick(rows[at]),
      marks: named.map((row) => ({ x: row.latency, y: row.cost, text: shortName(row.known.machine), css: "name" })),
    });
  }
  const seconds = (tick) => tickOf(tick, "s");
  /* Whether a name does not hide one before it. */
  function farApart(xs, ys) {
    const [across, up] = [xs, ys].map((all) => Math.log(Math.max(...all) / Math.min(...all)) || 1);
    const taken = [];
    return ({ latency, cost }) => {
      const isFree = !taken.some(
        ([x, y]) => Math.abs(Math.log(latency / x)) < across / 6 && Math.abs(Math.log(cost / y)) < up / 20,
      );
      if (isFree) taken.push([latency, cost]);
      return isFree;
    };
  }
  const pick = (row) => choose(row.known.id, shown.batch ? { [shown.axis]: row.value } : {});

  function drawTable() {
    if (!shown) return;
    const rows = ranked();
    const listed = all ? rows : rows.slice(0, CATALOG_ROWS);
    const own = rows.find(({ known }) => known.id === shown.state.machine);
    if (!all && own && !listed.includes(own)) listed.push(own);
    const wide = { class: "wide" }; /* left out on a small screen */
    const heads = [
      ["Machine"],
      shown.batch ? [shown.axis] : null,
      ["Latency"],
      [shown.tokens ? "Sequences/s" : "Items/s", wide],
      [perMillion()],
      ["USD/h", wide],
    ].filter(Boolean);
    const body = listed.map((row) => {
      const go = element("button", { type: "button", class: "link" }, row.known.name);
      go.addEventListener("click", () => pick(row));
      const cells = [
        shown.batch ? [String(row.value)] : null,
        [quantity(row.latency, "s")],
        [row.rate === null ? "–" : digits(row.rate), wide],
        [row.cost === null ? "no price" : digits(row.cost)],
        [row.usdPerH === null ? "" : digits(row.usdPerH), wide],
      ];
      return element(
        "tr",
        { class: row === own ? "own" : null },
        element("th", { scope: "row" }, go),
        ...cells.filter(Boolean).map(([text, attributes]) => element("td", attributes, text)),
      );
    });
    byId("catalog-table").replaceChildren(
      element(
        "table",
        {},
        element(
          "thead",
          {},
          element("tr", {}, ...heads.map(([text, attributes]) => element("th", { scope: "col", ...attributes }, text))),
        ),
        element("tbody", {}, ...body),
      ),
    );
    more.hidden = rows.length <= CATALOG_ROWS;
  }
  const refuse = (message) => {
    byId("catalog-note").textContent = `No machine can run this: ${message}.`;
  };
  return { update, refuse };
}
