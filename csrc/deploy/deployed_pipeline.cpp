#include "deploy/deployed_pipeline.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "core/structure.hpp"
#include "deploy/pipeline_plans.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

}  // namespace

DeployedPipeline::DeployedPipeline(Pipeline made, const StageSettings& settings, const Holdings& whole,
                                   const GraphPtr& holder)
    : made_(std::move(made)),
      precision_(settings.precision),
      execution_(settings.execution),
      batch_(settings.batch),
      boundary_(boundary_of(made_.graph, precision_)) {
    if (!boundary_.tokens) {
        boundary_.tokens = whole.tokens;
        boundary_.vocabulary = whole.vocabulary;
    }
    std::vector<GraphPtr> graphs;
    for (const Stage& stage : made_.stages) graphs.push_back(stage.graph);
    std::vector<TensorIndex> tensors;
    for (const Cache& cache : whole.caches) tensors.push_back(cache.tensor);
    const std::vector<std::size_t> places = stages_of_tensors(*holder, tensors, graphs);
    std::map<std::string, std::size_t> first;
    for (std::size_t i = 0; i < graphs.size(); ++i) {
        kind_of_.push_back(first.try_emplace(structure_of(*graphs[i]), i).first->second);
        const Boundary own = boundary_of(graphs[i], precision_);
        Holdings held{.weight_bytes = own.weight_bytes,
                      .tokens = whole.tokens,
                      .vocabulary = whole.vocabulary,
                      .reads_cache = whole.reads_cache,
                      .caches = {},
                      .step_bytes = own.step_bytes,
                      .batch = whole.batch,
                      .length = whole.length};
        for (std::size_t cache = 0; cache < places.size(); ++cache) {
            if (places[cache] == i) held.caches.push_back(whole.caches[cache]);
        }
        Expr& bytes = cached_bytes_.emplace_back();
        for (const Cache& cache : held.caches) bytes += cache.bytes;
        stages_.push_back(std::move(held));
    }
}

PlanFamily& DeployedPipeline::family_of(const GraphPtr& graph, const StepSettings& step) {
    Families& families = families_[graph.get()];
    for (const auto& [known, family] : families) {
        if (known == step) return *family;
    }
    families.emplace_back(step,
                          std::make_unique<PlanFamily>(graph, precision_, execution_, Overrides{}, step));
    return *families.back().second;
}

std::vector<StageKind> DeployedPipeline::kinds(const std::vector<StepSettings>& steps) {
    std::vector<StageKind> found;
    for (std::size_t i = 0; i < kind_of_.size(); ++i) {
        if (kind_of_[i] != i) continue;
        StageKind kind{.count = std::count(kind_of_.begin(), kind_of_.end(), i), .plans = {}};
        for (const StepSettings& step : steps) kind.plans.push_back(&family_of(made_.stages[i].graph, step));
        found.push_back(std::move(kind));
    }
    return found;
}

Sizes DeployedPipeline::micro_batch(const Sizes& share) const {
    Sizes sizes = share;
    if (const auto batch = sizes.find(batch_); batch != sizes.end()) {
        batch->second = infercost::micro_batch(batch->second, std::ssize(made_.stages));
    }
    return sizes;
}

void DeployedPipeline::evaluate(const std::vector<SizeAxis>& shares, const StepSettings& step,
                                const Hardware& machine, std::size_t points, const Columns& out) {
    PipelinePlans plans{.graph = made_.graph.get(),
                        .kinds = {},
                        .micro_batches = std::ssize(made_.stages),
                        .generates = boundary_.reads_cache,
                        .tokens = {}};
    for (std::size_t i = 0; i < kind_of_.size(); ++i) {
        if (kind_of_[i] != i) continue;
        PipelineKind kind{
            &family_of(made_.stages[i].graph, step), std::count(kind_of_.begin(), kind_of_.end(), i), {}};
        if (!stages_[i].caches.empty()) kind.cached_bytes = cached_bytes_[i];
        plans.kinds.push_back(std::move(kind));
    }
    infercost::evaluate(plans, shares, machine, 0, points, out);
}

}  // namespace infercost
