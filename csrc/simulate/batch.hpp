// The sequences that a server runs. Those that decode are not visited in a step: a sequence knows the tick of
// decoding at which it ends, and sums are kept of the rest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "simulate/kv_cache.hpp"

namespace infercost {

using Slot = std::int32_t;
inline constexpr Slot kNoSlot = -1;

struct Sequence {
    std::uint32_t request = 0;
    std::int32_t prompt = 0;
    std::int32_t output = 0;     // tokens after which it ends
    std::int32_t generated = 0;  // see Batch::generated() for one that decodes
    std::int32_t computed = 0;   // tokens in the cache while it prefills
    std::int32_t target = 0;     // tokens to compute before the next one is sampled
    std::int32_t priority = 0;
    std::int32_t room = 0;  // blocks it holds if there are drafts
    bool decodes = false;
    bool unseen = true;      // no token has reached the client
    double late_s = 0;       // by which its tokens leave a pipeline after the step that counts them
    std::int64_t rank = 0;   // order of admission
    std::int64_t start = 0;  // tick at which it would have had no token
    std::int64_t wakes = 0;  // tick at which it ends, or a token is sent first
    Slot before = kNoSlot;   // in the order of admission
    Slot after = kNoSlot;
    Slot wakes_before = kNoSlot;  // of those that wake at the same tick
    Slot wakes_after = kNoSlot;
    std::int32_t place = 0;  // in the list of those that decode
    HeldBlocks held;         // named blocks, and own ones while it prefills
};

// Between two steps a sequence that decodes has all of its tokens in the cache but the last one sampled. A
// tick is a step in which all that decode get a token. With drafts they advance one by one instead.
class Batch {
  public:
    Batch(std::int64_t block_tokens, std::int64_t drafts);

    std::int64_t size() const { return size_; }
    std::int64_t decoding() const { return static_cast<std::int64_t>(decoding_.size()); }
    std::int64_t prefilling() const { return size_ - decoding(); }
    bool drafts() const { return drafts_ > 0; }
    std::int64_t tick() const { return tick_; }
    Slot oldest() const { return oldest_; }
    Slot newest() const { return newest_; }
    Sequence& at(Slot slot) { return sequences_[static_cast<std::size_t>(slot)]; }
    const Sequence& at(Slot slot) const { return sequences_[static_cast<std::size_t>(slot)]; }
    std::span<const Slot> decoders() const { return decoding_; }

    // A sequence at the end of the order. The slot's held blocks are empty.
    Slot add();
    void remove(Slot slot);

    // Lets a sequence decode from the next tick on; `generated` counts tokens sampled so far, and it wakes
    // when it has `wakes_with`.
    void start_decoding(Slot slot, std::int64_t wakes_with);
    void stop_decoding(Slot slot);
    // Moves the tick at which a sequence wakes.
    void wake_with(Slot slot, std::int64_t tokens);

    std::int64_t generated(const Sequence& s) const {
        return s.decodes && drafts_ == 0 ? tick_ - s.start : s.generated;
    }
    // Tokens in the cache.
    std::int64_t cached(const Sequence& s) const {
        return s.decodes ? s.prompt + generated(s) - 1 : s.computed;
    }
    // Sum over those that decode of the tokens that attention reads in the next step.
    std::int64_t context() const { return context_; }
    // Sum over those that decode of the tokens that are still to come, each counted up to `most`.
    std::int64_t remaining(std::int64_t most) const;

    // Blocks that a sequence needs for its next step of decoding, and that all need.
    std::int64_t blocks_needed(const Sequence& s) const;
    std::int64_t blocks_needed() const;
    // Blocks that all need for `ticks` steps, from `skipped` steps from now on. Without drafts.
    std::int64_t blocks_needed(std::int64_t skipped, std::int64_t ticks) const;
    // Steps that `blocks` suffice for, at most `most`, if those of the next step are taken already.
    std::int64_t ticks_with(std::int64_t blocks, std::int64_t most) const;

    // Ticks from now at which the first sequence wakes; kNever if none decodes.
    static constexpr std::int64_t kNever = std::int64_t{1} << 60;
    std::int64_t ticks_to_wake() const { return first_wake_ == kNever ? kNever : first_wake_ - tick_; }
    // Passes ticks; none wakes before the last of them. Appends those that wake at it, which no longer have a
    // tick to wake at, in order of admission.
    void advance(std::int64_t ticks, std::vector<Slot>& awake);

    // With drafts: a sequence got tokens.
    void accept(Slot slot, std::int64_t tokens);

  private:
    std::size_t bucket(std::int64_t tick) const {
        return static_cast<std::size_t>(tick) & (ring_.size() - 1);
    }
    std::size_t phase(const Sequence& s) const;
    std::size_t phase_now(std::int64_t skipped) const;
    void insert(Slot slot);
    void take_out(Slot slot);
    void find_first(std::int64_t from);
    void grow_ring(std::int64_t ticks);

    std::int64_t block_tokens_;
    std::int64_t drafts_;
    std::vector<Sequence> sequences_;
    std::vector<Slot> unused_;
    std::vector<Slot> decoding_;
    std::int64_t size_ = 0;
    std::int64_t next_rank_ = 0;
    Slot oldest_ = kNoSlot;
    Slot newest_ = kNoSlot;
    std::int64_t tick_ = 0;
    std::int64_t context_ = 0;
    std::int64_t ends_ = 0;         // sum over those that decode of prompt and output
    std::int32_t most_output_ = 0;  // of all so far
    std::int64_t first_wake_ = kNever;
    std::int64_t tick_phase_ = 0;        // -tick modulo tokens of a block
    std::vector<std::int32_t> phases_;   // sequences by the phase at which they need a block
    std::vector<Slot> ring_;             // first sequence that wakes at a tick, by tick modulo its size
    std::vector<std::uint64_t> marked_;  // a bit for each place of the ring that is not empty
};

}  // namespace infercost
