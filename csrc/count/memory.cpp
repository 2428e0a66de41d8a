#include "count/memory.hpp"

#include <limits>

namespace infercost {

MemoryUse measure_memory(const Pass& pass) {
    const Graph& graph = pass.graph;
    const std::size_t tensors = graph.tensors().size();
    const std::size_t nodes = graph.nodes().size();
    constexpr NodeIndex kNever = -1;
    constexpr NodeIndex kForever = std::numeric_limits<NodeIndex>::max();

    const auto root_of = [&](std::int64_t t) {
        return static_cast<std::size_t>(pass.storage.root(static_cast<TensorIndex>(t)));
    };
    const auto is_activation = [&](std::size_t root) {
        return graph.tensors()[root].role == Role::activation;
    };

    std::vector<NodeIndex> last_use(tensors, kNever);
    for (std::size_t i = 0; i < nodes; ++i) {
        const Node& node = graph.nodes()[i];
        const auto touch = [&](std::int64_t t) { last_use[root_of(t)] = static_cast<NodeIndex>(i); };
        graph.for_each_input(node, touch);
        for (const std::int64_t t : graph.node_outputs(node)) touch(t);
    }
    for (const TensorIndex t : graph.outputs()) last_use[root_of(t)] = kForever;

    MemoryUse use;
    use.timeline.reserve(nodes);
    std::vector<bool> alive(tensors, false);
    std::vector<std::size_t> dying;
    Expr live;
    for (std::size_t i = 0; i < nodes; ++i) {
        const Node& node = graph.nodes()[i];
        const Call call(pass, node);
        for (const std::int64_t t : graph.node_outputs(node)) {
            const std::size_t root = root_of(t);
            if (alive[root] || !is_activation(root)) continue;
            alive[root] = true;
            live += call.bytes(static_cast<TensorIndex>(root));
        }
        use.timeline.push_back(live);
        const Expr peak = Expr::maximum(use.peak_activation_bytes, live);
        if (!(peak == use.peak_activation_bytes)) {
            use.peak_activation_bytes = peak;
            use.peak_node = static_cast<NodeIndex>(i);
        }
        dying.clear();
        const auto collect = [&](std::int64_t t) {
            const std::size_t root = root_of(t);
            if (last_use[root] == static_cast<NodeIndex>(i) && alive[root]) dying.push_back(root);
        };
        graph.for_each_input(node, collect);
        for (const std::int64_t t : graph.node_outputs(node)) collect(t);
        for (const std::size_t root : dying) {
            if (!alive[root]) continue;
            alive[root] = false;
            live = live - call.bytes(static_cast<TensorIndex>(root));
        }
    }
    return use;
}

}  // namespace infercost
