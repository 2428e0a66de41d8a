/* The module tree as a table: a row for each module, and for each op that a module calls itself. Rows are no table's
   rows: a browser lays out thousands of those all at once, and of these only what is in view. */
const SHORT_TREE = 60;
const cents = (value) => (value < 1e-3 ? value.toExponential(2) : digits(value));
const MANY = 400; /* rows from which on those out of view are not laid out */
const COLUMNS = [
  { key: "name", title: "Module", text: true },
  { key: "share", title: "% of time", show: percent },
  { key: "latency", title: "Time", show: (value) => (value ? quantity(value, "s") : "–"), timed: true },
  { key: "flops", title: "FLOPs", show: (value) => quantity(value, "") },
  { key: "bytes", title: "Bytes", show: (value) => quantity(value, "B") },
  { key: "intensity", title: "FLOP/B", show: (value) => (value === null ? "" : digits(value)) },
  { key: "energy", title: "Energy", show: (value) => (value ? quantity(value, "J") : "–"), timed: true },
  { key: "cost", title: "USD/1M", show: (value) => (value ? cents(value) : "–"), priced: true },
  { key: "parameters", title: "Params", show: (value) => (value ? quantity(value, "") : "") },
  { key: "bound", title: "Bound", text: true, timed: true },
]; /* their widths, and which of them a narrow page leaves out, are in style.css */

