// Operators of the backward pass: gradients have the axes of what they are gradients of.
#include <algorithm>

#include "lowering/parallel/relations.hpp"

namespace infercost {
namespace {
namespace backward_relations_table {

constexpr std::string_view kRow = "an operator needs whole rows of them";
constexpr std::string_view kRead = "single ones are looked up";

void equal_all(Relations& relations, TensorIndex a, TensorIndex b) {
    const AxisList one = relations.of(a);
    const AxisList other = relations.of(b);
    for (std::size_t i = 1; i <= std::min(one.size(), other.size()); ++i) {
        const AxisId x = one[one.size() - i];
        const AxisId y = other[other.size() - i];
        if (relations.axes().length(x) == relations.axes().length(y)) relations.axes().equal(x, y);
    }
}

// The gradients of query, key, value and mask, in this order; the mask's may be absent.
bool attention(Relations& relations, const Call& call) {
    const TensorIndex value = call.require_tensor("value");
    const TensorIndex operands[] = {
        call.require_tensor("query"), call.require_tensor("key"), value,
        call.tensor("attn_bias") != kNoTensor ? call.tensor("attn_bias") : call.tensor("attn_mask")};
    const AxisList q = relations.of(operands[0]);
    if (q.size() < 3 || call.output_count() < 3) return false;
    const AxisList result = relations.of(call.first_operand());  // that of the forward
    if (result.size() != q.size()) return false;
    for (std::size_t i = 0; i + 1 < q.size(); ++i) relations.axes().equal(result[i], q[i]);
    relations.axes().equal(result.back(), relations.of(value).back());
    for (std::size_t i = 0; i < call.output_count(); ++i) {
        const bool known = i < std::size(operands) && operands[i] != kNoTensor &&
                           relations.lengths(operands[i]) == relations.lengths(call.output(i));
        if (!known && i < 3) return false;
        relations.set(call.output(i), known ? relations.of(operands[i]) : relations.fresh(call.output(i)));
    }
    return true;
}

// The gradient of a norm of rows, and those of its weight and bias.
bool row_norm(Relations& relations, const Call& call) {
    const TensorIndex input = call.require_tensor("input");
    const AxisList axes = relations.of(input);
    const std::size_t normed = call.integers("normalized_shape").size();
    if (normed == 0 || normed > axes.size()) return false;
    equal_all(relations, call.first_operand(), input);
    const AxisList weight(axes.end() - static_cast<std::ptrdiff_t>(normed), axes.end());
    for (const AxisId axis : weight) relations.axes().mark_norm(axis);
    for (std::size_t r = 0; r < call.output_count(); ++r) {
        const std::size_t rank = relations.lengths(call.output(r)).size();
        if (rank != axes.size() && rank != normed) return false;
        relations.set(call.output(r), rank == axes.size() && r == 0 ? axes : weight);
    }
    return true;
}

// Rows of the gradient are added up in those of the table that the forward read.
bool embedding(Relations& relations, const Call& call) {
    const TensorIndex ids = call.require_tensor("indices");
    const AxisList grad = relations.of(call.first_operand());
    const TensorIndex table = relations.table_of(ids, relations.lengths(call.output()));
    AxisList now = relations.fresh(call.output());
    if (grad.empty() || now.size() != 2) return false;
    if (table == kNoTensor) {
        relations.axes().fix(now[0], kRead);
        now[1] = grad.back();
    } else {
        now = relations.of(table);
        relations.axes().equal(now[1], grad.back());
    }
    relations.set(call.output(), now);
    return true;
}

// A part of a dimension among zeros.
bool placed(Relations& relations, const Call& call) {
    AxisList axes = relations.of(call.first_operand());
    const Lengths lengths = relations.lengths(call.output());
    if (axes.size() != lengths.size()) return false;
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), 0);
    if (dim < 0) return false;
    const Axes::Length whole = lengths[dim];
    const Axes::Length part = relations.axes().length(axes[dim]);
    if (part != whole) {
        Axes::Length start = relations.number(call.integer("start", 0));
        if (start < 0) start += whole;
        const Axes::Length step = relations.number(call.integer("step", 1));
        if (start < 0 || start + part > whole) return false;
        if (step > 1) {  // one of each group of neighbors
            if (part * step != whole) return false;
            const AxisId parts[] = {axes[dim], relations.axes().leaf(step)};
            relations.axes().fix(parts[1], "one of each group of them is read", true);
            axes[dim] = relations.axes().product(parts);
        } else {
            AxisList sections;
            if (start > 0) sections.push_back(relations.axes().leaf(start));
            sections.push_back(axes[dim]);
            if (whole > start + part) sections.push_back(relations.axes().leaf(whole - start - part));
            axes[dim] = relations.axes().sequence(sections);
        }
    }
    relations.set(call.output(), axes);
    return true;
}

// One element of a dimension among zeros.
bool placed_one(Relations& relations, const Call& call) {
    AxisList axes = relations.of(call.first_operand());
    const AxisList now = relations.fresh(call.output());
    if (now.size() != axes.size() + 1) return false;
    const int dim = dim_of(call, "dim", static_cast<int>(now.size()), 0);
    if (dim < 0) return false;
    relations.axes().fix(now[dim], "they are read one by one", true);
    axes.insert(axes.begin() + dim, now[dim]);
    relations.set(call.output(), axes);
    return true;
}

// Needs all of one dimension of gradient and result.
bool along(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.first_operand());
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), -1);
    if (dim < 0) return false;
    equal_all(relations, call.first_operand(), call.require_tensor("output"));
    relations.axes().fix(axes[dim], kRow);
    relations.set(call.output(), axes);
    return true;
}

