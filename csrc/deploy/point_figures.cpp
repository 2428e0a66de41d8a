#include "deploy/point_figures.hpp"

#include <array>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "evaluate/bands.hpp"

namespace infercost {
namespace {

ByName<double> shares_of(ByName<double> parts) {
    double all = 0;
    for (const auto& [name, value] : parts) all += value;
    for (auto& [name, value] : parts) value = all > 0 ? value / all : 0.0;
    return parts;
}

}  // namespace

ByName<double> evidence_shares(std::span<const KernelEstimate> kernels, const Hardware& machine) {
    std::map<std::string_view, double> seconds;
    for (const KernelEstimate& kernel : kernels) {
        auto found = machine.evidence.find(kernel.band);
        if (found == machine.evidence.end()) found = machine.evidence.find("other");
        if (found == machine.evidence.end()) continue;
        seconds[found->second] += static_cast<double>(kernel.launches.size()) * kernel.terms.latency;
    }
    ByName<double> parts;
    for (const std::string_view evidence : kEvidence) {
        if (const auto found = seconds.find(evidence); found != seconds.end()) {
            parts.emplace_back(evidence, found->second);
        }
    }
    return shares_of(std::move(parts));
}

PointFigures point_figures(const PointEstimate& total, std::span<const KernelEstimate> kernels,
                           const Hardware& machine, const PointTerms& terms) {
    PointFigures made;
    made.latency_s = total.latency_s;
    made.latency_low_s = band_low(total.latency_s, total.spread_s);
    made.latency_high_s = band_high(total.latency_s, total.spread_s);
    made.interval_s = total.interval_s;
    if (total.interval_s > 0) made.throughput_per_s = static_cast<double>(terms.items) / total.interval_s;
    if (std::isfinite(total.energy_j)) {
        const double energy_j = static_cast<double>(terms.devices) * total.energy_j;
        const double of_latency = total.latency_s > 0 ? total.spread_s / total.latency_s : 0.0;
        const double spread_j = energy_j * energy_spread(machine, of_latency);
        made.energy_j = energy_j;
        made.energy_low_j = band_low(energy_j, spread_j);
        made.energy_high_j = band_high(energy_j, spread_j);
    }
    if (const double capacity = machine.dram().capacity_bytes; std::isfinite(capacity)) {
        made.machine_memory_bytes = static_cast<std::int64_t>(capacity);
        made.fits_in_memory = terms.fits.value_or(total.peak_memory_bytes <= capacity);
    }
    const std::array<double, kBoundCount> bounds = {total.compute_s, total.dram_s, total.cache_s,
                                                    total.link_s, total.launch_s};
    for (std::size_t i = 0; i < kBoundCount; ++i) {
        made.bound_shares.emplace_back(name_of(static_cast<Bound>(i)), bounds[i]);
    }
    made.bound_shares = shares_of(std::move(made.bound_shares));
    made.evidence = evidence_shares(kernels, machine);
    return made;
}

}  // namespace infercost
