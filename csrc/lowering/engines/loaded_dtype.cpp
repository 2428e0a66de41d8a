#include "lowering/engines/loaded_dtype.hpp"

#include <algorithm>

#include "core/graph_rewriter.hpp"

namespace infercost {
namespace {

bool narrows(ServingEngine engine) {
    return engine == ServingEngine::vllm || engine == ServingEngine::sglang ||
           engine == ServingEngine::trtllm;
}

}  // namespace

std::shared_ptr<const Graph> loaded_graph(const std::shared_ptr<const Graph>& graph, ServingEngine engine) {
    if (!narrows(engine)) return graph;
    const auto& tensors = graph->tensors();
    const auto is_parameter = [](const Tensor& t) {
        return t.role == Role::parameter && is_floating(t.dtype);
    };
    const auto is_wide = [](const Tensor& t) { return t.dtype == DType::float32; };
    const bool wide = std::any_of(tensors.begin(), tensors.end(), is_parameter) &&
                      std::all_of(tensors.begin(), tensors.end(),
                                  [&](const Tensor& t) { return !is_parameter(t) || is_wide(t); });
    const bool trains = std::any_of(graph->nodes().begin(), graph->nodes().end(),
                                    [](const Node& node) { return node.phase == Phase::backward; });
    if (!wide || trains) return graph;
    GraphRewriter rewriter(*graph);
    for (std::size_t t = 0; t < tensors.size(); ++t) {
        if (is_wide(tensors[t])) rewriter.set_dtype(static_cast<TensorIndex>(t), DType::bfloat16);
    }
    return rewriter.build().graph;
}

}  // namespace infercost
