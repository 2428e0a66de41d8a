// The all-reduce of serving engines between the devices of one node. One-shot: every device reads the data of
// all others, (n - 1) bytes. Two-shot: it adds one of n parts and reads the other parts' sums, 2 (n - 1) / n
// bytes, with one more barrier. Both follow the sources of vLLM (csrc/custom_all_reduce.cuh) and TensorRT-LLM
// (cpp/tensorrt_llm/kernels/customAllReduceKernels.cu); of both, engines run what is faster for a size, the
// kernels up to largest_bytes and the library beyond. Devices without a link of their own use them in pairs
// alone.
#include <cmath>

#include "core/portable.hpp"
#include "hardware/collectives.hpp"

namespace infercost {
namespace {

constexpr double kMostDevices = 8;

struct EngineKernels {
    double start_s, hop_s, share, two_shot_s, two_shot_hop_s, two_shot_peer_s, two_shot_share;
};

EngineKernels kernels_of(const EngineReduceConstants& c, ExchangeKernel kernel) {
    if (kernel == ExchangeKernel::push && is_set(c.push_s)) {
        return {c.push_s,
                value_or(c.push_hop_s, 0),
                value_or(c.push_share, 0.6),
                c.push_two_s,
                value_or(c.push_two_hop_s, 0),
                value_or(c.push_two_peer_s, 0),
                value_or(c.push_two_share, 0.6)};
    }
    return {c.start_s,
            value_or(c.hop_s, 0),
            value_or(c.share, 0.6),
            c.two_shot_s,
            value_or(c.two_shot_hop_s, 0),
            value_or(c.two_shot_peer_s, 0),
            value_or(c.two_shot_share, 0.6)};
}

}  // namespace

void CollectiveModel::add_engine(const Hardware& hardware, const ExchangeGroup& group,
                                 const GroupShape& shape, const LinkPath& path) {
    const Constants& constants = hardware.constants;
    const double n = shape.each;
    const bool own = group.kernel == ExchangeKernel::engine || group.kernel == ExchangeKernel::push;
    if (!own || group.op != Collective::all_reduce || shape.nodes > 1 || n > kMostDevices) return;
    const EngineKernels kernels = kernels_of(constants.engine_all_reduce, group.kernel);
    if (!is_set(kernels.start_s) || (path.over_host && n > 2)) return;
    spread_ = value_or(constants.engine_all_reduce.spread, spread_);
    const double doublings = portable::log2(n);
    ExchangeWay way;
    way.most_bytes = value_or(constants.engine_all_reduce.largest_bytes, 8192.0 * 1024);
    way.steps_s = kernels.hop_s * doublings;
    way.start_s = kernels.start_s + way.steps_s;
    way.s_per_byte = way.link_s_per_byte = (n - 1) / (kernels.share * path.byte_per_s);
    add({CollectiveAlgorithm::one_shot, CollectiveProtocol::none}, way);
    if (n <= 2 || !is_set(kernels.two_shot_s)) return;
    way.steps_s = kernels.two_shot_hop_s * doublings;
    way.start_s = kernels.two_shot_s + way.steps_s;
    way.least_s = kernels.two_shot_peer_s * (n - 1);
    way.s_per_byte = way.link_s_per_byte = 2 * (n - 1) / n / (kernels.two_shot_share * path.byte_per_s);
    add({CollectiveAlgorithm::two_shot, CollectiveProtocol::none}, way);
}

}  // namespace infercost
