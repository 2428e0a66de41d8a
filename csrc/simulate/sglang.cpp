// The scheduler of SGLang (srt/managers/scheduler.py, schedule_policy.py and mem_cache/prefill_budget.py of
// version 0.5.23): a step of prompts alone whenever something waits and fits, else a step of decoding. A
// request is admitted if a share of the tokens that all are still to generate fits too. When memory runs out,
// the requests with the fewest tokens start again from the end of the queue.
//
// Not modeled: the special admission of fixed lengths without a prefix cache, and the step by which
// overlapped scheduling sees a finished request late. A chunk is cut to the memory that is free.
#include <algorithm>

#include "simulate/scheduler.hpp"
#include "simulate/server.hpp"

namespace infercost {
namespace {

class SglangScheduler final : public Scheduler {
  public:
    explicit SglangScheduler(const ServerSettings& settings)
        : least_(std::min(1.0, settings.reserve.initial * settings.reserve.least_share)),
          initial_(std::min(1.0, settings.reserve.initial)),
          decay_((initial_ - least_) / static_cast<double>(settings.reserve.decay_steps)),
          base_(initial_),
          interval_(settings.recv_interval) {}

    bool receives() override {
        polls_ += last_weight_;
        last_weight_ = 1;
        if (polls_ < interval_) return false;
        polls_ = 0;
        return true;
    }

    void idle() override {
        polls_ = 0;
        base_ = initial_;
        decays_ = 0;
    }

    void left(const Sequence&) override { full_ = false; }

    void passed(const StepPlan& plan, std::int64_t ticks) override {
        // A step with prompts is followed by a look at what arrived.
        last_weight_ = plan.chunks.empty() ? ticks : interval_;
        if (plan.chunks.empty() && !retracted_) decays_ += ticks - 1;
    }

    void schedule(Server& server, StepPlan& plan) override {
        Batch& batch = server.batch;
        retracted_ = false;
        if (batch.decoding() == 0) full_ = false;
        if ((!full_ && server.has_candidate()) || batch.prefilling() > 0) prefill(server, plan);
        if (plan.chunks.empty()) {
            if (batch.decoding() > 0) decode(server, plan);
        } else if (server.settings.mixed_chunks && batch.decoding() > 0 &&
                   batch.blocks_needed() <= server.cache.free()) {
            server.take_decode_blocks();
            plan.decodes = true;
        }
        plan.steady =
            plan.chunks.empty() && !retracted_ && batch.prefilling() == 0 && (full_ || server.waiting() == 0);
        plan.open = !full_ && interval_ == 1;
        if (interval_ > 1) plan.most_steps = interval_ - polls_;
    }

    bool fits(const Server& server, std::int64_t prompt, std::int64_t output) const override {
        const std::int64_t page = server.settings.block_tokens;
        return prompt + output + server.settings.drafts + page < server.cache.capacity() * page;
    }

    std::int64_t longest_prompt(const ServerSettings&) const override { return Batch::kNever; }

  private:
    double share() const {
        return std::max(base_ - decay_ * static_cast<double>(decays_), std::min(base_, least_));
    }

    // What is left while prompts are added to a step.
    struct Budget {
        double total = 0;          // tokens of memory, without what is reserved for outputs
        std::int64_t current = 0;  // without that reserve
        std::int64_t input = 0;    // max_prefill_tokens
        std::int64_t chunk = 0;    // chunked_prefill_size
        bool has_memory() const { return total > 0 && current > 0; }
        bool has_tokens() const { return input > 0 && chunk > 0; }
    };

    static std::int64_t paged(std::int64_t tokens, std::int64_t page) {
        return (tokens + page - 1) / page * page;
    }

    static void reserve(Budget& budget, std::int64_t tokens, std::int64_t output, std::int64_t page) {
        const std::int64_t whole = paged(tokens, page);
        budget.total -= static_cast<double>(whole + page + output);
        budget.current -= whole + page;
        budget.input -= whole;
        budget.chunk -= whole;
    }

    Budget budget_of(const Server& server) const {
        const Batch& batch = server.batch;
        const ServerSettings& settings = server.settings;
        const std::int64_t mixed = settings.mixed_chunks ? batch.decoding() : 0;
        const std::int64_t free = server.cache.free() * settings.block_tokens;
        const double share_of_rest = settings.reserve.fixed_lengths ? 1.0 : share();
        const auto rest = static_cast<double>(batch.remaining(settings.reserve.most_tokens));
        return {static_cast<double>(free - mixed) - rest * share_of_rest, free - mixed,
                settings.max_tokens - mixed,
                settings.chunk_tokens > 0 ? settings.chunk_tokens - mixed : Batch::kNever};
    }

