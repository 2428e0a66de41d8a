// One op is one row: its name, the shape of its work, the shape of its traffic, and its convention as text.
//
// A row is looked up by "namespace.name.overload", then by "namespace.name". An in-place op ("relu_") has the
// row of its functional version. Ops without cost are rows too; an op without a row is reported as
// unmodelled.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ops/call.hpp"
#include "ops/call_table.hpp"
#include "ops/work.hpp"

namespace infercost {

using WorkShape = void (*)(const Call&, Work&);

// The bytes that move, and whether the results share storage with the first operand.
struct TrafficShape {
    void (*bytes)(const Call&, Work&);
    bool (*aliases)(const Call&);
    bool each = false;  // each result shares storage with the operand at its position instead of the first
};

// How a compiler's loop for an op differs from others of its kind of work (lowering/loop_classes.cpp).
// reads_twice: its decomposition reads the operand more than once, as in x * sigmoid(x).
enum class LoopTrait : std::uint8_t {
    none,
    reads_twice,
    adaptive_pool,
    batch_norm,
    batch_norm_update,  // always with the statistics of the batch
    group_norm,
    instance_norm
};

struct OpRule {
    std::string_view op;
    WorkShape work;
    TrafficShape traffic;
    std::string_view convention;
    LoopTrait loop = LoopTrait::none;
};

template <std::size_t N>
constexpr bool each_op_once(const OpRule (&rows)[N]) {
    for (std::size_t i = 0; i < N; ++i) {
        for (std::size_t j = i + 1; j < N; ++j) {
            if (rows[i].op == rows[j].op) return false;
        }
    }
    return true;
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

// The rule of each distinct op of a graph, or nullptr.
std::vector<const OpRule*> rules_of(const Graph& graph);

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
    std::vector<const OpRule*> rules_;
    IndexedVector<NodeIndex, const Work*> overrides_;
    Known own_;  // of a node with an override, without a rule, or without a number
    CallTable calls_;
    std::deque<Known> known_;  // by the number of the call
};

}  // namespace infercost
