// The calibration constants of one machine, and lists of all rows of the table.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/constant_table.hpp"

namespace infercost {

// The constants of one machine in base units. A field is kUnset if nothing sets it.
struct Constants {
    EnumArray<WorkKind, KernelConstants> kernel;
    EnumArray<WorkKind, BandConstants> band;
    KernelConstants depthwise_kernel;
    DepthwiseConstants depthwise;
    StreamConstants stream;
    ForwardConstants forward;
    LimitConstants limits;
    EnumArray<TileTable, TileConstants> tiles;
    EnumArray<RowTable, RowConstants> rows;
    AttentionConstants attention;
    WinogradConstants winograd;
    ArrayConstants array;
    SparsityConstants sparsity;
    CpuConstants cpu;
    AchievedConstants achieved;
    EngineFigures achieved_of;
    EnergyConstants energy;
    EngineFigures energy_of;
    PowerConstants power;
    EngineFigures power_of;
    CollectiveConstants collectives;
    EngineReduceConstants engine_all_reduce;
    std::array<ExpertConstants, kExpertTables.size()> experts;  // dispatch, combine
    HostLinkConstants host_link;
    ColdStartConstants cold_start;
    LinkConstants link;
    LibraryConstants library;

    Constants();  // all fields unset

    // Set a constant by name: `tiles_matrix.round_s`. Throws InputError for an unknown name,
    // giving the nearest one, and for a value that is not a number.
    void set(std::string_view name, double value);
    // Returns kUnset if nothing sets the constant. Throws like set().
    double get(std::string_view name) const;
    // Throws InputError for a value out of its range, naming the constant.
    void validate() const;
    // All constants that are set, by name.
    std::map<std::string, double> named() const;
    // Replace unset constants by the defaults of the table. A constant that stays kUnset is not modelled.
    Constants complete(double kernel_minimum_s, double spread) const;
};

// ---- the rows as lists, for readers and writers of calibration files ------------------------------------

enum class ConstantScope : std::uint8_t { machine, kernel_class, product, row_kernel, engine };
std::string_view name_of(ConstantScope scope);

// A row with all tables that contain it, and all its keys in each of them.
struct CalibrationRow {
    std::vector<std::string> tables;
    std::vector<std::string> keys;
    std::vector<std::string> names;  // of the keys, in base units
    Constant constant;
    ConstantScope scope;
    std::string fallback;  // tables that set it if one of these does not, as text; empty if there are none
    bool held;  // a machine holds it under these names; otherwise the loader derives other figures from it
};

// All rows that a calibration file may contain.
const std::vector<CalibrationRow>& calibration_rows();

// A number in messages, with up to six digits.
std::string short_text(double value);

// Convert values of a calibration file by `table.key` to base units by `table.name`. Throws
// InputError for an unknown key, giving the nearest one.
std::map<std::string, double> base_constants(const std::map<std::string, double>& calibration,
                                             double clock_hz);
// Convert a value from base units to the unit of a calibration file.
double calibration_value(std::string_view key, double base, double clock_hz);

}  // namespace infercost
