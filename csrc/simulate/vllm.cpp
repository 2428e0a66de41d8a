// The scheduler of vLLM V1 (vllm/v1/core/sched/scheduler.py and kv_cache_manager.py of version 0.32): one
// budget of tokens, running requests first in the order of their admission, then those that wait. A request
// that gets no block preempts the newest one, which starts again from the front of the queue; a step that
// preempts admits none.
#include <algorithm>

#include "simulate/scheduler.hpp"
#include "simulate/server.hpp"

namespace infercost {
namespace {

class VllmScheduler final : public Scheduler {
  public:
    explicit VllmScheduler(const ServerSettings& settings)
        : watermark_(static_cast<std::int64_t>(settings.watermark * static_cast<double>(settings.blocks))) {}

    void schedule(Server& server, StepPlan& plan) override {
        const Batch& batch = server.batch;
        // A request that preempts itself may leave an empty step, which takes no time here.
        do {
            plan.clear();
            form(server, plan);
            plan.decodes = batch.decoding() > static_cast<std::int64_t>(plan.starved.size());
        } while (preempted_ && !plan.decodes && plan.chunks.empty());
        plan.steady = plan.chunks.empty() && plan.starved.empty() && !preempted_;
        plan.open = batch.size() < server.settings.max_sequences &&
                    (server.settings.by_priority || server.waiting() == 0);
    }

    bool fits(const Server& server, std::int64_t prompt, std::int64_t output) const override {
        const std::int64_t tokens = prompt + output - 1 + server.settings.drafts;
        return server.cache.blocks_of(tokens) <= server.cache.capacity();
    }

    std::int64_t longest_prompt(const ServerSettings& settings) const override {
        return settings.chunked_prefill ? Batch::kNever : settings.max_tokens;
    }

  private:
    void form(Server& server, StepPlan& plan) {
        budget_ = server.settings.max_tokens;
        preempted_ = false;
        // A single request starves no other.
        threshold_ = server.requests() > 1 ? server.settings.chunk_tokens : 0;
        if (threshold_ == 0) threshold_ = budget_;
        schedule_running(server, plan);
        if (!preempted_) admit(server, plan);
    }

    std::int64_t chunk_of(const Sequence& s) const {
        return std::min<std::int64_t>({s.target - s.computed, threshold_, budget_});
    }

    void schedule_running(Server& server, StepPlan& plan) {
        Batch& batch = server.batch;
        const std::int64_t decoding = batch.decoding() * server.settings.tokens_each();
        const std::int64_t blocks = batch.blocks_needed();
        if (batch.prefilling() == 0) {
            if (blocks <= server.cache.free()) {
                server.take_decode_blocks();
                budget_ -= decoding;
                return;
            }
            // A victim frees blocks with and without contents: it matters which contents those before it have
            // evicted by then.
            const bool one_by_one = server.cache.keeps_prefixes();
            if (!server.settings.by_priority && !one_by_one) return preempt_newest(server);
        } else if (batch.prefilling() == 1 && !batch.at(batch.newest()).decodes) {
            // One prompt, after all that decode.
            Sequence& last = batch.at(batch.newest());
            const std::int64_t left = budget_ - decoding;
            const std::int64_t tokens =
                std::min<std::int64_t>({last.target - last.computed, threshold_, left});
            const std::int64_t more = tokens > 0 ? server.blocks_for(last, tokens) : 0;
            if (blocks + more <= server.cache.free()) {
                server.take_decode_blocks();
                budget_ = left;
                if (tokens > 0) {
                    server.add_chunk(plan, batch.newest(), tokens);
                    budget_ -= tokens;
                }
                return;
            }
        }
        walk(server, plan);
    }

    // All decode. Those that stay are the first in the order for which the blocks of the others suffice.
    void preempt_newest(Server& server) {
        Batch& batch = server.batch;
        while (batch.blocks_needed() > server.cache.free()) preempt(server, batch.newest());
        server.take_decode_blocks();
        budget_ -= batch.decoding() * server.settings.tokens_each();
    }

    void preempt(Server& server, Slot slot) {
        server.preempt(slot, true, server.batch.cached(server.batch.at(slot)));
        preempted_ = true;
    }

