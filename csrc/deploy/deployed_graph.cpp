#include "deploy/deployed_graph.hpp"

#include <stdexcept>
#include <utility>

#include "hardware/collectives.hpp"
#include "lowering/engines/engine_scheduler.hpp"
#include "lowering/engines/loaded_dtype.hpp"
#include "pipelines/balance.hpp"
#include "serving/server_defaults.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

void require_whole_prompts(const Layout& layout) {
    layout.check();
    if (layout.context == 1) return;
    throw std::invalid_argument("layout has context=" + std::to_string(layout.context) +
                                "; expected 1: shared tokens are not available here");
}

// The settings with loads of experts, where the layout does not state them: a serving engine's tokens choose
// experts as those of a service.
DeploymentSettings with_expert_loads(DeploymentSettings settings, std::int64_t expert_layers) {
    if (settings.layout.routing != Routing::unstated || expert_layers == 0 ||
        !scheduler_rules(settings.engine))
        return settings;
    settings.layout.routing = Routing::power;
    settings.layout.exponent = kServedExperts;
    return settings;
}

GraphPtr rank_of(const GraphPtr& captured, const Layout& layout, std::vector<Share>& shares) {
    require_whole_prompts(layout);
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
    : expert_layers_(infercost::expert_layers(*captured)),
      settings_(with_expert_loads(settings, expert_layers_)),
      precision_(parse_precision(settings.precision)),
      rank_(rank_of(loaded_graph(captured, settings.engine), settings_.layout, shares_)),
      graph_(launched(rank_, settings, as_captured_)),
      boundary_(boundary_of(graph_, precision_)),
      batch_(graph_->size_of_role(SizeRole::batch).value_or("")) {
    std::vector<Cache> caches = boundary_.caches;
    if (settings.engine != ServingEngine::torch) {
        Boundary of_model = boundary_of(rank_, precision_);
        caches = std::move(of_model.caches);
        if (!boundary_.tokens) {
            // The host of an engine prepares the ids that a model only reshapes: its graph looks up prepared
            // ones.
            boundary_.tokens = of_model.tokens;
            boundary_.vocabulary = of_model.vocabulary;
        }
    }
    holdings_ = {boundary_.weight_bytes,
                 boundary_.tokens,
                 boundary_.vocabulary,
                 boundary_.reads_cache,
                 std::move(caches),
                 boundary_.step_bytes,
                 batch_,
                 length_of(*graph_)};
}

DeployedPipeline& DeployedGraph::pipeline_on(const Hardware& machine) {
    const Layout& layout = settings_.layout;
    if (settings_.step.chunk_tokens > 0) {
        throw std::invalid_argument(
            "step has chunk_tokens, and the layout a pipeline; expected one of both here");
    }
    if (places_.empty()) places_ = cut_places(graph_, layout.pipeline);
    const std::int64_t machines = nodes_of(machine, layout.devices(), layout.nodes);
    const std::int64_t slices = sends_slices(settings_.engine) ? layout.tensor : 1;
    const Balance balance{.stages = layout.pipeline, .slices = slices, .between_nodes = machines > 1};
    Cuts cuts{timed_cuts(graph_, places_, plans(), machine, balance), {}};
    for (std::int64_t stage = 0; stage + 1 < layout.pipeline; ++stage) {
        cuts.second.push_back(layout.sends_between_nodes(stage, machines) ? 2 : 1);
    }
    std::unique_ptr<DeployedPipeline>& known = pipelines_[cuts];
    if (!known) {
        std::vector<CutPlace> places;
        for (const std::size_t place : cuts.first) places.push_back(places_[place]);
        const bool launched = settings_.engine != ServingEngine::torch;
        known = std::make_unique<DeployedPipeline>(pipeline_of(graph_, places, {cuts.second, slices}),
                                                   StageSettings{precision_, settings_.execution, batch_},
                                                   holdings_, launched ? rank_ : graph_);
    }
    return *known;
}

Launched DeployedGraph::on(const Hardware& machine) {
    if (settings_.layout.pipeline == 1)
        return {
            graph_, boundary_, {&holdings_, 1},
              nullptr
        };
    DeployedPipeline& made = pipeline_on(machine);
    return {made.graph(), made.boundary(), made.stages(), &made};
}

PlanFamily& DeployedGraph::plans_of(const Launched& launched) {
    return launched.pipeline ? launched.pipeline->plans_with(settings_.step) : plans();
}

void DeployedGraph::evaluate(const Launched& launched, const std::vector<SizeAxis>& shares,
                             const Hardware& machine, std::size_t points, const Columns& out) {
    if (launched.pipeline) {
        launched.pipeline->evaluate(shares, settings_.step, machine, points, out);
    } else {
        infercost::evaluate(plans(), shares, machine, 0, points, out);
    }
}

Sizes DeployedGraph::step_sizes(const Launched& launched, const Sizes& share) const {
    return launched.pipeline ? launched.pipeline->micro_batch(share) : share;
}

PlanFamily& DeployedGraph::plans_with(const StepSettings& step) {
    for (const auto& [known, family] : plans_) {
        if (known == step) return *family;
    }
    plans_.emplace_back(
        step, std::make_unique<PlanFamily>(graph_, precision_, settings_.execution, Overrides{}, step));
    return *plans_.back().second;
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
