/* Charts of a page that does not change: each place has the data of its chart as JSON. */
const UNITS_OF_TIME = [
  ["days", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];
const STEPS_OF_TIME = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];
const STEPS_OF_DAYS = [1, 2, 5, 7, 14, 28, 56, 112, 364].map((days) => 86400 * days);

/* A duration in the unit of a step. */
function sinceStart(seconds, step) {
  const [unit, size] = UNITS_OF_TIME.find(([, each]) => step >= each) ?? UNITS_OF_TIME[3];
  return seconds === 0 ? "0" : `${Number((seconds / size).toPrecision(4))} ${unit}`;
}
const shortNumber = (value) => Number(value.toPrecision(4)).toLocaleString("en");

function overTimeOf({ title, edges, areas, lines, top }) {
  const spans = edges.slice(1).map((edge, at) => [edges[at], edge]);
  const end = edges[edges.length - 1];
  const stacks = stackOf(areas.map(({ values }) => values));
  return overTime({
    title,
    spans,
    span: [0, end || 1],
    areas,
    lines,
    top: top ?? endOf([...stacks, ...lines.map(({ values }) => values)]),
    x: { text: sinceStart, steps: [...STEPS_OF_TIME, ...STEPS_OF_DAYS] },
    y: { text: shortNumber },
    tell: (at) => [
      spans[at].map((edge) => sinceStart(edge, end / 2)).join(" to "),
      ...[...lines, ...[...areas].reverse()].map(({ label, values }) => `${label}: ${shortNumber(values[at])}`),
    ],
  });
}

/* The vertical axis of shares in percent: if they span more than a decade, logarithmic above the least one. */
function axisOfShares(shares) {
  const most = Math.max(1e-6, ...shares);
  const least = Math.max(0.01, Math.min(most, ...shares.filter((share) => share > 0)));
  const text = (tick) => (tick < 0 ? "" : `${Number(tick.toPrecision(4))} %`);
  if (most < 16 * least) return { low: -0.05 * most, high: 1.12 * most, text };
  return { low: -0.5 * least, high: 1.4 * most, zero: least, ticks: 6, text };
}

function scatterOf({ title, unit, end, dots, front }) {
  const amounts = dots.map(([x]) => x);
  const least = Math.min(...amounts);
  const low = least < 0.3 * end ? 0 : Math.max(0, least - 0.06 * (end - least || end));
  const high = end + 0.06 * (end - low || 1);
  const steps = front.flatMap(([x, share], at) => [...(at ? [[x, front[at - 1][1]]] : []), [x, share]]);
  if (steps.length) steps.push([high, steps[steps.length - 1][1]]);
  return {
    title: `${title}. Arrow keys read the dots.`,
    x: { low, high, label: unit, text: shortNumber },
    y: axisOfShares(dots.map(([, share]) => 100 * share)),
    at: steps.map(([x]) => x),
    lines: [{ values: steps.map(([, share]) => 100 * share), color: "accent", dash: [5, 4] }],
    items: dots.map(([x, share, text, , css]) => ({ x: Math.min(x, high), y: 100 * share, text, css })).reverse(),
    begin: -1,
    tell: (at) => [dots[dots.length - 1 - at][3]],
  };
}

for (const place of document.querySelectorAll("[data-chart]")) {
  const data = JSON.parse(place.dataset.chart);
  drawChart(place, data.dots ? scatterOf(data) : overTimeOf(data));
}
document.documentElement.dataset.ready = "true";
