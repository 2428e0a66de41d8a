// One replica of a model that serves requests, at one of several levels of detail.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <variant>
#include <vector>

#include "simulate/requests.hpp"
#include "simulate/settings.hpp"

namespace infercost {

struct FleetRequest {
    double arrival_s = 0;
    double service_s = 0;  // 0: as the replica says
    std::int32_t prompt = 1;
    std::int32_t output = 1;
    std::uint32_t number = 0;  // in the order of arrivals, modulo 2^32
};

// A request that left a replica.
struct FleetDone {
    FleetRequest request;
    double started_s = 0;      // service began
    double first_token_s = 0;  // not a number without tokens
    double finish_s = 0;
    Outcome outcome = Outcome::finished;
};

// Slots that serve a request each, in the order of arrival.
struct SlotSettings {
    std::int64_t slots = 1;
    double service_s = 1;  // of requests without a time of their own
    double joules = 0;     // of a second in which a slot is used
};

// Batches of requests that came meanwhile, or within a delay, as dynamic batching of inference servers forms
// them.
struct BatchSettings {
    std::vector<double> latency_s{1.0};  // of batches of 1, 2 ...
    std::vector<double> joules{0.0};     // likewise
    std::int64_t instances = 1;          // batches at once
    double delay_s = 0;                  // that a request waits for others
};

// Sequences that share the steps of an engine. Steps with prompts are taken one by one; of the steps between
// them the time is known at once. Memory is counted in tokens instead of blocks, and drafts by their mean.
struct TokenSettings {
    std::shared_ptr<const StepCosts> costs;
    std::int64_t max_sequences = 256;
    std::int64_t max_tokens = 8192;                                // of prompts in a step
    double pool_tokens = std::numeric_limits<double>::infinity();  // that the cache holds
    std::int64_t block_tokens = 1;
    double tokens_each = 1;          // that a sequence processes in a step: 1 + drafts
    double yield = 1;                // and those that stay
    bool mixes = true;               // prompts are read in steps that decode
    bool chunked_prefill = true;     // a prompt may be read in parts
    double reserves = 0;             // share of the tokens to come for which memory is kept at admission
    double least_reserves = 0;       // to which it falls ...
    std::int64_t reserve_steps = 0;  // ... in so many steps of decoding; 0: never
    double prefill_fill = 1;         // time of a chunk through all stages of a pipeline, over that of a step
};

// Each step of an engine, by its scheduler.
struct EngineSettings {
    ServerSettings server;
};

using ReplicaSettings = std::variant<SlotSettings, BatchSettings, TokenSettings, EngineSettings>;

class Replica {
  public:
    static constexpr double kNever = std::numeric_limits<double>::infinity();

    virtual ~Replica() = default;
    // Time of its next event; of work that begins at once, the time when it was handed over.
    virtual double next_s() const = 0;
    // Passes the event at next_s(). Appends requests that leave.
    virtual void advance(double time_s, std::vector<FleetDone>& done) = 0;
    // Takes a request, whether it serves it at once or not. Appends it if it is refused.
    virtual void take(const FleetRequest& request, double time_s, std::vector<FleetDone>& done) = 0;
    // Gives back what it has not finished, in any order. It is not used afterwards.
    virtual void evict(double time_s, std::vector<FleetRequest>& left) = 0;
    virtual std::int64_t requests() const = 0;
    virtual std::int64_t running() const = 0;
    // Energy of its work so far.
    virtual double joules() const = 0;
};

// Requests that a replica serves at the same time.
double slots_of(const ReplicaSettings& settings);
// Throws InputError.
void check(const ReplicaSettings& settings);
std::unique_ptr<Replica> make_replica(const ReplicaSettings& settings, std::uint64_t seed);

// One file each.
std::unique_ptr<Replica> make_slot_replica(const SlotSettings& settings);
std::unique_ptr<Replica> make_batch_replica(const BatchSettings& settings);
std::unique_ptr<Replica> make_token_replica(const TokenSettings& settings);
std::unique_ptr<Replica> make_engine_replica(const EngineSettings& settings, std::uint64_t seed);

}  // namespace infercost