// Both halves of a dimension have gradients.
bool gated(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.require_tensor("self"));
    const AxisList grad = relations.of(call.first_operand());
    const int dim = dim_of(call, "dim", static_cast<int>(axes.size()), -1);
    if (dim < 0 || grad.size() != axes.size()) return false;
    const Axes::Length half = relations.axes().length(axes[dim]) / 2;
    const Axes::Length lengths[] = {half, half};
    const AxisList parts = relations.axes().cut(axes[dim], lengths);
    if (parts.size() != 2) return false;
    relations.axes().equal(parts[0], grad[dim]);
    relations.axes().equal(parts[1], grad[dim]);
    relations.set(call.output(), axes);
    return true;
}

// ---- losses ----

// One logarithm of each row is read; the loss has no dimensions, or those of the rows.
bool log_likelihood(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.first_operand());
    if (axes.empty()) return false;
    const std::size_t classes = axes.size() == 1 ? 0 : 1;
    relations.axes().fix(axes[classes], kRead);
    for (std::size_t r = 0; r < call.output_count(); ++r) {
        AxisList now = relations.fresh(call.output(r));
        AxisList rows = axes;
        rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(classes));
        if (now.size() == rows.size()) now = rows;
        relations.set(call.output(r), now);
    }
    for (const AxisId axis : axes) relations.axes().mix(axis, "a loss is a mean of them");
    return true;
}

bool log_likelihood_backward(Relations& relations, const Call& call) {
    const AxisList axes = relations.of(call.require_tensor("self"));
    relations.set(call.output(), axes);
    return true;
}

// A mean of differences.
bool distance(Relations& relations, const Call& call) {
    const TensorIndex first = call.first_operand();
    call.for_each_input([&](TensorIndex t) { equal_all(relations, first, t); });
    for (const AxisId axis : relations.of(first)) relations.axes().fix(axis, "a loss is a mean of them");
    for (std::size_t r = 0; r < call.output_count(); ++r) {
        const bool whole = relations.lengths(call.output(r)) == relations.lengths(first);
        relations.set(call.output(r), whole ? relations.of(first) : relations.fresh(call.output(r)));
    }
    return true;
}

constexpr RelationRow kRows[] = {
    {Relation::attention_backward,      attention              },
    {Relation::row_norm_backward,       row_norm               },
    {Relation::embedding_backward,      embedding              },
    {Relation::placed,                  placed                 },
    {Relation::placed_one,              placed_one             },
    {Relation::along_backward,          along                  },
    {Relation::gated_backward,          gated                  },
    {Relation::log_likelihood,          log_likelihood         },
    {Relation::log_likelihood_backward, log_likelihood_backward},
    {Relation::distance,                distance               },
};

}  // namespace backward_relations_table
}  // namespace

std::span<const RelationRow> backward_relations() {
    return backward_relations_table::kRows;
}

}  // namespace infercost
