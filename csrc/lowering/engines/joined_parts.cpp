// Concatenations without copies.
#include <algorithm>

#include "core/graph_rewriter.hpp"
#include "lowering/engines/passes.hpp"
#include "lowering/flow.hpp"

namespace infercost {
namespace {

// Whether a kernel can write a value into a larger tensor: nothing else reads it.
bool is_written_once(const Flow& flow, const Operand& part) {
    return part.producer != kNoNode && flow.is_live(part.producer) && !flow.is_free(part.producer) &&
           flow.uses(part.producer).size() == 1 && !flow.is_output(part.tensor);
}

}  // namespace

GraphPtr join_parts(const GraphPtr& graph) {
    const Flow flow(graph);
    GraphRewriter rewriter(*graph);
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        if (flow.op(i) != "aten.cat" || !flow.is_live(i)) continue;
        std::vector<TensorIndex> parts;
        std::vector<TensorIndex> copied;
        for (const Operand& part : flow.operands(i)) {
            parts.push_back(part.tensor);
            if (!is_written_once(flow, part)) copied.push_back(part.tensor);
        }
        const NamedArgument arguments[] = {
            {"tensors", parts                },
            {"copied",  copied               },
            {"kernel",  std::string("concat")}
        };
        rewriter.replace(i, "engine.join.default", arguments);
    }
    return rewriter.build().graph;
}

}  // namespace infercost
