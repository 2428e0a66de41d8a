#include "lowering/engines/engine_scheduler.hpp"

#include <algorithm>

namespace infercost {

std::optional<SchedulerRules> scheduler_rules(ServingEngine engine) {
    switch (engine) {
        case ServingEngine::vllm:
            return SchedulerRules{.max_tokens = 8192, .reserves = 0.0};
        case ServingEngine::sglang:  // reserves 0.7 of the answer, less the longer it runs
            return SchedulerRules{
                .mixes = false, .max_tokens = 16'384, .chunk_tokens = 8192, .reserves = 0.4};
        case ServingEngine::trtllm:
            return SchedulerRules{.max_tokens = 8192, .chunked_prefill = false, .reserves = 1.0};
        case ServingEngine::llamacpp:
            return SchedulerRules{.max_tokens = 2048, .reserves = 1.0};
        case ServingEngine::torch:
        case ServingEngine::tensorrt:
        case ServingEngine::onnxruntime:
            break;
    }
    return std::nullopt;
}

std::optional<SchedulerRules> scheduler_rules(ServingEngine engine, std::optional<std::int64_t> step_tokens) {
    std::optional<SchedulerRules> rules = scheduler_rules(engine);
    if (!rules || !step_tokens) return rules;
    if (rules->chunk_tokens > 0) {
        rules->max_tokens = std::max(rules->max_tokens, *step_tokens);
        rules->chunk_tokens = *step_tokens;
    } else {
        rules->max_tokens = *step_tokens;
    }
    return rules;
}

}  // namespace infercost
