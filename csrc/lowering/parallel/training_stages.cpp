#include "lowering/parallel/training_stages.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "core/errors.hpp"
#include "core/graph_rewriter.hpp"
#include "lowering/parallel/node_arguments.hpp"
#include "ops/collective.hpp"

namespace infercost {
namespace {

// A gradient, and the nodes that read it.
struct Gradient {
    TensorIndex tensor;
    NodeIndex made;
    std::vector<NodeIndex> readers;
};

// Which stage has each node of a training step. Stages are numbered by the cuts of the forward.
class StepStages {
  public:
    StepStages(const std::shared_ptr<const Graph>& graph, std::span<const CutPlace> cuts)
        : flow_(graph), depends_(flow_), cuts_(cuts) {
        while (forward_ < flow_.count() && !is_backward(forward_)) ++forward_;
        find_forward();
        find_backward();
        find_gradients();
    }

    const Flow& flow() const { return flow_; }
    std::size_t count() const { return cuts_.size() + 1; }
    const std::vector<NodeIndex>& forward_bounds() const { return bounds_; }
    NodeIndex first_backward() const { return forward_; }
    // Of the stages up to this one.
    NodeIndex backward_begin(std::size_t stage) const { return begins_[stage]; }

    // Gradients of activations that pass from one stage to the one before it.
    std::vector<Gradient> sent_back(std::size_t stage) const {
        std::vector<Gradient> found;
        for (const Gradient& each : gradients_) {
            if (crosses(each, stage) && !is_of_weight(each.readers.back())) found.push_back(each);
        }
        return found;
    }

    // Nodes that add up gradients of one weight that several stages read.
    std::map<NodeIndex, TensorIndex> sums_of_weights() const {
        std::map<NodeIndex, TensorIndex> found;  // and what an earlier stage adds
        for (const Gradient& each : gradients_) {
            for (std::size_t stage = 0; stage < count() - 1; ++stage) {
                if (crosses(each, stage) && is_of_weight(each.readers.back()))
                    found.emplace(each.readers.back(), each.tensor);
            }
        }
        return found;
    }

    // The operand of a sum of two gradients that is made of another one than `gradient`.
    TensorIndex other_operand(NodeIndex sum, TensorIndex gradient) const {
        for (const Operand& operand : flow_.operands(sum)) {
            if (depends_.source(operand).tensor != gradient) return operand.tensor;
        }
        return kNoTensor;
    }

  private:
    bool is_backward(NodeIndex node) const { return flow_.graph().nodes()[node].phase == Phase::backward; }
    bool crosses(const Gradient& each, std::size_t stage) const {
        const NodeIndex begin = begins_[stage];
        return each.made < begin && each.readers.back() >= begin;
    }

    // A stage ends with its last node that computes: views of what it sends belong to the next one.
    void find_forward() {
        IndexedVector<NodeIndex, NodeIndex> last;
        for (NodeIndex i = 0; i < forward_; ++i) {
            last.push_back(depends_.computes(i) || last.empty() ? i : last.back());
        }
        bounds_.push_back(0);
        for (const CutPlace& cut : cuts_) {
            if (cut.before <= bounds_.back() || cut.before >= forward_) {
                throw InputError("a training step is cut before node " + std::to_string(cut.before) +
                                 "; expected nodes of its forward in ascending order");
            }
            bounds_.push_back(last[cut.before - 1] + 1);
            sent_.insert(cut.crossing.begin(), cut.crossing.end());
        }
        bounds_.push_back(forward_);
        for (NodeIndex i = 0; i < forward_; ++i) {
            if (!depends_.computes(i)) continue;
            modules_[flow_.module(i)].insert(stage_of(i));
            for (const Operand& operand : flow_.operands(i)) {
                const TensorIndex given = given_of(operand);
                if (given != kNoTensor) readers_[given].insert(stage_of(i));
            }
        }
    }
    std::size_t stage_of(NodeIndex forward) const {
        const auto after = std::upper_bound(bounds_.begin(), bounds_.end() - 1, forward);
        return static_cast<std::size_t>(after - bounds_.begin()) - 1;
    }
    // The weight or input that a value is a view of, or another dtype of; kNoTensor if it is computed.
    TensorIndex given_of(Operand operand) const {
        while (operand.producer != kNoNode) {
            const auto operands = flow_.operands(operand.producer);
            const bool known = !depends_.on_input(operand.producer) || flow_.is_free(operand.producer);
            if (operands.empty() || !known) return kNoTensor;
            operand = operands.front();
        }
        return operand.tensor;
    }