    static Slot newest_of_lowest_priority(const Batch& batch) {
        Slot found = batch.oldest();
        for (Slot slot = found; slot != kNoSlot; slot = batch.at(slot).after) {
            const Sequence& s = batch.at(slot);
            const Sequence& worst = batch.at(found);
            if (s.priority > worst.priority || (s.priority == worst.priority && s.request > worst.request)) {
                found = slot;
            }
        }
        return found;
    }

    // One request after the other, as they were admitted.
    void walk(Server& server, StepPlan& plan) {
        Batch& batch = server.batch;
        const std::int64_t each = server.settings.tokens_each();
        Slot slot = batch.oldest();
        for (; slot != kNoSlot && budget_ > 0; slot = batch.at(slot).after) {
            const bool decodes = batch.at(slot).decodes;
            if (decodes && budget_ < each) break;
            const std::int64_t tokens = decodes ? each : chunk_of(batch.at(slot));
            const std::int64_t blocks =
                decodes ? batch.blocks_needed(batch.at(slot)) : server.blocks_for(batch.at(slot), tokens);
            bool runs = true;
            Slot before = batch.at(slot).before;
            while (blocks > server.cache.free()) {
                const Slot victim =
                    server.settings.by_priority ? newest_of_lowest_priority(batch) : batch.newest();
                if (victim == before) before = batch.at(victim).before;
                if (batch.at(victim).rank < batch.at(slot).rank) take_back(server, plan, victim);
                runs = victim != slot;
                preempt(server, victim);
                if (!runs) break;
            }
            if (!runs) {
                // The scheduler stops here: the requests after this one get nothing.
                slot = before == kNoSlot ? batch.oldest() : batch.at(before).after;
                break;
            }
            budget_ -= tokens;
            if (decodes) {
                server.take_decode_blocks(slot);
            } else {
                server.add_chunk(plan, slot, tokens);
            }
        }
        for (; slot != kNoSlot; slot = batch.at(slot).after) {
            if (batch.at(slot).decodes) plan.starved.push_back(slot);
        }
    }

    // Undoes what a request got in this step.
    void take_back(Server& server, StepPlan& plan, Slot slot) {
        const Sequence& s = server.batch.at(slot);
        if (s.decodes) {
            // With drafts the blocks are part of its room.
            if (!server.batch.drafts()) server.cache.give_back(server.batch.blocks_needed(s));
            budget_ += server.settings.tokens_each();
        } else {
            budget_ += server.withdraw(plan, slot);
        }
    }

    void admit(Server& server, StepPlan& plan) {
        Batch& batch = server.batch;
        const ServerSettings& settings = server.settings;
        while (budget_ > 0 && batch.size() < settings.max_sequences && server.has_candidate()) {
            const Candidate candidate = server.candidate();
            const std::int64_t spare = server.cache.free() - (batch.size() > 0 ? watermark_ : 0);
            const std::int64_t each = settings.tokens_each();
            if (candidate.record.prefilled) {
                if (budget_ < each || server.cache.blocks_of(candidate.prompt + each) > spare) break;
                server.take_decode_blocks(server.admit(candidate));
                budget_ -= each;
                continue;
            }
            std::int64_t tokens = candidate.tokens() - candidate.cached;
            tokens = std::min(tokens, threshold_);
            if (!settings.chunked_prefill && tokens > budget_) break;
            tokens = std::min(tokens, budget_);
            const std::int64_t hit = candidate.hit.blocks() - candidate.hit.idle;
            const std::int64_t reach =
                settings.reserve_prompt ? candidate.tokens() : candidate.cached + tokens;
            if (server.cache.blocks_of(reach) - hit > spare) break;
            server.add_chunk(plan, server.admit(candidate), tokens);
            budget_ -= tokens;
        }
    }

    std::int64_t watermark_;
    std::int64_t budget_ = 0;
    std::int64_t threshold_ = 0;
    bool preempted_ = false;
};

}  // namespace

std::unique_ptr<Scheduler> make_vllm_scheduler(const ServerSettings& settings) {
    return std::make_unique<VllmScheduler>(settings);
}

}  // namespace infercost
