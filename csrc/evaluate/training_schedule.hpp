// When the stages of a pipeline have done a training step.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace infercost {

// The order of forward and backward passes of micro-batches in a stage.
enum class TrainingSchedule : std::uint8_t {
    gpipe,       // all forwards, then all backwards (Huang et al. 2019)
    one_f_one_b  // forwards until the last stage has one, then one of each (Narayanan et al. 2021,
                 // PipeDream-Flush)
};

// Throws InputError for another name than "gpipe" and "1f1b".
TrainingSchedule parse_training_schedule(std::string_view name);

// Micro-batches whose activations a stage, counted from 0, has at the same time at most.
std::int64_t in_flight(TrainingSchedule schedule, std::int64_t stage, std::int64_t stages,
                       std::int64_t micro_batches);

// Seconds at which each stage has done the last backward, of stages with these seconds for the forward and
// the backward of a micro-batch. A stage begins a pass when it has done the one before, and has the
// activation or the gradient of its neighbor; what it sends is part of its time. Throws InputError
// without stages or micro-batches.
std::vector<double> stage_ends(TrainingSchedule schedule, std::span<const double> forward_s,
                               std::span<const double> backward_s, std::int64_t micro_batches);

}  // namespace infercost
