// Servers of models without tokens: plain queues, and queues that form batches.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace infercost {

struct QueueResult {
    std::vector<double> start_s;
    std::vector<double> finish_s;
    std::vector<std::int32_t> batch;  // requests served together; empty for plain queues
    double busy_s = 0;                // of all servers
    double joules = 0;
};

// First come, first served by `servers` equal servers. Throws std::invalid_argument for times that fall or
// are not finite, and for service times that are negative.
QueueResult serve_queue(std::span<const double> arrival_s, std::span<const double> service_s,
                        std::int64_t servers);

// Dynamic batching as Triton's: an instance that is free takes the largest preferred number of the requests
// that wait. If none can be formed, or none is preferred, requests wait for a batch of the largest size, but
// the oldest no longer than `max_delay_s` after its arrival; then all that wait form a batch.
struct BatchingSettings {
    std::vector<double> batch_s;  // seconds of 1, 2, ... requests together, up to the largest size
    std::vector<double> batch_j;  // joules likewise
    std::vector<std::int64_t> preferred;
    double max_delay_s = 0;
    std::int64_t instances = 1;
};
QueueResult serve_batches(std::span<const double> arrival_s, const BatchingSettings& settings);

}  // namespace infercost
