#include "simulate/fleet/checks.hpp"
#include "simulate/fleet/fleet.hpp"
#include "simulate/fleet/request_feed.hpp"

namespace infercost {

std::vector<std::int64_t> touching_requests(RequestSource& source, const ServiceTime& service) {
    for (const double each : {service.request_s, service.prompt_s, service.output_s}) {
        check_setting("fleet", "a time of service", each, 0.0, kMostDelay_s);
    }
    RequestFeed feed(source);
    std::vector<std::int64_t> changes(1, 0);
    const bool by_tokens = service.prompt_s > 0 || service.output_s > 0;
    while (feed.next_s() < RequestFeed::kNever) {
        const FleetRequest request = feed.take();
        double length_s = request.service_s;
        if (length_s <= 0) {
            length_s = by_tokens ? service.prompt_s * request.prompt + service.output_s * request.output
                                 : service.request_s;
        }
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
