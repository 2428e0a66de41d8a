#include "simulate/fleet/fleet.hpp"
#include "simulate/fleet/request_feed.hpp"

namespace infercost {

std::vector<std::int64_t> touching_requests(RequestSource& source, double service_s) {
    RequestFeed feed(source);
    std::vector<std::int64_t> changes;
    while (feed.next_s() < RequestFeed::kNever) {
        const FleetRequest request = feed.take();
        const double length_s = request.service_s > 0 ? request.service_s : service_s;
        const auto first = static_cast<std::size_t>(request.arrival_s);
        const auto last = static_cast<std::size_t>(request.arrival_s + length_s);
        if (changes.size() < last + 2) changes.resize(last + 2, 0);
        ++changes[first];
        --changes[last + 1];
    }
    std::int64_t sum = 0;
    for (std::int64_t& each : changes) each = sum += each;
    return changes;
}

}  // namespace infercost
