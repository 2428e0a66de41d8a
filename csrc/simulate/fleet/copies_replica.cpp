#include "simulate/fleet/copies_replica.hpp"

#include <algorithm>

#include "simulate/random.hpp"

namespace infercost {
namespace {

// Copies of a model in one replica; each request goes to the one with the fewest.
class CopiesReplica final : public Replica {
  public:
    explicit CopiesReplica(std::vector<std::unique_ptr<Replica>> copies) : copies_(std::move(copies)) {}

    double next_s() const override {
        double next = kNever;
        for (const auto& each : copies_) next = std::min(next, each->next_s());
        return next;
    }

    void advance(double time_s, std::vector<FleetDone>& done) override {
        for (const auto& each : copies_) {
            if (each->next_s() > time_s) continue;
            each->advance(time_s, done);
            return;
        }
    }

    void take(const FleetRequest& request, double time_s, std::vector<FleetDone>& done) override {
        const auto least = std::min_element(copies_.begin(), copies_.end(), [](const auto& a, const auto& b) {
            return a->requests() < b->requests();
        });
        (*least)->take(request, time_s, done);
    }

    void evict(double time_s, std::vector<FleetRequest>& left) override {
        for (const auto& each : copies_) each->evict(time_s, left);
    }

    std::int64_t requests() const override {
        std::int64_t sum = 0;
        for (const auto& each : copies_) sum += each->requests();
        return sum;
    }
    std::int64_t running() const override {
        std::int64_t sum = 0;
        for (const auto& each : copies_) sum += each->running();
        return sum;
    }
    double joules() const override {
        double sum = 0;
        for (const auto& each : copies_) sum += each->joules();
        return sum;
    }

  private:
    std::vector<std::unique_ptr<Replica>> copies_;
};

}  // namespace

std::unique_ptr<Replica> make_copies(const ReplicaSettings& settings, std::int64_t copies,
                                     std::uint64_t seed) {
    if (copies == 1) return make_replica(settings, seed);
    std::vector<std::unique_ptr<Replica>> made;
    for (std::int64_t i = 0; i < copies; ++i) {
        made.push_back(make_replica(settings, mixed(seed, static_cast<std::uint64_t>(i))));
    }
    return std::make_unique<CopiesReplica>(std::move(made));
}

}  // namespace infercost
