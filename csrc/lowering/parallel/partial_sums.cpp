#include "lowering/parallel/partial_sums.hpp"

#include <algorithm>
#include <set>

namespace infercost {
namespace {

// Rows that indices name.
bool looks_up(const Call& call) {
    const Relation relation = traits_of(call).relation;
    return relation == Relation::index || relation == Relation::index_select;
}

bool moves_elements(const Call& call) {
    const OpRule* rule = call.rule();
    const std::span<const OpRule> rows = movement_rules();
    return rule >= rows.data() && rule < rows.data() + rows.size();
}

std::int64_t parts_of_heads(const Relations& relations, TensorIndex t) {
    const AxisList& axes = relations.known(t);
    std::int64_t parts = 1;
    for (std::size_t i = 0; i + 2 < axes.size(); ++i) {
        for (const AxisId leaf : relations.axes().leaves(axes[i]))
            parts *= relations.axes().info(leaf).splits;
    }
    return parts;
}

bool has_heads(const Relations& relations, TensorIndex t) {
    const AxisList& axes = relations.known(t);
    return std::any_of(axes.begin(), axes.end(), [&](AxisId axis) {
        const std::vector<AxisId> leaves = relations.axes().leaves(axis);
        return std::any_of(leaves.begin(), leaves.end(), [&](AxisId leaf) {
            return relations.axes().info(leaf).heads && relations.axes().info(leaf).splits > 1;
        });
    });
}

bool sums_split(const Relations& relations, const Call& call, TensorIndex source) {
    const AxisList& axes = relations.known(source);
    const List<Expr> dims = call.integers("dim");
    for (std::size_t i = 0; i < axes.size(); ++i) {
        bool gone = dims.empty();
        for (const Expr& each : dims) {
            const std::int64_t dim =
                each.constant() < 0 ? each.constant() + call.rank(source) : each.constant();
            gone = gone || dim == static_cast<std::int64_t>(i);
        }
        if (gone && relations.axes().is_split(axes[i])) return true;
    }
    return false;
}

// Memory that nodes fill.
bool is_empty(const Flow& flow, TensorIndex t) {
    const NodeIndex first = flow.first_maker(t);
    if (first == kNoNode) return false;
    const std::string_view op = flow.op(first);
    return op.find("zeros") != std::string_view::npos || op.find("empty") != std::string_view::npos;
}

class SumFinder {
  public:
    SumFinder(Relations& relations, const Layout& layout) : relations_(relations), layout_(layout) {
        for (const Summed& each : relations.products()) {
            if (!relations.axes().is_split(each.inner)) continue;
            std::int64_t devices = 1;
            for (const AxisId leaf : relations.axes().leaves(relations.axes().sections(each.inner).front())) {
                devices *= relations.axes().info(leaf).splits;
            }
            products_.emplace(each.node, devices);
        }
        for (const Experts& each : relations.experts()) rows_.insert(relations.axes().root(each.rows));
    }

    PartialSums run() {
        states_.assign(flow().graph().tensors().size(), {});
        made_.assign(states_.size(), false);
        for (NodeIndex start = 0; start != kNoNode;) start = pass(start);
        PartialSums found;
        for (const auto& [tensor, joined] : joined_) found.joins.push_back(joined);
        std::sort(found.joins.begin(), found.joins.end(),
                  [](const Joined& a, const Joined& b) { return a.after < b.after; });
        found.partial = made_;
        return found;
    }

  private:
    struct State {
        Parts parts = Parts::none;
        NodeIndex writer = kNoNode;
        TensorIndex rows = kNoTensor;
        std::int64_t devices = 1;
    };

    const Flow& flow() const { return relations_.flow(); }

    bool is_split(TensorIndex t, std::size_t dim) const {
        const AxisList& axes = relations_.known(t);
        return dim < axes.size() && relations_.axes().is_split(axes[dim]);
    }

