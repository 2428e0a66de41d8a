/* The page: cards, charts, tables, and the loop that asks. */
const saved = JSON.parse(byId("pyinfercost-live-history").textContent || "null");
store.live = saved === null;

const page = { observer: 0, hours: 24, paused: false, lost: "", timer: null, failures: 0, asking: null };
const charts = CHARTS.map((chart, at) => makePanel(chart, byId("charts"), at));
const cards = new Map();

const text = (place, words) => {
  if (place.textContent !== words) place.textContent = words;
};
const signedPercent = (ratio) => `${ratio > 1 ? "+" : "\u2212"}${Math.abs(100 * (ratio - 1)).toFixed(0)} %`;

/* Beside the plan: more is bad for money. */
function beside(value, planned, what, words) {
  if (!known(value) || !known(planned) || planned <= 0) return ["", ""];
  const ratio = value / planned;
  const near = Math.abs(ratio - 1) < 0.005;
  return [
    `plan ${words(planned)}${near ? "" : ` (${signedPercent(ratio)})`}`,
    what !== "money" ? "" : ratio > 1 + store.told.plan_tolerance ? "over" : near || ratio > 1 ? "" : "under",
  ];
}

/* Failures above 1 % stand before the plan. */
function requestsBeside(now) {
  const failed = now.requests_per_s > 0 ? now.failed_per_s / now.requests_per_s : 0;
  if (failed > 0.01) return [`${percent(failed)} failed`, "over"];
  return beside(now.requests_per_s, now.planned_requests_per_s, "load", digits3);
}

/* A few parts, such as times to the first token and per token, have a ratio each; of many, the sum has one. */
const FEW_PARTS = 3;
function ratiosOf(told, now) {
  if (told.parts.length > 1 && told.parts.length <= FEW_PARTS) {
    return told.parts.map((each) => [
      `${each.part}: measured / predicted`,
      ratioOf(each.lately),
      bandOf(each.predicted_low, each.predicted_high, "band "),
      each.lately_in_band === false ? "over" : "",
    ]);
  }
  const range = bandOf(now.predicted_low, now.predicted_high, "band ");
  return [["measured / predicted", ratioOf(now.measured_to_predicted), range, now.in_band === false ? "over" : ""]];
}

function cardsOf(told) {
  const now = told.lately || {};
  const all = told.whole || {};
  return [
    ["USD per h", money(now.usd_per_h), ...beside(now.usd_per_h, now.planned_usd_per_h, "money", money)],
    [
      "USD per million generated tokens",
      money(now[PER_TOKENS]),
      ...beside(now[PER_TOKENS], now[`planned_${PER_TOKENS}`], "money", money),
    ],
    [
      "USD per 1,000 requests",
      known(now[PER_TOKENS]) ? null : money(known(now.usd_per_request) ? 1000 * now.usd_per_request : null),
      "",
      "",
    ],
    ["requests per s", amountOf(now.requests_per_s), ...requestsBeside(now)],
    [
      "generated tokens per s",
      amountOf(now.output_tokens_per_s),
      known(now.prompt_tokens_per_s) ? `prompts ${digits3(now.prompt_tokens_per_s)}` : "",
      "",
    ],
    [
      "time to the first token, p99",
      latencyOf(now.ttft_p99_s),
      known(now.ttft_p50_s) ? `median ${timed(now.ttft_p50_s)}` : "",
      "",
    ],
    [
      "time per further token, p99",
      latencyOf(now.tpot_p99_s),
      known(now.tpot_p50_s) ? `median ${timed(now.tpot_p50_s)}` : "",
      "",
    ],
    [
      "time of a request, p99",
      known(now.ttft_p99_s) ? null : latencyOf(now.request_p99_s),
      known(now.request_p50_s) ? `median ${timed(now.request_p50_s)}` : "",
      "",
    ],
    [
      "of paid time busy",
      known(now.busy_share) ? percent(now.busy_share) : null,
      known(all.busy_share) ? `${percent(all.busy_share)} in ${hoursText(told)}` : "",
      "",
    ],
    ...ratiosOf(told, now),
  ].filter(([, value]) => value !== null);
}

