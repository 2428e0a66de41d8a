#include "simulate/fleet/fleet.hpp"

#include <algorithm>
#include <limits>

#include "core/threads.hpp"
#include "simulate/fleet/dispatcher.hpp"
#include "simulate/fleet/fleet_counters.hpp"
#include "simulate/fleet/lifecycle.hpp"
#include "simulate/fleet/places.hpp"
#include "simulate/fleet/request_feed.hpp"
#include "simulate/jobs.hpp"

namespace infercost {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr std::int64_t kEventsBetweenQuestions = 1 << 16;
constexpr double kPatience_s = 7 * 86400.0;  // for requests that no replica comes for

// The events of a fleet in the order of time. Its parts call one another in one direction: the lifecycle of
// replicas dispatches requests, which take places.
class Fleet {
  public:
    Fleet(const FleetSettings& settings, RequestSource& source, const std::atomic<bool>* stop)
        : s_(settings), feed_(source), stop_(stop), lifecycle_(settings) {}

    FleetResult run() {
        FleetResult result;
        try {
            loop();
        } catch (const Interrupted&) {
            result.interrupted = true;
        }
        if (!result.interrupted) pass(s_.horizon_s);
        counters().fill(result);
        result.end_s = places().time_s();
        result.events = events_;
        result.unfinished = result.arrived - result.finished - result.failed;
        places().finish(result.pools);
        result.decisions = lifecycle_.take_decisions();
        return result;
    }

  private:
    Dispatcher& requests() { return lifecycle_.requests(); }
    const Dispatcher& requests() const { return lifecycle_.requests(); }
    Places& places() { return requests().places(); }
    const Places& places() const { return requests().places(); }
    FleetCounters& counters() { return requests().counters(); }

    void loop() {
        double progress_s = 0;
        while (true) {
            if (++events_ % kEventsBetweenQuestions == 0) {
                if (stop_ && stop_->load(std::memory_order_relaxed)) throw Interrupted();
                check_interrupt();
            }
            const double arrival_s = feed_.next_s();
            const double timer_s = places().next_timer_s();
            const double replica_s = places().next_work_s();
            const double deadline_s = requests().deadline_s();
            double decision_s = kNever;
            for (const Pool& pool : places().pools()) decision_s = std::min(decision_s, pool.next_s);
            const double next_s = std::min({arrival_s, timer_s, replica_s, deadline_s, decision_s});
            if (arrival_s == kNever && counters().in_system() == 0 && next_s >= s_.horizon_s) return;
            if (next_s == kNever || next_s - progress_s > kPatience_s + s_.horizon_s) return;
            pass(next_s);
            if (arrival_s == next_s) {
                progress_s = next_s;
                arrive();
            } else if (timer_s == next_s) {
                lifecycle_.pass_timer();
            } else if (replica_s == next_s) {
                progress_s = next_s;
                requests().advance(places().next_work());
            } else if (deadline_s == next_s) {
                requests().time_out();
            } else {
                decide();
            }
        }
    }

    void pass(double time_s) {
        double from_s = places().time_s();
        if (time_s <= from_s) return;
        while (counters().bin_end_s() < time_s) {
            add_time(counters().bin_end_s() - from_s);
            from_s = counters().bin_end_s();
            counters().next_bin();
        }
        add_time(time_s - from_s);
        for (Pool& pool : places().pools()) {
            if (pool.autoscaler->looks_back()) pool.history.pass(time_s, levels(pool));
        }
        places().set_time(time_s);
    }

    void add_time(double passed_s) {
        std::int64_t running = 0;
        for (std::size_t i = 0; i < places().pools().size(); ++i) {
            const Pool& pool = places().pools()[i];
            PoolBin& bin = counters().bin(i);
            bin.starting_s += static_cast<double>(pool.starting) * passed_s;
            bin.ready_s += static_cast<double>(pool.ready) * passed_s;
            bin.draining_s += static_cast<double>(pool.draining) * passed_s;
            bin.busy_s += static_cast<double>(pool.busy) * passed_s;
            bin.running_s += static_cast<double>(pool.running) * passed_s;
            bin.most = std::max(bin.most, static_cast<std::int32_t>(pool.all()));
            running += pool.running;
        }
        counters().add_time(running, passed_s);
    }

    void arrive() {
        if (!requests().arrive(feed_.take())) return;
        const std::size_t last = places().pools().size() - 1;
        Pool& pool = places().pools()[last];
        if (!pool.autoscaler->reacts()) return;
        const std::uint64_t before = places().created();
        lifecycle_.scale(last, pool.autoscaler->react(view(pool)));
        if (places().created() == before || !pool.autoscaler->binds() || requests().queued() == 0) return;
        requests().bind_newest(places().newest());
    }

    // ---- autoscalers ----

    void decide() {
        for (std::size_t i = 0; i < places().pools().size(); ++i) {
            Pool& pool = places().pools()[i];
            if (pool.next_s != places().time_s()) continue;
            pool.next_s = pool.autoscaler->after(places().time_s());
            lifecycle_.scale(i, pool.autoscaler->decide(view(pool)));
        }
    }

    // Requests that no replica has taken are the last pool's.
    bool has_queue(const Pool& pool) const { return &pool == &places().pools().back(); }

    LoadLevels levels(const Pool& pool) const {
        const std::size_t waiting = has_queue(pool) ? requests().waiting() : 0;
        const auto running = static_cast<double>(pool.running);
        const double in_flight = static_cast<double>(pool.requests) + static_cast<double>(waiting);
        const double slots = pool.slots * static_cast<double>(pool.ready);
        const double used = slots > 0 ? std::min(1.0, running / slots) : in_flight > 0 ? 1.0 : 0.0;
        return {in_flight, running, in_flight - running, used};
    }

    PoolView view(const Pool& pool) const {
        const LoadLevels now = levels(pool);
        PoolView made{.time_s = places().time_s(),
                      .ready = pool.ready,
                      .starting = pool.starting,
                      .wanted = pool.wanted};
        made.in_flight = now[0];
        made.running = now[1];
        made.waiting = now[2];
        made.utilization = now[3];
        made.unplaced = has_queue(pool) ? static_cast<double>(requests().queued()) : 0.0;
        made.history = &pool.history;
        return made;
    }

    const FleetSettings& s_;
    RequestFeed feed_;
    const std::atomic<bool>* stop_;
    Lifecycle lifecycle_;
    std::int64_t events_ = 0;
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
