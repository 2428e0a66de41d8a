#include "lowering/parallel/stage_graph.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "lowering/parallel/node_arguments.hpp"

namespace infercost {
namespace {

class StageWriter {
  public:
    StageWriter(const Flow& flow, const Dependence& depends, std::span<const NodeRange> ranges)
        : flow_(flow), graph_(flow.graph()), depends_(depends), ranges_(ranges), builder_(graph_.model()) {}

    Stage run(std::span<const TensorIndex> unread) {
        const bool is_last = ranges_.back().end == flow_.count();
        for (const NodeRange& range : ranges_) {
            for (NodeIndex i = range.begin; i < range.end; ++i) {
                if (depends_.on_input(i)) add(i);
            }
        }
        // Results that do not depend on the tokens.
        for (const TensorIndex t : graph_.outputs()) {
            if (const NodeIndex made = flow_.maker(t); is_last && made != kNoNode) add_known(made);
        }
        for (const std::string& name : graph_.size_names()) builder_.add_size(name, graph_.sizes().at(name));
        for (const Guard& guard : graph_.guards()) builder_.add_guard(guard);
        find_received();
        for (const NodeIndex node : nodes_) write(node);
        for (const TensorIndex t : unread) now(t);
        return {
            build(), {nodes_.begin(), nodes_.end()}
        };
    }

  private:
    void add_known(NodeIndex node) {
        if (!depends_.on_input(node)) add(node);
    }
    // A node, what it needs of known values, and views of what was given to the stage.
    void add(NodeIndex node) {
        if (!nodes_.insert(node).second) return;
        if (makes_from_shape(flow_.op(node)) && !depends_.on_input(node)) return;  // see write()
        for (const Operand& operand : flow_.operands(node)) {
            if (operand.producer == kNoNode) continue;
            const bool given = !is_inside(operand.producer);
            if (!depends_.on_input(operand.producer) || (given && flow_.is_free(operand.producer))) {
                add(operand.producer);
            }
        }
    }

    bool is_inside(NodeIndex node) const {
        return std::any_of(ranges_.begin(), ranges_.end(),
                           [&](const NodeRange& range) { return node >= range.begin && node < range.end; });
    }

    void find_received() {
        std::set<TensorIndex> made;
        for (const NodeIndex node : nodes_) {
            const bool of_shape = is_of_shape(node);
            for (const Operand& operand : flow_.operands(node)) {
                const Role role = flow_.tensor(operand.tensor).role;
                if (!of_shape && role == Role::activation && !made.contains(operand.tensor)) {
                    received_.insert(operand.tensor);
                }
            }
            for (const std::int64_t t : graph_.node_outputs(graph_.nodes()[node])) {
                made.insert(static_cast<TensorIndex>(t));
            }
        }
    }
    // A node that reads the shape alone of what another stage may have.
    bool is_of_shape(NodeIndex node) const {
        return makes_from_shape(flow_.op(node)) && !depends_.on_input(node);
    }

    std::vector<Expr> lengths(Range range) const {
        std::vector<Expr> found;
        for (const Dim dim : graph_.dims(range)) found.push_back(graph_.expr(dim));
        return found;
    }

    TensorIndex now(TensorIndex t) {
        const auto [found, is_new] = now_.try_emplace(t, kNoTensor);
        if (!is_new) return found->second;
        const Tensor& tensor = flow_.tensor(t);
        const bool given = received_.contains(t);
        const std::vector<Expr> shape = lengths(tensor.shape);
        const std::vector<Expr> strides = lengths(tensor.strides);
        const auto known = [](std::int64_t n) { return n < 0 ? std::optional<std::int64_t>() : n; };
        found->second = builder_.add_tensor(tensor.dtype, shape, std::span<const Expr>(strides),
                                            given ? Role::input : tensor.role,
                                            given ? std::string("received") : graph_.name(tensor.name),
                                            known(tensor.logical_numel), known(tensor.storage_elements));
        return found->second;
    }

