/* What the server tells: intervals by name of column, kept between answers. */
const HOURS = [1, 6, 24, 168];
const FIRST_RETRY_S = 2;
const LAST_RETRY_S = 30;
const ANSWER_S = 15;
const STALE_INTERVALS = 3;
const ANSWERS = 100; /* after so many, all is fetched anew, since old intervals were joined */

const store = { told: null, rows: [], place: {}, answers: 0, since: 0, shift: null, at: null };

const cell = (row, name) => row[store.place[name]];

/* Unix time of the server, by the clock of this page that never jumps. */
const seconds = () => performance.now() / 1000;
const serverNow = () => store.told.now_s + (store.live ? seconds() - store.at : 0);

/* Take an answer: one with new intervals, or all of them. */
function take(found, whole) {
  const told = found.live_history;
  const same = store.told && store.told.identity === told.identity && !whole;
  store.told = told;
  store.place = Object.fromEntries(told.columns.map((name, at) => [name, at]));
  if (!same) {
    store.rows = told.rows;
    store.answers = 0;
  } else if (told.rows.length) {
    const from = told.rows[0][store.place.start_s] + 1e-3;
    store.rows = store.rows.filter((row) => cell(row, "end_s") <= from).concat(told.rows);
  }
  const first = told.now_s - 3600 * told.hours;
  store.rows = store.rows.filter((row) => cell(row, "end_s") > first);
  store.since = told.last;
  store.answers += 1;
  store.shift = told.now_s - seconds();
  store.at = seconds();
}

/* Ask for what is new; for all of it if intervals here may be placed or joined otherwise there. */
async function ask(observer, hours, whole) {
  const since = whole || store.answers >= ANSWERS ? 0 : store.since;
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 1000 * ANSWER_S);
  try {
    const answer = await fetch(`/api/history.json?observer=${observer}&hours=${hours}&since=${since}`, {
      signal: stop.signal,
      cache: "no-store",
    });
    if (answer.status === 401) throw new Error("the token is not valid any more; load this page again");
    if (!answer.ok) throw new Error(`the monitor answers ${answer.status}`);
    return { found: await answer.json(), whole: since === 0 };
  } finally {
    clearTimeout(timer);
  }
}

/* Whether an answer is of another history, or of a wall clock that was set. */
function isOther(found) {
  const told = found.live_history;
  if (!store.told) return false;
  return told.identity !== store.told.identity || Math.abs(told.now_s - seconds() - store.shift) > 2;
}

/* Age of the newest sample, also while no answer comes. */
const ageNow = () => (store.told.age_s === null ? null : store.told.age_s + (store.live ? seconds() - store.at : 0));

const begins = (interval) => `Rates need two samples, ${duration(interval)} apart.`;

/* State of what is shown, and in words. */
function stateNow(lost) {
  if (!store.told) return lost ? ["lost", `No connection: ${lost}. Trying again.`] : ["waiting", "Connecting"];
  const { interval_s: interval, failure, whole } = store.told;
  const age = ageNow();
  const old = age === null ? "" : `Newest sample: ${duration(age)} old.`;
  if (!store.live)
    return [
      store.told.state === "live" ? "saved" : store.told.state,
      `Saved on ${moment(store.told.now_s, true)}. ` +
        `${store.told.state === "live" ? "" : `Then ${store.told.state}. `}${old}`,
    ];
  if (lost) return ["lost", `The monitor does not answer (${lost}). What is shown is old. ${old} Trying again.`];
  if (age === null)
    return ["waiting", failure ? `No sample yet: ${failure}` : `Waiting for the first sample. ${begins(interval)}`];
  if (age > STALE_INTERVALS * interval) return ["stale", `Stale: no new sample. ${old}${failure ? ` ${failure}` : ""}`];
  if (store.told.state === "down") return ["down", `The observed server does not answer. ${old}`];
  if (failure) return ["live", `Live. ${old} The last sample failed: ${failure}`];
  return ["live", whole ? `Live. ${old}` : `Live. ${begins(interval)}`];
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(1)} days`;
}

/* Time of day, with the day where it is needed. */
function moment(unix, day = false) {
  const two = (number) => String(number).padStart(2, "0");
  const date = new Date(1000 * unix);
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return day ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock}` : clock;
}
