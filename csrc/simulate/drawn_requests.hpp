// Requests at a rate of one per second, drawn from a seed: the same on every machine and in a browser.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace infercost {

// Columns of requests; times are divided by a rate.
struct UnitRequests {
    std::vector<double> arrival_s;
    std::vector<std::int32_t> prompt;
    std::vector<std::int32_t> output;
    std::vector<std::int64_t> prefix_from;
    std::vector<std::int64_t> prefix_ids;
    std::int64_t prefix_tokens = 0;
};

// Lengths in tokens. With a variation c, the standard deviation over the mean, their logarithm is normal with
// sigma^2 = log(1 + c^2) and mu = log(mean) - sigma^2 / 2, and they are rounded to whole tokens from 1 on.
struct DrawnLengths {
    double mean = 1;
    double variation = 0;  // all equal
};

enum class DrawnArrivals : std::uint8_t {
    poisson,   // intervals have an exponential distribution
    constant,  // equal intervals
    at_once    // all at time 0
};
DrawnArrivals parse_drawn_arrivals(std::string_view name);

struct RequestDraw {
    std::int64_t requests = 1000;
    DrawnArrivals arrivals = DrawnArrivals::poisson;
    DrawnLengths prompt;
    DrawnLengths output;
    std::int64_t longest = 0;  // most tokens of a prompt, and of an answer; 0: no limit
    std::uint64_t seed = 0;
};

// Throws std::invalid_argument for numbers out of range.
UnitRequests drawn_requests(const RequestDraw& draw);

}  // namespace infercost
