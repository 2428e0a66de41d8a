// Distributions of the times of requests.
#pragma once

#include <limits>
#include <span>
#include <vector>

namespace infercost {

// NaN without values.
struct Distribution {
    double mean = std::numeric_limits<double>::quiet_NaN();
    double p50 = mean;
    double p90 = mean;
    double p99 = mean;
    double max = mean;
};

// Ascending order, in time linear in the number of values.
void sort_numbers(std::vector<double>& values);

// The mean adds pairwise, so that its error does not grow with the number of values; percentiles lie on lines
// between ranks.
Distribution distribution_of(std::span<const double> ascending);

double pairwise_sum(std::span<const double> values);

}  // namespace infercost
