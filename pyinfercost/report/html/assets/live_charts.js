/* Charts over time. Their elements are made once; an update changes attributes alone, so that nothing flickers. */
const WIDE = 2000;
const HIGH = 500;
const TICKS = 4;
const STEPS_S = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/* Three significant digits, enough to compare and easy to read. */
const digits3 = (value) =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
const rounded = (value, unit) => quantity(value, unit).replace(/^-?[\d.]+/, (found) => digits3(Number(found)));
const timed = (value) => rounded(value, "s");
const watts = (value) => rounded(value, "W");
const known = (value) => typeof value === "number" && Number.isFinite(value);
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
      ["usd_per_million_tokens", "measured", "busy"],
      ["planned_usd_per_million_tokens", "plan", "plan", "dashed"],
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
    step: 1,
    lines: [
      ["replicas", "observed", "busy"],
      ["planned_replicas", "plan", "plan", "dashed"],
    ],
  },
];

const namesOf = (chart) => [...(chart.areas || []), ...chart.lines].map(([name]) => name);

/* A chart with the elements that it updates. */
function makeChart(chart, place, at) {
  const svg = element("svg:svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": true });
  const path = (css, color, fill) => {
    const made = element("svg:path", { class: css });
    if (color) made.style[fill ? "fill" : "stroke"] = `var(--${color})`;
    return made;
  };
  const parts = {
    gaps: path("gap"),
    grid: path("grid"),
    even: chart.even ? path("grid even dashed") : null,
    band: chart.band ? path("band", "busy", true) : null,
    areas: (chart.areas || []).map(([, , color]) => path("area", color, true)),
    lines: chart.lines.map(([, , color, css]) => path(`line ${css || ""}`, color)),
  };
  svg.append(
    parts.gaps,
    parts.grid,
    ...[...parts.areas].reverse(),
    ...(parts.band ? [parts.band] : []),
    ...(parts.even ? [parts.even] : []),
    ...parts.lines,
  );
  const plot = element("div", { class: "plot", tabindex: 0, role: "img" }, svg);
  const cursor = element("div", { class: "cursor", hidden: true });
  plot.append(cursor);
  const now = element("span", { class: "now" });
  const legend = element("ul", { class: "legend" });
  const marks = [
    ...chart.lines.map(([name, words, color, css]) => [name, words, color, css ? "line dashes" : "line"]),
    ...(chart.areas || []).map(([name, words, color]) => [name, words, color, ""]).reverse(),
  ];
  const entries = marks.map(([name, words, color, css]) => {
    const swatch = element("span", { class: `swatch ${css}` });
    if (css) swatch.style.borderTopColor = `var(--${color})`;
    else swatch.style.background = `var(--${color})`;
    const entry = element("li", {}, swatch, words);
    legend.append(entry);
    return [name, entry];
  });
  if (chart.band) {
    const swatch = element("span", { class: "swatch band" });
    swatch.style.background = "var(--busy)";
    swatch.style.opacity = "0.35";
    legend.append(element("li", {}, swatch, chart.band[2]));
  }
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
  const made = { ...chart, panel, plot, cursor, now, parts, entries, labels: { x: [], y: [] }, span: [0, 1], at: null };
  listen(made);
  return made;
}

/* Round numbers from 0 to at least `most`, no closer together than `least`. */
function ticksTo(most, least = 0) {
  if (!(most > 0)) return [0, 1];
  const raw = Math.max(most / TICKS, least);
  const base = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * base).find((size) => size >= raw * (1 - 1e-9));
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, number) =>
    Number((number * step).toPrecision(6)),
  );
}

/* The end of an axis that a few extreme intervals do not decide: some have almost no tokens. */
function typicalMost(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return Math.min(sorted[sorted.length - 1], 4 * sorted[Math.floor(0.9 * (sorted.length - 1))]);
}

/* Places of ticks of time at round hours and minutes of the day of the reader. */
function timeTicks([from, to]) {
  const step = STEPS_S.find((size) => (to - from) / size <= 7) || 86400 * Math.ceil((to - from) / 7 / 86400);
  const offset = -60 * new Date(1000 * to).getTimezoneOffset();
  const found = [];
  for (let at = Math.ceil((from + offset) / step) * step - offset; at <= to; at += step) {
    const date = new Date(1000 * at);
    found.push([
      at,
      step >= 86400
        ? date.toLocaleDateString("en", { weekday: "short", day: "numeric" })
        : step < 60
          ? moment(at) + date.toLocaleTimeString("en-GB").slice(5)
          : moment(at),
    ]);
  }
  return found;
}

