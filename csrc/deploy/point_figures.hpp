// Figures of a forward at one point, on all devices of a deployment.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/described.hpp"
#include "evaluate/effects.hpp"
#include "evaluate/evaluate.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// The devices, the batch and the memory of a forward.
struct PointTerms {
    std::int64_t devices = 1;
    std::int64_t items = 1;  // of the batch, on all devices
    std::optional<bool>
        fits;  // the weights and caches of a model with a cache; without one, the peak decides
};

// Energy is that of all devices, and absent where the machine's power is unknown.
struct PointFigures {
    double latency_s = 0;
    double latency_low_s = 0;
    double latency_high_s = 0;
    double interval_s = 0;
    std::optional<double> throughput_per_s;  // none without time
    std::optional<double> energy_j;
    std::optional<double> energy_low_j;
    std::optional<double> energy_high_j;
    std::optional<bool> fits_in_memory;  // none if the owner of the machine chooses its memory
    std::optional<std::int64_t> machine_memory_bytes;
    ByName<double> bound_shares;  // of the latency, by the term that binds
    ByName<double> evidence;      // share of the latency by what the band of kernels rests on
};

// What bands may rest on, strongest first.
inline constexpr std::array<std::string_view, 4> kEvidence = {"measured here", "family fitted",
                                                              "sibling family fitted", "datasheet only"};

// Shares of the latency by evidence, in the order of kEvidence; a machine's own words are left out.
ByName<double> evidence_shares(std::span<const KernelEstimate> kernels, const Hardware& machine);

PointFigures point_figures(const PointEstimate& total, std::span<const KernelEstimate> kernels,
                           const Hardware& machine, const PointTerms& terms);

template <class Visit>
void describe(const PointFigures& of, Visit&& visit) {
    visit("latency_s", of.latency_s);
    visit("latency_low_s", of.latency_low_s);
    visit("latency_high_s", of.latency_high_s);
    visit("interval_s", of.interval_s);
    visit("throughput_per_s", of.throughput_per_s);
    visit("energy_j", of.energy_j);
    visit("energy_low_j", of.energy_low_j);
    visit("energy_high_j", of.energy_high_j);
    visit("fits_in_memory", of.fits_in_memory);
    visit("machine_memory_bytes", of.machine_memory_bytes);
    visit("bound_shares", of.bound_shares);
    visit("evidence", of.evidence);
}

}  // namespace infercost
