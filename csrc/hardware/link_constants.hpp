// The part of the table of calibration constants (hardware/constant_table.hpp) that describes links.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/exchange.hpp"
#include "hardware/constant.hpp"

namespace infercost {

#include "hardware/constant_rows.hpp"

// ---- collectives of libraries: [collectives] -----------------------------------------------------------

struct CollectiveConstants {
    double base_s, hop_s, host_hop_s, ll_share, ll128_s, ll128_share, simple_s, simple_share;
    double own_copy, alltoall_step, switch_s, switch_share, switch_devices;
    double host_share, host_through, host_sharing, network_hop_s, network_share;
    double spread, host_spread, network_spread;
};
inline constexpr ConstantField<CollectiveConstants> kCollectiveRows[] = {
    ROW("base_us", CollectiveConstants, base_s, kMicroseconds, kPositive, kUnset, "startup time of a call"),
    ROW("hop_us", CollectiveConstants, hop_s, kMicroseconds, kPositive, kUnset,
        "time of a step between devices over their link"),
    ROW("host_hop_us", CollectiveConstants, host_hop_s, kMicroseconds, kPositive, kUnset,
        "time of a step through the host"),
    ROW("ll_share", CollectiveConstants, ll_share, kRatio, kFraction, kUnset,
        "share of the link for protocol LL: half of its bytes are flags, few in flight"),
    ROW("ll128_us", CollectiveConstants, ll128_s, kMicroseconds, kNotNegative, kUnset,
        "additional startup time of protocol LL128"),
    ROW("ll128_share", CollectiveConstants, ll128_share, kRatio, kFraction, kUnset,
        "share of the link for LL128: 120 of 128 bytes are data"),
    ROW("simple_us", CollectiveConstants, simple_s, kMicroseconds, kNotNegative, kUnset,
        "additional startup time of protocol Simple: whole buffers, then a fence"),
    ROW("simple_share", CollectiveConstants, simple_share, kRatio, kFraction, kUnset,
        "share of the link for Simple"),
    ROW("own_copy", CollectiveConstants, own_copy, kRatio, kNotNegative, kUnset,
        "time to copy a byte of the device's own part, in bytes over the link"),
    ROW("alltoall_step", CollectiveConstants, alltoall_step, kRatio, kNotNegative, kUnset,
        "time per additional peer of an all-to-all, in steps"),
    ROW("switch_us", CollectiveConstants, switch_s, kMicroseconds, kNotNegative, kUnset,
        "additional startup time of a reduction in the switch"),
    ROW("switch_share", CollectiveConstants, switch_share, kRatio, kPositive, kUnset,
        "share of the link for a reduction in the switch, counting both directions"),
    ROW("switch_devices", CollectiveConstants, switch_devices, kDevices, kCount, kUnset,
        "minimum number of devices for a reduction in the switch"),
    ROW("host_share", CollectiveConstants, host_share, kRatio, kFraction, kUnset,
        "share of the host link for two devices with Simple; LL reaches half of it"),
    ROW("host_through", CollectiveConstants, host_through, kRatio, kFraction, 1,
        "rate of more than two devices through the host, relative to that of a pair, before they share it"),
    ROW("host_sharing", CollectiveConstants, host_sharing, kRatio, kNotNegative, kUnset,
        "exponent of rate ~ flows^-host_sharing: 0 for separate paths, 1 for one shared root complex"),
    ROW("network_hop_us", CollectiveConstants, network_hop_s, kMicroseconds, kNotNegative, kUnset,
        "time of a step between nodes, if the file of the device gives no latency"),
    ROW("network_share", CollectiveConstants, network_share, kRatio, kFraction, kUnset,
        "share of the bandwidth of a device's NICs"),
    ROW("spread", CollectiveConstants, spread, kRatio, kSpread, kUnset,
        "error band of calls over the link between devices, as a fraction"),
    ROW("host_spread", CollectiveConstants, host_spread, kRatio, kSpread, kUnset,
        "error band of calls through the host, as a fraction"),
    ROW("network_spread", CollectiveConstants, network_spread, kRatio, kSpread, kUnset,
        "error band of calls of a library between nodes, as a fraction"),
};
static_assert(is_complete(kCollectiveRows));

// ---- collectives of serving engines: [engine_all_reduce], [expert_dispatch], [expert_combine] ------------

// One-shot: every rank reads the data of all others. Two-shot: every rank adds one part, then reads the
// others.
struct EngineReduceConstants {
    double start_s, hop_s, share, two_shot_s, two_shot_hop_s, two_shot_peer_s, two_shot_share;
    double push_s, push_hop_s, push_share, push_two_s, push_two_hop_s, push_two_peer_s, push_two_share;
    double largest_bytes, host_s, spread;
};
inline constexpr ConstantField<EngineReduceConstants> kEngineReduceRows[] = {
    ROW("start_us", EngineReduceConstants, start_s, kMicroseconds, kPositive, kUnset,
        "startup time of a one-shot kernel with barriers"),
    ROW("hop_us", EngineReduceConstants, hop_s, kMicroseconds, kNotNegative, 0,
        "additional startup time each time that the number of devices doubles"),
    ROW("share", EngineReduceConstants, share, kRatio, kFraction, 0.6, "share of the link for one-shot"),
    ROW("two_shot_us", EngineReduceConstants, two_shot_s, kMicroseconds, kPositive, kUnset,
        "startup time of a two-shot kernel with barriers; unset: there is none"),
    ROW("two_shot_hop_us", EngineReduceConstants, two_shot_hop_s, kMicroseconds, kNotNegative, 0,
        "the same as hop_us for two-shot"),
    ROW("two_shot_peer_us", EngineReduceConstants, two_shot_peer_s, kMicroseconds, kNotNegative, 0,
        "minimum time of the bytes of a two-shot kernel, for each other device"),
    ROW("two_shot_share", EngineReduceConstants, two_shot_share, kRatio, kFraction, 0.6,
        "share of the link for two-shot"),
    ROW("push_us", EngineReduceConstants, push_s, kMicroseconds, kPositive, kUnset,
        "startup time of a one-shot kernel that pushes data with flags in it"),
    ROW("push_hop_us", EngineReduceConstants, push_hop_s, kMicroseconds, kNotNegative, 0,
        "additional startup time each time that the number of devices doubles"),
    ROW("push_share", EngineReduceConstants, push_share, kRatio, kFraction, 0.6,
        "share of the link for one-shot with flags"),
    ROW("push_two_us", EngineReduceConstants, push_two_s, kMicroseconds, kPositive, kUnset,
        "startup time of a two-shot kernel of engines that push; unset: there is none"),
    ROW("push_two_hop_us", EngineReduceConstants, push_two_hop_s, kMicroseconds, kNotNegative, 0,
        "the same as push_hop_us for two-shot"),
    ROW("push_two_peer_us", EngineReduceConstants, push_two_peer_s, kMicroseconds, kNotNegative, 0,
        "minimum time of the bytes of this kernel, for each other device"),
    ROW("push_two_share", EngineReduceConstants, push_two_share, kRatio, kFraction, 0.6,
        "share of the link for this kernel"),
    ROW("largest_kib", EngineReduceConstants, largest_bytes, kKibibytes, kPositive, 8192.0 * 1024,
        "largest message of these kernels; the library moves larger ones"),
    ROW("host_us", EngineReduceConstants, host_s, kMicroseconds, kNotNegative, 0,
        "host time of an engine's call in eager execution, which overlaps with the device"),
    ROW("spread", EngineReduceConstants, spread, kRatio, kSpread, kUnset, "error band, as a fraction"),
};
static_assert(is_complete(kEngineReduceRows));

// Tokens of experts. low_latency sends a token to each of its experts; normal sends it once to each rank and
// each node that has any of them, by a few cores. Times of tokens are those of one core.
struct ExpertConstants {
    double low_latency_s, expert_s, low_latency_share, expert_byte_per_s, low_latency_network_s;
    double low_latency_node_s, normal_s, normal_s_per_byte, normal_network_s, normal_node_s;
    double token_s, copy_s, token_s_per_byte, copy_s_per_byte, node_s_per_byte;
    double normal_share, network_share, full_nodes, spread;
};
inline constexpr ConstantField<ExpertConstants> kExpertRows[] = {
    ROW("low_latency_us", ExpertConstants, low_latency_s, kMicroseconds, kPositive, kUnset,
        "startup time of mode low_latency"),
    ROW("expert_us", ExpertConstants, expert_s, kMicroseconds, kNotNegative, 0,
        "additional startup time per expert, in mode low_latency"),
    ROW("low_latency_share", ExpertConstants, low_latency_share, kRatio, kFraction, 0.5,
        "share of the link between devices, in mode low_latency"),
    ROW("expert_gb_per_s", ExpertConstants, expert_byte_per_s, kGigabytesPerSecond, kPositive, kUnset,
        "maximum rate per expert, each of which has its own cores, in mode low_latency; unset: no limit"),
    ROW("low_latency_network_us", ExpertConstants, low_latency_network_s, kMicroseconds, kNotNegative, 0,
        "additional startup time of mode low_latency between nodes"),
    ROW("low_latency_node_us", ExpertConstants, low_latency_node_s, kMicroseconds, kNotNegative, 0,
        "additional startup time each time that the number of nodes doubles, in mode low_latency"),
    ROW("normal_us", ExpertConstants, normal_s, kMicroseconds, kPositive, kUnset,
        "startup time of mode normal"),
    ROW("normal_us_per_kib", ExpertConstants, normal_s_per_byte, kMicrosecondsPerKibibyte, kNotNegative, 0,
        "additional startup time per KiB of one token"),
    ROW("normal_network_us", ExpertConstants, normal_network_s, kMicroseconds, kNotNegative, 0,
        "additional startup time of mode normal between nodes"),
    ROW("normal_node_us", ExpertConstants, normal_node_s, kMicroseconds, kNotNegative, 0,
        "additional startup time each time that the number of nodes doubles, in mode normal"),
    ROW("token_us", ExpertConstants, token_s, kMicroseconds, kNotNegative, 0, "time of a token on a core"),
    ROW("copy_us", ExpertConstants, copy_s, kMicroseconds, kNotNegative, 0,
        "additional time of a token on a core, per rank with experts of it"),
    ROW("token_us_per_kib", ExpertConstants, token_s_per_byte, kMicrosecondsPerKibibyte, kNotNegative, 0,
        "time per KiB of a token on a core"),
    ROW("copy_us_per_kib", ExpertConstants, copy_s_per_byte, kMicrosecondsPerKibibyte, kNotNegative, 0,
        "the same per rank with experts of it"),
    ROW("node_us_per_kib", ExpertConstants, node_s_per_byte, kMicrosecondsPerKibibyte, kNotNegative, 0,
        "the same per node with experts of it, if there are several nodes"),
    ROW("normal_share", ExpertConstants, normal_share, kRatio, kFraction, 0.6,
        "share of the link between devices, in mode normal"),
    ROW("network_share", ExpertConstants, network_share, kRatio, kFraction, 0.9,
        "share of the bandwidth of a device's NICs"),
    ROW("full_nodes", ExpertConstants, full_nodes, kDevices, kCount, 1e9,
        "most nodes at which mode normal uses NICs in full; beyond, its rate falls as full_nodes / nodes"),
    ROW("spread", ExpertConstants, spread, kRatio, kSpread, kUnset, "error band, as a fraction"),
};
static_assert(is_complete(kExpertRows));
inline constexpr std::array<std::string_view, 2> kExpertTables = {"expert_dispatch", "expert_combine"};

// ---- links of a device: [host_link], [cold_start], [link] ----------------------------------------------

struct HostLinkConstants {
    double latency_s, pinned_share, pageable_byte_per_s, spread;
};
inline constexpr ConstantField<HostLinkConstants> kHostLinkRows[] = {
    ROW("latency_us", HostLinkConstants, latency_s, kMicroseconds, kNotNegative, kUnset,
        "latency of one copy between host and device"),
    ROW("pinned_share", HostLinkConstants, pinned_share, kRatio, kFraction, kUnset,
        "share of the link's bandwidth for copies from pinned memory"),
    ROW("pageable_gb_per_s", HostLinkConstants, pageable_byte_per_s, kGigabytesPerSecond, kPositive, kUnset,
        "maximum rate of copies from pageable memory, which the host copies first"),
    ROW("spread", HostLinkConstants, spread, kRatio, kSpread, kUnset,
        "error band of copy times, as a fraction"),
};
static_assert(is_complete(kHostLinkRows));

struct ColdStartConstants {
    double runtime_low_s, runtime_high_s;
};
inline constexpr ConstantField<ColdStartConstants> kColdStartRows[] = {
    ROW("runtime_low_s", ColdStartConstants, runtime_low_s, kSeconds, kNotNegative, 0,
        "minimum time from the start of a process to the first kernel, without weights"),
    ROW("runtime_high_s", ColdStartConstants, runtime_high_s, kSeconds, kNotNegative, 0,
        "maximum time from the start of a process to the first kernel, without weights"),
};
static_assert(is_complete(kColdStartRows));

// Devices of a node whose size is not stated: rented machines of accelerators have eight at the most.
inline constexpr double kNodeDevices = 8;

// Topology of the links in a device's file.
struct LinkConstants {
    double host_shared, host_direct, host_unified, host_weights, device_peers, device_reduces, device_domain;
    double network_latency_s, node_devices;
};
inline constexpr ConstantField<LinkConstants> kLinkDerived[] = {
    DERIVED(LinkConstants, host_shared, kRatio, 0, "1: the host link is PCIe, and reaches other devices"),
    DERIVED(LinkConstants, host_direct, kRatio, 0,
            "1: every device reaches every other at the full rate of its PCIe link"),
    DERIVED(LinkConstants, host_unified, kRatio, 0, "1: host and device share one memory"),
    DERIVED(LinkConstants, host_weights, kRatio, 0,
            "1: the device has no DRAM, and reads weights over the host link"),
    DERIVED(LinkConstants, device_peers, kDevices, kUnset,
            "number of devices that share the link; unset: any device can use all of it"),
    DERIVED(LinkConstants, device_reduces, kRatio, 0, "1: the switch reduces data in transit"),
    DERIVED(LinkConstants, device_domain, kDevices, kUnset,
            "number of devices that the link connects, over nodes; unset: those of one node"),
    DERIVED(LinkConstants, network_latency_s, kSeconds, kUnset, "latency of a message between nodes"),
    DERIVED(LinkConstants, node_devices, kDevices, kNodeDevices, "number of devices of one node"),
};
static_assert(is_complete(kLinkDerived));

#undef LOADED
#undef DERIVED
#undef ROW

}  // namespace infercost
