// Plans of one graph with some settings of steps, made when first asked for.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "plan/family.hpp"

namespace infercost {

// Thread-safe.
class StepPlans {
  public:
    StepPlans(std::shared_ptr<const Graph> graph, const Precision& precision, Execution execution,
              Overrides overrides = {})
        : graph_(std::move(graph)),
          precision_(precision),
          execution_(execution),
          overrides_(std::move(overrides)) {}

    std::shared_ptr<PlanFamily> with(const StepSettings& step);

  private:
    std::shared_ptr<PlanFamily> known(const StepSettings& step) const;

    std::shared_ptr<const Graph> graph_;
    Precision precision_;
    Execution execution_;
    Overrides overrides_;
    // Changes under fork_safe_mutex().
    std::vector<std::pair<StepSettings, std::shared_ptr<PlanFamily>>> families_;
};

}  // namespace infercost
