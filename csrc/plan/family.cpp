#include "plan/family.hpp"

#include <utility>

#include "core/fork.hpp"

namespace infercost {
namespace {

// A grid over a size that depends on data has one plan per value; this many are kept.
constexpr std::size_t kKeptPlans = 512;

}  // namespace

PlanFamily::PlanFamily(const std::shared_ptr<const Graph>& graph, const Precision& precision,
                       Execution execution, const Overrides& overrides, StepSettings step)
    : lowered_(lower_precision(graph, precision, overrides)),
      execution_(execution),
      step_(std::move(step)),
      making_since_(fork_generation()) {}

std::shared_ptr<const Plan> PlanFamily::plan_for(const Sizes& point) {
    Sizes bound;
    for (const auto& [name, value] : point) {
        if (value == 1 || graph()->depends_on_data(name)) bound.emplace(name, value);
    }
    if (auto plan = kept(bound)) return plan;
    // Threads that need the same plan wait for the first of them.
    const std::shared_ptr<std::mutex> one_at_a_time = making();
    const std::scoped_lock lock(*one_at_a_time);
    if (auto plan = kept(bound)) return plan;
    auto plan = std::make_shared<const Plan>(make_plan(lowered_, bound, execution_, step_));
    keep(bound, plan);
    return plan;
}

std::shared_ptr<const Plan> PlanFamily::kept(const Sizes& bound) const {
    const std::scoped_lock lock(fork_safe_mutex());
    const auto found = plans_.find(bound);
    return found == plans_.end() ? nullptr : found->second;
}

void PlanFamily::keep(const Sizes& bound, const std::shared_ptr<const Plan>& plan) {
    std::map<Sizes, std::shared_ptr<const Plan>> dropped;  // destroyed without the lock
    const std::scoped_lock lock(fork_safe_mutex());
    if (plans_.size() >= kKeptPlans) dropped.swap(plans_);
    plans_.emplace(bound, plan);
}

// A child gets a new lock: a thread of the parent may have held the old one. That thread's share of it keeps
// the held lock from being destroyed.
std::shared_ptr<std::mutex> PlanFamily::making() {
    const std::scoped_lock lock(fork_safe_mutex());
    if (making_since_ != fork_generation()) {
        making_ = std::make_shared<std::mutex>();
        making_since_ = fork_generation();
    }
    return making_;
}

}  // namespace infercost
