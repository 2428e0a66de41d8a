// A machine as data, in FLOP, byte, second, hertz, watt. No ops in it.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "hardware/constants.hpp"
#include "hardware/costs.hpp"

namespace infercost {

std::string_view name_of(MachineKind kind);
MachineKind parse_machine_kind(std::string_view name);

struct MemoryLevel {
    std::string name;
    double capacity_bytes = 0;        // over all cores; infinite where the owner decides
    double bandwidth_byte_per_s = 0;  // over all cores
};

// rows x cols multiply-accumulate cells, `units` times.
struct ArrayShape {
    double rows = 0;
    double cols = 0;
    double units = 0;
};

struct Overheads {
    double dispatch_s = 0;        // host time to issue one op in eager execution
    double launch_gap_s = 0;      // between kernels of a stream
    double replay_gap_s = 0;      // between kernels of a replayed graph
    double kernel_minimum_s = 0;  // what the smallest contraction costs beyond the gap
};

using Rates = EnumArray<DType, double>;  // FLOP/s, dense; 0: the engine cannot

struct Hardware {
    std::string id;
    std::string name;
    std::string family;
    MachineKind kind = MachineKind::gpu;
    double cores = 1;
    double clock_hz = 0;
    Rates matrix{};
    Rates vector{};
    std::vector<MemoryLevel> memory;  // inner to outer; the last is dram
    std::optional<ArrayShape> array;
    double sparsity_2_4 = 1;
    Overheads overheads;
    Constants constants;
    std::map<std::string, double> power_w;
    std::map<std::string, double> links_byte_per_s;
    // Four of five measurements lie between latency / (1 + spread) and latency x (1 + spread), where a class
    // of kernels has no spread of its own among the constants.
    double spread = 0;
    // What the band of a class of kernels rests on, in words: class -> evidence; "other" for classes without
    // an entry.
    std::map<std::string, std::string> evidence;
    // Where the figures are from, in words, for whoever reads results.
    std::map<std::string, std::string> provenance;

    // Whether the machine works without pause, at most at its power limit.
    bool sustained() const { return value_or(constants.power.sustained, 0) > 0; }
    const MemoryLevel& dram() const { return memory.back(); }
    // Byte/s that the cores can draw from dram, by the lines that each has in flight; infinite if unknown.
    double drawn_byte_per_s() const {
        return cores *
               value_or(constants.limits.dram_byte_per_s_per_core, std::numeric_limits<double>::infinity());
    }
    // Byte/s of dram for these cores, by data sheet.
    double dram_byte_per_s() const { return std::min(dram().bandwidth_byte_per_s, drawn_byte_per_s()); }
    // Byte/s that a stream from dram reaches.
    double stream_byte_per_s() const {
        return std::min(dram().bandwidth_byte_per_s * value_or(constants.achieved.dram, 1.0),
                        drawn_byte_per_s());
    }
    // The last level before dram, nullptr where there is none.
    const MemoryLevel* last_cache() const { return memory.size() > 1 ? &memory[memory.size() - 2] : nullptr; }

    // Sets constants by name, `tiles_matrix.round_s`; those of [achieved] without the table's name,
    // `matrix_fp8`. Throws InputError for an unknown one.
    void set_constants(const std::map<std::string, double>& named);
    void set_achieved(const std::map<std::string, double>& named);
    // One of them, with the default of the table where it is not set; kUnset where the table has none. Throws
    // InputError for an unknown name.
    double constant(std::string_view key) const;
    // What is set, by the same names.
    std::map<std::string, double> named_constants() const;
    std::map<std::string, double> named_achieved() const;
    // Throws InputError naming the field that cannot be.
    void validate() const;
};

// Factors on a machine's parts.
struct ScaleFactors {
    double cores = 1;           // their peaks, caches and cache bandwidths follow
    double compute = 1;         // peak rates
    double dram_bandwidth = 1;  // byte/s
};

// A hypothetical machine; its number of cores is rounded to a whole one. Throws InputError for a
// factor that is not a finite number above zero.
Hardware scaled(const Hardware& hardware, const ScaleFactors& factors);

// What arithmetic of one dtype runs on here, with what is reached of the peak already applied.
struct Engine {
    double flop_per_s = 0;
    bool matrix = false;
    DType dtype = DType::float32;
    bool emulated = false;  // no engine takes the dtype: it is widened to `dtype`
};

// The fastest engine for contractions of this dtype; narrower types fall back to wider ones.
Engine contraction_engine(const Hardware& hardware, DType dtype);
// The same for a kernel of a compiled model, whose library may have int8 products where torch has slow ones.
Engine compiled_engine(const Hardware& hardware, DType dtype);
// Whether that library has a rate of its own.
bool has_compiled_rate(const Hardware& hardware, DType dtype);
// The dtype that a library computes float32 in where it may round to TF32.
DType dtype_with_tf32(const Hardware& hardware, DType dtype);
Engine vector_engine(const Hardware& hardware, DType dtype);
// Energy of a FLOP divided by the power that the board has for it; 0 without a limit.
double power_s_per_flop(const Hardware& hardware, const Engine& engine);
// What a FLOP draws; 0 where that is not known.
double energy_j_per_flop(const Hardware& hardware, const Engine& engine);

}  // namespace infercost
