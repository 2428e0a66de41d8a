// Requests of a source one after the other, checked.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simulate/fleet/replica.hpp"
#include "simulate/requests.hpp"

namespace infercost {

class RequestFeed {
  public:
    static constexpr double kNever = std::numeric_limits<double>::infinity();

    explicit RequestFeed(RequestSource& source) : source_(source) { load(); }

    // Arrival of the next request; kNever after the last one.
    double next_s() const { return place_ < count_ ? columns_.arrival_s[place_] : kNever; }

    // The next request; there is one.
    FleetRequest take() {
        FleetRequest request;
        request.arrival_s = columns_.arrival_s[place_];
        request.prompt = columns_.prompt[place_];
        request.output = columns_.output[place_];
        if (!columns_.service_s.empty()) request.service_s = columns_.service_s[place_];
        request.number = static_cast<std::uint32_t>(taken_++);
        if (++place_ == count_) load();
        return request;
    }

  private:
    // Throws InputError if a request is not valid.
    void load();

    RequestSource& source_;
    RequestColumns columns_;
    std::size_t count_ = 0;
    std::size_t place_ = 0;
    std::size_t taken_ = 0;
    double last_s_ = 0;
};

}  // namespace infercost
