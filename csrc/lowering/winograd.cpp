#include "lowering/winograd.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace infercost {
namespace {

constexpr int kImageRank = 4;  // batch, channels, height, width

// Gradients, transposed convolutions, and depthwise ops without `groups` use other algorithms.
bool is_plain_convolution(const Call& call, const Work& work) {
    if (work.kind != WorkKind::convolution || call.flag("transposed", false)) return false;
    const std::string_view name = call.op().name;
    for (const std::string_view other : {"backward", "transpose", "conv_depthwise"}) {
        if (name.find(other) != std::string_view::npos) return false;
    }
    return call.integer("groups", 1) == Expr(1);
}

bool are_ones(const List<Expr>& steps) {
    return std::all_of(steps.begin(), steps.end(), [](const Expr& step) { return step == Expr(1); });
}

}  // namespace

WinogradTiles winograd_tiles(const Call& call, const Work& work) {
    if (!is_plain_convolution(call, work)) return {};
    const TensorIndex named = call.tensor("weight");
    const TensorIndex weight = named != kNoTensor ? named : call.tensor("qw");
    const TensorIndex result = call.output();
    if (weight == kNoTensor || call.rank(weight) != kImageRank || call.rank(result) != kImageRank) return {};
    if (!(call.dim(weight, 2) == Expr(3)) || !(call.dim(weight, 3) == Expr(3))) return {};
    if (!are_ones(call.integers("stride")) || !are_ones(call.integers("dilation"))) return {};
    const auto cover = [&](std::int64_t side) {
        return call.dim(result, 0) * Expr::ceil_div(call.dim(result, 2), side) *
               Expr::ceil_div(call.dim(result, 3), side);
    };
    return {.of_2 = cover(2), .of_4 = cover(4)};
}

}  // namespace infercost
