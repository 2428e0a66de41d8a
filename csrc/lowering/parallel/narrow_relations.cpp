// Products of weights in narrow formats: packed along their columns, with scales for rows, groups or blocks.
#include <algorithm>
#include <string>

#include "lowering/parallel/product_axes.hpp"

namespace infercost {
namespace {

constexpr std::string_view kStored = "weight_";  // arguments beside a weight: scales, zero points
constexpr std::string_view kPlaces = "places";   // of the weights that a pruned matrix keeps

// The axes of a weight in a narrow format.
struct Narrow {
    AxisId experts;  // kOne for a single matrix
    AxisId outer;
    AxisId inner;
    Axes::Length group;  // columns that share a scale, as the call has it; 0 if it does not say
    bool padded;         // whether engines pad the blocks of each device
};

// Elements in each of a number of blocks, of which the last may be shorter: a power of two where the length
// is no multiple.
Axes::Length block_of(Axes::Length length, Axes::Length blocks) {
    if (blocks <= 0 || blocks >= length) return 1;
    if (length % blocks == 0) return length / blocks;
    for (Axes::Length block = 2; block < length; block *= 2) {
        if ((length + block - 1) / block == blocks) return block;
    }
    return 1;
}

// Groups of the elements of a row or of a column.
void add_groups(Relations& relations, AxisId axis, Axes::Length unit, bool padded) {
    if (unit > 1) relations.add_blocks({relations.node(), axis, unit, padded});
}

bool is_of_inputs(std::string_view name) {
    return name.ends_with("index") || name.ends_with("g_idx");
}

// All elements beside a matrix in one dimension, as files store them.
AxisId flat(Relations& relations, const Narrow& narrow, std::string_view name, Axes::Length length) {
    Axes& axes = relations.axes();
    const Axes::Length rows = axes.length(narrow.outer);
    const Axes::Length columns = axes.length(narrow.inner);
    if (length == 1) return Axes::kOne;
    if (is_of_inputs(name) && length == columns) return narrow.inner;
    if (length == rows && narrow.group == 0) return narrow.outer;
    if (narrow.group > 0) {
        const Axes::Length groups = (columns + narrow.group - 1) / narrow.group;
        add_groups(relations, narrow.inner, narrow.group, narrow.padded);
        if (length % groups == 0) add_groups(relations, narrow.outer, block_of(rows, length / groups), false);
    }
    const AxisId both[] = {narrow.outer, narrow.inner};
    return axes.product(both);
}

void relate_beside(Relations& relations, const Narrow& narrow, std::string_view name, TensorIndex t) {
    Axes& axes = relations.axes();
    const std::vector<Axes::Length> lengths = relations.lengths(t);
    AxisList own;
    if (narrow.experts != Axes::kOne && !lengths.empty() && lengths.front() == axes.length(narrow.experts)) {
        own.push_back(narrow.experts);
    }
    const std::size_t first = own.size();
    if (lengths.size() == first + 1) {
        own.push_back(flat(relations, narrow, name, lengths[first]));
    } else if (lengths.size() == first + 2) {
        const AxisId of_weight[] = {narrow.outer, narrow.inner};
        for (std::size_t i = 0; i < 2; ++i) {
            const Axes::Length length = lengths[first + i];
            own.push_back(length > 1 ? of_weight[i] : Axes::kOne);
            if (length == 1) continue;
            const Axes::Length unit =
                i == 1 && narrow.group > 0 ? narrow.group : block_of(axes.length(of_weight[i]), length);
            add_groups(relations, of_weight[i], unit, i == 1 && narrow.padded);
        }
    } else if (lengths.size() != first) {
        return;
    }
    relations.set(t, own);
}

}  // namespace

// The dimensions of a weight, [..., n, k / values], and of all that is stored beside it.
bool relate_narrow(Relations& relations, const Call& call, TensorIndex weight, AxisId inner) {
    const std::vector<Axes::Length> lengths = relations.lengths(weight);
    const Axes::Length columns = relations.axes().length(inner);
    if (lengths.back() <= 0 || columns % lengths.back() != 0) return false;
    AxisList axes;
    for (std::size_t i = 0; i + 1 < lengths.size(); ++i) axes.push_back(relations.axes().leaf(lengths[i]));
    axes.push_back(inner);
    relations.set(weight, axes);
    const bool stacked = lengths.size() == 3;
    Narrow narrow{
        .experts = stacked ? relations.axis(weight, 0) : Axes::kOne,
        .outer = relations.axis(weight, -2),
        .inner = inner,
        .group = relations.number(call.integer("group_size", 0)),
        .padded = false,
    };
    const Graph& graph = call.graph();
    const auto for_each_beside = [&](auto&& visit) {
        for (const Argument& argument : graph.arguments(call.node())) {
            if (argument.kind != ArgKind::tensor) continue;
            const std::string& name = graph.name(argument.name);
            if (!name.starts_with(kStored) && name != kPlaces) continue;
            visit(name, static_cast<TensorIndex>(argument.value));
        }
    };
    // Engines store mxfp4 experts of each device in whole blocks: the last device has fewer, and zeros.
    if (stacked && graph.tensors()[weight].dtype == DType::float4_e2m1fn_x2) {
        for_each_beside([&](const std::string&, TensorIndex t) {
            narrow.padded = narrow.padded || graph.tensors()[t].dtype == DType::uint8;
        });
    }
    add_groups(relations, inner, columns / lengths.back(), narrow.padded);
    for_each_beside(
        [&](const std::string& name, TensorIndex t) { relate_beside(relations, narrow, name, t); });
    return true;
}

namespace {
namespace narrow_relations_table {

// [..., k] x [n, k]
bool linear(Relations& relations, const Call& call) {
    const TensorIndex input = named(call, {"input", "self"});
    const TensorIndex weight = call.require_tensor("weight");
    if (relations.lengths(weight).size() != 2 || relations.of(input).empty()) return false;
    const AxisId inner = relations.axis(input, -1);
    if (!relate_narrow(relations, call, weight, inner)) return false;
    const AxisId outer = relations.axis(weight, 0);
    relate_bias(relations, call, "bias", outer);
    set_result(relations, call, input, outer);
    relations.sums(call, weight, inner, outer);
    return true;
}

// Rows by expert, with [experts, n, k].
bool grouped(Relations& relations, const Call& call) {
    const TensorIndex input = call.require_tensor("input");
    const TensorIndex weight = call.require_tensor("weight");
    if (relations.lengths(weight).size() != 3 || relations.of(input).empty()) return false;
    if (!relate_narrow(relations, call, weight, relations.axis(input, -1))) return false;
    return relate_experts(relations, call, input, weight, relations.axis(weight, 0),
                          relations.axis(weight, 1));
}

// A whole weight in a wider dtype.
bool widen(Relations& relations, const Call& call) {
    const TensorIndex weight = call.first_operand();
    const AxisList wide = relations.fresh(call.output());
    if (wide.size() < 2 || wide.size() > 3 || relations.lengths(weight).size() != wide.size()) return false;
    if (!relate_narrow(relations, call, weight, wide.back())) return false;
    AxisList axes = relations.of(weight);
    axes.back() = wide.back();
    relations.set(call.output(), axes);
    return true;
}

constexpr RelationRow kRows[] = {
    {Relation::narrow_linear,  linear },
    {Relation::narrow_grouped, grouped},
    {Relation::widen,          widen  },
};

}  // namespace narrow_relations_table
}  // namespace

std::span<const RelationRow> narrow_relations() {
    return narrow_relations_table::kRows;
}

}  // namespace infercost
