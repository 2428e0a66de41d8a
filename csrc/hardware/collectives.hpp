// Collective operations between devices: startup, steps, and bytes over the slowest link.
//
// A call takes start + x / rate in the fastest of several ways. Those of a library (the alpha-beta model of
// NCCL's tuner, src/graph/tuning.cc) start late with a high rate or early with a low rate:
//
//     LL      base + hop steps + x / (ll_share link)
//     LL128   base + hop steps + ll128 + x / (ll128_share link)         not through the host
//     Simple  base + hop steps + simple + x / (simple_share link)
//     switch  base + switch + 2 bytes / (switch_share link)             all-reduce, if the switch reduces
//
// x is the number of bytes that leave one device, plus the copy of its own part, own_copy bytes / devices. A
// ring of n devices takes n - 1 steps (an all-reduce twice as many), and beyond eight devices one more for
// each doubling, as in a tree; an all-to-all sends to all peers at once and takes 1 + alltoall_step (n - 1).
//
// Of a link that is divided among `peers`, n devices use (n - 1) / peers. Devices without their own link, and
// more than two devices that are connected in pairs, send through the host and share it. There, Simple
// reaches host_share link (2 / flows)^host_sharing, where `flows` is the number of devices that send at once,
// and for more than two devices host_through of that; LL reaches half of it, because half of its bytes are
// flags.
//
// Serving engines have kernels of their own for an all-reduce in one node (engine_collectives.cpp) and for
// the tokens of experts (expert_exchange.cpp).
//
// Between nodes, operations are hierarchical: each of g devices of a node exchanges its part with the devices
// of the same place in other nodes over its own NICs, and the parts are exchanged inside of each node.
// Messages are cut into pieces, so that the slower of link and network decides; the steps add up. A group
// spans as many nodes as its ranks need, or more if it says so. Devices of one link domain count as one node.
// No measurement of an all-reduce between nodes was found in public: of this part, only the exchange of
// experts' tokens is compared with measurements.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/exchange.hpp"
#include "hardware/costs.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// How a call moves its bytes, and the term that bounds it.
enum class CollectiveAlgorithm : std::uint8_t {
    none,
    ring,
    direct,
    in_switch,
    one_shot,
    two_shot,
    low_latency,
    normal
};
inline constexpr std::array<std::string_view, 8> kCollectiveAlgorithms = {
    "none", "ring", "direct", "switch", "one-shot", "two-shot", "low latency", "normal"};
enum class CollectiveProtocol : std::uint8_t { none, ll, ll128, simple };
inline constexpr std::array<std::string_view, 4> kCollectiveProtocols = {"none", "LL", "LL128", "Simple"};
enum class CollectiveBound : std::uint8_t { latency, link };
inline constexpr std::array<std::string_view, 2> kCollectiveBounds = {"latency", "link"};

// The link between devices of one node, and that between nodes.
struct LinkPath {
    bool over_host = false;
    double byte_per_s = 0;  // of one device while all others send
    double network_byte_per_s = 0;
    double network_step_s = 0;
};

// The devices of a group: `nodes` times `each`.
struct GroupShape {
    double devices = 1;
    double nodes = 1;
    double each = 1;
};
// Devices that links connect without a network: of one machine, or of a domain of several.
double devices_of_node(const Hardware& hardware);
// Nodes that some devices are in: `least`, or as many as they need.
std::int64_t nodes_of(const Hardware& hardware, std::int64_t devices, std::int64_t least);
GroupShape shape_of(const Hardware& hardware, const ExchangeGroup& group);

// Throws InputError for a machine without the links that the group needs.
LinkPath path_between(const Hardware& hardware, const GroupShape& shape);

// One operation between some devices, with all facts that do not depend on the message size.
class CollectiveModel {
  public:
    // `dtype` is that of the message. A switch reduces floats of at least 16 bits. `execution` matters for
    // kernels of engines: in eager execution they copy the message first, and the host may be slower. Throws
    // InputError for a machine without a link to other devices, or without a constant that the
    // operation needs.
    CollectiveModel(const Hardware& hardware, const ExchangeGroup& group, DType dtype, Execution execution);

    const ExchangeCosts& costs() const { return costs_; }
    // The link of the bytes: device, host, network, or none for a single device.
    std::string_view link() const { return link_; }
    double spread() const { return spread_; }
    CollectiveAlgorithm algorithm(int way) const { return names_[static_cast<std::size_t>(way)].algorithm; }
    CollectiveProtocol protocol(int way) const { return names_[static_cast<std::size_t>(way)].protocol; }
    // Bytes that leave each device, per byte of the message.
    double bus_factor() const { return bus_factor_; }

  private:
    struct WayNames {
        CollectiveAlgorithm algorithm = CollectiveAlgorithm::none;
        CollectiveProtocol protocol = CollectiveProtocol::none;
    };

    void add(const WayNames& names, const ExchangeWay& way);
    void add_library(const Hardware& hardware, const ExchangeGroup& group, const GroupShape& shape,
                     const LinkPath& path, DType dtype);
    void add_engine(const Hardware& hardware, const ExchangeGroup& group, const GroupShape& shape,
                    const LinkPath& path);
    void add_experts(const Hardware& hardware, const ExchangeGroup& group, const GroupShape& shape,
                     const LinkPath& path);

    std::string_view link_ = "none";
    double spread_ = 0;
    double bus_factor_ = 0;
    ExchangeCosts costs_;
    std::array<WayNames, kMostWays> names_{};
};

// A constant of [collectives]. Throws InputError if the machine's family and kind set none.
double known(const Hardware& hardware, double CollectiveConstants::* field);

}  // namespace infercost
