#include "evaluate/collective_times.hpp"

#include <algorithm>
#include <array>

#include "core/exchange.hpp"
#include "evaluate/run.hpp"

namespace infercost {
namespace {

constexpr std::size_t kSizes = 64;        // at once; a multiple of kLanes
constexpr double kLeastSeconds = 1e-300;  // keeps 0 / 0 at 0

}  // namespace

CollectiveTimes collective_times(const Hardware& hardware, const ExchangeGroup& group, DType dtype,
                                 Execution execution, std::span<const double> message_bytes) {
    const CollectiveModel model(hardware, group, dtype, execution);
    CollectiveTimes found{model.link(), std::vector<CollectiveTime>(message_bytes.size())};
    const ExchangeCosts& costs = model.costs();
    if (costs.count == 0) return found;
    // The host of an engine issues calls while the device runs those before.
    const double host_s = costs.host_s > 0 ? kEngineLaunchS + costs.host_s : 0.0;
    alignas(64) std::array<double, kSizes> bytes, start_s, link_s, copy_s, way;
    for (std::size_t first = 0; first < message_bytes.size(); first += kSizes) {
        const std::size_t count = std::min(kSizes, message_bytes.size() - first);
        bytes.fill(0);
        std::copy_n(message_bytes.begin() + static_cast<std::ptrdiff_t>(first), count, bytes.begin());
        baseline::run_messages(costs, bytes.data(), static_cast<int>(kSizes),
                               {start_s.data(), link_s.data(), copy_s.data(), way.data()});
        for (std::size_t i = 0; i < count; ++i) {
            CollectiveTime& time = found.times[first + i];
            const double moving_s = link_s[i] + copy_s[i];
            const double device_s = start_s[i] + moving_s;
            time.latency_s = std::max(device_s, host_s);
            time.high_s = time.latency_s + time.latency_s * model.spread();
            time.low_s = time.latency_s * (time.latency_s / (time.high_s + kLeastSeconds));
            const int taken = static_cast<int>(way[i]);
            time.algorithm = model.algorithm(taken);
            time.protocol = model.protocol(taken);
            const bool moves = moving_s > start_s[i] && device_s >= host_s;
            time.bound = moves ? CollectiveBound::link : CollectiveBound::latency;
            if (time.latency_s > 0) time.bus_byte_per_s = bytes[i] * model.bus_factor() / time.latency_s;
        }
    }
    return found;
}

}  // namespace infercost
