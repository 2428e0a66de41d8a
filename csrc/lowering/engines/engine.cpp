#include "lowering/engines/engine.hpp"

#include <array>
#include <cstdint>
#include <utility>

#include "core/errors.hpp"
#include "core/graph_rewriter.hpp"
#include "lowering/conservation.hpp"
#include "lowering/engines/kernel_rows.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/flow.hpp"
#include "lowering/workspace.hpp"

namespace infercost {
namespace {

const std::array<const EngineRows*, 6>& engines() {
    static const std::array<const EngineRows*, 6> kEngines = {&vllm_rows(),     &sglang_rows(),
                                                              &trtllm_rows(),   &llamacpp_rows(),
                                                              &tensorrt_rows(), &onnxruntime_rows()};
    return kEngines;
}

const EngineRows* rows_of(ServingEngine engine) {
    for (const EngineRows* rows : engines()) {
        if (rows->engine == engine) return rows;
    }
    return nullptr;
}

constexpr std::string_view kTorch = "torch";
constexpr std::string_view kAttention = "aten.scaled_dot_product_attention";

constexpr EnumArray<Pattern, std::string_view> kOps = {
    "engine.norm.default",        "engine.add_norm.default",   "engine.rotary.default",
    "engine.cache_write.default", "engine.activation.default", "engine.route.default",
    "engine.align.default",       "engine.combine.default",    "engine.causal_conv.default",
    "engine.recurrence.default",  "engine.pointwise.default",  "engine.sample.default"};

void require_inference(const Graph& graph) {
    for (const Node& node : graph.nodes()) {
        if (node.phase == Phase::backward) {
            throw InputError(
                "a serving engine runs forwards only, and this graph is of a training step; expected engine "
                "torch, or a graph captured without training");
        }
    }
}

void require_language(const Graph& graph) {
    bool embeds = false;
    bool attends = false;
    for (const Node& node : graph.nodes()) {
        const std::string& op = graph.ops()[node.op].name;
        embeds = embeds || op == "aten.embedding";
        attends =
            attends || op.find("attention") != std::string::npos || op.find("softmax") != std::string::npos;
    }
    if (!embeds && !attends) {
        throw InputError(
            "this graph has neither embeddings nor attention, and engines for language models do not run it; "
            "expected engine torch, tensorrt or onnxruntime, or the graph of a language model such as "
            "hf:config.json#decode");
    }
}

// An operator that takes a length or a dtype from another tensor, whose values it does not read.
struct LikeOther {
    std::string_view op;
    std::string_view stated;    // the operator that is told them
    std::string_view argument;  // by this argument
};
constexpr std::array<LikeOther, 4> kLikeOther = {
    {{"aten.view_as", "aten.view.default", "size"},
     {"aten.reshape_as", "aten.reshape.default", "shape"},
     {"aten.expand_as", "aten.expand.default", "size"},
     {"aten.type_as", "aten.to.dtype", "dtype"}}
};

// Conversions that return their operand do nothing, and would stand between a value and its readers; tensors
// that give a length or a dtype would be taken for readers of values.
GraphPtr plain_forward(const GraphPtr& graph) {
    const Flow flow(graph);
    GraphRewriter rewriter(*graph);
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        const Node& node = graph->nodes()[i];
        if (!flow.is_free(i) || node.outputs.count != 1 || flow.operands(i).empty()) continue;
        if (flow.operands(i).front().tensor == flow.call(i).output()) rewriter.remove(i);
    }
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        for (const LikeOther& like : kLikeOther) {
            if (flow.op(i) != like.op) continue;
            const TensorIndex self = flow.operands(i).front().tensor;
            const TensorIndex result = flow.call(i).output();
            if (self == result) continue;  // was removed
            const ArgumentValue told = like.argument == "dtype"
                                           ? ArgumentValue(std::string(name_of(flow.tensor(result).dtype)))
                                           : ArgumentValue(flow.shape(result));
            const NamedArgument arguments[] = {
                {"self",                     self},
                {std::string(like.argument), told}
            };
            rewriter.replace(i, like.stated, arguments);
        }
        if (makes_from_shape(flow.op(i)) && !flow.operands(i).empty()) {
            const NamedArgument size[] = {
                {"size", flow.shape(flow.call(i).output())}
            };
            const bool empty = flow.op(i).find("empty") != std::string_view::npos;
            rewriter.replace(i, empty ? "aten.empty.memory_format" : "aten.zeros.default", size);
        }
    }
    return rewriter.build().graph;
}

