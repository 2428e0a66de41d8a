// GGUF files that are dropped into a page: their header, read by slices, and the decoder that it describes.
//
// readGgufHeader(file, tables) resolves to { architecture, name, settings, tensors, bytes, parameters }, and
// ggufDecoder(header, tables, phase) is the document of a request to load a decoder (docs/interface.md). Both throw
// GgufError with a sentence for the reader. `tables` is what gguf_tables() of Python returns: types, and names of
// tensors. The format is that of ggml/docs/gguf.md.
class GgufError extends Error {}

const GGUF_LIMITS = {
  chunk: 1 << 20,
  milliseconds: 1500,
  key: 65535,
  text: 1 << 20,
  array: 4096,
  settings: 100000,
  tensors: 200000,
  elements: 4000000,
  depth: 4,
  rank: 4,
  length: 2 ** 48,
  layers: 1000,
};
const GGUF_NUMBERS = {
  0: [1, "getUint8"],
  1: [1, "getInt8"],
  2: [2, "getUint16"],
  3: [2, "getInt16"],
  4: [4, "getUint32"],
  5: [4, "getInt32"],
  6: [4, "getFloat32"],
  7: [1, "getUint8"],
  10: [8, "getBigUint64"],
  11: [8, "getBigInt64"],
  12: [8, "getFloat64"],
};
const GGUF_BOOL = 7;
const GGUF_TEXT = 8;
const GGUF_ARRAY = 9;

/* Text and arrays that are not kept: their length. */
class GgufSkipped {
  constructor(length) {
    this.length = length;
  }
}

class GgufReader {
  constructor(file, tables) {
    this.file = file;
    this.tables = tables;
    this.at = 0;
    this.begin = 0; // of the bytes in `view`
    this.view = new DataView(new ArrayBuffer(0));
    this.little = true;
    this.elements = 0;
    this.end = performance.now() + GGUF_LIMITS.milliseconds;
  }

  wrong(what) {
    return new GgufError(`${this.file.name} ${what}. Expected a file written by llama.cpp.`);
  }

  has(bytes) {
    return this.at >= this.begin && this.at + bytes <= this.begin + this.view.byteLength;
  }

  /* Makes the next bytes available; all reads are within them. */
  async need(bytes) {
    if (this.has(bytes)) return;
    if (performance.now() > this.end) throw this.wrong("has a header that takes longer than a page can wait");
    if (!(this.at + bytes <= this.file.size)) {
      throw this.wrong(
        `ends within its header, at byte ${this.file.size.toLocaleString("en")}: it is truncated, or of another format`,
      );
    }
    const slice = this.file.slice(this.at, Math.min(this.file.size, this.at + Math.max(bytes, GGUF_LIMITS.chunk)));
    this.view = new DataView(await slice.arrayBuffer());
    this.begin = this.at;
    if (!this.has(bytes)) throw this.wrong("could not be read to the end of its header");
  }

  async skip(bytes) {
    this.at += bytes;
    if (!(this.at <= this.file.size)) throw this.wrong("ends within its header: it is truncated, or of another format");
  }

  /* A number that is available. Whole numbers of 64 bits beyond 2^53 lose their last digits. */
  next(kind) {
    const [bytes, read] = GGUF_NUMBERS[kind];
    const value = this.view[read](this.at - this.begin, this.little);
    this.at += bytes;
    return kind === GGUF_BOOL ? value !== 0 : Number(value);
  }

  async number(kind) {
    await this.need(GGUF_NUMBERS[kind][0]);
    return this.next(kind);
  }

