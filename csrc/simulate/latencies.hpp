// Distributions of latencies.
#pragma once

#include <vector>

namespace infercost {

// Mean and percentiles; NaN without values.
struct Distribution {
    double mean;
    double p50;
    double p90;
    double p99;
};

// Values that are not finite do not count. The mean adds pairwise, and percentiles lie on lines between
// ranks: both to the last bit as numpy's mean() and percentile().
Distribution distribution(std::vector<double> values);

}  // namespace infercost
