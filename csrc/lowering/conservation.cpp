#include "lowering/conservation.hpp"

#include <cstddef>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lowering/flow.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

constexpr double kWithin = 1e-12;

// Contraction FLOPs of a graph.
struct Contractions {
    Expr all = 0;
    Expr needed = 0;  // by results and caches; passes remove other nodes
};

Contractions contractions_of(const GraphPtr& graph) {
    const Flow flow(graph);
    const IndexedVector<NodeIndex, bool> needed = needed_nodes(flow);
    const auto hash = [](const Expr& flops) { return flops.hash(); };
    using Nodes = std::pair<std::int64_t, std::int64_t>;    // all, and those that are needed
    std::unordered_map<Expr, Nodes, decltype(hash)> alike;  // few sums of many equal layers
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        if (!flow.is_live(i)) continue;
        Nodes& nodes = alike[flow.contraction_flops(i)];
        ++nodes.first;
        nodes.second += needed[i];
    }
    Contractions found;
    for (const auto& [flops, nodes] : alike) {
        found.all += flops * nodes.first;
        found.needed += flops * nodes.second;
    }
    return found;
}

double share(std::int64_t kept, std::int64_t of) {
    if (kept == of) return 1.0;
    return of == 0 ? std::numeric_limits<double>::infinity()
                   : static_cast<double>(kept) / static_cast<double>(of);
}

// Contraction FLOPs of each product, in the order of the nodes.
std::vector<std::int64_t> products_of(const GraphPtr& graph, const Replacements& sizes) {
    const Flow flow(graph);
    const auto hash = [](const Expr& flops) { return flops.hash(); };
    std::unordered_map<Expr, std::int64_t, decltype(hash)> alike;  // many layers are equal
    std::vector<std::int64_t> found;
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        if (!flow.is_live(i)) continue;
        const Expr& flops = flow.contraction_flops(i);
        const auto [at, is_new] = alike.try_emplace(flops, 0);
        if (is_new) at->second = flops.substitute(sizes).constant();
        if (at->second != 0) found.push_back(at->second);
    }
    return found;
}

}  // namespace

double kept_share(const GraphPtr& before, const GraphPtr& now) {
    if (before == now) return 1.0;
    const Contractions was = contractions_of(before);
    const Contractions is = contractions_of(now);
    const Replacements sizes = before->size_values({});
    const auto kept = [&](const Expr& of, const Expr& rest) {
        return of == rest ? 1.0 : share(rest.substitute(sizes).constant(), of.substitute(sizes).constant());
    };
    return kept(was.all, is.all) == 1.0 ? 1.0 : kept(was.needed, is.needed);
}

double kept_by_ranks(const GraphPtr& before, const GraphPtr& rank, std::int64_t ranks, std::int64_t copies) {
    const Replacements sizes = before->size_values({});
    const std::vector<std::int64_t> was = products_of(before, sizes);
    const std::vector<std::int64_t> is = products_of(rank, sizes);
    if (was.size() != is.size()) return std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < was.size(); ++i) {
        const double whole = share(is[i], was[i]);
        if (whole * static_cast<double>(ranks) < 1 - kWithin) return whole * static_cast<double>(ranks);
        if (whole > static_cast<double>(copies) * (1 + kWithin)) return whole;
    }
    return 1.0;
}

double kept_by_stages(const GraphPtr& before, std::span<const GraphPtr> stages) {
    const Replacements sizes = before->size_values({});
    const auto sum = [&](const GraphPtr& graph) {
        std::int64_t all = 0;
        for (const std::int64_t flops : products_of(graph, sizes)) all += flops;
        return all;
    };
    std::int64_t all = 0;
    for (const GraphPtr& stage : stages) all += sum(stage);
    return share(all, sum(before));
}

}  // namespace infercost
