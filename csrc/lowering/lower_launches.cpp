#include "lowering/lower_launches.hpp"

#include <algorithm>
#include <iterator>

#include "core/threads.hpp"
#include "lowering/fusion.hpp"
#include "lowering/input_copies.hpp"
#include "lowering/library_precision.hpp"
#include "lowering/memory_access.hpp"
#include "lowering/operand_copies.hpp"
#include "lowering/row_hints.hpp"
#include "lowering/slow_loops.hpp"
#include "lowering/winograd.hpp"
#include "lowering/workspace.hpp"

namespace infercost {
namespace {

// A node runs a kernel if it moves bytes or computes.
bool runs(const Work& work) {
    if (!work.modelled || work.kind == WorkKind::free) return false;
    return !(work.bytes_read() == Expr(0) && work.bytes_written() == Expr(0) &&
             work.contraction_flops == Expr(0) && work.pointwise_flops == Expr(0));
}

bool is_backward(const Call& call) {
    return call.op().name == "aten.convolution_backward";
}

bool is_prepared(const Call& call) {
    return call.op().name.starts_with("engine.");
}

// A CPU library copies the operands of a convolution into its own layout. A compiler produces activations in
// a layout that the library accepts; weights are copied once, and once more if the filter becomes the outer
// axis.
Expr copied_bytes(const Analyzer& analyzer, NodeIndex node, const Work& work, Execution execution) {
    const Call call = analyzer.call(node);
    if (work.kind != WorkKind::convolution || is_backward(call) || is_prepared(call)) return {0};
    if (execution == Execution::eager) return workspace_bytes(analyzer, node);
    return work.read[Traffic::weight] * (work.dims.filter_elements > 1 ? 2 : 1);
}

// If a caller's rule counts an op, its operands determine the memory access; its algorithm is unknown.
KernelHints hints_of(const Analyzer& analyzer, NodeIndex node, const Work& work, Execution execution) {
    const Call call = analyzer.call(node);
    const bool opaque = analyzer.has_override(node);
    return {.access = memory_access(call, work),
            .winograd_tiles = opaque ? WinogradTiles{} : winograd_tiles(call, work),
            .rows = opaque ? RowHints{} : row_hints(call, work),
            .slow_loops = opaque ? SlowLoops{} : slow_loops(call, work),
            .copied_bytes = copied_bytes(analyzer, node, work, execution),
            .may_round_to_tf32 = !opaque && may_round_to_tf32(call, work),
            .prepared = is_prepared(call)};
}

void check(const Call& call, const KernelHints& hints) {
    for (const Expr* quantity :
         {&hints.access.strided_bytes, &hints.winograd_tiles.of_2, &hints.winograd_tiles.of_4,
          &hints.rows.count, &hints.rows.length, &hints.copied_bytes}) {
        call.require_nonnegative(*quantity);
    }
    for (const Expr& elements : hints.slow_loops.elements) call.require_nonnegative(elements);
}

void add_copies(const Call& call, NodeIndex node, std::vector<Launch>& launches) {
    for (const OperandCopies& copies : {product_copies(call), row_copies(call)}) {
        for (const auto& [tensor, bytes] : copies) {
            launches.push_back(
                {.nodes = {node}, .work = copy_work(call, tensor, bytes), .hints = copy_hints(call, tensor)});
        }
    }
}

// Results of the graph that launches write, not as views and not into storage that exists.
void find_kept(const Analyzer& analyzer, std::vector<Launch>& launches) {
    const Pass& pass = analyzer.pass();
    IndexedVector<TensorIndex, bool> is_kept(pass.graph.tensors().size());
    for (const TensorIndex t : pass.graph.outputs()) {
        is_kept[pass.storage.root(t)] = true;
    }
    for (Launch& launch : launches) {
        for (const NodeIndex node : launch.nodes) {
            const Call call = analyzer.call(node);
            const Node& made = pass.graph.nodes()[node];
            for (const std::int64_t t : pass.graph.node_outputs(made)) {
                if (t == kNoTensor || !is_kept[t]) continue;
                launch.hints.kept_bytes += call.bytes(static_cast<TensorIndex>(t));
            }
        }
    }
}

}  // namespace

std::vector<Launch> lower_launches(Analyzer& analyzer, Execution execution) {
    const Graph& graph = analyzer.pass().graph;
    std::vector<Launch> launches;
    for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph.nodes().size()); ++i) {
        check_interrupt();
        const Work& work = analyzer.analyze(i);
        if (!runs(work)) continue;
        const bool opaque = analyzer.has_override(i);
        analyzer.call(i).within([&] {
            if (!opaque && !is_fused(execution)) add_copies(analyzer.call(i), i, launches);
            KernelHints hints = hints_of(analyzer, i, work, execution);
            check(analyzer.call(i), hints);
            launches.push_back({.nodes = {i}, .work = work, .hints = std::move(hints), .opaque = opaque});
        });
    }
    if (!is_fused(execution)) {
        find_kept(analyzer, launches);
        return launches;
    }
    std::vector<Launch> fused = fuse(analyzer.pass(), std::move(launches));
    find_kept(analyzer, fused);
    if (!is_replayed(execution)) return fused;
    launches = input_copies(analyzer, fused);
    std::move(fused.begin(), fused.end(), std::back_inserter(launches));
    return launches;
}

}  // namespace infercost
