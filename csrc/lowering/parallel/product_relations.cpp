// Products and attention.
#include <algorithm>
#include <map>
#include <string>

#include "lowering/parallel/product_axes.hpp"

namespace infercost {
namespace {
namespace product_relations_table {

// Axes of the leading dimensions of two tensors, right-aligned before their last `inner` ones, are equal.
void equal_leading(Relations& relations, TensorIndex a, std::size_t inner_a, TensorIndex b,
                   std::size_t inner_b) {
    const AxisList one = relations.of(a);
    const AxisList other = relations.of(b);
    if (one.size() < inner_a || other.size() < inner_b) return;
    const std::size_t count = std::min(one.size() - inner_a, other.size() - inner_b);
    for (std::size_t i = 1; i <= count; ++i) {
        const AxisId x = one[one.size() - inner_a - i];
        const AxisId y = other[other.size() - inner_b - i];
        if (relations.axes().length(x) == relations.axes().length(y)) relations.axes().equal(x, y);
    }
}

// [..., k] x [n, k]; a packed weight has fewer columns than k.
bool linear(Relations& relations, const Call& call) {
    const TensorIndex input = named(call, {"input", "self"});
    const TensorIndex weight = call.require_tensor("weight");
    if (relations.lengths(weight).size() != 2 || relations.of(input).empty()) return false;
    const AxisId inner = relations.axis(input, -1);
    const AxisId outer = relations.axis(weight, 0);
    if (relations.lengths(weight)[1] == relations.axes().length(inner)) {
        relations.axes().equal(inner, relations.axis(weight, 1));
    }
    relate_bias(relations, call, "bias", outer);
    set_result(relations, call, input, outer);
    relations.sums(call, weight, inner, outer);
    return true;
}

bool product(Relations& relations, const Call& call, TensorIndex left, TensorIndex right, const char* added) {
    if (relations.of(left).empty() || relations.of(right).empty()) return false;
    const std::size_t rank_left = relations.of(left).size();
    const std::size_t rank_right = relations.of(right).size();
    if (rank_left < 2 || rank_right < 2) return false;
    const AxisId inner = relations.axis(left, -1);
    relations.axes().equal(inner, relations.axis(right, -2));
    const AxisId outer = relations.axis(right, -1);
    if (rank_left > 2 && rank_right > 2) {
        equal_leading(relations, left, 2, right, 2);
        if (!relations.is_weight(right)) {
            for (std::size_t i = 0; i + 2 < rank_left; ++i)
                relations.axes().mark_heads(relations.of(left)[i]);
            relations.axes().fix(outer, "attention reads whole heads");
        }
    }
    if (rank_right > rank_left) {  // the result has the leading dimensions of the right one
        AxisList axes = relations.of(right);
        axes[axes.size() - 2] = relations.axis(left, -2);
        relations.set(call.output(), axes);
    } else {
        AxisList axes = relations.of(left);
        const AxisList other = relations.of(right);
        for (std::size_t i = 3; i <= rank_right; ++i) {
            if (axes[rank_left - i] == Axes::kOne) axes[rank_left - i] = other[rank_right - i];
        }
        axes.back() = outer;
        if (relations.is_head(relations.node())) {
            set_result(relations, call, left, outer);
        } else {
            relations.set(call.output(), axes);
        }
    }
    if (added && call.tensor(added) != kNoTensor) {
        const TensorIndex more = call.tensor(added);
        if (relations.is_head(relations.node())) {
            relate_bias(relations, call, added, outer);
        } else {
            equal_leading(relations, more, 0, call.output(), 0);
        }
    }
    relations.sums(call, right, inner, outer);
    if (rank_right == 3 && relations.is_weight(right)) {
        relations.add_experts({relations.node(), relations.axis(right, 0), Axes::kOne});
    }
    return true;
}

bool mm(Relations& relations, const Call& call) {
    return product(relations, call, call.require_tensor("self"), call.require_tensor("mat2"), nullptr);
}
bool addmm(Relations& relations, const Call& call) {
    return product(relations, call, call.require_tensor("mat1"), call.require_tensor("mat2"), "self");
}
bool baddbmm(Relations& relations, const Call& call) {
    return product(relations, call, call.require_tensor("batch1"), call.require_tensor("batch2"), "self");
}
bool matmul(Relations& relations, const Call& call) {
    return product(relations, call, call.require_tensor("self"), call.require_tensor("other"), nullptr);
}

// Each element of one vector times each of another.
bool outer(Relations& relations, const Call& call) {
    const TensorIndex left = call.require_tensor("self");
    const TensorIndex right = call.require_tensor("vec2");
    relations.set(call.output(), {relations.axis(left, 0), relations.axis(right, 0)});
    return true;
}

// Rows that are sorted by expert, [rows, k] x [experts, k, n]; or rows of each expert, [experts, rows, k].
bool grouped(Relations& relations, const Call& call) {
    const bool aten = call.tensor("mat2") != kNoTensor;
    const TensorIndex left = call.require_tensor(aten ? "self" : "input");
    const TensorIndex right = call.require_tensor(aten ? "mat2" : "weight");
    const std::vector<Axes::Length> lengths = relations.lengths(right);
    const AxisId inner = relations.axis(left, -1);
    if (lengths.size() == 2 && relations.lengths(left).size() == 2) {
        // The gradients of all matrices: [k, rows] x [rows, n], [experts, k, n].
        AxisList axes = relations.fresh(call.output());
        if (axes.size() != 3) return false;
        relations.axes().equal(inner, relations.axis(right, 0));
        relations.axes().fix(inner, "a product of activations sums over them");
        axes[1] = relations.axis(left, 0);
        axes[2] = relations.axis(right, 1);
        relations.set(call.output(), axes);
        return true;
    }
    if (lengths.size() != 3 || lengths[1] != relations.axes().length(inner)) return false;
    relations.axes().equal(inner, relations.axis(right, 1));
    return relate_experts(relations, call, left, right, relations.axis(right, 0), relations.axis(right, 2));
}

// Queries and keys of each head; a head of keys may have several of queries. query [..., L, E], key
// [..., S, E], value [..., S, Ev].
bool attention(Relations& relations, const Call& call) {
    Axes& axes = relations.axes();
    const TensorIndex query = call.require_tensor("query");
    const TensorIndex key = call.require_tensor("key");
    const TensorIndex value = call.require_tensor("value");
    const AxisList q = relations.of(query);
    const AxisList k = relations.of(key);
    const AxisList v = relations.of(value);
    const std::size_t rank = q.size();
    if (rank < 3 || k.size() != rank || v.size() != rank) return false;
    const std::size_t heads = rank - 3;
    const auto of_keys = [&](const AxisList& other) {
        const Axes::Length all = axes.length(q[heads]);
        const Axes::Length own = axes.length(other[heads]);
        if (own == all) {
            axes.equal(q[heads], other[heads]);
        } else if (own > 0 && all % own == 0) {
            const AxisId parts[] = {other[heads], axes.leaf(all / own)};
            axes.equal(q[heads], axes.product(parts));
        } else {
            axes.fix(q[heads], "queries and keys have heads that do not fit");
        }
        for (std::size_t i = 0; i < heads; ++i) {
            if (axes.length(other[i]) == axes.length(q[i])) axes.equal(other[i], q[i]);
        }
    };
    of_keys(k);
    of_keys(v);
    for (const AxisList* each : {&q, &k, &v}) axes.mark_heads((*each)[heads]);
    axes.equal(q[rank - 1], k[rank - 1]);
    axes.equal(k[rank - 2], v[rank - 2]);
    axes.fix(q[rank - 1], "attention sums over the width of a head");
    axes.fix(v[rank - 1], "attention reads whole heads");
    axes.gather(k[rank - 2], "attention reads all keys");
    relations.add_attended({relations.node(), q[rank - 2], k[rank - 2]});
    AxisList result = q;
    result[rank - 1] = v[rank - 1];
    if (call.rank(call.output()) != static_cast<int>(rank)) return false;
    relations.set(call.output(), result);
    for (std::size_t i = 1; i < call.output_count(); ++i) {
        AxisList statistics = relations.fresh(call.output(i));
        for (std::size_t d = 0; d < std::min(statistics.size(), rank - 1); ++d) {
            if (axes.length(statistics[d]) == axes.length(q[d])) statistics[d] = q[d];
        }
        relations.set(call.output(i), statistics);
    }
    for (const char* name : {"attn_mask", "attn_bias", "bias"}) {
        const TensorIndex mask = call.tensor(name);
        if (mask == kNoTensor) continue;
        const AxisList own = relations.of(mask);
        AxisList scores = q;
        scores[rank - 1] = k[rank - 2];
        for (std::size_t i = 1; i <= std::min(own.size(), rank); ++i) {
            const AxisId x = own[own.size() - i];
            const AxisId y = scores[rank - i];
            if (axes.length(x) == axes.length(y)) axes.equal(x, y);
        }
    }
    return true;
}

// An equation of one operand moves its dimensions, and sums over those that are gone.
bool permuted(Relations& relations, const Call& call, const std::string& equation, std::size_t arrow) {
    const AxisList axes = relations.of(call.tensors("tensors")[0]);
    const std::string before = equation.substr(0, arrow);
    const std::string after = equation.substr(arrow + 2);
    if (before.size() != axes.size()) return false;
    AxisList now;
    for (const char letter : after) {
        const std::size_t place = before.find(letter);
        if (place == std::string::npos || before.find(letter, place + 1) != std::string::npos) return false;
        now.push_back(axes[place]);
    }
    for (std::size_t i = 0; i < axes.size(); ++i) {
        if (after.find(before[i]) == std::string::npos) {
            relations.axes().fix(axes[i], "a product sums over them");
        }
    }
    relations.set(call.output(), now);
    return true;
}

// Letters of an equation are axes.
bool einsum(Relations& relations, const Call& call) {
    std::string equation(call.text("equation"));
    std::erase(equation, ' ');
    const std::size_t arrow = equation.find("->");
    const List<TensorIndex> operands = call.tensors("tensors");
    if (arrow == std::string::npos || equation.find('.') != std::string::npos) return false;
    if (operands.size() == 1) return permuted(relations, call, equation, arrow);
    if (operands.size() != 2) return false;
    const std::size_t comma = equation.find(',');
    if (comma == std::string::npos) return false;
    const std::string terms[] = {equation.substr(0, comma), equation.substr(comma + 1, arrow - comma - 1)};
    const std::string result = equation.substr(arrow + 2);
    std::map<char, AxisId> letters;
    for (std::size_t i = 0; i < 2; ++i) {
        const AxisList axes = relations.of(operands[i]);
        if (axes.size() != terms[i].size()) return false;
        for (std::size_t d = 0; d < axes.size(); ++d) {
            const auto [known, fresh] = letters.emplace(terms[i][d], axes[d]);
            if (!fresh) relations.axes().equal(known->second, axes[d]);
        }
    }
    AxisList axes;
    for (const char letter : result) axes.push_back(letters.at(letter));
    relations.set(call.output(), axes);
    if (!relations.is_weight(operands[0]) && !relations.is_weight(operands[1])) {
        for (const char letter : result) {
            const bool left = terms[0].find(letter) != std::string::npos;
            if (terms[1].find(letter) == std::string::npos) continue;
            if (left) {
                relations.axes().mark_heads(letters.at(letter));
            } else {
                relations.axes().fix(letters.at(letter), "attention reads whole heads");
            }
        }
    }
    for (const auto& [letter, axis] : letters) {
        if (result.find(letter) != std::string::npos) continue;
        const bool both =
            terms[0].find(letter) != std::string::npos && terms[1].find(letter) != std::string::npos;
        const bool right = relations.is_weight(operands[1]);
        const std::string& own = terms[right ? 1 : 0];
        AxisId outer = Axes::kOne;
        for (const char other : result) {
            const bool of_weight = own.find(other) != std::string::npos;
            if (of_weight && terms[right ? 0 : 1].find(other) == std::string::npos) outer = letters.at(other);
        }
        if (both) {
            relations.sums(call, operands[right ? 1 : 0], axis, outer);
        } else {
            relations.axes().fix(axis, "a product sums over them");
        }
    }
    return true;
}

// Whether windows neither overlap nor leave anything out.
bool is_of_patches(Relations& relations, const Call& call, const std::vector<Axes::Length>& of_weight) {
    const auto all_are = [&](const char* name, auto&& wanted) {
        const List<Expr> given = call.integers(name);
        for (std::size_t i = 2; i < of_weight.size() && !given.empty(); ++i) {
            const Expr& own = given[std::min<std::size_t>(i - 2, given.size() - 1)];
            if (relations.number(own) != wanted(i)) return false;
        }
        return true;
    };
    const bool dense = all_are("padding", [](std::size_t) { return 0; }) &&
                       all_are("dilation", [](std::size_t) { return 1; });
    return dense && !call.flag("transposed", false) && !call.integers("stride").empty() &&
           all_are("stride", [&](std::size_t i) { return of_weight[i]; });
}

// One filter for each channel; other convolutions read all channels.
bool convolution(Relations& relations, const Call& call) {
    Axes& axes = relations.axes();
    const TensorIndex input = named(call, {"input", "self"});
    const TensorIndex weight = call.require_tensor("weight");
    const std::vector<Axes::Length> of_weight = relations.lengths(weight);
    const AxisList in = relations.of(input);
    if (of_weight.size() < 3 || in.size() < of_weight.size() - 1) return false;
    const std::size_t channels = in.size() - of_weight.size() + 1;
    const Axes::Length groups = relations.number(call.integer("groups", 1));
    AxisList result = relations.fresh(call.output());
    for (std::size_t i = 0; i < channels; ++i) result[i] = in[i];
    const bool by_channel =
        groups == axes.length(in[channels]) && of_weight[0] == groups && of_weight[1] == 1;
    const AxisId outer = relations.axis(weight, 0);
    if (by_channel) {
        axes.equal(in[channels], outer);
    } else {
        axes.fix(in[channels], "a convolution reads all channels");
        axes.fix(outer, "they are channels of a convolution");
    }
    result[channels] = outer;
    relate_bias(relations, call, "bias", outer);
    const bool patches = is_of_patches(relations, call, of_weight);
    for (std::size_t i = channels + 1; i < in.size(); ++i) {
        const Axes::Length width = of_weight[of_weight.size() - in.size() + i];
        if (patches && axes.length(in[i]) == axes.length(result[i]) * width) {
            const AxisId parts[] = {result[i], axes.leaf(width)};
            axes.gather(result[i], "they are patches of an image");
            axes.equal(in[i], axes.product(parts));
            continue;
        }
        axes.fix(in[i], "a convolution goes along them");
        axes.fix(result[i], "a convolution goes along them");
    }
    relations.set(call.output(), result);
    return true;
}

constexpr RelationRow kRows[] = {
    {Relation::linear,      linear     },
    {Relation::mm,          mm         },
    {Relation::addmm,       addmm      },
    {Relation::baddbmm,     baddbmm    },
    {Relation::outer,       outer      },
    {Relation::matmul,      matmul     },
    {Relation::grouped,     grouped    },
    {Relation::einsum,      einsum     },
    {Relation::convolution, convolution},
    {Relation::attention,   attention  },
};

}  // namespace product_relations_table
}  // namespace

std::span<const RelationRow> product_relations() {
    return product_relations_table::kRows;
}

}  // namespace infercost
