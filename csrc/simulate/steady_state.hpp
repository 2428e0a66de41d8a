// Steady states of servers in closed form: means over steps instead of one step after the other.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "simulate/step_costs.hpp"

namespace infercost {

// Copies of a model that share the requests, and how its engine forms steps.
struct SteadySettings {
    std::shared_ptr<const StepCosts> costs;
    double tokens_each = 1;  // that a decoding sequence processes in a step: 1 + drafts
    double yield = 1;        // and those of them that stay, on average
    double most_sequences = 256;
    double pool_tokens = 0;  // that the cache of a copy holds, may be infinite
    double block_tokens = 16;
    double copies = 1;
    double devices = 1;    // of all copies
    double usd_per_s = 0;  // not a number without a price
    double fill = 1;       // time of a chunk through all stages of a pipeline, over what it adds to a step
    bool mixes = true;     // prompts are read in the steps that decode
    bool chunks = true;    // prompts are read in parts
    double budget = 8192;  // tokens of prompts in a step
    double reserves = 0;   // share of an answer for which memory is kept at admission
    double lockstep = 1;   // copies that wait for each other in each step
    bool knows_energy = true;
};

// What is asked, by its means. Either `clients` or `rate_per_s` is not a number.
struct SteadyLoad {
    double prompt = 1;
    double output = 1;
    double prompt_square = 1;
    double output_square = 1;
    double prefix_hit = 0;
    double clients = 0;
    double rate_per_s = 0;
    double ttft_s = 0;  // objectives; 0 for none
    double tpot_s = 0;
};

struct SteadyState {
    double ttft_s;
    double tpot_s;
    double e2e_s;
    double tokens_per_s;
    double tokens_per_s_per_device;
    double usd_per_million_tokens;
    double joules_per_token;
    double max_concurrency;
    double preempted_share;
    double slo_share;
    double running;
    double requests_per_s;
    double utilization;
    double wait_s;
};

// A server, and what its steps of decoding cost between whole numbers of sequences.
class SteadyServer {
  public:
    // Throws std::invalid_argument if a setting is out of range.
    explicit SteadyServer(const SteadySettings& settings);

    const SteadySettings& settings() const { return settings_; }
    const StepCosts& costs() const { return *settings_.costs; }

    // Products of a step that decodes alone.
    StepCost products(double sequences) const;

  private:
    SteadySettings settings_;
    Intervals from_;
    std::vector<StepCost> products_;
};

// A server that is asked for sequences of some lengths. The rate of service with each number of requests
// inside is computed once, when the first Poisson rate is asked for.
class SteadyStates {
  public:
    // The server must live as long. Of the load, the lengths count.
    SteadyStates(const SteadyServer& server, const SteadyLoad& load);

    // Figures under a load of the same lengths.
    SteadyState under(const SteadyLoad& load);

  private:
    // Means of a copy with a number of requests inside.
    struct Round {
        double rate = 0;
        double running = 0;
        double reading_s = 0;
        double step_s = 0;
        double some = 0;  // share of the steps that read prompts
        double pure_s = 0;
        double mixed_s = 0;
        double watts = 0;
        double held = 0;
    };
    static constexpr std::size_t kKnots = 28;

    Round round(double inside) const;
    StepCost with_host(StepCost device, double host) const;
    StepCost pure(double running) const;
    StepCost mixed(double running, double prompts, double parts) const;
    void find_states();
    SteadyState at_clients(const SteadyLoad& load) const;
    SteadyState at_rate(const SteadyLoad& load) const;
    SteadyState figures(const Round& means, const SteadyLoad& load, double rate, double wait_s,
                        double utilization) const;

    const SteadyServer* server_;
    double prompt_;
    double output_;
    double steps_;    // that decode an answer
    double new_;      // tokens of a prompt that are not in the cache
    double cached_;   // and those that are
    double long_;     // tokens of a prompt whose attention takes the mean time of all
    double context_;  // of a decoding sequence
    double most_;     // sequences that run at most
    bool fits_;
    bool has_states_ = false;
    std::array<double, kKnots> inside_{};
    std::array<Round, kKnots> states_{};
};

}  // namespace infercost
