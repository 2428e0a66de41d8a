#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "simulate/fleet/replica.hpp"
#include "simulate/server.hpp"

namespace infercost {
namespace {

class EngineReplica final : public Replica {
  public:
    EngineReplica(const EngineSettings& settings, std::uint64_t seed)
        : settings_(settings.server), server_(settings_, 0, table_, seed, false) {}

    // A step begins when all events of its time have passed.
    double next_s() const override {
        return server_.busy() ? server_.step_end() : server_.ready() ? server_.now() : kNever;
    }

    void advance(double time_s, std::vector<FleetDone>& done) override {
        if (!server_.busy()) {
            server_.begin(time_s);
            return;
        }
        server_.complete(departures_);
        for (const Departure& each : departures_) {
            const auto place = inside_.find(each.request);
            const RequestResults& results = table_.results;
            table_.results.outcome[each.request] = each.outcome;
            done.push_back({place->second, results.scheduled_s[each.request],
                            results.first_token_s[each.request], results.finish_s[each.request],
                            each.outcome});
            inside_.erase(place);
        }
        departures_.clear();
    }

    void take(const FleetRequest& request, double time_s, std::vector<FleetDone>& done) override {
        if (inside_.empty() && table_.prompt.size() >= kMostRows) clear();
        const auto number = static_cast<std::uint32_t>(table_.prompt.size());
        table_.prompt.push_back(request.prompt);
        table_.output.push_back(request.output);
        RequestResults& results = table_.results;
        results.queued_s.push_back(time_s);
        for (auto* column : {&results.scheduled_s, &results.first_token_s, &results.finish_s}) {
            column->push_back(std::nan(""));
        }
        results.cached.push_back(0);
        results.preemptions.push_back(0);
        results.server.push_back(0);
        results.outcome.push_back(Outcome::unfinished);
        const Outcome outcome = server_.deliver(number, time_s, false);
        if (outcome == Outcome::unfinished) {
            inside_.emplace(number, request);
            return;
        }
        results.outcome[number] = outcome;
        done.push_back({request, time_s, std::nan(""), time_s, outcome});
    }

    void evict(double, std::vector<FleetRequest>& left) override {
        for (const auto& [number, request] : inside_) left.push_back(request);
    }

    std::int64_t requests() const override { return server_.requests(); }
    std::int64_t running() const override { return server_.running(); }
    double joules() const override { return server_.totals().joules; }

  private:
    static constexpr std::size_t kMostRows = 1 << 16;

    // Rows of requests that have left.
    void clear() {
        table_.prompt.clear();
        table_.output.clear();
        table_.results = {};
    }

    ServerSettings settings_;
    RequestTable table_;
    Server server_;
    std::unordered_map<std::uint32_t, FleetRequest> inside_;
    std::vector<Departure> departures_;
};

}  // namespace

std::unique_ptr<Replica> make_engine_replica(const EngineSettings& settings, std::uint64_t seed) {
    return std::make_unique<EngineReplica>(settings, seed);
}

}  // namespace infercost
