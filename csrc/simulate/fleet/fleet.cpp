#include "simulate/fleet/fleet.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <numbers>
#include <queue>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/threads.hpp"
#include "simulate/fleet/copies_replica.hpp"
#include "simulate/fleet/fleet_counters.hpp"
#include "simulate/fleet/pool.hpp"
#include "simulate/fleet/request_feed.hpp"
#include "simulate/jobs.hpp"
#include "simulate/random.hpp"

namespace infercost {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr std::int64_t kEventsBetweenQuestions = 1 << 16;
constexpr double kPatience_s = 7 * 86400.0;  // for requests that no replica comes for
constexpr std::size_t kNone = static_cast<std::size_t>(-1);

class Fleet {
  public:
    Fleet(const FleetSettings& settings, RequestSource& source, const std::atomic<bool>* stop)
        : s_(settings), feed_(source), stop_(stop), counters_(settings.bin_s, settings.pools.size()) {
        for (const PoolSettings& each : settings.pools) pools_.emplace_back(each);
        counters_.limits = settings.limits;
        counters_.keeps_requests = settings.keeps_requests;
        for (std::size_t i = 0; i < pools_.size(); ++i) {
            Pool& pool = pools_[i];
            pool.wanted = std::clamp(pool.settings.start_replicas, pool.settings.min_replicas,
                                     pool.settings.max_replicas);
            for (std::int64_t k = 0; k < pool.wanted; ++k) {
                const std::size_t place = occupy(i);
                be_ready(place);
            }
        }
    }

    FleetResult run() {
        FleetResult result;
        try {
            loop();
        } catch (const Interrupted&) {
            result.interrupted = true;
        }
        pass(std::max(time_s_, result.interrupted ? time_s_ : s_.horizon_s));
        for (std::size_t i = 0; i < places_.size(); ++i) {
            if (places_[i].state != PlaceState::free) note_energy(places_[i]);
        }
        counters_.fill(result);
        result.end_s = time_s_;
        result.events = events_;
        result.unfinished = result.arrived - result.finished - result.failed;
        for (Pool& pool : pools_) {
            count_time(pool);
            result.pools.push_back(std::move(pool.totals));
        }
        result.decisions = std::move(decisions_);
        return result;
    }

  private:
    // ---- events ----

    void loop() {
        double progress_s = 0;
        while (true) {
            if (++events_ % kEventsBetweenQuestions == 0) {
                if (stop_ && stop_->load(std::memory_order_relaxed)) throw Interrupted();
                check_interrupt();
            }
            const double arrival_s = feed_.next_s();
            const double timer_s = timers_.empty() ? kNever : timers_.top().time_s;
            const double replica_s = work_.best_key();
            const double deadline_s = queue_.empty() ? kNever : queue_.front().arrival_s + s_.timeout_s;
            double decision_s = kNever;
            for (const Pool& pool : pools_) decision_s = std::min(decision_s, pool.next_s);
            const double next_s = std::min({arrival_s, timer_s, replica_s, deadline_s, decision_s});
            if (arrival_s == kNever && counters_.in_system() == 0 && next_s >= s_.horizon_s) return;
            if (next_s == kNever || next_s - progress_s > kPatience_s + s_.horizon_s) return;
            pass(next_s);
            if (arrival_s == next_s) {
                progress_s = next_s;
                arrive();
            } else if (timer_s == next_s) {
                pass_timer();
            } else if (replica_s == next_s) {
                progress_s = next_s;
                advance(work_.best());
            } else if (deadline_s == next_s) {
                counters_.fail(queue_.front(), Outcome::timed_out);
                queue_.pop_front();
            } else {
                decide();
            }
        }
    }

    void pass(double time_s) {
        double from_s = time_s_;
        if (time_s <= from_s) return;
        while (counters_.bin_end_s() < time_s) {
            add_time(counters_.bin_end_s() - from_s);
            from_s = counters_.bin_end_s();
            counters_.next_bin();
        }
        add_time(time_s - from_s);
        for (Pool& pool : pools_) {
            if (pool.autoscaler->looks_back()) pool.history.pass(time_s, levels(pool));
        }
        time_s_ = time_s;
    }

