// ONNX Runtime 1.20 with all graph optimizations. Fusions as in onnxruntime/core/optimizer: convolutions with
// their norm, sum and activation (ConvAddActivation), products with GELU (BiasGelu), sums with norms
// (SkipLayerNormalization). Attention is one kernel, as in files of operator set 23 and later;
// docs/compilers.md has what runs of earlier ones. Every other operator is a kernel of its own.
#include "lowering/engines/kernel_rows.hpp"

namespace infercost {
namespace {
namespace onnxruntime_table {

constexpr KernelRow kRows[] = {
    {Pattern::norm,       "LayerNormalization",     4},
    {Pattern::add_norm,   "SkipLayerNormalization", 5},
    {Pattern::rotary,     "RotaryEmbedding",        3},
    {Pattern::activation, "FastGelu",               2},
    {Pattern::route,      "TopK",                   2},
    {Pattern::align,      "GatherND",               2},
    {Pattern::combine,    "ReduceSum",              2},
    {Pattern::pointwise,  "Elementwise",            2},
};

constexpr std::string_view kAfterConvolution[] = {"aten.add",         "aten.relu",    "aten.relu6",
                                                  "aten.hardtanh",    "aten.clamp",   "aten.leaky_relu",
                                                  "aten.hardsigmoid", "aten.sigmoid", "aten.tanh"};
constexpr std::string_view kAfterProduct[] = {"aten.relu", "aten.gelu"};
constexpr CompilerRow kCompiler{.after_convolution = kAfterConvolution,
                                .after_product = kAfterProduct,
                                .joins_pointwise = false,
                                .joins_parts = false,
                                .channels_last = false};

constexpr HostRow kHosts[] = {
    {.since = 0, .step_ns = 0, .sequence_ns = 0, .prompt_ns = 0},
};

}  // namespace onnxruntime_table
}  // namespace

const EngineRows& onnxruntime_rows() {
    static constexpr EngineRows kEngine{ServingEngine::onnxruntime,
                                        "onnxruntime",
                                        "1.20",
                                        onnxruntime_table::kRows,
                                        onnxruntime_table::kHosts,
                                        &onnxruntime_table::kCompiler};
    return kEngine;
}

}  // namespace infercost
