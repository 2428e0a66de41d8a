#include "hardware/collectives.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.hpp"
#include "core/portable.hpp"

namespace infercost {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();
constexpr double kRing = 8;  // devices beyond which steps grow with the logarithm

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
        case Collective::dispatch:
        case Collective::combine:
            return {1, true, true, false};
        case Collective::broadcast:
            return {1, false, false, false};
        case Collective::send:
            return {1, false, false, true};
        case Collective::count_:
            break;
    }
    return {};
}

double ring_steps(double devices) {
    return devices <= kRing ? devices - 1 : kRing - 1 + portable::log2(devices / kRing);
}

// Bytes of a message that one device exchanges over its NICs, and steps between nodes.
struct FarMoves {
    double share = 0;
    double steps = 0;
};
FarMoves far_moves_of(const Moves& moves, const GroupShape& shape) {
    if (shape.nodes == 1) return {};
    const double others = (shape.nodes - 1) / shape.nodes;
    const double doublings = portable::log2(shape.nodes);
    if (moves.pair) return {1, 1};
    if (moves.direct) return {others, doublings};  // all bytes but those to devices of the same node
    if (!moves.parts) return {1 / shape.each, doublings};
    return {moves.rounds * others / shape.each, moves.rounds * doublings};
}

std::string lacking(const Hardware& hardware, const std::string& what) {
    return "'" + hardware.id + "' has no " + what;
}

}  // namespace

double known(const Hardware& hardware, double CollectiveConstants::* field) {
    const double value = hardware.constants.collectives.*field;
    if (is_set(value)) return value;
    std::string key;
    for (const ConstantField<CollectiveConstants>& row : kCollectiveRows) {
        if (row.field == field) key = row.key;
    }
    throw InputError(lacking(hardware, "constant collectives." + key) +
                     ", which the time of a collective needs; set it in table [collectives] of "
                     "the calibration file of its "
                     "family '" +
                     hardware.family + "' or of its kind");
}

double devices_of_node(const Hardware& hardware) {
    const LinkConstants& wiring = hardware.constants.link;
    return value_or(wiring.device_domain, value_or(wiring.node_devices, kNodeDevices));
}

std::int64_t nodes_of(const Hardware& hardware, std::int64_t devices, std::int64_t least) {
    const double needed = std::ceil(static_cast<double>(devices) / devices_of_node(hardware));
    return std::max(least, static_cast<std::int64_t>(needed));
}

GroupShape shape_of(const Hardware& hardware, const ExchangeGroup& group) {
    check(group);
    GroupShape shape;
    shape.devices = static_cast<double>(group.devices);
    const double needed = std::ceil(shape.devices / devices_of_node(hardware));
    shape.nodes = is_set(hardware.constants.link.device_domain)
                      ? needed
                      : std::max(static_cast<double>(group.nodes), needed);
    shape.each = std::ceil(shape.devices / shape.nodes);
    return shape;
}

LinkPath path_between(const Hardware& hardware, const GroupShape& shape) {
    const LinkConstants& wiring = hardware.constants.link;
    const auto rate_of = [&](const char* link) {
        const auto found = hardware.links_byte_per_s.find(link);
        return found == hardware.links_byte_per_s.end() ? 0.0 : found->second;
    };
    LinkPath path;
    if (shape.nodes > 1) {
        const double share = known(hardware, &CollectiveConstants::network_share);
        path.network_byte_per_s = rate_of("network") * share;
        if (!(path.network_byte_per_s > 0)) {
            throw InputError(lacking(hardware, "link to other nodes") +
                             "; expected [link.network] with nics_per_device and nic_gb_per_s in "
                             "its file, or a group of one node, which has devices_per_node devices");
        }
        path.network_step_s = is_set(wiring.network_latency_s)
                                  ? wiring.network_latency_s
                                  : known(hardware, &CollectiveConstants::network_hop_s);
    }
    const double devices = shape.each;
    if (devices <= 1) {
        path.byte_per_s = kUnlimited;
        return path;
    }
    const double device = rate_of("device");
    const double host = rate_of("host");
    const bool in_pairs = wiring.device_peers == 1;  // more than two devices are not all connected
    if (device > 0 && !(in_pairs && devices > 2)) {
        const double share =
            is_set(wiring.device_peers) ? std::min(1.0, (devices - 1) / wiring.device_peers) : 1.0;
        path.byte_per_s = device * share;
        return path;
    }
    if (!(host > 0) || !(wiring.host_shared > 0)) {
        throw InputError(lacking(hardware, "link to other devices") +
                         "; expected [link.device], or [link.host] with a "
                         "bandwidth and a kind that starts with 'PCIe', in its file");
    }
    path.over_host = true;
    path.byte_per_s = host;
    if (wiring.host_direct > 0) return path;
    const double flows =
        std::max(2.0, devices / (device > 0 ? 2 : 1));  // traffic within a pair bypasses the host
    path.byte_per_s *= portable::pow(2 / flows, known(hardware, &CollectiveConstants::host_sharing));
    if (devices > 2) path.byte_per_s *= value_or(hardware.constants.collectives.host_through, 1);
    return path;
}