  async text(longest, what) {
    const length = await this.number(10);
    if (length > longest) throw this.wrong(`has ${what} of more than ${longest.toLocaleString("en")} bytes`);
    await this.need(length);
    const bytes = new Uint8Array(this.view.buffer, this.at - this.begin, length);
    this.at += length;
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw this.wrong(`has ${what} that is not UTF-8`);
    }
  }

  async keptText(key) {
    const length = await this.number(10);
    this.at -= 8;
    if (length <= GGUF_LIMITS.text) return this.text(GGUF_LIMITS.text, `a text for ${key}`);
    await this.skip(8 + length);
    return new GgufSkipped(length);
  }

  async value(kind, key, depth = 0) {
    if (kind in GGUF_NUMBERS) return this.number(kind);
    if (kind === GGUF_TEXT) return this.keptText(key);
    if (kind !== GGUF_ARRAY) throw this.wrong(`has type ${kind} for the setting ${key}, expected 0 to 12`);
    if (depth >= GGUF_LIMITS.depth)
      throw this.wrong(`nests the arrays of the setting ${key} more than ${GGUF_LIMITS.depth} deep`);
    const inner = await this.number(4);
    const length = await this.number(10);
    if (inner in GGUF_NUMBERS) {
      const width = GGUF_NUMBERS[inner][0];
      if (length > GGUF_LIMITS.array) {
        await this.skip(width * length);
        return new GgufSkipped(length);
      }
      await this.need(width * length);
      return Array.from({ length }, () => this.next(inner));
    }
    this.elements += length;
    if (length > (this.file.size - this.at) / 8 || this.elements > GGUF_LIMITS.elements) {
      throw this.wrong(`states ${length.toLocaleString("en")} elements for the setting ${key}, which it does not hold`);
    }
    for (let i = 0; i < length; i++) {
      if (inner !== GGUF_TEXT) {
        await this.value(inner, key, depth + 1);
        continue;
      }
      if (!this.has(8)) await this.need(8);
      await this.skipText();
    }
    return new GgufSkipped(length);
  }

  /* Without a promise where none is needed: vocabularies have 300,000 texts. */
  skipText() {
    const length = this.next(10);
    this.at += length;
    if (!(this.at <= this.file.size)) throw this.wrong("ends within its texts: it is truncated");
  }

  async tensor() {
    const name = await this.text(255, "a tensor's name");
    const rank = await this.number(4);
    if (rank > GGUF_LIMITS.rank)
      throw this.wrong(`has ${rank} dimensions for tensor ${name}, expected at most ${GGUF_LIMITS.rank}`);
    await this.need(8 * rank + 12);
    const inward = Array.from({ length: rank }, () => this.next(10));
    const elements = inward.reduce((product, length) => product * length, 1);
    if (inward.some((length) => length > GGUF_LIMITS.length) || elements > GGUF_LIMITS.length) {
      throw this.wrong(`has dimensions above 2^48 elements for tensor ${name}`);
    }
    const number = this.next(4);
    const offset = this.next(10);
    const type = this.tables.types[number];
    if (type === undefined) throw this.wrong(`has the unknown type ${number} for tensor ${name}`);
    if ((rank ? inward[0] : 1) % type.weights) {
      throw this.wrong(
        `has rows of ${rank ? inward[0] : 1} for tensor ${name}; ${type.name} has blocks of ${type.weights} weights`,
      );
    }
    return {
      name,
      shape: inward.reverse(),
      type: type.name,
      number,
      elements,
      bytes: (elements / type.weights) * type.bytes,
      offset,
    };
  }

  async start() {
    if (this.file.size === 0) throw new GgufError(`${this.file.name} is empty; expected a GGUF file.`);
    if (this.file.size < 24) throw this.wrong("ends within its header: it is truncated, or of another format");
    await this.need(24);
    const magic = String.fromCharCode(...[0, 1, 2, 3].map((i) => this.view.getUint8(i)));
    if (magic !== "GGUF")
      throw new GgufError(`${this.file.name} does not start with GGUF; it is truncated or of another format.`);
    this.at = 4;
    let version = this.next(4);
    if (version > 0xffff) {
      this.little = false;
      this.at = 4;
      version = this.next(4);
    }
    if (version !== 2 && version !== 3) {
      throw new GgufError(
        `${this.file.name} has version ${version} of GGUF, expected 2 or 3; convert the model again with a ` +
          "llama.cpp of 2024 or later.",
      );
    }
    const counts = [
      ["tensors", GGUF_LIMITS.tensors, 24],
      ["settings", GGUF_LIMITS.settings, 13],
    ].map(([what, most, least]) => {
      const count = this.next(10);
      const limit = Math.min(most, this.file.size / least);
      if (count > limit) {
        if (Number(this.view.getBigUint64(this.at - 8 - this.begin, !this.little)) <= limit) {
          const [first, second] = this.little ? ["little", "big"] : ["big", "little"];
          throw this.wrong(
            `has a ${first}-endian version and a ${second}-endian number of ${what}, expected one order`,
          );
        }
        throw this.wrong(
          `states ${count.toLocaleString("en")} ${what}, which its ${this.file.size.toLocaleString("en")} ` +
            "bytes do not hold",
        );
      }
      return count;
    });
    return counts;
  }

  /* Tensors follow one another from the end of the header to that of the file. */
  check(tensors, alignment) {
    if (!Number.isInteger(alignment) || alignment < 1 || alignment > 1 << 20)
      throw this.wrong(`has general.alignment ${alignment}, expected up to 2^20 bytes`);
    const begin = Math.ceil(this.at / alignment) * alignment;
    let end = 0;
    let last = "";
    for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
      if (tensor.offset % alignment)
        throw this.wrong(`has tensor ${tensor.name} at ${tensor.offset}, not aligned to ${alignment}`);
      if (tensor.offset < end) throw this.wrong(`has tensor ${tensor.name} within tensor ${last}`);
      end = tensor.offset + tensor.bytes;
      last = tensor.name;
      if (begin + end > this.file.size) {
        throw this.wrong(
          `should hold tensor ${tensor.name} up to byte ${(begin + end).toLocaleString("en")}, but has ` +
            `${this.file.size.toLocaleString("en")}; it is truncated: download it again`,
        );
      }
    }
  }

  async header() {
    const [tensorCount, settingCount] = await this.start();
    const settings = new Map();
    for (let i = 0; i < settingCount; i++) {
      const key = await this.text(GGUF_LIMITS.key, "a key");
      if (settings.has(key)) throw this.wrong(`has the setting ${key} twice`);
      settings.set(key, await this.value(await this.number(4), key));
    }
    const tensors = new Map();
    for (let i = 0; i < tensorCount; i++) {
      const tensor = await this.tensor();
      if (tensors.has(tensor.name)) throw this.wrong(`has the tensor ${tensor.name} twice`);
      tensors.set(tensor.name, tensor);
    }
    const alignment = settings.has("general.alignment") ? settings.get("general.alignment") : 32;
    this.check([...tensors.values()], alignment);
    return { settings, tensors };
  }
}

