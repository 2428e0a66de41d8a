// Matrix products. A multiply-accumulate is 2 FLOPs; biases and scales are pointwise. Source: torch's
// operator documentation. Tests compare with plain products that count their own operations.
#include "ops/contraction.hpp"

#include "ops/shapes.hpp"

namespace infercost {
namespace {

// [..., k] x [n, k]^T + bias[n]
void linear(const Call& call, Work& work) {
    const TensorIndex named = call.tensor("input");
    const TensorIndex input = named != kNoTensor ? named : call.require_tensor("self");
    const TensorIndex weight = call.require_tensor("weight");
    const Expr k = call.dim(input, -1);
    const Expr n = call.rank(weight) == 1 ? Expr(1) : call.dim(weight, 0);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(input), 1, ratio(call.numel(input), k), n, k);
    if (call.has("bias")) work.pointwise_flops = call.numel(call.output());
}

// [m, k] x [k, n], with the given names of operands; `added` is a tensor that is scaled and added.
void matrix_product(const Call& call, Work& work, const char* left, const char* right, const char* added) {
    const TensorIndex a = call.require_tensor(left);
    const TensorIndex b = call.require_tensor(right);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(a), 1, call.dim(a, 0), call.dim(b, 1),
                    call.dim(a, 1));
    if (added && call.has(added)) work.pointwise_flops = call.numel(call.output());
}
void mm(const Call& call, Work& work) {
    matrix_product(call, work, "self", "mat2", nullptr);
}
void addmm(const Call& call, Work& work) {
    matrix_product(call, work, "mat1", "mat2", "self");
}

// relu costs 1 more per result, gelu 5.
void addmm_activation(const Call& call, Work& work) {
    addmm(call, work);
    work.pointwise_flops += call.numel(call.output()) * (call.flag("use_gelu", false) ? 5 : 1);
}

void batched(const Call& call, Work& work, const char* left, const char* right) {
    const TensorIndex a = call.require_tensor(left);
    const TensorIndex b = call.require_tensor(right);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(a), call.dim(a, 0), call.dim(a, 1),
                    call.dim(b, 2), call.dim(a, 2));
}
void bmm(const Call& call, Work& work) {
    batched(call, work, "self", "mat2");
}
void baddbmm(const Call& call, Work& work) {
    batched(call, work, "batch1", "batch2");
    work.pointwise_flops = call.numel(call.output());
}
void addbmm(const Call& call, Work& work) {
    batched(call, work, "batch1", "batch2");
    work.pointwise_flops = call.numel(call.output()) * call.dim(call.require_tensor("batch1"), 0);
}

void vector_product(const Call& call, Work& work, const char* matrix, const char* vector) {
    const TensorIndex a = call.require_tensor(matrix);
    const TensorIndex v = call.require_tensor(vector);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(v), 1, call.dim(a, 0), 1, call.dim(a, 1));
}
void mv(const Call& call, Work& work) {
    vector_product(call, work, "self", "vec");
}
void addmv(const Call& call, Work& work) {
    vector_product(call, work, "mat", "vec");
    work.pointwise_flops = call.numel(call.output());
}

void dot(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("self");
    set_contraction(work, WorkKind::gemm, call.engine_dtype(a), 1, 1, 1, call.numel(a));
}

// numpy's matmul: vectors are promoted, leading dimensions broadcast.
void matmul(const Call& call, Work& work) {
    const TensorIndex a = call.require_tensor("self");
    const TensorIndex b = call.require_tensor("other");
    const Expr k = call.dim(a, -1);
    const Expr n = call.rank(b) == 1 ? Expr(1) : call.dim(b, -1);
    Expr m = call.rank(a) == 1 ? Expr(1) : call.dim(a, -2);
    Expr batch = ratio(call.numel(call.output()), m * n);
    if (call.rank(b) <= 2) {  // torch folds the batch of the left operand into its rows
        m = m * batch;
        batch = 1;
    }
    set_contraction(work, WorkKind::gemm, call.engine_dtype(a), batch, m, n, k);
}

// Tokens sorted by expert: each row of the ragged operand is multiplied by exactly one matrix of the other.
// Routing is assumed to be balanced: all groups have equal shares, and fewer rows than groups use as many
// groups as there are rows.
struct Grouped {
    TensorIndex left;
    TensorIndex right;
    Expr groups = 1;
    Expr used = 1;
};

Grouped grouped_pair(const Call& call) {
    const bool aten = call.tensor("mat2") != kNoTensor;
    Grouped pair{call.require_tensor(aten ? "self" : "input"), call.require_tensor(aten ? "mat2" : "weight")};
    if (call.rank(pair.right) == 3) {
        pair.groups = call.dim(pair.right, 0);
    } else if (call.rank(pair.left) == 3) {
        pair.groups = call.dim(pair.left, 0);
    }
    pair.used = pair.groups;
    if (call.rank(pair.left) == 2) pair.used = Expr::minimum(pair.groups, call.dim(pair.left, 0));
    // Not an argument of the operator: capture records it if the routing is known.
    if (call.has("groups_used")) pair.used = call.integer("groups_used", 1);
    return pair;
}

}  // namespace

