/* Charts of the live page: their elements are made once, and an update changes them. */
/* Three significant digits, enough to compare and easy to read. */
const digits3 = (value) =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
const rounded = (value, unit) => quantity(value, unit).replace(/^-?[\d.]+/, (found) => digits3(Number(found)));
const timed = (value) => rounded(value, "s");
const watts = (value) => rounded(value, "W");
const money = (value) =>
  known(value)
    ? value >= 100
      ? Math.round(value).toLocaleString("en")
      : value >= 1
        ? value.toFixed(2)
        : String(Number(value.toPrecision(3)))
    : null;
const ratioText = (value) => value.toFixed(2);
const sharePercent = (value) => `${digits3(100 * value)} %`;

const latency = (name, title) => ({
  title,
  unit: "",
  show: timed,
  tick: timed,
  lines: [
    [`${name}_p99_s`, "p99", "high"],
    [`${name}_p90_s`, "p90", "middle"],
    [`${name}_p50_s`, "p50", "low"],
  ],
});
const CHARTS = [
  {
    title: "Cost",
    unit: "USD per h",
    show: money,
    areas: [
      ["busy_usd_per_h", "busy", "busy"],
      ["idle_usd_per_h", "idle", "idle"],
      ["cold_usd_per_h", "cold", "cold"],
    ],
    lines: [["planned_usd_per_h", "plan", "plan", "dashed"]],
  },
  {
    title: "Measured / predicted",
    unit: "ratio",
    show: ratioText,
    even: 1,
    band: ["predicted_low", "predicted_high", "predicted band"],
    lines: [
      ["measured_to_predicted", "measured", "busy"],
      ["measured_to_first", "drift", "high", "dashed"],
    ],
  },
  {
    title: "Cost per million generated tokens",
    unit: "USD",
    show: money,
    typical: true,
    lines: [
      [PER_TOKENS, "measured", "busy"],
      [`planned_${PER_TOKENS}`, "plan", "plan", "dashed"],
    ],
  },
  {
    title: "Requests",
    unit: "per s",
    show: digits3,
    lines: [
      ["requests_per_s", "ended", "requests"],
      ["failed_per_s", "failed", "late"],
      ["planned_requests_per_s", "plan", "plan", "dashed"],
    ],
  },
  {
    title: "Tokens",
    unit: "per s",
    show: digits3,
    lines: [
      ["prompt_tokens_per_s", "of prompts", "middle"],
      ["output_tokens_per_s", "generated", "low"],
    ],
  },
  { title: "Items", unit: "per s", show: digits3, lines: [["items_per_s", "items", "low"]] },
  latency("ttft", "Time to the first token"),
  latency("tpot", "Time per further token"),
  latency("request", "Time of a request"),
  latency("queue_wait", "Wait before service"),
  {
    title: "Utilization",
    unit: "",
    show: percent,
    tick: sharePercent,
    lines: [
      ["busy_share", "busy", "busy"],
      ["mfu_share", "MFU", "middle"],
      ["mbu_share", "MBU", "high"],
    ],
  },
  {
    title: "Requests at once",
    unit: "",
    show: digits3,
    lines: [
      ["in_flight", "in service", "busy"],
      ["waiting", "waiting", "late"],
    ],
  },
  {
    title: "KV cache in use",
    unit: "",
    show: percent,
    tick: sharePercent,
    top: 1,
    lines: [["kv_cache_use_share", "blocks in use", "busy"]],
  },
  { title: "Power", unit: "", show: watts, tick: watts, lines: [["power_w", "power", "busy"]] },
  {
    title: "Replicas",
    unit: "",
    show: digits3,
    steps: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
    lines: [
      ["replicas", "observed", "busy"],
      ["planned_replicas", "plan", "plan", "dashed"],
    ],
  },
];

const namesOf = (chart) => [...(chart.areas || []), ...chart.lines].map(([name]) => name);

/* The panel of a chart. */
function makePanel(chart, place, at) {
  const plot = element("div", { class: "plot" });
  const now = element("span", { class: "now" });
  const legend = element("ul", { class: "legend" });
  const marks = [
    ...chart.lines.map(([name, words, color, css]) => [name, words, color, css ? "line dashes" : "line"]),
    ...(chart.areas || []).map(([name, words, color]) => [name, words, color, ""]).reverse(),
  ];
  const entries = marks.map(([name, words, color, css]) => {
    const entry = element("li", {}, element("span", { class: `swatch ${css}`, style: `--of:var(--${color})` }), words);
    legend.append(entry);
    return [name, entry];
  });
  if (chart.band) legend.append(element("li", {}, element("span", { class: "swatch band" }), chart.band[2]));
  const title = element(
    "h2",
    { id: `chart-${at}` },
    element("span", {}, chart.unit ? `${chart.title} (${chart.unit})` : chart.title),
    now,
  );
  const panel = element(
    "section",
    { class: "panel", "aria-labelledby": `chart-${at}`, hidden: true },
    title,
    plot,
    legend,
  );
  place.append(panel);
  return { ...chart, panel, plot, now, entries };
}

