// What travels between devices in a forward.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "evaluate/explain.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// Collective operations of one kind in groups of one shape.
struct GroupExchange {
    std::string_view op;       // "all_reduce"; a name of the graph
    std::int64_t devices = 1;  // of a group
    std::int64_t nodes = 1;    // that they are in
    std::int64_t calls = 0;
    std::int64_t bytes_sent = 0;  // by a device in all calls
    double latency_s = 0;         // of all calls
};

template <class Visit>
void describe(const GroupExchange& of, Visit&& visit) {
    visit("op", of.op);
    visit("devices", of.devices);
    visit("nodes", of.nodes);
    visit("calls", of.calls);
    visit("bytes_sent", of.bytes_sent);
    visit("latency_s", of.latency_s);
}

// The exchanges of a forward, in the order in which they first occur. `graph` is that of the kernels' plan.
std::vector<GroupExchange> exchanges_of(const Graph& graph, const std::vector<KernelEstimate>& kernels,
                                        const Hardware& machine);

}  // namespace infercost
