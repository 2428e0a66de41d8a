/* Charts. uPlot draws grid, axes, lines and areas on a canvas; dots, marks, gaps and the cursor are elements above it.
   Colors are names of CSS variables. A chart is described by an object:
     title    description for screen readers
     role     "img" by default
     height   a function of the width; without it, the height of the place
     x, y     {low, high, log, zero, label, ticks, text, steps, isTime}: an axis; `ticks` is its most ticks if it is
              logarithmic, `text(tick, step)` its labels, `zero` the smallest value of a logarithmic axis with a zero
     at       horizontal positions of the lines
     lines    [{values, color, width, dash, fill, above}]: `fill` is the color of the area below, or above line `above`
     items    [{x, y, css, size, text, data}]: what can be read and chosen; one with a class is a dot
     nearest  whether the pointer reads the nearest item in the horizontal direction; else the dot below it
     tell     index of an item -> lines of its tooltip
     pick     (index, entered) => chooses an item: by a click, an arrow key, or Enter
     begin    index of the item at which arrow keys begin
     marks    [{x, y, to, text, title, css}]: a vertical line, a horizontal one, or a point with a text, which is
              parallel to the line to `to`
     gaps     [[from, to]]: hatched ranges of x */
const CHART_FONT = '11px system-ui, "DejaVu Sans", sans-serif';
const JUMP = 20; /* items, by PageUp and PageDown */
const drawnCharts = new Map();
const rootStyle = getComputedStyle(document.documentElement);
const colorOf = (name) => rootStyle.getPropertyValue(`--${name}`).trim();
const fadedColor = (name, share) => `color-mix(in srgb, ${colorOf(name)} ${100 * share}%, transparent)`;
/* Of charts whose arrow keys choose; what is chosen is told by "Selected". */
const WALKED = { roledescription: "chart, arrow keys choose" };
const known = (value) => typeof value === "number" && Number.isFinite(value);

/* A figure at a tick, without digits that say nothing. */
const tickOf = (value, unit = "") =>
  quantity(value, unit)
    .replace(/(\.\d*?)0+(?= |$)/, "$1")
    .replace(/\.(?= |$)/, "");

/* Ticks of a logarithmic axis: decades, with 2 and 5 or 3 between them where there is room. */
function niceTicks(low, high, most) {
  const powers = Array.from({ length: 40 }, (_, at) => at + Math.floor(Math.log10(low)));
  const inside = (steps, every = 1) =>
    powers
      .filter((_, at) => at % every === 0)
      .flatMap((power) => steps.map((step) => Number(`${step}e${power}`)))
      .filter((tick) => tick >= low && tick <= high);
  const dense = [[1, 2, 5], [1, 3], [1]].map((steps) => inside(steps)).find((ticks) => ticks.length <= most);
  return dense ?? inside([1], Math.ceil(inside([1]).length / most));
}

function axisOf(scale, spec, vertical) {
  const axis = () => spec()[scale];
  const { log, zero, label, steps } = axis();
  return {
    scale,
    side: vertical ? 3 : 2,
    size: vertical ? 60 : 28,
    gap: vertical ? 4 : 7,
    font: CHART_FONT,
    stroke: () => colorOf("dim"),
    grid: { stroke: () => colorOf("line"), width: 1 },
    ticks: { show: false },
    ...(label ? { label, labelSize: 18, labelGap: 0, labelFont: CHART_FONT } : {}),
    ...(log || zero
      ? {
          splits: (_, __, low, high) => [
            ...(zero ? [0] : []),
            ...niceTicks(Math.max(low, axis().zero ?? 0), high, axis().ticks),
          ],
          filter: (_, splits) => splits,
        }
      : { space: vertical ? 34 : 70, ...(steps ? { incrs: steps } : {}) }),
    values: (_, splits, __, ___, step) =>
      splits.map((tick) => (tick === null ? "" : axis().text ? axis().text(tick, step) : tickOf(tick))),
  };
}

const scaleOf = (axis) => {
  const { log, zero, isTime = false } = axis();
  return {
    time: isTime,
    distr: log ? 3 : zero ? 4 : 1,
    ...(zero ? { asinh: zero } : {}),
    range: () => [axis().low, axis().high],
  };
};

function seriesOf(line, at, spec) {
  const { color, width = 1.6, dash, fill, above } = line;
  const now = () => spec().lines[at];
  return {
    scale: "y",
    spanGaps: Boolean(line.isSegment),
    width: color ? width : 0,
    stroke: color ? () => colorOf(now().color) : null,
    ...(dash ? { dash } : {}),
    ...(fill && above === undefined ? { fill: () => colorOf(now().fill) } : {}),
    points: { show: false },
  };
}