function makeTree(pick) {
  const table = byId("tree");
  const [head, body, foot] = table.children;
  let root, nodes, texts, deepest, plant;
  let columns = [];
  function grow() {
    root = pruned(treeOf(plant), plant);
    if (byId("fold").checked) folded(root, plant);
    nodes = new Map();
    (function visit(node) {
      for (const child of node.children) {
        nodes.set(child.id, child);
        visit(child);
      }
    })(root);
    texts = new Map(
      [...nodes.values()].map((node) => [node.id, { name: node.name || "·", op: opOf(node), words: wordsOf(node) }]),
    );
    deepest = Math.max(1, ...[...nodes.values()].map((node) => node.level));
  }

  let open = new Set();
  let sort = null;
  let query = "";
  let view = null;
  let figures = new Map();
  let selected = null;
  let focused = null;

  const opOf = (node) => {
    const layers = node.layers.filter((index) => !isIdle(plant.layers[index], plant));
    const missing = layers.filter((index) => plant.unmodelled.has(plant.layers[index].op)).length;
    if (node.times > 1)
      return (
        `${layers.length === node.times ? `${plant.layers[layers[0]].op.replace(/^(aten|engine)\./, "")}, ` : ""}` +
        `${node.times} x${missing ? `, ${missing} unknown` : ""}`
      );
    if (layers.length === 1)
      return plant.layers[layers[0]].op.replace(/^(aten|engine)\./, "") + (missing ? ", unknown" : "");
    return `${layers.length} ops${missing ? `, ${missing} unknown` : ""}`;
  };
  const wordsOf = (node) => [...(node.members || [node.path]), opOf(node)].join(" ").toLowerCase();
  const valueOf = (node, key) => (key === "name" ? texts.get(node.id).name : figures.get(node.id)[key]);

  function ordered(children) {
    if (!sort) return children;
    const sign = sort.down ? -1 : 1;
    return [...children].sort((one, other) => {
      const [a, b] = [valueOf(one, sort.key), valueOf(other, sort.key)];
      if (a === b) return 0;
      if (a === null) return 1;
      if (b === null) return -1;
      return (a < b ? -1 : 1) * sign;
    });
  }
  function openTo(depth) {
    open = new Set(
      [...nodes.values()].filter((node) => node.children.length && node.level < depth).map((node) => node.id),
    );
  }
  const rowsAt = (depth) => [...nodes.values()].filter((node) => node.level <= depth).length;
  function openFew() {
    let depth = deepest;
    while (depth > 1 && rowsAt(depth) > SHORT_TREE) depth -= 1;
    openTo(depth);
  }

  function shownRows() {
    const rows = [];
    const words = query.toLowerCase();
    const matches = new Set();
    if (words) {
      for (const node of nodes.values()) {
        if (texts.get(node.id).words.includes(words)) {
          for (let up = node; up && !matches.has(up.id); up = up.parent) matches.add(up.id);
        }
      }
    }
    (function visit(node) {
      for (const child of ordered(node.children)) {
        if (words && !matches.has(child.id)) continue;
        const isOpen = child.children.length > 0 && (words ? true : open.has(child.id));
        rows.push({ node: child, isOpen });
        if (isOpen) visit(child);
      }
    })(root);
    return rows;
  }

  function html({ node, isOpen }) {
    const own = figures.get(node.id);
    const text = texts.get(node.id);
    const twisty = node.children.length
      ? `<span class="twisty" aria-hidden="true">${isOpen ? "▾" : "▸"}</span>`
      : '<span class="twisty"></span>';
    const cells = columns
      .map((column) => {
        if (column.key === "name") {
          return (
            `<div role="rowheader" class="name-cell" style="--level:${node.level}" ` +
            `title="${escaped(node.path || "(model)")}` +
            `${node.times > 1 ? `: ${node.times} equal modules, their figures together` : ""}">${twisty}` +
            `<span class="name">${escaped(text.name)}</span> <span class="op">${escaped(text.op)}` +
            "</span></div>"
          );
        }
        const value = own[column.key];
        if (column.key === "bound")
          return (
            `<div role="gridcell" data-key="bound" class="text"><span class="pill ${escaped(value)}" ` +
            `data-tip="${escaped(meaningOf(value))}">${escaped(value)}</span></div>`
          );
        const attributes = `role="gridcell" data-key="${column.key}" data-v="${value === null ? "" : value}"`;
        if (column.key === "share") {
          return (
            `<div ${attributes}><span class="bar"><span class="fill ${escaped(own.bound)}" ` +
            `style="width:${Math.min(100 * (value || 0), 100).toFixed(2)}%"></span></span><span ` +
            `class="number">${percent(value)}</span></div>`
          );
        }
        return `<div ${attributes}>${escaped(column.show(value))}</div>`;
      })
      .join("");
    const expanded = node.children.length ? ` aria-expanded="${isOpen}"` : "";
    return (
      `<div class="row" role="row" tabindex="-1" data-id="${escaped(node.id)}" aria-level="${node.level}" ` +
      `aria-selected="${node.id === selected}"${expanded}>${cells}</div>`
    );
  }

  function draw() {
    const rows = shownRows();
    body.classList.toggle("many", rows.length > MANY);
    body.innerHTML = rows.map(html).join("");
    byId("found").textContent = query ? `${rows.length} of ${nodes.size} rows` : "";
    const first = body.querySelector(`[aria-selected="true"]`) || body.firstElementChild;
    if (first) first.tabIndex = 0;
    for (const header of head.firstElementChild.children) {
      const active = sort && sort.key === header.dataset.key;
      header.setAttribute("aria-sort", active ? (sort.down ? "descending" : "ascending") : "none");
    }
    if (focused) {
      const row = rowOf(focused);
      if (row) row.focus({ preventScroll: true });
      focused = null;
    }
  }
  const rowOf = (id) => [...body.children].find((row) => row.dataset.id === id);

  function select(node, { scroll = false, focus = false } = {}) {
    selected = node.id;
    let row = rowOf(node.id);
    if (!row) {
      draw();
      row = rowOf(node.id);
    }
    for (const other of body.querySelectorAll('[aria-selected="true"]'))
      if (other !== row) other.setAttribute("aria-selected", "false");
    row.setAttribute("aria-selected", "true");
    if (scroll) row.scrollIntoView({ block: "nearest" });
    if (focus) row.focus({ preventScroll: true });
    pick(node);
  }
  /* Opens what a layer's row lies in, and makes it the chosen one. */
  function choose(index) {
    const node = [...nodes.values()]
      .filter((each) => !each.children.length)
      .find((each) => each.layers.includes(index));
    if (!node) return null;
    for (let up = node.parent; up && up !== root; up = up.parent) open.add(up.id);
    if (query) {
      query = "";
      byId("search").value = "";
    }
    selected = node.id;
    return node;
  }
  function toggle(node) {
    if (open.has(node.id)) open.delete(node.id);
    else open.add(node.id);
    focused = node.id;
    draw();
  }

  /* Columns of time need a machine, and that of money a price. */
  function drawHead() {
    const timed = Boolean(view.estimate);
    const wanted = COLUMNS.filter(
      (column) => !(!timed && column.timed) && !(column.priced && !(timed && view.estimate.cost)),
    );
    if (columns.map((column) => column.key).join() === wanted.map((column) => column.key).join()) return;
    columns = wanted;
    table.style.setProperty("--columns", columns.map((column) => `var(--${column.key}-width)`).join(" "));
    const titleOf = (column) => (column.key === "share" && !timed ? "% of FLOPs" : column.title);
    head.replaceChildren(
      element(
        "div",
        { class: "row", role: "row" },
        ...columns.map((column) =>
          element(
            "div",
            { role: "columnheader", "data-key": column.key, class: column.text ? "text" : "", "aria-sort": "none" },
            element(
              "button",
              {
                type: "button",
                ...(SAID.columns[column.key]
                  ? { "data-tip": SAID.columns[column.key], "aria-description": SAID.columns[column.key] }
                  : {}),
              },
              titleOf(column),
            ),
          ),
        ),
      ),
    );
  }
  head.addEventListener("click", (event) => {
    const header = event.target.closest("[role=columnheader]");
    if (!header) return;
    const key = header.dataset.key;
    const text = key === "name" || key === "bound";
    if (!sort || sort.key !== key) sort = { key, down: !text };
    else if (sort.down !== text) sort = { key, down: text };
    else sort = null;
    draw();
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    const node = nodes.get(row.dataset.id);
    if (event.target.classList.contains("twisty") && node.children.length) toggle(node);
    else select(node, { focus: true });
  });
  body.addEventListener("dblclick", (event) => {
    const row = event.target.closest(".row");
    const node = row && nodes.get(row.dataset.id);
    if (node && node.children.length) toggle(node);
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    const node = nodes.get(row.dataset.id);
    const go = (other) => {
      if (other) {
        row.tabIndex = -1;
        other.tabIndex = 0;
        other.focus();
      }
    };
    const actions = {
      ArrowDown: () => go(row.nextElementSibling),
      ArrowUp: () => go(row.previousElementSibling),
      Home: () => go(body.firstElementChild),
      End: () => go(body.lastElementChild),
      ArrowRight: () => {
        if (node.children.length && !open.has(node.id)) toggle(node);
        else go(row.nextElementSibling);
      },
      ArrowLeft: () => {
        if (node.children.length && open.has(node.id)) toggle(node);
        else if (node.parent !== root) go(rowOf(node.parent.id));
      },
      Enter: () => select(node, { focus: true }),
      " ": () => select(node, { focus: true }),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  byId("fold").addEventListener("change", () => {
    const [chosen] = selected === null ? [] : (nodes.get(selected) || { layers: [] }).layers;
    grow();
    selected = null;
    openFew();
    measure();
    const node = chosen === undefined ? null : choose(chosen);
    draw();
    if (node) select(node, { scroll: false });
  });
  byId("search").addEventListener("input", (event) => {
    query = event.target.value.trim();
    draw();
  });
  byId("expand").addEventListener("click", () => {
    openTo(deepest + 1);
    draw();
  });
  byId("collapse").addEventListener("click", () => {
    open = new Set();
    draw();
  });

  function drawTotal() {
    const whole = figuresOf(view, root);
    whole.parameters = view.totals.parameters;
    foot.replaceChildren(
      element(
        "div",
        { class: "row", role: "row" },
        ...columns.map((column) => {
          if (column.key === "name") return element("div", { role: "rowheader", class: "name-cell" }, "total");
          if (column.key === "bound") return element("div", { role: "gridcell", "data-key": column.key });
          return element(
            "div",
            { role: "gridcell", "data-key": column.key, "data-v": whole[column.key] },
            column.show(whole[column.key]),
          );
        }),
      ),
    );
  }

  function slowest() {
    const taken = view.layers.map((layer) =>
      view.estimate ? layer.latency_s || 0 : layer.contraction_flops + layer.pointwise_flops,
    );
    const most = taken.reduce((best, seconds, index) => (seconds > taken[best] ? index : best), 0);
    return taken[most] > 0 ? most : null;
  }
  function measure() {
    figures = new Map(
      [...nodes.values()].map((node) => [node.id, { ...figuresOf(view, node), parameters: node.parameters }]),
    );
  }

  return {
    show(next) {
      view = next;
      if (view.plant !== plant) {
        plant = view.plant;
        const kept = new Set(open);
        grow();
        byId("fold-label").hidden = byId("fold").checked && ![...nodes.values()].some((node) => node.times > 1);
        if (![...kept].some((id) => nodes.has(id))) openFew();
        else open = kept;
        if (!nodes.has(selected)) {
          selected = null;
          const layer = slowest();
          if (layer !== null) choose(layer);
        }
      }
      drawHead();
      measure();
      draw();
      drawTotal();
    },
    selectLayer(index, focus = false) {
      const node = choose(index);
      if (node) select(node, { scroll: true, focus });
    },
    selected: () => nodes.get(selected) || null,
    figures: (node) => figures.get(node.id),
    opOf,
  };
}
