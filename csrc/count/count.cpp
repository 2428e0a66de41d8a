#include "count/count.hpp"

#include <unordered_set>

#include "core/names.hpp"
#include "core/threads.hpp"
#include "count/saved.hpp"
#include "lowering/workspace.hpp"

namespace infercost {
namespace {

Expr sum_of(const EnumArray<Traffic, Expr>& parts) {
    Expr total;
    for (const Expr& part : parts) total += part;
    return total;
}

// Call visit with "", "a", "a.b", ... down to `depth` levels (all levels if negative).
template <class Visit>
void for_each_ancestor(const std::string& path, int depth, Visit&& visit) {
    visit(std::string());
    std::size_t at = 0;
    for (int level = 0; !path.empty() && (depth < 0 || level < depth);) {
        at = path.find('.', at);
        if (at != 0) {  // a name that begins with a dot: what is before it is no module, but the whole model
            visit(path.substr(0, at));
            ++level;
        }
        if (at == std::string::npos) return;
        ++at;
    }
}

}  // namespace

void CountRow::add(const Work& work) {
    ++nodes;
    contraction_flops += work.contraction_flops;
    causal_flops += work.causal_flops;
    pointwise_flops += work.pointwise_flops;
    bytes_sent += work.exchange.sent_bytes;
    for (std::size_t i = 0; i < kTrafficCount; ++i) {
        read[i] += work.read[i];
        written[i] += work.written[i];
    }
}

void CountRow::add_stored(const Call& any, TensorIndex t) {
    const Tensor& tensor = any.graph().tensors()[t];
    if (tensor.role == Role::parameter) {
        parameters += tensor.logical_numel < 0 ? any.distinct(t) : Expr(tensor.logical_numel);
        parameter_bytes += any.weight_bytes(t);
    } else if (tensor.role == Role::buffer) {
        buffer_bytes += any.bytes(t);
    }
}

Expr CountRow::bytes_read() const {
    return sum_of(read);
}
Expr CountRow::bytes_written() const {
    return sum_of(written);
}

Counts::Counts(LoweredGraph lowered, Sizes sizes, MemoryOf device)
    : lowered_(std::move(lowered)), sizes_(std::move(sizes)) {
    Analyzer analyzer(lowered_.graph, sizes_, lowered_.precision, &lowered_.overrides);
    SavedForBackward saved(graph());
    std::vector<Expr> workspace;
    workspace.reserve(graph().nodes().size());
    for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph().nodes().size()); ++i) {
        check_interrupt();
        analyzer.call(i).within([&] {
            const Work& work = analyzer.analyze(i);
            total_.add(work);
            saved.visit(i, work, analyzer.pass());
            workspace.push_back(workspace_bytes(analyzer, i));
            if (device == MemoryOf::cpu) workspace.back() += cpu_workspace(analyzer.call(i));
            analyzer.call(i).require_nonnegative(workspace.back());
            if (work.modelled) {
                ++modelled_;
            } else {
                ++unmodelled_[graph().ops()[graph().nodes()[i].op].name];
            }
        });
    }
    const StorageBytes forms(analyzer.pass(), device);
    memory_ = measure_memory(analyzer.pass(), std::move(workspace), forms);
    memory_.saved_for_backward_bytes = saved.bytes(analyzer.pass(), forms);
    const Node none{};
    const Call any(analyzer.pass(), none);
    for (std::size_t i = 0; i < graph().tensors().size(); ++i) {
        const auto t = static_cast<TensorIndex>(i);
        total_.add_stored(any, t);
        const Role role = graph().tensors()[i].role;
        if (role == Role::input || role == Role::kv_cache || role == Role::constant) {
            memory_.input_bytes += any.storage_bytes(t);
        }
    }
    total_.peak_activation_bytes = memory_.peak_activation_bytes;
    total_.peak_memory_bytes =
        total_.parameter_bytes + total_.buffer_bytes + memory_.input_bytes + memory_.peak_activation_bytes;
    memory_.peak_memory_bytes = total_.peak_memory_bytes;
}

