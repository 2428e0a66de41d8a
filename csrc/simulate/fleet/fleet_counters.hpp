// What a simulation of a fleet counts of its requests.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/errors.hpp"
#include "simulate/fleet/fleet.hpp"

namespace infercost {

class FleetCounters {
  public:
    explicit FleetCounters(const FleetSettings& settings)
        : limits_(settings.limits),
          keeps_requests_(settings.keeps_requests),
          bin_s_(settings.bin_s),
          bins_(settings.pools.size()) {
        next_bin();
    }

    // The bin of the time that passes.
    PoolBin& bin(std::size_t pool) { return bins_[pool].back(); }
    double bin_end_s() const { return static_cast<double>(bins_.front().size()) * bin_s_; }
    void next_bin() {
        if (bins_.front().size() >= kMostBins) {
            throw InputError("fleet: bin_s is " + std::to_string(bin_s_) +
                             ", of which more than 10^7 pass; pass a longer one");
        }
        for (auto& each : bins_) each.emplace_back();
        if (demand_.size() < bins_.front().size()) demand_.resize(bins_.front().size());
    }

    std::int64_t in_system() const { return result_.arrived - result_.finished - result_.failed; }

    void add_time(std::int64_t running, double passed_s) {
        const auto inside = static_cast<double>(in_system());
        const double waiting = (inside - static_cast<double>(running)) * passed_s;
        result_.request_seconds += inside * passed_s;
        result_.waiting_seconds += waiting;
        demand_[bins_.front().size() - 1].waiting_s += waiting;
    }

    void arrive(const FleetRequest& request) {
        ++result_.arrived;
        ++demand_of(request).arrived;
        if (!keeps_requests_) return;
        FleetRequestRows& rows = result_.requests;
        rows.arrival_s.push_back(request.arrival_s);
        for (auto* column : {&rows.started_s, &rows.first_token_s, &rows.finish_s})
            column->push_back(std::nan(""));
        rows.pool.push_back(-1);
        rows.outcome.push_back(Outcome::unfinished);
    }

    void fail(const FleetRequest& request, Outcome outcome) {
        ++result_.failed;
        ++demand_of(request).failed;
        if (keeps_requests_) result_.requests.outcome[request.number] = outcome;
    }

    void restart(std::int64_t requests) { result_.restarted += requests; }

    void finish(const FleetDone& done, std::size_t pool) {
        const FleetRequest& request = done.request;
        if (done.outcome != Outcome::finished && done.outcome != Outcome::truncated) {
            fail(request, done.outcome);
            return;
        }
        ++result_.finished;
        const double wait_s = done.started_s - request.arrival_s;
        const double e2e_s = done.finish_s - request.arrival_s;
        bool late = wait_s > limits_.wait_s || e2e_s > limits_.e2e_s;
        result_.wait_s.add(wait_s);
        result_.e2e_s.add(e2e_s);
        if (!std::isnan(done.first_token_s)) {
            const double ttft_s = done.first_token_s - request.arrival_s;
            late = late || ttft_s > limits_.ttft_s;
            result_.ttft_s.add(ttft_s);
            if (request.output > 1) {
                const double tpot_s = (done.finish_s - done.first_token_s) / (request.output - 1);
                late = late || tpot_s > limits_.tpot_s;
                result_.tpot_s.add(tpot_s);
            }
        }
        result_.late += late;
        DemandBin& bin = demand_of(request);
        ++bin.finished;
        bin.late += late;
        bin.wait_s += wait_s;
        bin.most_wait_s = std::max(bin.most_wait_s, wait_s);
        bin.prompt_tokens += request.prompt;
        bin.output_tokens += request.output;
        if (!keeps_requests_) return;
        FleetRequestRows& rows = result_.requests;
        rows.started_s[request.number] = done.started_s;
        rows.first_token_s[request.number] = done.first_token_s;
        rows.finish_s[request.number] = done.finish_s;
        rows.pool[request.number] = static_cast<std::int32_t>(pool);
        rows.outcome[request.number] = done.outcome;
    }

    // Moves everything into a result.
    void fill(FleetResult& result) {
        const bool interrupted = result.interrupted;
        result = std::move(result_);
        result.interrupted = interrupted;
        result.demand = std::move(demand_);
        result.bins = std::move(bins_);
    }

  private:
    // Its bin: it may have arrived before the one of now.
    DemandBin& demand_of(const FleetRequest& request) {
        const auto place = static_cast<std::size_t>(request.arrival_s / bin_s_);
        if (place >= demand_.size()) demand_.resize(place + 1);
        return demand_[place];
    }

    static constexpr std::size_t kMostBins = 10'000'000;

    FleetLimits limits_;
    bool keeps_requests_;
    double bin_s_;
    FleetResult result_;
    std::vector<DemandBin> demand_;
    std::vector<std::vector<PoolBin>> bins_;
};

}  // namespace infercost