    void add_time(double passed_s) {
        std::int64_t running = 0;
        for (std::size_t i = 0; i < pools_.size(); ++i) {
            const Pool& pool = pools_[i];
            PoolBin& bin = counters_.bin(i);
            bin.starting_s += static_cast<double>(pool.starting) * passed_s;
            bin.ready_s += static_cast<double>(pool.ready) * passed_s;
            bin.draining_s += static_cast<double>(pool.draining) * passed_s;
            bin.busy_s += static_cast<double>(pool.busy) * passed_s;
            bin.running_s += static_cast<double>(pool.running) * passed_s;
            bin.most = std::max(bin.most, static_cast<std::int32_t>(pool.all()));
            running += pool.running;
        }
        counters_.add_time(running, passed_s);
    }

    void pass_timer() {
        const Timer timer = timers_.top();
        timers_.pop();
        Place& place = places_[timer.place];
        if (timer.what == Timing::idle) {
            Pool& pool = pools_[place.pool];
            if (place.idle_turn != timer.turn || place.state != PlaceState::ready || place.requests > 0)
                return;
            if (pool.kept() <= pool.settings.min_replicas) return;
            want(place.pool, pool.kept() - 1);
            retire(timer.place);
            return;
        }
        if (place.turn != timer.turn || place.state == PlaceState::free) return;
        switch (timer.what) {
            case Timing::ready:
                --pools_[place.pool].starting;
                be_ready(timer.place);
                dispatch();
                return;
            case Timing::notice:
                lose(timer.place, pools_[place.pool].settings.notice_s);
                return;
            default:
                end(timer.place);
        }
    }

    void decide() {
        for (std::size_t i = 0; i < pools_.size(); ++i) {
            Pool& pool = pools_[i];
            if (pool.next_s != time_s_) continue;
            pool.next_s = pool.autoscaler->after(time_s_);
            scale(i, pool.autoscaler->decide(view(pool)));
        }
    }

    // ---- requests ----

    void arrive() {
        const FleetRequest request = feed_.take();
        counters_.arrive(request);
        const std::size_t place = queue_.empty() ? choose() : kNone;
        if (place != kNone) {
            pools_[places_[place].pool].history.arrive();
            hand_over(place, request);
            return;
        }
        Pool& pool = pools_.back();
        pool.history.arrive();
        queue_.push_back(request);
        if (!pool.autoscaler->reacts()) return;
        const std::uint64_t before = created_;
        scale(pools_.size() - 1, pool.autoscaler->react(view(pool)));
        if (created_ == before || !pool.autoscaler->binds() || queue_.empty()) return;
        places_[newest_].bound.push_back(queue_.back());
        queue_.pop_back();
    }

    // The place that takes the next request; kNone without room.
    std::size_t choose() const {
        for (const Pool& pool : pools_) {
            if (pool.room.best_key() < kNever) return pool.room.best();
        }
        return kNone;
    }

    void hand_over(std::size_t place, const FleetRequest& request) {
        places_[place].replica->take(request, time_s_, done_);
        settle(place);
    }

    void advance(std::size_t place) {
        places_[place].replica->advance(time_s_, done_);
        settle(place);
        if (!queue_.empty()) dispatch();
    }

    void dispatch() {
        while (!queue_.empty()) {
            const std::size_t place = choose();
            if (place == kNone) return;
            const FleetRequest request = queue_.front();
            queue_.pop_front();
            hand_over(place, request);
        }
    }

