#include "evaluate/node_estimates.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace infercost {
namespace {

NodeEstimate of_launch(const KernelEstimate& kernel, NodeIndex node, NodeIndex carrier) {
    NodeEstimate made{.node = node, .kernel = &kernel, .carrier = carrier};
    made.effect = {kernel.effect, 0};
    made.engine = kernel.engine;
    if (node != carrier) {
        made.energy_j = 0 * kernel.energy_j;  // not a number where that is none
        return made;
    }
    made.terms = kernel.terms;
    made.energy_j = kernel.energy_j;
    made.effect.share = kernel.effect_share;
    made.flops = kernel.flops;
    made.traffic_bytes = kernel.traffic_bytes;
    return made;
}

KernelSeconds sum(const KernelSeconds& a, const KernelSeconds& b) {
    return {a.latency + b.latency, a.compute + b.compute, a.dram + b.dram,          a.cache + b.cache,
            a.link + b.link,       a.launch + b.launch,   a.dynamic_j + b.dynamic_j};
}

NodeEstimate together(const NodeEstimate& one, const NodeEstimate& other) {
    const bool first = one.terms.latency >= other.terms.latency;
    const NodeEstimate& longest = first ? one : other;
    const NodeEstimate& shorter = first ? other : one;
    NodeEstimate made = longest;
    made.terms = sum(one.terms, other.terms);
    made.energy_j = one.energy_j + other.energy_j;
    made.flops = one.flops + other.flops;
    made.traffic_bytes = one.traffic_bytes + other.traffic_bytes;
    double taken_s = longest.effect.share * longest.terms.latency;
    if (shorter.effect.name == longest.effect.name) taken_s += shorter.effect.share * shorter.terms.latency;
    made.effect.share = made.terms.latency > 0 ? taken_s / made.terms.latency : 0;
    if (shorter.flops > longest.flops) made.engine = shorter.engine;
    return made;
}

}  // namespace

std::vector<NodeEstimate> estimate_nodes(const std::vector<KernelEstimate>& kernels) {
    std::map<NodeIndex, int> computed;  // launches that compute a node
    for (const KernelEstimate& kernel : kernels) {
        if (kernel.copies_input) continue;
        for (const std::vector<NodeIndex>& launch : kernel.launches) {
            for (const NodeIndex node : launch) ++computed[node];
        }
    }
    std::map<NodeIndex, NodeEstimate> nodes;
    for (const KernelEstimate& kernel : kernels) {
        for (const std::vector<NodeIndex>& launch : kernel.launches) {
            if (launch.empty()) continue;
            // What is cheap is computed again in each kernel that reads it, and belongs to none of them.
            const auto own = std::find_if(launch.begin(), launch.end(), [&](NodeIndex node) {
                const auto found = computed.find(node);
                return found != computed.end() && found->second == 1;
            });
            const NodeIndex carrier = own == launch.end() ? launch.front() : *own;
            for (const NodeIndex node : launch) {
                const NodeEstimate made = of_launch(kernel, node, carrier);
                const auto [place, is_new] = nodes.emplace(node, made);
                if (!is_new) place->second = together(place->second, made);
            }
        }
    }
    std::vector<NodeEstimate> found;
    found.reserve(nodes.size());
    for (const auto& [node, estimate] : nodes) found.push_back(estimate);
    return found;
}

std::string unit_of(const Engine& engine) {
    return std::string(engine.matrix ? "matrix " : "vector ") + std::string(name_of(engine.dtype));
}

std::string note_of(const NodeEstimate& each) {
    return each.node == each.carrier ? std::string(each.kernel->note)
                                     : "in the kernel of node " + std::to_string(each.carrier);
}

}  // namespace infercost
