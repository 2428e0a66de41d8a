#include "lowering/flow.hpp"

#include <algorithm>
#include <utility>

#include "core/threads.hpp"

namespace infercost {
namespace {

bool is_kernel_of_engine(std::string_view op) {
    return op.starts_with("engine.") || op.starts_with("pyinfercost.") || op.starts_with("collective.");
}

// Reads rows of a table by ids, which are integers: the first floats of a language model.
bool reads_rows(const Call& call) {
    return traits_of(call).relation == Relation::embedding ||
           call.op().name.starts_with("quantized.embedding");
}

}  // namespace

Flow::Flow(const std::shared_ptr<const Graph>& graph)
    : graph_(graph),
      analyzer_(graph, {}, parse_precision("native")),
      kinds_(graph->nodes().size(), WorkKind::unknown),
      flops_(graph->nodes().size()),
      contractions_(graph->nodes().size()),
      anchor_(graph->nodes().size(), false),
      live_(graph->nodes().size(), false),
      stage_(graph->nodes().size(), 0),
      operands_before_(graph->nodes().size() + 1, 0),
      maker_(graph->tensors().size(), kNoNode),
      first_maker_(graph->tensors().size(), kNoNode),
      first_writer_(graph->tensors().size(), kNoNode),
      output_(graph->tensors().size(), false) {
    for (const TensorIndex t : graph->outputs()) output_[t] = true;
    for (NodeIndex i = 0; i < count(); ++i) {
        check_interrupt();
        const Work& work = analyzer_.analyze(i);
        kinds_[i] = work.modelled ? work.kind : WorkKind::unknown;
        flops_[i] = work.pointwise_flops;
        contractions_[i] = work.contraction_flops;
        link(i);
        classify(i);
    }
    find_uses();
}

void Flow::find_uses() {
    uses_before_.assign(kinds_.size() + 1, 0);
    for (const Operand& operand : operands_) {
        if (operand.producer != kNoNode) ++uses_before_[operand.producer + 1];
    }
    for (std::size_t i = 0; i < kinds_.size(); ++i) uses_before_[i + 1] += uses_before_[i];
    uses_.resize(uses_before_.back());
    IndexedVector<NodeIndex, std::size_t> next(uses_before_.begin(), uses_before_.end() - 1);
    for (NodeIndex i = 0; i < count(); ++i) {
        for (const Operand& operand : operands(i)) {
            if (operand.producer != kNoNode) uses_[next[operand.producer]++] = {i, operand.tensor};
        }
    }
}

void Flow::link(NodeIndex node) {
    const std::size_t first_operand = operands_.size();
    graph_->for_each_input(at_node(node), [&](TensorIndex t) { operands_.push_back({t, maker(t)}); });
    const std::size_t given = operands_.size();
    for (const std::int64_t output : graph_->node_outputs(at_node(node))) {
        const auto t = static_cast<TensorIndex>(output);
        const NodeIndex before = std::exchange(maker_[t], node);
        const auto reads = [&](auto&& matches) {
            return std::any_of(operands_.begin() + static_cast<std::ptrdiff_t>(first_operand),
                               operands_.begin() + static_cast<std::ptrdiff_t>(given), matches);
        };
        if (!reads([&](const Operand& operand) { return operand.tensor == t; })) {
            if (before == kNoNode) first_maker_[t] = node;
            continue;
        }
        // Written in place: so is what it is a view of, whose other parts stay as others have written them.
        const TensorIndex root = analyzer_.pass().storage.root(t);
        const NodeIndex other = maker(root);
        if (root != t && first_writer(root) != kNoNode &&
            !reads([&](const Operand& operand) { return operand.producer == other; })) {
            operands_.push_back({root, other});
        }
        for (const TensorIndex written : {t, root}) {
            maker_[written] = node;
            NodeIndex& first = first_writer_[written];
            if (first == kNoNode) first = node;
        }
    }
    operands_before_[node + 1] = operands_.size();
}

// Whether the elements of an input are what a model computes with: integers of more bits number tokens and
// positions, those of 8 bits are pixels or quantized activations.
static bool has_values(DType dtype) {
    return is_floating(dtype) || dtype == DType::int8 || dtype == DType::uint8;
}

void Flow::classify(NodeIndex node) {
    const WorkKind kind = kinds_[node];
    const std::string_view name = op(node);
    const bool looks_up = reads_rows(call(node));
    bool live = looks_up;
    for (const Operand& operand : operands(node)) {
        if (makes_from_shape(name)) break;
        const Tensor& read = tensor(operand.tensor);
        if (operand.producer == kNoNode) {
            live =
                live || read.role == Role::kv_cache || (read.role == Role::input && has_values(read.dtype));
            continue;
        }
        live = live || is_live(operand.producer);
    }
    live_[node] = live;
    stage_[node] = stage_after_operands(node);
    anchor_[node] = live && (is_contraction(kind) || kind == WorkKind::library || kind == WorkKind::unknown ||
                             kind == WorkKind::pooling || looks_up ||
                             (is_kernel_of_engine(name) && kind != WorkKind::free));
}

int Flow::stage_after_operands(NodeIndex node) const {
    if (makes_from_shape(op(node))) return 0;
    int stage = 0;
    for (const Operand& operand : operands(node)) {
        if (operand.producer == kNoNode || !is_live(operand.producer)) continue;
        stage = std::max(stage, this->stage(operand.producer) + (is_anchor(operand.producer) ? 1 : 0));
    }
    return stage;
}

void Flow::set_anchors(const IndexedVector<NodeIndex, int>& kernel_of_node) {
    for (NodeIndex i = 0; i < count(); ++i) {
        if (kernel_of_node[i] >= 0) anchor_[i] = true;
        stage_[i] = stage_after_operands(i);
    }
}

TensorIndex Flow::weight_of(NodeIndex node) const {
    if (kind(node) != WorkKind::gemm) return kNoTensor;
    for (const Operand& operand : operands(node)) {
        TensorIndex t = operand.tensor;
        for (NodeIndex made = operand.producer; made != kNoNode && !is_live(made);) {
            if (operands(made).empty()) break;
            t = operands(made).front().tensor;  // a transposed or converted weight
            made = operands(made).front().producer;
        }
        if (tensor(t).role == Role::parameter && tensor(t).shape.count >= 2) return t;
    }
    return kNoTensor;
}

std::vector<Expr> Flow::shape(TensorIndex t) const {
    std::vector<Expr> lengths;
    for (const Dim d : graph_->dims(tensor(t).shape)) lengths.push_back(graph_->expr(d));
    return lengths;
}

Expr Flow::numel(TensorIndex t) const {
    Expr total = 1;
    for (const Dim d : graph_->dims(tensor(t).shape)) total = total * graph_->expr(d);
    return total;
}

bool makes_from_shape(std::string_view op) {
    return op.starts_with("aten.new_") || (op.ends_with("_like") && !op.starts_with("aten.rand"));
}

IndexedVector<NodeIndex, bool> needed_nodes(const Flow& flow) {
    std::vector<NodeIndex> open;
    for (const TensorIndex t : flow.graph().outputs()) open.push_back(flow.maker(t));
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        if (flow.call(i).has("caches")) open.push_back(i);
    }
    IndexedVector<NodeIndex, bool> needed(flow.count(), false);
    while (!open.empty()) {
        const NodeIndex node = open.back();
        open.pop_back();
        if (node == kNoNode || needed[node]) continue;
        needed[node] = true;
        for (const Operand& operand : flow.operands(node)) open.push_back(operand.producer);
    }
    return needed;
}

}  // namespace infercost