    void write(NodeIndex number) {
        const Node& node = graph_.nodes()[number];
        const bool of_shape = is_of_shape(number);
        const std::vector<std::int64_t> results(graph_.node_outputs(node).begin(),
                                                graph_.node_outputs(node).end());
        builder_.begin_node(of_shape ? "aten.zeros.default" : graph_.ops()[node.op].full,
                            graph_.name(node.module), graph_.name(node.source), node.phase);
        if (of_shape) {
            builder_.argument("size", lengths(flow_.tensor(static_cast<TensorIndex>(results.front())).shape));
        } else {
            for (NamedArgument& argument : arguments_of(graph_, node)) {
                if (auto* one = std::get_if<TensorIndex>(&argument.value)) {
                    *one = now(*one);
                } else if (auto* several = std::get_if<std::vector<TensorIndex>>(&argument.value)) {
                    for (TensorIndex& each : *several) each = each == kNoTensor ? each : now(each);
                }
                builder_.argument(argument.name, argument.value);
            }
        }
        std::vector<TensorIndex> outputs;
        for (const std::int64_t t : results) outputs.push_back(now(static_cast<TensorIndex>(t)));
        builder_.end_node(outputs);
    }

    std::shared_ptr<const Graph> build() {
        std::vector<TensorIndex> inputs;
        for (const TensorIndex t : graph_.inputs()) {
            if (const auto found = now_.find(t); found != now_.end()) inputs.push_back(found->second);
        }
        for (const TensorIndex t : received_) inputs.push_back(now_.at(t));
        std::vector<TensorIndex> outputs;
        for (const TensorIndex t : graph_.outputs()) {
            if (const auto found = now_.find(t); found != now_.end() && is_made_here(t)) {
                outputs.push_back(found->second);
            }
        }
        return builder_.build(inputs, outputs, lifetimes());
    }
    bool is_made_here(TensorIndex t) const {
        const NodeIndex made = flow_.maker(t);
        return made == kNoNode ? !received_.contains(t) : nodes_.contains(made);
    }

    std::vector<NodeIndex> lifetimes() const {
        if (graph_.held_until().empty()) return {};
        const std::vector<NodeIndex> order(nodes_.begin(), nodes_.end());
        IndexedVector<TensorIndex, NodeIndex> until(builder_.graph().tensors().size(), kNotObserved);
        for (const auto& [before, after] : now_) {
            const NodeIndex held = graph_.held_until()[before];
            if (held == kNotObserved) continue;
            const auto last = std::upper_bound(order.begin(), order.end(), held);
            until[after] = static_cast<NodeIndex>(last - order.begin()) - 1;
        }
        return until;
    }

    const Flow& flow_;
    const Graph& graph_;
    const Dependence& depends_;
    std::span<const NodeRange> ranges_;
    GraphBuilder builder_;
    std::set<NodeIndex> nodes_;
    std::set<TensorIndex> received_;
    std::map<TensorIndex, TensorIndex> now_;
};

}  // namespace

Dependence::Dependence(const Flow& flow) : flow_(flow), depends_(flow.count(), false) {
    for (NodeIndex i = 0; i < flow.count(); ++i) {
        const auto operands = flow.operands(i);
        const bool by_value = !makes_from_shape(flow.op(i)) &&
                              std::any_of(operands.begin(), operands.end(), [&](const Operand& operand) {
                                  return operand.producer != kNoNode && on_input(operand.producer);
                              });
        depends_[i] = flow.is_live(i) || by_value;
    }
}

Operand Dependence::source(Operand operand) const {
    while (operand.producer != kNoNode && on_input(operand.producer) && flow_.is_free(operand.producer)) {
        const auto operands = flow_.operands(operand.producer);
        const auto live = std::find_if(operands.begin(), operands.end(), [&](const Operand& each) {
            return each.producer != kNoNode ? on_input(each.producer)
                                            : flow_.tensor(each.tensor).role == Role::input;
        });
        if (live == operands.end()) break;
        operand = *live;
    }
    return operand;
}

Stage stage_of(const Flow& flow, const Dependence& depends, std::span<const NodeRange> ranges,
               std::span<const TensorIndex> unread) {
    return StageWriter(flow, depends, ranges).run(unread);
}

}  // namespace infercost
