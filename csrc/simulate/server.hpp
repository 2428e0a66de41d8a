// One server: a clock, a queue, a batch and a cache. It runs a step, or several alike at once.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "simulate/batch.hpp"
#include "simulate/kv_cache.hpp"
#include "simulate/requests.hpp"
#include "simulate/scheduler.hpp"
#include "simulate/settings.hpp"
#include "simulate/waiting.hpp"

namespace infercost {

// Columns of requests that servers read and write. Owned by the simulation.
struct RequestTable {
    std::vector<std::int32_t> prompt;
    std::vector<std::int32_t> output;
    std::vector<std::int32_t> priority;     // empty: all 0
    std::vector<std::int64_t> prefix_from;  // empty: no ids
    std::vector<std::int64_t> prefix_ids;
    std::int64_t prefix_tokens = 0;
    RequestResults results;

    std::int32_t priority_of(std::uint32_t request) const { return priority.empty() ? 0 : priority[request]; }
    PrefixIds ids_of(std::uint32_t request, std::int64_t block_tokens) const {
        if (prefix_from.empty()) return {};
        const auto from = static_cast<std::size_t>(prefix_from[request]);
        const auto to = static_cast<std::size_t>(prefix_from[request + 1]);
        return {
            {prefix_ids.data() + from, to - from},
            prefix_tokens / block_tokens
        };
    }
};

// A request that left a server.
struct Departure {
    std::uint32_t request = 0;
    Outcome outcome = Outcome::finished;
};

// The first of the requests that wait, and what the cache has of it.
struct Candidate {
    Returning record;
    std::int64_t prompt = 0;
    std::int64_t output = 0;
    PrefixIds ids;
    KvCache::Hit hit;
    std::int64_t cached = 0;                                           // tokens of the hit
    std::int64_t tokens() const { return prompt + record.generated; }  // of its cache when it samples next
};

class Server {
  public:
    static constexpr double kNever = std::numeric_limits<double>::infinity();

    Server(const ServerSettings& settings, std::uint16_t index, RequestTable& table, std::uint64_t seed,
           bool prefill_only);

    // Events. --------------------------------------------------------------------------------------------

    // End of the steps that run; kNever if none do.
    double step_end() const { return busy_ ? end_s_ : kNever; }
    bool busy() const { return busy_; }
    // Whether it would begin a step: at now().
    bool ready() const { return !busy_ && batch.size() + waiting_ > 0; }
    double now() const { return now_s_; }
    // Takes a request at a time that is not before any event so far. Returns an outcome other than
    // `unfinished` if it refuses.
    Outcome deliver(std::uint32_t request, double time_s, bool prefilled);
    // The client of a request leaves.
    void cancel(std::uint32_t request, double time_s);
    // Begins the next step or steps, at a time that is not before now().
    void begin(double time_s);
    // Lets the step that runs end later, because others are slower.
    void wait_until(double end_s);
    // Ends the steps that run. Appends requests that leave.
    void complete(std::vector<Departure>& departures);

    std::int64_t requests() const { return batch.size() + waiting_; }
    std::int64_t running() const { return batch.size(); }
    std::int64_t waiting() const { return waiting_; }
    std::int64_t blocks_at(double time_s) const;
    // Tokens at the start of a prompt that are in the cache.
    std::int64_t match(std::uint32_t request) const;
    const ServerTotals& totals() const { return totals_; }
    // Seconds of the last step that has ended.
    double last_step_s() const { return last_step_s_; }

    // For schedulers. ------------------------------------------------------------------------------------

    const ServerSettings& settings;
    Batch batch;
    KvCache cache;

    bool has_candidate();
    // The first of those that wait; has_candidate() is true.
    Candidate candidate() const;
    // Lets the candidate run, with the blocks of its hit. One that is prefilled takes the blocks of its
    // prompt and decodes.
    Slot admit(const Candidate& candidate);
    // Takes blocks for the first `tokens` of a sequence that prefills.
    void take_prompt_blocks(Slot slot, std::int64_t tokens);
    // Adds the next `tokens` of a prompt to the step, with blocks for them.
    void add_chunk(StepPlan& plan, Slot slot, std::int64_t tokens);
    // Takes back a chunk of this plan; its blocks stay with the sequence. Returns its tokens.
    std::int64_t withdraw(StepPlan& plan, Slot slot);
    // Blocks that a chunk takes.
    std::int64_t blocks_for(const Sequence& s, std::int64_t tokens) const;
    // Takes the blocks of the next step of all that decode, or of one.
    void take_decode_blocks();
    void take_decode_blocks(Slot slot);
    // Stops a sequence and frees its blocks; it starts again from the front or the back of the queue.
    // Contents of its first `kept_tokens` stay in the cache.
    void preempt(Slot slot, bool to_front, std::int64_t kept_tokens);

  private:
    double elapsed(std::int64_t steps) const;
    double elapsed_j(std::int64_t steps) const;
    std::int64_t steps_until(double time_s) const;
    void enqueue(std::uint32_t request, bool prefilled);
    void receive();
    void cut(double time_s);
    void leave(Slot slot, Outcome outcome, double time_s, std::vector<Departure>& departures);
    void sample(Slot slot, std::vector<Departure>& departures);
    void accept_drafts(std::vector<Departure>& departures);
    void free_blocks_of(Slot slot, std::int64_t kept_tokens, bool returns, Returning* record);
    std::int64_t first_seen(const Sequence& s) const;
    std::int64_t wakes_with(const Sequence& s) const;
    void apply_cancels();

    RequestTable& table_;
    std::unique_ptr<Scheduler> scheduler_;
    WaitingQueue queue_;
    std::int64_t waiting_ = 0;
    std::vector<std::uint32_t> inbox_;      // arrived since the scheduler last looked; the top bit: prefilled
    std::vector<std::uint32_t> cancelled_;  // that run
    std::vector<Slot> awake_;
    std::vector<double> cumulative_;  // probability that draft i and those before it are accepted
    StepPlan plan_;
    DecodeRun run_;
    std::int64_t steps_ = 0;
    double now_s_ = 0;
    double start_s_ = 0;
    double end_s_ = 0;
    double waited_s_ = 0;  // of the step that runs, for others
    double last_step_s_ = 0;
    bool busy_ = false;
    bool prefill_only_;
    std::uint16_t index_;
    std::uint64_t seed_;
    ServerTotals totals_;
};

}  // namespace infercost
