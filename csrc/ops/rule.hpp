// One op is one row: its name, the shape of its work, the shape of its traffic, its convention as text, and
// its traits.
//
// A row is looked up by "namespace.name.overload", then by "namespace.name". An in-place op ("relu_") has the
// row of its functional version. Ops without cost are rows too; an op without a row is reported as
// unmodelled.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ops/call.hpp"
#include "ops/call_table.hpp"
#include "ops/traits.hpp"
#include "ops/work.hpp"

namespace infercost {

using WorkShape = void (*)(const Call&, Work&);

// The bytes that move, and whether the results share storage with the first operand.
struct TrafficShape {
    void (*bytes)(const Call&, Work&);
    bool (*aliases)(const Call&);
    bool each = false;  // each result shares storage with the operand at its position instead of the first
};

struct OpRule {
    std::string_view op;
    WorkShape work;
    TrafficShape traffic;
    std::string_view convention;
    OpTraits traits;

    // Traits follow in any order; a trait without a value has its default.
    template <class... Traits>
    constexpr OpRule(std::string_view name, WorkShape work_of, TrafficShape traffic_of, std::string_view text,
                     Traits... given)
        : op(name), work(work_of), traffic(traffic_of), convention(text) {
        (traits.set(given), ...);
    }
};

// The rows of a table. `otherwise`, a Relation or Untied, is the relation of a row that states none. Does not
// compile if two rows have the same op.
template <std::size_t N, class Otherwise>
consteval std::array<OpRule, N> op_rows(const OpRule (&table)[N], Otherwise otherwise) {
    std::array<OpRule, N> rows = std::to_array(table);
    for (std::size_t i = 0; i < N; ++i) {
        for (std::size_t j = i + 1; j < N; ++j) {
            if (rows[i].op == rows[j].op) throw "two rows have the same op";
        }
        OpTraits& traits = rows[i].traits;
        if (traits.relation == Relation::none && traits.untied.empty()) traits.set(otherwise);
    }
    return rows;
}

struct Family {
    std::string_view name;
    std::span<const OpRule> rows;
};

std::span<const OpRule> contraction_rules();
std::span<const OpRule> convolution_rules();
std::span<const OpRule> recurrent_rules();
std::span<const OpRule> multilinear_rules();
std::span<const OpRule> attention_rules();
std::span<const OpRule> normalization_rules();
std::span<const OpRule> pointwise_rules();
std::span<const OpRule> reduction_rules();
std::span<const OpRule> movement_rules();
std::span<const OpRule> indexing_rules();
std::span<const OpRule> pooling_rules();
std::span<const OpRule> sampling_rules();
std::span<const OpRule> creation_rules();
std::span<const OpRule> special_rules();
std::span<const OpRule> loss_rules();
std::span<const OpRule> fourier_rules();
std::span<const OpRule> linalg_rules();
std::span<const OpRule> foreach_rules();
std::span<const OpRule> sparse_rules();
std::span<const OpRule> transformer_rules();
std::span<const OpRule> vllm_kernel_rules();
std::span<const OpRule> engine_kernel_rules();
std::span<const OpRule> collective_rules();
std::span<const OpRule> quantized_rules();
std::span<const OpRule> quantized_element_rules();
std::span<const OpRule> backward_contraction_rules();
std::span<const OpRule> backward_pointwise_rules();
std::span<const OpRule> backward_movement_rules();

// All tables. The first call throws std::logic_error if two rows have the same name.
const std::vector<Family>& families();
const OpRule* find_rule(const OpName& op);

// The traits of the op of a call; the defaults for an op without a row.
const OpTraits& traits_of(const Call& call);

// The work of single nodes from the caller's rules.
using Overrides = std::vector<std::pair<NodeIndex, Work>>;

// Computes the work of every node, in order.
class Analyzer {
  public:
    // `overrides` replaces the rule of single nodes, and must outlive the analyzer.
    Analyzer(std::shared_ptr<const Graph> graph, const Sizes& sizes, const Precision& precision,
             const Overrides* overrides = nullptr);

    const Pass& pass() const { return pass_; }
    Call call(NodeIndex node) const { return {pass_, graph_->nodes()[node]}; }
    bool has_override(NodeIndex node) const { return !overrides_.empty() && overrides_[node]; }
    // Must be called in node order, because it tracks the storage of views. The work stays until the next
    // call.
    const Work& analyze(NodeIndex node);

  private:
    // What equal calls have in common: layers of a model are many times the same.
    struct Known {
        Work work;
        bool aliases = false;
        bool counted = false;
    };
    const Known& known(const Call& call, const OpRule& rule);
    void count(const Call& call, const OpRule& rule, Known& made);
    void alias(const Call& call, bool each);
    static void check(const Call& call, Work& work);

    std::shared_ptr<const Graph> graph_;
    Pass pass_;
    IndexedVector<NodeIndex, const Work*> overrides_;
    Known own_;  // of a node with an override, without a rule, or without a number
    CallTable calls_;
    std::deque<Known> known_;  // by the number of the call
};

}  // namespace infercost
