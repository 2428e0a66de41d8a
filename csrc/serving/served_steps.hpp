// Tables of the steps of a served model, from the engine's graphs of one rank.
//
// A step that decodes some sequences and reads parts of prompts runs each product once, on the tokens of all
// of them, and attention apart. Its time is put together from parts of two plans: that of a decode step, and
// that of the prefill of one prompt. Both are evaluated over grids of sizes by the evaluator of estimates and
// sweeps.
#pragma once

#include <cstdint>
#include <optional>

#include "serving/step_phases.hpp"
#include "simulate/step_costs.hpp"

namespace infercost {

// What tables reach.
struct StepLimits {
    std::int64_t context = 4096;          // tokens of a sequence at the end of an answer, for its memory
    std::int64_t sequences = 256;         // that decode in a step
    std::int64_t tokens = 16'384;         // of a step with chunks of prompts
    std::int64_t most_context = 131'072;  // mean context
    double tolerance = 5e-4;              // relative error of lines between knots
};

// One copy of a model on its devices.
struct ServedModel {
    ServedPhase decode;
    ServedPhase prefill;
    MemoryPlace place;
    std::int64_t devices = 1;        // of all stages
    std::int64_t micro_batches = 0;  // of a step of a pipeline; 0: one for each stage
    StepSettings settings;           // without those of prompts
    std::int64_t expert_layers = 0;  // of the captured prefill
};

// Joules are of all devices of a copy, with idle power; not a number if the energy is unknown.
struct ServedSteps {
    StepTables tables;
    std::int64_t stages = 1;
    double prefill_fill = 1;  // time of a chunk through all stages, over the time that it adds to a step
    // Error bands of steps: seconds / (1 + spread) to seconds (1 + spread), means over the tables.
    double spread = 0;
    double prefill_spread = 0;
    DeviceMemory memory;  // of the fullest device, at one sequence
    std::int64_t block_tokens = 1;
    double kv_bytes_per_token = 0;  // on the fullest device, in whole sequences of the context of the limits
    std::optional<std::int64_t>
        step_tokens;  // of prompts, which the engine sets by the memory of the machine
};

// Throws std::invalid_argument where the graphs, the limits or the layout give no tables.
ServedSteps served_steps(const ServedModel& model, const StepLimits& limits);

// Layers with experts, which have two products on sorted tokens.
std::int64_t expert_layers(const Graph& graph);

}  // namespace infercost
