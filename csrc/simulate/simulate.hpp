// Requests, a client, a router and servers, event by event.
#pragma once

#include <cstddef>
#include <vector>

#include "simulate/requests.hpp"
#include "simulate/settings.hpp"

namespace infercost {

// Serves all requests of a source, in the order in which they come: a request is sent at its arrival, or
// later if the client has max_concurrency others under way. Results depend on the arguments alone. A call of
// check_interrupt() that ends the calculation leaves what was finished, with `interrupted` set.
//
// Throws std::invalid_argument for settings and requests that are not valid.
SimulationResult simulate(const ClusterSettings& settings, RequestSource& requests);

struct SimulationJob {
    ClusterSettings settings;
    RequestSource* requests = nullptr;
};

// Several simulations on up to `threads` threads; the results do not depend on their number.
std::vector<SimulationResult> simulate(const std::vector<SimulationJob>& jobs, std::size_t threads);

}  // namespace infercost
