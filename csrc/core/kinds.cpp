#include "core/kinds.hpp"

#include <array>
#include <stdexcept>

#include "core/names.hpp"

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

}  // namespace

std::string_view name_of(WorkKind kind) {
    return kKindNames[static_cast<std::size_t>(kind)];
}
WorkKind parse_work_kind(std::string_view name) {
    return parse_name<WorkKind>(kKindNames, name, "kind of work");
}

std::string_view name_of(SlowLoop loop) {
    return kSlowLoopNames[static_cast<std::size_t>(loop)];
}

std::string_view name_of(Execution execution) {
    return kExecutionNames[static_cast<std::size_t>(execution)];
}
Execution parse_execution(std::string_view name) {
    return parse_name<Execution>(kExecutionNames, name, "execution");
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
