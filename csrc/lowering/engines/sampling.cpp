#include <algorithm>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/flow.hpp"

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
        if (flow.traits(i).relation != Relation::embedding) continue;
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

// Sequences of a step, and the new tokens of each: of the ids that are looked up in the largest table of
// embeddings, or of the queries of an attention.
struct Step {
    Expr sequences = 1;
    Expr tokens = 1;  // of a sequence
};

Step step_of(const Flow& flow, const std::vector<Expr>& rows_of_logits) {
    Step step;
    for (const Expr& length : rows_of_logits) step.sequences = step.sequences * length;
    bool found = false;
    Expr words = 0;
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        const Call call = flow.call(i);
        if (flow.traits(i).relation == Relation::embedding) {
            const std::vector<Expr> table = flow.shape(call.require_tensor("weight"));
            const std::vector<Expr> ids = flow.shape(call.require_tensor("indices"));
            const bool larger =
                !table.empty() && table[0].is_constant() && words.constant() < table[0].constant();
            if (ids.size() != 2 || !larger) continue;
            words = table[0];
            step = {.sequences = ids[0], .tokens = ids[1]};
            found = true;
        } else if (!found && flow.kind(i) == WorkKind::attention && call.has("query")) {
            const std::vector<Expr> query = flow.shape(call.require_tensor("query"));
            if (query.size() >= 2 && !(query[query.size() - 2] == Expr(1))) {
                step.tokens = query[query.size() - 2];
            }
        }
    }
    return step;
}

}  // namespace

GraphPtr sample_tokens(const GraphPtr& graph, const EngineRows& rows) {
    const Flow flow(graph);
    const TensorIndex logits = logits_of(flow);
    if (logits == kNoTensor) return graph;
    const auto row = std::find_if(rows.rows.begin(), rows.rows.end(),
                                  [](const KernelRow& each) { return each.pattern == Pattern::sample; });
    GraphRewriter rewriter(*graph);
    const std::vector<Expr> whole = flow.shape(logits);
    std::vector<Expr> shape = whole;
    shape.pop_back();
    const Step step = step_of(flow, shape);
    Expr sampled = 1;
    for (const Expr& length : shape) sampled = sampled * length;
    const bool on_device = rows.traits.samples_on_device;
    const TensorIndex result =
        on_device ? rewriter.add_tensor(DType::int64, shape, std::nullopt, Role::activation, "")
                  : rewriter.add_tensor(DType::float32, whole, std::nullopt, Role::activation, "");
    rewriter.return_instead(logits, result);
    const NamedArgument arguments[] = {
        {"kernel",    std::string(row->kernel)                    },
        {"inputs",    std::vector<TensorIndex>{logits}            },
        {"flops",     on_device ? flow.numel(logits) * 5 : Expr(0)},
        {"accesses",  Expr(row->accesses)                         },
        {"sampled",   sampled                                     },
        {"engine",    std::string(rows.name)                      },
        {"sequences", step.sequences                              },
        {"tokens",    step.tokens                                 },
    };
    rewriter.insert_after(flow.maker(logits), op_of(Pattern::sample), arguments, {&result, 1});
    return rewriter.build().graph;
}

}  // namespace infercost
