/* Williams, Waterman, Patterson: "Roofline", CACM 52(4), 2009. A dot is a layer's kernel; its area is its share of the
   time. What computes nothing has no place here. */
function rooflineOf(view) {
  const dots = new Map(); /* equal kernels lie at one place, and are one dot */
  let without = 0;
  let withoutSeconds = 0;
  const whole = sum(view.layers.map((layer) => layer.latency_s));
  view.layers.forEach((layer, index) => {
    if (!layer.latency_s) return;
    if (!layer.kernel_flops || !layer.kernel_bytes) {
      without += 1;
      withoutSeconds += layer.latency_s;
      return;
    }
    const key = kernelOf(layer);
    const dot =
      dots.get(key) ||
      dots
        .set(key, {
          index,
          layer,
          layers: [],
          share: 0,
          x: layer.kernel_flops / layer.kernel_bytes,
          y: layer.kernel_flops / layer.latency_s,
        })
        .get(key);
    dot.layers.push(index);
    dot.share += layer.latency_s / whole;
  });
  const used = new Set([...dots.values()].map((dot) => dot.layer.unit));
  const roofs = new Map();
  for (const each of view.machine.units) {
    const isUsed = used.has(`${each.unit} ${each.dtype}`);
    const key = `${each.flop_per_s} ${each.unit} ${isUsed}`;
    const roof = roofs.get(key) || { unit: each.unit, rate: each.flop_per_s, used: isUsed, dtypes: [] };
    roof.dtypes.push(SHORT_DTYPES[each.dtype] || each.dtype);
    roofs.set(key, roof);
  }
  const sorted = [...roofs.values()].sort((one, other) => other.rate - one.rate);
  for (const roof of sorted) roof.label = `${roof.unit} ${roof.dtypes.join(", ")}`;
  return {
    dots: [...dots.values()],
    roofs: sorted,
    slopes: view.machine.memory,
    without,
    withoutShare: whole ? withoutSeconds / whole : 0,
  };
}

