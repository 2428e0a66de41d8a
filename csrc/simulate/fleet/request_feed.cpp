#include "simulate/fleet/request_feed.hpp"

#include <cmath>
#include <string>

#include "core/errors.hpp"

namespace infercost {
namespace {

constexpr double kMostService_s = 1e9;
constexpr double kLatestOfFleet_s = 1e9;  // results have bins of time, and histories seconds

[[noreturn]] void refuse(std::size_t request, const std::string& problem) {
    throw InputError("fleet: request " + std::to_string(request) + " " + problem);
}

void check_length(std::size_t length, std::size_t count, const char* name) {
    if (length == count) return;
    throw InputError("fleet: " + std::string(name) + " has " + std::to_string(length) +
                     " entries; expected " + std::to_string(count) + ", one for each arrival");
}

}  // namespace

void RequestFeed::load() {
    columns_ = source_.next();
    count_ = columns_.size();
    place_ = 0;
    check_length(columns_.prompt.size(), count_, "prompt");
    check_length(columns_.output.size(), count_, "output");
    if (!columns_.service_s.empty()) check_length(columns_.service_s.size(), count_, "service_s");
    for (std::size_t i = 0; i < count_; ++i) {
        const double arrival = columns_.arrival_s[i];
        if (!(arrival >= last_s_ && arrival <= kLatestOfFleet_s)) {
            refuse(taken_ + i, "arrives at " + std::to_string(arrival) + " s; expected a time from " +
                                   std::to_string(last_s_) + " s, the one before, to 1e9");
        }
        last_s_ = arrival;
        for (const std::int32_t tokens : {columns_.prompt[i], columns_.output[i]}) {
            if (tokens >= 1 && tokens <= kMostTokens) continue;
            refuse(taken_ + i, "has " + std::to_string(tokens) + " tokens; expected 1 to " +
                                   std::to_string(kMostTokens) + " of its prompt and its answer");
        }
        if (columns_.service_s.empty()) continue;
        const double service = columns_.service_s[i];
        if (service > 0 && service <= kMostService_s) continue;
        refuse(taken_ + i, "takes " + std::to_string(service) + " s; expected more than 0, to 1e9");
    }
}

}  // namespace infercost
