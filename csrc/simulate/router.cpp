#include "simulate/router.hpp"

#include <algorithm>

namespace infercost {

std::size_t Router::choose(const std::vector<Server>& servers, std::uint32_t request, std::int64_t prompt) {
    if (last_ - first_ == 1) return first_;
    if (settings_.routing == RoutingRule::round_robin) {
        const std::size_t chosen = next_;
        next_ = next_ + 1 == last_ ? first_ : next_ + 1;
        return chosen;
    }
    std::size_t least = first_;
    std::int64_t most_load = 0;
    for (std::size_t i = first_; i < last_; ++i) {
        if (servers[i].requests() < servers[least].requests()) least = i;
        most_load = std::max(most_load, servers[i].requests());
    }
    if (settings_.routing == RoutingRule::least_loaded) return least;
    const std::int64_t least_load = servers[least].requests();
    const bool uneven =
        most_load - least_load > settings_.most_difference &&
        static_cast<double>(most_load) > settings_.most_ratio * static_cast<double>(least_load);
    if (uneven) return least;
    // The longest match; among equals, the least loaded.
    std::size_t best = least;
    std::int64_t best_match = servers[least].match(request);
    for (std::size_t i = first_; i < last_; ++i) {
        const std::int64_t match = servers[i].match(request);
        const bool better =
            match > best_match || (match == best_match && servers[i].requests() < servers[best].requests());
        if (!better) continue;
        best = i;
        best_match = match;
    }
    return static_cast<double>(best_match) >= settings_.match_share * static_cast<double>(prompt) ? best
                                                                                                  : least;
}

}  // namespace infercost
