// The stages of a pipeline as devices run them, with their plans and what they hold.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "count/boundary.hpp"
#include "deploy/step_plans.hpp"
#include "evaluate/evaluate.hpp"
#include "plan/family.hpp"
#include "serving/device_memory.hpp"
#include "serving/step_phases.hpp"

namespace infercost {

// How the stages of a deployment run.
struct StageSettings {
    Precision precision;
    Execution execution = Execution::eager;
    std::int64_t micro_batches = 1;  // of a batch with as many items
    StepSettings step = {};
    Overrides overrides = {};  // work by node of the graph of all stages
};

// A stage at one point, on its fullest device.
struct StageFigures {
    double latency_s = 0;  // of a micro-batch
    double busy_s = 0;     // with all micro-batches
    std::int64_t weight_bytes = 0;
    std::optional<std::int64_t> kv_cache_bytes;
    std::int64_t memory_bytes = 0;  // with the caches of all micro-batches
    std::int64_t sent_bytes = 0;    // by a device for a micro-batch, to the next stage
};

template <class Visit>
void describe(const StageFigures& of, Visit&& visit) {
    visit("latency_s", of.latency_s);
    visit("busy_s", of.busy_s);
    visit("weight_bytes", of.weight_bytes);
    visit("kv_cache_bytes", of.kv_cache_bytes);
    visit("memory_bytes", of.memory_bytes);
    visit("sent_bytes", of.sent_bytes);
}

// Thread-safe.
class DeployedPipeline {
  public:
    // The graph of all stages, as graph_of_stages() makes it.
    DeployedPipeline(const std::shared_ptr<const Graph>& graph, StageSettings settings);

    const std::shared_ptr<const Graph>& graph() const { return graph_; }
    // Plans of all stages, one after another.
    std::shared_ptr<PlanFamily> plans() { return plans_.with(settings_.step); }
    const Boundary& boundary() const { return *boundary_; }
    const std::vector<Holdings>& stages() const { return stages_; }
    // For each stage the first one with equal costs, of which the first is itself.
    const std::vector<std::size_t>& kind_of() const { return kind_of_; }
    std::shared_ptr<PlanFamily> plans_of_stage(std::size_t number) {
        return stage_plans_.at(kind_of_.at(number)).with(settings_.step);
    }
    // Stages with equal costs, with plans for each of some settings of steps.
    std::vector<StageKind> kinds(const std::vector<StepSettings>& steps);

    // Sizes of a micro-batch, of which as many pass the stages as the settings have, or items in the share of
    // the batch.
    Sizes micro_batch(const Sizes& share) const;

    // The columns of all stages of a forward; every one of `out` that is not empty is written. `shares` are
    // sizes of the largest share of the batch.
    void evaluate(std::span<const SizeAxis> shares, const Hardware& machine, std::uint64_t first,
                  std::size_t points, const Columns& out, const EvaluateOptions& options = {});
    // The same at one point, whose sizes that depend on data may stay open.
    PointEstimate evaluate_point(const Sizes& share, const Hardware& machine);
    std::vector<StageFigures> figures(const Sizes& share, const Hardware& machine);
    // Makes the plans at the default sizes; at most other sizes they are the same.
    void prepare();

  private:
    std::vector<std::size_t> distinct() const;

    std::shared_ptr<const Graph> graph_;
    StageSettings settings_;
    std::string batch_;
    std::shared_ptr<const Boundary> boundary_;
    std::vector<Holdings> stages_;
    std::vector<std::optional<Expr>> cached_bytes_;  // of all caches of each stage
    std::vector<std::size_t> kind_of_;
    StepPlans plans_;
    std::vector<StepPlans> stage_plans_;
};

}  // namespace infercost
