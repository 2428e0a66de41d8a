/* All that is known of the selected row. */
function drawDetails(view, node, tree) {
  const place = byId("details");
  if (!node) {
    place.replaceChildren(element("p", { class: "note" }, "Choose a row or a dot."));
    return;
  }
  const own = tree.figures(node);
  const layers = node.layers.map((index) => view.layers[index]);
  const busy = layers.filter((layer) => layer.latency_s);
  const kinds = new Set(busy.map(kernelOf));
  const pairs = [["op", tree.opOf(node)]];
  if (own.latency !== null) pairs.push(["time", `${quantity(own.latency, "s")}, ${percent(own.share)} of the forward`]);
  if (own.bound) pairs.push(["bound by", term(own.bound, meaningOf(own.bound))]);
  if (busy.length > 1 && kinds.size === 1)
    pairs.push(["kernels", `${busy.length} equal ones of ${quantity(busy[0].latency_s, "s")}`]);
  if (kinds.size === 1) {
    const [layer] = busy;
    pairs.push([
      "effect",
      term(`${layer.effect}, ${percent(layer.effect_share)} of its time`, effectText(layer.effect)),
    ]);
    if (layer.kernel_flops) {
      pairs.push(["runs on", layer.unit]);
      pairs.push([
        "reaches",
        `${quantity(layer.kernel_flops / layer.latency_s, "FLOP/s")} at ` +
          `${digits(layer.kernel_flops / layer.kernel_bytes)} FLOP/B`,
      ]);
    }
    pairs.push(["its kernel moves", quantity(layer.kernel_bytes, "B")]);
  }
  pairs.push(["FLOPs", quantity(own.flops, "FLOP")], ["bytes, op by op", quantity(own.bytes, "B")]);
  if (own.parameters) pairs.push(["parameters", quantity(own.parameters, "")]);
  if (own.energy !== null) pairs.push(["energy", quantity(own.energy, "J")]);
  if (own.cost !== null) pairs.push(["cost of a million", `${digits(own.cost)} USD`]);
  pairs.push(["live memory, at most", quantity(Math.max(...layers.map((layer) => layer.live_activation_bytes)), "B")]);
  const notes = [...new Set(layers.map((layer) => layer.note).filter(Boolean))];
  if (layers.length === 1 && notes.length) pairs.push(["note", notes.join("; ")]);
  const parts = [
    element("h3", {}, node.path || "(model)"),
    element("dl", {}, ...pairs.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)])),
  ];
  if (own.latency) parts.push(termBars(busy, own.latency));
  place.replaceChildren(...parts);
}

/* Equal kernels have equal texts. */
const kernelOf = (layer) =>
  [layer.op, layer.latency_s, layer.bound, layer.effect, layer.unit, layer.kernel_flops, layer.kernel_bytes].join();
function effectText(name) {
  const { meaning, remedy } = SAID.effects[name] || { meaning: "", remedy: "" };
  return remedy ? `${meaning} Less of it: ${remedy}.` : meaning;
}

/* The terms of which the time consists; the longest of compute, dram, cache and link counts, on top of the launches. */
function termBars(layers, latency) {
  const known = ["launch", "compute", "dram", "cache", "link"];
  const rows = known
    .filter((name) => name !== "link" || layers.some((layer) => layer.link_s))
    .map((name) => {
      const seconds = sum(layers.map((layer) => layer[`${name}_s`]));
      return element(
        "div",
        { class: "term" },
        element("span", {}, name),
        element(
          "span",
          { class: "bar" },
          element("span", {
            class: `fill ${name}`,
            style: `width:${Math.min((100 * seconds) / latency, 100).toFixed(1)}%`,
          }),
        ),
        element("span", { class: "number" }, quantity(seconds, "s")),
      );
    });
  return element(
    "div",
    { class: "terms" },
    element("span", { class: "title" }, "Terms: launch, and the longest of the others in each kernel"),
    ...rows,
  );
}
