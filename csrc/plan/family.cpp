#include "plan/family.hpp"

namespace infercost {
namespace {

// A grid over a size that depends on data has one plan per value; this many are kept.
constexpr std::size_t kKeptPlans = 512;

}  // namespace

PlanFamily::PlanFamily(const std::shared_ptr<const Graph>& graph, const Precision& precision,
                       Execution execution, const Overrides& overrides)
    : lowered_(lower_precision(graph, precision, overrides)), execution_(execution) {}

std::shared_ptr<const Plan> PlanFamily::plan_for(const Sizes& point) {
    Sizes bound;
    for (const auto& [name, value] : point) {
        if (value == 1 || graph()->depends_on_data(name)) bound.emplace(name, value);
    }
    const std::scoped_lock lock(mutex_);
    const auto found = plans_.find(bound);
    if (found != plans_.end()) return found->second;
    auto plan = std::make_shared<const Plan>(make_plan(lowered_, bound, execution_));
    if (plans_.size() >= kKeptPlans) plans_.clear();
    plans_.emplace(std::move(bound), plan);
    return plan;
}

}  // namespace infercost
