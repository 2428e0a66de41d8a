// Backward of convolutions and attention. Each gradient of a product is a product of the same size.
#include "ops/convolution.hpp"
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace backward_contraction_table {

// Return the requested gradients; all of them if the op has no mask.
std::vector<bool> wanted(const Call& call, const char* mask, std::size_t gradients) {
    std::vector<bool> result;
    for (const Expr& flag : call.integers(mask)) result.push_back(!(flag == Expr(0)));
    result.resize(gradients, !call.has(mask));
    return result;
}

// Gradient of the input: every element of the result's gradient is multiplied by the window. Gradient of the
// weight: the same multiply-accumulates, summed over positions. Both have the groups of the forward.
void convolution_backward(const Call& call, Work& work) {
    const TensorIndex grad = call.require_tensor("grad_output");
    const TensorIndex input = call.require_tensor("input");
    const TensorIndex weight = call.require_tensor("weight");
    const std::vector<bool> mask = wanted(call, "output_mask", 3);
    const bool transposed = call.flag("transposed", false);
    const Expr groups = call.integer("groups", 1);
    Expr window = 1;
    for (int axis = 2; axis < call.rank(weight); ++axis) window = window * call.dim(weight, axis);
    // The weight is [out, in / groups, *window], or [in, out / groups, *window] if transposed; in the latter
    // case the window is applied to the input.
    const TensorIndex dense = transposed ? input : grad;
    const Expr rows = call.dim(weight, 0) / groups;
    const Expr positions = ratio(call.numel(dense), call.dim(weight, 0));
    const Expr halves = Expr(mask[0] ? 1 : 0) + Expr(mask[1] ? 1 : 0);
    set_contraction(work, WorkKind::convolution, call.engine_dtype(input), groups * halves, positions, rows,
                    call.dim(weight, 1) * window);
    if (window.is_constant()) work.dims.filter_elements = window.constant();
    if (mask[2]) work.pointwise_flops = call.numel(grad);
}

void convolution_bytes(const Call& call, Work& work) {
    const std::vector<bool> mask = wanted(call, "output_mask", 3);
    call.read_operand(work, call.require_tensor("grad_output"));
    if (mask[0]) call.read_operand(work, call.require_tensor("weight"));
    if (mask[1]) {
        const TensorIndex input = call.require_tensor("input");
        const TensorIndex weight = call.require_tensor("weight");
        const TensorIndex grad = call.require_tensor("grad_output");
        call.read_operand(work, input, elements_in_windows(call, input, weight, grad));
    }
    write_all(call, work);
}
constexpr TrafficShape convolution_once{convolution_bytes, never};

// [..., n] against [..., k] and [n, k]
void linear_backward(const Call& call, Work& work) {
    const TensorIndex grad = call.require_tensor("grad_output");
    const TensorIndex weight = call.require_tensor("weight");
    const std::vector<bool> mask = wanted(call, "output_mask", 3);
    const Expr n = call.dim(weight, 0);
    const Expr halves = Expr(mask[0] ? 1 : 0) + Expr(mask[1] ? 1 : 0);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(grad), halves, ratio(call.numel(grad), n), n,
                    call.dim(weight, 1));
    if (mask[2]) work.pointwise_flops = call.numel(grad);
}

// Five products: the scores, which are recomputed because only one number per row was saved, and the
// gradients of value, probabilities, query and key. Scale, mask and exp are recomputed, followed by P * (dP -
// row sum) and its scale. The row sum follows from result and gradient.
void attention_backward(const Call& call, Work& work) {
    const TensorIndex query = call.require_tensor("query");
    const TensorIndex key = call.require_tensor("key");
    const TensorIndex value = call.require_tensor("value");
    const TensorIndex grad = call.first_operand();
    const Expr rows = call.dim(query, -2);
    const Expr columns = call.dim(key, -2);
    const Expr width = call.dim(query, -1);
    const Expr value_width = call.dim(value, -1);
    const Expr batch = ratio(call.numel(query), rows * width);
    const Expr scores = batch * rows * columns;
    const Expr widths = width * 3 + value_width * 2;
    work.kind = WorkKind::attention;
    work.dtype = call.engine_dtype(query);
    // Machine models see one product over all widths.
    work.dims = {batch, rows, columns, width * 3, value_width * 2, 1};
    work.contraction_flops = scores * 2 * widths;
    work.causal_flops = work.contraction_flops;
    const bool masked = call.has("attn_mask") || call.has("attn_bias");
    work.pointwise_flops = scores * (masked ? 7 : 6) + call.numel(grad) * 2;
    if (call.flag("is_causal", false)) {
        const Expr corner = Expr::minimum(rows, columns);
        work.causal_flops = batch * (corner * (corner + 1) / 2 + (rows - corner) * columns) * 2 * widths;
    }
}