template <class Visit>
void Counts::for_each_work(Visit&& visit) const {
    Analyzer analyzer(lowered_.graph, sizes_, lowered_.precision, &lowered_.overrides);
    const Expr fixed = total_.peak_memory_bytes - total_.peak_activation_bytes;
    for (NodeIndex i = 0; i < static_cast<NodeIndex>(graph().nodes().size()); ++i) {
        const Node& node = graph().nodes()[i];
        const Work& work = analyzer.analyze(i);
        CountRow row;
        row.add(work);
        row.peak_activation_bytes = memory_.timeline[i];
        row.peak_memory_bytes = fixed + row.peak_activation_bytes;
        visit(i, node, work, row, Call(analyzer.pass(), node));
    }
}

void Counts::add_operands(CountRow& row, const Call& call) const {
    std::vector<TensorIndex> seen;
    call.for_each_input([&](TensorIndex t) {
        const TensorIndex root = call.root(t);
        for (const TensorIndex other : seen) {
            if (other == root) return;
        }
        seen.push_back(root);
        row.add_stored(call, root);
    });
}

std::vector<LayerRow> Counts::layers() const {
    std::vector<LayerRow> rows;
    rows.reserve(graph().nodes().size());
    for_each_work([&](NodeIndex i, const Node& node, const Work& work, CountRow& row, const Call& call) {
        add_operands(row, call);
        rows.push_back({i, graph().name(node.module), graph().ops()[node.op].name, graph().name(node.source),
                        node.phase, work, std::move(row)});
    });
    return rows;
}

namespace {

void merge(CountRow& into, const CountRow& row) {
    into.nodes += row.nodes;
    into.contraction_flops += row.contraction_flops;
    into.causal_flops += row.causal_flops;
    into.pointwise_flops += row.pointwise_flops;
    into.bytes_sent += row.bytes_sent;
    for (std::size_t i = 0; i < kTrafficCount; ++i) {
        into.read[i] += row.read[i];
        into.written[i] += row.written[i];
    }
    into.peak_activation_bytes = Expr::maximum(into.peak_activation_bytes, row.peak_activation_bytes);
    into.peak_memory_bytes = Expr::maximum(into.peak_memory_bytes, row.peak_memory_bytes);
}

}  // namespace

std::map<std::string, CountRow> Counts::by_op() const {
    std::map<std::string, CountRow> rows;
    std::map<std::string, std::unordered_set<TensorIndex>> seen;
    for_each_work([&](NodeIndex, const Node& node, const Work&, const CountRow& row, const Call& call) {
        const std::string& op = graph().ops()[node.op].name;
        CountRow& into = rows[op];
        merge(into, row);
        call.for_each_input([&](TensorIndex t) {
            if (seen[op].insert(call.root(t)).second) into.add_stored(call, call.root(t));
        });
    });
    return rows;
}

std::map<Phase, CountRow> Counts::by_phase() const {
    std::map<Phase, CountRow> rows;
    std::map<Phase, std::unordered_set<TensorIndex>> seen;
    rows[Phase::forward];
    for_each_work([&](NodeIndex, const Node& node, const Work&, const CountRow& row, const Call& call) {
        CountRow& into = rows[node.phase];
        merge(into, row);
        call.for_each_input([&](TensorIndex t) {
            if (seen[node.phase].insert(call.root(t)).second) into.add_stored(call, call.root(t));
        });
    });
    return rows;
}

std::map<std::string, CountRow> Counts::by_module(int depth) const {
    std::map<std::string, CountRow> rows;
    rows[""];
    for_each_work([&](NodeIndex, const Node& node, const Work&, const CountRow& row, const Call&) {
        for_each_ancestor(graph().name(node.module), depth,
                          [&](const std::string& path) { merge(rows[path], row); });
    });
    // Parameters count for the module that owns them, even if no node of the module reads them.
    const Pass pass(graph(), sizes_, lowered_.precision);
    const Node none{};
    const Call any(pass, none);
    for (std::size_t i = 0; i < graph().tensors().size(); ++i) {
        const Tensor& tensor = graph().tensors()[i];
        if (tensor.role != Role::parameter && tensor.role != Role::buffer) continue;
        const std::string& name = graph().name(tensor.name);
        for_each_ancestor(std::string(parent_of(name)), depth, [&](const std::string& path) {
            rows[path].add_stored(any, static_cast<TensorIndex>(i));
        });
    }
    return rows;
}

Counts count(const std::shared_ptr<const Graph>& graph, const Sizes& sizes, const Precision& precision,
             const Overrides& overrides, MemoryOf device) {
    return {lower_precision(graph, precision, overrides), sizes, device};
}

}  // namespace infercost