CollectiveModel::CollectiveModel(const Hardware& hardware, const ExchangeGroup& group, DType dtype,
                                 Execution execution) {
    const GroupShape shape = shape_of(hardware, group);
    const Moves moves = moves_of(group.op);
    const double copies = exchanges_tokens(group.op) ? static_cast<double>(group.top_k) : 1.0;
    bus_factor_ = copies * moves.rounds * (moves.parts ? (shape.devices - 1) / shape.devices : 1.0);
    if (group.devices == 1) return;

    GroupShape taking_part = shape;
    if (moves.pair) {
        taking_part.devices = 2;
        taking_part.nodes = std::min(shape.nodes, 2.0);
        taking_part.each = taking_part.nodes > 1 ? 1 : 2;
    }
    const LinkPath path = path_between(hardware, taking_part);
    link_ = taking_part.nodes > 1 ? "network" : path.over_host ? "host" : "device";
    using C = CollectiveConstants;
    spread_ = known(hardware, taking_part.nodes > 1 ? &C::network_spread
                              : path.over_host      ? &C::host_spread
                                                    : &C::spread);
    if (exchanges_tokens(group.op) && group.kernel != ExchangeKernel::library) {
        add_experts(hardware, group, taking_part, path);
    } else {
        add_library(hardware, group, taking_part, path, dtype);
        add_engine(hardware, group, taking_part, path);
    }
    const bool own = group.kernel != ExchangeKernel::library && group.op == Collective::all_reduce;
    if (execution != Execution::eager || !own) return;
    // An engine's kernel reads a buffer that its peers know, and the library of an engine must leave the
    // operand as it is.
    costs_.copy_s = hardware.overheads.launch_gap_s;
    costs_.copy_s_per_byte = 2 / hardware.stream_byte_per_s();
    costs_.host_s = std::max(0.0, value_or(hardware.constants.engine_all_reduce.host_s, 0) - kEngineLaunchS);
}

void CollectiveModel::add(const WayNames& names, const ExchangeWay& way) {
    names_[static_cast<std::size_t>(costs_.count)] = names;
    costs_.ways[costs_.count++] = way;
}

void CollectiveModel::add_library(const Hardware& hardware, const ExchangeGroup& group,
                                  const GroupShape& shape, const LinkPath& path, DType dtype) {
    using C = CollectiveConstants;
    using enum CollectiveProtocol;
    const auto constant = [&](double C::* field) { return known(hardware, field); };
    const Moves moves = moves_of(group.op);
    const double n = shape.each;
    const double copies = exchanges_tokens(group.op) ? static_cast<double>(group.top_k) : 1.0;
    const double busiest = moves.direct ? static_cast<double>(group.share) / kBalanced : 1.0;
    // Of a direct exchange, bytes for other nodes do not pass the link.
    const double parts = moves.direct ? shape.devices : n;
    double near = moves.rounds * (moves.parts ? (n - 1) / parts : 1.0);
    if (moves.parts) near += constant(&C::own_copy) / parts;
    if (moves.pair && shape.nodes > 1) near = 0;
    near *= copies * busiest;
    const FarMoves far = far_moves_of(moves, shape);
    const double far_s_per_byte =
        shape.nodes > 1 ? far.share * copies * busiest / path.network_byte_per_s : 0.0;
    const double steps =
        n <= 1 ? 0.0
               : (moves.direct ? 1 + constant(&C::alltoall_step) * (n - 1) : moves.rounds * ring_steps(n));
    const double network_s = far.steps * path.network_step_s;
    const double hop_s = constant(path.over_host ? &C::host_hop_s : &C::hop_s);
    const double base_s = constant(&C::base_s);
    const CollectiveAlgorithm usual =
        moves.direct || moves.pair ? CollectiveAlgorithm::direct : CollectiveAlgorithm::ring;
    const auto add_way = [&](const WayNames& names, double more_s, double step_s, double link_s_per_byte) {
        ExchangeWay way;
        way.steps_s = step_s + network_s;
        way.start_s = base_s + way.steps_s + more_s;
        way.link_s_per_byte = link_s_per_byte;
        way.s_per_byte = std::max(link_s_per_byte, far_s_per_byte);
        way.most_bytes = kUnlimited;
        add(names, way);
    };
    const double steps_s = hop_s * steps;
    if (path.over_host) {
        // LL sends four bytes of flags with every four bytes of data; LL128 needs atomic writes of 128 bytes.
        const double rate = path.byte_per_s * constant(&C::host_share);
        add_way({usual, ll}, 0, steps_s, near / (rate / 2));
        add_way({usual, simple}, constant(&C::simple_s), steps_s, near / rate);
    } else {
        const double rate = path.byte_per_s;
        add_way({usual, ll}, 0, steps_s, near / (rate * constant(&C::ll_share)));
        add_way({usual, ll128}, constant(&C::ll128_s), steps_s, near / (rate * constant(&C::ll128_share)));
        add_way({usual, simple}, constant(&C::simple_s), steps_s, near / (rate * constant(&C::simple_share)));
    }
    const bool switched = !path.over_host && hardware.constants.link.device_reduces > 0 &&
                          group.op == Collective::all_reduce && is_floating(dtype) && bits_of(dtype) >= 16 &&
                          n >= constant(&C::switch_devices);
    if (switched) {
        add_way({CollectiveAlgorithm::in_switch, simple}, constant(&C::switch_s), 0,
                2 / (constant(&C::switch_share) * path.byte_per_s));
    }
}

}  // namespace infercost
