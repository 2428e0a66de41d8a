/* The page: the stored point at once, and all others as soon as the core runs. */
let view = STORED ? viewOfProfile() : null;
let selectedNode = null;
let charts = [];
const root = document.documentElement;

const tree = makeTree((node) => {
  selectedNode = node;
  drawDetails(view, node, tree);
  markCharts();
});
function markCharts() {
  const layers = new Set(selectedNode ? selectedNode.layers : []);
  for (const chart of charts) if (chart) chart.mark(layers);
}
const pickLayer = (index, focus) => tree.selectLayer(index, focus);
function drawCharts() {
  charts = [drawRoofline(view, pickLayer), drawMemory(view, pickLayer)];
  drawLayout(view);
  markCharts();
}

function drawAll() {
  const sizes = Object.entries(view.sizes)
    .filter(([name]) => !name.includes("."))
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
  const { estimate } = view;
  const title = STORED ? SAID.title : view.model;
  byId("model").textContent = title;
  document.title = `${title}: cost report`;
  byId("subtitle").textContent = [
    sizes,
    view.precision,
    ...(estimate
      ? [
          estimate.engine === "torch" ? "" : (ENGINE_NAMES[estimate.engine] ?? estimate.engine),
          EXECUTION_NAMES[estimate.execution] ?? estimate.execution,
          `on ${estimate.devices > 1 ? `${estimate.devices} x ` : ""}${view.machine.name}`,
          estimate.threads ? `${estimate.threads} threads` : "",
          estimate.sustained ? "at work all the time" : "",
        ]
      : ["counted only: no machine was named"]),
  ]
    .filter(Boolean)
    .join(" · ");
  drawHeadline(view);
  drawOrigin(view);
  drawLedger(view);
  tree.show(view);
  selectedNode = tree.selected();
  drawDetails(view, selectedNode, tree);
  drawCharts();
}

if (view) drawAll();
else document.querySelector(".stored").hidden = true; /* a start page has no profile */
root.dataset.drawn = String(performance.now());

window.addEventListener("resize", () => {
  if (view) drawLayout(view);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    byId("search").focus();
  }
});

/* ---- live ---- */
async function live() {
  const packed = byId("pyinfercost-core").textContent.trim();
  if (!packed) {
    byId("fixed").textContent = SAID.fixed;
    return;
  }
  if (
    typeof WebAssembly === "undefined" ||
    typeof DecompressionStream === "undefined" ||
    typeof Worker === "undefined"
  ) {
    byId("fixed").textContent =
      "This browser has no " +
      `WebAssembly${view ? ", so the page shows the stored point only" : ", which this page needs"}.`;
    return;
  }
  SETUP = await readSetup();
  SETUP.spec = (state) => `${SETUP.scheme ?? ""}${SETUP.model}${SETUP.phases.length > 1 ? `#${state.phase}` : ""}`;
  const compiled = await WebAssembly.compile(await unpacked(packed));
  const evaluators = [makeEvaluator(compiled), makeEvaluator(compiled)];
  await Promise.all(evaluators.map(({ started }) => started()));
  watchMachineDrops(evaluators[0].ask);
  if (SETUP.phases.length) return explore(evaluators);
  byId("drop").hidden = false;
  let closing = null;
  return watchDrops(async (file) => {
    if (closing) for (const { reset } of evaluators) reset();
    const phases = await phasesOfFile(file, evaluators[0].ask);
    SETUP.phases = phases;
    SETUP.model = file.name;
    SETUP.scheme = phases.scheme; /* of the command line's spec */
    SETUP.start.phase = phases[phases.length - 1].name;
    const steps = phases.some(({ splits }) => splits);
    SETUP.engines = Object.fromEntries(
      Object.entries(SETUP.all_engines)
        .filter(([name, { serves }]) => name === "torch" || serves === steps)
        .map(([name, { executions }]) => [name, executions]),
    );
    SETUP.start.engine = phases.engine || "torch";
    [SETUP.start.execution] = SETUP.engines[SETUP.start.engine];
    history.replaceState(null, "", "#");
    if (closing) closing.abort();
    closing = new AbortController();
    await explore(evaluators, closing.signal);
  });
}

/* The point at which the page begins has what the profile says besides: the hint, what devices exchange, the date of
   the price. A profile without a price gets that of the catalog, as all other points do. */
