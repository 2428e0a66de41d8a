#include "deploy/deployed_pipeline.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "core/structure.hpp"
#include "evaluate/stage_costs.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

// Every column of the evaluator at some points.
struct AllColumns {
    explicit AllColumns(std::size_t points) {
        for (std::size_t i = 0; i < kColumns.size(); ++i) {
            values[i].resize(points);
            columns.*kColumns[i].column = values[i];
        }
    }
    std::array<std::vector<double>, kColumns.size()> values;
    Columns columns;
};

std::int64_t value_at(const SizeAxis& axis, std::size_t point) {
    return axis.values[(point / axis.repeat) % axis.values.size()];
}

Sizes sizes_at(const std::vector<SizeAxis>& axes, std::size_t point) {
    Sizes sizes;
    for (const SizeAxis& axis : axes) sizes.emplace(axis.name, value_at(axis, point));
    return sizes;
}

double idle_w(const Hardware& machine) {
    const auto found = machine.power_w.find("idle");
    return found == machine.power_w.end() ? 0.0 : found->second;
}

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

std::int64_t DeployedPipeline::part_of(std::int64_t share) const {
    const auto stages = static_cast<std::int64_t>(made_.stages.size());
    const std::int64_t parts = std::min(stages, std::max<std::int64_t>(share, 1));
    return (share + parts - 1) / parts;
}

Sizes DeployedPipeline::micro_batch(const Sizes& share) const {
    Sizes sizes = share;
    if (const auto batch = sizes.find(batch_); batch != sizes.end()) batch->second = part_of(batch->second);
    return sizes;
}

void DeployedPipeline::evaluate(const std::vector<SizeAxis>& shares, const StepSettings& step,
                                const Hardware& machine, std::size_t points, const Columns& out) {
    std::vector<SizeAxis> parts = shares;
    std::vector<std::int64_t> part_values;
    std::vector<double> micro_batches(points, 1.0);
    for (SizeAxis& axis : parts) {
        if (axis.name != batch_ || batch_.empty()) continue;
        for (const std::int64_t share : axis.values) part_values.push_back(part_of(share));
        const SizeAxis whole = axis;
        axis.values = part_values;
        for (std::size_t i = 0; i < points; ++i) {
            const std::int64_t part = std::max<std::int64_t>(1, value_at(axis, i));
            micro_batches[i] = static_cast<double>((value_at(whole, i) + part - 1) / part);
        }
    }
    std::vector<AllColumns> kinds;
    std::vector<std::int64_t> counts;
    kinds.reserve(kind_of_.size());
    for (std::size_t stage = 0; stage < kind_of_.size(); ++stage) {
        if (kind_of_[stage] != stage) continue;
        AllColumns& made = kinds.emplace_back(points);
        counts.push_back(std::count(kind_of_.begin(), kind_of_.end(), stage));
        infercost::evaluate(family_of(made_.stages[stage].graph, step), parts, machine, 0, points,
                            made.columns);
        // The caches of the other micro-batches are held, too.
        for (std::size_t i = 0; i < points; ++i) {
            if (micro_batches[i] == 1 || stages_[stage].caches.empty()) continue;
            const Expr& bytes = cached_bytes_[stage];
            const std::int64_t others =
                bytes.evaluate(sizes_at(shares, i)) - bytes.evaluate(sizes_at(parts, i));
            made.columns.peak_memory_bytes[i] += static_cast<double>(others);
        }
    }
    std::vector<StageColumns> columns;
    for (std::size_t i = 0; i < kinds.size(); ++i) columns.push_back({kinds[i].columns, counts[i]});
    const AllColumns whole(points);
    const double one = 1;
    combine_stages(columns,
                   {
                       micro_batches, {&one, 1},
                        boundary_.reads_cache, idle_w(machine)
    },
                   whole.columns);
    for (std::size_t i = 0; i < kColumns.size(); ++i) {
        const std::span<double> wanted = out.*kColumns[i].column;
        if (!wanted.empty()) std::copy(whole.values[i].begin(), whole.values[i].end(), wanted.begin());
    }
}

}  // namespace infercost
