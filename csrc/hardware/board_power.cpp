#include "hardware/board_power.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "core/dtype.hpp"

namespace infercost {
namespace {

constexpr double kSlotW = 75.0;      // power of a PCIe slot
constexpr double kLeastShare = 0.1;  // of the limit that is available to kernels
constexpr int kHalvings = 50;

struct KnownEnergy {
    const char* engine;
    DType dtype;  // whose energy is scaled by bits for dtypes without a figure
};
constexpr std::array<KnownEnergy, 2> kKnownEnergy = {
    {{"matrix", DType::bfloat16}, {"vector", DType::float32}}
};

std::optional<double> find(const NamedNumbers& numbers, const std::string& name) {
    const auto found = numbers.find(name);
    return found == numbers.end() ? std::nullopt : std::optional(found->second);
}

// visit(engine, dtype, TFLOP/s) for each rate of the file that estimates use.
template <class Visit>
void for_each_rate(const DeviceFile& device, Visit&& visit) {
    for (const KnownEnergy& known : kKnownEnergy) {
        for (std::size_t i = 0; i < kDTypeCount; ++i) {
            const auto dtype = static_cast<DType>(i);
            if (!owns_short_name(dtype)) continue;
            const std::string short_name(kDTypes[dtype].short_name);
            const auto rate =
                device.number("compute." + std::string(known.engine) + "_tflop_per_s." + short_name);
            if (rate) visit(std::string(known.engine), short_name, *rate);
        }
    }
}

double value_bits(DType dtype) {
    return static_cast<double>(kDTypes[dtype].bits) / kDTypes[dtype].values;
}

// Energy of a FLOP by engine and dtype, as far as a table of constants states it. The energy of a dtype
// without a constant is assumed to be proportional to its bits.
NamedNumbers joules_per_flop(const NamedNumbers& constants, const std::string& table) {
    NamedNumbers found;
    for (const KnownEnergy& known : kKnownEnergy) {
        const std::string engine = std::string(known.engine) + "_";
        const auto of_known = find(constants, table + engine + std::string(kDTypes[known.dtype].short_name));
        for (std::size_t i = 0; i < kDTypeCount; ++i) {
            const auto dtype = static_cast<DType>(i);
            if (!owns_short_name(dtype)) continue;
            const std::string key = engine + std::string(kDTypes[dtype].short_name);
            std::optional<double> joules = find(constants, table + key);
            if (!joules && of_known) joules = *of_known * value_bits(dtype) / value_bits(known.dtype);
            if (joules) found.emplace(key, *joules);
        }
    }
    return found;
}

}  // namespace

double BoardPower::energy(double share) const {
    const double voltage = 1 + rise * std::max(0.0, share * clock_hz / lowest_voltage_hz - 1);
    return voltage * voltage;
}

double BoardPower::held(double lowest_w) const {
    if (lowest_w * energy(1.0) <= dynamic_w) return 1.0;
    double low = 0.0;
    double high = 1.0;
    for (int i = 0; i < kHalvings; ++i) {
        const double share = (low + high) / 2;
        (lowest_w * share * energy(share) <= dynamic_w ? low : high) = share;
    }
    return low;
}

std::optional<BoardPower> board_power(const DeviceFile& device, const NamedNumbers& constants,
                                      double clock_hz, bool sustained) {
    const std::optional<double> tdp_w = device.number("power.tdp_w");
    const std::optional<double> dram_j = find(constants, "power.dram_j_per_byte");
    if (device.kind() != MachineKind::gpu || !tdp_w || !dram_j) return std::nullopt;
    const auto of = [&](const char* name, double otherwise) {
        return find(constants, name).value_or(otherwise);
    };
    const double static_w = of("power.static_fraction", 0.0) * *tdp_w + of("power.static_w", 0.0);
    // The slot of a board without a supply of its own cuts off at its limit.
    const double most_w = *tdp_w * (*tdp_w > kSlotW ? of("power.burst", 1.0) : 1.0);
    const double burst_w = std::max(most_w - static_w, kLeastShare * *tdp_w);
    return BoardPower{sustained ? std::max(*tdp_w - static_w, kLeastShare * *tdp_w) : burst_w,
                      burst_w,
                      clock_hz,
                      of("power.lowest_voltage_hz", std::numeric_limits<double>::infinity()),
                      of("power.voltage_rise", 0.0),
                      *dram_j};
}

// An engine of unknown energy is assumed to draw all power of a short forward at its reachable rate: vendors
// choose limits near the needs of their chips.
NamedNumbers engine_joules(const DeviceFile& device, const NamedNumbers& constants, const BoardPower& power) {
    const NamedNumbers known = joules_per_flop(constants, "power.");
    NamedNumbers found;
    for_each_rate(device, [&](const std::string& engine, const std::string& dtype, double tflop_per_s) {
        const std::string key = engine + "_" + dtype;
        const auto own = find(constants, "achieved." + key);
        const double reached = own ? *own : constants.at("achieved." + engine);
        const double flop_per_s = reached * tflop_per_s * kTera;
        const double lowest_j = find(known, key).value_or(power.burst_w / (flop_per_s * power.energy(1.0)));
        found.emplace(key, lowest_j * power.energy(power.held(lowest_j * flop_per_s)));
    });
    return found;
}

void set_power_times(NamedNumbers& machine, const BoardPower& power, const NamedNumbers& joules,
                     bool sustained) {
    machine["power.sustained"] = sustained ? 1.0 : 0.0;
    machine["power.dram_s_per_byte"] = power.dram_j_per_byte / power.dynamic_w;
    for (const auto& [key, energy_j] : joules) machine["power." + key] = energy_j / power.dynamic_w;
}

// An engine of unknown energy is assumed to draw all dynamic power at its dense peak.
void set_energy(NamedNumbers& machine, const DeviceFile& device, const NamedNumbers& constants,
                const NamedNumbers& joules, double instances) {
    const std::optional<double> tdp_w = device.number("power.tdp_w");
    const std::optional<double> fraction = find(constants, "energy.static_fraction");
    const std::optional<double> dram_j = find(constants, "energy.dram_j_per_byte");
    if (!tdp_w || !fraction || !dram_j) return;
    NamedNumbers known = joules_per_flop(constants, "energy.");
    known.insert(joules.begin(), joules.end());  // [energy] precedes the energy at the clock
    machine["energy.static_w"] = *fraction * *tdp_w / instances;
    machine["energy.most_w"] = *tdp_w / instances;
    machine["energy.dram_j_per_byte"] = *dram_j;
    machine["energy.cache_j_per_byte"] = find(constants, "energy.cache_j_per_byte").value_or(0.0);
    machine["energy.spread"] = find(constants, "energy.spread").value_or(0.0);
    if (const auto link_j = find(constants, "energy.link_j_per_byte"))
        machine["energy.link_j_per_byte"] = *link_j;
    for_each_rate(device, [&](const std::string& engine, const std::string& dtype, double tflop_per_s) {
        const std::string key = engine + "_" + dtype;
        machine["energy." + key] =
            find(known, key).value_or((1 - *fraction) * *tdp_w / tflop_per_s * (1 / kTera));
    });
}

}  // namespace infercost
