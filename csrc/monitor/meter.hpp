// What a live model does: totals of its requests, how long it was busy, how long requests took.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "core/histogram.hpp"

namespace infercost {

enum class RequestOutcome { ok, error, cancelled };
inline constexpr std::size_t kRequestOutcomes = 3;
inline constexpr std::int64_t kMostOfARequest = 10'000'000'000;  // items or tokens: 10^8 such requests add up

// A request that ended. Times are nanoseconds of one monotonic clock; the first token has 0 if there is none.
struct LiveRequest {
    std::int64_t arrival_ns = 0;
    std::int64_t start_ns = 0;
    std::int64_t first_token_ns = 0;
    std::int64_t end_ns = 0;
    std::int64_t items = 0;
    std::int64_t prompt_tokens = 0;
    std::int64_t cached_tokens = 0;
    std::int64_t output_tokens = 0;
    RequestOutcome outcome = RequestOutcome::ok;
};

// Sums over requests of like size, of which predictions are made.
struct SizeSums {
    std::int64_t requests = 0;
    std::int64_t items = 0;
    std::int64_t prompt_tokens = 0;
    std::int64_t output_tokens = 0;
    std::int64_t service_ns = 0;
};

// Sums since the start. They are integers, so that any order of requests gives the same.
struct LiveTotals {
    std::array<std::int64_t, kRequestOutcomes> requests{};
    std::int64_t items = 0;
    std::int64_t prompt_tokens = 0;
    std::int64_t cached_tokens = 0;
    std::int64_t output_tokens = 0;
    std::int64_t queue_ns = 0;
    std::int64_t service_ns = 0;
    std::int64_t busy_ns = 0;  // time in which requests were in service
    std::int64_t in_flight = 0;
    std::int64_t waiting = 0;
    std::int64_t dropped = 0;  // requests that were not kept
};

// Histograms of a meter, in this order.
enum class LiveHistogram { request, queue, ttft, tpot, items, prompt_tokens, output_tokens };
inline constexpr std::size_t kLiveHistograms = 7;

// Counts requests. Memory is bounded: sizes are rounded once there are many, and of requests at most `kept`
// wait to be taken. Calls from several threads exclude each other for tens of nanoseconds.
//
// A model that runs for milliseconds leaves nothing of a meter in caches and translation buffers, so what a
// request touches is small: its end is noted in the next place of a short list. The list is counted when it
// is full, and before anything is read.
class Meter {
  public:
    explicit Meter(std::size_t kept);

    // A request waits for its service.
    void arrive();
    // A waiting request leaves without service.
    void leave();
    // The service of a request begins.
    void begin(std::int64_t now_ns, bool has_waited);
    // The service that began ends.
    void end(const LiveRequest& request);
    // A service ended of which only now is known when it was, such as that of a device that runs behind.
    // Calls are in the order of their ends.
    void record(const LiveRequest& request);

    LiveTotals totals(std::int64_t now_ns);
    Histogram histogram(LiveHistogram which);
    std::vector<SizeSums> sizes();
    // Requests that ended since the last call, in order of their ends.
    std::vector<LiveRequest> take();
    // Starts from zero in the child of a fork, where nobody holds the lock any more; `kept` stays.
    void restart();

  private:
    using Size = std::array<std::int64_t, 3>;

    void note(const LiveRequest& request);
    void count_noted();
    void count(const LiveRequest& request);
    std::int64_t busy_ns(std::int64_t now_ns) const;

    std::mutex mutex_;
    std::int64_t in_flight_ = 0;
    std::int64_t busy_ns_ = 0;
    std::int64_t busy_since_ns_ = 0;       // while requests are in flight
    std::int64_t busy_until_ns_ = kNever;  // busy time before this moment is counted
    std::size_t noted_ = 0;
    std::array<LiveRequest, 64> last_;
    LiveTotals totals_;
    std::array<Histogram, kLiveHistograms> histograms_;
    std::map<Size, SizeSums> sizes_;
    std::vector<LiveRequest> requests_;
    std::size_t kept_;

    static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::min();
};

}  // namespace infercost
