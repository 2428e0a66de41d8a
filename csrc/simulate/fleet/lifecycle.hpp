// Replicas of a fleet from their start to their end: what autoscalers want, interruptions and failures.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "simulate/fleet/dispatcher.hpp"
#include "simulate/fleet/places.hpp"

namespace infercost {

class Lifecycle {
  public:
    explicit Lifecycle(const FleetSettings& settings) : requests_(settings) {
        for (std::size_t i = 0; i < places().pools().size(); ++i) {
            Pool& pool = places().pools()[i];
            pool.wanted = std::clamp(pool.settings.start_replicas, pool.settings.min_replicas,
                                     pool.settings.max_replicas);
            for (std::int64_t k = 0; k < pool.wanted; ++k) be_ready(places().occupy(i));
        }
    }

    Dispatcher& requests() { return requests_; }
    const Dispatcher& requests() const { return requests_; }
    std::vector<FleetDecision> take_decisions() { return std::move(decisions_); }

    void scale(std::size_t index, std::int64_t replicas) {
        Pool& pool = places().pools()[index];
        want(index, std::clamp(replicas, pool.settings.min_replicas, pool.settings.max_replicas));
        if (pool.kept() < pool.wanted) {
            replace(index);
            requests_.dispatch();
        } else if (pool.kept() > pool.wanted) {
            remove(index, pool.kept() - pool.wanted);
        }
    }

    void pass_timer() {
        const Timer timer = places().take_timer();
        const Place& place = places()[timer.place];
        if (timer.what == Timing::idle) {
            if (place.idle_turn == timer.turn && place.state == PlaceState::ready && place.requests == 0) {
                leave_idle(timer.place);
            }
            return;
        }
        if (place.turn != timer.turn || place.state == PlaceState::free) return;
        switch (timer.what) {
            case Timing::ready:
                --places().pool_of(timer.place).starting;
                be_ready(timer.place);
                requests_.dispatch();
                return;
            case Timing::notice:
                lose(timer.place);
                return;
            default:
                end(timer.place);
        }
    }

  private:
    Places& places() { return requests_.places(); }

    void want(std::size_t index, std::int64_t replicas) {
        Pool& pool = places().pools()[index];
        if (replicas == pool.wanted) return;
        if (decisions_.size() < kMostDecisions) {
            decisions_.push_back({places().time_s(), static_cast<std::int32_t>(index),
                                  static_cast<std::int32_t>(pool.wanted),
                                  static_cast<std::int32_t>(replicas)});
        }
        pool.wanted = replicas;
    }

    // ---- starts ----

    void start(std::size_t index) {
        Pool& pool = places().pools()[index];
        const std::size_t place = places().occupy(index);
        ++pool.totals.starts;
        const double cold_s = places().cold_start_s(pool);
        if (cold_s <= 0) {
            be_ready(place);
            return;
        }
        places()[place].state = PlaceState::starting;
        ++pool.starting;
        pool.totals.most = std::max(pool.totals.most, pool.all());
        places().add_timer(places().time_s() + cold_s, place, places()[place].turn, Timing::ready);
    }

    void be_ready(std::size_t index) {
        Place& place = places()[index];
        Pool& pool = places().pool_of(index);
        place.state = PlaceState::ready;
        ++pool.ready;
        pool.totals.most = std::max(pool.totals.most, pool.all());
        for (const auto& [rate_per_h, what] : {
                 std::pair{pool.settings.interruptions_per_h, Timing::notice},
                 std::pair{pool.settings.failures_per_h,      Timing::end   }
        }) {
            if (rate_per_h <= 0) continue;
            const double life_s = -std::log(1 - places().draw(pool)) * 3600 / rate_per_h;
            places().add_timer(places().time_s() + life_s, index, place.turn, what);
        }
        places().become_idle(index);
        requests_.hand_over_bound(index);
        places().set_room(index);
    }

    void replace(std::size_t index) {
        const Pool& pool = places().pools()[index];
        while (pool.kept() < pool.wanted) start(index);
    }

    // ---- ends ----

    // Replicas that start leave first, the newest of them before others; then those that are ready.
    void remove(std::size_t index, std::int64_t count) {
        const bool idle_first = places().pools()[index].autoscaler->removal() == Removal::idle;
        std::vector<std::size_t> kept;
        for (std::size_t i = 0; i < places().size(); ++i) {
            const Place& place = places()[i];
            const bool counts = place.state == PlaceState::ready || place.state == PlaceState::starting;
            if (counts && place.pool == index && place.bound.empty()) kept.push_back(i);
        }
        std::sort(kept.begin(), kept.end(), [&](std::size_t i, std::size_t j) {
            const Place& a = places()[i];
            const Place& b = places()[j];
            if (a.state != b.state) return a.state == PlaceState::starting;
            if (idle_first && a.requests != b.requests) return a.requests < b.requests;
            return a.created > b.created;
        });
        count = std::min(count, static_cast<std::int64_t>(kept.size()));
        for (std::int64_t i = 0; i < count; ++i) retire(kept[static_cast<std::size_t>(i)]);
    }

    // A replica that was idle for as long as its autoscaler keeps one.
    void leave_idle(std::size_t index) {
        const Pool& pool = places().pool_of(index);
        if (pool.kept() <= pool.settings.min_replicas) return;
        want(places()[index].pool, pool.kept() - 1);
        retire(index);
    }

    // Lets a replica leave when it has served its requests.
    void retire(std::size_t index) {
        Pool& pool = places().pool_of(index);
        if (places()[index].state == PlaceState::starting) {
            ++pool.totals.cancelled;
            places().vanish(index);
            return;
        }
        ++pool.totals.removed;
        drain(index, pool.settings.max_drain_s);
    }

    void drain(std::size_t index, double most_s) {
        Place& place = places()[index];
        Pool& pool = places().pool_of(index);
        if (place.requests == 0) {
            places().vanish(index);
            return;
        }
        place.state = PlaceState::draining;
        --pool.ready;
        ++pool.draining;
        places().set_room(index);
        if (most_s < Places::kNever) {
            places().add_timer(places().time_s() + most_s, index, place.turn, Timing::end);
        }
    }

    // A replica is taken away after a notice; another one is started for it.
    void lose(std::size_t index) {
        if (places()[index].state != PlaceState::ready) return;
        const std::size_t of = places()[index].pool;
        Pool& pool = places().pools()[of];
        ++pool.totals.interrupted;
        drain(index, pool.settings.notice_s);
        replace(of);
    }

    // A replica is gone: its requests start again on others.
    void end(std::size_t index) {
        const Place& place = places()[index];
        const std::size_t pool = place.pool;
        if (place.state == PlaceState::ready) ++places().pools()[pool].totals.failed;
        requests_.evict(index);
        places().vanish(index);
        replace(pool);
        requests_.dispatch();
    }

    static constexpr std::size_t kMostDecisions = 1'000'000;

    Dispatcher requests_;
    std::vector<FleetDecision> decisions_;
};

}  // namespace infercost
