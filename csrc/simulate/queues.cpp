#include "simulate/queues.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <stdexcept>
#include <string>

#include "core/threads.hpp"
#include "simulate/requests.hpp"

namespace infercost {
namespace {

constexpr std::size_t kRequestsBetweenQuestions = 1 << 16;
constexpr std::int64_t kMostQueueServers = 1 << 20;

using Times = std::priority_queue<double, std::vector<double>, std::greater<>>;

void check_times(std::span<const double> arrival_s) {
    for (std::size_t i = 0; i < arrival_s.size(); ++i) {
        if (!(arrival_s[i] >= (i == 0 ? 0.0 : arrival_s[i - 1]) && arrival_s[i] <= kLatest_s)) {
            throw std::invalid_argument("queue: request " + std::to_string(i) + " arrives at " +
                                        std::to_string(arrival_s[i]) +
                                        " s; expected times from 0 to 1e18 that do not fall");
        }
    }
}

void check_values(std::span<const double> values, const char* name) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!(values[i] >= 0) || !std::isfinite(values[i])) {
            throw std::invalid_argument("queue: " + std::string(name) + " is " + std::to_string(values[i]) +
                                        " at index " + std::to_string(i) +
                                        "; expected a finite number of at least 0");
        }
    }
}

void check_end(const QueueResult& result) {
    if (result.busy_s <= kLatest_s && std::isfinite(result.joules)) return;
    throw std::invalid_argument("queue: servers are busy for " + std::to_string(result.busy_s) + " s with " +
                                std::to_string(result.joules) +
                                " J; expected up to 1e18 s and finite energies: shorten the service times");
}

Times free_at_start(std::int64_t servers, const char* name) {
    if (servers < 1 || servers > kMostQueueServers) {
        throw std::invalid_argument("queue: " + std::string(name) + " is " + std::to_string(servers) +
                                    "; expected 1 to " + std::to_string(kMostQueueServers));
    }
    return Times(std::greater<>(), std::vector<double>(static_cast<std::size_t>(servers), 0.0));
}

}  // namespace

QueueResult serve_queue(std::span<const double> arrival_s, std::span<const double> service_s,
                        std::int64_t servers) {
    if (service_s.size() != arrival_s.size()) {
        throw std::invalid_argument("queue: service_s has " + std::to_string(service_s.size()) +
                                    " entries; expected " + std::to_string(arrival_s.size()) +
                                    ", one for each arrival");
    }
    check_times(arrival_s);
    check_values(service_s, "service_s");
    Times free_s = free_at_start(servers, "servers");
    QueueResult result;
    result.start_s.reserve(arrival_s.size());
    result.finish_s.reserve(arrival_s.size());
    for (std::size_t i = 0; i < arrival_s.size(); ++i) {
        if (i % kRequestsBetweenQuestions == 0) check_interrupt();
        const double start = std::max(arrival_s[i], free_s.top());
        free_s.pop();
        free_s.push(start + service_s[i]);
        result.busy_s += service_s[i];
        result.start_s.push_back(start);
        result.finish_s.push_back(start + service_s[i]);
    }
    check_end(result);
    return result;
}

QueueResult serve_batches(std::span<const double> arrival_s, const BatchingSettings& settings) {
    const std::size_t largest = settings.batch_s.size();
    if (largest == 0 || settings.batch_j.size() != largest) {
        throw std::invalid_argument("queue: batch_s has " + std::to_string(largest) + " and batch_j " +
                                    std::to_string(settings.batch_j.size()) +
                                    " entries; expected one for each size of a batch, from 1 on");
    }
    check_times(arrival_s);
    check_values(settings.batch_s, "batch_s");
    check_values(settings.batch_j, "batch_j");
    check_values({&settings.max_delay_s, 1}, "max_delay_s");
    std::vector<std::size_t> preferred;
    for (const std::int64_t size : settings.preferred) {
        if (size < 1 || size > static_cast<std::int64_t>(largest)) {
            throw std::invalid_argument("queue: the preferred size " + std::to_string(size) +
                                        " is out of range; expected 1 to " + std::to_string(largest));
        }
        preferred.push_back(static_cast<std::size_t>(size));
    }
    std::sort(preferred.begin(), preferred.end());
    Times free_s = free_at_start(settings.instances, "instances");
    QueueResult result;
    result.start_s.reserve(arrival_s.size());
    result.finish_s.reserve(arrival_s.size());
    result.batch.reserve(arrival_s.size());
    std::size_t arrived = 0;
    std::size_t asked = 0;
    for (std::size_t first = 0; first < arrival_s.size();) {
        if (first >= asked) {
            check_interrupt();
            asked = first + kRequestsBetweenQuestions;
        }
        double now = std::max(free_s.top(), arrival_s[first]);
        const double deadline = arrival_s[first] + settings.max_delay_s;
        std::size_t size = 0;
        while (true) {
            while (arrived < arrival_s.size() && arrival_s[arrived] <= now) ++arrived;
            const std::size_t waiting = std::min(arrived - first, largest);
            const auto above = std::upper_bound(preferred.begin(), preferred.end(), waiting);
            if (above != preferred.begin()) {
                size = *(above - 1);
            } else if (waiting == largest || now >= deadline) {
                size = waiting;
            }
            if (size > 0) break;
            now = arrived < arrival_s.size() ? std::min(arrival_s[arrived], deadline) : deadline;
        }
        const double seconds = settings.batch_s[size - 1];
        free_s.pop();
        free_s.push(now + seconds);
        result.busy_s += seconds;
        result.joules += settings.batch_j[size - 1];
        result.start_s.insert(result.start_s.end(), size, now);
        result.finish_s.insert(result.finish_s.end(), size, now + seconds);
        result.batch.insert(result.batch.end(), size, static_cast<std::int32_t>(size));
        first += size;
    }
    check_end(result);
    return result;
}

}  // namespace infercost