    // The stage that has what a node of the backward reads; count() if that may be any.
    std::size_t own_stage(NodeIndex node) const {
        std::size_t own = count();
        if (!depends_.computes(node)) return own;
        for (const Operand& operand : flow_.operands(node)) {
            const Operand source = depends_.source(operand);
            if (source.producer != kNoNode && depends_.on_input(source.producer)) {
                const bool kept = !is_backward(source.producer) && !sent_.contains(source.tensor);
                if (kept) own = std::min(own, stage_of(source.producer));
                continue;
            }
            const auto found = readers_.find(given_of(operand));
            if (found == readers_.end()) continue;
            const std::set<std::size_t>* stages = &found->second;
            // Of a weight or an input that several stages read, the module tells which one this is.
            if (const auto module = modules_.find(flow_.module(node));
                stages->size() > 1 && module != modules_.end())
                stages = &module->second;
            if (stages->size() == 1) own = std::min(own, *stages->begin());
        }
        return own;
    }

    // The stage of the forward of a node's module; count() if that may be any.
    std::size_t stage_of_module(NodeIndex node) const {
        const auto found = modules_.find(flow_.module(node));
        const bool known = found != modules_.end() && found->second.size() == 1 && depends_.computes(node);
        return known ? *found->second.begin() : count();
    }

    void find_backward() {
        begins_.assign(count(), flow_.count());
        begins_.back() = forward_;
        std::size_t now = count() - 1;
        for (NodeIndex i = forward_; i < flow_.count(); ++i) {
            std::size_t own = own_stage(i);
            if (own == count()) own = std::min(now, stage_of_module(i));
            if (own > now) {
                throw InputError("the backward of '" + flow_.module(i) +
                                 "' runs after that of layers before it; expected pipeline=1");
            }
            while (now > own) begins_[--now] = with_views(i);
        }
    }

    // From the views, and the gatherings of tokens, on that nodes from this one on read.
    NodeIndex with_views(NodeIndex begin) const {
        while (begin > forward_ &&
               (!depends_.computes(begin - 1) || flow_.call(begin - 1).op().full == kAllGather)) {
            const auto uses = flow_.uses(begin - 1);
            const bool later =
                std::all_of(uses.begin(), uses.end(), [&](const Use& use) { return use.consumer >= begin; });
            if (uses.empty() || !later) break;
            --begin;
        }
        return begin;
    }

    void find_gradients() {
        std::map<std::pair<NodeIndex, TensorIndex>, std::size_t> numbers;
        for (NodeIndex i = forward_; i < flow_.count(); ++i) {
            if (!depends_.computes(i)) continue;
            for (const Operand& operand : flow_.operands(i)) {
                const Operand source = depends_.source(operand);
                if (source.producer == kNoNode || !depends_.on_input(source.producer)) continue;
                if (!is_backward(source.producer)) continue;
                const auto [found, is_new] =
                    numbers.try_emplace({source.producer, source.tensor}, gradients_.size());
                if (is_new) gradients_.push_back({source.tensor, source.producer, {}});
                gradients_[found->second].readers.push_back(i);
            }
        }
    }

    // Whether a node adds up gradients of a weight: its result is one of the graph, or read by such a node.
    bool is_of_weight(NodeIndex node) const {
        if (flow_.op(node) != "aten.add" || flow_.call(node).output_count() != 1) return false;
        const TensorIndex result = flow_.call(node).output();
        if (flow_.is_output(result)) return true;
        const auto uses = flow_.uses(node);
        return !uses.empty() && std::all_of(uses.begin(), uses.end(), [&](const Use& use) {
            return flow_.is_free(use.consumer) ? flow_.is_output(flow_.call(use.consumer).output())
                                               : is_of_weight(use.consumer);
        });
    }

