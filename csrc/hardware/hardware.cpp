#include "hardware/hardware.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace infercost {
namespace {

using enum DType;

void require(bool good, const std::string& id, const std::string& field, double got, const char* expected) {
    if (good) return;
    throw std::invalid_argument("hardware '" + id + "': " + field + " is " + std::to_string(got) +
                                "; expected " + expected);
}

const std::string kAchieved = "achieved.";

// Runs something, and names the machine where it throws.
template <class Action>
void within(const std::string& id, Action action) {
    try {
        action();
    } catch (const std::invalid_argument& error) {
        throw std::invalid_argument("hardware '" + id + "': " + error.what());
    }
}

double fraction(const Hardware& hardware, bool matrix, DType dtype) {
    const AchievedConstants& achieved = hardware.constants.achieved;
    const double general = value_or(matrix ? achieved.matrix : achieved.vector, 1.0);
    return value_or(hardware.constants.achieved_of.of(matrix, dtype), general);
}

// What a dtype is computed in where its own engine is missing, nearest first.
std::vector<DType> candidates(DType dtype) {
    switch (dtype) {
        case float64:
            return {float64};
        case tfloat32:
            return {tfloat32, float32, bfloat16, float16};
        case float16:
            return {float16, bfloat16, float32};
        case bfloat16:
            return {bfloat16, float16, float32};
        case float8_e4m3fn:
        case float8_e5m2:
            return {float8_e4m3fn, bfloat16, float16, float32};
        case float4_e2m1fn_x2:
            return {float4_e2m1fn_x2, float8_e4m3fn, bfloat16, float16, float32};
        case int8:
        case uint8:
            return {int8, bfloat16, float16, float32};
        case int4:
        case int2:
            return {int4, int8, bfloat16, float16, float32};
        case complex128:
            return {float64};
        default:
            return {float32, tfloat32, bfloat16, float16, float64};
    }
}

double rate_of(const Rates& rates, DType dtype) {
    return rates[static_cast<std::size_t>(dtype)];
}

}  // namespace

std::string_view name_of(MachineKind kind) {
    switch (kind) {
        case MachineKind::gpu:
            return "gpu";
        case MachineKind::cpu:
            return "cpu";
        case MachineKind::systolic:
            return "systolic";
    }
    return "";
}

MachineKind parse_machine_kind(std::string_view name) {
    for (const MachineKind kind : {MachineKind::gpu, MachineKind::cpu, MachineKind::systolic}) {
        if (name_of(kind) == name) return kind;
    }
    throw std::invalid_argument("unknown kind of hardware '" + std::string(name) +
                                "'; expected gpu, cpu or systolic");
}

void Hardware::set_constants(const std::map<std::string, double>& named) {
    within(id, [&] {
        for (const auto& [key, value] : named) constants.set(key, value);
    });
}

void Hardware::set_achieved(const std::map<std::string, double>& named) {
    within(id, [&] {
        for (const auto& [key, value] : named) constants.set(kAchieved + key, value);
    });
}

double Hardware::constant(std::string_view key) const {
    return constants.complete(overheads.kernel_minimum_s, spread).get(key);
}

std::map<std::string, double> Hardware::named_constants() const {
    std::map<std::string, double> found = constants.named();
    std::erase_if(found, [](const auto& entry) { return entry.first.starts_with(kAchieved); });
    return found;
}

std::map<std::string, double> Hardware::named_achieved() const {
    std::map<std::string, double> found;
    for (const auto& [key, value] : constants.named()) {
        if (key.starts_with(kAchieved)) found.emplace(key.substr(kAchieved.size()), value);
    }
    return found;
}

