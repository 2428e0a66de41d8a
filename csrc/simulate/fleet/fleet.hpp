// Pools of replicas that start, serve, and leave as autoscalers say, under requests that arrive.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/histogram.hpp"
#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/replica.hpp"
#include "simulate/requests.hpp"

namespace infercost {

// Replicas of one kind. Requests go to the first pool with room.
struct PoolSettings {
    ReplicaSettings replica;
    std::int64_t copies = 1;       // of a model in a replica
    std::int64_t concurrency = 0;  // requests that a replica is handed at most; 0: any number
    LoadedAutoscaler autoscaler;
    std::int64_t min_replicas = 0;
    std::int64_t max_replicas = 1 << 20;
    std::int64_t start_replicas = 1;  // ready at the start
    double cold_start_s = 0;          // median
    double cold_start_spread = 0;     // standard deviation of its logarithm
    double max_drain_s = std::numeric_limits<double>::infinity();
    double interruptions_per_h = 0;  // of a replica, with notice ...
    double notice_s = 0;             // ... in which it takes no more requests
    double failures_per_h = 0;       // without notice
};

// Requests are late if one of their times is longer. A time that a request has not is not.
struct FleetLimits {
    double wait_s = std::numeric_limits<double>::infinity();
    double ttft_s = std::numeric_limits<double>::infinity();
    double tpot_s = std::numeric_limits<double>::infinity();
    double e2e_s = std::numeric_limits<double>::infinity();
};

struct FleetSettings {
    std::vector<PoolSettings> pools;
    FleetRouting routing = FleetRouting::least_loaded;
    FleetLimits limits;
    double timeout_s = std::numeric_limits<double>::infinity();  // of those that no replica has taken
    double bin_s = 3600;                                         // of the results over time
    double horizon_s = 0;                                        // pools are kept at least so long
    std::uint64_t seed = 0;
    bool keeps_requests = false;
};

// A change of the replicas that a pool should have.
struct FleetDecision {
    double time_s;
    std::int32_t pool;
    std::int32_t before;
    std::int32_t after;
};

// Of a pool within a bin.
struct PoolBin {
    double starting_s = 0;  // replica-seconds
    double ready_s = 0;     // busy or idle
    double draining_s = 0;
    double busy_s = 0;      // ready or draining replicas with requests
    double running_s = 0;   // request-seconds in service
    std::int32_t most = 0;  // replicas, in any state
};

// Of all requests within a bin.
struct DemandBin {
    std::int64_t arrived = 0;
    std::int64_t finished = 0;
    std::int64_t late = 0;  // of those that arrived in the bin, likewise the next
    std::int64_t failed = 0;
    double waiting_s = 0;  // request-seconds not in service
    double wait_s = 0;     // sum over requests that arrived in the bin
    double most_wait_s = 0;
    double prompt_tokens = 0;  // of requests that finished
    double output_tokens = 0;
};

struct PoolTotals {
    std::int64_t starts = 0;     // replicas that were asked for after the start
    std::int64_t cancelled = 0;  // of them, that left before they were ready
    std::int64_t removed = 0;
    std::int64_t interrupted = 0;
    std::int64_t failed = 0;
    std::int64_t most = 0;             // replicas in any state
    std::int64_t requests = 0;         // finished
    double joules = 0;                 // of the work
    std::vector<double> seconds_with;  // place k: time with k replicas in any state
};

struct FleetRequestRows {
    std::vector<double> arrival_s;
    std::vector<double> started_s;
    std::vector<double> first_token_s;
    std::vector<double> finish_s;
    std::vector<std::int32_t> pool;
    std::vector<Outcome> outcome;
};

struct FleetResult {
    double end_s = 0;
    std::int64_t events = 0;
    std::int64_t arrived = 0;
    std::int64_t finished = 0;
    std::int64_t late = 0;        // finished, and over a limit
    std::int64_t failed = 0;      // refused, or timed out
    std::int64_t unfinished = 0;  // no replica came for them
    std::int64_t restarted = 0;   // on another replica, after an interruption
    double request_seconds = 0;   // integral of the requests in the system
    double waiting_seconds = 0;   // and of those not in service
    Histogram wait_s, ttft_s, tpot_s, e2e_s;
    std::vector<DemandBin> demand;
    std::vector<std::vector<PoolBin>> bins;  // of each pool
    std::vector<PoolTotals> pools;
    std::vector<FleetDecision> decisions;  // the first million
    FleetRequestRows requests;
    bool interrupted = false;
};

// Throws InputError with what is wrong.
void check(const FleetSettings& settings);

// Throws InputError for settings and requests that are not valid. A call of check_interrupt() that
// ends the calculation leaves what was finished, with `interrupted` set.
FleetResult simulate_fleet(const FleetSettings& settings, RequestSource& requests);

struct FleetJob {
    FleetSettings settings;
    RequestSource* requests = nullptr;
};

// Several simulations on up to `threads` threads; the results do not depend on their number.
std::vector<FleetResult> simulate_fleets(const std::vector<FleetJob>& jobs, std::size_t threads);

// Seconds in service of a request without a time of its own.
struct ServiceTime {
    double request_s = 1;
    double prompt_s = 0;  // of a token of the prompt ...
    double output_s = 0;  // ... and of the answer; if both are 0, each request takes request_s
};

// The load if no request waited. Time is cut into ticks, and a request counts in each tick that it touches.
struct LoadProfile {
    double end_s = 0;                // of the last tick that a request touches
    std::vector<double> running_s;   // in each second, request-seconds
    std::vector<std::int64_t> most;  // most requests of a tick that begins in it
    std::vector<double> replicas_s;  // replica-seconds if each tick has those that it and the next one need
    std::int64_t most_replicas = 0;
};

// `places` are the requests that a replica serves at once; at least one replica is there. Throws
// InputError.
LoadProfile load_profile(RequestSource& requests, const ServiceTime& service, double places, double tick_s);

}  // namespace infercost
