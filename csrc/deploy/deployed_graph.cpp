#include "deploy/deployed_graph.hpp"

#include <stdexcept>
#include <utility>

#include "deploy/derived_graphs.hpp"
#include "deploy/device_boundary.hpp"
#include "deploy/staged_graphs.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

const DeploymentSettings& checked(const DeploymentSettings& settings) {
    check_settings(settings.step);
    if (settings.engine != ServingEngine::torch && is_fused(settings.execution)) {
        throw std::invalid_argument("execution is '" + std::string(name_of(settings.execution)) +
                                    "', and the kernels of engine " + std::string(name_of(settings.engine)) +
                                    " are fused already; expected cuda_graph or eager");
    }
    return settings;
}

GraphPtr launched(const GraphPtr& captured, const DeploymentSettings& settings) {
    Losses lost;
    return launched_graph(captured, settings.engine, settings.layout, lost);
}

}  // namespace

DeployedGraph::DeployedGraph(const GraphPtr& captured, const DeploymentSettings& settings)
    : captured_(captured),
      settings_(checked(settings)),
      precision_(parse_precision(settings.precision)),
      graph_(launched(captured, settings_)),
      boundary_(device_boundary(graph_, precision_)),
      holdings_(device_holdings(graph_, precision_)),
      batch_(graph_->size_of_role(SizeRole::batch).value_or("")) {}

const std::vector<NodeIndex>& DeployedGraph::as_captured() const {
    return facts_of(*graph_).as_captured;
}

std::int64_t DeployedGraph::expert_layers() const {
    return captured_expert_layers(captured_);
}

DeployedPipeline& DeployedGraph::pipeline_on(const Hardware& machine) {
    Losses lost;
    const GraphPtr stages = graph_of_stages(graph_, settings_.layout, {plans(), &machine, nullptr}, lost);
    std::unique_ptr<DeployedPipeline>& known = pipelines_[stages.get()];
    if (!known) {
        known = std::make_unique<DeployedPipeline>(
            stages, StageSettings{precision_, settings_.execution, settings_.layout.pipeline, {}});
    }
    return *known;
}

Launched DeployedGraph::on(const Hardware& machine) {
    if (settings_.layout.pipeline == 1)
        return {
            graph_, *boundary_, {holdings_.get(), 1},
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
        launched.pipeline->evaluate(shares, settings_.step, machine, 0, points, out);
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
