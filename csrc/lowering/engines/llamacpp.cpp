// llama.cpp with ggml's CUDA backend as of build b6900 (November 2025); its CPU and Metal backends run the
// same graph of operators. Names of kernels as in ggml/src/ggml-cuda. Queries, keys and values are products
// of their own. Gate and up are one kernel in a step of one token, and two in others. Norms multiply their
// weight; sums, rotations of queries and of keys, and copies of keys and values into the cache, which is
// float16, are kernels of their own. Logits are copied to the host, which samples. Host, all assumed: 0.2 ms
// a step (the graph of operators is reused, inputs are set, the device is awaited) and 10 us a sequence; 3 ns
// a logit for sampling with default settings: the program's own timers showed 0.08 to 0.6 ms a token for
// vocabularies of 32,000 to 128,256 (issues 2237 and 1830 of llama.cpp and its bindings); 3 us for each
// kernel that no recorded graph launches: a call of CUDA's runtime from C++. Graphs are recorded for steps of
// one token: with more, shapes of kernels change (pull request 7302).
#include "lowering/engines/kernel_rows.hpp"

namespace infercost {
namespace {
namespace llamacpp_table {

constexpr KernelRow kRows[] = {
    {Pattern::norm,        "rms_norm_mul",    4},
    {Pattern::rotary,      "rope",            3},
    {Pattern::cache_write, "set_rows",        2},
    {Pattern::activation,  "glu",             4},
    {Pattern::route,       "topk_moe",        2},
    {Pattern::align,       "mmid_row_ids",    2},
    {Pattern::combine,     "mul_add_experts", 2},
    {Pattern::convolution, "ssm_conv",        2},
    {Pattern::recurrence,  "ssm_scan",        2},
    {Pattern::pointwise,   "bin_bcast",       2},
    {Pattern::sample,      "copy_logits",     2},
};

constexpr std::int64_t kGraphs[] = {1};

constexpr HostRow kHosts[] = {
    {.since = 0,
     .step_ns = 200'000,
     .sequence_ns = 10'000,
     .prompt_ns = 0,
     .logit_ns = 3,
     .launch_ns = 3'000},
};

}  // namespace llamacpp_table
}  // namespace

const EngineRows& llamacpp_rows() {
    static constexpr EngineRows kEngine{
        ServingEngine::llamacpp,
        "llamacpp",
        "b6900",
        llamacpp_table::kRows,
        llamacpp_table::kHosts,
        nullptr,
        {.merges = Merges::one_token,
          .rotates_together = false,
          .writes_together = false,
          .samples_on_device = false,
          .stores_half = true},
        {.small = llamacpp_table::kGraphs, .ranges = {}}
    };
    return kEngine;
}

}  // namespace infercost
