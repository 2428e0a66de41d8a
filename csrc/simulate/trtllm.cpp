// The scheduler of TensorRT-LLM (batch_manager/capacityScheduler.cpp and microBatchScheduler.cpp): first what
// fits the memory, then what fits the tokens of a step, with generation before prompts. GUARANTEED_NO_EVICT
// reserves blocks for the whole of a request. MAX_UTILIZATION takes them as they are needed, and pauses the
// request that started last if there are none; it starts again from the front of the queue.
//
// Blocks that requests share count for each of them in the reserve.
#include <algorithm>

#include "simulate/scheduler.hpp"
#include "simulate/server.hpp"

namespace infercost {
namespace {

class TrtllmScheduler final : public Scheduler {
  public:
    explicit TrtllmScheduler(const ServerSettings& settings) : settings_(settings) {}

    void left(const Sequence& s) override {
        if (!settings_.evicts) reserved_ -= whole(s.prompt, s.output);
    }

    void schedule(Server& server, StepPlan& plan) override {
        Batch& batch = server.batch;
        const bool paused = take_decode_blocks(server);
        budget_ = settings_.max_tokens - batch.decoding() * settings_.tokens_each();
        find_prompts(batch);
        if (settings_.equal_progress && settings_.chunked_prefill) {
            if (!paused) {
                while (may_admit(server)) {
                    const Candidate candidate = server.candidate();
                    if (candidate.record.prefilled) {
                        admit_prefilled(server, candidate);
                    } else {
                        prompts_.push_back(admit(server, candidate));
                    }
                }
            }
            share_out(server, plan);
        } else {
            bool stops = paused;
            for (const Slot slot : prompts_) {
                const Sequence& s = batch.at(slot);
                const std::int64_t tokens = chunk_of(s.target - s.computed, plan);
                if (tokens > 0) server.add_chunk(plan, slot, tokens);
                budget_ -= tokens;
                stops = stops || tokens == 0;
            }
            while (!stops && may_admit(server)) {
                const Candidate candidate = server.candidate();
                if (candidate.record.prefilled) {
                    admit_prefilled(server, candidate);
                    continue;
                }
                const std::int64_t tokens =
                    chunk_of(candidate.tokens() - candidate.cached, plan, batch.size() == 0);
                stops = tokens == 0;
                if (tokens > 0) server.add_chunk(plan, admit(server, candidate), tokens);
                budget_ -= tokens;
            }
        }
        plan.decodes = batch.decoding() > 0;
        plan.steady = plan.chunks.empty() && !paused && batch.prefilling() == 0;
        plan.open =
            batch.size() < settings_.max_sequences && (settings_.by_priority || server.waiting() == 0);
    }

    bool fits(const Server& server, std::int64_t prompt, std::int64_t output) const override {
        return whole(prompt, output) <= server.cache.capacity();
    }

    std::int64_t longest_prompt(const ServerSettings& settings) const override {
        return settings.chunked_prefill ? Batch::kNever : settings.max_tokens;
    }

  private:
    std::int64_t whole(std::int64_t prompt, std::int64_t output) const {
        const std::int64_t tokens = prompt + output + settings_.drafts;
        return (tokens + settings_.block_tokens - 1) / settings_.block_tokens;
    }

    // Takes blocks for all that decode, and pauses the newest of them until there are enough. Returns whether
    // one was paused.
    static bool take_decode_blocks(Server& server) {
        Batch& batch = server.batch;
        if (batch.blocks_needed() <= server.cache.free()) {
            server.take_decode_blocks();
            return false;
        }
        if (!server.cache.keeps_prefixes()) {
            while (batch.blocks_needed() > server.cache.free()) pause_newest(server);
            server.take_decode_blocks();
            return true;
        }
        // One by one: it matters which contents those before a victim have evicted by then.
        for (Slot slot = batch.oldest(); slot != kNoSlot;) {
            if (batch.at(slot).decodes) {
                bool runs = true;
                while (runs && batch.blocks_needed(batch.at(slot)) > server.cache.free()) {
                    runs = batch.newest() != slot;
                    pause_newest(server);
                }
                if (!runs) break;
                server.take_decode_blocks(slot);
            }
            slot = batch.at(slot).after;
        }
        return true;
    }

