// What a compiler of tensor programs does to memory traffic: results that only the next kernel needs are
// never written. Pointwise and normalising work joins the kernel that produces its operand.
#include <numeric>

#include "plan/plan.hpp"

namespace infercost {
namespace {

bool joins_producer(WorkKind kind) {
    return kind == WorkKind::pointwise || kind == WorkKind::copy;
}

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

// For each operand of each launch: how many launches read the same value. In-place ops give a storage a new
// value, so `relu_` and what follows it read two different ones.
std::vector<std::vector<std::int32_t>> count_readers(const Pass& pass,
                                                     const std::vector<FusedLaunch>& launches) {
    const Graph& graph = pass.graph;
    const auto root = [&](std::int64_t t) {
        return static_cast<std::size_t>(pass.storage.root(static_cast<TensorIndex>(t)));
    };
    std::vector<std::int32_t> value_of(graph.tensors().size(),
                                       -1);  // of a storage, numbered as they are written
    std::vector<std::int32_t> readers;       // of a value
    const auto value = [&](std::size_t storage) {
        if (value_of[storage] < 0) {
            value_of[storage] = static_cast<std::int32_t>(readers.size());
            readers.push_back(0);
        }
        return static_cast<std::size_t>(value_of[storage]);
    };
    std::vector<std::vector<std::size_t>> read(launches.size());
    for (std::size_t i = 0; i < launches.size(); ++i) {
        const Node& node = graph.nodes()[static_cast<std::size_t>(launches[i].nodes.front())];
        graph.for_each_input(node, [&](TensorIndex t) {
            read[i].push_back(value(root(t)));
            ++readers[read[i].back()];
        });
        for (const std::int64_t out : graph.node_outputs(node)) value_of[root(out)] = -1;
    }
    std::vector<std::vector<std::int32_t>> result(launches.size());
    for (std::size_t i = 0; i < launches.size(); ++i) {
        for (const std::size_t v : read[i]) result[i].push_back(readers[v]);
    }
    return result;
}

}  // namespace

std::vector<FusedLaunch> fuse(const Pass& pass, std::vector<FusedLaunch> launches) {
    const Graph& graph = pass.graph;
    const std::size_t tensors = graph.tensors().size();
    std::vector<std::int32_t> producer(tensors, -1);  // group that last wrote a storage
    std::vector<bool> escapes(tensors, false);        // a result of the graph
    const auto root = [&](std::int64_t t) {
        return static_cast<std::size_t>(pass.storage.root(static_cast<TensorIndex>(t)));
    };
    for (const TensorIndex t : graph.outputs()) escapes[root(t)] = true;

    std::vector<std::size_t> group(launches.size());
    std::iota(group.begin(), group.end(), std::size_t{0});
    const std::vector<std::vector<std::int32_t>> readers = count_readers(pass, launches);

    for (std::size_t i = 0; i < launches.size(); ++i) {
        FusedLaunch& launch = launches[i];
        const NodeIndex index = launch.nodes.front();
        const Node& node = graph.nodes()[static_cast<std::size_t>(index)];
        const Call call(pass, node);
        if (absorbs_producer(launch.work.kind)) {
            std::size_t operand = 0;
            graph.for_each_input(node, [&](TensorIndex t) {
                const std::int32_t others = readers[i][operand++];
                const std::int32_t from = producer[root(t)];
                const bool last_value = call.in_place() && root(call.output()) == root(t);
                if (from < 0 || others != 1 || (escapes[root(t)] && !last_value)) return;
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
                for (std::size_t l = 0; l < kLoopCount; ++l) target.work.loops[l] += launch.work.loops[l];
                // A caller's own rule may give a pointwise op multiply-accumulates.
                target.work.contraction_flops += launch.work.contraction_flops;
                target.work.causal_flops += launch.work.causal_flops;
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
