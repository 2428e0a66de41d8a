// Replicas by time of day, or always as many.
#include <algorithm>
#include <cmath>
#include <string>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/checks.hpp"

namespace infercost {
namespace {

class Schedule final : public Autoscaler {
  public:
    explicit Schedule(const ScheduleSettings& settings) : s_(settings) {}

    bool looks_back() const override { return false; }

    double after(double time_s) const override {
        const double period = period_of(time_s);
        const std::size_t next = changes_until(period, time_s);
        if (next < s_.from_s.size()) return begin_of(period) + s_.from_s[next];
        return std::isfinite(s_.period_s) ? begin_of(period + 1) + s_.from_s.front() : kNever;
    }

    std::int64_t decide(const PoolView& view) override {
        const std::size_t next = changes_until(period_of(view.time_s), view.time_s);
        // Before the first change of a period, the last one holds.
        return s_.replicas[(next == 0 ? s_.replicas.size() : next) - 1];
    }

  private:
    // Times are compared as they are computed, so that a change is not before itself by rounding.
    double period_of(double time_s) const {
        if (!std::isfinite(s_.period_s)) return 0;
        double period = std::floor(time_s / s_.period_s);
        while (begin_of(period + 1) <= time_s) ++period;
        while (period > 0 && begin_of(period) > time_s) --period;
        return period;
    }
    double begin_of(double period) const { return period == 0 ? 0.0 : period * s_.period_s; }
    std::size_t changes_until(double period, double time_s) const {
        const auto next = std::partition_point(s_.from_s.begin(), s_.from_s.end(), [&](double from_s) {
            return begin_of(period) + from_s <= time_s;
        });
        return static_cast<std::size_t>(next - s_.from_s.begin());
    }

    ScheduleSettings s_;
};

}  // namespace

std::unique_ptr<Autoscaler> make_schedule(const ScheduleSettings& settings) {
    constexpr const char* kOwner = "schedule";
    if (settings.from_s.empty() || settings.from_s.size() != settings.replicas.size()) {
        throw std::invalid_argument("schedule: there are " + std::to_string(settings.from_s.size()) +
                                    " times and " + std::to_string(settings.replicas.size()) +
                                    " numbers of replicas; expected as many of both, at least one");
    }
    if (std::isfinite(settings.period_s)) check_setting(kOwner, "period_s", settings.period_s, 1.0, 1e9);
    for (std::size_t i = 0; i < settings.from_s.size(); ++i) {
        const double least = i == 0 ? 0 : settings.from_s[i - 1];
        check_setting(kOwner, "a time", settings.from_s[i], least, std::min(settings.period_s, 1e12));
        check_setting(kOwner, "a number of replicas", settings.replicas[i], 0, kMostReplicas);
    }
    return std::make_unique<Schedule>(settings);
}

}  // namespace infercost