void grouped_product(const Call& call, Work& work) {
    const Grouped pair = grouped_pair(call);
    const Expr k = call.dim(pair.left, -1);
    const Expr n = call.dim(call.output(), -1);
    // If both operands are matrices, the groups split the reduction; otherwise each row has one product.
    const bool split = call.rank(pair.left) == 2 && call.rank(pair.right) == 2;
    const Expr rows = split ? call.dim(pair.left, 0) : ratio(call.numel(call.output()), n);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(pair.left), 1, rows, n, k);
    work.dims.batch = pair.used;
    work.dims.m = Expr::ceil_div(rows, pair.used);
    if (call.has("bias")) work.pointwise_flops = call.numel(call.output());
}

// Weights of experts without rows are not read.
Expr grouped_elements(const Call& call, TensorIndex stack) {
    const Grouped pair = grouped_pair(call);
    return call.distinct(stack) / pair.groups * pair.used;
}

Expr groups_used(const Call& call) {
    return grouped_pair(call).used;
}

Expr group_count(const Call& call) {
    return grouped_pair(call).groups;
}

void grouped_traffic(const Call& call, Work& work) {
    const Grouped pair = grouped_pair(call);
    call.read_operand(work, pair.left);
    if (call.rank(pair.right) == 3) {
        call.read_operand(work, pair.right, grouped_elements(call, pair.right));
    } else {
        call.read_operand(work, pair.right);
    }
    for (const char* name : {"offs", "bias"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) call.read(work, t);
    }
    write_all(call, work);
}

namespace {
namespace contraction_table {

constexpr TrafficShape grouped{grouped_traffic, never};

constexpr TrafficShape einsum_traffic{einsum_bytes, einsum_aliases};

constexpr OpRule kTable[] = {
    {"aten.linear", linear, stream_operands, "2*m*n*k; bias add is pointwise", Relation::linear,
     CastPolicy::lower, WorkspaceRule::product, LibraryTrait::linear},
    {"aten.mm", mm, stream_operands, "2*m*n*k", Relation::mm, CastPolicy::lower},
    {"aten.addmm", addmm, stream_operands, "2*m*n*k; the added matrix is pointwise", Relation::addmm,
     CastPolicy::lower},
    {"aten.bmm", bmm, stream_operands, "2*b*m*n*k", Relation::mm, CastPolicy::lower},
    {"aten.baddbmm", baddbmm, stream_operands, "2*b*m*n*k; the added tensor is pointwise", Relation::baddbmm,
     CastPolicy::lower},
    {"aten.addbmm", addbmm, stream_operands, "2*b*m*n*k; the sum over b is pointwise", CastPolicy::lower},
    {"aten.matmul", matmul, stream_operands, "2*m*n*k for each broadcast batch", Relation::matmul,
     CastPolicy::lower, WorkspaceRule::product, LibraryTrait::matmul},
    {"aten.mv", mv, stream_operands, "2*m*k", CastPolicy::lower},
    {"aten.addmv", addmv, stream_operands, "2*m*k; the added vector is pointwise", CastPolicy::lower},
    {"aten.dot", dot, stream_operands, "2*k", CastPolicy::widest},
    {"aten.vdot", dot, stream_operands, "2*k", CastPolicy::widest},
    {"aten.einsum", einsum, einsum_traffic,
     "2 x the product of all letters, left to right; what is not a product with a sum is pointwise", Relation::einsum, CastPolicy::lower, WorkspaceRule::einsum},
    {"aten._grouped_mm", grouped_product, grouped, "2*rows*n*k: each row meets one expert; balanced routing",
     Relation::grouped},
    {"transformers.grouped_mm_fallback", grouped_product, grouped,
     "as aten._grouped_mm, which it stands in for", Relation::grouped},
    {"aten.mkldnn_linear", linear, stream_operands, "2*m*n*k; bias add is pointwise"},
    {"aten.linalg_matmul", matmul, stream_operands, "2*m*n*k for each broadcast batch", Relation::matmul,
     CastPolicy::lower},
    {"aten._addmm_activation", addmm_activation, stream_operands, "as addmm, then relu or gelu",
     Relation::addmm, CastPolicy::lower},
};
constexpr auto kRows = op_rows(kTable, Untied("a vector has no axis that layouts divide"));

}  // namespace contraction_table
}  // namespace

std::span<const OpRule> contraction_rules() {
    return contraction_table::kRows;
}

}  // namespace infercost
