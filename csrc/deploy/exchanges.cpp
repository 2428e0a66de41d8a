#include "deploy/exchanges.hpp"

#include <algorithm>

#include "evaluate/node_estimates.hpp"
#include "hardware/collectives.hpp"

namespace infercost {
namespace {

constexpr std::string_view kCollective = "collective.";

std::int64_t whole_argument(const Graph& graph, const Node& node, std::string_view name) {
    for (const Argument& argument : graph.arguments(node)) {
        if (argument.kind == ArgKind::integer && graph.name(argument.name) == name) return argument.value;
    }
    return 1;
}

}  // namespace

std::vector<GroupExchange> exchanges_of(const Graph& graph, const std::vector<KernelEstimate>& kernels,
                                        const Hardware& machine) {
    const auto in_node = static_cast<std::int64_t>(devices_of_node(machine));
    std::vector<GroupExchange> found;
    for (const NodeEstimate& each : estimate_nodes(kernels)) {
        const Node& node = graph.nodes()[each.node];
        const std::string_view op = graph.ops()[node.op].name;
        if (!op.starts_with(kCollective)) continue;
        const std::int64_t devices = whole_argument(graph, node, "devices");
        const GroupExchange one{
            .op = op.substr(kCollective.size()),
            .devices = devices,
            .nodes = std::max(whole_argument(graph, node, "nodes"), (devices + in_node - 1) / in_node)};
        auto known = std::ranges::find_if(found, [&](const GroupExchange& other) {
            return other.op == one.op && other.devices == one.devices && other.nodes == one.nodes;
        });
        if (known == found.end()) known = found.insert(found.end(), one);
        ++known->calls;
        known->bytes_sent += static_cast<std::int64_t>(each.kernel->sent_bytes);
        known->latency_s += each.terms.latency;
    }
    return found;
}

}  // namespace infercost