    // A pass over the nodes from `start` on, with the joins that are known, up to a node that needs another
    // one: then it returns where to start again, else kNoNode.
    NodeIndex pass(NodeIndex start) {
        again_ = kNoNode;
        for (NodeIndex i = start; i < flow().count(); ++i) {
            visit(i);
            if (again_ != kNoNode) return again_;
        }
        for (const TensorIndex t : flow().graph().outputs()) {
            if (states_[t].parts != Parts::none) join(t);
        }
        return again_;
    }

    void visit(NodeIndex node) {
        const Call call = flow().call(node);
        std::vector<TensorIndex> partial;
        for (const Operand& operand : flow().operands(node)) {
            if (!flow().is_live(node)) break;  // it reads the shape alone
            if (states_[operand.tensor].parts != Parts::none) partial.push_back(operand.tensor);
        }
        State now{Parts::none, node, kNoTensor, layout_.tensor};
        if (!partial.empty()) {
            if (keeps(call, partial)) {
                now.parts = states_[partial.front()].parts;
                now.rows = states_[partial.front()].rows;
                now.devices = states_[partial.front()].devices;
                State more{Parts::none, node, kNoTensor, 1};
                make(node, call, more);
                if (more.parts == now.parts) now.devices = std::max(now.devices, more.devices);
            } else {
                for (const TensorIndex t : partial) join(t);
            }
        }
        if (now.parts == Parts::none) make(node, call, now);
        for (std::size_t i = 0; i < call.output_count(); ++i) {
            const TensorIndex t = call.output(i);
            states_[t] = is_of_shared_heads(call, i) ? shared_heads(call, node, t) : now;
            made_[t] = states_[t].parts != Parts::none;
            const auto found = joined_.find(t);
            if (found != joined_.end() && found->second.after == node) {
                // What it is made of may have been joined since.
                if (states_[t].parts == Parts::none) joined_.erase(found);
                states_[t].parts = Parts::none;
            }
            // Rows of a divided vocabulary are added up at once: all layers add to them.
            if (states_[t].parts != Parts::none && traits_of(call).relation == Relation::embedding) join(t);
        }
    }

    void join(TensorIndex t) {
        const State& state = states_[t];
        const bool fresh =
            joined_.emplace(t, Joined{t, state.writer, state.parts, state.rows, state.devices}).second;
        if (fresh) again_ = again_ == kNoNode ? state.writer : std::min(again_, state.writer);
    }

    // Where a value becomes a partial sum.
    void make(NodeIndex node, const Call& call, State& now) const {
        if (flow().operands(node).empty()) return;
        const OpTraits& traits = traits_of(call);
        const TensorIndex first = call.first_operand();
        if (const auto found = products_.find(node); found != products_.end()) {
            now.parts = Parts::sum;
            now.devices = found->second;
        } else if (traits.relation == Relation::embedding) {
            if (!is_split(call.require_tensor("weight"), 0)) return;
            now.parts = Parts::sum;
            now.devices = layout_.of_attention();
        } else if (traits.partial_sum == PartialSum::sums) {
            if (!sums_split(relations_, call, first)) return;
            now.parts = Parts::sum;
            now.devices = has_heads(relations_, first) ? layout_.of_attention() : layout_.tensor;
        } else if (looks_up(call)) {
            read_rows(call, first, now);
        } else if (traits.relation == Relation::index_add) {
            const TensorIndex source = call.tensor("source");
            if (source == kNoTensor) return;
            const int dim = dim_of(call, "dim", call.rank(source), 0);
            if (dim >= 0) of_rows(source, static_cast<std::size_t>(dim), now);
        }
    }

    // Gradients of keys and values that more heads of queries attend to than those of a rank.
    bool is_of_shared_heads(const Call& call, std::size_t result) const {
        const NodeIndex node = relations_.node_of(call);
        return (result == 1 || result == 2) && flow().kind(node) == WorkKind::attention &&
               relations_.is_backward(node);
    }
    State shared_heads(const Call& call, NodeIndex node, TensorIndex t) const {
        const std::int64_t all = parts_of_heads(relations_, call.require_tensor("query"));
        const std::int64_t own = parts_of_heads(relations_, t);
        if (all <= own) return {Parts::none, node, kNoTensor, 1};
        return {Parts::sum, node, kNoTensor, all / own};
    }

