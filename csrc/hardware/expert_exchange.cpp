// The tokens of a mixture of experts, in the two modes of DeepEP (github.com/deepseek-ai/DeepEP). A message
// is the tokens of one rank, each once.
//
// low_latency: a token is sent to each of its k experts. start + expert_s E + max(bytes that stay in the node
//     over the link, bytes that leave it over the NICs, all bytes at the rate of E experts).
// normal: a token is sent once to each node and each rank that has any of its experts. A few cores send:
//     start + the longest of the cores' time, the link's (one node) and the NICs' (several nodes).
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.hpp"
#include "core/portable.hpp"
#include "hardware/collectives.hpp"

namespace infercost {
namespace {

// The mean number of parts, of `parts` equal ones, that have any of k different experts.
double parts_of_token(double k, double experts, double parts) {
    const double elsewhere = experts - std::floor(experts / parts);
    double none = 1;
    for (double i = 0; i < k; ++i) none *= std::max(0.0, elsewhere - i) / (experts - i);
    return parts * (1 - none);
}

}  // namespace

void CollectiveModel::add_experts(const Hardware& hardware, const ExchangeGroup& group,
                                  const GroupShape& shape, const LinkPath& path) {
    const std::size_t table = group.op == Collective::dispatch ? 0 : 1;
    ExpertConstants c = hardware.constants.experts[table];
    if (!is_set(c.low_latency_s) || !is_set(c.normal_s)) {
        throw InputError("'" + hardware.id + "' has no constants of [" + std::string(kExpertTables[table]) +
                         "]; set low_latency_us and normal_us in the calibration file of its "
                         "family '" +
                         hardware.family + "' or of its kind, or pass kernel 'library'");
    }
    for (const ConstantField<ExpertConstants>& row : kExpertRows) {
        c.*row.field = value_or(c.*row.field, row.otherwise);
    }
    spread_ = value_or(c.spread, spread_);
    const double n = shape.devices;
    const double nodes = shape.nodes;
    const bool far = nodes > 1;
    const double k = static_cast<double>(group.top_k);
    const double experts = static_cast<double>(group.experts);
    const double bytes = static_cast<double>(group.token_bytes);
    const double busiest = static_cast<double>(group.share) / kBalanced;
    const double doublings = portable::log2(nodes);
    // The path has a library's share of the NICs in it.
    const double nic_byte_per_s =
        far ? path.network_byte_per_s / known(hardware, &CollectiveConstants::network_share) * c.network_share
            : 0.0;
    const bool any = group.kernel == ExchangeKernel::engine;
    if (any || group.kernel == ExchangeKernel::low_latency) {
        ExchangeWay way;
        way.most_bytes = std::numeric_limits<double>::infinity();
        way.steps_s = far ? c.low_latency_network_s + c.low_latency_node_s * doublings : 0.0;
        way.start_s = c.low_latency_s + c.expert_s * experts + way.steps_s;
        const double leaving = k * (1 - 1 / nodes);
        const double staying = k * (1 - 1 / n) - leaving;
        way.link_s_per_byte = staying / (c.low_latency_share * path.byte_per_s);
        if (is_set(c.expert_byte_per_s)) {
            way.link_s_per_byte = std::max(way.link_s_per_byte, k / (c.expert_byte_per_s * experts));
        }
        way.link_s_per_byte *= busiest;
        way.s_per_byte = way.link_s_per_byte;
        if (far) way.s_per_byte = std::max(way.s_per_byte, busiest * leaving / nic_byte_per_s);
        add({CollectiveAlgorithm::low_latency, CollectiveProtocol::none}, way);
    }
    if (any || group.kernel == ExchangeKernel::normal) {
        ExchangeWay way;
        way.most_bytes = std::numeric_limits<double>::infinity();
        way.steps_s = far ? c.normal_network_s + c.normal_node_s * doublings : 0.0;
        way.start_s = c.normal_s + c.normal_s_per_byte * bytes + way.steps_s;
        const double ranks_of = parts_of_token(k, experts, n);
        const double nodes_of = far ? parts_of_token(k, experts, nodes) : 0.0;
        const double core_s =
            c.token_s + c.copy_s * ranks_of +
            bytes * (c.token_s_per_byte + c.copy_s_per_byte * ranks_of + c.node_s_per_byte * nodes_of);
        way.link_s_per_byte = core_s / static_cast<double>(group.cores) / bytes;
        if (!far) {
            way.link_s_per_byte =
                std::max(way.link_s_per_byte, ranks_of * (1 - 1 / n) / (c.normal_share * path.byte_per_s));
        }
        way.link_s_per_byte *= busiest;
        way.s_per_byte = way.link_s_per_byte;
        if (far) {
            const double crowd = std::max(1.0, nodes / c.full_nodes);
            way.s_per_byte =
                std::max(way.s_per_byte, busiest * nodes_of * (1 - 1 / nodes) * crowd / nic_byte_per_s);
        }
        add({CollectiveAlgorithm::normal, CollectiveProtocol::none}, way);
    }
}

}  // namespace infercost
