#include "lowering/lowered_graph.hpp"

#include "lowering/autocast.hpp"
#include "lowering/narrow_chains.hpp"

namespace infercost {

LoweredGraph lower_precision(const std::shared_ptr<const Graph>& graph, const Precision& precision,
                             const Overrides& overrides) {
    if (!precision.autocast) {
        const bool narrows = !precision.native && bits_of(precision.operand) < bits_of(precision.stored);
        return {narrows ? narrow_chains(graph, precision.operand) : graph, precision, overrides};
    }
    Rewritten rewritten = autocast(*graph, *precision.autocast);
    LoweredGraph lowered{std::move(rewritten.graph), precision, overrides};
    for (auto& [node, work] : lowered.overrides) {
        // A number that is not a node of the graph is kept, and refused when rules are looked up.
        if (node >= 0 && static_cast<std::size_t>(node) < rewritten.place_of.size()) {
            node = rewritten.place_of[node];
        } else {
            node = static_cast<NodeIndex>(lowered.graph->nodes().size());
        }
    }
    return lowered;
}

}  // namespace infercost