    static void pause_newest(Server& server) {
        const Slot slot = server.batch.newest();
        server.preempt(slot, true, server.batch.cached(server.batch.at(slot)));
    }

    // Those that were begun and are not complete, in the order of admission.
    void find_prompts(const Batch& batch) {
        prompts_.clear();
        const auto count = static_cast<std::size_t>(batch.prefilling());
        for (Slot slot = batch.newest(); prompts_.size() < count; slot = batch.at(slot).before) {
            if (!batch.at(slot).decodes) prompts_.push_back(slot);
        }
        std::reverse(prompts_.begin(), prompts_.end());
    }

    // Whether the first of those that wait fits the memory.
    bool may_admit(Server& server) {
        if (server.batch.size() >= settings_.max_sequences || !server.has_candidate()) return false;
        const Candidate candidate = server.candidate();
        if (settings_.evicts) {
            const std::int64_t tokens =
                candidate.tokens() + (candidate.record.prefilled ? settings_.drafts : 0);
            const std::int64_t shared = candidate.hit.blocks() - candidate.hit.idle;
            return server.cache.blocks_of(tokens) - shared <= server.cache.free();
        }
        return reserved_ + whole(candidate.prompt, candidate.output) <= server.cache.capacity();
    }

    // Memory for a whole prompt is taken with its first part.
    Slot admit(Server& server, const Candidate& candidate) {
        if (!settings_.evicts) reserved_ += whole(candidate.prompt, candidate.output);
        const Slot slot = server.admit(candidate);
        if (!candidate.record.prefilled) server.take_prompt_blocks(slot, candidate.tokens());
        return slot;
    }

    void admit_prefilled(Server& server, const Candidate& candidate) {
        server.take_decode_blocks(admit(server, candidate));
        budget_ -= settings_.tokens_each();
    }

    // Tokens of a prompt in this step, in order. A prompt that is not divided and longer than a step, as
    // after a pause, runs alone.
    std::int64_t chunk_of(std::int64_t left, const StepPlan& plan, bool alone = false) const {
        if (left <= budget_ || (alone && plan.chunks.empty() && !settings_.chunked_prefill)) return left;
        if (!settings_.chunked_prefill || budget_ <= 0) return 0;
        const std::int64_t unit = std::max<std::int64_t>(1, settings_.chunk_tokens);
        return budget_ / unit * unit;
    }

    // Parts of all prompts grow by a unit in turn.
    void share_out(Server& server, StepPlan& plan) {
        const std::int64_t unit = std::max<std::int64_t>(1, settings_.chunk_tokens);
        parts_.assign(prompts_.size(), 0);
        bool grew = true;
        while (grew && budget_ > 0) {
            grew = false;
            for (std::size_t i = 0; i < prompts_.size(); ++i) {
                const Sequence& s = server.batch.at(prompts_[i]);
                const std::int64_t more = std::min<std::int64_t>(unit, s.target - s.computed - parts_[i]);
                if (more <= 0 || more > budget_) continue;
                parts_[i] += more;
                budget_ -= more;
                grew = true;
            }
        }
        for (std::size_t i = 0; i < prompts_.size(); ++i) {
            if (parts_[i] > 0) server.add_chunk(plan, prompts_[i], parts_[i]);
        }
    }

    ServerSettings settings_;
    std::int64_t budget_ = 0;
    std::int64_t reserved_ = 0;  // blocks of all that run, to their end
    std::vector<Slot> prompts_;
    std::vector<std::int64_t> parts_;
};

}  // namespace

std::unique_ptr<Scheduler> make_trtllm_scheduler(const ServerSettings& settings) {
    return std::make_unique<TrtllmScheduler>(settings);
}

}  // namespace infercost
