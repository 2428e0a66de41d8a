// The stages of a pipeline as devices run them, with their plans and what they hold.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "count/boundary.hpp"
#include "evaluate/evaluate.hpp"
#include "lowering/parallel/stages.hpp"
#include "plan/family.hpp"
#include "serving/device_memory.hpp"
#include "serving/step_phases.hpp"

namespace infercost {

// How the stages of a deployment run.
struct StageSettings {
    const Precision& precision;
    Execution execution;
    const std::string& batch;  // name of the batch; empty without one
};

class DeployedPipeline {
  public:
    // `whole` is what the model holds on one device that would have all its layers; the caches are those of
    // `holder`, the graph that has them.
    DeployedPipeline(Pipeline made, const StageSettings& settings, const Holdings& whole,
                     const std::shared_ptr<const Graph>& holder);

    // All stages, one after another.
    const std::shared_ptr<const Graph>& graph() const { return made_.graph; }
    PlanFamily& plans_with(const StepSettings& step) { return family_of(made_.graph, step); }
    const Boundary& boundary() const { return boundary_; }
    const std::vector<Holdings>& stages() const { return stages_; }
    // Stages with equal costs, with plans for each of some settings of steps.
    std::vector<StageKind> kinds(const std::vector<StepSettings>& steps);

    // Sizes of a micro-batch, of which as many pass the stages as there are stages, or items in the share of
    // the batch.
    Sizes micro_batch(const Sizes& share) const;

    // The columns of all stages; every one of `out` that is not empty is written. `shares` are sizes of the
    // largest share of the batch.
    void evaluate(const std::vector<SizeAxis>& shares, const StepSettings& step, const Hardware& machine,
                  std::size_t points, const Columns& out);

  private:
    using Families = std::vector<std::pair<StepSettings, std::unique_ptr<PlanFamily>>>;

    PlanFamily& family_of(const std::shared_ptr<const Graph>& graph, const StepSettings& step);

    Pipeline made_;
    Precision precision_;
    Execution execution_;
    std::string batch_;
    Boundary boundary_;
    std::vector<Holdings> stages_;
    std::vector<Expr> cached_bytes_;    // of all caches of each stage
    std::vector<std::size_t> kind_of_;  // for each stage the first one with equal costs
    std::map<const Graph*, Families> families_;
};

}  // namespace infercost
