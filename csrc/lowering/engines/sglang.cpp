// SGLang. Names of kernels as in sgl-kernel and python/sglang/srt/layers of SGLang 0.5; norms, activations
// and rotations are FlashInfer's. Host: fitted to the time per output token of servers on H100
// (aiconfigurator's dump, half of its rows) beside a model of kernels; the other half was met within 9 %.
#include "lowering/engines/kernel_rows.hpp"

namespace infercost {
namespace {

constexpr KernelRow kRows[] = {
    {Pattern::norm,        "rmsnorm",                 4},
    {Pattern::add_norm,    "fused_add_rmsnorm",       5},
    {Pattern::rotary,      "apply_rope_with_cos_sin", 3},
    {Pattern::cache_write, "store_kv_cache",          2},
    {Pattern::activation,  "silu_and_mul",            4},
    {Pattern::route,       "topk_softmax",            2},
    {Pattern::align,       "moe_align_block_size",    2},
    {Pattern::combine,     "moe_sum_reduce",          2},
    {Pattern::pointwise,   "elementwise",             2},
    {Pattern::sample,      "top_k_top_p_sampling",    3},
};

}  // namespace

const EngineRows& sglang_rows() {
    static constexpr EngineRows kEngine{
        ServingEngine::sglang,
        "sglang",
        "0.5",
        kRows,
        {.step_ns = 330'000, .sequence_ns = 16'000, .prompt_ns = 1'000'000}
    };
    return kEngine;
}

}  // namespace infercost
