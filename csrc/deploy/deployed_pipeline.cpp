#include "deploy/deployed_pipeline.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "deploy/derived_graphs.hpp"
#include "deploy/device_boundary.hpp"
#include "deploy/pipeline_plans.hpp"

namespace infercost {
namespace {

Sizes values_of(const Graph& graph, const Sizes& given) {
    Sizes sizes;
    for (const auto& [name, value] : graph.size_values(given)) sizes.emplace(name, value.constant());
    return sizes;
}

// By node of a stage.
Overrides overrides_in(const Overrides& overrides, const LaunchedStage& stage) {
    Overrides own;
    for (const auto& [node, work] : overrides) {
        const auto place = std::ranges::find(stage.nodes, node);
        if (place != stage.nodes.end()) {
            own.emplace_back(static_cast<NodeIndex>(place - stage.nodes.begin()), work);
        }
    }
    return own;
}

}  // namespace

DeployedPipeline::DeployedPipeline(const std::shared_ptr<const Graph>& graph, StageSettings settings)
    : graph_(graph),
      settings_(std::move(settings)),
      batch_(graph->size_of_role(SizeRole::batch).value_or("")),
      boundary_(device_boundary(graph, settings_.precision)),
      kind_of_(facts_of(*graph).kinds),
      plans_(graph, settings_.precision, settings_.execution, settings_.overrides) {
    if (!settings_.overrides.empty()) {  // stages may differ in them
        std::iota(kind_of_.begin(), kind_of_.end(), std::size_t{0});
    }
    for (const LaunchedStage& stage : facts_of(*graph).stages) {
        stages_.push_back(*device_holdings(stage.graph, settings_.precision));
        cached_bytes_.push_back(device_boundary(stage.graph, settings_.precision)->kv_cache_bytes);
        stage_plans_.emplace_back(stage.graph, settings_.precision, settings_.execution,
                                  overrides_in(settings_.overrides, stage));
    }
}

std::vector<std::size_t> DeployedPipeline::distinct() const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < kind_of_.size(); ++i) {
        if (kind_of_[i] == i) found.push_back(i);
    }
    return found;
}

std::vector<StageKind> DeployedPipeline::kinds(const std::vector<StepSettings>& steps) {
    std::vector<StageKind> found;
    for (const std::size_t i : distinct()) {
        StageKind kind{.count = std::count(kind_of_.begin(), kind_of_.end(), i), .plans = {}};
        for (const StepSettings& step : steps) kind.plans.push_back(stage_plans_[i].with(step).get());
        found.push_back(std::move(kind));
    }
    return found;
}

Sizes DeployedPipeline::micro_batch(const Sizes& share) const {
    Sizes sizes = share;
    if (const auto batch = sizes.find(batch_); batch != sizes.end()) {
        batch->second = infercost::micro_batch(batch->second, settings_.micro_batches);
    }
    return sizes;
}

void DeployedPipeline::evaluate(std::span<const SizeAxis> shares, const Hardware& machine,
                                std::uint64_t first, std::size_t points, const Columns& out,
                                const EvaluateOptions& options) {
    PipelinePlans plans{.graph = graph_.get(),
                        .kinds = {},
                        .micro_batches = settings_.micro_batches,
                        .generates = boundary_->reads_cache,
                        .tokens = boundary_->tokens,
                        .chunk_tokens = settings_.step.chunk_tokens,
                        .cached_thousandths = settings_.step.cached_thousandths};
    for (const std::size_t i : distinct()) {
        plans.kinds.push_back(
            {plans_of_stage(i).get(), std::count(kind_of_.begin(), kind_of_.end(), i), cached_bytes_[i]});
    }
    infercost::evaluate(plans, shares, machine, first, points, out, options);
}

PointEstimate DeployedPipeline::evaluate_point(const Sizes& share, const Hardware& machine) {
    std::vector<SizeAxis> axes;
    for (const auto& [name, value] : share) {
        axes.push_back({
            name, {&value, 1},
             1
        });
    }
    PointEstimate total;
    Columns columns;
    for (const ColumnRow& row : kColumns) columns.*row.column = {&(total.*row.value), 1};
    evaluate(axes, machine, 0, 1, columns);
    return total;
}

std::vector<StageFigures> DeployedPipeline::figures(const Sizes& share, const Hardware& machine) {
    const Sizes part = micro_batch(share);
    std::int64_t micro_batches = 1;
    if (const auto batch = share.find(batch_); batch != share.end()) {
        const std::int64_t items = std::max<std::int64_t>(part.at(batch_), 1);
        micro_batches = (batch->second + items - 1) / items;
    }
    const Sizes all = values_of(*graph_, share);
    const Sizes of_part = values_of(*graph_, part);
    std::vector<PointEstimate> known(kind_of_.size());
    std::vector<StageFigures> made;
    for (std::size_t i = 0; i < kind_of_.size(); ++i) {
        if (kind_of_[i] == i) {
            known[i] = infercost::evaluate_point(plans_of_stage(i)->plan_for(part), part, machine);
        }
        const PointEstimate& point = known[kind_of_[i]];
        const LaunchedStage& stage = facts_of(*graph_).stages[i];
        StageFigures& of = made.emplace_back();
        of.latency_s = point.latency_s;
        of.busy_s = static_cast<double>(micro_batches) * point.latency_s;
        of.weight_bytes = stages_[i].weight_bytes.evaluate(all);
        of.memory_bytes = static_cast<std::int64_t>(point.peak_memory_bytes);
        if (const std::optional<Expr>& cached = cached_bytes_[i]) {
            of.kv_cache_bytes = cached->evaluate(all);
            of.memory_bytes += *of.kv_cache_bytes - cached->evaluate(of_part);
        }
        of.sent_bytes = stage.sent.evaluate(of_part) / stage.slices;
    }
    return made;
}

void DeployedPipeline::prepare() {
    for (const std::size_t i : distinct()) {
        const Graph& graph = *facts_of(*graph_).stages[i].graph;
        Sizes sizes;
        for (const auto& [name, value] : values_of(graph, {})) {
            if (!graph.depends_on_data(name)) sizes.emplace(name, value);
        }
        plans_of_stage(i)->plan_for(sizes);
    }
}

}  // namespace infercost
