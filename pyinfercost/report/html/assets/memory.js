/* What is held while each node runs: weights below, live tensors and workspace on top. */
function drawMemory(view, pick) {
  const place = byId("memory");
  const live = view.layers.map((layer) => layer.live_activation_bytes);
  const resident = view.totals.peak_memory_bytes - view.totals.peak_activation_bytes;
  const peak = live.indexOf(Math.max(...live));
  const note = byId("memory-note");
  if (!live.length || live.some((bytes) => typeof bytes !== "number")) {
    note.textContent = "Not known: it depends on sizes that have no value.";
    place.replaceChildren();
    return null;
  }
  const owner = view.layers[peak];
  const stages =
    view.estimate && view.estimate.stages && view.estimate.stages.length ? "All stages together: peak" : "Peak";
  note.textContent =
    `${stages} ${quantity(view.totals.peak_memory_bytes, "B")}: ${quantity(resident, "B")} of weights and buffers, ` +
    `${quantity(live[peak], "B")} while ${nameOf(owner)} runs.`;
  const dram = view.machine ? view.machine.memory[view.machine.memory.length - 1].capacity_bytes : null;
  const most = live[peak];
  const room = dram === null ? Infinity : dram - resident;
  const high = Math.max(most, room > 0 && room < 2.5 * most ? room : 0) * 1.15 || 1;
  const { svg, width, height } = canvas(place, 250, note.textContent, WALKED);
  const band = 26;
  const box = { left: 70, right: width - 12, top: 12, bottom: height - 30 - band };
  const x = linearScale(0, live.length, box.left, box.right);
  const y = linearScale(0, high, box.bottom, box.top);
  for (const tick of roundSteps(high, 5)) {
    svg.append(
      line(box.left, y(tick), box.right, y(tick), "grid"),
      label(box.left - 6, y(tick) + 4, tickText(tick, "B"), "tick", "end"),
    );
  }
  const order =
    width < 480
      ? `nodes, in order (${live.length})`
      : `nodes of the graph, in the order in which they run (${live.length})`;
  svg.append(label((box.left + box.right) / 2, height - 8, order, "axis", "middle"));
  /* Weights are always there; drawn to scale they would leave no room for what changes. */
  svg.append(
    element("svg:rect", { x: box.left, y: box.bottom, width: box.right - box.left, height: band, class: "weights" }),
  );
  svg.append(
    label(
      box.left + 8,
      box.bottom + 17,
      `weights and buffers ${quantity(resident, "B")} (not to scale)`,
      "weights-label",
    ),
  );
  let path = `M${box.left},${box.bottom}`;
  live.forEach((bytes, node) => {
    const level = y(bytes).toFixed(1);
    path += `L${x(node).toFixed(1)},${level}L${x(node + 1).toFixed(1)},${level}`;
  });
  svg.append(element("svg:path", { d: `${path}L${box.right},${box.bottom}Z`, class: "live" }));
  if (room > 0 && room < high) {
    svg.append(
      line(box.left, y(room), box.right, y(room), "capacity"),
      label(box.right - 4, y(room) - 4, `the machine has ${quantity(dram, "B")}`, "tick", "end"),
    );
  }
  const center = x(peak + 0.5);
  const toRight = center < (box.left + box.right) / 2;
  const name = owner.module || owner.op;
  const letters = Math.floor(width / 16);
  svg.append(element("svg:circle", { cx: center, cy: y(most), r: 4, class: "peak" }));
  svg.append(
    label(
      center + (toRight ? 8 : -8),
      y(most) - 5,
      `peak: ${name.length > letters ? `…${name.slice(-letters)}` : name}`,
      "peak-label",
      toRight ? "start" : "end",
    ),
  );
  const cursor = line(0, box.top, 0, box.bottom + band, "cursor");
  svg.append(cursor);
  const nodeAt = (event) => {
    const left = svg.getBoundingClientRect().left;
    return Math.min(
      Math.max(Math.floor(((event.clientX - left - box.left) / (box.right - box.left)) * live.length), 0),
      live.length - 1,
    );
  };
  const move = (node) => {
    cursor.setAttribute("x1", x(node + 0.5));
    cursor.setAttribute("x2", x(node + 0.5));
    cursor.classList.add("on");
  };
  svg.addEventListener("pointermove", (event) => {
    const node = nodeAt(event);
    move(node);
    showTip(
      [
        nameOf(view.layers[node]),
        `${quantity(resident + live[node], "B")} held, ${quantity(live[node], "B")} of it live`,
      ],
      event.clientX,
      event.clientY,
    );
  });
  let marked = -1;
  const back = () => {
    if (marked >= 0) move(marked);
    else cursor.classList.remove("on");
  };
  svg.addEventListener("pointerleave", () => {
    hideTip();
    back();
  });
  svg.addEventListener("click", (event) => pick(nodeAt(event)));
  let at = peak;
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined && event.key !== "Enter") return;
    event.preventDefault();
    at = Math.min(Math.max(at + (step || 0), 0), live.length - 1);
    marked = at; /* a view has no row that could be chosen */
    move(at);
    pick(at, event.key === "Enter");
  });
  place.replaceChildren(svg);
  return {
    mark: (layers) => {
      marked = layers.size ? Math.min(...layers) : -1;
      back();
    },
  };
}