    void read_rows(const Call& call, TensorIndex source, State& now) const {
        if (traits_of(call).relation == Relation::index_select) {
            const int dim = dim_of(call, "dim", call.rank(source), 0);
            if (dim >= 0) of_rows(source, static_cast<std::size_t>(dim), now);
            return;
        }
        const List<TensorIndex> indices = call.tensors("indices");
        for (std::size_t i = 0; i < indices.size(); ++i) {
            if (indices[i] != kNoTensor && !reads_whole_section(call, source, i)) of_rows(source, i, now);
        }
    }

    // Whether one place of a sequence is read by its number, such as the key beside the queries of its group:
    // it is a section that each rank has.
    bool reads_whole_section(const Call& call, TensorIndex source, std::size_t dim) const {
        const AxisList& axes = relations_.known(source);
        const TensorIndex place = call.tensors("indices")[dim];
        if (dim >= axes.size() || relations_.is_live(place) || !(flow().numel(place) == Expr(1)))
            return false;
        const std::vector<AxisId> sections = relations_.axes().sections(axes[dim]);
        return sections.size() > 1 && std::any_of(sections.begin(), sections.end(), [&](AxisId section) {
                   return !relations_.axes().is_split(section);
               });
    }

    void of_rows(TensorIndex source, std::size_t dim, State& now) const {
        const AxisList& axes = relations_.known(source);
        if (dim >= axes.size()) return;
        const bool of_experts = rows_.contains(relations_.axes().root(axes[dim])) &&
                                relations_.is_live(source) && relations_.axes().length(axes[dim]) > 1;
        if (of_experts && sends_tokens(layout_)) {
            now.parts = Parts::experts;
            now.rows = source;
        } else if (relations_.axes().is_split(axes[dim]) && relations_.is_live(source)) {
            now.parts = Parts::sum;
            now.devices = layout_.tensor;
        }
    }

    // Whether the result of an operator is the sum over ranks of its results.
    bool keeps(const Call& call, const std::vector<TensorIndex>& partial) {
        const PartialSum does = traits_of(call).partial_sum;
        const bool scales = does == PartialSum::multiplies || does == PartialSum::divides;
        const Parts kind = states_[partial.front()].parts;
        const std::int64_t devices = states_[partial.front()].devices;
        const auto is_partial = [&](TensorIndex t) {
            return states_[t].parts == kind && states_[t].devices == devices;
        };
        if (!std::all_of(partial.begin(), partial.end(), is_partial)) return false;
        std::size_t operands = 0;
        std::size_t live = 0;
        call.for_each_input([&](TensorIndex t) {
            ++operands;
            live += relations_.is_live(t) && is_floating(flow().tensor(t).dtype) ? 1 : 0;
        });
        const TensorIndex first = call.first_operand();
        if (does == PartialSum::copies) return call.tensor("src") == partial.front();
        if (moves_elements(call)) return live <= partial.size() && !widens(call, partial.front());
        if (relations_.is_backward(relations_.node_of(call))) {
            // Gradients of one value are added up before their parts are, and one of the ranks adds those
            // that all have, unless each has its own tokens of them. Factors need them whole, but for values
            // of the forward that are parts themselves.
            if (does == PartialSum::adds) return operands == 2 && (partial.size() == 2 || !layout_.sequence);
            if ((scales || does == PartialSum::keeps) &&
                relations_.is_backward(states_[partial.front()].writer)) {
                return false;
            }
        }
        if (traits_of(call).relation == Relation::sum) return !sums_split(relations_, call, first);
        if (does == PartialSum::adds)
            return operands == 2 && (partial.size() == 2 || adds_bias(call, partial.front()));
        if (scales) return partial.size() == 1 && (does == PartialSum::multiplies || is_partial(first));
        if (does == PartialSum::keeps) return is_partial(first);
        if (looks_up(call)) return is_partial(first) && partial.size() == 1;
        if (does == PartialSum::places) return is_partial(first) || is_empty(flow(), first);
        return false;
    }

