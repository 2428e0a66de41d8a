// How an engine forms its steps. One file for each engine, and its line in `make_scheduler` (server.cpp).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "simulate/batch.hpp"
#include "simulate/settings.hpp"
#include "simulate/step_costs.hpp"

namespace infercost {

class Server;

// A part of a prompt in a step.
struct PlannedChunk {
    Slot slot = kNoSlot;
    bool completes = false;
};

// One step, or several that are alike.
struct StepPlan {
    std::vector<PlannedChunk> chunks;
    std::vector<Chunk> sizes;   // of the chunks
    std::vector<Slot> starved;  // decode, but not in this step
    bool decodes = false;       // those that decode, except the starved, take part
    bool steady = false;  // until a sequence ends, memory runs out or something arrives, steps are alike
    bool open = false;    // a request that arrives could change the next step
    std::int64_t most_steps = 0;

    void clear() {
        chunks.clear();
        sizes.clear();
        starved.clear();
        decodes = steady = open = false;
        most_steps = Batch::kNever;
    }
};

class Scheduler {
  public:
    virtual ~Scheduler() = default;
    // Forms the next step: admits, preempts, and takes the blocks of the step.
    virtual void schedule(Server& server, StepPlan& plan) = 0;
    // `ticks` steps of a plan have ended.
    virtual void passed(const StepPlan&, std::int64_t /*ticks*/) {}
    // A sequence has ended.
    virtual void left(const Sequence&) {}
    // Nothing runs and nothing waits.
    virtual void idle() {}
    // Whether the server looks at what arrived before it forms the next step. Asked once a step.
    virtual bool receives() { return true; }
    // Whether an empty server can serve a request to its end.
    virtual bool fits(const Server& server, std::int64_t prompt, std::int64_t output) const = 0;
    // The longest prompt that it computes.
    virtual std::int64_t longest_prompt(const ServerSettings& settings) const = 0;
};

std::unique_ptr<Scheduler> make_vllm_scheduler(const ServerSettings& settings);
std::unique_ptr<Scheduler> make_sglang_scheduler(const ServerSettings& settings);
std::unique_ptr<Scheduler> make_trtllm_scheduler(const ServerSettings& settings);

}  // namespace infercost