async function readGgufHeader(file, tables) {
  const { settings, tensors } = await new GgufReader(file, tables).header();
  const text = (key) => (typeof settings.get(key) === "string" ? settings.get(key) : "");
  const all = [...tensors.values()];
  const builtIn = new RegExp(`^(${tables.built_in})$`);
  const architecture = text("general.architecture");
  if (!architecture) throw new GgufError(`${file.name} has no general.architecture; expected a model of llama.cpp.`);
  const parts = settings.get("split.count");
  if (parts > 1)
    throw new GgufError(
      `${file.name} is one of ${parts} files; join them with llama-gguf-split --merge, or convert the ` +
        `model: pyinfercost explore ${file.name} -o explore.html.`,
    );
  return {
    file: file.name,
    architecture,
    name: text("general.name") || file.name.replace(/\.gguf$/i, ""),
    settings,
    tensors,
    bytes: all.reduce((sum, tensor) => sum + tensor.bytes, 0),
    parameters: all.filter(({ name }) => !builtIn.test(name)).reduce((sum, tensor) => sum + tensor.elements, 0),
  };
}

/* ---- the decoder of a header ---- */

/* Architectures whose decoders the core builds: model_type of transformers. */
const GGUF_FAMILIES = {
  llama: (experts) => (experts ? "mixtral" : "llama"),
  mistral3: (experts) => (experts ? "mixtral" : "llama"),
  qwen2: () => "qwen2",
  qwen3: () => "qwen3",
  gemma: () => "gemma",
  gemma2: () => "gemma2",
  qwen2moe: () => "qwen2_moe",
  qwen3moe: () => "qwen3_moe",
};

