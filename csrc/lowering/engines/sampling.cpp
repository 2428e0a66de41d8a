#include "core/graph_rewriter.hpp"
#include "lowering/engines/flow.hpp"
#include "lowering/engines/passes.hpp"

namespace infercost {
namespace {

// Ranks whose columns of logits are gathered before a result of the graph; 1 if none are.
std::int64_t ranks_of(const Flow& flow, TensorIndex result) {
    NodeIndex node = flow.maker(result);
    for (int steps = 0; node != kNoNode && steps < 8; ++steps) {
        if (flow.op(node) == "collective.all_gather") {
            const Expr devices = flow.call(node).integer("devices", 1);
            return devices.is_constant() ? devices.constant() : 1;
        }
        if (flow.is_anchor(node) || flow.operands(node).empty()) break;
        node = flow.operands(node).front().producer;
    }
    return 1;
}

// The logits: a result of the graph with one column per row of the table of embeddings.
TensorIndex logits_of(const Flow& flow) {
    Expr words = 0;
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        if (flow.op(i) != "aten.embedding") continue;
        const std::vector<Expr> table = flow.shape(flow.call(i).require_tensor("weight"));
        if (table.empty()) continue;
        const Expr& rows = table.front();
        if (rows.is_constant() && (!words.is_constant() || rows.constant() > words.constant())) words = rows;
    }
    for (const TensorIndex t : flow.graph().outputs()) {
        const std::vector<Expr> shape = flow.shape(t);
        if (shape.size() < 2 || !is_floating(flow.tensor(t).dtype) || flow.maker(t) == kNoNode) continue;
        const Expr& columns = shape.back();
        if (!columns.is_constant() || !words.is_constant() || columns.constant() <= 0) continue;
        // Heads may have a few columns more or fewer than there are embeddings. A rank has its share of both.
        for (const std::int64_t ranks : {std::int64_t{1}, ranks_of(flow, t)}) {
            const std::int64_t own = columns.constant() / ranks;
            if (2 * own > words.constant() && own < 2 * words.constant()) return t;
        }
    }
    return kNoTensor;
}

// Whether some attention has several queries of a sequence.
bool reads_prompt(const Flow& flow) {
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        if (flow.kind(i) != WorkKind::attention || !flow.call(i).has("query")) continue;
        const std::vector<Expr> query = flow.shape(flow.call(i).require_tensor("query"));
        if (query.size() >= 2 && !(query[query.size() - 2] == Expr(1))) return true;
    }
    return false;
}

}  // namespace

GraphPtr sample_tokens(const GraphPtr& graph, const HostRow& host) {
    const Flow flow(graph);
    const TensorIndex logits = logits_of(flow);
    if (logits == kNoTensor) return graph;
    GraphRewriter rewriter(*graph);
    std::vector<Expr> shape = flow.shape(logits);
    shape.pop_back();
    Expr host_ns = host.step_ns + (reads_prompt(flow) ? host.prompt_ns : 0);
    Expr sequences = 1;
    for (const Expr& length : shape) sequences = sequences * length;
    host_ns += sequences * host.sequence_ns;
    const TensorIndex token = rewriter.add_tensor(DType::int64, shape, std::nullopt, Role::activation, "");
    rewriter.return_instead(logits, token);
    const NamedArgument arguments[] = {
        {"kernel",   std::string("sample")           },
        {"inputs",   std::vector<TensorIndex>{logits}},
        {"flops",    flow.numel(logits) * 5          },
        {"accesses", Expr(3)                         },
        {"host_ns",  host_ns                         },
    };
    rewriter.insert_after(flow.maker(logits), op_of(Pattern::sample), arguments, {&token, 1});
    return rewriter.build().graph;
}

}  // namespace infercost
