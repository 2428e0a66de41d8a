// Replicas by time of day, or always as many.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/errors.hpp"
#include "simulate/fleet/autoscaler.hpp"

namespace infercost {
namespace {

// From from_s[i] on replicas[i], repeated every period_s. Without a period the last ones stay.
struct Times {
    std::vector<double> from_s;
    std::vector<std::int64_t> replicas;
    double period_s;
};

class Schedule final : public Autoscaler {
  public:
    explicit Schedule(Times times) : s_(std::move(times)) {}

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

    Times s_;
};

constexpr double kHour_s = 3600;

struct StaticSettings final : AutoscalerSettings {
    std::optional<std::int64_t> replicas;

    std::int64_t starts_with(const ReplicaLoad& load) const override {
        return within(replicas.value_or(
            static_cast<std::int64_t>(std::ceil(load.peak_in_flight / load.concurrency - 1e-9))));
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& load) const override {
        return std::make_unique<Schedule>(
            Times{{0.0}, {starts_with(load)}, std::numeric_limits<double>::infinity()});
    }
};

struct ScheduledSettings final : AutoscalerSettings {
    CountsByTime replicas{
        {0.0, 1}
    };
    double period_s = 86400;

    std::int64_t starts_with(const ReplicaLoad& /*load*/) const override {
        const auto& first = replicas.front().first == 0 ? replicas.front() : replicas.back();
        return within(first.second);
    }
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& /*load*/) const override {
        Times times{{}, {}, period_s};
        for (const auto& [hour, count] : replicas) {
            times.from_s.push_back(hour * kHour_s);
            times.replicas.push_back(within(count));
        }
        return std::make_unique<Schedule>(std::move(times));
    }
    void check() const override {
        const double last_s = replicas.back().first * kHour_s;
        if (last_s < period_s) return;
        throw InputError("replicas of scheduled has the hour " + number_text(replicas.back().first) +
                         "; expected hours within period_s, " + number_text(period_s) + " s");
    }
};

// Not simulated: replicas are there when they are needed.
struct OracleSettings final : AutoscalerSettings {
    std::unique_ptr<Autoscaler> make(const ReplicaLoad& /*load*/) const override {
        throw InputError("the oracle is a bound, and is not simulated");
    }
};

}  // namespace

AutoscalerKind static_kind() {
    return {
        .name = "static",
        .type = "Static",
        .text = "Always as many replicas.",
        .settings = common_settings({setting<&StaticSettings::replicas>(
            "replicas", kReplicas,
            "Their number; None for the peak: as many as would serve all requests at once if none waited.")}),
        .make = make_settings<StaticSettings>,
        .unnamed = "replicas",
        .measures = "none",
    };
}

AutoscalerKind scheduled_kind() {
    using S = ScheduledSettings;
    return {
        .name = "scheduled",
        .type = "Scheduled",
        .text = "Replicas by the hour.",
        .settings = common_settings({
            setting<&S::replicas>(
                "replicas", kReplicas,
                "Hour of the period from which on -> replicas: `{0: 2, 8: 10, 20: 4}`. Before the "
                "first hour, those of the last one."),
            setting<&S::period_s>("period_s", {1, 1e8, "s"},
                                  "Seconds after which the hours repeat: a day, or a week."),
        }),
        .make = make_settings<S>,
        .unnamed = "replicas",
        .measures = "none",
    };
}

AutoscalerKind oracle_kind() {
    return {
        .name = "oracle",
        .type = "Oracle",
        .text =
            "The bound: replicas that are there when they are needed, and gone when they are not.\n\n"
            "Time is cut into seconds, or tenths of the mean service if that is shorter. In each of them "
            "there are "
            "as many as would serve, if none waited, all requests that it or the next one touches, and at "
            "least "
            "one. They need no start and are not simulated: no request waits.",
        .settings = common_settings({}),
        .make = make_settings<OracleSettings>,
        .simulated = false,
    };
}

}  // namespace infercost
