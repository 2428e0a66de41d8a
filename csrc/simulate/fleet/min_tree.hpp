// The smallest of many keys that change one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace infercost {

// A tournament: each inner node knows the better of its two children. Among equal keys the first place is the
// best.
class MinTree {
  public:
    static constexpr double kNone = std::numeric_limits<double>::infinity();

    std::size_t size() const { return size_; }

    // Adds a place with the key kNone; returns its number.
    std::size_t add() {
        if (size_ == capacity_) grow();
        return size_++;
    }

    double key_of(std::size_t place) const { return keys_[place]; }

    void set(std::size_t place, double key) {
        if (keys_[place] == key) return;
        keys_[place] = key;
        for (std::size_t node = (place + capacity_) / 2; node > 0; node /= 2) {
            const std::uint32_t winner = better(child(2 * node), child(2 * node + 1));
            // A place that did not win before and does not win now changes nothing further up.
            if (winners_[node] == winner && winner != place) return;
            winners_[node] = winner;
        }
    }

    // The place with the smallest key; there is at least one place.
    std::size_t best() const { return capacity_ == 1 ? 0 : winners_[1]; }
    double best_key() const { return size_ == 0 ? kNone : keys_[best()]; }

  private:
    std::uint32_t child(std::size_t node) const {
        return node >= capacity_ ? static_cast<std::uint32_t>(node - capacity_) : winners_[node];
    }
    std::uint32_t better(std::uint32_t a, std::uint32_t b) const { return keys_[b] < keys_[a] ? b : a; }

    void grow() {
        capacity_ = capacity_ == 0 ? 1 : 2 * capacity_;
        keys_.resize(capacity_, kNone);
        winners_.assign(capacity_, 0);
        for (std::size_t node = capacity_ - 1; node > 0; --node) {
            winners_[node] = better(child(2 * node), child(2 * node + 1));
        }
    }

    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
    std::vector<double> keys_;
    std::vector<std::uint32_t> winners_;  // from 1 on: of each inner node
};

}  // namespace infercost