// Sums over the ranks of a layout, and attention, run in the engine's own kernels.
GraphPtr name_kernels(const GraphPtr& graph, std::string_view all_reduce) {
    GraphRewriter rewriter(*graph);
    for (std::size_t i = 0; i < graph->nodes().size(); ++i) {
        const std::string& op = graph->ops()[graph->nodes()[i].op].name;
        const auto node = static_cast<NodeIndex>(i);
        if (op == "collective.all_reduce") {
            rewriter.set_argument(node, {"kernel", std::string(all_reduce)});
        } else if (op == kAttention) {
            rewriter.set_argument(node, {std::string(kStoresNoScores), true});
        }
    }
    return rewriter.build().graph;
}

EngineGraph served(const GraphPtr& plain, const EngineRows& rows) {
    const GraphPtr folded = fold_attention(plain, true);
    const GraphPtr absorbed = absorb_latents(folded);  // has other products
    const GraphPtr narrow = narrow_attention(page_cache(absorbed, rows.traits), rows.traits);
    GraphPtr now = merge_products(narrow, rows.traits.merges);
    now = name_kernels(sample_tokens(now, rows), rows.traits.all_reduce);
    EngineGraph made = fuse_between(now, rows);
    made.kept_share = absorbed == folded ? kept_share(plain, made.graph)
                                         : kept_share(plain, folded) * kept_share(absorbed, made.graph);
    return made;
}

// What a compiler of whole models makes of a forward.
EngineGraph compiled(const GraphPtr& plain, const EngineRows& rows) {
    const CompilerRow& row = *rows.compiler;
    GraphPtr now = fuse_epilogues(merge_products(fold_attention(plain, false), Merges::all), row);
    if (row.joins_parts) now = join_parts(now);
    if (row.channels_last) now = put_channels_last(now);
    EngineGraph made = fuse_between(now, rows);
    made.kept_share = kept_share(plain, made.graph);
    return made;
}

}  // namespace

const EngineRows* rows_named(std::string_view name) {
    for (const EngineRows* rows : engines()) {
        if (rows->name == name) return rows;
    }
    return nullptr;
}

const HostRow& host_of(const EngineRows& rows, std::int64_t version) {
    for (const HostRow& host : rows.hosts) {
        if (version == 0 || host.since <= version) return host;
    }
    return rows.hosts.back();
}

void drop_unread_activations(const Flow& flow, GraphRewriter& rewriter) {
    for (const Node& node : flow.graph().nodes()) {
        for (const std::int64_t output : flow.graph().node_outputs(node)) {
            const auto t = static_cast<TensorIndex>(output);
            if (flow.tensor(t).role == Role::activation) rewriter.drop_if_unread(t);
        }
    }
}

std::string_view op_of(Pattern pattern) {
    return kOps[pattern];
}

std::string_view name_of(ServingEngine engine) {
    const EngineRows* rows = rows_of(engine);
    return rows ? rows->name : kTorch;
}

ServingEngine parse_engine(std::string_view name) {
    if (name == kTorch) return ServingEngine::torch;
    if (const EngineRows* rows = rows_named(name)) return rows->engine;
    std::string known(kTorch);
    for (const EngineRows* rows : engines()) known += ", " + std::string(rows->name);
    throw InputError("unknown engine '" + std::string(name) + "'; expected one of " + known);
}

std::vector<std::int64_t> recorded_sizes(ServingEngine engine) {
    const EngineRows* rows = rows_of(engine);
    if (!rows || rows->graphs.small.empty()) return {};
    std::vector<std::int64_t> sizes(rows->graphs.small.begin(), rows->graphs.small.end());
    for (const GraphSizes::Range& range : rows->graphs.ranges) {
        while (sizes.back() < range.last) sizes.push_back(sizes.back() + range.step);
    }
    return sizes;
}

std::vector<std::string> engine_names() {
    std::vector<std::string> names = {std::string(kTorch)};
    for (const EngineRows* rows : engines()) names.emplace_back(rows->name);
    return names;
}

std::vector<std::string> compiler_names() {
    std::vector<std::string> names;
    for (const EngineRows* rows : engines()) {
        if (rows->compiler) names.emplace_back(rows->name);
    }
    return names;
}

std::string_view version_of(ServingEngine engine) {
    const EngineRows* rows = rows_of(engine);
    return rows ? rows->version : "";
}

EngineGraph engine_graph(const std::shared_ptr<const Graph>& graph, ServingEngine engine) {
    const EngineRows* rows = rows_of(engine);
    if (!rows) return {.graph = graph, .as_captured = {}};
    require_inference(*graph);
    if (!rows->compiler) require_language(*graph);
    const GraphPtr plain = plain_forward(graph);
    return rows->compiler ? compiled(plain, *rows) : served(plain, *rows);
}

}  // namespace infercost