function drawRoofline(view, pick) {
  const place = byId("roofline");
  const panel = place.parentElement;
  panel.hidden = !view.machine;
  if (!view.machine) return null;
  const { dots, roofs, slopes, without, withoutShare } = rooflineOf(view);
  const kernels = sum(dots.map((dot) => dot.layers.length));
  byId("roofline-note").textContent =
    `${kernels} kernels${dots.length < kernels ? ` in ${dots.length} dots, equal ones together` : ""}; ` +
    "area is the share of the time. " +
    (without ? `${without} more compute nothing and have no dot (${percent(withoutShare)} of the time).` : "");
  const used = roofs.filter((roof) => roof.used);
  const top = Math.max(...(used.length ? used : roofs).map((roof) => roof.rate));
  const dram = slopes[slopes.length - 1];
  const ridges = used.map((roof) => roof.rate / dram.bandwidth_byte_per_s);
  const xs = dots.map((dot) => dot.x).concat(ridges);
  const ys = dots.map((dot) => dot.y);
  const [xLow, xHigh] = [Math.min(...xs, 1) / 2.5, Math.max(...xs, 10) * 4];
  const [yLow, yHigh] = [Math.min(...ys, top / 100) / 3, Math.max(...ys, top) * 3];
  const isNarrow = matchMedia("(max-width: 640px)").matches;
  const [across, up] = [Math.log(xHigh / xLow), Math.log(yHigh / yLow)];
  const fastest = Math.max(...slopes.map((slope) => slope.bandwidth_byte_per_s));
  const unused = isNarrow ? [] : roofs.filter((roof) => !roof.used && roof.rate <= top * 2.9);
  const labeled = [];
  const segments = [];
  const marks = [];
  for (const roof of [...used, ...unused]) {
    const start = Math.max(roof.rate / fastest, xLow);
    const style = roof.used ? { color: "ink" } : { color: "dim", width: 1, dash: [5, 4] };
    const css = roof.used ? "roof" : "roof unused";
    const text = `${roof.label} ${quantity(roof.rate, "FLOP/s")}`;
    segments.push({ from: [start, roof.rate], to: [xHigh, roof.rate], ...style });
    marks.push({ y: roof.rate, css: "hit", title: `${text}, dense peak` });
    if (labeled.some((rate) => Math.abs(Math.log(rate / roof.rate)) < 0.05 * up)) continue;
    labeled.push(roof.rate);
    marks.push({ x: xHigh, y: roof.rate, text, css });
  }
  for (const slope of slopes) {
    const rate = slope.bandwidth_byte_per_s;
    const isDram = slope === dram;
    const [start, end] = [Math.max(xLow, yLow / rate), Math.min(top / rate, xHigh)];
    if (end <= start) continue;
    const style = isDram ? { color: "dram" } : { color: "dim", width: 1.2 };
    segments.push({ from: [start, start * rate], to: [end, end * rate], ...style });
    if (Math.log(end / start) > 0.25 * across && (!isNarrow || isDram)) {
      const x = start * (end / start) ** 0.3; /* copies and norms crowd at the lower end */
      const text = `${slope.level} ${quantity(rate, "B/s")}`;
      marks.push({ x, y: x * rate, to: { x: end, y: end * rate }, text, css: isDram ? "slope dram" : "slope" });
    }
    for (const roof of used) {
      const ridge = roof.rate / rate;
      if (ridge < xLow || ridge > xHigh) continue;
      const title = `ridge of ${slope.level} and ${roof.label}: ${digits(ridge)} FLOP/B`;
      marks.push({ x: ridge, y: roof.rate, css: "ridge", title });
    }
  }
  let lastRidge = xLow;
  for (const { rate } of [...used].sort((one, other) => one.rate - other.rate)) {
    const ridge = rate / dram.bandwidth_byte_per_s;
    segments.push({ from: [ridge, yLow], to: [ridge, rate], color: "dim", width: 1, dash: [2, 4] });
    if (Math.log(ridge / lastRidge) < 0.12 * across || ridge > xHigh / 1.2) continue;
    marks.push({ x: ridge, y: yLow, text: `ridge ${Number(ridge.toPrecision(3))}`, css: "lowest" });
    lastRidge = ridge;
  }
  const most = Math.max(...dots.map((dot) => dot.share), 1e-12);
  const largest = Math.min(16, 70 * Math.sqrt(most));
  dots.sort((one, other) => one.x - other.x || one.index - other.index);
  const chart = drawChart(place, {
    title: `Roofline of ${view.machine.name} with ${kernels} kernels`,
    role: "application",
    aria: WALKED,
    height: (width) => Math.min(Math.max(width * 0.6, 300), 460),
    x: { low: xLow, high: xHigh, log: true, label: "intensity, FLOP per byte", ticks: 8 },
    y: { low: yLow, high: yHigh, log: true, label: "FLOP/s", ticks: 8 },
    ...segmentsOf(segments),
    items: dots.map((dot) => ({
      x: dot.x,
      y: dot.y,
      css: dot.layer.bound,
      size: 2 * Math.max(2.5, largest * Math.sqrt(dot.share / most)),
      data: { layer: dot.index, times: dot.layers.length },
    })),
    begin: -1,
    tell: (at) => {
      const { layer, layers, share, x, y } = dots[at];
      const times = layers.length;
      return [
        nameOf(layer) + (times > 1 ? `, and ${times - 1} equal ones` : ""),
        `${times > 1 ? `${times} x ` : ""}${quantity(layer.latency_s, "s")}, ${percent(share)} of the time`,
        `${quantity(y, "FLOP/s")} at ${digits(x)} FLOP/B`,
        `${layer.unit}, bound by ${layer.bound}: ${layer.effect}`,
      ];
    },
    pick: (at, entered) => pick(dots[at].index, entered),
    marks,
  });
  byId("legend").replaceChildren(
    ...BOUNDS.filter((bound) => bound !== "link" || view.estimate?.bound.link).map((bound) =>
      element("li", {}, element("span", { class: `swatch ${bound}` }), term(`${bound}-bound`, meaningOf(bound))),
    ),
  );
  const holding = (layers) => dots.flatMap((dot, at) => (dot.layers.some((index) => layers.has(index)) ? [at] : []));
  return { mark: (layers) => chart.mark(new Set(holding(layers))) };
}