    // Fewer bytes are sent before a conversion to a wider dtype.
    bool widens(const Call& call, TensorIndex partial) const {
        return call.output_count() > 0 &&
               bits_of(flow().tensor(call.output()).dtype) > bits_of(flow().tensor(partial).dtype);
    }

    // A sum with rows of a weight, which one of the ranks adds.
    bool adds_bias(const Call& call, TensorIndex partial) const {
        bool bias = false;
        for (const Operand& operand : flow().operands(relations_.node_of(call))) {
            if (operand.tensor == partial) continue;
            Operand source = operand;
            while (source.producer != kNoNode && !flow().operands(source.producer).empty() &&
                   (flow().is_free(source.producer) || looks_up(flow().call(source.producer)))) {
                source = flow().operands(source.producer).front();
            }
            bias = source.producer == kNoNode && flow().tensor(source.tensor).role == Role::parameter;
        }
        return bias;
    }

    Relations& relations_;
    const Layout& layout_;
    std::map<NodeIndex, std::int64_t> products_;  // and the ranks that each is divided among
    std::set<AxisId> rows_;
    std::map<TensorIndex, Joined> joined_;
    IndexedVector<TensorIndex, State> states_;
    IndexedVector<TensorIndex, bool> made_;  // of each tensor: whether its last writer made a part of it
    NodeIndex again_ = kNoNode;
};

}  // namespace

bool makes_expert_rows(const Relations& relations, NodeIndex node) {
    const Call call = relations.flow().call(node);
    if (!looks_up(call) || call.output_count() != 1) return false;
    if (!relations.is_live(call.first_operand())) return false;
    if (!is_floating(relations.flow().tensor(call.output()).dtype) || call.rank(call.output()) != 2)
        return false;
    const AxisList& axes = relations.known(call.output());
    const AxisList& from = relations.known(call.first_operand());
    return std::any_of(relations.experts().begin(), relations.experts().end(), [&](const Experts& each) {
        const AxisId rows = relations.axes().root(each.rows);
        return rows != Axes::kOne && relations.axes().root(axes.front()) == rows && from.size() == 2 &&
               relations.axes().root(from.front()) != rows;
    });
}

std::map<AxisId, ExpertLoads> loads_by_rows(Relations& relations, const Layout& layout) {
    const Axes& axes = relations.axes();
    std::map<AxisId, std::int64_t> top_k;
    std::map<AxisId, ExpertLoads> loads;
    if (relations.experts().empty()) return loads;
    for (NodeIndex node = 0; node < relations.flow().count(); ++node) {
        if (!makes_expert_rows(relations, node)) continue;
        const Call call = relations.flow().call(node);
        const Axes::Length rows = relations.lengths(call.output()).front();
        const Axes::Length tokens = relations.lengths(call.first_operand()).front();
        if (tokens > 0 && rows % tokens == 0) {
            top_k.emplace(axes.root(relations.known(call.output()).front()), rows / tokens);
        }
    }
    for (const Experts& each : relations.experts()) {
        const AxisId rows = axes.root(each.rows);
        if (rows == Axes::kOne || loads.contains(rows)) continue;
        const auto found = top_k.find(rows);
        const Axes::Length experts = axes.length(each.experts);
        const std::int64_t chosen = found == top_k.end() ? 1 : std::min(found->second, experts);
        loads.emplace(rows, ExpertLoads(layout, experts, chosen));
    }
    return loads;
}

PartialSums partial_sums(Relations& relations, const Layout& layout) {
    return SumFinder(relations, layout).run();
}

}  // namespace infercost
