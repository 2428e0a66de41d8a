#include "plan/plan.hpp"

#include <algorithm>
#include <unordered_map>

#include "ops/operand_copies.hpp"
#include "plan/access.hpp"

namespace infercost {
namespace {

// A node runs a kernel when it moves or computes something.
bool runs(const Work& work) {
    if (!work.modelled || work.kind == WorkKind::free) return false;
    return !(work.bytes_read() == Expr(0) && work.bytes_written() == Expr(0) &&
             work.contraction_flops == Expr(0) && work.pointwise_flops == Expr(0));
}

// What a kernel is called: by the op that leads it, unless it only brings that op's operands into order.
std::string name_of(const Work& work, const std::string& op) {
    const bool product = op == "aten.linear" || op == "aten.matmul" || op.find("conv") != std::string::npos;
    return work.kind == WorkKind::copy && product ? op + ".operand" : op;
}

// A library copies what it is given into the layout that it computes in. A compiler hands activations over in
// a layout that it takes as it is; weights are copied still, once by the compiler where their window has to
// become the outer axis.
Expr copied(const Analyzer& analyzer, NodeIndex node, const Work& work, Execution execution) {
    if (execution == Execution::eager) return analyzer.workspace(node);
    return work.read[static_cast<std::size_t>(Traffic::weight)] * (work.dims.window > 1 ? 2 : 1);
}

// Whether a compiler leaves this launch to a library. Loops that follow each other it writes into one
// function, whose threads stay together.
bool is_call(const FusedLaunch& launch) {
    switch (launch.work.kind) {
        case WorkKind::gemm:
        case WorkKind::convolution:
        case WorkKind::attention:
        case WorkKind::sort:
        case WorkKind::scan:
        case WorkKind::library:
        case WorkKind::unknown:
            return true;
        default:
            return launch.opaque;
    }
}

KernelTerms terms_of(const Kernel& kernel, Tape& tape) {
    const Work& work = kernel.work;
    const Expr weights = work.read[static_cast<std::size_t>(Traffic::weight)];
    KernelTerms terms{work.kind,
                      work.dtype,
                      bits_of(work.dtype),
                      work.dims.weight_bits,
                      work.dims.semi_structured,
                      static_cast<double>(work.dims.window),
                      static_cast<double>(kernel.launches.size()),
                      static_cast<double>(kernel.views) / static_cast<double>(kernel.launches.size()),
                      static_cast<double>(kernel.opened) / static_cast<double>(kernel.launches.size()),
                      tape.add(work.contraction_flops),
                      tape.add(work.pointwise_flops),
                      tape.add(weights),
                      tape.add(work.bytes_read() - weights + work.bytes_written()),
                      tape.add(work.bytes_written()),
                      tape.add(work.dims.batch),
                      tape.add(work.dims.m),
                      tape.add(work.dims.n),
                      tape.add(work.dims.k),
                      tape.add(work.dims.n_value),
                      tape.add(work.causal_flops),
                      tape.add(work.dims.shared),
                      tape.add(work.dims.squares_2),
                      tape.add(work.dims.squares_4),
                      tape.add(work.dims.images),
                      tape.add(work.strided_bytes),
                      work.channels_first,
                      work.turned,
                      work.broadcast,
                      work.mixed,
                      {},
                      tape.add(work.copied_bytes)};
    for (std::size_t i = 0; i < kSlowLoopCount; ++i) terms.slow_loops[i] = tape.add(work.slow_loops[i]);
    return terms;
}

// The guards that the sizes which are bound do not settle.
std::vector<PlanGuard> open_guards(const Plan& plan, Tape& tape) {
    std::vector<PlanGuard> open;
    const Replacements exact = plan.graph->replacements(plan.bound);
    Replacements raised = exact;
    for (auto& [name, value] : raised) {
        if (value.is_constant() && value.constant() < 2 && !plan.graph->depends_on_data(name)) value = 2;
    }
    for (const Guard& guard : plan.graph->guards()) {
        const auto holds = [&](const Replacements& sizes) {
            const Guard bound{guard.left.substitute(sizes), guard.relation, guard.right.substitute(sizes)};
            return bound.left.is_constant() && bound.right.is_constant() && bound.holds({});
        };
        if (holds(exact) || holds(raised)) continue;
        open.push_back({tape.add(guard.left.substitute(exact)), guard.relation,
                        tape.add(guard.right.substitute(exact))});
    }
    return open;
}

// Splits what depends on sizes from what does not.
void lower(Plan& plan) {
    plan.terms.reserve(plan.kernels.size());
    for (const Kernel& kernel : plan.kernels) plan.terms.push_back(terms_of(kernel, plan.tape));
    plan.footprint = plan.tape.add(plan.peak_memory_bytes);
    plan.guards = open_guards(plan, plan.tape);
    plan.names = plan.tape.size_names();
    std::sort(plan.names.begin(), plan.names.end());
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
        if (!runs(work)) continue;
        const Call call(analyzer.pass(), graph->nodes()[static_cast<std::size_t>(i)]);
        set_access(call, work);
        const bool opaque = std::any_of(overrides.begin(), overrides.end(),
                                        [i](const auto& given) { return given.first == i; });
        if (!opaque && execution != Execution::compiled) {
            for (const OperandCopies& copies : {product_copies(call), row_copies(call)}) {
                for (const OperandCopy& copy : copies) {
                    launches.push_back({{i}, copy_work(call, copy.tensor, copy.bytes)});
                }
            }
        }
        if (work.kind == WorkKind::convolution) work.copied_bytes = copied(analyzer, i, work, execution);
        launches.push_back({{i}, work, opaque});
    }
    if (execution == Execution::compiled) launches = fuse(analyzer.pass(), std::move(launches));

    plan.kernel_of_node.assign(graph->nodes().size(), -1);
    plan.launch_count = static_cast<std::int64_t>(launches.size());
    std::unordered_multimap<std::size_t, std::int32_t> known;
    NodeIndex last_node = -1;
    bool after_loop = false;
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
            plan.kernels.push_back({name_of(launch.work, graph->ops()[lead.op].name), launch.work, {}, 0, 0});
        }
        for (const NodeIndex node : launch.nodes) plan.kernel_of_node[static_cast<std::size_t>(node)] = index;
        Kernel& kernel = plan.kernels[static_cast<std::size_t>(index)];
        if (execution == Execution::eager) {
            const NodeIndex node = launch.nodes.front();
            kernel.views += std::max(0, node - last_node - 1);
            last_node = node;
        }
        kernel.opened += execution == Execution::eager || !after_loop || is_call(launch);
        after_loop = !is_call(launch);
        kernel.launches.push_back(std::move(launch.nodes));
    }

    // A compiled run frees what it has used for the last time; only eager frames hold on to it.
    const bool planned = execution == Execution::compiled && !graph->held_until().empty();
    const Counts counts(planned ? graph->without_lifetimes() : graph, sizes, precision, overrides);
    plan.resident_bytes = counts.total().parameter_bytes + counts.total().buffer_bytes;
    plan.peak_memory_bytes = counts.total().peak_memory_bytes;

    lower(plan);
    return plan;
}

}  // namespace infercost
