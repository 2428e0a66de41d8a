#include "deploy/step_plans.hpp"

#include <mutex>

#include "core/fork.hpp"

namespace infercost {

std::shared_ptr<PlanFamily> StepPlans::known(const StepSettings& step) const {
    for (const auto& [settings, family] : families_) {
        if (settings == step) return family;
    }
    return nullptr;
}

std::shared_ptr<PlanFamily> StepPlans::with(const StepSettings& step) {
    {
        const std::scoped_lock lock(fork_safe_mutex());
        if (auto family = known(step)) return family;
    }
    auto made = std::make_shared<PlanFamily>(graph_, precision_, execution_, overrides_, step);
    const std::scoped_lock lock(fork_safe_mutex());
    if (auto family = known(step)) return family;  // of another thread
    families_.emplace_back(step, made);
    return made;
}

}  // namespace infercost
