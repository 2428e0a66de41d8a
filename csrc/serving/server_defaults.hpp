// Settings of the simulated server of a served model, as its engine chooses them.
#pragma once

#include <cstdint>
#include <optional>

#include "serving/served_steps.hpp"
#include "simulate/settings.hpp"

namespace infercost {

// Loads of experts of an engine whose layout says nothing about them: those of a power law. Requests of
// one service resemble each other, so that its tokens choose fewer experts than random ones. Fitted to the
// time per output token of servers on H100: 0 to 0.5 for gpt-oss-120b and MiniMax-M2.5, 1 for
// Qwen3-235B-A22B.
inline constexpr double kServedExperts = 0.7;

// Tokens of a sequence that a decode step yields on average: 1 + a + a^2 ... for a draft that is accepted
// with probability a if those before it were.
double tokens_of_step(std::int64_t drafts, double acceptance);

// The probability that gives so many tokens.
double draft_acceptance(std::int64_t drafts, double tokens_per_step);

// Blocks of a cache for which there are `pool_bytes`.
std::int64_t pool_blocks(std::int64_t pool_bytes, double kv_bytes_per_token, std::int64_t block_tokens);

// Blocks for which sequences need no more: of a machine whose owner chooses the memory.
std::int64_t ample_blocks(std::int64_t sequences, std::int64_t longest, std::int64_t block_tokens);

// A server without its costs. It has no blocks where the memory of the machine is unknown, or what weights
// leave of it does not hold a cache. Throws std::invalid_argument for an engine whose scheduler is not
// simulated.
ServerSettings default_server(const ServedModel& model, const ServedSteps& steps, const StepLimits& limits,
                              double acceptance);

}  // namespace infercost