void Hardware::validate() const {
    require(cores >= 1 && cores == std::floor(cores), id, "cores", cores, "a whole number above zero");
    if (memory.empty())
        throw std::invalid_argument("hardware '" + id + "' has no memory; expected at least dram");
    for (const MemoryLevel& level : memory) {
        require(level.capacity_bytes > 0, id, level.name + " capacity", level.capacity_bytes,
                "more than zero bytes");
        require(level.bandwidth_byte_per_s > 0 && std::isfinite(level.bandwidth_byte_per_s), id,
                level.name + " bandwidth", level.bandwidth_byte_per_s, "more than zero byte/s");
    }
    double any = 0;
    for (const Rates* rates : {&matrix, &vector}) {
        for (const double rate : *rates) {
            require(rate >= 0 && std::isfinite(rate), id, "a peak rate", rate, "zero or more FLOP/s");
            any += rate;
        }
    }
    require(any > 0, id, "the sum of all peak rates", any, "at least one peak rate");
    require(spread >= 0 && std::isfinite(spread), id, "spread", spread, "zero or more");
    within(id, [&] { constants.validate(); });
    for (const auto& [overhead, seconds] : {
             std::pair{"dispatch",       overheads.dispatch_s      },
             {"launch_gap",     overheads.launch_gap_s    },
             {"replay_gap",     overheads.replay_gap_s    },
             {"kernel_minimum", overheads.kernel_minimum_s}
    }) {
        require(seconds >= 0 && std::isfinite(seconds), id, std::string("overheads_s ") + overhead, seconds,
                "zero or more seconds");
    }
}

Hardware scaled(const Hardware& hardware, const ScaleFactors& factors) {
    for (const auto& [what, factor] : {
             std::pair{"cores",     factors.cores         },
             {"compute",   factors.compute       },
             {"bandwidth", factors.dram_bandwidth}
    }) {
        if (factor > 0 && std::isfinite(factor)) continue;
        throw std::invalid_argument(std::string(what) + " is scaled by " + std::to_string(factor) +
                                    "; expected more than zero");
    }
    Hardware result = hardware;
    result.cores = std::max(1.0, std::round(hardware.cores * factors.cores));
    const double cores = result.cores / hardware.cores;
    for (Rates* rates : {&result.matrix, &result.vector}) {
        for (double& rate : *rates) rate *= cores * factors.compute;
    }
    if (result.array) result.array->units *= cores;
    for (std::size_t i = 0; i < result.memory.size(); ++i) {
        const bool is_dram = i + 1 == result.memory.size();
        result.memory[i].bandwidth_byte_per_s *= is_dram ? factors.dram_bandwidth : cores;
        if (!is_dram) result.memory[i].capacity_bytes *= cores;
    }
    return result;
}

Engine vector_engine(const Hardware& hardware, DType dtype) {
    for (const DType candidate : candidates(dtype)) {
        const double rate = rate_of(hardware.vector, candidate);
        if (rate > 0)
            return {rate * fraction(hardware, false, candidate), false, candidate, candidate != dtype};
    }
    for (const double rate : hardware.vector) {  // whatever there is
        if (rate > 0) return {rate * fraction(hardware, false, float32), false, float32, true};
    }
    return {};
}

double power_share(const Hardware& hardware, const Engine& engine) {
    return value_or(hardware.constants.power_of.of(engine.matrix, engine.dtype), kPowerOfEngine.otherwise);
}

double sustained_s_per_flop(const Hardware& hardware, const Engine& engine) {
    return value_or(hardware.constants.sustained_of.of(engine.matrix, engine.dtype),
                    kSustainedOfEngine.otherwise);
}

double energy_j_per_flop(const Hardware& hardware, const Engine& engine) {
    return value_or(hardware.constants.energy_of.of(engine.matrix, engine.dtype), kEnergyOfEngine.otherwise);
}

Engine contraction_engine(const Hardware& hardware, DType dtype) {
    for (const DType candidate : candidates(dtype)) {
        const double matrix = rate_of(hardware.matrix, candidate) * fraction(hardware, true, candidate);
        const double vector = rate_of(hardware.vector, candidate) * fraction(hardware, false, candidate);
        // fp32 arithmetic never silently drops to a narrower engine: tf32 is a precision of its own.
        if (matrix > 0 || vector > 0) {
            const bool use_matrix = matrix >= vector;
            return {use_matrix ? matrix : vector, use_matrix, candidate, candidate != dtype};
        }
    }
    return vector_engine(hardware, dtype);
}

}  // namespace infercost