/* The hyperparameters, as config.json of transformers states them. */
function ggufConfig(header) {
  const { architecture, settings, tensors } = header;
  const family = Object.hasOwn(GGUF_FAMILIES, architecture) ? GGUF_FAMILIES[architecture] : null;
  if (!family) {
    throw new GgufError(
      `${header.file} has the architecture ${architecture}, whose graph this page does not build; it ` +
        `builds ${Object.keys(GGUF_FAMILIES).join(", ")}. Convert the file where Python is: pyinfercost ` +
        `explore ${header.file} -o explore.html, or see its cost with pyinfercost profile ${header.file}.`,
    );
  }
  const raw = (key) => settings.get(`${architecture}.${key}`);
  const number = (key, otherwise) => {
    const value = raw(key) ?? otherwise;
    if (typeof value !== "number")
      throw new GgufError(
        `${header.file} has no number for the setting ${architecture}.${key}; expected a complete GGUF file.`,
      );
    return value;
  };
  const one = (key, otherwise) => {
    const value = raw(key);
    if (!Array.isArray(value)) return number(key, otherwise);
    if (new Set(value).size !== 1)
      throw new GgufError(
        `${header.file}: ${architecture}.${key} differs by layer. Convert the file where Python is: ` +
          `pyinfercost explore ${header.file} -o explore.html.`,
      );
    return value[0];
  };
  const rows = (name) => {
    const tensor = tensors.get(name);
    if (!tensor) throw new GgufError(`${header.file} has no tensor ${name}; expected a complete ${architecture}.`);
    return tensor.shape;
  };
  const layers = number("block_count") - number("nextn_predict_layers", 0);
  if (!(layers >= 1 && layers <= GGUF_LIMITS.layers))
    throw new GgufError(`${header.file} has ${layers} layers; expected 1 to ${GGUF_LIMITS.layers}.`);
  const hidden = number("embedding_length");
  const heads = one("attention.head_count");
  const width = number("attention.key_length", Math.floor(hidden / heads));
  if (number("attention.value_length", width) !== width)
    throw new GgufError(`${header.file}: heads of keys and of values have different widths; expected one of both.`);
  const experts = number("expert_count", 0);
  const rotated = number("rope.dimension_count", width);
  const config = {
    model_type: family(experts > 0),
    vocab_size: rows("token_embd.weight")[0],
    hidden_size: hidden,
    intermediate_size: one("feed_forward_length", 1),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: one("attention.head_count_kv", heads),
    head_dim: width,
    rms_norm_eps: number("attention.layer_norm_rms_epsilon", 1e-5),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: tensors.has("blk.0.attn_q.bias"),
    dtype: ggufDtype(header),
  };
  if (rotated && rotated !== width) config.partial_rotary_factor = rotated / width;
  if (config.model_type === "llama") config.mlp_bias = tensors.has("blk.0.ffn_up.bias");
  if (config.model_type === "gemma2" && number("attention.sliding_window", 0))
    config.sliding_window = number("attention.sliding_window");
  if (experts > 0) {
    const expertWidth = raw("expert_feed_forward_length") === undefined ? null : number("expert_feed_forward_length");
    config.num_experts_per_tok = number("expert_used_count");
    if (config.model_type === "mixtral") {
      Object.assign(config, {
        num_local_experts: experts,
        sliding_window: null,
        intermediate_size: expertWidth ?? config.intermediate_size,
      });
    } else {
      Object.assign(config, {
        num_experts: experts,
        moe_intermediate_size: expertWidth ?? rows(`blk.${layers - 1}.ffn_up_exps.weight`).at(-2),
      });
    }
    if (config.model_type === "qwen2_moe")
      config.shared_expert_intermediate_size = rows("blk.0.ffn_up_shexp.weight")[0];
  }
  return config;
}

