// Products of more than two operands, and products with an op of their own in torch.

#include "core/errors.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace multilinear_table {

// y = x1^T A x2 + b for each row: products of pairs of features, then one matrix product.
void bilinear(const Call& call, Work& work) {
    const TensorIndex first = call.require_tensor("input1");
    const TensorIndex weight = call.require_tensor("weight");
    const Expr rows = ratio(call.numel(first), call.dim(first, -1));
    const Expr pairs = call.dim(weight, 1) * call.dim(weight, 2);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(first), 1, rows, call.dim(weight, 0), pairs);
    work.pointwise_flops = rows * pairs;
    if (call.has("bias")) work.pointwise_flops += call.numel(call.output());
}

// The lengths of an operand of _trilinear after ones are inserted at `expand`.
List<Expr> expanded(const Call& call, const char* tensor, const char* expand, std::size_t rank) {
    List<Expr> lengths = call.shape(call.require_tensor(tensor));
    IndexedVector<std::int64_t, bool> put_in(rank, false);
    for (const Expr& axis : call.integers(expand)) {
        if (axis.is_constant() && axis.constant() >= 0 && static_cast<std::size_t>(axis.constant()) < rank) {
            put_in[axis.constant()] = true;
        }
    }
    List<Expr> result;
    std::size_t next = 0;
    for (std::size_t axis = 0; axis < rank; ++axis) {
        if (!put_in[axis] && next == lengths.size()) break;
        result.push_back(put_in[axis] ? Expr(1) : lengths[next++]);
    }
    if (result.size() != rank || next != lengths.size()) {
        throw InputError(call.op().full + " has " + std::to_string(lengths.size()) + " dimensions in '" +
                         tensor + "'; expected " + std::to_string(rank) + " together with the entries of '" +
                         expand + "'");
    }
    return result;
}

// Sum over `sumdim` of i1 * i2 * i3 with inserted ones: i1 * i3, then one product with i2.
void trilinear(const Call& call, Work& work) {
    const TensorIndex first = call.require_tensor("i1");
    const std::size_t rank = static_cast<std::size_t>(call.rank(first)) + call.integers("expand1").size();
    const List<Expr> a = expanded(call, "i1", "expand1", rank);
    const List<Expr> b = expanded(call, "i2", "expand2", rank);
    const List<Expr> c = expanded(call, "i3", "expand3", rank);
    std::vector<bool> summed(rank, false);
    for (const Expr& axis : call.integers("sumdim")) {
        if (axis.is_constant()) summed.at(static_cast<std::size_t>(axis.constant())) = true;
    }
    const Expr one = 1;
    Expr batch = 1, m = 1, n = 1, k = 1, pairs = 1;
    for (std::size_t axis = 0; axis < rank; ++axis) {
        const Expr pair = a[axis] == one ? c[axis] : a[axis];
        pairs = pairs * pair;
        const Expr length = pair == one ? b[axis] : pair;
        Expr& loop = summed[axis] ? k : (b[axis] == one ? m : (pair == one ? n : batch));
        loop = loop * length;
    }
    set_contraction(work, WorkKind::gemm, call.engine_dtype(first), batch, m, n, k);
    work.pointwise_flops = pairs;
}

// [..., k] x [..., k]: every row of one operand with every row of the other; a scalar multiplies all
// elements.
void inner(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("self");
    const TensorIndex b = call.require_tensor("other");
    if (call.rank(a) == 0 || call.rank(b) == 0) return per_output<1>(call, work);
    const Expr k = call.dim(a, -1);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(a), 1, ratio(call.numel(a), k),
                    ratio(call.numel(b), k), k);
}

void tensordot(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("self");
    const TensorIndex b = call.require_tensor("other");
    Expr k = 1;
    for (const Expr& axis : call.integers("dims_self")) {
        if (axis.is_constant()) k = k * call.dim(a, static_cast<int>(axis.constant()));
    }
    set_contraction(work, WorkKind::gemm, call.engine_dtype(a), 1, ratio(call.numel(a), k),
                    ratio(call.numel(b), k), k);
}

// A chain of matrices from left to right. The first and the last may be vectors.
void chain(const Call& call, Work& work) {
    const List<TensorIndex> operands = call.tensors(call.has("matrices") ? "matrices" : "tensors");
    const Expr rows = call.rank(operands.at(0)) == 1 ? Expr(1) : call.dim(operands[0], 0);
    const DType dtype = call.engine_dtype(operands[0]);
    Expr total;
    for (std::size_t i = 1; i < operands.size(); ++i) {
        const Expr n = call.rank(operands[i]) == 1 ? Expr(1) : call.dim(operands[i], 1);
        set_contraction(work, WorkKind::gemm, dtype, 1, rows, n, call.dim(operands[i], 0));
        total += work.contraction_flops;
    }
    work.contraction_flops = total;
    work.causal_flops = total;
}

constexpr OpRule kTable[] = {
    {"aten.bilinear", bilinear, stream_operands,
     "2*rows*out*in1*in2; the pairs in1*in2 and the bias are pointwise", CastPolicy::widest},
    {"aten._trilinear", trilinear, stream_operands, "2 x the joint loop; i1 * i3 is pointwise"},
    {"aten.inner", inner, stream_operands, "2*m*n*k"},
    {"aten.tensordot", tensordot, stream_operands, "2*m*n*k", CastPolicy::widest},
    {"aten.chain_matmul", chain, stream_operands, "2*m*n*k for each product, left to right",
     CastPolicy::lower},
    {"aten.linalg_multi_dot", chain, stream_operands, "2*m*n*k for each product, left to right",
     CastPolicy::lower},
    {"aten.outer", per_output<1>, stream_all, "1 per result: a product", Relation::outer},
    {"aten.ger", per_output<1>, stream_all, "1 per result: a product", Relation::outer},
    {"aten.addr", per_output<2>, stream_all, "2 per result: product, add; factors are not counted",
     CastPolicy::lower},
    {"aten.kron", per_output<1>, stream_all, "1 per result: a product"},
    {"aten.cross", per_output<3>, stream_all, "3 per result: two products and their difference",
     CastPolicy::widest},
    {"aten.linalg_cross", per_output<3>, stream_all, "3 per result: two products and their difference"},
};
constexpr auto kRows = op_rows(kTable, Untied("sums over products of several operands"));

}  // namespace multilinear_table
}  // namespace

std::span<const OpRule> multilinear_rules() {
    return multilinear_table::kRows;
}

}  // namespace infercost
