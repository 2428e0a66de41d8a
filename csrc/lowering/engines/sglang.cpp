// SGLang. Names of kernels as in sgl-kernel and python/sglang/srt/layers of SGLang 0.5; norms, activations
// and rotations are FlashInfer's. Host: fitted to the time per output token of servers on H100
// (aiconfigurator's dump, half of its rows) beside a model of kernels; the other half was met within 9 %.
#include "lowering/engines/kernel_rows.hpp"

namespace infercost {
namespace {
namespace sglang_table {

constexpr KernelRow kRows[] = {
    {Pattern::norm,        "rmsnorm",                 4},
    {Pattern::add_norm,    "fused_add_rmsnorm",       5},
    {Pattern::rotary,      "apply_rope_with_cos_sin", 3},
    {Pattern::cache_write, "store_kv_cache",          2},
    {Pattern::activation,  "silu_and_mul",            4},
    {Pattern::route,       "topk_softmax",            2},
    {Pattern::align,       "moe_align_block_size",    2},
    {Pattern::combine,     "moe_sum_reduce",          2},
    {Pattern::convolution, "causal_conv1d",           2},
    {Pattern::recurrence,  "chunk_scan",              2},
    {Pattern::pointwise,   "elementwise",             2},
    {Pattern::sample,      "top_k_top_p_sampling",    3},
};

// [1, 2, 4, 8, 12], then multiples of 8 up to 256, the bound for devices with 60 GiB of memory or more.
constexpr std::int64_t kSmall[] = {1, 2, 4, 8, 12, 16};
constexpr GraphSizes::Range kRanges[] = {
    {8, 256}
};

constexpr HostRow kHosts[] = {
    {.since = 0, .step_ns = 330'000, .sequence_ns = 16'000, .prompt_ns = 1'000'000},
};

}  // namespace sglang_table
}  // namespace

const EngineRows& sglang_rows() {
    static constexpr EngineRows kEngine{
        ServingEngine::sglang,
        "sglang",
        "0.5",
        sglang_table::kRows,
        sglang_table::kHosts,
        nullptr,
        {.narrows_on_write = false,     .all_reduce = "engine"         },
        {.small = sglang_table::kSmall, .ranges = sglang_table::kRanges}
    };
    return kEngine;
}

}  // namespace infercost
