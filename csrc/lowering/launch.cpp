#include "lowering/launch.hpp"

#include "lowering/fusion.hpp"
#include "lowering/operand_copies.hpp"
#include "lowering/workspace.hpp"

namespace infercost {
namespace {

// A node runs a kernel when it moves or computes something.
bool runs(const Work& work) {
    if (!work.modelled || work.kind == WorkKind::free) return false;
    return !(work.bytes_read() == Expr(0) && work.bytes_written() == Expr(0) &&
             work.contraction_flops == Expr(0) && work.pointwise_flops == Expr(0));
}

// A library copies the operands of a convolution into the layout that it computes in. A compiler hands
// activations over in a layout that it takes as it is; weights are copied still, once more by the compiler
// where the filter has to become the outer axis.
Expr copied_bytes(const Analyzer& analyzer, const Workspaces& workspaces, NodeIndex node, const Work& work,
                  Execution execution) {
    if (execution == Execution::eager) return workspaces.bytes(analyzer, node);
    return work.read[static_cast<std::size_t>(Traffic::weight)] * (work.dims.filter_elements > 1 ? 2 : 1);
}

void add_copies(const Call& call, NodeIndex node, std::vector<Launch>& launches) {
    for (const OperandCopies& copies : {product_copies(call), row_copies(call)}) {
        for (const auto& [tensor, bytes] : copies) {
            launches.push_back(
                {.nodes = {node}, .work = copy_work(call, tensor, bytes), .hints = copy_hints(call, tensor)});
        }
    }
}

}  // namespace

std::vector<Launch> lower_launches(Analyzer& analyzer, Execution execution) {
    const Graph& graph = analyzer.pass().graph;
    const Workspaces workspaces(graph);
    std::vector<Launch> launches;
    Work work;
    for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph.nodes().size()); ++i) {
        analyzer.analyze(i, work);
        if (!runs(work)) continue;
        const Call call = analyzer.call(i);
        const bool opaque = analyzer.has_override(i);
        if (!opaque && execution != Execution::compiled) add_copies(call, i, launches);
        KernelHints hints = opaque ? opaque_hints(call, work) : kernel_hints(call, work);
        if (work.kind == WorkKind::convolution) {
            hints.copied_bytes = copied_bytes(analyzer, workspaces, i, work, execution);
        }
        launches.push_back(
            {.nodes = {i}, .work = std::move(work), .hints = std::move(hints), .opaque = opaque});
    }
    if (execution == Execution::compiled) return fuse(analyzer.pass(), std::move(launches));
    return launches;
}

}  // namespace infercost
