// Products with a sparse matrix. A capture records them on the stored values and indices
// (`pyinfercost/sources/tensors/sparse_tensors.py`), whatever the layout. Every stored value is multiplied,
// even if it is zero.
#include "ops/contraction.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace sparse_table {

Expr stored(const Call& call) {
    return call.numel(call.require_tensor("values"));
}

// Every stored value is multiplied by one row (or column) of the dense operand, of `width` elements.
void products(const Call& call, Work& work, TensorIndex dense, const Expr& width) {
    const Expr values = stored(call);
    const Expr rows = Expr::maximum(1, call.integer("rows", 1));
    set_contraction(work, WorkKind::gemm, call.engine_dtype(dense), 1, rows, width,
                    Expr::ceil_div(values, rows));
    work.contraction_flops = values * width * (is_complex(work.dtype) ? 8 : 2);
    work.causal_flops = work.contraction_flops;
}

void sparse_product(const Call& call, Work& work) {
    const TensorIndex dense = call.require_tensor("dense");
    const Expr inner = Expr::maximum(1, call.integer("inner", 1));
    products(call, work, dense, ratio(call.numel(dense), inner));
    if (call.has("added")) work.pointwise_flops = call.numel(call.output());
}

// A dense product that is computed only at the positions of stored values.
void sampled_product(const Call& call, Work& work) {
    const TensorIndex left = call.require_tensor("left");
    products(call, work, left, call.dim(left, -1));
    work.pointwise_flops = stored(call);
}

constexpr OpRule kTable[] = {
    {"pyinfercost.sparse_product",  sparse_product,           stream_all,
     "2 x stored values x columns of the dense operand; an added tensor is pointwise"},
    {"pyinfercost.sparse_sampled",  sampled_product,          stream_all,
     "2 x stored values x the inner length; scaling and adding is pointwise"         },
    {"pyinfercost.sparse_to_dense", moves<WorkKind::scatter>, stream_all,
     "no arithmetic: values are laid out"                                            },
};
constexpr auto kRows = op_rows(kTable, Untied("values determine the stored places"));

}  // namespace sparse_table
}  // namespace

std::span<const OpRule> sparse_rules() {
    return sparse_table::kRows;
}

}  // namespace infercost
