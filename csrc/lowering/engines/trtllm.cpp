// TensorRT-LLM with its PyTorch flow. Names of kernels as in cpp/tensorrt_llm/kernels and
// tensorrt_llm/_torch/modules of version 1.0. Its attention operator rotates queries and keys and writes the
// cache in one kernel, and writes fp8 if the product after it reads that with a static scale; so do its norms
// and its activation. Norms and activations access vectors of 16 bytes. In a decode step an all-reduce adds
// the residual and normalizes, too. Host before 1.1: fitted to the time per output token of servers on H100
// (aiconfigurator's dump, half of its rows) beside a model of kernels; the other half was met within 9 %.
// Host of 1.1: chosen on servers of Llama-70B on H200 and B200 (InferenceX).
#include "lowering/engines/kernel_rows.hpp"

namespace infercost {
namespace {
namespace trtllm_table {

constexpr KernelRow kRows[] = {
    {Pattern::norm, "flashinfer_rmsnorm", 4, 8},
    {Pattern::add_norm, "flashinfer_fused_add_rmsnorm", 5, 8},
    {Pattern::rotary, "applyBiasRopeUpdateKVCache", 3},
    {Pattern::activation, "silu_and_mul", 4, 8},
    {Pattern::route, "customMoeRouting", 2},
    {Pattern::align, "moePermute", 2},
    {Pattern::combine, "finalizeMoeRouting", 2},
    {Pattern::convolution, "causal_conv1d", 2},
    {Pattern::recurrence, "chunk_scan", 2},
    {Pattern::pointwise, "elementwise", 2},
    {Pattern::sample, "sampler", 3},
};

// With enable_padding: [1, 2, 4], multiples of 8 up to 128, then powers of 2 up to max_batch_size.
constexpr std::int64_t kSmall[] = {1, 2, 4, 8};
constexpr GraphSizes::Range kRanges[] = {
    {8,    128 },
    {128,  256 },
    {256,  512 },
    {512,  1024},
    {1024, 2048}
};

constexpr HostRow kHosts[] = {
    {.since = version_number(1, 1), .step_ns = 100'000, .sequence_ns = 4'000, .prompt_ns = 1'000'000},
    {.since = 0, .step_ns = 490'000, .sequence_ns = 16'000, .prompt_ns = 1'000'000},
};

}  // namespace trtllm_table
}  // namespace

const EngineRows& trtllm_rows() {
    static constexpr EngineRows kEngine{
        ServingEngine::trtllm,
        "trtllm",
        "1.0",
        trtllm_table::kRows,
        trtllm_table::kHosts,
        nullptr,
        {.narrows_results = true, .sums_in_norms = true, .all_reduce = "push"},
        {.small = trtllm_table::kSmall, .ranges = trtllm_table::kRanges}
    };
    return kEngine;
}

}  // namespace infercost
