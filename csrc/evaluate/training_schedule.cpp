#include "evaluate/training_schedule.hpp"

#include <algorithm>
#include <string>

#include "core/errors.hpp"

namespace infercost {
namespace {

constexpr double kNotYet = -1;

// Passes of one stage, in its order.
class Passes {
  public:
    Passes(TrainingSchedule schedule, std::int64_t ahead, std::int64_t micro_batches)
        : ahead_(schedule == TrainingSchedule::gpipe ? micro_batches : ahead), count_(micro_batches) {}

    bool done() const { return backwards_ == count_; }
    // A stage runs some forwards ahead, then a backward after each forward.
    bool is_forward() const { return forwards_ < count_ && forwards_ - backwards_ < ahead_; }
    std::size_t number() const { return static_cast<std::size_t>(is_forward() ? forwards_ : backwards_); }
    void pass() { ++(is_forward() ? forwards_ : backwards_); }

  private:
    std::int64_t ahead_;
    std::int64_t count_;
    std::int64_t forwards_ = 0;
    std::int64_t backwards_ = 0;
};

}  // namespace

TrainingSchedule parse_training_schedule(std::string_view name) {
    if (name == "gpipe") return TrainingSchedule::gpipe;
    if (name == "1f1b") return TrainingSchedule::one_f_one_b;
    throw InputError("schedule '" + std::string(name) + "' is unknown; expected 1f1b or gpipe");
}

std::int64_t in_flight(TrainingSchedule schedule, std::int64_t stage, std::int64_t stages,
                       std::int64_t micro_batches) {
    return schedule == TrainingSchedule::gpipe ? micro_batches : std::min(micro_batches, stages - stage);
}

std::vector<double> stage_ends(TrainingSchedule schedule, std::span<const double> forward_s,
                               std::span<const double> backward_s, std::int64_t micro_batches) {
    const std::size_t stages = forward_s.size();
    if (stages == 0 || backward_s.size() != stages || micro_batches < 1) {
        throw InputError("a schedule got " + std::to_string(stages) + " forwards, " +
                         std::to_string(backward_s.size()) + " backwards and " +
                         std::to_string(micro_batches) +
                         " micro-batches; expected as many of both, and at least one of each");
    }
    const auto count = static_cast<std::size_t>(micro_batches);
    std::vector<Passes> passes;
    for (std::size_t s = 0; s < stages; ++s) {
        const auto ahead = in_flight(schedule, static_cast<std::int64_t>(s),
                                     static_cast<std::int64_t>(stages), micro_batches);
        passes.emplace_back(schedule, ahead, micro_batches);
    }
    std::vector<double> forward(stages * count, kNotYet);
    std::vector<double> backward(stages * count, kNotYet);
    std::vector<double> free(stages, 0.0);
    // When the input of the next pass of a stage is there.
    const auto ready = [&](std::size_t s) {
        const std::size_t i = passes[s].number();
        if (passes[s].is_forward()) return s == 0 ? 0.0 : forward[(s - 1) * count + i];
        return s + 1 == stages ? forward[s * count + i] : backward[(s + 1) * count + i];
    };
    for (std::size_t left = stages; left > 0;) {
        for (std::size_t s = 0; s < stages; ++s) {
            while (!passes[s].done()) {
                const double input = ready(s);
                if (input == kNotYet) break;
                const std::size_t i = s * count + passes[s].number();
                const bool is_forward = passes[s].is_forward();
                free[s] = std::max(free[s], input) + (is_forward ? forward_s[s] : backward_s[s]);
                (is_forward ? forward : backward)[i] = free[s];
                passes[s].pass();
                if (passes[s].done()) --left;
            }
        }
    }
    return free;
}

}  // namespace infercost
