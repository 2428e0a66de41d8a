// Relations: the axes of all tensors of a graph, which its operators make equal, and the places where a value
// depends on all of an axis.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lowering/flow.hpp"
#include "lowering/parallel/axes.hpp"

namespace infercost {

using AxisList = IndexedVector<std::int64_t, AxisId>;
using Lengths = IndexedVector<std::int64_t, Axes::Length>;

// A product that sums over an axis: of a weight with an activation.
struct Summed {
    NodeIndex node;
    AxisId inner;        // the axis that it sums over
    AxisId outer;        // the axis of the weight that the result has
    TensorIndex weight;  // a parameter, or a view of one
    std::int64_t elements;
};

// Elements of a weight that stay together: they share a scale, or a byte.
struct Blocks {
    NodeIndex node;
    AxisId axis;
    Axes::Length unit;  // elements of a block
    bool padded;        // the part of a device is padded to whole blocks
};

// Products of tokens that are sorted by expert.
struct Experts {
    NodeIndex node;
    AxisId experts;
    AxisId rows;  // one for each token and expert that it is sent to
};

// Queries that attend to keys, where tokens are both or all ranks have the keys.
struct Attended {
    NodeIndex node;
    AxisId queries;
    AxisId keys;
};

// The gradient of logits whose columns are divided: all ranks compute all of it, as they have all logits, and
// read their own columns.
struct LogitsGradient {
    NodeIndex node;
    AxisList whole;  // its axes before
};

class Relations {
  public:
    explicit Relations(const std::shared_ptr<const Graph>& graph);

    const Flow& flow() const { return flow_; }
    Axes& axes() { return axes_; }
    const Axes& axes() const { return axes_; }
    // Axes of a tensor. Of a packed or scaled weight they may be longer than its dimensions, in proportion.
    const AxisList& of(TensorIndex t);
    const AxisList& known(TensorIndex t) const { return axes_of_[t]; }
    std::span<const Summed> products() const { return products_; }
    std::span<const Experts> experts() const { return experts_; }
    std::span<const Blocks> blocks() const { return blocks_; }
    std::span<const Attended> attended() const { return attended_; }
    // Look-ups of rows of a weight: its axis, and that of the rows.
    std::span<const std::pair<AxisId, AxisId>> look_ups() const { return look_ups_; }
    // Axes that a table of embeddings is looked up along, and those of products that end in logits over them.
    std::span<const AxisId> vocabularies() const { return vocabularies_; }
    std::span<const LogitsGradient> logits_gradients() const { return logits_gradients_; }
    NodeIndex node_of(const Call& call) const {
        return static_cast<NodeIndex>(&call.node() - flow_.graph().nodes().data());
    }
    bool is_head(NodeIndex node) const { return head_[node]; }
    bool is_backward(NodeIndex node) const { return flow_.graph().nodes()[node].phase == Phase::backward; }

    // Lengths of a tensor as numbers: each named size is replaced by a prime of its own.
    const Lengths& lengths(TensorIndex t);
    Axes::Length number(const Expr& value) const { return value.evaluate(primes_); }
    // Tensors that do not depend on tokens: weights, and what is computed from them.
    bool is_live(TensorIndex t) const;
    bool is_weight(TensorIndex t) const;
    // What a tensor is made of, if it is made of one tensor at each step.
    TensorIndex origin_of(TensorIndex t) const;
    // Whether a node looks up words that are given to the graph.
    bool looks_up_words(NodeIndex node) const;

    // ---- for rules ----
    AxisId axis(TensorIndex t, int dim);
    void set(TensorIndex t, AxisList axes);
    void fix(TensorIndex t, int dim, std::string_view why) { axes_.fix(axis(t, dim), why); }
    // New axes of the lengths of a tensor.
    AxisList fresh(TensorIndex t);
    // A product of an activation with a weight, if `weight` is one; otherwise the axis stays whole.
    void sums(const Call& call, TensorIndex weight, AxisId inner, AxisId outer);
    void add_experts(Experts found) { experts_.push_back(found); }
    void add_blocks(Blocks found) { blocks_.push_back(found); }
    void add_attended(Attended found) { attended_.push_back(found); }
    void add_look_up(AxisId axis, AxisId rows) { look_ups_.emplace_back(axis, rows); }
    void add_vocabulary(AxisId axis) { vocabularies_.push_back(axis); }
    // The columns of the product of a head.
    void add_head(AxisId columns) { columns_of_heads_.emplace(flow_.weight_of(node_), columns); }
    void add_table(TensorIndex ids, TensorIndex table) { tables_.emplace_back(ids, table); }
    // The table of these lengths that indices were looked up in; kNoTensor if there is none.
    TensorIndex table_of(TensorIndex ids, const std::vector<Axes::Length>& lengths);
    NodeIndex node() const { return node_; }

  private:
    void relate(NodeIndex node);
    void lock(const Call& call, const std::string& why);
    bool is_cache(TensorIndex result) const;
    void find_heads();
    void find_gradients_of_logits();
    void divide_gradient_of_logits(NodeIndex node);
    void fix_ends();
    void weigh();
    void keep_blocks();

    Flow flow_;
    Axes axes_;
    Sizes primes_;
    IndexedVector<TensorIndex, AxisList> axes_of_;
    IndexedVector<TensorIndex, Lengths> lengths_;
    std::vector<Summed> products_;
    std::vector<Experts> experts_;
    std::vector<Blocks> blocks_;
    std::vector<Attended> attended_;
    std::vector<std::pair<AxisId, AxisId>> look_ups_;
    std::vector<AxisId> vocabularies_;
    std::vector<std::pair<TensorIndex, TensorIndex>> tables_;
    IndexedVector<NodeIndex, bool> head_;
    std::map<TensorIndex, AxisId> columns_of_heads_;        // by weight
    std::map<NodeIndex, TensorIndex> gradients_of_logits_;  // makers, and the weights that read them
    std::vector<LogitsGradient> logits_gradients_;
    NodeIndex node_ = kNoNode;
};

// How an operator relates the dimensions of its operands and results. It returns false for arguments that it
// does not know.
using RelationRule = bool (*)(Relations&, const Call&);
struct RelationRow {
    Relation relation;
    RelationRule rule;
};
std::span<const RelationRow> view_relations();
std::span<const RelationRow> product_relations();
std::span<const RelationRow> narrow_relations();
std::span<const RelationRow> row_relations();
std::span<const RelationRow> backward_relations();

// A dimension given by an argument, counted from the front; -1 if it is not a number in range.
int dim_of(const Call& call, std::string_view name, int rank, std::int64_t otherwise);
// Results of the length of an operand's dimension, right-aligned, have its axes.
bool relate_elements(Relations& relations, const Call& call);

}  // namespace infercost
