#include "core/kinds.hpp"

#include <array>
#include <stdexcept>

namespace infercost {
namespace {

constexpr std::array<std::string_view, kWorkKindCount> kKindNames = {
    "free",    "gemm",          "convolution", "attention", "pointwise",  "reduction",
    "softmax", "normalization", "pooling",     "gather",    "scatter",    "copy",
    "fill",    "sort",          "scan",        "library",   "collective", "unknown"};
constexpr std::array<std::string_view, 4> kExecutionNames = {"eager", "compiled", "cuda_graph",
                                                             "reduce-overhead"};
constexpr std::array<std::string_view, kBoundCount> kBoundNames = {"compute", "dram", "cache", "link",
                                                                   "launch"};
constexpr std::array<std::string_view, kSlowLoopCount> kSlowLoopNames = {
    "special", "library", "row", "softmax", "window", "scattered", "score", "half"};

template <class Enum, std::size_t N>
Enum parse(const std::array<std::string_view, N>& names, std::string_view name, const char* what) {
    std::string known;
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == name) return static_cast<Enum>(i);
        known += (known.empty() ? "" : ", ") + std::string(names[i]);
    }
    throw std::invalid_argument("unknown " + std::string(what) + " '" + std::string(name) +
                                "'; expected one of " + known);
}

}  // namespace

std::string_view name_of(WorkKind kind) {
    return kKindNames[static_cast<std::size_t>(kind)];
}
WorkKind parse_work_kind(std::string_view name) {
    return parse<WorkKind>(kKindNames, name, "kind of work");
}

std::string_view name_of(SlowLoop loop) {
    return kSlowLoopNames[static_cast<std::size_t>(loop)];
}

std::string_view name_of(Execution execution) {
    return kExecutionNames[static_cast<std::size_t>(execution)];
}
Execution parse_execution(std::string_view name) {
    return parse<Execution>(kExecutionNames, name, "execution");
}
std::vector<std::string> execution_names() {
    return {kExecutionNames.begin(), kExecutionNames.end()};
}

std::string_view name_of(Bound bound) {
    return kBoundNames[static_cast<std::size_t>(bound)];
}
std::vector<std::string> bound_names() {
    return {kBoundNames.begin(), kBoundNames.end()};
}

}  // namespace infercost
