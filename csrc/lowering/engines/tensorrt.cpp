// TensorRT 10. Fusions as in NVIDIA's documentation of layer fusion and in the layer names that its profiler
// prints: a convolution with its bias, norm, sum and clipping activation is one kernel, other elementwise
// layers are joined, a concatenation is written in place, and tensors are channels last. Elementwise work
// after a product is the epilogue of its kernel.
#include "lowering/engines/kernel_rows.hpp"

namespace infercost {
namespace {
namespace tensorrt_table {

constexpr KernelRow kRows[] = {
    {Pattern::norm,       "layer_norm",      4},
    {Pattern::add_norm,   "skip_layer_norm", 5},
    {Pattern::rotary,     "pointwise",       2},
    {Pattern::activation, "pointwise",       2},
    {Pattern::route,      "topk",            2},
    {Pattern::align,      "scatter",         2},
    {Pattern::combine,    "pointwise",       2},
    {Pattern::pointwise,  "pointwise",       2},
};

constexpr std::string_view kAfterConvolution[] = {"aten.add",      "aten.relu",         "aten.relu6",
                                                  "aten.hardtanh", "aten.clamp",        "aten.leaky_relu",
                                                  "quantized.add", "quantized.add_relu"};
constexpr std::string_view kAfterProduct[] = {
    "aten.add",  "aten.relu", "aten.relu6", "aten.hardtanh", "aten.clamp", "aten.sigmoid", "aten.tanh",
    "aten.gelu", "aten.silu", "aten.mul",   "aten.pow",      "aten.div",   "aten.erf",     "aten.hardswish"};
constexpr CompilerRow kCompiler{.after_convolution = kAfterConvolution,
                                .after_product = kAfterProduct,
                                .joins_pointwise = true,
                                .joins_parts = true,
                                .channels_last = true};

constexpr HostRow kHosts[] = {
    {.since = 0, .step_ns = 0, .sequence_ns = 0, .prompt_ns = 0},
};

}  // namespace tensorrt_table
}  // namespace

const EngineRows& tensorrt_rows() {
    static constexpr EngineRows kEngine{
        ServingEngine::tensorrt,   "tensorrt", "10", tensorrt_table::kRows, tensorrt_table::kHosts,
        &tensorrt_table::kCompiler};
    return kEngine;
}

}  // namespace infercost
