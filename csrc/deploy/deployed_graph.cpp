#include "deploy/deployed_graph.hpp"

#include <mutex>
#include <stdexcept>
#include <utility>

#include "core/fork.hpp"
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

DeployedGraph::DeployedGraph(const GraphPtr& captured, const DeploymentSettings& settings,
                             Overrides overrides)
    : captured_(captured),
      settings_(checked(settings)),
      precision_(parse_precision(settings.precision)),
      graph_(launched(captured, settings_)),
      overrides_(std::move(overrides)),
      plans_(graph_, precision_, settings_.execution, has_stages() ? Overrides{} : overrides_),
      boundary_(device_boundary(graph_, precision_)),
      holdings_(device_holdings(graph_, precision_)),
      batch_(graph_->size_of_role(SizeRole::batch).value_or("")) {}

const std::vector<NodeIndex>& DeployedGraph::as_captured() const {
    return facts_of(*graph_).as_captured;
}

std::int64_t DeployedGraph::expert_layers() const {
    return captured_expert_layers(captured_);
}

bool DeployedGraph::has_stages() const {
    return settings_.layout.pipeline > 1 || !facts_of(*graph_).stages.empty();
}

DeployedPipeline& DeployedGraph::pipeline_on(const Hardware& machine,
                                             const std::shared_ptr<const Hardware>& owner) {
    Losses lost;
    const auto plans = plans_with(settings_.step);
    const GraphPtr stages = graph_of_stages(graph_, settings_.layout, {*plans, &machine, owner}, lost);
    {
        const std::scoped_lock lock(fork_safe_mutex());
        if (const auto known = pipelines_.find(stages.get()); known != pipelines_.end())
            return *known->second;
    }
    const std::int64_t most = settings_.micro_batches ? settings_.micro_batches : settings_.layout.pipeline;
    auto made = std::make_unique<DeployedPipeline>(
        stages, StageSettings{precision_, settings_.execution, most, settings_.step, overrides_});
    const std::scoped_lock lock(fork_safe_mutex());
    return *pipelines_.try_emplace(stages.get(), std::move(made)).first->second;
}

Launched DeployedGraph::on(const Hardware& machine, const std::shared_ptr<const Hardware>& owner) {
    if (!has_stages())
        return {
            graph_, *boundary_, {holdings_.get(), 1},
              nullptr
        };
    DeployedPipeline& made = pipeline_on(machine, owner);
    return {made.graph(), made.boundary(), made.stages(), &made};
}

DeployedPoint DeployedGraph::at(const Sizes& given, const Hardware& machine,
                                const std::shared_ptr<const Hardware>& owner) {
    DeployedPoint made{.launched = on(machine, owner),
                       .sizes = all_sizes(given),
                       .share = {},
                       .open_share = plan_sizes(given),
                       .point = {},
                       .plan = nullptr,
                       .total = {}};
    DeployedPipeline* pipeline = made.launched.pipeline;
    made.share = all_sizes(made.open_share);
    made.point = step_sizes(made.launched, made.open_share);
    made.plan = plans_of(made.launched)->plan_for(made.point);
    if (!pipeline) {
        made.total = evaluate_point(made.plan, made.point, machine);
    } else if (!made.launched.graph->trains()) {
        made.total = pipeline->evaluate_point(made.open_share, machine);
    }
    return made;
}

std::shared_ptr<PlanFamily> DeployedGraph::plans_of(const Launched& launched) {
    return launched.pipeline ? launched.pipeline->plans() : plans_with(settings_.step);
}

void DeployedGraph::evaluate(const Launched& launched, const std::vector<SizeAxis>& shares,
                             const Hardware& machine, std::size_t points, const Columns& out) {
    if (launched.pipeline) {
        launched.pipeline->evaluate(shares, machine, 0, points, out);
    } else {
        infercost::evaluate(*plans_with(settings_.step), shares, machine, 0, points, out);
    }
}

Sizes DeployedGraph::step_sizes(const Launched& launched, const Sizes& share) const {
    return launched.pipeline ? launched.pipeline->micro_batch(share) : share;
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
