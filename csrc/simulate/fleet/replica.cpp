#include "simulate/fleet/replica.hpp"

#include <cmath>
#include <string>

#include "core/errors.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kMostSlots = 1 << 20;
constexpr double kMostSeconds = 1e9;
constexpr double kMostJoules = 1e15;

void check_slots(const SlotSettings& s) {
    check_setting("slots", "slots", s.slots, 1, kMostSlots);
    check_setting("slots", "service_s", s.service_s, 1e-9, kMostSeconds);
    check_setting("slots", "joules", s.joules, 0.0, kMostJoules);
}

void check_batches(const BatchSettings& s) {
    if (s.latency_s.empty() || s.latency_s.size() != s.joules.size()) {
        throw InputError("batches: there are " + std::to_string(s.latency_s.size()) + " latencies and " +
                         std::to_string(s.joules.size()) +
                         " energies; expected one of each for batches of 1, 2 ...");
    }
    for (const double each : s.latency_s) check_setting("batches", "a latency", each, 1e-9, kMostSeconds);
    for (const double each : s.joules) check_setting("batches", "an energy", each, 0.0, kMostJoules);
    check_setting("batches", "instances", s.instances, 1, kMostSlots);
    check_setting("batches", "delay_s", s.delay_s, 0.0, kMostSeconds);
}

void check_tokens(const TokenSettings& s) {
    if (!s.costs) throw InputError("tokens: there are no costs of steps; expected a StepCosts");
    check_setting("tokens", "max_sequences", s.max_sequences, 1, kMostSlots);
    check_setting("tokens", "max_tokens", s.max_tokens, 1, std::int64_t{1} << 40);
    if (!(s.pool_tokens >= 1)) {
        throw InputError("tokens: pool_tokens is " + std::to_string(s.pool_tokens) + "; expected at least 1");
    }
    check_setting("tokens", "block_tokens", s.block_tokens, 1, std::int64_t{1} << 20);
    check_setting("tokens", "tokens_each", s.tokens_each, 1.0, 1e3);
    check_setting("tokens", "yield", s.yield, 1.0, s.tokens_each);
    check_setting("tokens", "reserves", s.reserves, 0.0, 1.0);
    check_setting("tokens", "least_reserves", s.least_reserves, 0.0, s.reserves);
    check_setting("tokens", "reserve_steps", s.reserve_steps, 0, std::int64_t{1} << 40);
    check_setting("tokens", "prefill_fill", s.prefill_fill, 1.0, 1e6);
}

}  // namespace

void check(const ReplicaSettings& settings) {
    struct {
        void operator()(const SlotSettings& s) const { check_slots(s); }
        void operator()(const BatchSettings& s) const { check_batches(s); }
        void operator()(const TokenSettings& s) const { check_tokens(s); }
        void operator()(const EngineSettings& s) const { check(s.server); }
    } each;
    std::visit(each, settings);
}

double slots_of(const ReplicaSettings& settings) {
    struct {
        double operator()(const SlotSettings& s) const { return static_cast<double>(s.slots); }
        double operator()(const BatchSettings& s) const {
            return static_cast<double>(s.instances) * static_cast<double>(s.latency_s.size());
        }
        double operator()(const TokenSettings& s) const { return static_cast<double>(s.max_sequences); }
        double operator()(const EngineSettings& s) const {
            return static_cast<double>(s.server.max_sequences);
        }
    } each;
    return std::visit(each, settings);
}

std::unique_ptr<Replica> make_replica(const ReplicaSettings& settings, std::uint64_t seed) {
    struct {
        std::uint64_t seed;
        std::unique_ptr<Replica> operator()(const SlotSettings& s) const { return make_slot_replica(s); }
        std::unique_ptr<Replica> operator()(const BatchSettings& s) const { return make_batch_replica(s); }
        std::unique_ptr<Replica> operator()(const TokenSettings& s) const { return make_token_replica(s); }
        std::unique_ptr<Replica> operator()(const EngineSettings& s) const {
            return make_engine_replica(s, seed);
        }
    } make{seed};
    return std::visit(make, settings);
}

}  // namespace infercost
