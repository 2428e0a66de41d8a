#include <algorithm>
#include <cmath>
#include <deque>

#include "simulate/fleet/replica.hpp"

namespace infercost {
namespace {

class BatchReplica final : public Replica {
  public:
    explicit BatchReplica(const BatchSettings& settings) : s_(settings) {}

    double next_s() const override { return std::min(end_s(), begin_s()); }

    void advance(double time_s, std::vector<FleetDone>& done) override {
        if (end_s() <= time_s) {
            const auto first = soonest();
            for (const FleetRequest& each : first->requests) {
                done.push_back({each, first->started_s, std::nan(""), first->end_s, Outcome::finished});
            }
            in_batches_ -= static_cast<std::int64_t>(first->requests.size());
            batches_.erase(first);
            free_s_ = time_s;
            return;
        }
        const std::size_t size = std::min(waiting_.size(), s_.latency_s.size());
        Batch batch{time_s + s_.latency_s[size - 1], time_s, {}};
        for (std::size_t i = 0; i < size; ++i) {
            batch.requests.push_back(waiting_.front().request);
            waiting_.pop_front();
        }
        in_batches_ += static_cast<std::int64_t>(size);
        joules_ += s_.joules[size - 1];
        batches_.push_back(std::move(batch));
    }

    void take(const FleetRequest& request, double time_s, std::vector<FleetDone>&) override {
        waiting_.push_back({request, time_s});
    }

    void evict(double, std::vector<FleetRequest>& left) override {
        for (const Batch& each : batches_)
            left.insert(left.end(), each.requests.begin(), each.requests.end());
        for (const Waiting& each : waiting_) left.push_back(each.request);
    }

    std::int64_t requests() const override {
        return in_batches_ + static_cast<std::int64_t>(waiting_.size());
    }
    std::int64_t running() const override { return in_batches_; }
    double joules() const override { return joules_; }

  private:
    struct Waiting {
        FleetRequest request;
        double taken_s;
    };
    struct Batch {
        double end_s;
        double started_s;
        std::vector<FleetRequest> requests;
    };

    std::vector<Batch>::iterator soonest() {
        return std::min_element(batches_.begin(), batches_.end(),
                                [](const Batch& a, const Batch& b) { return a.end_s < b.end_s; });
    }
    double end_s() const {
        double end = kNever;
        for (const Batch& each : batches_) end = std::min(end, each.end_s);
        return end;
    }
    // When the next batch begins: it is full, or its first request has waited for long enough.
    double begin_s() const {
        if (waiting_.empty() || static_cast<std::int64_t>(batches_.size()) >= s_.instances) return kNever;
        const bool full = waiting_.size() >= s_.latency_s.size();
        const double ready_s =
            full ? waiting_[s_.latency_s.size() - 1].taken_s : waiting_.front().taken_s + s_.delay_s;
        return std::max(ready_s, free_s_);
    }

    BatchSettings s_;
    std::deque<Waiting> waiting_;
    std::vector<Batch> batches_;
    std::int64_t in_batches_ = 0;
    double free_s_ = 0;  // when the last batch ended
    double joules_ = 0;
};

}  // namespace

std::unique_ptr<Replica> make_batch_replica(const BatchSettings& settings) {
    return std::make_unique<BatchReplica>(settings);
}

}  // namespace infercost
