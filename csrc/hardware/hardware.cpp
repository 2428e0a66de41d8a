#include "hardware/hardware.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.hpp"
#include "core/json.hpp"

namespace infercost {
namespace {

using enum DType;

void require(bool good, const std::string& id, const std::string& field, double got,
             const std::string& expected) {
    if (good) return;
    throw InputError("hardware '" + id + "': " + field + " is " + shortest_text(got) + "; expected " +
                     expected);
}

const std::string kAchieved = "achieved.";

// Runs something, and names the machine where it throws.
template <class Action>
void within(const std::string& id, Action action) {
    try {
        action();
    } catch (const InputError& error) {
        throw InputError("hardware '" + id + "': " + error.what());
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
    return rates[dtype];
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
    throw InputError("unknown kind of hardware '" + std::string(name) + "'; expected gpu, cpu or systolic");
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

// Ranges of what can be built, many orders of magnitude wide: a figure outside is a unit that was mistaken,
// or makes times and energies overflow or vanish.
void Hardware::validate() const {
    const auto in = [&](const std::string& field, double value, double low, double high) {
        require(value >= low && value <= high, id, field, value,
                "a number from " + shortest_text(low) + " to " + shortest_text(high));
    };
    in("cores", cores, 1, 1e8);
    require(cores == std::floor(cores), id, "cores", cores, "a whole number");
    in("clock_hz", clock_hz, 0, 1e12);
    if (memory.empty()) throw InputError("hardware '" + id + "' has no memory; expected at least dram");
    for (const MemoryLevel& level : memory) {
        in(level.name + " capacity_bytes", level.capacity_bytes, 1, std::numeric_limits<double>::infinity());
        in(level.name + " bandwidth_byte_per_s", level.bandwidth_byte_per_s, 1, 1e30);
    }
    double any = 0;
    for (const Rates* rates : {&matrix, &vector}) {
        for (const double rate : *rates) {
            if (rate != 0) in("a peak rate in FLOP/s", rate, 1, 1e30);
            any += rate;
        }
    }
    require(any > 0, id, "the sum of all peak rates", any, "at least one peak rate");
    if (array) {
        in("array rows", array->rows, 1, 1e6);
        in("array cols", array->cols, 1, 1e6);
        in("array units", array->units, 1e-6, 1e8);
    }
    in("sparsity_2_4", sparsity_2_4, 1, 16);
    in("spread", spread, 0, 1e3);
    for (const auto& [use, watts] : power_w) in("power_w " + use, watts, 0, 1e7);
    for (const auto& [link, rate] : links_byte_per_s) in("links_byte_per_s " + link, rate, 1, 1e30);
    within(id, [&] { constants.validate(); });
    for (const auto& [overhead, seconds] : {
             std::pair{"dispatch",       overheads.dispatch_s      },
             {"launch_gap",     overheads.launch_gap_s    },
             {"replay_gap",     overheads.replay_gap_s    },
             {"kernel_minimum", overheads.kernel_minimum_s}
    }) {
        in(std::string("overheads_s ") + overhead, seconds, 0, 1e3);
    }
}

Hardware scaled(const Hardware& hardware, const ScaleFactors& factors) {
    for (const auto& [what, factor] : {
             std::pair{"cores",     factors.cores         },
             {"compute",   factors.compute       },
             {"bandwidth", factors.dram_bandwidth}
    }) {
        if (factor > 0 && std::isfinite(factor)) continue;
        throw InputError(std::string(what) + " is scaled by " + shortest_text(factor) +
                         "; expected more than zero");
    }
    Hardware result = hardware;
    result.cores = std::max(1.0, std::round(hardware.cores * factors.cores));
    const double cores = result.cores / hardware.cores;
    for (Rates* rates : {&result.matrix, &result.vector}) {
        for (double& rate : *rates) rate *= cores * factors.compute;
    }
    if (result.array) result.array->units *= cores;
    // A board with more cores or bandwidth has the power for them.
    for (auto* figures : {&result.constants.power_of.matrix, &result.constants.power_of.vector}) {
        for (double& s_per_flop : *figures) s_per_flop /= cores * factors.compute;
    }
    result.constants.power.dram_s_per_byte /= factors.dram_bandwidth;
    for (std::size_t i = 0; i < result.memory.size(); ++i) {
        const bool is_dram = i + 1 == result.memory.size();
        result.memory[i].bandwidth_byte_per_s *= is_dram ? factors.dram_bandwidth : cores;
        if (!is_dram) result.memory[i].capacity_bytes *= cores;
    }
    result.validate();
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

double power_s_per_flop(const Hardware& hardware, const Engine& engine) {
    return value_or(hardware.constants.power_of.of(engine.matrix, engine.dtype), kPowerOfEngine.otherwise);
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

bool has_compiled_rate(const Hardware& hardware, DType dtype) {
    return (dtype == int8 || dtype == uint8) && value_or(hardware.constants.library.int8_flop_per_s, 0) > 0;
}

Engine compiled_engine(const Hardware& hardware, DType dtype) {
    if (!has_compiled_rate(hardware, dtype)) return contraction_engine(hardware, dtype);
    return {hardware.constants.library.int8_flop_per_s, false, int8, false};
}

// cuDNN rounds wherever the device has TF32, boards whose data sheets give it the rate of fp32 included.
DType dtype_with_tf32(const Hardware& hardware, DType dtype) {
    const bool rounds = value_or(hardware.constants.library.rounds_to_tf32, 0) > 0;
    return dtype == float32 && rounds && rate_of(hardware.matrix, tfloat32) > 0 ? tfloat32 : dtype;
}

}  // namespace infercost
