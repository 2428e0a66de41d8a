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
  const { svg, width, height } = canvas(
    place,
    Math.min(Math.max(widthOf(place) * 0.6, 300), 460),
    `Roofline of ${view.machine.name} with ${kernels} kernels`,
    WALKED,
  );
  const box = { left: 62, right: width - 12, top: 10, bottom: height - 42 };
  const x = logScale(xLow, xHigh, box.left, box.right);
  const y = logScale(yLow, yHigh, box.bottom, box.top);

  for (const tick of decades(xLow, xHigh, width / 70)) {
    svg.append(
      line(x(tick), box.top, x(tick), box.bottom, "grid"),
      label(x(tick), box.bottom + 16, tickText(tick, ""), "tick", "middle"),
    );
  }
  for (const tick of decades(yLow, yHigh, 8)) {
    svg.append(
      line(box.left, y(tick), box.right, y(tick), "grid"),
      label(box.left - 6, y(tick) + 4, tickText(tick, ""), "tick", "end"),
    );
  }
  svg.append(label((box.left + box.right) / 2, height - 6, "intensity, FLOP per byte", "axis", "middle"));
  svg.append(
    label(12, (box.top + box.bottom) / 2, "FLOP/s", "axis", "middle", {
      transform: `rotate(-90 12 ${(box.top + box.bottom) / 2})`,
    }),
  );

  const narrow = width < 480;
  const fastest = Math.max(...slopes.map((slope) => slope.bandwidth_byte_per_s));
  const taken = [];
  const roofLabels = []; /* above the dots */
  const free = (at) => taken.every((other) => Math.abs(other - at) > 16);
  for (const roof of [...used, ...(narrow ? [] : roofs.filter((other) => !other.used && other.rate <= top * 2.9))]) {
    const at = y(roof.rate);
    const group = element("svg:g", { class: roof.used ? "roof" : "roof unused" });
    group.append(line(x(Math.max(roof.rate / fastest, xLow)), at, box.right, at, ""));
    group.append(element("svg:title", {}, `${roof.label}: ${quantity(roof.rate, "FLOP/s")}, dense peak`));
    if (free(at)) {
      taken.push(at);
      roofLabels.push(
        label(
          box.right - 4,
          at - 4,
          `${roof.label} ${quantity(roof.rate, "FLOP/s")}`,
          roof.used ? "roof-label" : "roof-label unused",
          "end",
        ),
      );
    }
    svg.append(group);
  }
  slopes.forEach((slope, level) => {
    const end = Math.min(top / slope.bandwidth_byte_per_s, xHigh);
    const start = Math.max(xLow, yLow / slope.bandwidth_byte_per_s);
    if (end <= start) return;
    const [x1, y1, x2, y2] = [
      x(start),
      y(start * slope.bandwidth_byte_per_s),
      x(end),
      y(end * slope.bandwidth_byte_per_s),
    ];
    const group = element(
      "svg:g",
      { class: level === slopes.length - 1 ? "slope dram" : "slope" },
      line(x1, y1, x2, y2, ""),
    );
    const text = `${slope.level} ${quantity(slope.bandwidth_byte_per_s, "B/s")}`;
    group.append(element("svg:title", {}, text));
    if (Math.hypot(x2 - x1, y2 - y1) > text.length * 7 + 20 && (!narrow || level === slopes.length - 1)) {
      const share = 0.3; /* copies and norms crowd at the lower end */
      const [tx, ty] = [x1 + (x2 - x1) * share, y1 + (y2 - y1) * share];
      group.append(
        label(tx, ty - 5, text, "", "start", {
          transform: `rotate(${(Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI} ${tx} ${ty})`,
        }),
      );
    }
    svg.append(group);
    for (const roof of used) {
      const ridge = roof.rate / slope.bandwidth_byte_per_s;
      if (ridge < xLow || ridge > xHigh) continue;
      const mark = element("svg:circle", { cx: x(ridge), cy: y(roof.rate), r: 3, class: "ridge" });
      mark.append(element("svg:title", {}, `ridge of ${slope.level} and ${roof.label}: ${digits(ridge)} FLOP/B`));
      svg.append(mark);
    }
  });
  let lastRidge = -1e9;
  [...used]
    .sort((one, other) => one.rate - other.rate)
    .forEach((roof) => {
      const ridge = roof.rate / dram.bandwidth_byte_per_s;
      const at = x(ridge);
      svg.append(line(at, y(roof.rate), at, box.bottom, "ridge-line"));
      if (at - lastRidge > 74 && at < box.right - 30) {
        svg.append(label(at + 3, box.bottom - 5, `ridge ${Number(ridge.toPrecision(3))}`, "ridge-label"));
        lastRidge = at;
      }
    });

  const most = Math.max(...dots.map((dot) => dot.share), 1e-12);
  const largest = Math.min(16, 70 * Math.sqrt(most));
  const circles = new Map();
  for (const dot of [...dots].sort((one, other) => other.share - one.share)) {
    const circle = element("svg:circle", {
      cx: x(dot.x).toFixed(1),
      cy: y(dot.y).toFixed(1),
      r: Math.max(2.5, largest * Math.sqrt(dot.share / most)).toFixed(1),
      class: `dot ${dot.layer.bound}`,
      "data-layer": dot.index,
      "data-times": dot.layers.length,
    });
    circles.set(dot, circle);
    svg.append(circle);
  }
  svg.append(...roofLabels);
  const byIntensity = [...dots].sort((one, other) => one.x - other.x || one.index - other.index);
  const told = (dot) => [
    nameOf(dot.layer) + (dot.layers.length > 1 ? `, and ${dot.layers.length - 1} equal ones` : ""),
    `${dot.layers.length > 1 ? `${dot.layers.length} x ` : ""}${quantity(dot.layer.latency_s, "s")}, ` +
      `${percent(dot.share)} of the time`,
    `${quantity(dot.y, "FLOP/s")} at ${digits(dot.x)} FLOP/B`,
    `${dot.layer.unit}, bound by ${dot.layer.bound}: ${dot.layer.effect}`,
  ];
  const dotOf = (target) => dots.find((dot) => String(dot.index) === target.getAttribute("data-layer"));
  svg.addEventListener("pointermove", (event) => {
    const dot = event.target.classList.contains("dot") ? dotOf(event.target) : null;
    if (dot) showTip(told(dot), event.clientX, event.clientY);
    else hideTip();
  });
  svg.addEventListener("pointerleave", hideTip);
  svg.addEventListener("click", (event) => {
    if (event.target.classList.contains("dot")) pick(Number(event.target.getAttribute("data-layer")));
  });
  let at = -1;
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!byIntensity.length || (step === undefined && event.key !== "Enter")) return;
    event.preventDefault();
    if (step !== undefined) at = (at + step + byIntensity.length) % byIntensity.length;
    if (at < 0) return;
    const dot = byIntensity[at];
    pick(dot.index, event.key === "Enter");
  });
  place.replaceChildren(svg);
  byId("legend").replaceChildren(
    ...BOUNDS.filter((bound) => bound !== "link" || view.estimate?.bound.link).map((bound) =>
      element("li", {}, element("span", { class: `swatch ${bound}` }), term(`${bound}-bound`, meaningOf(bound))),
    ),
  );
  return {
    mark: (layers) => {
      for (const [dot, circle] of circles)
        circle.classList.toggle(
          "selected",
          dot.layers.some((index) => layers.has(index)),
        );
    },
  };
}