const ratioOf = (value) => (known(value) ? ratioText(value) : null);
const bandOf = (low, high, before = "") =>
  known(low) && known(high) ? `${before}${ratioText(low)} to ${ratioText(high)}` : "";
const amountOf = (value) => (known(value) ? digits3(value) : null);
const latencyOf = (value) => (known(value) ? timed(value) : null);
const spanOf = (value) => (!known(value) ? "" : value < 600 ? timed(value) : `${digits3(value / 3600)} h`);
const lowerFirst = (words) => (/^[A-Z][a-z]/.test(words) ? words[0].toLowerCase() + words.slice(1) : words);
const whole = (value) => (known(value) ? Math.round(value).toLocaleString("en") : null);

/* Hours that are shown: those that were asked for, or fewer if the history is younger. */
function hoursText(told) {
  const seconds = told.whole ? told.whole.duration_s : 0;
  return duration(Math.min(3600 * told.hours, seconds));
}

function drawCards(told) {
  const wanted = cardsOf(told);
  byId("cards-title").hidden = !wanted.length;
  text(byId("cards-title"), told.lately ? `Last ${duration(told.lately.duration_s)}` : "Now");
  const place = byId("cards");
  for (const [title, value, against, css] of wanted) {
    if (!cards.has(title)) {
      const output = element("output");
      const note = element("span", { class: "against" });
      cards.set(title, {
        card: element("div", { class: "card" }, output, element("span", { class: "title" }, title), note),
        output,
        note,
      });
    }
    const { output, note } = cards.get(title);
    text(output, value);
    text(note, against);
    note.className = `against ${css}`;
  }
  const kept = wanted.map(([title]) => cards.get(title).card);
  if (kept.length !== place.children.length || kept.some((card, at) => place.children[at] !== card))
    place.replaceChildren(...kept);
}

