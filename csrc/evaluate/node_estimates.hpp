// Times of kernels -> times of the nodes of the graph that they run.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evaluate/effects.hpp"
#include "plan/plan.hpp"

namespace infercost {

// One node that a kernel covers. The time of a fused kernel is that of its first node which no other kernel
// computes again; its other nodes take no time. A node that several kernels run has their times together, and
// is named and bound by the longest of them; its engine is that of the one that computes most.
struct NodeEstimate {
    NodeIndex node = 0;
    const KernelEstimate* kernel = nullptr;  // the longest
    NodeIndex carrier = 0;                   // the node that has the time of this kernel
    KernelSeconds terms{};                   // without dynamic_j
    double energy_j = 0;                     // NaN if the machine's power is unknown
    Effect effect{};
    Engine engine{};
    double flops = 0;
    double traffic_bytes = 0;
};

// In the order of the graph. The kernels must live as long.
std::vector<NodeEstimate> estimate_nodes(const std::vector<KernelEstimate>& kernels);

// "matrix float16"
std::string unit_of(const Engine& engine);
// The node that has the kernel's time, or the note of the kernel.
std::string note_of(const NodeEstimate& each);

template <class Visit>
void describe(const NodeEstimate& of, const Graph& graph, Visit&& visit) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(of.node)];
    const KernelSeconds& terms = of.terms;
    visit("index", std::int64_t{of.node});
    visit("module", graph.name(node.module));
    visit("op", std::string_view(graph.ops()[node.op].name));
    visit("kernel", std::string_view(of.kernel->name));
    visit("latency_s", terms.latency);
    visit("bound", name_of(of.kernel->bound));
    visit("compute_s", terms.compute);
    visit("dram_s", terms.dram);
    visit("cache_s", terms.cache);
    visit("link_s", terms.link);
    visit("launch_s", terms.launch);
    visit("energy_j", std::isfinite(of.energy_j) ? std::optional<double>(of.energy_j) : std::nullopt);
    visit("effect", of.effect.name);
    visit("effect_share", of.effect.share);
    visit("unit", unit_of(of.engine));
    visit("kernel_flops", of.flops);
    visit("kernel_bytes", of.traffic_bytes);
    visit("note", note_of(of));
}

}  // namespace infercost
