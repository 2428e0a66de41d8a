#include "plan/plan.hpp"

#include <algorithm>
#include <unordered_map>

#include "count/count.hpp"
#include "lowering/lower_launches.hpp"

namespace infercost {
namespace {

// Name a kernel after the op that determines it, unless it only copies the operands of that op.
std::string name_of(const Work& work, const KernelHints& hints, const Call& call) {
    const std::string& op = call.op().name;
    if (hints.copies_input) return op + ".input";
    if (op.starts_with("engine.")) {  // its name in the engine
        const std::string_view kernel = call.text("kernel");
        if (!kernel.empty()) return std::string(kernel);
    }
    const bool product = op == "aten.linear" || op == "aten.matmul" || op.find("conv") != std::string::npos;
    return work.kind == WorkKind::copy && product ? op + ".operand" : op;
}

// Whether a compiler leaves this launch to a library. It writes consecutive loops into one function, whose
// threads are not joined in between.
bool is_call(const Launch& launch) {
    switch (launch.work.kind) {
        case WorkKind::gemm:
        case WorkKind::convolution:
        case WorkKind::attention:
        case WorkKind::sort:
        case WorkKind::scan:
        case WorkKind::library:
        case WorkKind::collective:
        case WorkKind::unknown:
            return true;
        default:
            return launch.opaque;
    }
}

KernelTerms terms_of(const Kernel& kernel, Tape& tape) {
    const Work& work = kernel.work;
    const KernelHints& hints = kernel.hints;
    const auto launches = static_cast<double>(kernel.launches.size());
    const Expr weights = work.read[Traffic::weight];
    KernelTerms terms{
        .kind = work.kind,
        .dtype = work.dtype,
        .operand_bits = bits_of(work.dtype),
        .weight_bits = work.dims.weight_bits,
        .semi_structured = work.dims.semi_structured,
        .block_scales = work.dims.block_scales,
        .filter_elements = static_cast<double>(work.dims.filter_elements),
        .launches = launches,
        .views = static_cast<double>(kernel.views) / launches,
        .python = static_cast<double>(kernel.python) / launches,
        .opened = static_cast<double>(kernel.opened) / launches,
        .apart = static_cast<double>(kernel.apart) / launches,
        .contraction_flops = tape.add(work.contraction_flops),
        .pointwise_flops = tape.add(work.pointwise_flops),
        .weight_bytes = tape.add(weights),
        .other_bytes = tape.add(work.bytes_read() - weights + work.bytes_written()),
        .written_bytes = tape.add(work.bytes_written()),
        .cached_bytes = tape.add(work.read[Traffic::kv_cache]),
        .kept_bytes = tape.add(hints.kept_bytes),
        .batch = tape.add(work.dims.batch),
        .m = tape.add(row_count(work, hints)),
        .n = tape.add(row_length(work, hints)),
        .k = tape.add(work.dims.k),
        .n_value = tape.add(work.dims.n_value),
        .causal_flops = tape.add(work.causal_flops),
        .shared = tape.add(work.dims.shared),
        .images = tape.add(work.dims.images),
        .winograd_tiles_2 = tape.add(hints.winograd_tiles.of_2),
        .winograd_tiles_4 = tape.add(hints.winograd_tiles.of_4),
        .row_schedule = hints.rows.schedule,
        .threads_per_row = static_cast<double>(hints.rows.threads_per_row),
        .strided_bytes = tape.add(hints.access.strided_bytes),
        .channels_first = hints.access.channels_first,
        .needs_layout_change = hints.access.needs_layout_change,
        .slow_loops = {},
        .copied_bytes = tape.add(hints.copied_bytes),
        .may_round_to_tf32 = hints.may_round_to_tf32,
        .host_ns = tape.add(hints.host_ns),
        .prepared = hints.prepared,
        .copies_input = hints.copies_input,
        .exchange = work.exchange.group,
        .message_bytes = tape.add(work.exchange.message_bytes),
        .sent_bytes = tape.add(work.exchange.sent_bytes),
    };
    for (std::size_t i = 0; i < kSlowLoopCount; ++i) {
        terms.slow_loops[i] = tape.add(hints.slow_loops.elements[i]);
    }
    return terms;
}

// Guards that the bound sizes do not decide.
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
    for (const Expr& length : plan.graph->open_lengths()) {
        const Expr bound = length.substitute(exact);
        if (bound.is_constant() && bound.constant() >= 0) continue;
        open.push_back({tape.add(bound), Guard::Relation::greater_equal, tape.add(Expr(0))});
    }
    return open;
}

// Split size-dependent quantities from constants.
void lower(Plan& plan) {
    plan.terms.reserve(plan.kernels.size());
    for (const Kernel& kernel : plan.kernels) plan.terms.push_back(terms_of(kernel, plan.tape));
    plan.footprint = plan.tape.add(plan.peak_memory_bytes);
    const bool copied = !(plan.gpu_peak_memory_bytes == plan.peak_memory_bytes);
    plan.gpu_footprint = copied ? plan.tape.add(plan.gpu_peak_memory_bytes) : plan.footprint;
    plan.cpu_footprint = plan.tape.add(plan.cpu_peak_memory_bytes);
    plan.guards = open_guards(plan, plan.tape);
    plan.step_tokens = plan.tape.add(plan.step.tokens);
    plan.names = plan.tape.size_names();
    std::sort(plan.names.begin(), plan.names.end());
}

// Counts the launches between two of the same op. The first launch of an op follows its last of the forward
// before.
class LastLaunches {
  public:
    void add(const std::string& op, IndexedVector<KernelIndex, Kernel>& kernels, std::int32_t index) {
        Kernel& kernel = kernels[index];
        const auto [found, is_first] = of_op_.try_emplace(op, Seen{count_, count_, index});
        if (!is_first) kernel.apart += count_ - found->second.last;
        found->second.last = count_++;
    }
    void close(IndexedVector<KernelIndex, Kernel>& kernels) const {
        for (const auto& [name, seen] : of_op_) {
            kernels[seen.kernel].apart += count_ - seen.last + seen.first;
        }
    }

