// What a compiler of tensor programs does to memory traffic: results that only the next kernel needs are
// never written. Pointwise and normalising work joins the kernel that produces its operand.
#include <numeric>

#include "plan/plan.hpp"

namespace infercost {
namespace {

bool joins_producer(WorkKind kind) { return kind == WorkKind::pointwise || kind == WorkKind::copy; }

// Whether pointwise work may run in the epilogue of this kernel.
bool takes_epilogue(WorkKind kind) {
    switch (kind) {
        case WorkKind::pointwise:
        case WorkKind::reduction:
        case WorkKind::softmax:
        case WorkKind::normalization:
        case WorkKind::copy:
        case WorkKind::fill:
        case WorkKind::gather:
        case WorkKind::pooling:
            return true;
        default:
            return false;
    }
}

// Reductions over the rows of what precedes them can read it from registers too.
bool absorbs_producer(WorkKind kind) {
    return joins_producer(kind) || kind == WorkKind::normalization || kind == WorkKind::softmax ||
           kind == WorkKind::reduction;
}

}  // namespace

std::vector<FusedLaunch> fuse(const Pass& pass, std::vector<FusedLaunch> launches) {
    const Graph& graph = pass.graph;
    const std::size_t tensors = graph.tensors().size();
    std::vector<std::int32_t> producer(tensors, -1);   // launch that writes a storage
    std::vector<std::int32_t> consumers(tensors, 0);   // launches that read it
    std::vector<bool> escapes(tensors, false);         // a result of the graph
    const auto root = [&](std::int64_t t) {
        return static_cast<std::size_t>(pass.storage.root(static_cast<TensorIndex>(t)));
    };
    for (const TensorIndex t : graph.outputs()) escapes[root(t)] = true;

    std::vector<std::size_t> group(launches.size());
    std::iota(group.begin(), group.end(), std::size_t{0});
    for (const FusedLaunch& launch : launches) {
        const Node& node = graph.nodes()[static_cast<std::size_t>(launch.nodes.front())];
        graph.for_each_input(node, [&](TensorIndex t) { ++consumers[root(t)]; });
    }

    for (std::size_t i = 0; i < launches.size(); ++i) {
        FusedLaunch& launch = launches[i];
        const NodeIndex index = launch.nodes.front();
        const Node& node = graph.nodes()[static_cast<std::size_t>(index)];
        const Call call(pass, node);
        if (absorbs_producer(launch.work.kind)) {
            graph.for_each_input(node, [&](TensorIndex t) {
                const std::int32_t from = producer[root(t)];
                if (from < 0 || consumers[root(t)] != 1 || escapes[root(t)]) return;
                FusedLaunch& target = launches[group[static_cast<std::size_t>(from)]];
                if (!takes_epilogue(target.work.kind) || group[i] != i) return;
                // The tensor between them is neither written nor read.
                const Expr bytes = call.bytes(t);
                const auto role = static_cast<std::size_t>(call.traffic(t));
                const bool whole = (target.work.written[role] - bytes).is_nonnegative() &&
                                   (launch.work.read[role] - bytes).is_nonnegative();
                if (!whole) return;
                target.work.written[role] = target.work.written[role] - bytes;
                launch.work.read[role] = launch.work.read[role] - bytes;
                for (std::size_t r = 0; r < kTrafficCount; ++r) {
                    target.work.read[r] += launch.work.read[r];
                    target.work.written[r] += launch.work.written[r];
                }
                target.work.pointwise_flops += launch.work.pointwise_flops;
                // The pass over memory takes the shape of its heaviest part.
                if (launch.work.kind != WorkKind::pointwise) target.work.kind = launch.work.kind;
                target.nodes.push_back(index);
                group[i] = group[static_cast<std::size_t>(from)];
            });
        }
        for (const std::int64_t out : graph.node_outputs(node)) {
            producer[root(out)] = static_cast<std::int32_t>(group[i]);
        }
    }

    std::vector<FusedLaunch> result;
    for (std::size_t i = 0; i < launches.size(); ++i) {
        if (group[i] == i) result.push_back(std::move(launches[i]));
    }
    return result;
}

}  // namespace infercost
