/* The same point with other formats of weights, and on other numbers of devices: what fits, and what each saves. */
const ALTERNATIVE_DEVICES = [1, 2, 4, 8, 16];
const counted = (count, name) => (count === 1 ? `one ${name}` : `${count} x ${name}`);

function makeAlternatives(evaluator, choose) {
  async function update(view, state, current) {
    const { formats, splits } = chosenPhase(state);
    const byFormat = formats.map((format) => ({
      name: FORMAT_NAMES[format] ?? format,
      change: { format },
      own: format === state.format,
    }));
    const byDevices = !splits
      ? []
      : [...new Set([...ALTERNATIVE_DEVICES, state.tensor])]
          .sort((one, other) => one - other)
          .map((count) => ({
            name: String(count),
            count,
            change: { devices: count, tensor: count, pipeline: 1 },
            own: count === state.tensor && count === state.devices,
          }));
    const panel = byId("alternatives-panel");
    panel.hidden = byFormat.length < 2 && !byDevices.length;
    if (panel.hidden) return;
    const tokens = Boolean(view.estimate.tokens);
    for (const row of [...byFormat, ...byDevices]) {
      Object.assign(row, await pointOf({ ...state, ...row.change }, tokens));
      if (!current()) return;
    }
    const { machine } = SETUP.machineOf.get(state.machine);
    byId("alternatives-note").textContent = [fitWords(byDevices, shortName(machine)), savingWords(byFormat)]
      .filter(Boolean)
      .join(" ");
    const unit = `USD per million ${tokens ? "tokens" : "items"}`;
    byId("alternatives").replaceChildren(
      ...[
        byFormat.length > 1 ? tableOf("Weights", byFormat, unit) : null,
        byDevices.length ? tableOf("Devices that share each layer", byDevices, unit) : null,
      ].filter(Boolean),
    );
  }

  async function pointOf(state, tokens) {
    const cost = costKey(tokens);
    const { memory } = SETUP.machineOf.get(state.machine).machine;
    const capacity = memory[memory.length - 1].capacity_bytes;
    try {
      const [found] = await evaluator.curve(
        state,
        [state.machine],
        undefined,
        [0],
        ["latency_s", cost, "peak_memory_bytes"],
      );
      if (found.refused) return { refused: found.refused };
      const [[latency], [usd], [bytes]] = [found.latency_s, found[cost], found.peak_memory_bytes];
      return {
        latency,
        usd: usd === null || tokens ? usd : usd * 1e6,
        bytes,
        fits: capacity === null || bytes <= capacity,
      };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { refused: error.message };
    }
  }

  function fitWords(rows, name) {
    const fitting = rows.filter(({ fits }) => fits);
    if (!rows.length || (rows[0].fits && fitting.length)) return "";
    if (!fitting.length)
      return `No number of devices in the table holds it: take a machine with more memory, or smaller weights.`;
    return `It does not fit on one ${name}; ${counted(fitting[0].count, name)} hold it.`;
  }
  /* What the smallest weights save of the memory and of the time. */
  function savingWords([first, ...others]) {
    const known = others.find(({ change }) => change.format === "int4_wo");
    if (!known || first.bytes === undefined || !(known.bytes < first.bytes)) return "";
    const [now, before] = [quantity(known.latency, "s"), quantity(first.latency, "s")];
    return (
      `With ${known.name}, a device holds ${quantity(known.bytes, "B")} instead of ` +
      `${quantity(first.bytes, "B")}, and the time ` +
      `${now === before ? `stays ${now}` : `is ${now} instead of ${before}`}.`
    );
  }

  function tableOf(title, rows, unit) {
    const body = rows.map((row) => {
      const go = element("button", { type: "button", class: "link", "aria-pressed": String(row.own) }, row.name);
      go.addEventListener("click", () => choose(row.change));
      const cells = row.refused
        ? [element("td", { colspan: 3, class: "refused" }, row.refused.split(";")[0])]
        : [
            element(
              "td",
              { class: row.fits ? null : "bad" },
              quantity(row.bytes, "B"),
              row.fits ? null : element("small", {}, "does not fit"),
            ),
            ...[quantity(row.latency, "s"), row.usd === null ? "no price" : digits(row.usd)].map((text) =>
              element("td", {}, row.fits ? text : "–"),
            ),
          ];
      return element("tr", { class: row.own ? "own" : null }, element("th", { scope: "row" }, go), ...cells);
    });
    const heads = [title, "Memory of a device", "Latency", unit];
    return element(
      "div",
      { class: "list" },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))),
        element("tbody", {}, ...body),
      ),
    );
  }
  function refuse(message) {
    byId("alternatives").replaceChildren();
    byId("alternatives-note").textContent = `They cannot be compared: ${message}.`;
  }
  return { update, refuse };
}
