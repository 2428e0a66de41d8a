#include "evaluate/stage_costs.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "core/errors.hpp"

namespace infercost {
namespace {

// Seconds that add up over stages.
constexpr std::array kAdded = {&Columns::latency_s, &Columns::compute_s, &Columns::dram_s,  &Columns::cache_s,
                               &Columns::link_s,    &Columns::launch_s,  &Columns::spread_s};

double at(std::span<const double> values, std::size_t point) {
    return values[values.size() == 1 ? 0 : point];
}

void require_length(const char* what, std::size_t length, std::size_t points, bool may_be_one) {
    if (length == points || (may_be_one && length == 1)) return;
    throw InputError(std::string(what) + " has " + std::to_string(length) + " values; expected " +
                     std::to_string(points));
}

void check(std::span<const StageColumns> stages, const PipelineFlow& flow, const Columns& out) {
    if (stages.empty()) throw InputError("a pipeline has no stages; expected at least one");
    const std::size_t points = out.latency_s.size();
    for (const ColumnRow& row : kColumns) {
        require_length("a column of the pipeline", (out.*row.column).size(), points, false);
        for (const StageColumns& stage : stages) {
            require_length("a column of a stage", (stage.columns.*row.column).size(), points, false);
        }
    }
    require_length("micro_batches", flow.micro_batches.size(), points, true);
    require_length("chunks", flow.chunks.size(), points, true);
    for (const StageColumns& stage : stages) {
        if (stage.count < 1) throw InputError("a stage occurs less than once; expected at least 1");
    }
}

}  // namespace

void combine_stages(std::span<const StageColumns> stages, const PipelineFlow& flow, const Columns& out) {
    check(stages, flow, out);
    double all = 0;
    for (const StageColumns& stage : stages) all += static_cast<double>(stage.count);
    for (std::size_t i = 0; i < out.latency_s.size(); ++i) {
        const double micro_batches = at(flow.micro_batches, i);
        const double chunks = at(flow.chunks, i);
        const double rounds = micro_batches * chunks;
        const double share = 1.0 / chunks;  // of a micro-batch that a stage works on at a time
        const StageColumns* slowest = &stages.front();
        double sum_s = 0;
        double peak = 0;
        for (const StageColumns& stage : stages) {
            const double latency_s = stage.columns.latency_s[i];
            sum_s += static_cast<double>(stage.count) * latency_s;
            if (latency_s > slowest->columns.latency_s[i]) slowest = &stage;
            peak = std::max(peak, stage.columns.peak_memory_bytes[i]);
        }
        const double slowest_s = slowest->columns.latency_s[i] * share;
        const bool waits = flow.generates && rounds * slowest_s > sum_s * share;
        // In how many turns of all stages and of the slowest one the time is.
        const double of_all = waits ? 0.0 : share;
        const double of_slowest = (flow.generates ? (waits ? rounds : 0.0) : rounds - 1) * share;
        for (const auto column : kAdded) {
            double sum = 0;
            for (const StageColumns& stage : stages) {
                sum += static_cast<double>(stage.count) * (stage.columns.*column)[i];
            }
            (out.*column)[i] = of_all * sum + of_slowest * (slowest->columns.*column)[i];
        }
        out.interval_s[i] = flow.generates ? out.latency_s[i] : rounds * slowest_s;
        double energy_j = 0;
        for (const StageColumns& stage : stages) {
            const double waiting_s = out.interval_s[i] - micro_batches * stage.columns.latency_s[i];
            energy_j += static_cast<double>(stage.count) *
                        (micro_batches * stage.columns.energy_j[i] + flow.idle_w * waiting_s);
        }
        out.energy_j[i] = energy_j / all;
        out.peak_memory_bytes[i] = peak;
    }
}

}  // namespace infercost
