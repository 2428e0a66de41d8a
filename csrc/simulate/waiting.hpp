// Requests that wait at a server: those that have not run, and those that come back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace infercost {

// What is known of a request that ran before, here or at a server for prompts.
struct Returning {
    std::uint32_t request = 0;
    std::int32_t generated = 0;
    std::int32_t kept = -1;  // entry of KvCache::release
    std::int32_t named = 0;  // blocks with ids before it
    bool prefilled = false;  // its cache comes with it
};

// First come, first served; or the smallest priority first, then the first that arrived. An entry is 4 bytes,
// because an overloaded server has many.
class WaitingQueue {
  public:
    static constexpr std::uint32_t kReturns = std::uint32_t{1} << 31;
    static constexpr std::size_t kMostRequests = kReturns;

    explicit WaitingQueue(bool by_priority) : by_priority_(by_priority), ring_(64) {}

    // Entries, with those of requests that have left since.
    bool empty() const { return by_priority_ ? heap_.empty() : count_ == 0; }
    std::uint32_t front() const { return by_priority_ ? heap_.front().entry : ring_[first_]; }

    void push_back(std::uint32_t entry, std::int32_t priority, std::uint32_t request) {
        if (by_priority_) return push_heap(entry, priority, request);
        if (count_ == ring_.size()) grow();
        ring_[(first_ + count_) & (ring_.size() - 1)] = entry;
        ++count_;
    }
    void push_front(std::uint32_t entry, std::int32_t priority, std::uint32_t request) {
        if (by_priority_) return push_heap(entry, priority, request);
        if (count_ == ring_.size()) grow();
        first_ = (first_ + ring_.size() - 1) & (ring_.size() - 1);
        ring_[first_] = entry;
        ++count_;
    }
    void pop() {
        if (by_priority_) {
            std::pop_heap(heap_.begin(), heap_.end());
            heap_.pop_back();
            return;
        }
        first_ = (first_ + 1) & (ring_.size() - 1);
        --count_;
    }

    std::uint32_t add(const Returning& record) {
        std::uint32_t at = 0;
        if (unused_.empty()) {
            at = static_cast<std::uint32_t>(records_.size());
            records_.push_back(record);
        } else {
            at = unused_.back();
            unused_.pop_back();
            records_[at] = record;
        }
        return at | kReturns;
    }
    Returning record(std::uint32_t entry) const {
        if (entry & kReturns) return records_[entry & ~kReturns];
        Returning fresh;
        fresh.request = entry;
        return fresh;
    }
    void remove(std::uint32_t entry) {
        if (entry & kReturns) unused_.push_back(entry & ~kReturns);
    }

  private:
    struct Ranked {
        std::int32_t priority;
        std::uint32_t request;  // requests are numbered as they arrive
        std::uint32_t entry;
        bool operator<(const Ranked& other) const {
            return priority != other.priority ? priority > other.priority : request > other.request;
        }
    };

    void push_heap(std::uint32_t entry, std::int32_t priority, std::uint32_t request) {
        heap_.push_back({priority, request, entry});
        std::push_heap(heap_.begin(), heap_.end());
    }
    void grow() {
        std::vector<std::uint32_t> larger(ring_.size() * 2);
        for (std::size_t i = 0; i < count_; ++i) larger[i] = ring_[(first_ + i) & (ring_.size() - 1)];
        ring_.swap(larger);
        first_ = 0;
    }

    bool by_priority_;
    std::vector<std::uint32_t> ring_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    std::vector<Ranked> heap_;
    std::vector<Returning> records_;
    std::vector<std::uint32_t> unused_;
};

}  // namespace infercost
