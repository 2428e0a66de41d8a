// The calibration constants of one machine, and the table of all of them as lists.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/constant_table.hpp"

namespace infercost {

// The constants of one machine in base units. A field is kUnset where nothing sets it.
struct Constants {
    std::array<KernelConstants, kWorkKindCount> kernel;
    std::array<BandConstants, kWorkKindCount> band;
    KernelConstants depthwise_kernel;
    DepthwiseConstants depthwise;
    StreamConstants stream;
    ForwardConstants forward;
    LimitConstants limits;
    std::array<TileConstants, kTileTableCount> tiles;
    std::array<RowConstants, kRowTableCount> rows;
    AttentionConstants attention;
    WinogradConstants winograd;
    SparsityConstants sparsity;
    CpuConstants cpu;
    AchievedConstants achieved;
    EngineFigures achieved_of;
    EnergyConstants energy;
    EngineFigures energy_of;
    SustainedConstants sustained;
    EngineFigures sustained_of;
    EngineFigures power_of;
    CollectiveConstants collectives;
    HostLinkConstants host_link;
    ColdStartConstants cold_start;
    LinkConstants link;

    Constants();  // nothing is set

    // By name: `tiles_matrix.round_s`. Throws std::invalid_argument for a name that no row has, naming the
    // nearest one, and for a value that is not a number.
    void set(std::string_view name, double value);
    // kUnset where nothing sets it. Throws like set().
    double get(std::string_view name) const;
    // Throws std::invalid_argument for a value out of its range, naming the constant.
    void validate() const;
    // All that is set, by name.
    std::map<std::string, double> named() const;
    // With every default of the table in place of what is not set. What stays kUnset is not modelled.
    Constants complete(double kernel_minimum_s, double spread) const;
};

// ---- the rows as lists, for whoever reads or writes calibration files ----------------------------------

enum class ConstantScope : std::uint8_t { machine, kernel_class, product, row_kernel, engine };
std::string_view name_of(ConstantScope scope);

// A row with all the tables that have it, and all its keys in each of them.
struct CalibrationRow {
    std::vector<std::string> tables;
    std::vector<std::string> keys;
    std::vector<std::string> names;  // of the keys, in base units
    Constant constant;
    ConstantScope scope;
    std::string fallback;  // the tables that set it where one of these does not, in words; empty: none
    bool held;             // by a machine, under these names; otherwise the loader makes other figures of it
};

// Every row that a calibration file may have.
const std::vector<CalibrationRow>& calibration_rows();

// Values of a calibration file by `table.key`, in base units by `table.name`. Throws std::invalid_argument
// for a key that no row has, naming the nearest one.
std::map<std::string, double> base_constants(const std::map<std::string, double>& calibration,
                                             double clock_hz);
// A value in base units as a calibration file writes it: the inverse for one key.
double calibration_value(std::string_view key, double base, double clock_hz);

}  // namespace infercost