function withStored(live) {
  const said = Object.entries(STORED.estimate).filter(([, value]) => value !== null);
  return {
    ...live,
    isReported: true,
    machine: STORED.estimate.machine,
    estimate: { ...live.estimate, ...Object.fromEntries(said) },
  };
}

/* The page of a model, which answers as its controls change. */
async function explore([near, far], signal = undefined) {
  let state = stateOfAddress();
  let turn = 0;
  const change = (next) => {
    const execution =
      next.engine === state.engine
        ? next.execution
        : SETUP.engines[next.engine][0]; /* how that engine runs by itself */
    state = allowed({ ...next, execution });
    const address = addressOf(state);
    history.replaceState(null, "", address ? `#${address}` : "#");
    return update();
  };
  const sync = makeControls(byId("controls"), change, () => view);
  const curves = makeCurves(near, (axis, value) => change({ ...state, sizes: { ...state.sizes, [axis]: value } }));
  const catalog = makeCatalog(
    far,
    (machine, sizes) => change({ ...state, machine, usd_per_h: "", sizes: { ...state.sizes, ...sizes } }),
    (limit) => change({ ...state, limit_s: limit }),
  );
  const alternatives = makeAlternatives(far, (parts) => change({ ...state, ...parts }));
  const serving = makeServing(far, (key, value) => change({ ...state, [key]: value }));
  let busy = false;
  /* The newest state is computed after the point that is under way; those between are left out. */
  async function update() {
    turn += 1;
    sync(state);
    if (busy) return;
    busy = true;
    let done = 0;
    while (done !== turn) {
      done = turn;
      const current = () => done === turn;
      await step(state, current);
    }
    busy = false;
    root.dataset.settled = String(turn);
  }
  /* A panel shows a point, or why it cannot. */
  async function shown(panel, of, asked, current) {
    try {
      await panel.update(of, asked, current);
    } catch (error) {
      panel.refuse(error.message);
    }
  }
  async function step(asked, current) {
    const begin = performance.now();
    try {
      const viewed = near.view(asked);
      setTimeout(() => curves.prepare(asked)); /* after the requests of the point */
      view = await viewed;
      await curves.prepared();
      if (STORED && isFirstPoint(asked)) view = withStored(view);
      byId("fixed").textContent = "";
      drawAll();
      sync.priced(view.estimate.cost, asked);
      root.dataset.pointMs = String(performance.now() - begin);
    } catch (error) {
      byId("fixed").textContent =
        error instanceof Refused
          ? `There is no such point, and the figures are those of the last one: ${error.message}.`
          : `The core failed, and the figures are those of the last point: ${error.message}.`;
      root.dataset.rested = String(turn);
      return;
    }
    await shown(curves, view, asked, current);
    workLater(asked);
  }
  const panels = { catalog, alternatives, serving };
  const setBusy = (name, busyNow) => byId(`${name}-panel`).setAttribute("aria-busy", String(busyNow));
  /* The catalog and the server take longer, in a core of their own; they follow when the state rests. */
  let [later, next] = [false, null];
  async function workLater(asked) {
    next = [view, asked];
    if (later) return;
    later = true;
    while (next) {
      const [of, at] = next;
      next = null;
      const current = () => next === null;
      for (const name of Object.keys(panels)) setBusy(name, true);
      for (const [name, panel] of Object.entries(panels)) {
        if (current()) await shown(panel, of, at, current);
        if (current()) setBusy(name, false);
      }
    }
    later = false;
    root.dataset.rested = String(turn);
  }
  byId("curves-panel").addEventListener("redraw", () => shown(curves, view, state, () => true), { signal });
  window.addEventListener(
    "hashchange",
    () => {
      state = stateOfAddress();
      update();
    },
    { signal },
  );
  byId("settings").hidden = false;
  byId("settings").open = matchMedia("(min-width: 1100px)").matches; /* as the style has them beside the page */
  root.classList.add("live");
  root.classList.remove("empty");
  await update();
  root.dataset.live = String(performance.now());
}

live()
  .catch((error) => {
    byId("fixed").textContent =
      `The core of this page does not run here${view ? ", so it shows the stored point only" : ""}: ${error.message}`;
  })
  .finally(() => {
    root.dataset.ready = "true";
  });
