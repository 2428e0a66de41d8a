// Parts of the steps of a serving engine at columns of sizes: what grows with all tokens of a step, with the
// tokens that are sampled, and with the context of each sequence. Steps that decode some sequences and read
// prompts of others are put together from parts of two plans. The parts of one point add up to its latency in
// evaluate().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "evaluate/evaluate.hpp"

namespace infercost {

// Output columns with one value per point.
struct StepColumns {
    // Device time of the kernels of each part, its error band as in Columns, and joules above static power.
    std::span<double> tokens_s, outputs_s, attention_s, drafts_s;
    std::span<double> tokens_spread_s, outputs_spread_s, attention_spread_s, drafts_spread_s;
    std::span<double> tokens_j, outputs_j, attention_j, drafts_j;
    std::span<double> attention_start_s;  // part of attention_s that launches of kernels take
    // The device waits for launches: the start of the forward, and kernels that no recorded graph launches.
    std::span<double> wait_s;
    // The engine's host between two steps; it is not reduced where the host works beside the device.
    std::span<double> host_s;
    std::span<double> peak_memory_bytes;
};

struct StepColumnRow {
    std::string_view name;
    std::span<double> StepColumns::* column;
};
inline constexpr std::array<StepColumnRow, 16> kStepColumns = {
    {
     {"tokens_s", &StepColumns::tokens_s},
     {"outputs_s", &StepColumns::outputs_s},
     {"attention_s", &StepColumns::attention_s},
     {"drafts_s", &StepColumns::drafts_s},
     {"tokens_spread_s", &StepColumns::tokens_spread_s},
     {"outputs_spread_s", &StepColumns::outputs_spread_s},
     {"attention_spread_s", &StepColumns::attention_spread_s},
     {"drafts_spread_s", &StepColumns::drafts_spread_s},
     {"tokens_j", &StepColumns::tokens_j},
     {"outputs_j", &StepColumns::outputs_j},
     {"attention_j", &StepColumns::attention_j},
     {"drafts_j", &StepColumns::drafts_j},
     {"attention_start_s", &StepColumns::attention_start_s},
     {"wait_s", &StepColumns::wait_s},
     {"host_s", &StepColumns::host_s},
     {"peak_memory_bytes", &StepColumns::peak_memory_bytes},
     }
};

// Evaluate the parts at points that have a value of each size. Returns the static power of the machine in
// watts; NaN if its energy is unknown. Throws as evaluate() does.
double evaluate_step_parts(PlanFamily& family, std::span<const SizeAxis> columns, const Hardware& hardware,
                           std::size_t points, const StepColumns& out, Isa isa = best_isa());

}  // namespace infercost
