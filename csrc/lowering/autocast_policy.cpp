// Source: the lists of aten/src/ATen/autocast_mode.h (AT_FORALL_LOWER_PRECISION_FP, AT_FORALL_FP32,
// AT_FORALL_FP32_SET_OPT_DTYPE, AT_FORALL_PROMOTE) of PyTorch 2.13, and torchvision's csrc/ops/autocast.
// Comments mark ops that replace these in a captured graph (parts of a decomposition, whole recurrent
// layers).
#include "lowering/autocast_policy.hpp"

#include <string_view>
#include <unordered_map>

namespace infercost {
namespace {

constexpr std::string_view kLower[] = {
    "_convolution",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolution",
    "prelu",
    "addmm",
    "addmv",
    "addr",
    "matmul",
    "einsum",
    "mm",
    "mv",
    "linalg_vecdot",
    "linear",
    "addbmm",
    "baddbmm",
    "bmm",
    "chain_matmul",
    "linalg_multi_dot",
    "_thnn_fused_lstm_cell",
    "_thnn_fused_gru_cell",
    "lstm_cell",
    "gru_cell",
    "rnn_tanh_cell",
    "rnn_relu_cell",
    "_scaled_dot_product_flash_attention",
    "scaled_dot_product_attention",
    // cuDNN's layers cast their flattened weights (AutocastCUDA of _cudnn_rnn).
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "_cudnn_rnn",
    // Parts of decompositions of the ops above, or other overloads of them.
    "_convolution_mode",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_addmm_activation",
    "linalg_matmul",
    "_transformer_encoder_layer_fwd",
    "_native_multi_head_attention",
    // Backward runs outside of autocast, on operands that the forward has cast.
    "convolution_backward",
    "linear_backward",
    "_scaled_dot_product_flash_attention_backward",
    "_scaled_dot_product_efficient_attention_backward",
};

constexpr std::string_view kFull[] = {
    "acos",
    "asin",
    "cosh",
    "erfinv",
    "exp",
    "expm1",
    "log",
    "log10",
    "log2",
    "log1p",
    "reciprocal",
    "rsqrt",
    "sinh",
    "tan",
    "pow",
    "softplus",
    "layer_norm",
    "native_layer_norm",
    "rms_norm",
    "group_norm",
    "frobenius_norm",
    "nuclear_norm",
    "cosine_similarity",
    "poisson_nll_loss",
    "cosine_embedding_loss",
    "nll_loss",
    "nll_loss2d",
    "hinge_embedding_loss",
    "kl_div",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "mse_loss",
    "margin_ranking_loss",
    "multilabel_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "multi_margin_loss",
    "binary_cross_entropy_with_logits",
    "dist",
    "pdist",
    "cdist",
    "renorm",
    "logsumexp",
    "upsample_nearest1d",
    "_upsample_nearest_exact1d",
    "upsample_nearest2d",
    "_upsample_nearest_exact2d",
    "upsample_nearest3d",
    "_upsample_nearest_exact3d",
    "upsample_linear1d",
    "upsample_bilinear2d",
    "_upsample_bilinear2d_aa",
    "upsample_trilinear3d",
    "upsample_bicubic2d",
    "_upsample_bicubic2d_aa",
    // Parts of the ops above, and losses that consist of them.
    "native_group_norm",
    "_fused_rms_norm",
    "cross_entropy_loss",
    "binary_cross_entropy",
    "_cdist_forward",
};

// A reduction of float16 or bfloat16 to float32 is one kernel (ReduceOpsKernel.cu: gpu_lowp_to_f32).
constexpr std::string_view kFullResult[] = {"prod", "sum", "linalg_vector_norm", "linalg_matrix_norm",
                                            "norm"};
constexpr std::string_view kFullSoftmax[] = {"softmax", "log_softmax", "_softmax", "_log_softmax"};
constexpr std::string_view kFullScan[] = {"cumprod", "cumsum"};

constexpr std::string_view kWidest[] = {
    "addcdiv",         "addcmul",   "atan2",     "bilinear",    "cross",           "dot", "vdot",
    "grid_sampler",    "index_put", "tensordot", "scatter_add", "grid_sampler_2d",
    "grid_sampler_3d",  // called by grid_sampler
};

// The op casts its operands itself if autocast is enabled.
constexpr std::string_view kFastNorms[] = {"fast_group_norm"};

constexpr std::string_view kRestored[] = {"roi_align",   "roi_pool",      "ps_roi_align",
                                          "ps_roi_pool", "deform_conv2d", "nms"};

std::unordered_map<std::string, CastPolicy> make_table() {
    std::unordered_map<std::string, CastPolicy> table;
    const auto add = [&table](const auto& names, std::string_view space, CastPolicy policy) {
        for (const std::string_view name : names)
            table.emplace(std::string(space) + std::string(name), policy);
    };
    add(kLower, "aten.", CastPolicy::lower);
    add(kFull, "aten.", CastPolicy::full);
    add(kFullResult, "aten.", CastPolicy::full_result);
    add(kFullSoftmax, "aten.", CastPolicy::full_softmax);
    add(kFullScan, "aten.", CastPolicy::full_scan);
    add(kWidest, "aten.", CastPolicy::widest);
    add(kRestored, "torchvision.", CastPolicy::restored);
    add(kFastNorms, "timm.", CastPolicy::lower);
    return table;
}

}  // namespace

CastPolicy cast_policy(const OpName& op) {
    static const std::unordered_map<std::string, CastPolicy> table = make_table();
    const auto found = table.find(op.name);  // in-place ops have another name and no policy
    return found == table.end() ? CastPolicy::none : found->second;
}

}  // namespace infercost
