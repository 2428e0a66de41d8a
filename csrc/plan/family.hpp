// All plans of a graph for one precision, execution and kind of step. With a length of 1, torch makes views
// instead of copies, so such a size is bound before planning; so is a size that depends on data. All others
// stay open. Single points and grids get their plans here, by the same rule, and therefore agree.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "plan/plan.hpp"

namespace infercost {

class PlanFamily {
  public:
    PlanFamily(const std::shared_ptr<const Graph>& graph, const Precision& precision, Execution execution,
               const Overrides& overrides, StepSettings step = {});

    // Includes the nodes that the precision adds.
    const std::shared_ptr<const Graph>& graph() const { return lowered_.graph; }
    const Precision& precision() const { return lowered_.precision; }
    Execution execution() const { return execution_; }
    const StepSettings& step() const { return step_; }

    // The plan of a point, created on first use. Thread-safe, also in a child that was forked meanwhile.
    std::shared_ptr<const Plan> plan_for(const Sizes& point);

  private:
    std::shared_ptr<const Plan> kept(const Sizes& bound) const;
    void keep(const Sizes& bound, const std::shared_ptr<const Plan>& plan);
    std::shared_ptr<std::mutex> making();

    LoweredGraph lowered_;
    Execution execution_;
    StepSettings step_;
    // The members below change under fork_safe_mutex().
    std::map<Sizes, std::shared_ptr<const Plan>> plans_;
    std::shared_ptr<std::mutex> making_ = std::make_shared<std::mutex>();
    std::uint64_t making_since_;  // the fork generation of `making_`
};

}  // namespace infercost