/* Put labels at their places, with the elements that are there. */
function setLabels(chart, axis, wanted) {
  const kept = chart.labels[axis];
  while (kept.length < wanted.length) {
    kept.push(element("span", { class: axis }));
    chart.plot.append(kept[kept.length - 1]);
  }
  kept.forEach((label, number) => {
    label.hidden = number >= wanted.length;
    if (label.hidden) return;
    const [where, text] = wanted[number];
    label.style[axis === "x" ? "left" : "bottom"] = `${(100 * where).toFixed(3)}%`;
    label.classList.toggle("odd", axis === "x" && number % 2 === 1);
    if (label.textContent !== text) label.textContent = text;
  });
}

/* Steps of a value from interval to interval, broken where it is unknown. */
function stepsOf(rows, value, x, y) {
  let path = "";
  let end = null;
  for (const row of rows) {
    const found = value(row);
    if (!known(found)) {
      end = null;
      continue;
    }
    const [from, to] = [x(cell(row, "start_s")), x(cell(row, "end_s"))];
    path += end !== null && from - end < 1 ? `V${y(found)}` : `M${from} ${y(found)}`;
    path += `H${to}`;
    end = to;
  }
  return path;
}

/* The area between two values, as one shape for each run of intervals in which both are known. */
function areaOf(rows, low, high, x, y) {
  let path = "";
  let run = [];
  const close = () => {
    if (run.length) {
      const forward = run.map(([from, to, , top]) => `${from} ${top}H${to}`).join("L");
      const back = [...run]
        .reverse()
        .map(([from, to, bottom]) => `L${to} ${bottom}H${from}`)
        .join("");
      path += `M${forward}${back}Z`;
    }
    run = [];
  };
  for (const row of rows) {
    const [one, other] = [low(row), high(row)];
    if (!known(one) || !known(other)) {
      close();
      continue;
    }
    const from = x(cell(row, "start_s"));
    if (run.length && from - run[run.length - 1][1] >= 1) close();
    run.push([from, x(cell(row, "end_s")), y(one), y(other)]);
  }
  close();
  return path;
}

/* Sums of areas up to each one; an interval without any of them has no sum. */
function stackOf(areas, count) {
  return (row) => {
    const found = areas.slice(0, count).map(([name]) => cell(row, name));
    return areas.some(([name]) => known(cell(row, name))) ? sum(found) : null;
  };
}

function set(path, text) {
  if (path.getAttribute("d") !== text) path.setAttribute("d", text);
}

function updateChart(chart, rows, span) {
  const shown = namesOf(chart).some((name) => !/^planned_/.test(name) && rows.some((row) => known(cell(row, name))));
  chart.panel.hidden = !shown;
  if (!shown) return;
  chart.span = span;
  chart.rows = rows;
  const areas = chart.areas || [];
  const x = (at) => Math.round(WIDE * Math.min(1, Math.max(0, (at - span[0]) / (span[1] - span[0]))));
  const values = chart.lines.map(([name]) => rows.map((row) => cell(row, name)).filter(known)).flat();
  if (areas.length) values.push(...rows.map(stackOf(areas, areas.length)).filter(known));
  if (chart.band) values.push(...rows.map((row) => cell(row, chart.band[1])).filter(known));
  const most =
    chart.top || (values.length ? (chart.typical ? typicalMost(values) : Math.max(...values, chart.even || 0)) : 0);
  const ticks = ticksTo(most, chart.step);
  const high = ticks[ticks.length - 1];
  const y = (value) => Math.round(HIGH * (1 - Math.min(1, Math.max(0, value / high))));
  const { parts } = chart;
  areas.forEach((_, at) =>
    set(parts.areas[at], areaOf(rows, at ? stackOf(areas, at) : () => 0, stackOf(areas, at + 1), x, y)),
  );
  if (parts.band)
    set(
      parts.band,
      areaOf(
        rows,
        (row) => cell(row, chart.band[0]),
        (row) => cell(row, chart.band[1]),
        x,
        y,
      ),
    );
  if (parts.even) set(parts.even, `M0 ${y(chart.even)}H${WIDE}`);
  chart.lines.forEach(([name], at) =>
    set(
      parts.lines[at],
      stepsOf(rows, (row) => cell(row, name), x, y),
    ),
  );
  set(
    parts.gaps,
    rows
      .filter((row) => !cell(row, "known"))
      .map((row) => `M${x(cell(row, "start_s"))} 0H${x(cell(row, "end_s"))}V${HIGH}H${x(cell(row, "start_s"))}Z`)
      .join(""),
  );
  set(parts.grid, ticks.map((tick) => `M0 ${y(tick)}H${WIDE}`).join(""));
  setLabels(
    chart,
    "y",
    ticks.map((tick) => [tick / high, tick === 0 ? "0" : (chart.tick || shortTick)(tick)]),
  );
  setLabels(
    chart,
    "x",
    timeTicks(span).map(([at, text]) => [(at - span[0]) / (span[1] - span[0]), text]),
  );
  for (const [name, entry] of chart.entries) entry.hidden = !rows.some((row) => known(cell(row, name)));
  const text = describe(chart, rows);
  chart.plot.setAttribute("aria-label", text);
  const newest = rows[rows.length - 1];
  const nowText = newest
    ? valuesAt(chart, newest, true)
        .map(([words, value]) => `${words} ${value}`)
        .join(" \u00b7 ")
    : "";
  if (chart.now.textContent !== nowText) chart.now.textContent = nowText;
}

