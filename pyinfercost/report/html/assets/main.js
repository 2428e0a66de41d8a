let view = viewOfProfile();
let points = null;
let chosen = [];
let selectedNode = null;
let charts = [];

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

function drawAll(layer = null) {
  const sizes = Object.entries(view.sizes).filter(([name]) => !name.includes(".")).map(([name, value]) => `${name} ${value}`).join(", ");
  const { estimate } = view;
  byId("model").textContent = profile.model || "(unnamed graph)";
  byId("subtitle").textContent = [sizes, view.precision, ...(estimate ? [
    estimate.engine === "torch" ? "" : estimate.engine, estimate.execution, `on ${view.machine.name}`, estimate.threads ? `${estimate.threads} threads` : "", estimate.sustained ? "at work all the time" : "",
  ] : ["counted only: no machine was named"])].filter(Boolean).join(" · ");
  drawHeadline(view);
  drawOrigin(view);
  drawLedger(view);
  tree.show(view, layer);
  selectedNode = tree.selected();
  drawDetails(view, selectedNode, tree);
  drawCharts();
}

function switchTo(axis, value) {
  const next = [...chosen];
  next[axis] = value;
  const place = placeOf(points, next);
  const other = viewOfPoint(points, place);
  if (!other) {
    byId("fixed").textContent = `There is no such point: ${points.points[place].refused}`;
    drawSwitches();
    return;
  }
  byId("fixed").textContent = "";
  chosen = next;
  view = other;
  drawSwitches();
  drawAll();
}

function drawSwitches() {
  const form = byId("switches");
  form.hidden = !points;
  if (!points) return;
  form.replaceChildren(...points.axes.map((axis, at) => {
    const select = element("select", { "data-axis": axis.name });
    axis.values.forEach((value, place) => select.append(element("option", { value: place, selected: place === chosen[at] }, String(value))));
    select.value = String(chosen[at]);
    select.addEventListener("change", () => { switchTo(at, Number(select.value)); form.querySelectorAll("select")[at].focus(); });
    return element("label", {}, axis.name, select);
  }));
}

drawAll(tree.slowest(view));
document.documentElement.dataset.drawn = String(performance.now());

let width = document.documentElement.clientWidth;
window.addEventListener("resize", () => {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  drawCharts();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    byId("search").focus();
  }
});

unpackPoints().then((found) => {
  if (found && found.axes.length) {
    points = found;
    chosen = chosenAt(points, points.base);
    drawSwitches();
  }
  document.documentElement.dataset.ready = "true";
}).catch((error) => {
  byId("fixed").textContent = `The other points of this report cannot be read: ${error.message}`;
  document.documentElement.dataset.ready = "true";
});
