#include "simulate/batch.hpp"

#include <algorithm>
#include <bit>

namespace infercost {
namespace {

constexpr std::size_t kFirstRing = 1024;

}  // namespace

Batch::Batch(std::int64_t block_tokens, std::int64_t drafts)
    : block_tokens_(block_tokens),
      drafts_(drafts),
      phases_(static_cast<std::size_t>(block_tokens), 0),
      ring_(kFirstRing, kNoSlot),
      marked_(kFirstRing / 64, 0) {}

Slot Batch::add() {
    Slot slot = 0;
    if (unused_.empty()) {
        slot = static_cast<Slot>(sequences_.size());
        sequences_.emplace_back();
    } else {
        slot = unused_.back();
        unused_.pop_back();
    }
    Sequence& s = at(slot);
    s.rank = next_rank_++;
    s.decodes = false;
    s.room = 0;
    s.late_s = 0;
    s.before = newest_;
    s.after = kNoSlot;
    (newest_ == kNoSlot ? oldest_ : at(newest_).after) = slot;
    newest_ = slot;
    ++size_;
    return slot;
}

void Batch::remove(Slot slot) {
    if (at(slot).decodes) stop_decoding(slot);
    const Sequence& s = at(slot);
    (s.before == kNoSlot ? oldest_ : at(s.before).after) = s.after;
    (s.after == kNoSlot ? newest_ : at(s.after).before) = s.before;
    unused_.push_back(slot);
    --size_;
}

// A sequence needs a block in a step if its cache fills whole ones: at ticks that equal this.
std::size_t Batch::phase(const Sequence& s) const {
    const std::int64_t offset = (s.prompt - 1 - s.start) % block_tokens_;
    return static_cast<std::size_t>(offset < 0 ? offset + block_tokens_ : offset);
}

std::size_t Batch::phase_now(std::int64_t skipped) const {
    std::int64_t now = tick_phase_ - skipped % block_tokens_;
    if (now < 0) now += block_tokens_;
    return static_cast<std::size_t>(now);
}

void Batch::start_decoding(Slot slot, std::int64_t wakes_with) {
    Sequence& s = at(slot);
    s.decodes = true;
    s.place = static_cast<std::int32_t>(decoding_.size());
    decoding_.push_back(slot);
    context_ += s.prompt + s.generated;
    ends_ += std::int64_t{s.prompt} + s.output;
    most_output_ = std::max(most_output_, s.output);
    if (drafts_ > 0) return;
    s.start = tick_ - s.generated;
    ++phases_[phase(s)];
    s.wakes = s.start + wakes_with;
    insert(slot);
}

void Batch::stop_decoding(Slot slot) {
    Sequence& s = at(slot);
    if (drafts_ == 0) {
        if (s.wakes > tick_) take_out(slot);
        s.generated = static_cast<std::int32_t>(tick_ - s.start);
        --phases_[phase(s)];
    }
    context_ -= s.prompt + s.generated;
    ends_ -= std::int64_t{s.prompt} + s.output;
    s.decodes = false;
    s.computed = s.prompt + s.generated - 1;
    const Slot last = decoding_.back();
    decoding_[static_cast<std::size_t>(s.place)] = last;
    at(last).place = s.place;
    decoding_.pop_back();
}

void Batch::wake_with(Slot slot, std::int64_t tokens) {
    Sequence& s = at(slot);
    if (s.wakes > tick_) take_out(slot);
    s.wakes = s.start + tokens;
    insert(slot);
}

void Batch::insert(Slot slot) {
    Sequence& s = at(slot);
    if (s.wakes - tick_ >= static_cast<std::int64_t>(ring_.size())) grow_ring(s.wakes - tick_);
    const std::size_t place = bucket(s.wakes);
    s.wakes_before = kNoSlot;
    s.wakes_after = ring_[place];
    if (s.wakes_after != kNoSlot) at(s.wakes_after).wakes_before = slot;
    ring_[place] = slot;
    marked_[place / 64] |= std::uint64_t{1} << (place % 64);
    first_wake_ = std::min(first_wake_, s.wakes);
}

void Batch::take_out(Slot slot) {
    const Sequence& s = at(slot);
    if (s.wakes_after != kNoSlot) at(s.wakes_after).wakes_before = s.wakes_before;
    if (s.wakes_before != kNoSlot) {
        at(s.wakes_before).wakes_after = s.wakes_after;
        return;
    }
    const std::size_t place = bucket(s.wakes);
    ring_[place] = s.wakes_after;
    if (s.wakes_after != kNoSlot) return;
    marked_[place / 64] &= ~(std::uint64_t{1} << (place % 64));
    if (s.wakes == first_wake_) find_first(tick_ + 1);
}

void Batch::find_first(std::int64_t from) {
    const std::size_t start = bucket(from);
    const std::size_t words = marked_.size();
    // The word of the start is looked at twice: its high bits first, its low ones last.
    for (std::size_t i = 0; i <= words; ++i) {
        const std::size_t word = (start / 64 + i) & (words - 1);
        std::uint64_t bits = marked_[word];
        const std::uint64_t high = ~std::uint64_t{0} << (start % 64);
        if (i == 0) bits &= high;
        if (i == words) bits &= ~high;
        if (bits == 0) continue;
        const std::size_t place = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        first_wake_ = from + static_cast<std::int64_t>((place - start) & (ring_.size() - 1));
        return;
    }
    first_wake_ = kNever;
}

void Batch::grow_ring(std::int64_t ticks) {
    std::size_t size = ring_.size();
    while (static_cast<std::int64_t>(size) <= ticks) size *= 2;
    std::vector<Slot> queued;
    for (const Slot first : ring_) {
        for (Slot slot = first; slot != kNoSlot; slot = at(slot).wakes_after) queued.push_back(slot);
    }
    ring_.assign(size, kNoSlot);
    marked_.assign(size / 64, 0);
    for (const Slot slot : queued) insert(slot);
}

std::int64_t Batch::blocks_needed(const Sequence& s) const {
    if (drafts_ == 0) return cached(s) % block_tokens_ == 0;
    const std::int64_t tokens = cached(s) + 1 + drafts_;
    return std::max<std::int64_t>(0, (tokens + block_tokens_ - 1) / block_tokens_ - s.room);
}

std::int64_t Batch::blocks_needed() const {
    if (drafts_ == 0) return phases_[phase_now(0)];
    std::int64_t total = 0;
    for (const Slot slot : decoding_) total += blocks_needed(at(slot));
    return total;
}

std::int64_t Batch::blocks_needed(std::int64_t skipped, std::int64_t ticks) const {
    std::int64_t total = ticks / block_tokens_ * decoding();
    std::int64_t rest = ticks % block_tokens_;
    if (rest == 0) return total;
    for (std::size_t now = phase_now(skipped); rest > 0; --rest) {
        total += phases_[now];
        now = now == 0 ? phases_.size() - 1 : now - 1;
    }
    return total;
}

std::int64_t Batch::ticks_with(std::int64_t blocks, std::int64_t most) const {
    if (decoding() == 0) return most;
    const std::int64_t rounds = blocks / decoding();
    if ((most + block_tokens_ - 1) / block_tokens_ <= rounds) return most;
    std::int64_t left = blocks - rounds * decoding();
    std::int64_t ticks = 1 + rounds * block_tokens_;
    // In a whole round every sequence needs one block, so that fewer are left than a round needs.
    for (std::size_t now = phase_now(1); ticks < most; ++ticks) {
        left -= phases_[now];
        if (left < 0) break;
        now = now == 0 ? phases_.size() - 1 : now - 1;
    }
    return std::min(ticks, most);
}

std::int64_t Batch::remaining(std::int64_t most) const {
    if (most_output_ <= most) return ends_ - context_;
    std::int64_t total = 0;
    for (const Slot slot : decoding_) total += std::min(at(slot).output - generated(at(slot)), most);
    return total;
}

void Batch::advance(std::int64_t ticks, std::vector<Slot>& awake) {
    tick_ += ticks;
    tick_phase_ -= ticks % block_tokens_;
    if (tick_phase_ < 0) tick_phase_ += block_tokens_;
    context_ += ticks * decoding();
    if (first_wake_ != tick_) return;
    const std::size_t place = bucket(tick_);
    const std::size_t first = awake.size();
    for (Slot slot = ring_[place]; slot != kNoSlot; slot = at(slot).wakes_after) awake.push_back(slot);
    ring_[place] = kNoSlot;
    marked_[place / 64] &= ~(std::uint64_t{1} << (place % 64));
    find_first(tick_ + 1);
    if (awake.size() - first > 1) {
        std::sort(awake.begin() + static_cast<std::ptrdiff_t>(first), awake.end(),
                  [this](Slot a, Slot b) { return at(a).rank < at(b).rank; });
    }
}

void Batch::accept(Slot slot, std::int64_t tokens) {
    at(slot).generated += static_cast<std::int32_t>(tokens);
    context_ += tokens;
}

}  // namespace infercost
