// Figures of simulated servers: times of requests, rates, memory, energy and money.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/described.hpp"
#include "simulate/distributions.hpp"
#include "simulate/requests.hpp"

namespace infercost {

// Times of a request, as a client sees them.
enum class RequestTime : std::uint8_t {
    ttft,   // to the first token
    tpot,   // per further token
    e2e,    // of the whole request
    queue,  // before its first step, at the server
};
inline constexpr std::array kRequestTimes = {"ttft_s", "tpot_s", "e2e_s", "queue_s"};
// Throws std::invalid_argument for another name.
RequestTime request_time(std::string_view name);

struct TimeLimit {
    RequestTime time;
    double limit_s;  // requests are within the objective below it
};

// Client, price, idle power, cache and objective, which the simulation does not know.
struct ServerTerms {
    double client_s = 0;              // from the client to the queue and back
    std::optional<double> usd_per_h;  // of all servers
    std::optional<double> idle_w;     // of a server that waits; none if energy is unknown
    std::int64_t blocks = 1;          // of the cache of a server
    std::vector<TimeLimit> limits;
};

struct RequestTimes {
    Distribution statistics;
    std::vector<double> sorted_s;  // ascending; no part of documents
};

// Samples of all servers at multiples of `interval_s`.
struct ServerTimeline {
    double interval_s = 0;
    std::vector<std::int64_t> running;
    std::vector<std::int64_t> waiting;
    std::vector<double> kv_use;  // share of all blocks
};

struct ServerFigures {
    std::int64_t requests = 0;  // sent
    std::int64_t answered = 0;
    std::int64_t within = 0;  // answered below all limits
    std::array<std::int64_t, kOutcomes> outcomes{};
    double duration_s = 0;
    std::array<RequestTimes, kRequestTimes.size()> times;
    ServerTotals totals;  // of all servers
    double requests_per_s = 0;
    double within_per_s = 0;
    double tokens_per_s = 0;
    double prompt_tokens_per_s = 0;
    double utilization = 0;         // share of the time in which servers run steps
    double cached_token_share = 0;  // of the tokens of prompts
    double kv_use_mean = 0;
    double kv_use_peak = 0;
    double running_mean = 0;
    double waiting_mean = 0;
    std::optional<double> joules_per_token;  // with idle power
    std::optional<double> usd;
    std::optional<double> usd_per_million_tokens;
    ServerTimeline timeline;
};

// Seconds of each request that was sent; NaN for one that was not answered, and for the time per further
// token of an answer of one token.
std::vector<double> times_of(const RequestResults& requests, RequestTime time, double client_s);

ServerFigures server_figures(const SimulationResult& result, const ServerTerms& terms);

template <class Visit>
void describe(const Distribution& of, Visit&& visit) {
    visit("mean", of.mean);
    visit("p50", of.p50);
    visit("p90", of.p90);
    visit("p99", of.p99);
    visit("max", of.max);
}

template <class Visit>
void describe(const ServerTimeline& of, Visit&& visit) {
    visit("interval_s", of.interval_s);
    visit("running", of.running);
    visit("waiting", of.waiting);
    visit("kv_use", of.kv_use);
}

template <class Visit>
void describe(const ServerFigures& of, Visit&& visit) {
    visit("requests", of.requests);
    visit("finished", of.answered);
    visit("within", of.within);
    ByName<std::int64_t> outcomes;
    for (int i = 0; i < kOutcomes; ++i) {
        outcomes.emplace_back(outcome_name(static_cast<Outcome>(i)),
                              of.outcomes[static_cast<std::size_t>(i)]);
    }
    visit("outcomes", outcomes);
    visit("duration_s", of.duration_s);
    ByName<Distribution> times;
    for (std::size_t i = 0; i < kRequestTimes.size(); ++i)
        times.emplace_back(kRequestTimes[i], of.times[i].statistics);
    visit("latencies", times);
    visit("requests_per_s", of.requests_per_s);
    visit("goodput_per_s", of.within_per_s);
    visit("tokens_per_s", of.tokens_per_s);
    visit("prompt_tokens_per_s", of.prompt_tokens_per_s);
    visit("utilization", of.utilization);
    visit("cached_token_share", of.cached_token_share);
    visit("kv_use_mean", of.kv_use_mean);
    visit("kv_use_peak", of.kv_use_peak);
    visit("running_mean", of.running_mean);
    visit("waiting_mean", of.waiting_mean);
    visit("busy_s", of.totals.busy_s);
    visit("energy_j", of.totals.joules);
    visit("joules_per_token", of.joules_per_token);
    visit("usd", of.usd);
    visit("usd_per_million_tokens", of.usd_per_million_tokens);
    visit("steps", of.totals.steps);
    visit("prefill_steps", of.totals.prefill_steps);
    visit("preemptions", of.totals.preemptions);
    visit("prompt_tokens", of.totals.prompt_tokens);
    visit("cached_tokens", of.totals.cached_tokens);
    visit("generated_tokens", of.totals.generated_tokens);
    visit("most_blocks", of.totals.most_blocks);
    visit("timeline", of.timeline);
}

}  // namespace infercost