/* Activations have the float of 16 bits that most bytes of matrices have. */
function ggufDtype({ tensors }) {
  const bytes = { F16: 0, BF16: 0 };
  for (const { type, shape, bytes: own } of tensors.values()) if (shape.length > 1 && type in bytes) bytes[type] += own;
  return bytes.BF16 > bytes.F16 ? "bfloat16" : "float16";
}

/* Name of a parameter of transformers -> the tensors that it is stored in. */
function ggufParameters(header, tables) {
  const parts = new Map(); // tensor of a layer -> parameter of the layer
  const own = tables.own[header.architecture] ?? {};
  for (const [module, names] of Object.entries(tables.layer)) {
    const name = Object.hasOwn(own, module) ? own[module] : names[0];
    if (!name.includes("+") && !parts.has(name)) parts.set(name, module);
  }
  for (const [module, name] of Object.entries(own)) parts.set(name, module);
  const shared = header.architecture === "qwen2moe" ? "mlp.shared_expert." : "mlp.shared_experts.";
  const experts = new Map();
  for (const [name, alternatives] of Object.entries(tables.experts)) {
    for (const tensor of alternatives.flatMap((each) => each.split("+"))) experts.set(tensor, `mlp.experts.${name}`);
  }
  const whole = new Map(Object.entries(tables.whole).map(([module, name]) => [name, module]));
  const found = new Map();
  for (const tensor of header.tensors.values()) {
    const [, layer, inner] = /^blk\.(\d+)\.(.+)$/.exec(tensor.name) ?? [];
    const path = inner ?? tensor.name;
    const [, part, kind] = /^(.*)\.(\w+)$/.exec(path) ?? [];
    const single = /^ffn_(gate|up|down)\.\d+\.weight$/.exec(path); // files of 2023 have experts one by one
    let parameter = null;
    if (layer === undefined) parameter = whole.has(part) ? `${whole.get(part)}.${kind}` : null;
    else if (experts.has(path)) parameter = experts.get(path);
    else if (single) parameter = `mlp.experts.${single[1] === "down" ? "down_proj" : "gate_up_proj"}`;
    else if (parts.has(part)) parameter = `${parts.get(part).replace(/^mlp\.shared_experts?\./, shared)}.${kind}`;
    if (parameter === null) continue;
    const name = layer === undefined ? parameter : `model.layers.${layer}.${parameter}`;
    if (found.has(name)) found.get(name).push(tensor);
    else found.set(name, [tensor]);
  }
  return found;
}

/* Bits that the elements of a type take of a weight, without what a block has beside them. */
function ggufElementBits({ stored }) {
  const bits = { int2: 2, int4: 4, int8: 8, uint8: 8, float4_e2m1fn_x2: 8 };
  return bits[stored.dtype] / stored.values;
}

function ggufDecoder(header, tables, phase) {
  const config = ggufConfig(header);
  const types = {};
  const weights = {};
  for (const [name, tensors] of ggufParameters(header, tables)) {
    const kinds = tensors.map(({ number }) => tables.types[number]);
    const blocks = kinds.filter(({ stored }) => stored.format);
    const type = blocks.length
      ? blocks.reduce((least, each) => (ggufElementBits(each) < ggufElementBits(least) ? each : least))
      : kinds.reduce((widest, each) => (each.bytes > widest.bytes ? each : widest));
    types[type.name] = type.stored;
    const mixed = blocks.length > 0 && new Set(kinds).size > 1;
    const sum = (key) => tensors.reduce((total, tensor) => total + tensor[key], 0);
    weights[name] = { type: type.name, elements: sum("elements"), ...(mixed && { bytes: sum("bytes") }) };
  }
  return { config, phase, name: header.name, types, weights };
}
