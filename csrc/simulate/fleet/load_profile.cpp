#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>

#include "simulate/fleet/checks.hpp"
#include "simulate/fleet/fleet.hpp"
#include "simulate/fleet/request_feed.hpp"

namespace infercost {
namespace {

class Profiler {
  public:
    Profiler(double places, double tick_s) : places_(places), tick_s_(tick_s) {}

    void add(std::int64_t first, std::int64_t last) {
        while (!ends_.empty() && ends_.top() <= first) leave();
        move_to(first);
        ++inside_;
        ends_.push(last + 1);
    }

    LoadProfile finish() {
        while (!ends_.empty()) leave();
        // Of the last tick with requests, the next one needs none.
        flush(0);
        profile_.end_s = static_cast<double>(tick_) * tick_s_;
        profile_.running_s.resize(profile_.most.size(), 0.0);
        profile_.replicas_s.resize(profile_.most.size(), 0.0);
        return std::move(profile_);
    }

  private:
    void leave() {
        move_to(ends_.top());
        const std::int64_t tick = tick_;
        for (; !ends_.empty() && ends_.top() == tick; ends_.pop()) --inside_;
    }

    // The requests inside were these until a tick.
    void move_to(std::int64_t tick) {
        if (tick == tick_) return;
        flush(inside_);
        from_ = tick_;
        waits_ = inside_;
        tick_ = tick;
        add_span(profile_.running_s, from_, tick_, static_cast<double>(inside_));
        auto second = static_cast<std::size_t>(static_cast<double>(from_) * tick_s_);
        const auto last = static_cast<std::size_t>(static_cast<double>(tick_ - 1) * tick_s_);
        if (profile_.most.size() <= last) profile_.most.resize(last + 1, 0);
        for (; second <= last; ++second) profile_.most[second] = std::max(profile_.most[second], inside_);
    }

    // Notes the replicas of the ticks that passed before, now that the requests of the one after them are
    // known.
    void flush(std::int64_t next) {
        if (from_ == tick_) return;
        const double needed = replicas(waits_);
        add_span(profile_.replicas_s, from_, tick_ - 1, needed);
        add_span(profile_.replicas_s, tick_ - 1, tick_, std::max(needed, replicas(next)));
        from_ = tick_;
    }

    double replicas(std::int64_t requests) {
        const std::int64_t needed =
            std::max<std::int64_t>(1, replicas_for(static_cast<double>(requests), places_));
        profile_.most_replicas = std::max(profile_.most_replicas, needed);
        return static_cast<double>(needed);
    }

    // Adds a level over the ticks from one to before another to the seconds that they lie in.
    void add_span(std::vector<double>& seconds, std::int64_t from, std::int64_t to, double level) {
        double at = static_cast<double>(from) * tick_s_;
        const double end = static_cast<double>(to) * tick_s_;
        while (at < end) {
            const auto second = static_cast<std::size_t>(at);
            const double until = std::min(end, static_cast<double>(second) + 1);
            if (seconds.size() <= second) seconds.resize(second + 1, 0.0);
            seconds[second] += level * (until - at);
            at = until;
        }
    }

    double places_;
    double tick_s_;
    LoadProfile profile_;
    std::int64_t tick_ = 0;
    std::int64_t from_ = 0;   // ticks from here to tick_ are not yet noted ...
    std::int64_t waits_ = 0;  // ... and had these requests
    std::int64_t inside_ = 0;
    std::priority_queue<std::int64_t, std::vector<std::int64_t>, std::greater<>> ends_;
};

}  // namespace

LoadProfile load_profile(RequestSource& source, const ServiceTime& service, double places, double tick_s) {
    for (const double each : {service.request_s, service.prompt_s, service.output_s}) {
        check_setting("load", "a time of service", each, 0.0, kMostDelay_s);
    }
    check_setting("load", "places", places, 1e-3, kMostTarget);
    check_setting("load", "tick_s", tick_s, 1e-6, 1.0);
    RequestFeed feed(source);
    Profiler profiler(places, tick_s);
    const bool by_tokens = service.prompt_s > 0 || service.output_s > 0;
    while (feed.next_s() < RequestFeed::kNever) {
        const FleetRequest request = feed.take();
        double length_s = request.service_s;
        if (length_s <= 0) {
            length_s = by_tokens ? service.prompt_s * request.prompt + service.output_s * request.output
                                 : service.request_s;
        }
        profiler.add(static_cast<std::int64_t>(request.arrival_s / tick_s),
                     static_cast<std::int64_t>((request.arrival_s + length_s) / tick_s));
    }
    return profiler.finish();
}

}  // namespace infercost
