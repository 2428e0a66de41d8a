// The time of one collective for messages of many sizes: by the loops that evaluate plans.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "hardware/collectives.hpp"

namespace infercost {

struct CollectiveTime {
    double latency_s = 0;
    double low_s = 0;  // the band is meant to hold four of five measurements
    double high_s = 0;
    double bus_byte_per_s = 0;  // of each device's link, as in nccl-tests
    CollectiveAlgorithm algorithm = CollectiveAlgorithm::none;
    CollectiveProtocol protocol = CollectiveProtocol::none;
    CollectiveBound bound = CollectiveBound::latency;
};

struct CollectiveTimes {
    std::string_view link;  // device, host, network, or none for a single device
    std::vector<CollectiveTime> times;
};

// `message_bytes` are sizes of the whole message; of tokens of experts, those of one rank, each once. Throws
// InputError as CollectiveModel does.
CollectiveTimes collective_times(const Hardware& hardware, const ExchangeGroup& group, DType dtype,
                                 Execution execution, std::span<const double> message_bytes);

}  // namespace infercost
