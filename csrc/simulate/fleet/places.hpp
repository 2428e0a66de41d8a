// The places of a fleet: replicas of its pools with their next events, timers, and room for requests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numbers>
#include <queue>
#include <vector>

#include "simulate/fleet/copies_replica.hpp"
#include "simulate/fleet/pool.hpp"
#include "simulate/random.hpp"

namespace infercost {

class Places {
  public:
    static constexpr double kNever = std::numeric_limits<double>::infinity();
    static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

    explicit Places(const FleetSettings& settings) : s_(settings) {
        for (const PoolSettings& each : settings.pools) pools_.emplace_back(each);
    }

    std::vector<Pool>& pools() { return pools_; }
    const std::vector<Pool>& pools() const { return pools_; }
    Pool& pool_of(std::size_t place) { return pools_[places_[place].pool]; }
    Place& operator[](std::size_t place) { return places_[place]; }
    const Place& operator[](std::size_t place) const { return places_[place]; }
    std::size_t size() const { return places_.size(); }
    // Replicas that were created so far, and the place of the newest one.
    std::uint64_t created() const { return created_; }
    std::size_t newest() const { return newest_; }

    double time_s() const { return time_s_; }
    void set_time(double time_s) { time_s_ = time_s; }

    // ---- events ----

    double next_work_s() const { return work_.best_key(); }
    std::size_t next_work() const { return work_.best(); }
    void set_work(std::size_t place, double next_s) { work_.set(place, next_s); }
    double next_timer_s() const { return timers_.empty() ? kNever : timers_.top().time_s; }
    Timer take_timer() {
        const Timer timer = timers_.top();
        timers_.pop();
        return timer;
    }
    void add_timer(double time_s, std::size_t place, std::uint32_t turn, Timing what) {
        timers_.push({time_s, timer_order_++, static_cast<std::uint32_t>(place), turn, what});
    }

    // ---- room ----

    // The place that takes the next request; kNone without room.
    std::size_t choose() const {
        for (const Pool& pool : pools_) {
            if (pool.room.best_key() < kNever) return pool.room.best();
        }
        return kNone;
    }
    void set_room(std::size_t index) {
        const Place& place = places_[index];
        Pool& pool = pools_[place.pool];
        const std::int64_t most = pool.settings.concurrency;
        double key = kNever;
        if (place.state == PlaceState::ready && (most == 0 || place.requests < most)) {
            key = s_.routing == FleetRouting::first ? static_cast<double>(index)
                                                    : static_cast<double>(place.requests);
        }
        pool.room.set(index, key);
    }

    // ---- replicas ----

    std::size_t occupy(std::size_t index) {
        std::size_t found = places_.size();
        if (free_.empty()) {
            places_.emplace_back();
            work_.add();
            for (Pool& pool : pools_) pool.room.add();
        } else {
            found = free_.top();
            free_.pop();
        }
        Pool& pool = pools_[index];
        Place& place = places_[found];
        count_time(pool);
        place.pool = index;
        place.created = created_++;
        place.replica =
            make_copies(pool.settings.replica, pool.settings.copies, mixed(s_.seed, place.created));
        place.requests = place.running = 0;
        newest_ = found;
        return found;
    }

    void become_idle(std::size_t index) {
        Place& place = places_[index];
        place.idle_since_s = time_s_;
        ++place.idle_turn;
        const double timeout_s = pools_[place.pool].autoscaler->idle_timeout_s();
        if (timeout_s < kNever) add_timer(time_s_ + timeout_s, index, place.idle_turn, Timing::idle);
    }

    void vanish(std::size_t index) {
        Place& place = places_[index];
        Pool& pool = pools_[place.pool];
        count_time(pool);
        pool.starting -= place.state == PlaceState::starting;
        pool.ready -= place.state == PlaceState::ready;
        pool.draining -= place.state == PlaceState::draining;
        pool.busy -= place.requests > 0;
        pool.requests -= place.requests;
        pool.running -= place.running;
        pool.totals.joules += place.replica->joules();
        place.state = PlaceState::free;
        place.replica.reset();
        ++place.turn;
        ++place.idle_turn;
        work_.set(index, kNever);
        pool.room.set(index, kNever);
        free_.push(index);
    }

    double cold_start_s(Pool& pool) {
        const double spread = pool.settings.cold_start_spread;
        if (spread <= 0) return pool.settings.cold_start_s;
        // Box and Muller.
        const double radius = std::sqrt(-2 * std::log(1 - draw(pool)));
        const double normal = radius * std::cos(2 * std::numbers::pi * draw(pool));
        return pool.settings.cold_start_s * std::exp(spread * normal);
    }
    double draw(Pool& pool) {
        const auto which = static_cast<std::uint64_t>(&pool - pools_.data());
        return uniform(s_.seed, which, pool.random++);
    }

    // Takes the totals of all pools when the simulation ends.
    void finish(std::vector<PoolTotals>& totals) {
        for (Place& place : places_) {
            if (place.state != PlaceState::free) pools_[place.pool].totals.joules += place.replica->joules();
        }
        for (Pool& pool : pools_) {
            count_time(pool);
            totals.push_back(std::move(pool.totals));
        }
    }

  private:
    // The number of replicas was the same until now.
    void count_time(Pool& pool) {
        const auto count = static_cast<std::size_t>(pool.all());
        if (pool.totals.seconds_with.size() <= count) pool.totals.seconds_with.resize(count + 1, 0.0);
        pool.totals.seconds_with[count] += time_s_ - pool.changed_s;
        pool.changed_s = time_s_;
    }

    const FleetSettings& s_;
    std::vector<Pool> pools_;
    std::vector<Place> places_;
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_;
    MinTree work_;  // of places by their next event
    std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
    std::uint64_t timer_order_ = 0;
    std::uint64_t created_ = 0;
    std::size_t newest_ = 0;
    double time_s_ = 0;
};

}  // namespace infercost
