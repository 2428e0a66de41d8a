// Source: GraphLowering.decide_layout_opt in torch/_inductor/graph.py of PyTorch 2.13, for inference on a
// GPU. The factors are torch's measurements of channels-last convolutions by class. On a CPU torch always
// selects channels last.
#include "lowering/layout.hpp"

namespace infercost {
namespace {

constexpr double kGrouped = 1.358;
constexpr double kNarrowing = 0.725;  // fewer output channels than half of the input channels
constexpr double kFewChannels = 0.783;
constexpr double kOthers = 0.823;
constexpr std::int64_t kFew = 64;
constexpr std::size_t kNodesPerConvolution = 300;
// Nodes of a normalization or softmax in the compiler's graph.
constexpr std::size_t kNodesPerNormalization = 8;

double value_of(const Expr& e, const Sizes& sizes) {
    const Expr bound = e.substitute(sizes);
    return bound.is_constant() ? static_cast<double>(bound.constant()) : 0;
}

double factor_of(const Work& work, const Sizes& sizes) {
    const double groups = value_of(work.dims.batch, sizes);
    const double out = value_of(work.dims.n, sizes) * groups;
    const double in = value_of(work.dims.k, sizes) / static_cast<double>(work.dims.filter_elements);
    if (groups > 1 && in > 1) return kGrouped;
    if (out <= kFew && in <= kFew) return kFewChannels;
    if (out * 2 <= in && work.dims.filter_elements > 1) return kNarrowing;
    return kOthers;
}

}  // namespace

bool prefers_channels_last(const Pass& pass, const std::vector<Launch>& launches) {
    Sizes sizes;
    for (const auto& [name, size] : pass.graph.sizes()) {
        if (size.default_value.is_constant()) sizes.emplace(name, size.default_value.constant());
    }
    std::size_t convolutions = 0;
    std::size_t nodes = pass.graph.nodes().size();
    double as_is = 0;
    double channels_last = 0;
    for (const Tensor& tensor : pass.graph.tensors()) {
        nodes += tensor.role == Role::parameter || tensor.role == Role::buffer;
    }
    for (const Launch& launch : launches) {
        const WorkKind kind = launch.work.kind;
        if (kind == WorkKind::normalization || kind == WorkKind::softmax) nodes += kNodesPerNormalization - 1;
        if (kind != WorkKind::convolution) continue;
        ++convolutions;
        const double flops = value_of(launch.work.contraction_flops, sizes);
        as_is += flops;
        channels_last += flops * factor_of(launch.work, sizes);
    }
    if (convolutions == 0 || nodes >= kNodesPerConvolution * convolutions) return false;
    return channels_last <= as_is;
}

}  // namespace infercost