/* Draw a chart, or change the one that is at its place. */
function drawChart(place, spec) {
  const { x, y, lines } = spec;
  const styles = lines.map(({ color, width, dash, fill, above }) => [
    Boolean(color),
    width,
    dash,
    Boolean(fill),
    above,
  ]);
  const key = JSON.stringify([[x, y].map(({ log, zero, label, steps }) => [log, zero, label, steps]), styles]);
  const before = drawnCharts.get(place);
  if (before?.key === key && place.contains(before.plot.root)) before.show(spec);
  else {
    before?.close();
    place.replaceChildren();
    drawnCharts.set(place, makeChart(place, spec, key));
  }
  return drawnCharts.get(place);
}

function eraseChart(place) {
  drawnCharts.get(place)?.close();
  drawnCharts.delete(place);
  place.replaceChildren();
}

function makeChart(place, first, key) {
  let spec = first;
  let isStale = true;
  let at = null; /* the item that is read */
  let marked = null;
  const now = () => spec;
  const [above, below] = [element("div", { class: "layer" }), element("div", { class: "layer" })];
  const cursor = element("div", { class: "cursor", hidden: true });
  const size = () => {
    const width = Math.max(1, place.clientWidth);
    return { width, height: spec.height ? Math.round(spec.height(width)) : place.clientHeight };
  };
  const data = () => [spec.at, ...spec.lines.map(({ values }) => values)];
  const plot = new uPlot(
    {
      ...size(),
      scales: { x: scaleOf(() => spec.x), y: scaleOf(() => spec.y) },
      axes: [axisOf("x", now), axisOf("y", now, true)],
      series: [{}, ...spec.lines.map((line, number) => seriesOf(line, number, now))],
      bands: spec.lines.flatMap(({ above: other, opacity = 1 }, number) =>
        other === undefined
          ? []
          : [{ series: [number + 1, other + 1], fill: () => fadedColor(spec.lines[number].fill, opacity) }],
      ),
      padding: [8, 18, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      hooks: { draw: [() => isStale && layOut()] },
    },
    data(),
    place,
  );
  plot.over.append(above, cursor);
  plot.under.append(below);

  const share = (value, scale) => {
    const { width, height } = plot.bbox;
    return (
      (plot.valToPos(value, scale, true) - plot.bbox[scale === "x" ? "left" : "top"]) / (scale === "x" ? width : height)
    );
  };
  const percents = (...pairs) => pairs.map(([side, part]) => `${side}:${(100 * part).toFixed(3)}%`).join(";");
  const placed = (item) => percents(["left", share(item.x, "x")], ["top", share(item.y, "y")]);

  function layOut() {
    isStale = false;
    const dots = (spec.items ?? []).map((item, index) => {
      if (item.css === undefined) return null;
      const wide = item.size?.toFixed(1);
      const across = wide ? `;width:${wide}px;height:${wide}px;z-index:${100 - Math.round(item.size)}` : "";
      const named = Object.fromEntries(Object.entries(item.data ?? {}).map(([name, value]) => [`data-${name}`, value]));
      return element(
        "span",
        { class: `dot ${item.css}`, style: placed(item) + across, "data-item": index, ...named },
        item.text,
      );
    });
    const isInside = ([scale, value]) => value === undefined || Math.abs(share(value, scale) - 0.5) < 0.501;
    const marks = (spec.marks ?? []).filter(({ x, y }) =>
      [
        ["x", x],
        ["y", y],
      ].every(isInside),
    );
    above.replaceChildren(...dots.filter(Boolean).reverse(), ...marks.map(markOf));
    below.replaceChildren(
      ...(spec.gaps ?? []).map(([from, to]) => {
        const left = share(from, "x");
        return element("div", { class: "gap", style: percents(["left", left], ["width", share(to, "x") - left]) });
      }),
    );
    if (marked) mark(marked);
  }

  function markOf({ x, y, to, text, title, css = "" }) {
    const made = element("span", { class: `mark ${css}`, title }, text ? element("span", {}, text) : null);
    if (x === undefined) made.style.top = `${100 * share(y, "y")}%`;
    else if (y === undefined) made.style.left = `${100 * share(x, "x")}%`;
    else made.style.cssText = placed({ x, y });
    made.classList.add(x === undefined ? "level" : y === undefined ? "upright" : "point");
    if (share(x ?? spec.x.low, "x") > 0.6) made.classList.add("late");
    if (to) {
      const [across, up] = ["x", "y"].map(
        (scale) => plot.valToPos(to[scale], scale) - plot.valToPos({ x, y }[scale], scale),
      );
      made.style.rotate = `${Math.atan2(up, across)}rad`;
    }
    return made;
  }

  const isRead = () => spec.tell && spec.items.length;
  const left = (index) => share(spec.items[index].x, "x");
  function point(index) {
    cursor.hidden = index === null || !spec.nearest;
    if (index !== null) cursor.style.left = `${100 * left(index)}%`;
  }
  function rest() {
    hideTip();
    at = null;
    point(marked && spec.nearest && marked.size ? Math.min(...marked) : null);
  }
  const distance = (index, where) => Math.abs(left(index) - where);
  function itemOf(event) {
    if (!isRead()) return null;
    if (!spec.nearest) {
      const dot = event.target.closest("[data-item]");
      return dot ? Number(dot.dataset.item) : null;
    }
    const box = plot.over.getBoundingClientRect();
    const where = (event.clientX - box.left) / box.width;
    return spec.items.reduce((best, _, index) => (distance(index, where) < distance(best, where) ? index : best), 0);
  }
  plot.over.addEventListener("pointermove", (event) => {
    const index = itemOf(event);
    if (index === null) return rest();
    at = index;
    point(index);
    return showTip(spec.tell(index), event.clientX, event.clientY);
  });
  plot.over.addEventListener("pointerleave", rest);
  plot.over.addEventListener("click", (event) => {
    const index = itemOf(event);
    if (index === null || !spec.pick) return;
    hideTip();
    spec.pick(index, false);
  });
  const keys = new AbortController();
  place.addEventListener("blur", rest, keys);
  place.addEventListener(
    "keydown",
    (event) => {
      if (!isRead() || !place.hasAttribute("tabindex")) return;
      if (event.key === "Escape") {
        rest();
        return;
      }
      const end = spec.items.length;
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -JUMP, PageDown: JUMP, Home: -end, End: end }[event.key];
      const isEnter = event.key === "Enter" && spec.pick;
      if (step === undefined && !isEnter) return;
      event.preventDefault();
      at = Math.min(end - 1, Math.max(0, (at ?? spec.begin ?? end) + (step ?? 0)));
      point(at);
      if (spec.pick) {
        spec.pick(at, Boolean(isEnter));
        return;
      }
      const box = plot.over.getBoundingClientRect();
      showTip(spec.tell(at), box.left + left(at) * box.width, box.top);
      byId("spoken").textContent = spec.tell(at).join(", ");
    },
    keys,
  );

  function describe() {
    place.setAttribute("aria-label", spec.title);
    place.setAttribute("role", spec.role ?? "img");
    if (spec.tell && !spec.isSilent) place.setAttribute("tabindex", "0");
    for (const [name, value] of Object.entries(spec.aria ?? {})) place.setAttribute(`aria-${name}`, value);
  }

  function show(next) {
    spec = next;
    isStale = true;
    describe();
    plot.setData(data());
  }

  /* The items that are selected. */
  function mark(items) {
    marked = items;
    for (const dot of above.querySelectorAll(".dot"))
      dot.classList.toggle("selected", items.has(Number(dot.dataset.item)));
    if (at === null) rest();
  }

  function resize() {
    const { width, height } = size();
    if (width === plot.width && height === plot.height) return;
    isStale = true;
    plot.setSize({ width, height });
  }
  const observer = new ResizeObserver(() => requestAnimationFrame(resize));
  observer.observe(place);
  describe();
  return {
    key,
    plot,
    show,
    mark,
    resize,
    close() {
      observer.disconnect();
      keys.abort();
      plot.destroy();
    },
  };
}