    void prefill(Server& server, StepPlan& plan) {
        Batch& batch = server.batch;
        const ServerSettings& settings = server.settings;
        const std::int64_t page = settings.block_tokens;
        const std::int64_t decoding = batch.decoding();
        const bool continues = batch.prefilling() > 0;
        const std::int64_t allocatable = settings.max_sequences - decoding;
        if (allocatable <= 0 && !continues) {
            full_ = true;
            return;
        }
        Budget budget = budget_of(server);
        bool chunked = false;
        if (continues) {
            chunked = continue_chunk(server, plan, budget);
            if (plan.chunks.empty()) return;  // no memory for a part of it
        }
        while (server.has_candidate()) {
            if (budget.has_memory() && !budget.has_tokens()) break;
            if (static_cast<std::int64_t>(plan.chunks.size()) >= allocatable) full_ = true;
            if (full_) break;
            const Candidate candidate = server.candidate();
            const std::int64_t output =
                std::min(candidate.output - candidate.record.generated, settings.reserve.most_tokens);
            if (candidate.record.prefilled) {
                const std::int64_t tokens = candidate.prompt + output + page;
                if (static_cast<double>(tokens) >= budget.total) {
                    full_ = batch.size() > 0;
                    break;
                }
                server.admit(candidate);
                budget = budget_of(server);
                continue;
            }
            const std::int64_t left = candidate.tokens() - candidate.cached;
            // The blocks of the hit are no longer to be had.
            const auto idle = static_cast<double>(candidate.hit.idle * page);
            if (static_cast<double>(left + output + page) >= budget.total - idle) {
                full_ = !plan.chunks.empty() || batch.decoding() > 0;
                break;
            }
            if (settings.chunk_tokens == 0 && !plan.chunks.empty() && paged(left, page) >= budget.input)
                break;
            std::int64_t tokens = left;
            if (paged(left, page) > budget.chunk) {
                // One prompt at a time is in parts.
                if (chunked) break;
                const std::int64_t end = (candidate.cached + budget.chunk / page * page) / page * page;
                tokens = end - candidate.cached;
                if (tokens <= 0) break;
                chunked = true;
            }
            budget.total -= idle;
            budget.current -= candidate.hit.idle * page;
            server.add_chunk(plan, server.admit(candidate), tokens);
            reserve(budget, tokens,
                    tokens < left ? 0 : std::min(candidate.output, settings.reserve.most_tokens), page);
            if (!budget.has_memory()) {
                full_ = true;
                break;
            }
            if (!budget.has_tokens()) break;
        }
    }

    // Returns whether the prompt is still not complete.
    bool continue_chunk(Server& server, StepPlan& plan, Budget& budget) {
        const ServerSettings& settings = server.settings;
        Slot slot = server.batch.newest();
        while (server.batch.at(slot).decodes) slot = server.batch.at(slot).before;
        const Sequence& s = server.batch.at(slot);
        const std::int64_t left = s.target - s.computed;
        std::int64_t most = std::min<std::int64_t>(budget.chunk, static_cast<std::int64_t>(budget.total));
        if (most <= 0) most = budget.chunk;
        const std::int64_t room = (s.held.total() + server.cache.free()) * settings.block_tokens - s.computed;
        const std::int64_t tokens = std::min({left, most, room});
        if (tokens <= 0) return true;
        const std::int64_t output = std::min<std::int64_t>(s.output, settings.reserve.most_tokens);
        server.add_chunk(plan, slot, tokens);
        reserve(budget, tokens, tokens < left ? 0 : output, settings.block_tokens);
        return tokens < left;
    }

    void decode(Server& server, StepPlan& plan) {
        Batch& batch = server.batch;
        if (batch.blocks_needed() > server.cache.free()) {
            retract(server);
        } else {
            ++decays_;
        }
        server.take_decode_blocks();
        plan.decodes = true;
    }

    void retract(Server& server) {
        Batch& batch = server.batch;
        retracted_ = true;
        full_ = false;
        while (batch.blocks_needed() > server.cache.free()) {
            Slot victim = batch.decoders()[0];
            if (batch.decoding() == 1) {
                // A prompt in parts has the rest.
                victim = batch.newest() == victim ? batch.at(victim).before : batch.newest();
            } else {
                for (const Slot slot : batch.decoders()) {
                    if (goes_before(batch, slot, victim)) victim = slot;
                }
            }
            // The prompt stays in the prefix cache, the output does not.
            const std::int64_t kept =
                std::min<std::int64_t>(batch.at(victim).prompt, batch.cached(batch.at(victim)));
            server.preempt(victim, false, kept);
        }
        double decoded = 0;
        double most = 1;
        for (const Slot slot : batch.decoders()) {
            decoded += static_cast<double>(batch.generated(batch.at(slot)));
            most += static_cast<double>(batch.at(slot).output);
        }
        const auto ahead = static_cast<double>(server.settings.reserve.retract_steps * batch.decoding());
        base_ = std::min(1.0, (decoded + ahead) / most);
        decays_ = 0;
    }

    static bool goes_before(const Batch& batch, Slot a, Slot b) {
        const Sequence& x = batch.at(a);
        const Sequence& y = batch.at(b);
        const std::int64_t gx = batch.generated(x);
        const std::int64_t gy = batch.generated(y);
        if (gx != gy) return gx < gy;
        if (x.prompt != y.prompt) return x.prompt > y.prompt;
        return x.rank > y.rank;
    }

    double least_;
    double initial_;
    double decay_;
    double base_;              // share of the rest that is reserved, before decays
    std::int64_t decays_ = 0;  // steps of decoding since
    std::int64_t interval_;
    std::int64_t polls_ = 0;
    std::int64_t last_weight_ = 1;
    bool full_ = false;  // SGLang's batch_is_full: nothing is admitted before a request leaves
    bool retracted_ = false;
};

}  // namespace

std::unique_ptr<Scheduler> make_sglang_scheduler(const ServerSettings& settings) {
    return std::make_unique<SglangScheduler>(settings);
}

}  // namespace infercost
