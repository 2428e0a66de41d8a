/* The modules as a tree, from their paths in the order of the calls; it is the same at every point. */
function treeOf({ layers, parameters }) {
  const root = {
    id: "m:",
    path: "",
    name: "",
    level: 0,
    parent: null,
    children: [],
    layers: [],
    times: 1,
    parameters: 0,
  };
  const modules = new Map([["", root]]);
  const below = (above, more) => {
    const node = {
      name: "",
      level: above.level + 1,
      parent: above,
      children: [],
      layers: [],
      times: 1,
      parameters: 0,
      ...more,
    };
    above.children.push(node);
    return node;
  };
  layers.forEach((layer, index) => {
    let above = root;
    let path = "";
    for (const name of layer.module ? layer.module.split(".") : []) {
      path = path ? `${path}.${name}` : name;
      let module = modules.get(path);
      if (!module) {
        module = below(above, { id: `m:${path}`, path, name });
        modules.set(path, module);
      }
      above.layers.push(index);
      above = module;
    }
    above.layers.push(index);
    below(above, { id: `l:${index}`, path: layer.module, layers: [index] });
  });
  /* Merged weights (q_proj+k_proj) are in the row of the first module; those of a module without rows in the one
     above. */
  for (const [owner, own] of parameters) {
    let path = owner.split("+")[0];
    while (!modules.has(path)) path = path.slice(0, Math.max(0, path.lastIndexOf(".")));
    for (let up = modules.get(path); up; up = up.parent) up.parameters += own;
  }
  return root;
}

/* Without rows of what neither computes nor moves bytes; a module of one op is one row, of the op. */
function pruned(root, plant) {
  (function prune(node) {
    node.children = node.children.filter((child) => {
      prune(child);
      return child.children.length || child.layers.some((index) => !isIdle(plant.layers[index], plant));
    });
  })(root);
  (function shorten(node) {
    node.children.forEach(shorten);
    if (node !== root && node.children.length === 1 && node.children[0].id.startsWith("l:")) {
      node.only = node.children[0];
      node.children = [];
    }
  })(root);
  return root;
}

/* Modules are equal if they make the same calls with the same counts, in the same order, and own as many parameters. */
const SHORTEST_RUN = 3;
function giveShapes(root, plant) {
  const known = new Map();
  const numbered = (text) => known.get(text) ?? known.set(text, known.size).get(text);
  const callOf = (index) => {
    const {
      op,
      phase,
      contraction_flops: products,
      pointwise_flops: others,
      bytes_read: read,
      bytes_written: written,
    } = plant.layers[index];
    return `${op} ${phase} ${products} ${others} ${read} ${written}`;
  };
  (function visit(node) {
    node.children.forEach(visit);
    const inner = node.children.length
      ? node.children.map((child) => `${child.name}:${child.shape}`).join()
      : node.layers.map(callOf).join();
    node.shape = numbered(`${node.parameters} ${node.id[0]} ${inner}`);
  })(root);
}

/* Runs of equal modules with consecutive numbers as one row: "0-31, 32 x". Its figures are those of all together, and
   so are those of the rows in it. */
function folded(root, plant) {
  giveShapes(root, plant);
  (function fold(node) {
    const found = [];
    for (let at = 0; at < node.children.length; ) {
      const first = node.children[at];
      let end = at + 1;
      if (/^\d+$/.test(first.name)) {
        while (
          end < node.children.length &&
          node.children[end].shape === first.shape &&
          Number(node.children[end].name) === Number(first.name) + end - at
        )
          end += 1;
      }
      if (end - at >= SHORTEST_RUN) {
        const run = node.children.slice(at, end);
        found.push(merged(run, node, `${first.name}-${run[run.length - 1].name}`));
        at = end;
      } else {
        found.push(first);
        at += 1;
      }
    }
    node.children = found;
    node.children.forEach(fold);
  })(root);
  return root;
}

function merged(nodes, parent, name) {
  const [first] = nodes;
  const isCall = first.id.startsWith("l:");
  const path = isCall ? parent.path : [parent.path, name].filter(Boolean).join(".");
  const node = {
    ...first,
    id: isCall ? first.id : `m:${path}`,
    path,
    name,
    parent,
    times: sum(nodes.map((each) => each.times)),
    layers: nodes.flatMap((each) => each.layers),
    parameters: sum(nodes.map((each) => each.parameters)),
    members: nodes.flatMap((each) => each.members || [each.path]),
  };
  node.children = first.children.map((child, at) =>
    merged(
      nodes.map((each) => each.children[at]),
      node,
      child.name,
    ),
  );
  if (first.only)
    node.only = merged(
      nodes.map((each) => each.only),
      node,
      "",
    );
  return node;
}
