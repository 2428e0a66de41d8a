// Requests of a simulation, and what became of each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace infercost {

enum class Outcome : std::uint8_t {
    unfinished,  // the simulation was stopped before
    finished,
    truncated,        // finished at the longest length of the model, with fewer tokens than asked for
    too_long,         // refused: the prompt leaves no room for a token within the longest length
    too_large,        // refused: its cache cannot fit an empty pool
    too_many_tokens,  // refused: the prompt exceeds the tokens of a step, and is not divided
    timed_out,
};
inline constexpr int kOutcomes = 7;

inline const char* outcome_name(Outcome outcome) {
    static constexpr const char* kNames[kOutcomes] = {
        "unfinished", "finished", "truncated", "too_long", "too_large", "too_many_tokens", "timed_out"};
    return kNames[static_cast<int>(outcome)];
}

// Later times are mistakes, and sums of them might not be finite.
inline constexpr double kLatest_s = 1e18;

inline constexpr std::int32_t kMostTokens = 1 << 24;  // of a prompt or an output: sums of both fit 32 bits

// Requests as columns of one length. Empty optional columns are zeros.
struct RequestColumns {
    std::span<const double> arrival_s;  // not falling
    std::span<const std::int32_t> prompt;
    std::span<const std::int32_t> output;
    std::span<const std::int32_t> priority;  // smaller is served first
    // Request i has prefix_ids[prefix_from[i]] ... up to prefix_from[i + 1]: an id for each `prefix_tokens`
    // tokens from its start, which stands for these tokens and all before them.
    std::span<const std::int64_t> prefix_from;
    std::span<const std::int64_t> prefix_ids;
    std::int64_t prefix_tokens = 0;
    std::span<const double> service_s;  // of requests whose time does not follow from their tokens
    std::size_t size() const { return arrival_s.size(); }
};

// Requests that come in pieces, in order, so that not all are held.
class RequestSource {
  public:
    virtual ~RequestSource() = default;
    // The most requests that come.
    virtual std::size_t most() const = 0;
    // The next requests; valid until the next call. Empty at the end.
    virtual RequestColumns next() = 0;
};

// A column for each of the requests that were sent, in their order. Times are seconds, NaN where it did not
// come so far.
struct RequestResults {
    std::vector<double> queued_s;       // sent
    std::vector<double> scheduled_s;    // first step begun
    std::vector<double> first_token_s;  // seen by the client, likewise the next
    std::vector<double> finish_s;
    std::vector<std::int32_t> tokens;  // of the answer; 0 if it was not finished
    std::vector<std::int32_t> cached;  // tokens of the prompt that were in the cache
    std::vector<std::uint16_t> preemptions;
    std::vector<std::uint16_t> server;  // that served it last
    std::vector<Outcome> outcome;
};

struct ServerTotals {
    double busy_s = 0;
    double joules = 0;
    std::int64_t steps = 0;
    std::int64_t runs = 0;           // of steps that were taken at once
    std::int64_t prefill_steps = 0;  // with part of a prompt
    std::int64_t preemptions = 0;
    std::int64_t prompt_tokens = 0;  // computed, also again after a preemption
    std::int64_t cached_tokens = 0;
    std::int64_t generated_tokens = 0;
    std::int64_t most_blocks = 0;
};

// State of all servers at multiples of `interval_s`, row-major: samples x servers.
struct Timeline {
    double interval_s = 0;
    std::vector<std::int32_t> running;
    std::vector<std::int32_t> waiting;
    std::vector<std::int64_t> blocks;
};

struct SimulationResult {
    RequestResults requests;
    std::vector<ServerTotals> servers;
    Timeline timeline;
    double end_s = 0;            // of the last event
    double request_seconds = 0;  // integral of the requests in the system over time
    bool interrupted = false;
};

}  // namespace infercost