    // Notes what became of a replica and its requests.
    void settle(std::size_t index) {
        Place& place = places_[index];
        Pool& pool = pools_[place.pool];
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
        work_.set(index, place.replica->next_s());
        if (requests == 0) {
            if (place.state == PlaceState::draining) {
                vanish(index);
                return;
            }
            if (was_busy) become_idle(index);
        }
        set_room(index);
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

    void become_idle(std::size_t index) {
        Place& place = places_[index];
        place.idle_since_s = time_s_;
        ++place.idle_turn;
        const double timeout_s = pools_[place.pool].autoscaler->idle_timeout_s();
        if (timeout_s < kNever) add_timer(time_s_ + timeout_s, index, place.idle_turn, Timing::idle);
    }

    // ---- replicas ----

    LoadLevels levels(const Pool& pool) const {
        // Requests that no replica has taken are the last pool's.
        const std::size_t waiting = &pool == &pools_.back() ? queue_.size() + bound_ : 0;
        const auto running = static_cast<double>(pool.running);
        const double in_flight = static_cast<double>(pool.requests) + static_cast<double>(waiting);
        const double slots = pool.slots * static_cast<double>(pool.ready);
        const double used = slots > 0 ? std::min(1.0, running / slots) : in_flight > 0 ? 1.0 : 0.0;
        return {in_flight, running, in_flight - running, used};
    }

    PoolView view(const Pool& pool) const {
        const LoadLevels now = levels(pool);
        PoolView made{
            .time_s = time_s_, .ready = pool.ready, .starting = pool.starting, .wanted = pool.wanted};
        made.in_flight = now[0];
        made.running = now[1];
        made.waiting = now[2];
        made.utilization = now[3];
        made.unplaced = &pool == &pools_.back() ? static_cast<double>(queue_.size()) : 0.0;
        made.history = &pool.history;
        return made;
    }

    void want(std::size_t index, std::int64_t replicas) {
        Pool& pool = pools_[index];
        if (replicas == pool.wanted) return;
        if (decisions_.size() < kMostDecisions) {
            decisions_.push_back({time_s_, static_cast<std::int32_t>(index),
                                  static_cast<std::int32_t>(pool.wanted),
                                  static_cast<std::int32_t>(replicas)});
        }
        pool.wanted = replicas;
    }

    void scale(std::size_t index, std::int64_t replicas) {
        Pool& pool = pools_[index];
        want(index, std::clamp(replicas, pool.settings.min_replicas, pool.settings.max_replicas));
        if (pool.kept() < pool.wanted) {
            while (pool.kept() < pool.wanted) start(index);
            dispatch();
        } else if (pool.kept() > pool.wanted) {
            remove(index, pool.kept() - pool.wanted);
        }
    }

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

    void start(std::size_t index) {
        Pool& pool = pools_[index];
        const std::size_t place = occupy(index);
        ++pool.totals.starts;
        const double cold_s = cold_start_s(pool);
        if (cold_s <= 0) {
            be_ready(place);
            return;
        }
        places_[place].state = PlaceState::starting;
        ++pool.starting;
        pool.totals.most = std::max(pool.totals.most, pool.all());
        add_timer(time_s_ + cold_s, place, places_[place].turn, Timing::ready);
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

    void be_ready(std::size_t index) {
        Place& place = places_[index];
        Pool& pool = pools_[place.pool];
        place.state = PlaceState::ready;
        ++pool.ready;
        pool.totals.most = std::max(pool.totals.most, pool.all());
        for (const auto& [rate_per_h, what] : {
                 std::pair{pool.settings.interruptions_per_h, Timing::notice},
                 std::pair{pool.settings.failures_per_h,      Timing::end   }
        }) {
            if (rate_per_h <= 0) continue;
            const double life_s = -std::log(1 - draw(pool)) * 3600 / rate_per_h;
            add_timer(time_s_ + life_s, index, place.turn, what);
        }
        become_idle(index);
        const std::vector<FleetRequest> bound = std::move(place.bound);
        place.bound.clear();
        bound_ -= bound.size();
        for (const FleetRequest& each : bound) hand_over(index, each);
        set_room(index);
    }

    // Replicas that start leave first, the newest of them before others; then those that are ready.
    void remove(std::size_t index, std::int64_t count) {
        const bool idle_first = pools_[index].autoscaler->removal() == Removal::idle;
        std::vector<std::size_t> kept;
        for (std::size_t i = 0; i < places_.size(); ++i) {
            const Place& place = places_[i];
            const bool counts = place.state == PlaceState::ready || place.state == PlaceState::starting;
            if (counts && place.pool == index && place.bound.empty()) kept.push_back(i);
        }
        std::sort(kept.begin(), kept.end(), [&](std::size_t i, std::size_t j) {
            const Place& a = places_[i];
            const Place& b = places_[j];
            if (a.state != b.state) return a.state == PlaceState::starting;
            if (idle_first && a.requests != b.requests) return a.requests < b.requests;
            return a.created > b.created;
        });
        count = std::min(count, static_cast<std::int64_t>(kept.size()));
        for (std::int64_t i = 0; i < count; ++i) retire(kept[static_cast<std::size_t>(i)]);
    }

    // Lets a replica leave when it has served its requests.
    void retire(std::size_t index) {
        Place& place = places_[index];
        Pool& pool = pools_[place.pool];
        if (place.state == PlaceState::starting) {
            ++pool.totals.cancelled;
            vanish(index);
            return;
        }
        ++pool.totals.removed;
        drain(index, pool.settings.max_drain_s);
    }

    void drain(std::size_t index, double most_s) {
        Place& place = places_[index];
        Pool& pool = pools_[place.pool];
        if (place.requests == 0) {
            vanish(index);
            return;
        }
        place.state = PlaceState::draining;
        --pool.ready;
        ++pool.draining;
        set_room(index);
        if (most_s < kNever) add_timer(time_s_ + most_s, index, place.turn, Timing::end);
    }

    // A replica is taken away after a notice; another one is started for it.
    void lose(std::size_t index, double notice_s) {
        if (places_[index].state != PlaceState::ready) return;
        const std::size_t pool = places_[index].pool;
        ++pools_[pool].totals.interrupted;
        drain(index, notice_s);
        replace(pool);
    }

    // A replica is gone: its requests start again on others.
    void end(std::size_t index) {
        Place& place = places_[index];
        const std::size_t pool = place.pool;
        if (place.state == PlaceState::ready) ++pools_[pool].totals.failed;
        std::vector<FleetRequest> left;
        place.replica->evict(time_s_, left);
        counters_.restart(static_cast<std::int64_t>(left.size()));
        vanish(index);
        // The queue stays in the order of arrivals: the first in it is the first to time out.
        queue_.insert(queue_.begin(), left.begin(), left.end());
        std::inplace_merge(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(left.size()),
                           queue_.end(), [](const FleetRequest& a, const FleetRequest& b) {
                               return a.arrival_s != b.arrival_s ? a.arrival_s < b.arrival_s
                                                                 : a.number < b.number;
                           });
        replace(pool);
        dispatch();
    }

    void replace(std::size_t index) {
        Pool& pool = pools_[index];
        while (pool.kept() < pool.wanted) start(index);
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
        note_energy(place);
        place.state = PlaceState::free;
        place.replica.reset();
        ++place.turn;
        ++place.idle_turn;
        work_.set(index, kNever);
        pool.room.set(index, kNever);
        free_.push(index);
    }

    void note_energy(const Place& place) { pools_[place.pool].totals.joules += place.replica->joules(); }

    // The number of replicas was the same until now.
    void count_time(Pool& pool) {
        const auto count = static_cast<std::size_t>(pool.all());
        if (pool.totals.seconds_with.size() <= count) pool.totals.seconds_with.resize(count + 1, 0.0);
        pool.totals.seconds_with[count] += time_s_ - pool.changed_s;
        pool.changed_s = time_s_;
    }

    void add_timer(double time_s, std::size_t place, std::uint32_t turn, Timing what) {
        timers_.push({time_s, timer_order_++, static_cast<std::uint32_t>(place), turn, what});
    }

    static constexpr std::size_t kMostDecisions = 1'000'000;

    const FleetSettings& s_;
    RequestFeed feed_;
    const std::atomic<bool>* stop_;
    FleetCounters counters_;
    std::vector<Pool> pools_;
    std::vector<Place> places_;
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_;
    MinTree work_;  // of places by their next event
    std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
    std::deque<FleetRequest> queue_;  // that no replica has taken
    std::vector<FleetDone> done_;
    std::vector<FleetDecision> decisions_;
    std::uint64_t timer_order_ = 0;
    std::uint64_t created_ = 0;
    std::size_t newest_ = 0;
    std::size_t bound_ = 0;  // requests that wait for replicas of their own
    std::int64_t events_ = 0;
    double time_s_ = 0;
};

}  // namespace

FleetResult simulate_fleet(const FleetSettings& settings, RequestSource& requests) {
    check(settings);
    return Fleet(settings, requests, nullptr).run();
}

std::vector<FleetResult> simulate_fleets(const std::vector<FleetJob>& jobs, std::size_t threads) {
    for (const FleetJob& each : jobs) check(each.settings);
    return run_jobs<FleetResult>(jobs, threads, [](const FleetJob& job, const std::atomic<bool>& stop) {
        return Fleet(job.settings, *job.requests, &stop).run();
    });
}

}  // namespace infercost