    Flow flow_;
    Dependence depends_;
    std::span<const CutPlace> cuts_;
    NodeIndex forward_ = 0;          // nodes of the forward
    std::vector<NodeIndex> bounds_;  // of stages in the forward
    std::vector<NodeIndex> begins_;  // of the backward of stages
    std::set<TensorIndex> sent_;
    std::map<TensorIndex, std::set<std::size_t>>
        readers_;  // of weights and inputs: the stages that read them
    std::map<std::string, std::set<std::size_t>> modules_;  // the stages of their nodes
    std::vector<Gradient> gradients_;
};

TensorIndex like(GraphRewriter& rewriter, const Flow& flow, TensorIndex t) {
    return rewriter.add_tensor(flow.tensor(t).dtype, flow.shape(t), std::nullopt, Role::activation, "");
}

}  // namespace

std::vector<NodeIndex> backward_places(const std::shared_ptr<const Graph>& graph,
                                       std::span<const CutPlace> cuts) {
    const StepStages stages(graph, cuts);
    std::vector<NodeIndex> found;
    for (std::size_t i = 0; i < cuts.size(); ++i) found.push_back(stages.backward_begin(i));
    return found;
}

std::vector<CutPlace> training_cut_places(const std::shared_ptr<const Graph>& graph, std::int64_t stages) {
    const std::vector<CutPlace> all = cut_places(graph, stages);
    const StepStages step(graph, all);
    std::vector<CutPlace> found;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (step.sent_back(i).size() <= 1) found.push_back(all[i]);
    }
    if (static_cast<std::int64_t>(found.size()) >= stages - 1) return found;
    throw InputError("pipeline=" + std::to_string(stages) + " needs " + std::to_string(stages - 1) +
                     " places where one gradient passes back, and this model has " +
                     std::to_string(found.size()) + " of " + std::to_string(all.size()) +
                     " where one activation passes; expected pipeline to be at most " +
                     std::to_string(found.size() + 1));
}

Pipeline training_pipeline_of(const std::shared_ptr<const Graph>& graph, std::span<const CutPlace> cuts,
                              std::span<const std::int64_t> nodes) {
    if (nodes.size() != cuts.size()) {
        throw InputError("a pipeline got " + std::to_string(nodes.size()) + " sends for " +
                         std::to_string(cuts.size()) + " cuts; expected one for each");
    }
    const StepStages step(graph, cuts);
    const Flow& flow = step.flow();
    GraphRewriter rewriter(*graph);
    const auto send = [&](TensorIndex t, NodeIndex end, std::int64_t machines) {
        const NamedArgument arguments[] = {
            {"input",   t             },
            {"devices", Expr(2)       },
            {"nodes",   Expr(machines)},
        };
        const TensorIndex received = like(rewriter, flow, t);
        rewriter.insert_after(end, kSend, arguments, {&received, 1});
    };
    for (std::size_t i = 0; i < cuts.size(); ++i) {
        for (const TensorIndex t : cuts[i].crossing) send(t, step.forward_bounds()[i + 1] - 1, nodes[i]);
        const std::vector<Gradient> back = step.sent_back(i);
        if (back.size() > 1) {
            throw InputError("a training step is cut before node " + std::to_string(cuts[i].before) +
                             ", where " + std::to_string(back.size()) +
                             " gradients pass back; expected a place of cut_places");
        }
        for (const Gradient& each : back) send(each.tensor, step.backward_begin(i) - 1, nodes[i]);
    }
    for (const auto& [sum, gradient] : step.sums_of_weights()) {
        rewriter.redirect(flow.call(sum).output(), step.other_operand(sum, gradient));
        rewriter.remove(sum);
        rewriter.hold(gradient);
    }
    const Rewritten sending = rewriter.build();
    Pipeline made{.graph = sending.graph, .stages = {}, .place_of = sending.place_of};
    const auto all = static_cast<NodeIndex>(sending.graph->nodes().size());
    const auto place = [&](NodeIndex node) { return node == flow.count() ? all : sending.place_of[node]; };
    std::vector<NodeIndex> forward;
    for (const NodeIndex bound : step.forward_bounds()) forward.push_back(place(bound));
    const Flow now(made.graph);
    const Dependence depends(now);
    const std::vector<std::vector<TensorIndex>> unread = unread_by_stage(*made.graph, forward);
    for (std::size_t i = 0; i < step.count(); ++i) {
        const NodeIndex end = i == 0 ? all : place(step.backward_begin(i - 1));
        const NodeRange ranges[] = {
            {forward[i],                    forward[i + 1]},
            {place(step.backward_begin(i)), end           },
        };
        made.stages.push_back(stage_of(now, depends, ranges, unread[i]));
    }
    return made;
}

}  // namespace infercost
