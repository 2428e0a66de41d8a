#include <vector>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/engines/units.hpp"
#include "lowering/flow.hpp"

namespace infercost {
namespace {

// The attention whose results alone a node reads, and the tensors between them; none if others read them.
NodeIndex attention_before(const Flow& flow, NodeIndex node, std::vector<TensorIndex>& between) {
    Operand read = flow.operands(node).front();
    while (read.producer != kNoNode) {
        const NodeIndex made = read.producer;
        if (flow.uses(made).size() != 1 || flow.is_output(read.tensor)) return kNoNode;
        between.push_back(read.tensor);
        if (flow.kind(made) == WorkKind::attention) return made;
        if (!flow.is_free(made) && !is_layout(flow, made)) return kNoNode;
        read = flow.operands(made).front();
    }
    return kNoNode;
}

}  // namespace

GraphPtr narrow_attention(const GraphPtr& graph, const EngineTraits& traits) {
    if (!traits.narrows_results) return graph;
    const Flow flow(graph);
    GraphRewriter rewriter(*graph);
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        if (flow.op(i) != "aten.quantize_per_tensor") continue;
        std::vector<TensorIndex> between;
        if (attention_before(flow, i, between) == kNoNode) continue;
        const TensorIndex narrow = flow.call(i).output();
        for (const TensorIndex t : between) rewriter.set_dtype(t, flow.tensor(narrow).dtype);
        rewriter.redirect(narrow, between.front());
        rewriter.remove(i);
    }
    return rewriter.build().graph;
}

}  // namespace infercost