  private:
    struct Seen {
        std::int64_t first;
        std::int64_t last;
        std::int32_t kernel;  // of the first launch
    };
    std::unordered_map<std::string, Seen> of_op_;
    std::int64_t count_ = 0;
};

}  // namespace

Plan make_plan(const LoweredGraph& lowered, const Sizes& sizes, Execution execution,
               const StepSettings& step) {
    const std::shared_ptr<const Graph>& graph = lowered.graph;
    Plan plan;
    plan.graph = graph;
    plan.precision = lowered.precision;
    plan.execution = execution;
    plan.bound = sizes;

    Analyzer analyzer(graph, sizes, lowered.precision, &lowered.overrides);
    std::vector<Launch> launches = lower_launches(analyzer, execution);
    plan.step = shape_steps(analyzer, execution, step, launches);

    plan.kernel_of_node.assign(graph->nodes().size(), -1);
    plan.launch_count = static_cast<std::int64_t>(launches.size());
    std::unordered_multimap<std::size_t, std::int32_t> known;
    LastLaunches last_launches;
    NodeIndex last_node = -1;
    bool after_loop = false;
    Expr copied_input_bytes;
    const std::vector<StepPart> parts = std::move(plan.step.parts);
    for (std::size_t place = 0; place < launches.size(); ++place) {
        Launch& launch = launches[place];
        const std::string op = name_of(launch.work, launch.hints, analyzer.call(launch.nodes.front()));
        const std::size_t hash = launch.work.hash() * 31 + launch.hints.hash();
        std::int32_t index = -1;
        const auto [first, last] = known.equal_range(hash);
        for (auto it = first; it != last; ++it) {
            const Kernel& kernel = plan.kernels[it->second];
            if (kernel.work == launch.work && kernel.hints == launch.hints) index = it->second;
        }
        if (index < 0) {
            index = static_cast<std::int32_t>(plan.kernels.size());
            known.emplace(hash, index);
            const StepPart part = parts.empty() ? StepPart::tokens : parts[place];
            plan.kernels.push_back(
                {.name = op, .work = launch.work, .hints = launch.hints, .part = part, .launches = {}});
        }
        for (const NodeIndex node : launch.nodes) plan.kernel_of_node[node] = index;
        Kernel& kernel = plan.kernels[index];
        if (launch.hints.copies_input) {  // outside of the compiled code
            copied_input_bytes += launch.work.bytes_written();
            kernel.launches.push_back(std::move(launch.nodes));
            continue;
        }
        if (execution == Execution::eager) {
            const NodeIndex node = launch.nodes.front();
            kernel.views += std::max(0, node - last_node - 1);
            for (NodeIndex before = last_node + 1; before < node; ++before) {
                const Call call = analyzer.call(before);
                if (call.op().name == "pyinfercost.python_call") {
                    kernel.python += call.integer("operators", 0).constant();
                }
            }
            last_node = node;
        }
        kernel.opened += execution == Execution::eager || !after_loop || is_call(launch);
        after_loop = !is_call(launch);
        last_launches.add(op, plan.kernels, index);
        kernel.launches.push_back(std::move(launch.nodes));
    }
    last_launches.close(plan.kernels);

    // A compiled run frees a tensor after its last use; only eager frames hold it longer.
    const bool planned = is_fused(execution) && !graph->held_until().empty();
    LoweredGraph counted = lowered;
    if (planned) counted.graph = graph->without_lifetimes();
    const Counts counts(counted, sizes, MemoryOf::accelerator);
    const auto is_weight = [](const Tensor& t) {
        return t.role == Role::parameter || t.role == Role::buffer;
    };
    plan.weight_count = std::count_if(graph->tensors().begin(), graph->tensors().end(), is_weight);
    plan.resident_bytes = counts.total().parameter_bytes + counts.total().buffer_bytes;
    plan.peak_memory_bytes = plan.cpu_peak_memory_bytes = counts.total().peak_memory_bytes;
    // A recorded graph keeps its copies of the inputs beside those of the caller.
    plan.gpu_peak_memory_bytes = plan.peak_memory_bytes + copied_input_bytes;
    if (has_cpu_forms(*graph)) {
        plan.cpu_peak_memory_bytes =
            Counts(std::move(counted), sizes, MemoryOf::cpu).total().peak_memory_bytes;
    }

    lower(plan);
    return plan;
}

Plan make_plan(const std::shared_ptr<const Graph>& graph, const Sizes& sizes, const Precision& precision,
               Execution execution, const Overrides& overrides, const StepSettings& step) {
    return make_plan(lower_precision(graph, precision, overrides), sizes, execution, step);
}

}  // namespace infercost
