#include "serving/server_defaults.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

#include "lowering/engines/engine_scheduler.hpp"

namespace infercost {
namespace {

SchedulerEngine simulated(ServingEngine engine) {
    switch (engine) {
        case ServingEngine::vllm:
            return SchedulerEngine::vllm;
        case ServingEngine::sglang:
            return SchedulerEngine::sglang;
        case ServingEngine::trtllm:
            return SchedulerEngine::trtllm;
        default:
            break;
    }
    throw std::invalid_argument("the scheduler of engine '" + std::string(name_of(engine)) +
                                "' is not simulated; pass vllm, sglang or trtllm");
}

}  // namespace

double tokens_of_step(std::int64_t drafts, double acceptance) {
    double tokens = 1;
    for (std::int64_t draft = 0; draft < drafts; ++draft) tokens = 1 + acceptance * tokens;
    return tokens;
}

double draft_acceptance(std::int64_t drafts, double tokens_per_step) {
    constexpr int kBisections = 60;
    double low = 0;
    double high = 1;
    for (int i = 0; i < kBisections; ++i) {
        const double middle = (low + high) / 2;
        (tokens_of_step(drafts, middle) < tokens_per_step ? low : high) = middle;
    }
    return high;
}

std::int64_t pool_blocks(std::int64_t pool_bytes, double kv_bytes_per_token, std::int64_t block_tokens) {
    if (!(kv_bytes_per_token > 0)) return 0;
    const double block_bytes = kv_bytes_per_token * static_cast<double>(block_tokens);
    return static_cast<std::int64_t>(std::floor(static_cast<double>(pool_bytes) / block_bytes));
}

std::int64_t ample_blocks(std::int64_t sequences, std::int64_t longest, std::int64_t block_tokens) {
    return sequences * (longest / block_tokens + 2);
}

ServerSettings default_server(const ServedModel& model, const ServedSteps& steps, const StepLimits& limits,
                              double acceptance) {
    ServerSettings server;
    server.engine = simulated(model.place.engine);
    const SchedulerRules rules = *scheduler_rules(model.place.engine, steps.step_tokens);
    server.max_sequences = limits.sequences;
    server.max_tokens = rules.max_tokens;
    server.chunk_tokens = rules.chunk_tokens;
    server.chunked_prefill = rules.chunked_prefill;
    server.block_tokens = steps.block_tokens;
    if (steps.memory.pool_bytes) {
        server.blocks = pool_blocks(*steps.memory.pool_bytes, steps.kv_bytes_per_token, steps.block_tokens);
    }
    server.drafts = model.settings.draft_tokens;
    server.acceptance.assign(static_cast<std::size_t>(server.drafts), acceptance);
    server.prefill_fill = steps.prefill_fill;
    return server;
}

}  // namespace infercost
