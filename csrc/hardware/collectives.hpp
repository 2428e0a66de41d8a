// Collective operations between the devices of one node: start, steps, and bytes over the slowest link.
//
// A call takes base + step x steps + bytes / rate. Its library has protocols that begin late and run fast or
// begin early and run slowly, and takes the cheapest:
//
//     LL      base + hop steps + x / (ll_share link)
//     LL128   base + hop steps + ll128 + x / (ll128_share link)         not through the host
//     Simple  base + hop steps + simple + x / (simple_share link)
//     switch  base + switch + 2 bytes / (switch_share link)             all-reduce, where the switch adds up
//
// with x the bytes that leave one device and the copy of its own part, own_copy bytes / devices. A ring of n
// devices takes n - 1 steps (an all-reduce twice as many); an all-to-all sends to all peers at once and takes
// 1 + alltoall_step (n - 1). The form is the alpha-beta model of NCCL's tuner (src/graph/tuning.cc); starts,
// steps and shares are CollectiveConstants, fitted to measured calls; links are those of data sheets.
//
// Of a link that divides among `peers`, n devices use (n - 1) / peers. Devices without a link of their own,
// and more than two of those that are joined in pairs, send through the host and share it: there Simple has
// host_share link (2 / flows)^host_sharing, where `flows` is the number of devices that send at once, and LL
// half of that, as half of its bytes are flags.
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

// How a call moves its bytes, and what binds it.
enum class CollectiveAlgorithm : std::uint8_t { none, ring, direct, in_switch };
inline constexpr std::array<std::string_view, 4> kCollectiveAlgorithms = {"none", "ring", "direct", "switch"};
enum class CollectiveProtocol : std::uint8_t { none, ll, ll128, simple };
inline constexpr std::array<std::string_view, 4> kCollectiveProtocols = {"none", "LL", "LL128", "Simple"};
enum class CollectiveBound : std::uint8_t { latency, link };
inline constexpr std::array<std::string_view, 2> kCollectiveBounds = {"latency", "link"};

struct CollectiveTime {
    double latency_s = 0;
    double low_s = 0;  // of the band that four of five measurements lie in
    double high_s = 0;
    double bus_byte_per_s = 0;  // of each device's link, as nccl-tests counts it
    CollectiveAlgorithm algorithm = CollectiveAlgorithm::none;
    CollectiveProtocol protocol = CollectiveProtocol::none;
    CollectiveBound bound = CollectiveBound::latency;
};

// One operation between some devices: what no size changes.
class CollectiveModel {
  public:
    // `dtype`: of the message. A switch adds up floats of 16 bits and more. Throws std::invalid_argument for
    // a machine without a link to others, or without a constant that the operation needs.
    CollectiveModel(const Hardware& hardware, Collective op, std::int64_t devices, DType dtype);

    // `bytes`: of the whole message.
    CollectiveTime at(double bytes) const;
    // The link that the bytes take: device, host, or none for a single device.
    std::string_view link() const { return link_; }

  private:
    struct Way {  // a protocol, or the switch
        CollectiveAlgorithm algorithm;
        CollectiveProtocol protocol;
        double start_s;  // infinite: it is not used
        double byte_per_s;
    };

    std::string_view link_ = "none";
    double devices_;
    double spread_ = 0;
    double bus_factor_;    // of a message's bytes, those that each device's link carries
    double own_copy_ = 0;  // 0: devices have no parts
    std::array<Way, 4> ways_{};
};

}  // namespace infercost
