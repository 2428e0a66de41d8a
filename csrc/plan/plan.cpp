#include "plan/plan.hpp"

#include <set>
#include <unordered_map>

namespace infercost {
namespace {

// A node runs a kernel when it moves or computes something.
bool runs(const Work& work) {
    if (!work.modelled || work.kind == WorkKind::free) return false;
    return !(work.bytes_read() == Expr(0) && work.bytes_written() == Expr(0) &&
             work.contraction_flops == Expr(0) && work.pointwise_flops == Expr(0));
}

}  // namespace

Plan make_plan(const std::shared_ptr<const Graph>& graph, const Sizes& sizes, const Precision& precision,
               Execution execution, const Overrides& overrides) {
    Plan plan;
    plan.graph = graph;
    plan.precision = precision;
    plan.execution = execution;
    plan.bound = sizes;

    Analyzer analyzer(graph, sizes, precision, &overrides);
    std::vector<FusedLaunch> launches;
    Work work;
    for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph->nodes().size()); ++i) {
        analyzer.analyze(i, work);
        if (runs(work)) launches.push_back({{i}, work});
    }
    if (execution == Execution::compiled) launches = fuse(analyzer.pass(), std::move(launches));

    plan.kernel_of_node.assign(graph->nodes().size(), -1);
    plan.launch_count = static_cast<std::int64_t>(launches.size());
    std::unordered_multimap<std::size_t, std::int32_t> known;
    for (FusedLaunch& launch : launches) {
        const std::size_t hash = launch.work.hash();
        std::int32_t index = -1;
        const auto [first, last] = known.equal_range(hash);
        for (auto it = first; it != last; ++it) {
            const Kernel& kernel = plan.kernels[static_cast<std::size_t>(it->second)];
            if (kernel.work == launch.work) index = it->second;
        }
        if (index < 0) {
            index = static_cast<std::int32_t>(plan.kernels.size());
            known.emplace(hash, index);
            const Node& lead = graph->nodes()[static_cast<std::size_t>(launch.nodes.front())];
            plan.kernels.push_back({graph->ops()[lead.op].name, launch.work, {}});
        }
        for (const NodeIndex node : launch.nodes) plan.kernel_of_node[static_cast<std::size_t>(node)] = index;
        plan.kernels[static_cast<std::size_t>(index)].launches.push_back(std::move(launch.nodes));
    }

    // A compiled run frees what it has used for the last time; only eager frames hold on to it.
    const bool planned = execution == Execution::compiled && !graph->held_until().empty();
    const Counts counts(planned ? graph->without_lifetimes() : graph, sizes, precision, overrides);
    plan.resident_bytes = counts.total().parameter_bytes + counts.total().buffer_bytes;
    plan.peak_memory_bytes = counts.total().peak_memory_bytes;

    std::set<std::string> names;
    const auto collect = [&](const Expr& e) {
        for (const std::string& name : e.names()) names.insert(name);
    };
    for (const Kernel& kernel : plan.kernels) {
        const Work& w = kernel.work;
        for (const Expr* e : {&w.contraction_flops, &w.pointwise_flops, &w.dims.batch, &w.dims.m, &w.dims.n,
                              &w.dims.k, &w.dims.n_value}) {
            collect(*e);
        }
        collect(w.bytes_read());
        collect(w.bytes_written());
    }
    collect(plan.peak_memory_bytes);
    plan.names.assign(names.begin(), names.end());
    return plan;
}

}  // namespace infercost
