#include "count/memory.hpp"

#include <algorithm>
#include <set>

namespace infercost {
namespace {

constexpr NodeIndex kNever = -1;

// For each storage, at the index of its root: the last node during which it is held.
std::vector<NodeIndex> ends_of(const Pass& pass) {
    const Graph& graph = pass.graph;
    const auto last_node = static_cast<NodeIndex>(graph.nodes().size()) - 1;
    IndexedVector<TensorIndex, NodeIndex> ends(graph.tensors().size(), kNever);
    const auto end_of = [&](std::int64_t t) -> NodeIndex& {
        return ends[pass.storage.root(static_cast<TensorIndex>(t))];
    };
    for (NodeIndex i = 0; i <= last_node; ++i) {
        const Node& node = graph.nodes()[i];
        graph.for_each_input(node, [&](TensorIndex t) { end_of(t) = i; });
        for (const std::int64_t t : graph.node_outputs(node)) end_of(t) = i;
    }
    const std::span<const NodeIndex> held = graph.held_until();
    for (std::size_t t = 0; t < held.size(); ++t) {
        NodeIndex& end = end_of(static_cast<std::int64_t>(t));
        end = std::max(end, held[t]);
    }
    for (const TensorIndex t : graph.outputs()) end_of(t) = last_node;
    return ends;
}

// Storages that are released after each node, in lists linked by `next`.
class Endings {
  public:
    Endings(std::size_t nodes, std::size_t storages) : head_(nodes, kNone), next_(storages, kNone) {}
    void add(NodeIndex node, std::size_t storage) {
        next_[storage] = head_[node];
        head_[node] = static_cast<std::int32_t>(storage);
    }
    template <class Visit>
    void after(std::size_t node, Visit&& visit) const {
        for (std::int32_t s = head_[node]; s != kNone; s = next_[s]) {
            visit(static_cast<std::size_t>(s));
        }
    }

  private:
    static constexpr std::int32_t kNone = -1;
    IndexedVector<NodeIndex, std::int32_t> head_;
    IndexedVector<std::int32_t, std::int32_t> next_;
};

}  // namespace

MemoryUse measure_memory(const Pass& pass, std::vector<Expr> workspace, const StorageBytes& forms) {
    const Graph& graph = pass.graph;
    const std::size_t tensors = graph.tensors().size();
    const std::size_t nodes = graph.nodes().size();
    const IndexedVector<TensorIndex, NodeIndex> ends = ends_of(pass);
    const Node none{};
    const Call any(pass, none);
    const auto bytes_of = [&](std::size_t root) {
        const Expr* form = forms.form_of(static_cast<TensorIndex>(root));
        return form ? *form : any.storage_bytes(static_cast<TensorIndex>(root));
    };
    const auto role_of = [&](std::size_t t) { return graph.tensors()[t].role; };

    MemoryUse use;
    use.lifetimes = graph.held_until().empty() ? Lifetimes::last_use : Lifetimes::observed;
    use.workspace = std::move(workspace);
    use.timeline.reserve(nodes);
    Endings endings(nodes, tensors);
    // The caches that a step is given and replaces. Results of the graph end with the last node, after which
    // nothing is measured.
    const std::set<TensorIndex> inputs(graph.inputs().begin(), graph.inputs().end());
    for (std::size_t t = 0; t < graph.held_until().size(); ++t) {
        const bool given = inputs.contains(static_cast<TensorIndex>(t));
        if (given && role_of(t) == Role::kv_cache && graph.held_until()[t] != kNotObserved)
            endings.add(ends[t], t);
    }
    std::vector<bool> made(tensors, false);
    Expr live;
    for (std::size_t i = 0; i < nodes; ++i) {
        for (const std::int64_t t : graph.node_outputs(graph.nodes()[i])) {
            const auto root = static_cast<std::size_t>(pass.storage.root(static_cast<TensorIndex>(t)));
            if (made[root] || role_of(root) != Role::activation) continue;
            made[root] = true;
            const Expr bytes = bytes_of(root);
            live += bytes;
            endings.add(ends[root], root);
            use.storages.push_back(
                {static_cast<TensorIndex>(root), static_cast<NodeIndex>(i), ends[root], bytes});
        }
        // What a step is given is part of its inputs: without it, less than nothing may be live.
        const Expr held = live.is_constant() && live.constant() < 0 ? Expr(0) : live;
        const Expr needed = held + use.workspace[i];
        use.timeline.push_back(needed);
        const Expr peak = Expr::maximum(use.peak_activation_bytes, needed);
        if (!(peak == use.peak_activation_bytes)) {
            use.peak_activation_bytes = peak;
            use.peak_node = static_cast<NodeIndex>(i);
        }
        endings.after(i, [&](std::size_t root) { live = live - bytes_of(root); });
    }
    if (use.peak_node >= 0) {
        const Node& node = graph.nodes()[use.peak_node];
        use.peak_op = graph.ops()[node.op].name;
        use.peak_module = graph.name(node.module);
    }
    return use;
}

Expr peak_before(const Pass& pass, NodeIndex end, std::span<const Expr> workspace,
                 const std::set<TensorIndex>& apart) {
    const Graph& graph = pass.graph;
    const IndexedVector<TensorIndex, NodeIndex> ends = ends_of(pass);
    const Node none{};
    const Call any(pass, none);
    Endings endings(graph.nodes().size(), graph.tensors().size());
    std::vector<bool> made(graph.tensors().size(), false);
    Expr live;
    Expr peak;
    for (std::size_t i = 0; i < static_cast<std::size_t>(end); ++i) {
        for (const std::int64_t t : graph.node_outputs(graph.nodes()[i])) {
            const TensorIndex root = pass.storage.root(static_cast<TensorIndex>(t));
            const auto at = static_cast<std::size_t>(root);
            if (made[at] || apart.contains(root) || graph.tensors()[at].role != Role::activation) continue;
            made[at] = true;
            live += any.storage_bytes(root);
            endings.add(ends[at], at);
        }
        peak = Expr::maximum(peak, live + workspace[i]);
        endings.after(
            i, [&](std::size_t root) { live = live - any.storage_bytes(static_cast<TensorIndex>(root)); });
    }
    return peak;
}

}  // namespace infercost
