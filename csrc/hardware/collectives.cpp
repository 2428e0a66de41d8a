#include "hardware/collectives.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace infercost {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kLeastSeconds = 1e-300;  // keeps 0 / 0 at 0

struct Moves {
    double rounds;  // how often the bytes travel around the ring
    bool parts;     // each device holds one of `devices` parts, and need not send its own
    bool direct;    // devices send to each other directly instead of around a ring
    bool pair;      // two devices take part, whatever the number of devices
};

Moves moves_of(Collective op) {
    switch (op) {
        case Collective::all_reduce:
            return {2, true, false, false};
        case Collective::all_gather:
        case Collective::reduce_scatter:
            return {1, true, false, false};
        case Collective::alltoall:
            return {1, true, true, false};
        case Collective::broadcast:
            return {1, false, false, false};
        case Collective::send:
            return {1, false, false, true};
    }
    return {};
}

// Return a constant of [collectives]; throws if the machine's family and kind set none.
double known(const Hardware& hardware, double CollectiveConstants::* field) {
    const double value = hardware.constants.collectives.*field;
    if (is_set(value)) return value;
    std::string key;
    for (const ConstantField<CollectiveConstants>& row : kCollectiveRows) {
        if (row.field == field) key = row.key;
    }
    throw std::invalid_argument("'" + hardware.id + "' has no constant collectives." + key +
                                ", which the time of a collective needs; set it in table [collectives] of "
                                "the calibration file of its "
                                "family '" +
                                hardware.family + "' or of its kind");
}

struct Path {
    bool over_host;
    double byte_per_s;  // of one device while all others send
};

Path path_between(const Hardware& hardware, double devices) {
    const LinkConstants& wiring = hardware.constants.link;
    const auto device = hardware.links_byte_per_s.find("device");
    const auto host = hardware.links_byte_per_s.find("host");
    const bool linked = device != hardware.links_byte_per_s.end();
    const bool in_pairs = wiring.device_peers == 1;  // more than two devices are not all connected
    if (linked && !(in_pairs && devices > 2)) {
        const double share =
            is_set(wiring.device_peers) ? std::min(1.0, (devices - 1) / wiring.device_peers) : 1.0;
        return {false, device->second * share};
    }
    if (host == hardware.links_byte_per_s.end() || !(wiring.host_shared > 0)) {
        throw std::invalid_argument(
            "'" + hardware.id +
            "' has no link to other devices; expected [link.device], or [link.host] with a "
            "bandwidth and a kind that starts with 'PCIe', in its file");
    }
    const double flows =
        std::max(2.0, devices / (linked ? 2 : 1));  // traffic within a pair bypasses the host
    return {true, host->second * std::pow(2 / flows, known(hardware, &CollectiveConstants::host_sharing))};
}

}  // namespace

Collective parse_collective(std::string_view name) {
    std::string names;
    for (std::size_t i = 0; i < kCollectives.size(); ++i) {
        if (kCollectives[i] == name) return static_cast<Collective>(i);
        names += (i ? ", " : "") + std::string(kCollectives[i]);
    }
    throw std::invalid_argument("unknown collective '" + std::string(name) + "'; expected one of " + names);
}

CollectiveModel::CollectiveModel(const Hardware& hardware, Collective op, std::int64_t devices, DType dtype) {
    using C = CollectiveConstants;
    const auto constant = [&](double C::* field) { return known(hardware, field); };
    if (devices < 1) {
        throw std::invalid_argument("devices is " + std::to_string(devices) +
                                    "; expected a whole number, 1 or more");
    }
    const Moves moves = moves_of(op);
    const double all = static_cast<double>(devices);
    bus_factor_ = moves.rounds * (moves.parts ? (all - 1) / all : 1.0);
    devices_ = moves.pair ? 2 : all;
    if (devices == 1) return;

    const double n = devices_;
    const Path path = path_between(hardware, n);
    link_ = path.over_host ? "host" : "device";
    spread_ = constant(path.over_host ? &C::host_spread : &C::spread);
    if (moves.parts) own_copy_ = constant(&C::own_copy);
    const double steps = moves.direct ? 1 + constant(&C::alltoall_step) * (n - 1) : moves.rounds * (n - 1);
    const double base_s =
        constant(&C::base_s) + constant(path.over_host ? &C::host_hop_s : &C::hop_s) * steps;
    const CollectiveAlgorithm usual =
        moves.direct || moves.pair ? CollectiveAlgorithm::direct : CollectiveAlgorithm::ring;
    using enum CollectiveProtocol;
    if (path.over_host) {
        // LL sends four bytes of flags with every four bytes of data; LL128 needs atomic writes of 128 bytes.
        const double rate = path.byte_per_s * constant(&C::host_share);
        ways_[0] = {usual, ll, base_s, rate / 2};
        ways_[1] = {usual, ll128, kNever, kNever};
        ways_[2] = {usual, simple, base_s + constant(&C::simple_s), rate};
    } else {
        ways_[0] = {usual, ll, base_s, path.byte_per_s * constant(&C::ll_share)};
        ways_[1] = {usual, ll128, base_s + constant(&C::ll128_s),
                    path.byte_per_s * constant(&C::ll128_share)};
        ways_[2] = {usual, simple, base_s + constant(&C::simple_s),
                    path.byte_per_s * constant(&C::simple_share)};
    }
    const bool switched = !path.over_host && hardware.constants.link.device_reduces > 0 &&
                          op == Collective::all_reduce && is_floating(dtype) && bits_of(dtype) >= 16 &&
                          n >= constant(&C::switch_devices);
    ways_[3] = {CollectiveAlgorithm::in_switch, simple, kNever, kNever};
    if (switched) {
        ways_[3].start_s = constant(&C::base_s) + constant(&C::switch_s);
        ways_[3].byte_per_s = constant(&C::switch_share) * path.byte_per_s;
    }
}

CollectiveTime CollectiveModel::at(double bytes) const {
    CollectiveTime best;
    if (link_ == "none") return best;
    double wire_bytes = bytes * bus_factor_;
    if (own_copy_ > 0) wire_bytes += own_copy_ * bytes / devices_;
    best.latency_s = kNever;
    for (const Way& way : ways_) {
        const bool in_switch = way.algorithm == CollectiveAlgorithm::in_switch;
        const double wire_s = (in_switch ? 2 * bytes : wire_bytes) / way.byte_per_s;
        if (!(way.start_s + wire_s < best.latency_s)) continue;
        best.latency_s = way.start_s + wire_s;
        best.algorithm = way.algorithm;
        best.protocol = way.protocol;
        best.bound = wire_s > way.start_s ? CollectiveBound::link : CollectiveBound::latency;
    }
    best.high_s = best.latency_s + best.latency_s * spread_;
    best.low_s = best.latency_s * (best.latency_s / (best.high_s + kLeastSeconds));
    best.bus_byte_per_s = best.latency_s > 0 ? bytes * bus_factor_ / best.latency_s : 0.0;
    return best;
}

}  // namespace infercost
