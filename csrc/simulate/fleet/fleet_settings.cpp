#include <limits>
#include <string>

#include "core/errors.hpp"
#include "simulate/fleet/checks.hpp"
#include "simulate/fleet/fleet.hpp"

namespace infercost {

void check(const FleetSettings& s) {
    constexpr double kEndless = std::numeric_limits<double>::infinity();
    constexpr const char* kOwner = "fleet";
    if (s.pools.empty() || s.pools.size() > 64) {
        throw InputError("fleet: there are " + std::to_string(s.pools.size()) + " pools; expected 1 to 64");
    }
    for (const PoolSettings& pool : s.pools) {
        check(pool.replica);
        check_setting(kOwner, "copies", pool.copies, 1, 4096);
        check_setting(kOwner, "concurrency", pool.concurrency, 0, kMostReplicas);
        check_setting(kOwner, "min_replicas", pool.min_replicas, 0, kMostReplicas);
        check_setting(kOwner, "max_replicas", pool.max_replicas, pool.min_replicas, kMostReplicas);
        check_setting(kOwner, "start_replicas", pool.start_replicas, 0, kMostReplicas);
        check_setting(kOwner, "cold_start_s", pool.cold_start_s, 0.0, kMostDelay_s);
        check_setting(kOwner, "cold_start_spread", pool.cold_start_spread, 0.0, 3.0);
        check_setting(kOwner, "max_drain_s", pool.max_drain_s, 0.0, kEndless);
        check_setting(kOwner, "interruptions_per_h", pool.interruptions_per_h, 0.0, 3600.0);
        check_setting(kOwner, "notice_s", pool.notice_s, 0.0, kMostDelay_s);
        check_setting(kOwner, "failures_per_h", pool.failures_per_h, 0.0, 3600.0);
    }
    for (const double each : {s.limits.wait_s, s.limits.ttft_s, s.limits.tpot_s, s.limits.e2e_s}) {
        check_setting(kOwner, "a limit", each, 0.0, kEndless);
    }
    check_setting(kOwner, "timeout_s", s.timeout_s, 1e-3, kEndless);
    check_setting(kOwner, "bin_s", s.bin_s, 1.0, 1e9);
    check_setting(kOwner, "horizon_s", s.horizon_s, 0.0, 1e9);
}

}  // namespace infercost
