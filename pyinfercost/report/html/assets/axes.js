/* Scales and ticks of the two charts. */
function logScale(low, high, from, to) {
  const [a, b] = [Math.log10(low), Math.log10(high)];
  return (value) => from + ((to - from) * (Math.log10(value) - a)) / (b - a);
}
const linearScale = (low, high, from, to) => (value) => from + ((to - from) * (value - low)) / (high - low || 1);

/* Powers of ten, thinned out until about `most` are left. */
function decades(low, high, most) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const step = Math.max(1, Math.ceil((last - first + 1) / most));
  const found = [];
  for (let power = first; power <= last; power += step) found.push(10 ** power);
  return found;
}

/* Round numbers from 0 on. */
function roundSteps(high, most) {
  const rough = high / most;
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let at = 0; at <= high; at += step) found.push(at);
  return found;
}

/* Short: 1, 10, 1k, 0.01. */
function tickText(value, unit) {
  const [factor, prefix] = PREFIXES.find(([step]) => value >= step * 0.999) || [1, ""];
  return `${Number((value / factor).toPrecision(3))} ${prefix}${unit}`.trim();
}

const line = (x1, y1, x2, y2, css) => element("svg:line", { x1, y1, x2, y2, class: css });
function label(x, y, text, css = "", anchor = "start", more = {}) {
  return element("svg:text", { x, y, class: css, "text-anchor": anchor, ...more }, text);
}

/* Widths of charts. Asking for one lays out the page, which takes longer than to draw a chart, so that each is asked
   for once until the page changes its form. */
const widths = new Map();
function widthOf(place) {
  const known = widths.get(place);
  if (known) return known;
  widths.set(place, place.clientWidth);
  return widths.get(place);
}

/* A chart as wide as its place; it is drawn anew when that changes. It is a picture, unless `more` makes it something
   that the keyboard moves. */
function canvas(place, height, title, more = {}) {
  const width = Math.max(widthOf(place), 280);
  const svg = element("svg:svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": title,
    ...more,
  });
  return { svg, width, height };
}

/* Of charts whose arrow keys go from one mark to the next; what is chosen is told by "Selected". */
const WALKED = { role: "application", "aria-roledescription": "chart, arrow keys choose", tabindex: 0 };

const nameOf = (layer) => `${layer.module || "(model)"} · ${layer.op.replace(/^(aten|engine)\./, "")}`;