/* Canvases have the colors of when they were drawn. */
for (const media of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(media).addEventListener("change", () => {
    for (const { plot, resize } of drawnCharts.values()) {
      resize();
      plot.redraw(false);
    }
  });
}

/* Intervals as steps: each is two points, and there is a gap before one that does not follow the one before. */
function stepsOf(spans) {
  const at = [];
  const source = [];
  spans.forEach(([from, to], index) => {
    if (index && from - spans[index - 1][1] > 1e-3 * (to - from)) {
      at.push(from);
      source.push(-1);
    }
    at.push(from, to);
    source.push(index, index);
  });
  return { at, of: (values) => source.map((index) => values[index] ?? null) };
}

/* Lines of two points: each has its own horizontal positions, all of which are in order. */
function segmentsOf(segments) {
  const ends = segments.flatMap(({ from, to }, owner) => [from, to].map(([x, y]) => ({ x, y, owner })));
  ends.sort((one, other) => one.x - other.x);
  return {
    at: ends.map(({ x }) => x),
    lines: segments.map((segment, own) => ({
      ...segment,
      isSegment: true,
      values: ends.map(({ y, owner }) => (owner === own ? y : null)),
    })),
  };
}

/* Sums of areas up to each one; an interval in which none is known has no sum. */
function stackOf(columns) {
  return columns.map((_, at) =>
    columns[0].map((__, row) =>
      columns.some((values) => known(values[row])) ? sum(columns.slice(0, at + 1).map((values) => values[row])) : null,
    ),
  );
}
