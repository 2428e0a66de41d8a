// Requests on their way to the replicas of a fleet: the queue of those without a place, and what became of
// others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "simulate/fleet/fleet_counters.hpp"
#include "simulate/fleet/places.hpp"

namespace infercost {

class Dispatcher {
  public:
    explicit Dispatcher(const FleetSettings& settings)
        : places_(settings), counters_(settings), timeout_s_(settings.timeout_s) {}

    Places& places() { return places_; }
    const Places& places() const { return places_; }
    FleetCounters& counters() { return counters_; }

    // Requests that no replica has taken.
    std::size_t queued() const { return queue_.size(); }
    // The same, with those that wait for replicas of their own.
    std::size_t waiting() const { return queue_.size() + bound_; }

    // When the first request of the queue times out.
    double deadline_s() const {
        return queue_.empty() ? Places::kNever : queue_.front().arrival_s + timeout_s_;
    }
    void time_out() {
        counters_.fail(queue_.front(), Outcome::timed_out);
        queue_.pop_front();
    }

    // Hands a request to the replica that is next. Returns whether it has to wait in the queue instead.
    bool arrive(const FleetRequest& request) {
        counters_.arrive(request);
        const std::size_t place = queue_.empty() ? places_.choose() : Places::kNone;
        Pool& pool = place == Places::kNone ? places_.pools().back() : places_.pool_of(place);
        pool.history.arrive();
        if (place == Places::kNone) {
            queue_.push_back(request);
            return true;
        }
        hand_over(place, request);
        return false;
    }

    // Lets the newest request of the queue wait for one replica.
    void bind_newest(std::size_t place) {
        places_[place].bound.push_back(queue_.back());
        queue_.pop_back();
        ++bound_;
    }

    // Hands a replica the requests that waited for it.
    void hand_over_bound(std::size_t place) {
        const std::vector<FleetRequest> bound = std::move(places_[place].bound);
        places_[place].bound.clear();
        bound_ -= bound.size();
        for (const FleetRequest& each : bound) hand_over(place, each);
    }

    // Hands over requests of the queue while there is room.
    void dispatch() {
        while (!queue_.empty()) {
            const std::size_t place = places_.choose();
            if (place == Places::kNone) return;
            const FleetRequest request = queue_.front();
            queue_.pop_front();
            hand_over(place, request);
        }
    }

    // Passes the next event of a replica.
    void advance(std::size_t place) {
        places_[place].replica->advance(places_.time_s(), done_);
        settle(place);
        if (!queue_.empty()) dispatch();
    }

    // Takes back the requests of a replica that is gone; they start again on others.
    void evict(std::size_t place) {
        std::vector<FleetRequest> left;
        places_[place].replica->evict(places_.time_s(), left);
        counters_.restart(static_cast<std::int64_t>(left.size()));
        // The queue stays in the order of arrivals: the first in it is the first to time out.
        const auto earlier = [](const FleetRequest& a, const FleetRequest& b) {
            return a.arrival_s != b.arrival_s ? a.arrival_s < b.arrival_s : a.number < b.number;
        };
        std::sort(left.begin(), left.end(), earlier);
        queue_.insert(queue_.begin(), left.begin(), left.end());
        std::inplace_merge(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(left.size()),
                           queue_.end(), earlier);
    }

  private:
    void hand_over(std::size_t place, const FleetRequest& request) {
        places_[place].replica->take(request, places_.time_s(), done_);
        settle(place);
    }

    // Notes what became of a replica and its requests.
    void settle(std::size_t index) {
        Place& place = places_[index];
        Pool& pool = places_.pool_of(index);
        for (const FleetDone& each : done_) {
            counters_.finish(each, place.pool);
            pool.totals.requests += each.outcome == Outcome::finished || each.outcome == Outcome::truncated;
        }
        done_.clear();
        const std::int64_t requests = place.replica->requests();
        const std::int64_t running = place.replica->running();
        pool.requests += requests - place.requests;
        pool.running += running - place.running;
        const bool was_busy = place.requests > 0;
        pool.busy += (requests > 0) - was_busy;
        place.requests = requests;
        place.running = running;
        places_.set_work(index, place.replica->next_s());
        if (requests == 0) {
            if (place.state == PlaceState::draining) {
                places_.vanish(index);
                return;
            }
            if (was_busy) places_.become_idle(index);
        }
        places_.set_room(index);
    }

    Places places_;
    FleetCounters counters_;
    double timeout_s_;
    std::deque<FleetRequest> queue_;
    std::vector<FleetDone> done_;
    std::size_t bound_ = 0;  // requests that wait for replicas of their own
};

}  // namespace infercost
