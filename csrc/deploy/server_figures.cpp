#include "deploy/server_figures.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace infercost {
namespace {

constexpr double kHour_s = 3600;
constexpr double kMillion = 1e6;

bool is_answered(Outcome outcome) {
    return outcome == Outcome::finished || outcome == Outcome::truncated;
}

ServerTotals sum_of(const std::vector<ServerTotals>& servers) {
    ServerTotals all;
    std::vector<double> busy_s;
    std::vector<double> joules;
    for (const ServerTotals& server : servers) {
        busy_s.push_back(server.busy_s);
        joules.push_back(server.joules);
        all.steps += server.steps;
        all.runs += server.runs;
        all.prefill_steps += server.prefill_steps;
        all.preemptions += server.preemptions;
        all.prompt_tokens += server.prompt_tokens;
        all.cached_tokens += server.cached_tokens;
        all.generated_tokens += server.generated_tokens;
        all.most_blocks = std::max(all.most_blocks, server.most_blocks);
    }
    all.busy_s = pairwise_sum(busy_s);
    all.joules = pairwise_sum(joules);
    return all;
}

template <class T>
double mean_of(const std::vector<T>& values) {
    double sum = 0;
    for (const T value : values) sum += static_cast<double>(value);
    return values.empty() ? 0.0 : sum / static_cast<double>(values.size());
}

ServerTimeline timeline_of(const Timeline& timeline, std::size_t servers, std::int64_t blocks) {
    ServerTimeline made{.interval_s = timeline.interval_s, .running = {}, .waiting = {}, .kv_use = {}};
    for (std::size_t at = 0; at + servers <= timeline.running.size(); at += servers) {
        std::int64_t runs = 0;
        std::int64_t waits = 0;
        std::int64_t held = 0;
        for (std::size_t i = at; i < at + servers; ++i) {
            runs += timeline.running[i];
            waits += timeline.waiting[i];
            held += timeline.blocks[i];
        }
        made.running.push_back(runs);
        made.waiting.push_back(waits);
        made.kv_use.push_back(static_cast<double>(held) / static_cast<double>(servers) /
                              static_cast<double>(blocks));
    }
    return made;
}

void set_times(ServerFigures& made, const RequestResults& requests, const ServerTerms& terms) {
    std::vector<bool> late(requests.outcome.size());
    for (std::size_t time = 0; time < kRequestTimes.size(); ++time) {
        std::vector<double> times = times_of(requests, static_cast<RequestTime>(time), terms.client_s);
        for (const TimeLimit& limit : terms.limits) {
            if (static_cast<std::size_t>(limit.time) != time) continue;
            // An answer of one token has no time per further token that could be too long.
            for (std::size_t i = 0; i < times.size(); ++i) late[i] = late[i] || times[i] >= limit.limit_s;
        }
        std::erase_if(times, [](double value) { return !std::isfinite(value); });
        sort_numbers(times);
        made.times[time].statistics = distribution_of(times);
        made.times[time].sorted_s = std::move(times);
    }
    for (std::size_t i = 0; i < late.size(); ++i) {
        made.within += is_answered(requests.outcome[i]) && !late[i] ? 1 : 0;
    }
}

}  // namespace

RequestTime request_time(std::string_view name) {
    const auto found = std::find(kRequestTimes.begin(), kRequestTimes.end(), name);
    if (found == kRequestTimes.end()) {
        throw std::invalid_argument("time of requests is '" + std::string(name) +
                                    "'; expected ttft_s, tpot_s, e2e_s or queue_s");
    }
    return static_cast<RequestTime>(found - kRequestTimes.begin());
}

std::vector<double> times_of(const RequestResults& requests, RequestTime time, double client_s) {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const auto each = [&](auto&& seconds) {
        std::vector<double> times(requests.outcome.size());
        for (std::size_t i = 0; i < times.size(); ++i) {
            times[i] = is_answered(requests.outcome[i]) ? seconds(i) : kNone;
        }
        return times;
    };
    const std::vector<double>& sent_s = requests.queued_s;
    switch (time) {
        case RequestTime::ttft:
            return each([&](std::size_t i) { return requests.first_token_s[i] - sent_s[i] + client_s; });
        case RequestTime::e2e:
            return each([&](std::size_t i) { return requests.finish_s[i] - sent_s[i] + client_s; });
        case RequestTime::queue:
            return each([&](std::size_t i) { return requests.scheduled_s[i] - sent_s[i]; });
        case RequestTime::tpot:
            break;
    }
    return each([&](std::size_t i) {
        const std::int32_t further = requests.tokens[i] - 1;
        return further < 1 ? kNone : (requests.finish_s[i] - requests.first_token_s[i]) / further;
    });
}

ServerFigures server_figures(const SimulationResult& result, const ServerTerms& terms) {
    ServerFigures made;
    made.requests = static_cast<std::int64_t>(result.requests.outcome.size());
    for (const Outcome outcome : result.requests.outcome) {
        ++made.outcomes[static_cast<std::size_t>(outcome)];
        made.answered += is_answered(outcome) ? 1 : 0;
    }
    set_times(made, result.requests, terms);
    const ServerTotals& all = made.totals = sum_of(result.servers);
    const double end_s = made.duration_s = result.end_s;
    const auto servers = static_cast<double>(result.servers.size());
    const auto per_s = [&](std::int64_t amount) {
        return end_s > 0 ? static_cast<double>(amount) / end_s : 0.0;
    };
    made.requests_per_s = per_s(made.answered);
    made.within_per_s = per_s(made.within);
    made.tokens_per_s = per_s(all.generated_tokens);
    made.prompt_tokens_per_s = per_s(all.prompt_tokens);
    made.utilization = end_s > 0 ? all.busy_s / (end_s * servers) : 0.0;
    if (all.cached_tokens > 0) {
        made.cached_token_share = static_cast<double>(all.cached_tokens) /
                                  static_cast<double>(all.cached_tokens + all.prompt_tokens);
    }
    made.kv_use_peak = static_cast<double>(all.most_blocks) / static_cast<double>(terms.blocks);
    if (all.generated_tokens > 0) {
        const auto tokens = static_cast<double>(all.generated_tokens);
        if (terms.idle_w) {
            const double idle_s = std::max(0.0, servers * end_s - all.busy_s);
            made.joules_per_token = (all.joules + idle_s * *terms.idle_w) / tokens;
        }
        if (terms.usd_per_h)
            made.usd_per_million_tokens = *terms.usd_per_h * end_s / kHour_s / tokens * kMillion;
    }
    if (terms.usd_per_h) made.usd = *terms.usd_per_h * end_s / kHour_s;
    made.timeline = timeline_of(result.timeline, result.servers.size(), terms.blocks);
    made.running_mean = mean_of(made.timeline.running);
    made.waiting_mean = mean_of(made.timeline.waiting);
    made.kv_use_mean = mean_of(made.timeline.kv_use);
    return made;
}

}  // namespace infercost
