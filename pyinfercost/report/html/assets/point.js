/* Points of a model, estimated by the core. */
const FLIGHTS = 24; /* deployed graphs that the core keeps */

/* Requests of one core, with the graphs, machines and deployments that it holds. After a failure the core starts
   anew. */
function makeEvaluator(compiled) {
  const [graphs, machines, deployments, plants, rents] = [new Map(), new Map(), new Map(), new Map(), new Map()];
  let core = startCore(compiled);
  core.catch(() => {}); /* told to those who ask */
  function reset() {
    core.then(
      ({ end }) => end(),
      () => {},
    );
    core = startCore(compiled);
    for (const held of [graphs, machines, deployments, plants, rents]) held.clear();
  }
  async function ask(name, fields, text = "") {
    const own = core;
    try {
      return await (await own).ask(name, fields, text);
    } catch (error) {
      if (!(error instanceof Refused) && own === core) reset();
      throw error;
    }
  }

  async function graphOf(phase, format) {
    const key = `${phase} ${format}`;
    if (!graphs.has(key)) {
      const { source } = SETUP.phases.find(({ name }) => name === phase);
      const { text, ...fields } = source ?? {};
      const loaded = source
        ? ask("load", fields, text)
        : stored(phase, format).then((graph) => ask("load", { kind: "graph" }, graph));
      graphs.set(
        key,
        loaded.then(({ handle }) => handle),
      );
    }
    return graphs.get(key);
  }
  async function stored(phase, format) {
    const packed = document.querySelector(
      `script[data-phase="${CSS.escape(phase)}"][data-format="${CSS.escape(format)}"]`,
    ).textContent;
    return unpackedGraph(await unpackedText(packed));
  }
  async function machineOf(id, { bandwidth = 1, compute = 1 } = {}) {
    if (!machines.has(id)) {
      const known = SETUP.machineOf.get(id);
      machines.set(
        id,
        ask("load", { kind: "machine" }, JSON.stringify(known.machine)).then(({ handle }) => handle),
      );
    }
    const plain = await machines.get(id);
    if (bandwidth === 1 && compute === 1) return plain;
    const key = `${id} ${bandwidth} ${compute}`;
    if (!machines.has(key)) {
      machines.set(
        key,
        ask("scale", { machine: plain, bandwidth, compute }).then(({ handle }) => handle),
      );
    }
    return machines.get(key);
  }
  const layoutOf = ({ devices, tensor, pipeline, expert }) => ({
    tensor,
    pipeline,
    expert,
    data: devices / tensor / pipeline,
  });
  async function deploymentOf(state) {
    const { phase, format, precision, engine, execution } = state;
    const fields = { precision, engine, execution, layout: layoutOf(state) };
    const key = JSON.stringify([phase, format, fields]);
    if (deployments.has(key)) {
      /* the oldest is the one that was not asked for the longest time */
      const known = deployments.get(key);
      deployments.delete(key);
      deployments.set(key, known);
    } else {
      const made = graphOf(phase, format).then((graph) => ask("deploy", { graph, ...fields }));
      made.catch(() => deployments.delete(key));
      deployments.set(key, made);
      if (deployments.size > FLIGHTS) {
        const [oldest] = deployments.keys();
        deployments
          .get(oldest)
          .then(({ handle }) => ask("unload", { handle }))
          .catch(() => {});
        deployments.delete(oldest);
        plants.delete(oldest);
      }
    }
    return { key, ...(await deployments.get(key)) };
  }
  /* Sizes that depend on data stay as they are stored. */
  const sizesAt = (state) => ({
    ...chosenPhase(state).of_data,
    ...Object.fromEntries(sizesOf(state).map(({ name }) => [name, state.sizes[name]])),
  });

  /* What can be rented: the offers of a machine, or a device at the reader's price. */
  function offersOf(state, id) {
    const own = id === state.machine && state.usd_per_h !== "";
    return own
      ? [
          {
            usd_per_h: Number(state.usd_per_h),
            devices: 1,
            has_host: true,
            text: `${Number(state.usd_per_h)} USD/h for a device`,
            cloud: "",
            grid: null,
            pue: null,
            typed: true,
          },
        ]
      : SETUP.machineOf.get(id).offers;
  }

  /* What a deployment rents on machines: the core chooses among the offers of each. It depends on no size. */
  async function rentsOf(state, deployment, ids, replicas = 1) {
    const way = JSON.stringify([layoutOf(state), replicas]);
    const keyOf = (id) => `${way} ${id} ${id === state.machine ? state.usd_per_h : ""}`;
    const missing = ids.filter((id) => !rents.has(keyOf(id)));
    if (missing.length) {
      const on = await Promise.all(missing.map((id) => machineOf(id)));
      const offers = missing.map((id) =>
        offersOf(state, id).map(({ usd_per_h, devices, has_host }) => ({ usd_per_h, devices, has_host })),
      );
      const found = await ask("rent", { deployment: deployment.handle, machines: on, offers, replicas });
      missing.forEach((id, at) => rents.set(keyOf(id), found.machines[at]));
    }
    return ids.map((id) => {
      const rent = rents.get(keyOf(id));
      return rent && { ...rent, from: offersOf(state, id)[rent.offer] };
    });
  }

  /* Numbers that the costs of a deployment on a machine need, which rents something, or null. */
  function termsOf(state, id, rent) {
    const { terms } = SETUP.machineOf.get(id);
    const { grid, pue, cloud, typed } = rent
      ? rent.from
      : { grid: terms.grid_g_per_kwh, pue: terms.pue, cloud: "", typed: false };
    /* A price is of some place, unless the reader chose another one; the data center is that of its cloud. */
    const [placeGrid, placePue] = state.place ? SETUP.places[state.place] : [grid, pue];
    const ofEngine = Object.entries(SETUP.term_keys[state.engine]).map(([name, key]) => [name, terms[key]]);
    return {
      ...Object.fromEntries(ofEngine),
      utilization: state.utilization,
      draft_tokens_per_step: 1,
      usd_per_h: rent ? rent.usd_per_device_h : null,
      paid_per_used: rent ? rent.paid_per_used : 1,
      recorded_graphs: SETUP.recorded_graphs[`${state.engine} ${state.execution}`] ?? null,
      grid_g_per_kwh: placeGrid,
      pue: cloud ? pue : placePue,
      ...(typed ? { usd_per_j: 0 } : {}),
    };
  }

  async function layersOf(deployment, machine, sizes) {
    const known = plants.get(deployment.key);
    const found = await ask("layers", { deployment: deployment.handle, machine, sizes, names: !known });
    const prototypes = found.rows.map((values) => Object.fromEntries(found.keys.map((key, at) => [key, values[at]])));
    const names = known ? known.names : namesOf(found);
    const { note, live_activation_bytes: live } = found;
    /* Equal layers share what is equal in them. */
    const layers = found.row.map((place, row) => {
      const layer = Object.create(prototypes[place]);
      Object.assign(layer, names[row]);
      layer.live_activation_bytes = live[row];
      layer.note = note.at[row] < 0 ? null : note.values[note.at[row]];
      return layer;
    });
    if (!known) {
      const plant = plantOf(layers, found.coverage, ownParameters(found.modules));
      plants.set(deployment.key, { names, plant, coverage: found.coverage });
    }
    const { plant, coverage } = plants.get(deployment.key);
    return { layers, totals: found.totals, memory: found.memory, plant, coverage };
  }

  function namesOf({ module, op, phase }) {
    return module.at.map((place, row) => ({
      module: module.values[place],
      op: op.values[op.at[row]],
      phase: phase.values[phase.at[row]],
    }));
  }

  /* Parameters of modules, those of the modules below them left out. */
  function ownParameters(modules) {
    const own = new Map(Object.entries(modules));
    for (const [path, count] of Object.entries(modules)) {
      if (path === "") continue;
      const above = path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : "";
      own.set(above, own.get(above) - count);
    }
    return own;
  }

  /* A point as a view, in the shape of a profile's document. */
  async function view(state) {
    const sizes = sizesAt(state);
    const deployment = await deploymentOf(state);
    const machine = await machineOf(state.machine, state);
    const [rent] = await rentsOf(state, deployment, [state.machine]);
    const terms = termsOf(state, state.machine, rent);
    const [found, counted] = await Promise.all([
      ask("estimate", { deployment: deployment.handle, machine, sizes, terms }),
      layersOf(deployment, machine, sizes),
    ]);
    const { costs, memory, boundary } = found;
    const priced = rent !== null;
    const utilization = state.utilization;
    const known = SETUP.machineOf.get(state.machine);
    const document = machineDocument(known.machine, state);
    const estimate = {
      ...found,
      ...costs,
      hardware: known.machine.id,
      precision: state.precision,
      engine: state.engine,
      execution: state.execution,
      bound: found.bound_shares,
      sustained: known.machine.constants["power.sustained"] === 1,
      layout: layoutOf(state),
      per_device: null,
      exchanges: [],
      nodes: 1,
      cost_usd: priced ? costs.cost_usd : null,
      usd_per_million_tokens: priced && boundary.tokens ? costs.usd_per_million_tokens : null,
      tokens: boundary.tokens ?? null,
      tokens_per_s: boundary.tokens ? costs.tokens_per_s : null,
      tokens_per_s_per_sequence: boundary.tokens ? costs.tokens_per_s_per_sequence : null,
      cost: priced
        ? {
            usd_per_million: costs.cost_usd * 1e6,
            utilization,
            instances: rent.devices > 1 ? rent.instances : null,
            usd_per_h: costs.usd_per_h,
            price: { text: rent.from.text, usd_per_h: rent.usd_per_device_h, devices: rent.devices },
          }
        : null,
      max_sequences: memory && memory.max_sequences !== undefined ? memory.max_sequences : null,
      memory_left_bytes: memory && memory.left_bytes !== undefined ? memory.left_bytes : null,
    };
    return {
      model: SETUP.model,
      sizes: { ...found.sizes, ...chosenPhase(state).fixed },
      precision: state.precision,
      totals: counted.totals,
      memory: counted.memory,
      estimate,
      machine: document,
      layers: counted.layers,
      coverage: counted.coverage,
      data_sizes: STORED ? STORED.data_sizes : [],
      plant: counted.plant,
      boundary,
      isReported: false,
    };
  }

  /* A machine as a profile's document has it; a hypothetical one says what it is. */
  function machineDocument(machine, { bandwidth, compute }) {
    const scaled = bandwidth !== 1 || compute !== 1;
    const faster = [
      bandwidth !== 1 ? `${digits(bandwidth)} x bandwidth` : "",
      compute !== 1 ? `${digits(compute)} x compute` : "",
    ]
      .filter(Boolean)
      .join(", ");
    const units = [
      ["matrix", machine.matrix_flop_per_s],
      ["vector", machine.vector_flop_per_s],
    ].flatMap(([unit, rates]) =>
      Object.entries(rates).map(([dtype, rate]) => ({ unit, dtype, flop_per_s: rate * compute })),
    );
    const memory = machine.memory.map((level, at) => ({
      ...level,
      bandwidth_byte_per_s:
        at === machine.memory.length - 1 ? level.bandwidth_byte_per_s * bandwidth : level.bandwidth_byte_per_s,
    }));
    return { ...machine, name: scaled ? `${machine.name} (${faster})` : machine.name, units, memory };
  }

  /* Figures along one size, on one machine or many. */
  async function curve(state, ids, axis, values, columns) {
    const sizes = sizesAt(state);
    const axes = axis === undefined ? {} : { [axis]: values };
    if (axis !== undefined) delete sizes[axis];
    const deployment = await deploymentOf(state);
    const machines = await Promise.all(ids.map((id) => machineOf(id, id === state.machine ? state : {})));
    const rented = await rentsOf(state, deployment, ids);
    const terms = ids.map((id, at) => termsOf(state, id, rented[at]));
    const found = await ask("grid", { deployment: deployment.handle, machines, sizes, axes, columns, terms });
    return found.machines;
  }

  /* A server of an engine on a machine, with requests that are the same at each rate. */
  async function server(state) {
    const [decode, prefill] = await Promise.all(
      ["decode", "prefill"].map((phase) => deploymentOf({ ...state, phase })),
    );
    const machine = await machineOf(state.machine, state);
    const { prompt, output } = state;
    const limits = { context: Math.ceil(prompt + output) };
    const steps = await ask("tabulate", { decode: decode.handle, prefill: prefill.handle, machine, limits });
    const lengths = { prompt, output, prompt_variation: LENGTHS, output_variation: LENGTHS };
    const draw = (requests) => ask("draw", { requests, ...lengths }).then(({ handle }) => handle);
    const [many, few] = await Promise.all([draw(SERVED_REQUESTS), draw(TRIED_REQUESTS)]);
    const usdPerHOf = (servers) =>
      rentsOf(state, decode, [state.machine], servers).then(([rent]) => (rent === null ? null : rent.usd_per_h));
    const run = async (requests, rates, servers) => {
      const usdPerH = await usdPerHOf(servers);
      const cluster = {
        ...steps.cluster,
        servers: steps.cluster.servers * servers,
        ...(usdPerH === null ? {} : { usd_per_h: usdPerH }),
      };
      return (
        await ask("serve", { steps: steps.handle, requests, rates_per_s: rates, server: steps.server, cluster })
      ).rates.map((found) => ({ ...found, usd_per_h: usdPerH }));
    };
    const [full] = await run(few, [ENDLESS_RATE], 1);
    return {
      most_per_s: full.requests_per_s,
      usd_per_h: full.usd_per_h,
      serve: (rates, servers = 1) => run(many, rates, servers),
    };
  }

  return { view, curve, server, ask, reset, started: () => core };
}

/* Whole numbers from low to high, evenly spaced on a scale of logarithms. */
function spread(low, high, count) {
  const values = new Set();
  for (let at = 0; at < count; at++) values.add(Math.round(low * (high / low) ** (at / (count - 1))));
  return [...values];
}
