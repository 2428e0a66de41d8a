#include <algorithm>
#include <cmath>
#include <deque>

#include "simulate/fleet/replica.hpp"

namespace infercost {
namespace {

class SlotReplica final : public Replica {
  public:
    explicit SlotReplica(const SlotSettings& settings) : s_(settings) {}

    double next_s() const override { return running_.empty() ? kNever : running_.front().finish_s; }

    void advance(double time_s, std::vector<FleetDone>& done) override {
        std::pop_heap(running_.begin(), running_.end(), later);
        const Running& first = running_.back();
        done.push_back({first.request, first.started_s, std::nan(""), first.finish_s, Outcome::finished});
        running_.pop_back();
        if (waiting_.empty()) return;
        begin(waiting_.front(), time_s);
        waiting_.pop_front();
    }

    void take(const FleetRequest& request, double time_s, std::vector<FleetDone>&) override {
        if (static_cast<std::int64_t>(running_.size()) < s_.slots) {
            begin(request, time_s);
        } else {
            waiting_.push_back(request);
        }
    }

    void evict(double time_s, std::vector<FleetRequest>& left) override {
        std::sort(running_.begin(), running_.end(), [](const Running& a, const Running& b) {
            return a.request.arrival_s != b.request.arrival_s ? a.request.arrival_s < b.request.arrival_s
                                                              : a.request.number < b.request.number;
        });
        for (const Running& each : running_) {
            joules_ -= (each.finish_s - time_s) * s_.joules;
            left.push_back(each.request);
        }
        left.insert(left.end(), waiting_.begin(), waiting_.end());
    }

    std::int64_t requests() const override {
        return static_cast<std::int64_t>(running_.size() + waiting_.size());
    }
    std::int64_t running() const override { return static_cast<std::int64_t>(running_.size()); }
    double joules() const override { return joules_; }

  private:
    struct Running {
        double finish_s;
        double started_s;
        FleetRequest request;
    };
    static bool later(const Running& a, const Running& b) { return a.finish_s > b.finish_s; }

    void begin(const FleetRequest& request, double time_s) {
        const double service_s = request.service_s > 0 ? request.service_s : s_.service_s;
        running_.push_back({time_s + service_s, time_s, request});
        std::push_heap(running_.begin(), running_.end(), later);
        joules_ += service_s * s_.joules;
    }

    SlotSettings s_;
    std::vector<Running> running_;  // a heap
    std::deque<FleetRequest> waiting_;
    double joules_ = 0;
};

}  // namespace

std::unique_ptr<Replica> make_slot_replica(const SlotSettings& settings) {
    return std::make_unique<SlotReplica>(settings);
}

}  // namespace infercost