/* The end of an axis that a few extreme intervals do not decide: some have almost no tokens. */
function typicalMost(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return ROOM * Math.min(sorted[sorted.length - 1], 4 * sorted[Math.floor(0.9 * (sorted.length - 1))]);
}

/* A time of the day of the reader, or a day. */
function timeTick(tick, step) {
  const date = new Date(1000 * tick);
  if (step >= 86400) return date.toLocaleDateString("en", { weekday: "short", day: "numeric" });
  return step < 60 ? moment(tick) + date.toLocaleTimeString("en-GB").slice(5) : moment(tick);
}

function updatePanel(chart, rows, span) {
  const isShown = namesOf(chart).some((name) => !/^planned_/.test(name) && rows.some((row) => known(cell(row, name))));
  chart.panel.hidden = !isShown;
  if (!isShown) return;
  const column = (name) => rows.map((row) => cell(row, name));
  const areas = (chart.areas || []).map(([name, , color]) => ({ values: column(name), color }));
  const lines = chart.lines.map(([name, , color, css]) => ({
    values: column(name),
    color,
    ...(css ? { dash: [5, 4] } : {}),
  }));
  const [low, high] = (chart.band || []).map(column);
  const band = chart.band && { low, high, color: "busy" };
  const columns = [...lines.map(({ values }) => values), ...stackOf(areas.map(({ values }) => values)), high ?? []];
  drawChart(
    chart.plot,
    overTime({
      title: describe(chart, rows),
      spans: rows.map((row) => [cell(row, "start_s"), cell(row, "end_s")]),
      span,
      areas,
      lines,
      band,
      top: chart.top || (chart.typical ? typicalMost(columns.flat().filter(known)) : endOf([...columns, chart.even])),
      x: { isTime: true, text: timeTick },
      y: { text: (tick) => (tick === 0 ? "0" : (chart.tick || tickOf)(tick)), steps: chart.steps },
      tell: (at) => tellInterval(chart, rows[at]),
      marks: chart.even ? [{ y: chart.even }] : [],
      gaps: rows.filter((row) => !cell(row, "known")).map((row) => [cell(row, "start_s"), cell(row, "end_s")]),
    }),
  );
  for (const [name, entry] of chart.entries) entry.hidden = !rows.some((row) => known(cell(row, name)));
  const newest = rows[rows.length - 1];
  const nowText = newest
    ? valuesAt(chart, newest, true)
        .map(([words, value]) => `${words} ${value}`)
        .join(" \u00b7 ")
    : "";
  if (chart.now.textContent !== nowText) chart.now.textContent = nowText;
}

/* Names and values of an interval, those that are known; in short without the parts of a total and without a band. */
function valuesAt(chart, row, short = false) {
  const areas = chart.areas || [];
  const curves = [...chart.lines, ...(short ? [] : [...areas].reverse())];
  const found = curves
    .filter(([name]) => known(cell(row, name)))
    .map(([name, words]) => [words, chart.show(cell(row, name))]);
  const parts = areas.map(([name]) => cell(row, name));
  if (parts.some(known)) found.unshift(["total", chart.show(sum(parts))]);
  if (chart.band && !short && known(cell(row, chart.band[0]))) {
    found.push(["band", `${chart.show(cell(row, chart.band[0]))} to ${chart.show(cell(row, chart.band[1]))}`]);
  }
  return found;
}

function tellInterval(chart, row) {
  const [from, to] = [cell(row, "start_s"), cell(row, "end_s")];
  const lines = valuesAt(chart, row).map(([words, value]) => `${words}: ${value}`);
  return [
    `${moment(from, true)}, ${duration(to - from)}`,
    ...(lines.length ? lines : [cell(row, "reason") || "nothing is known"]),
  ];
}

/* The chart in words. */
function describe(chart, rows) {
  const parts = [...chart.lines, ...(chart.areas || [])].map(([name, words]) => {
    const values = rows.map((row) => cell(row, name)).filter(known);
    if (!values.length) return "";
    const [newest, lowest, highest] = [values[values.length - 1], Math.min(...values), Math.max(...values)].map(
      chart.show,
    );
    return `${words}: newest ${newest}, lowest ${lowest}, highest ${highest}`;
  });
  return (
    `${chart.title}${chart.unit ? `, ${chart.unit}` : ""}. ${parts.filter(Boolean).join("; ")}. ` +
    "Arrow keys read the intervals."
  );
}
