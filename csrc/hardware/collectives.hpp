// Collective operations between the devices of one node: startup, steps, and bytes over the slowest link.
//
// A call takes base + step x steps + bytes / rate. The library has several protocols, with a late start and a
// high rate or an early start and a low rate, and uses the fastest:
//
//     LL      base + hop steps + x / (ll_share link)
//     LL128   base + hop steps + ll128 + x / (ll128_share link)         not through the host
//     Simple  base + hop steps + simple + x / (simple_share link)
//     switch  base + switch + 2 bytes / (switch_share link)             all-reduce, if the switch reduces
//
// x is the number of bytes that leave one device, plus the copy of its own part, own_copy bytes / devices. A
// ring of n devices takes n - 1 steps (an all-reduce twice as many); an all-to-all sends to all peers at once
// and takes 1 + alltoall_step (n - 1). The form is the alpha-beta model of NCCL's tuner
// (src/graph/tuning.cc). Startups, steps and shares are CollectiveConstants, fitted to measured calls; links
// are those of data sheets.
//
// Of a link that is divided among `peers`, n devices use (n - 1) / peers. Devices without their own link, and
// more than two devices that are connected in pairs, send through the host and share it. There, Simple
// reaches host_share link (2 / flows)^host_sharing, where `flows` is the number of devices that send at once,
// and LL reaches half of that, because half of its bytes are flags.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "hardware/hardware.hpp"

namespace infercost {

enum class Collective : std::uint8_t { all_reduce, all_gather, reduce_scatter, alltoall, broadcast, send };
inline constexpr std::array<std::string_view, 6> kCollectives = {"all_reduce", "all_gather", "reduce_scatter",
                                                                 "alltoall",   "broadcast",  "send"};
Collective parse_collective(std::string_view name);

// How a call moves its bytes, and the term that bounds it.
enum class CollectiveAlgorithm : std::uint8_t { none, ring, direct, in_switch };
inline constexpr std::array<std::string_view, 4> kCollectiveAlgorithms = {"none", "ring", "direct", "switch"};
enum class CollectiveProtocol : std::uint8_t { none, ll, ll128, simple };
inline constexpr std::array<std::string_view, 4> kCollectiveProtocols = {"none", "LL", "LL128", "Simple"};
enum class CollectiveBound : std::uint8_t { latency, link };
inline constexpr std::array<std::string_view, 2> kCollectiveBounds = {"latency", "link"};

struct CollectiveTime {
    double latency_s = 0;
    double low_s = 0;  // the band is meant to hold four of five measurements
    double high_s = 0;
    double bus_byte_per_s = 0;  // of each device's link, as in nccl-tests
    CollectiveAlgorithm algorithm = CollectiveAlgorithm::none;
    CollectiveProtocol protocol = CollectiveProtocol::none;
    CollectiveBound bound = CollectiveBound::latency;
};

// One operation between some devices, with all facts that do not depend on the message size.
class CollectiveModel {
  public:
    // `dtype` is that of the message. A switch reduces floats of at least 16 bits. Throws
    // std::invalid_argument for a machine without a link to other devices, or without a constant that the
    // operation needs.
    CollectiveModel(const Hardware& hardware, Collective op, std::int64_t devices, DType dtype);

    // `bytes` is the size of the whole message.
    CollectiveTime at(double bytes) const;
    // The link of the bytes: device, host, or none for a single device.
    std::string_view link() const { return link_; }

  private:
    struct Way {  // a protocol, or reduction in the switch
        CollectiveAlgorithm algorithm;
        CollectiveProtocol protocol;
        double start_s;  // infinite if it is not used
        double byte_per_s;
    };

    std::string_view link_ = "none";
    double devices_;
    double spread_ = 0;
    double bus_factor_;    // share of the message's bytes that each device's link carries
    double own_copy_ = 0;  // 0 if devices have no parts
    std::array<Way, 4> ways_{};
};

}  // namespace infercost