/* Names and values; elements are replaced only if something changed. */
function drawPairs(place, pairs) {
  const wanted = pairs.filter(([, value]) => value !== null && value !== "");
  const key = JSON.stringify(wanted);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(...wanted.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function drawTable(place, heads, lines) {
  const key = JSON.stringify([heads, lines]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const head = element(
    "tr",
    {},
    ...heads.map(([name, unit, css]) =>
      element("th", { class: css, scope: "col" }, name, unit ? element("small", {}, unit) : null),
    ),
  );
  const body = lines.map((cells) =>
    element(
      "tr",
      {},
      ...cells.map(([value, css], at) =>
        element("td", { class: [heads[at][2], css].filter(Boolean).join(" ") || null }, value),
      ),
    ),
  );
  place.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

const TIMES = [
  ["ttft", "first token"],
  ["tpot", "further token"],
  ["request", "request"],
  ["queue_wait", "before service"],
];
function drawTimes(told) {
  const { whole: all, lately: now } = told;
  const lines = all
    ? TIMES.filter(([name]) => known(all[`${name}_p50_s`])).map(([name, words]) => [
        [words],
        ...[50, 90, 99].map((p) => [latencyOf(all[`${name}_p${p}_s`]) || ""]),
        ...[50, 99].map((p) => [latencyOf(now && now[`${name}_p${p}_s`]) || ""]),
      ])
    : [];
  byId("times-panel").hidden = !lines.length;
  const recent = now ? `last ${duration(now.duration_s)}` : "";
  const range = all ? hoursText(told) : "";
  drawTable(
    byId("times"),
    [
      ["time", "", "t"],
      ["p50", range],
      ["p90", range, "wide"],
      ["p99", range],
      ["p50", recent],
      ["p99", recent],
    ],
    lines,
  );
}

function drawTotals(told) {
  const all = told.whole;
  byId("totals-panel").hidden = !all;
  if (!all) return;
  text(byId("totals-title"), `In all, ${hoursText(told)}`);
  const spent = all.cost_usd;
  const uses = Object.entries(spent)
    .filter(([, usd]) => usd > 0)
    .map(([use, usd]) => `${use} ${digits3(usd)}`)
    .join(", ");
  const usd = Object.keys(spent).length ? `${money(sum(Object.values(spent)))} USD${uses ? ` (${uses})` : ""}` : null;
  const { ok, error, cancelled } = all.requests;
  const answers = [
    [ok, "answered"],
    [error, "failed"],
    [cancelled, "cancelled"],
  ]
    .filter(([count]) => known(count))
    .map(([count, words]) => `${whole(count)} ${words}`)
    .join(", ");
  const cached =
    known(all.cached_prompt_tokens) && all.prompt_tokens > 0
      ? ` (${percent(all.cached_prompt_tokens / all.prompt_tokens)} cached)`
      : "";
  drawPairs(byId("totals"), [
    ["spent", usd],
    ["per million generated tokens", known(all[PER_TOKENS]) ? `${money(all[PER_TOKENS])} USD` : null],
    ["requests", answers],
    ["items", all.items > 0 ? whole(all.items) : null],
    [
      "tokens",
      known(all.output_tokens)
        ? `${whole(all.output_tokens)} ` +
          `generated${known(all.prompt_tokens) ? `, ${whole(all.prompt_tokens)} of prompts${cached}` : ""}`
        : null,
    ],
    [
      "energy",
      known(all.energy_j)
        ? `${quantity(all.energy_j / 3600, "Wh")}` +
          `${known(all.joules_per_token) ? `, ${digits3(all.joules_per_token)} J for a token` : ""}`
        : null,
    ],
    ["paid time", known(all.busy_share) ? `${percent(all.busy_share)} busy` : null],
    ["cold starts", whole(all.cold_starts)],
    ["preemptions", whole(all.preemptions)],
  ]);
}

const PART_HEADS = [
  ["part", "", "t"],
  ["measured", "in all"],
  ["predicted", "in all", "wide"],
  ["ratio", "in all"],
  ["band", "", "wide"],
  ["ratio", "lately"],
  ["drift", ""],
];
function drawParts(told) {
  byId("parts-panel").hidden = !told.parts.length;
  const outside = (inside) => (inside === false ? "outside" : "");
  drawTable(
    byId("parts"),
    PART_HEADS,
    told.parts.map((each) => [
      [each.part],
      [spanOf(each.measured_s)],
      [spanOf(each.predicted_s)],
      [ratioOf(each.measured_to_predicted) || "", outside(each.in_band)],
      [bandOf(each.predicted_low, each.predicted_high)],
      [ratioOf(each.lately) || "", outside(each.lately_in_band)],
      [ratioOf(each.measured_to_first) || ""],
    ]),
  );
}

/* A list of texts; elements are replaced only if something changed. */
function drawList(place, wanted) {
  const key = JSON.stringify(wanted);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(...wanted.map((words) => element("li", {}, words)));
}

function drawAlerts(told) {
  byId("alerts-panel").hidden = !told.alerts.length;
  drawList(byId("alerts"), told.alerts);
}

function drawHealth(told) {
  const reasons = [...new Set(store.rows.map((row) => cell(row, "reason")).filter(Boolean))];
  const all = told.whole || {};
  drawPairs(byId("health"), [
    ["samples", `every ${digits3(told.interval_s)} s`],
    ["observed server", told.state === "down" ? "does not answer" : known((told.lately || {}).up) ? "answers" : null],
    ["restarts", all.restarts > 0 ? whole(all.restarts) : null],
    ["last error", told.failure],
    ["without data", all.unknown_s > 0 ? `${duration(all.unknown_s)} (${reasons.join("; ")})` : ""],
    ["records not kept", all.dropped_records > 0 ? whole(all.dropped_records) : null],
    [
      "not measured",
      told.whole
        ? charts
            .filter((chart) => chart.panel.hidden)
            .map((chart) => lowerFirst(chart.title))
            .join(", ")
        : null,
    ],
  ]);
  drawList(byId("notes"), told.notes);
}

function drawState() {
  const [state, words] = stateNow(page.lost);
  document.documentElement.dataset.state = state;
  text(byId("state-text"), page.paused ? `Paused. ${words}` : words);
}

function spanNow() {
  const end = store.rows.length ? cell(store.rows[store.rows.length - 1], "end_s") : store.told.now_s;
  const last = store.live ? Math.max(end, serverNow()) : end;
  const first = store.rows.length ? cell(store.rows[0], "start_s") : last - 60;
  return [Math.max(first, last - 3600 * store.told.hours), last];
}

function drawAll() {
  const { told } = store;
  drawState();
  if (!told) return;
  const { info } = told;
  const name = told.model || "a model";
  text(byId("model"), name);
  document.title = `${name}: live cost`;
  text(
    byId("subtitle"),
    [info.hardware && `on ${info.hardware}`, info.engine, info.precision, info.layout, info.observer]
      .filter(Boolean)
      .join(" \u00b7 "),
  );
  drawObservers(told);
  drawAlerts(told);
  drawCards(told);
  const span = spanNow();
  for (const chart of charts) updatePanel(chart, store.rows, span);
  drawTimes(told);
  drawTotals(told);
  drawParts(told);
  drawHealth(told);
  document.documentElement.dataset.drawn = String(told.last);
}

function drawObservers(told) {
  const names = told.observers || [];
  const select = byId("observer");
  byId("observer-label").hidden = names.length < 2;
  const key = JSON.stringify(names);
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  select.replaceChildren(...names.map((name, at) => element("option", { value: at }, name)));
  select.value = String(page.observer);
}

/* Ask, draw, and ask again: after an interval, or sooner and sooner again if there was no answer. */
async function poll(whole = false) {
  clearTimeout(page.timer);
  const asking = Symbol("asking");
  page.asking = asking;
  try {
    let answer = await ask(page.observer, page.hours, whole || !store.told);
    if (!answer.whole && isOther(answer.found)) answer = await ask(page.observer, page.hours, true);
    if (page.asking !== asking) return;
    take(answer.found, answer.whole);
    page.lost = "";
    page.failures = 0;
  } catch (failed) {
    if (page.asking !== asking) return;
    page.lost =
      failed.name === "AbortError"
        ? `no answer in ${ANSWER_S} s`
        : failed instanceof TypeError
          ? "no connection"
          : failed.message;
    page.failures += 1;
  }
  drawAll();
  document.documentElement.dataset.ready = "true";
  schedule();
}

function schedule() {
  clearTimeout(page.timer);
  if (page.paused) return;
  const interval = store.told ? Math.min(60, Math.max(1, store.told.interval_s)) : FIRST_RETRY_S;
  const wait = page.failures ? Math.min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (page.failures - 1)) : interval;
  page.timer = setTimeout(poll, 1000 * wait);
}

function begin() {
  byId("hours").replaceChildren(
    ...HOURS.map((hours) => element("option", { value: hours }, hours < 48 ? `${hours} h` : `${hours / 24} days`)),
  );
  byId("hours").value = String(page.hours);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("hours").addEventListener("change", (event) => {
    page.hours = Number(event.target.value);
    poll(true);
  });
  byId("observer").addEventListener("change", (event) => {
    page.observer = Number(event.target.value);
    poll(true);
  });
  byId("pause").addEventListener("click", () => {
    page.paused = !page.paused;
    byId("pause").setAttribute("aria-pressed", String(page.paused));
    text(byId("pause"), page.paused ? "Go on" : "Pause");
    drawState();
    if (page.paused) clearTimeout(page.timer);
    else poll();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !page.paused) poll();
  });
  setInterval(drawState, 1000);
  poll(true);
}

if (store.live) begin();
else {
  byId("controls").hidden = true;
  take(saved, true);
  drawAll();
  document.documentElement.dataset.ready = "true";
}
