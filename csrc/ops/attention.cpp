// Scaled dot-product attention as one kernel: scores never reach memory.
#include "ops/shapes.hpp"
#include "ops/workspace.hpp"

namespace infercost {
namespace {

// query [..., L, E], key [..., S, E], value [..., S, Ev]. Batch and heads are those of the result, so that
// grouped-query attention (fewer key heads) does the work of all query heads and reads only its own keys.
void scaled_dot_product(const Call& call, Work& work) {
    const TensorIndex query = call.require_tensor("query");
    const TensorIndex key = call.require_tensor("key");
    const TensorIndex value = call.require_tensor("value");
    const Expr rows = call.dim(query, -2);
    const Expr columns = call.dim(key, -2);
    const Expr width = call.dim(query, -1);
    const Expr value_width = call.dim(value, -1);
    const Expr batch = call.numel(query) / (rows * width);
    const Expr scores = batch * rows * columns;
    work.kind = WorkKind::attention;
    work.dtype = call.engine_dtype(query);
    work.dims = {batch, rows, columns, width, value_width, 1};
    work.contraction_flops = scores * 2 * (width + value_width);
    // scale, then a softmax (max, subtract, exp, sum, divide); a mask is one more addition
    work.pointwise_flops = scores * (call.has("attn_mask") || call.has("attn_bias") ? 7 : 6);
    work.causal_flops = work.contraction_flops;
    if (call.flag("is_causal", false)) {
        // Row i sees min(i + 1, S) keys: a triangle over the first min(L, S) rows, then full rows.
        const Expr corner = Expr::minimum(rows, columns);
        const Expr seen = corner * (corner + 1) / 2 + (rows - corner) * columns;
        work.causal_flops = batch * seen * 2 * (width + value_width);
    }
}

void operands_and_result(const Call& call, Work& work) {
    for (const char* name : {"query", "key", "value"}) call.read_operand(work, call.require_tensor(name));
    for (const char* name : {"attn_mask", "attn_bias"}) {
        if (const TensorIndex mask = call.tensor(name); mask != kNoTensor) call.read(work, mask);
    }
    // The statistics that some variants return beside the result are for backward; inference keeps one.
    call.write(work, call.output());
}
constexpr TrafficShape flash{operands_and_result, never};
constexpr TrafficShape whole = with(flash, attention_workspace);

constexpr std::string_view kConvention =
    "2*b*L*S*(E+Ev), dense; causal is a figure of its own; scale, mask and softmax are pointwise";

constexpr OpRule kRows[] = {
    {"aten.scaled_dot_product_attention",                     scaled_dot_product, whole, kConvention},
    {"aten._scaled_dot_product_flash_attention",              scaled_dot_product, flash, kConvention},
    {"aten._scaled_dot_product_flash_attention_for_cpu",      scaled_dot_product, flash, kConvention},
    {"aten._scaled_dot_product_efficient_attention",          scaled_dot_product, flash, kConvention},
    {"aten._scaled_dot_product_cudnn_attention",              scaled_dot_product, flash, kConvention},
    {"aten._scaled_dot_product_fused_attention_overrideable", scaled_dot_product, flash, kConvention},
};
static_assert(each_op_once(kRows));

}  // namespace

std::span<const OpRule> attention_rules() {
    return kRows;
}

}  // namespace infercost
