#include "monitor/meter.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace infercost {
namespace {

constexpr double kSecondsPerNs = 1e-9;
constexpr std::size_t kExactSizes = 512;  // sizes that are kept as they are
constexpr std::size_t kMostSizes = 4096;  // sizes in all
constexpr int kRoundedBits = 3;           // then eight sizes in an octave
constexpr std::array<std::int64_t, 3> kOtherSizes = {-1, -1, -1};

std::int64_t rounded(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
    const int dropped = static_cast<int>(std::bit_width(bits)) - kRoundedBits - 1;
    return dropped <= 0 ? value : static_cast<std::int64_t>(bits >> dropped << dropped);
}

double seconds(std::int64_t from_ns, std::int64_t to_ns) {
    return static_cast<double>(std::max<std::int64_t>(0, to_ns - from_ns)) * kSecondsPerNs;
}

}  // namespace

Meter::Meter(std::size_t kept) : kept_(kept) {
    requests_.reserve(kept);
}

void Meter::arrive() {
    const std::lock_guard lock(mutex_);
    ++totals_.waiting;
}

void Meter::leave() {
    const std::lock_guard lock(mutex_);
    --totals_.waiting;
}

void Meter::begin(std::int64_t now_ns, bool has_waited) {
    const std::lock_guard lock(mutex_);
    if (has_waited) --totals_.waiting;
    if (in_flight_++ == 0) busy_since_ns_ = std::max(now_ns, busy_until_ns_);
}

void Meter::end(const LiveRequest& request) {
    const std::lock_guard lock(mutex_);
    if (--in_flight_ == 0) {
        busy_ns_ += std::max<std::int64_t>(0, request.end_ns - busy_since_ns_);
        busy_until_ns_ = std::max(busy_until_ns_, request.end_ns);
    }
    note(request);
}

void Meter::record(const LiveRequest& request) {
    const std::lock_guard lock(mutex_);
    if (in_flight_ == 0) {  // else this time is counted already
        busy_ns_ += std::max<std::int64_t>(0, request.end_ns - std::max(request.start_ns, busy_until_ns_));
        busy_until_ns_ = std::max(busy_until_ns_, request.end_ns);
    }
    note(request);
}

void Meter::note(const LiveRequest& request) {
    last_[noted_++] = request;
    if (noted_ == last_.size()) count_noted();
}

void Meter::count_noted() {
    const std::size_t noted = std::exchange(noted_, 0);
    for (std::size_t place = 0; place < noted; ++place) count(last_[place]);
}

void Meter::count(const LiveRequest& request) {
    const auto of = [&](LiveHistogram which) -> Histogram& {
        return histograms_[static_cast<std::size_t>(which)];
    };
    const std::int64_t service_ns = std::max<std::int64_t>(0, request.end_ns - request.start_ns);
    ++totals_.requests[static_cast<std::size_t>(request.outcome)];
    totals_.queue_ns += std::max<std::int64_t>(0, request.start_ns - request.arrival_ns);
    totals_.service_ns += service_ns;
    totals_.items += request.items;
    totals_.prompt_tokens += request.prompt_tokens;
    totals_.cached_tokens += request.cached_tokens;
    totals_.output_tokens += request.output_tokens;
    if (request.outcome == RequestOutcome::ok) {
        of(LiveHistogram::request).add_below(seconds(request.arrival_ns, request.end_ns));
        of(LiveHistogram::queue).add_below(seconds(request.arrival_ns, request.start_ns));
        if (request.items > 0) of(LiveHistogram::items).add_below(static_cast<double>(request.items));
        if (request.prompt_tokens > 0) {
            of(LiveHistogram::prompt_tokens).add_below(static_cast<double>(request.prompt_tokens));
        }
        if (request.output_tokens > 0) {
            of(LiveHistogram::output_tokens).add_below(static_cast<double>(request.output_tokens));
        }
        if (request.first_token_ns != 0) {
            of(LiveHistogram::ttft).add_below(seconds(request.arrival_ns, request.first_token_ns));
            if (request.output_tokens > 1) {
                of(LiveHistogram::tpot)
                    .add_below(seconds(request.first_token_ns, request.end_ns) /
                               static_cast<double>(request.output_tokens - 1));
            }
        }
        Size size = {request.items, request.prompt_tokens, request.output_tokens};
        auto place = sizes_.find(size);
        if (place == sizes_.end()) {
            if (sizes_.size() >= kExactSizes) std::ranges::transform(size, size.begin(), rounded);
            if (sizes_.size() >= kMostSizes && !sizes_.contains(size)) size = kOtherSizes;
            place = sizes_.try_emplace(size).first;
        }
        SizeSums& sums = place->second;
        ++sums.requests;
        sums.items += request.items;
        sums.prompt_tokens += request.prompt_tokens;
        sums.output_tokens += request.output_tokens;
        sums.service_ns += service_ns;
    }
    if (requests_.size() < kept_) {
        requests_.push_back(request);
    } else if (kept_ > 0) {
        ++totals_.dropped;
    }
}

LiveTotals Meter::totals(std::int64_t now_ns) {
    const std::lock_guard lock(mutex_);
    count_noted();
    LiveTotals found = totals_;
    found.busy_ns = busy_ns(now_ns);
    found.in_flight = in_flight_;
    return found;
}

std::int64_t Meter::busy_ns(std::int64_t now_ns) const {
    if (in_flight_ == 0) return busy_ns_;
    return busy_ns_ + std::max<std::int64_t>(0, now_ns - busy_since_ns_);
}

Histogram Meter::histogram(LiveHistogram which) {
    const std::lock_guard lock(mutex_);
    count_noted();
    return histograms_[static_cast<std::size_t>(which)];
}

std::vector<SizeSums> Meter::sizes() {
    const std::lock_guard lock(mutex_);
    count_noted();
    std::vector<SizeSums> found;
    found.reserve(sizes_.size());
    for (const auto& [size, sums] : sizes_) {
        // Sizes beyond all that are kept have no common size to predict: their sums come first, without
        // items.
        if (size == kOtherSizes) {
            found.push_back({sums.requests, -1, -1, -1, sums.service_ns});
        } else {
            found.push_back(sums);
        }
    }
    return found;
}

std::vector<LiveRequest> Meter::take() {
    std::vector<LiveRequest> taken;
    taken.reserve(kept_);
    const std::lock_guard lock(mutex_);
    count_noted();
    taken.swap(requests_);
    return taken;
}

void Meter::restart() {
    const std::size_t kept = kept_;
    // Another thread of the parent may have held the lock, so that it is not unlocked or destroyed here: its
    // place is taken by a new one.
    new (&mutex_) std::mutex;
    in_flight_ = busy_ns_ = busy_since_ns_ = 0;
    busy_until_ns_ = kNever;
    noted_ = 0;
    totals_ = {};
    histograms_ = {};
    sizes_.clear();
    requests_.clear();
    requests_.reserve(kept);
}

}  // namespace infercost
