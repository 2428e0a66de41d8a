// How serving engines form their steps, by the rules of the products and the size of the memory.
#pragma once

#include <cstdint>
#include <optional>

#include "lowering/engines/engine.hpp"

namespace infercost {

struct SchedulerRules {
    bool mixes =
        true;  // prompts are read in the steps that decode; else in steps of their own, before all others
    // Most tokens of a step. SGLang: of prompts in it, max_prefill_tokens; TensorRT-LLM: max_num_tokens.
    std::int64_t max_tokens = 8192;
    bool chunked_prefill = true;  // a longer prompt, or one that does not fit, is read in parts
    std::int64_t chunk_tokens =
        0;  // SGLang: most tokens of a prompt in a step; 0 for no limit but that of the step
    // Share of the answer for which memory is kept at admission, on average: 0 lets sequences run until the
    // memory is full and then takes the newest back, 1 never does.
    double reserves = 0;
};

// The settings of an engine on devices with 80 GB; none for one that forms no steps.
std::optional<SchedulerRules> scheduler_rules(ServingEngine engine);

// The same on a machine for which the engine sets `step_tokens` tokens of prompts in a step.
std::optional<SchedulerRules> scheduler_rules(ServingEngine engine, std::optional<std::int64_t> step_tokens);

}  // namespace infercost
