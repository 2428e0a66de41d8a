#include "interface/deployed_graph.hpp"

#include <stdexcept>
#include <utility>

#include "serving/server_defaults.hpp"

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
    : captured_(captured),
      settings_(settings),
      precision_(parse_precision(settings.precision)),
      expert_layers_(infercost::expert_layers(*captured)),
      graph_(launched(rank_of(captured, settings.layout, shares_), settings, as_captured_)),
      boundary_(boundary_of(graph_, precision_)),
      batch_(graph_->size_of_role(SizeRole::batch).value_or("")) {
    std::vector<Cache> caches = boundary_.caches;
    if (settings.engine != ServingEngine::torch) {
        std::vector<Share> of_rank;
        Boundary of_model = boundary_of(rank_of(captured, settings.layout, of_rank), precision_);
        caches = std::move(of_model.caches);
        if (!boundary_.tokens) {
            // The host of an engine prepares the ids that a model only reshapes: its graph looks up prepared
            // ones.
            boundary_.tokens = of_model.tokens;
            boundary_.vocabulary = of_model.vocabulary;
        }
    }
    holdings_ = {boundary_.weight_bytes, boundary_.tokens, boundary_.vocabulary, boundary_.reads_cache,
                 std::move(caches)};
}

PlanFamily& DeployedGraph::plans_with(const StepSettings& step) {
    for (const auto& [known, family] : plans_) {
        if (known == step) return *family;
    }
    plans_.emplace_back(
        step, std::make_unique<PlanFamily>(graph_, precision_, settings_.execution, Overrides{}, step));
    return *plans_.back().second;
}

DeployedGraph& DeployedGraph::under_load() {
    if (expert_layers_ == 0 || settings_.layout.routing != Routing::balanced) return *this;
    if (!under_load_) {
        DeploymentSettings settings = settings_;
        settings.layout.routing = Routing::power;
        settings.layout.exponent = kServedExperts;
        under_load_ = std::make_shared<DeployedGraph>(captured_, settings);
    }
    return *under_load_;
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