function shortTick(value) {
  return value >= 1000 ? tickText(value, "") : String(Number(value.toPrecision(4)));
}

/* Names and values of an interval, those that are known; in short without the parts of a total and without a band. */
function valuesAt(chart, row, short = false) {
  const curves = [...chart.lines, ...(short ? [] : [...(chart.areas || [])].reverse())];
  const found = curves
    .filter(([name]) => known(cell(row, name)))
    .map(([name, words]) => [words, chart.show(cell(row, name))]);
  if (chart.areas && chart.areas.some(([name]) => known(cell(row, name)))) {
    found.unshift(["total", chart.show(stackOf(chart.areas, chart.areas.length)(row))]);
  }
  if (chart.band && !short && known(cell(row, chart.band[0]))) {
    found.push(["band", `${chart.show(cell(row, chart.band[0]))} to ${chart.show(cell(row, chart.band[1]))}`]);
  }
  return found;
}

/* The chart in words. */
function describe(chart, rows) {
  const parts = [...chart.lines, ...(chart.areas || [])].map(([name, words]) => {
    const values = rows.map((row) => cell(row, name)).filter(known);
    if (!values.length) return "";
    return (
      `${words}: newest ${chart.show(values[values.length - 1])}, lowest ${chart.show(Math.min(...values))}, ` +
      `highest ${chart.show(Math.max(...values))}`
    );
  });
  return (
    `${chart.title}${chart.unit ? `, ${chart.unit}` : ""}. ${parts.filter(Boolean).join("; ")}. Arrow keys ` +
    "read the intervals."
  );
}

/* The cursor: by the pointer, or by arrow keys, which say the values. */
function listen(chart) {
  const show = (row, spoken) => {
    const middle = (cell(row, "start_s") + cell(row, "end_s")) / 2;
    const where = Math.min(1, Math.max(0, (middle - chart.span[0]) / (chart.span[1] - chart.span[0])));
    chart.at = middle;
    chart.cursor.hidden = false;
    chart.cursor.style.left = `${100 * where}%`;
    const [from, to] = [cell(row, "start_s"), cell(row, "end_s")];
    const title = `${moment(from, true)}, ${duration(to - from)}`;
    const values = valuesAt(chart, row);
    const lines = values.length
      ? values.map(([words, value]) => `${words}: ${value}`)
      : [cell(row, "reason") || "nothing is known"];
    const box = chart.plot.getBoundingClientRect();
    showTip([title, ...lines], box.left + where * box.width, box.top);
    if (spoken) byId("spoken").textContent = [title, ...lines].join(", ");
  };
  const hide = () => {
    chart.cursor.hidden = true;
    chart.at = null;
    hideTip();
  };
  const nearest = (time) =>
    chart.rows.reduce((best, row) =>
      Math.abs((cell(row, "start_s") + cell(row, "end_s")) / 2 - time) <
      Math.abs((cell(best, "start_s") + cell(best, "end_s")) / 2 - time)
        ? row
        : best,
    );
  chart.plot.addEventListener("pointermove", (event) => {
    if (!chart.rows || !chart.rows.length) return;
    const box = chart.plot.getBoundingClientRect();
    show(nearest(chart.span[0] + ((event.clientX - box.left) / box.width) * (chart.span[1] - chart.span[0])), false);
  });
  chart.plot.addEventListener("pointerleave", hide);
  chart.plot.addEventListener("blur", hide);
  chart.plot.addEventListener("keydown", (event) => {
    const { rows } = chart;
    if (!rows || !rows.length) return;
    if (event.key === "Escape") {
      hide();
      return;
    }
    const here = chart.at === null ? rows.length : rows.indexOf(nearest(chart.at));
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -rows.length, End: rows.length }[
      event.key
    ];
    if (!step) return;
    event.preventDefault();
    show(rows[Math.min(rows.length - 1, Math.max(0, here + step))], true);
  });
}
