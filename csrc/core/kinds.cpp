#include "core/kinds.hpp"

#include <array>
#include <stdexcept>

#include "core/names.hpp"

namespace infercost {
namespace {

constexpr EnumArray<WorkKind, std::string_view> kKindNames = {
    "free",    "gemm",          "convolution", "attention", "pointwise",  "reduction",
    "softmax", "normalization", "pooling",     "gather",    "scatter",    "copy",
    "fill",    "sort",          "scan",        "library",   "collective", "unknown"};
constexpr EnumArray<Execution, std::string_view, 4> kExecutionNames = {"eager", "compiled", "cuda_graph",
                                                                       "reduce-overhead"};
constexpr EnumArray<Bound, std::string_view> kBoundNames = {"compute", "dram", "cache", "link", "launch"};
constexpr EnumArray<SlowLoop, std::string_view> kSlowLoopNames = {"special", "library",   "row",   "softmax",
                                                                  "window",  "scattered", "score", "half"};

}  // namespace

std::string_view name_of(WorkKind kind) {
    return kKindNames[kind];
}
WorkKind parse_work_kind(std::string_view name) {
    return parse_name<WorkKind>(kKindNames, name, "kind of work");
}

std::string_view name_of(SlowLoop loop) {
    return kSlowLoopNames[loop];
}

std::string_view name_of(Execution execution) {
    return kExecutionNames[execution];
}
Execution parse_execution(std::string_view name) {
    return parse_name<Execution>(kExecutionNames, name, "execution");
}
std::vector<std::string> execution_names() {
    return {kExecutionNames.begin(), kExecutionNames.end()};
}

std::string_view name_of(Bound bound) {
    return kBoundNames[bound];
}
std::vector<std::string> bound_names() {
    return {kBoundNames.begin(), kBoundNames.end()};
}

}  // namespace infercost
