// vLLM with its V1 engine. Names of kernels as in csrc/ and vllm/model_executor/layers. Work between custom
// kernels is fused by torch's compiler.
// Host: fitted to the time per output token of servers on H100 (aiconfigurator's dump, half of its rows)
// beside a model of kernels; the other half was met within 9 %.
#include "lowering/engines/kernel_rows.hpp"

namespace infercost {
namespace {
namespace vllm_table {

constexpr KernelRow kRows[] = {
    {Pattern::norm,        "rms_norm",                4},
    {Pattern::add_norm,    "fused_add_rms_norm",      5},
    {Pattern::rotary,      "rotary_embedding",        3},
    {Pattern::cache_write, "reshape_and_cache_flash", 2},
    {Pattern::activation,  "silu_and_mul",            4},
    {Pattern::route,       "topk_softmax",            2},
    {Pattern::align,       "moe_align_block_size",    2},
    {Pattern::combine,     "moe_sum",                 2},
    {Pattern::convolution, "causal_conv1d",           2},
    {Pattern::recurrence,  "chunk_scan",              2},
    {Pattern::pointwise,   "triton_fused",            2},
    {Pattern::sample,      "sample",                  3},
};

// [1, 2, 4], then multiples of 8 below 256 and of 16 up to the least of 512 and twice the sequences.
constexpr std::int64_t kSmall[] = {1, 2, 4, 8};
constexpr GraphSizes::Range kRanges[] = {
    {8,  256},
    {16, 512}
};

constexpr HostRow kHosts[] = {
    {.since = 0, .step_ns = 970'000, .sequence_ns = 16'000, .prompt_ns = 1'000'000},
};

}  // namespace vllm_table
}  // namespace

const EngineRows& vllm_rows() {
    static constexpr EngineRows kEngine{
        ServingEngine::vllm,
        "vllm",
        "V1",
        vllm_table::kRows,
        vllm_table::kHosts,
        nullptr,
        {.all_reduce = "engine"},
        {.small = vllm_table::kSmall, .ranges = vllm_table::kRanges}
    };
    return kEngine;
}

}  // namespace infercost