void attention_bytes(const Call& call, Work& work) {
    for (const char* name : {"query", "key", "value", "out"}) {
        call.read_operand(work, call.require_tensor(name));
    }
    call.read_operand(work, call.first_operand());
    for (const char* name : {"attn_mask", "attn_bias", "logsumexp"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) call.read(work, t);
    }
    write_all(call, work);
}
constexpr TrafficShape attention_once{attention_bytes, never};

// The columns are sampled again for the gradient of the weight (7 per element as in forward, 1 for a mask).
// The gradient of the columns is added to four elements of the input (4 products, 4 additions), to both
// coordinates (4 products and 3 additions over the neighbors each, the product with the gradient, the
// addition over channels), and to the mask.
void deformed_backward(const Call& call, Work& work) {
    const TensorIndex grad = call.require_tensor("grad");
    const TensorIndex input = call.require_tensor("input");
    const TensorIndex weight = call.require_tensor("weight");
    const Expr groups = call.integer("groups", 1);
    const Expr window = call.dim(weight, 2) * call.dim(weight, 3);
    const Expr positions = ratio(call.numel(grad), call.dim(weight, 0));
    set_contraction(work, WorkKind::convolution, call.engine_dtype(input), groups * 2, positions,
                    call.dim(weight, 0) / groups, call.dim(weight, 1) * window);
    if (window.is_constant()) work.dims.filter_elements = window.constant();
    const Expr sampled = positions * groups * call.dim(weight, 1) * window;
    work.pointwise_flops = sampled * (call.flag("use_mask", false) ? 37 : 33) + call.numel(grad);
}

constexpr std::string_view kConvolution =
    "the forward's product for each gradient of input and weight; bias: 1 per element of the gradient";
constexpr std::string_view kLinear = "2*m*n*k for each gradient of input and weight; bias: 1 per element";
constexpr std::string_view kAttention =
    "five products, 2*b*L*S*(3*E+2*Ev): scores again, and gradients of value, probabilities, query, key";

constexpr OpRule kTable[] = {
    {"aten.convolution_backward", convolution_backward, convolution_once, kConvolution, CastPolicy::lower,
     WorkspaceRule::convolution_backward},
    {"aten.linear_backward", linear_backward, stream_operands, kLinear, CastPolicy::lower},
    {"aten._scaled_dot_product_flash_attention_backward", attention_backward, attention_once, kAttention,
     Relation::attention_backward, CastPolicy::lower},
    {"aten._scaled_dot_product_flash_attention_for_cpu_backward", attention_backward, attention_once,
     kAttention, Relation::attention_backward},
    {"aten._scaled_dot_product_efficient_attention_backward", attention_backward, attention_once, kAttention,
     Relation::attention_backward, CastPolicy::lower},
    {"aten._scaled_dot_product_cudnn_attention_backward", attention_backward, attention_once, kAttention,
     Relation::attention_backward},
    {"aten._scaled_dot_product_fused_attention_overrideable_backward", attention_backward, attention_once,
     kAttention, Relation::attention_backward},
    {"torchvision._deform_conv2d_backward", deformed_backward, stream_operands,
     "two products of the forward; 33 per sampled element (37 with a mask), and the bias"},
};
constexpr auto kRows =
    op_rows(kTable, Untied("windows read neighbors, and results are gradients of several operands"));

}  // namespace backward_contraction_table
}  // namespace

std::span<const OpRule> backward_contraction_rules() {
    return backward_contraction_table::kRows;
}

}  // namespace infercost
