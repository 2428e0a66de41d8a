#include "interface/deployed_graph.hpp"

#include <stdexcept>
#include <utility>

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

void require_one_rank(const Layout& layout) {
    layout.check();
    if (layout.pipeline == 1 && layout.context == 1) return;
    throw std::invalid_argument("layout has pipeline=" + std::to_string(layout.pipeline) +
                                " and context=" + std::to_string(layout.context) +
                                "; expected 1 of both: stages and shared tokens are not available here");
}

GraphPtr rank_of(const GraphPtr& captured, const Layout& layout, std::vector<Share>& shares) {
    require_one_rank(layout);
    const Layout wanted = rank_layout(layout);
    if (wanted == Layout{}) return captured;
    RankGraph made = parallel_graph(captured, wanted);
    shares = std::move(made.shares);
    return made.graph;
}

GraphPtr launched(const GraphPtr& rank, const DeploymentSettings& settings,
                  std::vector<NodeIndex>& as_captured) {
    check_settings(settings.step);
    if (settings.engine == ServingEngine::torch) return rank;
    if (is_fused(settings.execution)) {
        throw std::invalid_argument("execution is '" + std::string(name_of(settings.execution)) +
                                    "', and the kernels of engine " + std::string(name_of(settings.engine)) +
                                    " are fused already; expected cuda_graph or eager");
    }
    EngineGraph made = engine_graph(rank, settings.engine);
    as_captured = std::move(made.as_captured);
    return made.graph;
}

}  // namespace

DeployedGraph::DeployedGraph(const GraphPtr& captured, const DeploymentSettings& settings)
    : engine_(settings.engine),
      layout_(settings.layout),
      precision_(parse_precision(settings.precision)),
      graph_(launched(rank_of(captured, layout_, shares_), settings, as_captured_)),
      plans_(graph_, precision_, settings.execution, {}, settings.step),
      boundary_(boundary_of(graph_, precision_)),
      batch_(graph_->size_of_role(SizeRole::batch).value_or("")) {
    if (settings.engine == ServingEngine::torch) {
        caches_ = boundary_.caches;
        return;
    }
    std::vector<Share> of_rank;
    const Boundary of_model = boundary_of(rank_of(captured, layout_, of_rank), precision_);
    caches_ = of_model.caches;
    if (boundary_.tokens) return;
    // The host of an engine prepares the ids that a model only reshapes: its graph looks up prepared ones.
    boundary_.tokens = of_model.tokens;
    boundary_.vocabulary = of_model.vocabulary;
}

Sizes DeployedGraph::all_sizes(const Sizes& given) const {
    Sizes sizes;
    for (const auto& [name, value] : graph_->size_values(given)) sizes.emplace(name, value.constant());
    return sizes;
}

Sizes DeployedGraph::plan_sizes(const Sizes& given) const {
    Sizes sizes;
    for (const auto& [name, value] : all_sizes(given)) {
        if (given.contains(name) || !graph_->depends_on_data(name)) sizes.emplace(name, value);
    }
    if (copies() > 1) {
        const auto batch = sizes.find(shared_size());
        batch->second = share_of(batch->second);
    }
    return sizes;
}

const std::string& DeployedGraph::shared_size() const {
    if (!batch_.empty() || copies() == 1) return batch_;
    throw std::invalid_argument(
        "layout has " + std::to_string(copies()) +
        " shares of the batch, and this graph has no size 'batch' to share; capture it "
        "with one, or take a layout of one copy");
}

}  // namespace infercost
