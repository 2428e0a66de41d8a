// The columns of the table of calibration constants (hardware/constant_table.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace infercost {

// Conversion of a value in a file to FLOP, byte, second.
enum class Conversion : std::uint8_t {
    none,
    scale,         // times Unit::scale
    period,        // clocks of a core, multiplied by the clock period
    clocks,        // the same, divided by the clock, so rounded once
    inverse_rate,  // a rate per clock, converted to seconds per unit: 1 / (value x clock)
};

struct Unit {
    std::string_view name;  // in a file; empty for a ratio
    std::string_view base;  // in a machine
    Conversion conversion = Conversion::none;
    double scale = 1;
};

inline constexpr Unit kRatio{"", ""};
inline constexpr Unit kDevices{"devices", "devices"};
inline constexpr Unit kElements{"elements", "elements"};
inline constexpr Unit kParts{"parts", "parts"};
inline constexpr Unit kThreads{"threads", "threads"};
inline constexpr Unit kWatts{"W", "W"};
inline constexpr Unit kSeconds{"s", "s"};
inline constexpr Unit kMicroseconds{"us", "s", Conversion::scale, 1e-6};
inline constexpr Unit kMicrosecondsPerPage{"us/page", "s/byte", Conversion::scale, 1e-6 / 4096};
inline constexpr Unit kMicrosecondsPerKibibyte{"us/KiB", "s/byte", Conversion::scale, 1e-6 / 1024};
inline constexpr Unit kClocks{"clocks", "s", Conversion::period};
inline constexpr Unit kClocksPerElement{"clocks/element", "s/element", Conversion::period};
inline constexpr Unit kOverheadClocks{"clocks", "s", Conversion::clocks};
inline constexpr Unit kElementsPerClockPerCore{"elements/clock/core", "s/element", Conversion::inverse_rate};
// Rates that a machine keeps per clock: a model multiplies them by its clock and by its cores.
inline constexpr Unit kElementsAClock{"elements/clock", "elements/clock"};
inline constexpr Unit kBytesAClock{"byte/clock", "byte/clock"};
inline constexpr Unit kBytesAClockPerCore{"byte/clock/core", "byte/clock/core"};
inline constexpr Unit kFlopAClockPerCore{"FLOP/clock/core", "FLOP/clock/core"};
inline constexpr Unit kKibibytes{"KiB", "byte", Conversion::scale, 1024};
inline constexpr Unit kGigabytesPerSecond{"GB/s", "byte/s", Conversion::scale, 1e9};
inline constexpr Unit kGigabytesPerSecondPerCore{"GB/s/core", "byte/s/core", Conversion::scale, 1e9};
inline constexpr Unit kGigahertz{"GHz", "Hz", Conversion::scale, 1e9};
inline constexpr Unit kPicojoulesPerByte{"pJ/byte", "J/byte", Conversion::scale, 1e-12};
inline constexpr Unit kPicojoulesPerFlop{"pJ/FLOP", "J/FLOP", Conversion::scale, 1e-12};
// Units of values that the loader derives from constants and facts of the device.
inline constexpr Unit kJoulesPerByte{"", "J/byte"};
inline constexpr Unit kJoulesPerFlop{"", "J/FLOP"};
inline constexpr Unit kSecondsPerByte{"", "s/byte"};
inline constexpr Unit kFlopPerSecond{"", "FLOP/s"};
inline constexpr Unit kSecondsPerFlop{"", "s/FLOP"};

// The only conversion. `clock_hz` is that of the machine's cores.
constexpr double to_base(const Unit& unit, double value, double clock_hz) {
    switch (unit.conversion) {
        case Conversion::none:
            return value;
        case Conversion::scale:
            return value * unit.scale;
        case Conversion::period:
            return value * (1 / clock_hz);
        case Conversion::clocks:
            return value / clock_hz;
        case Conversion::inverse_rate:
            return 1 / (value * clock_hz);
    }
    return value;
}

// The inverse, for writing calibration files.
constexpr double from_base(const Unit& unit, double value, double clock_hz) {
    switch (unit.conversion) {
        case Conversion::none:
            return value;
        case Conversion::scale:
            return value / unit.scale;
        case Conversion::period:
        case Conversion::clocks:
            return value * clock_hz;
        case Conversion::inverse_rate:
            return 1 / (value * clock_hz);
    }
    return value;
}

// Allowed values in a file.
struct ValueRange {
    double low = 0;
    bool above = false;  // low itself is excluded
    double high = std::numeric_limits<double>::infinity();
    bool whole = false;  // only integers

    constexpr bool has(double value) const {
        return (above ? value > low : value >= low) && value <= high &&
               value < std::numeric_limits<double>::infinity() &&
               (!whole || value == static_cast<double>(static_cast<std::int64_t>(value)));
    }
};

// No constant is near these bounds in any unit of a file; products and ratios of a few of them are finite.
inline constexpr double kTiny = 1e-15;
inline constexpr double kHuge = 1e15;
inline constexpr ValueRange kPositive{kTiny, false, kHuge};
inline constexpr ValueRange kNotNegative{0, false, kHuge};
inline constexpr ValueRange kFraction{1e-6, false, 1};
inline constexpr ValueRange kReached{1e-6, false,
                                     1.5};  // of arithmetic: some boards clock above their data sheet
inline constexpr ValueRange kSpread{0, false, 1e3};  // an error band wider than that states nothing
inline constexpr ValueRange kHalfToOne{0.5, false, 1};
inline constexpr ValueRange kOneOrMore{1, false, kHuge};
inline constexpr ValueRange kCount{1, false, kHuge, true};

// Value of a constant that no file sets.
inline constexpr double kUnset = std::numeric_limits<double>::quiet_NaN();

constexpr bool is_set(double value) {
    return value == value;
}
constexpr double value_or(double value, double otherwise) {
    return is_set(value) ? value : otherwise;
}

// A row of the table.
struct Constant {
    std::string_view key;   // in a calibration file; empty for values that the loader derives
    std::string_view name;  // in a machine, in base units
    Unit unit;
    ValueRange range;
    double otherwise;  // default in base units; kUnset if the mechanism is not modelled without a value
    std::string_view meaning;
    bool required = false;  // the file of a kind of machine must set it: there is no default
};
inline constexpr bool kRequired = true;

// A row, and its field in a machine.
template <class Group>
struct ConstantField : Constant {
    double Group::* field;
};

// Whether every field of a struct has one row, and keys and names are distinct.
template <class Group, std::size_t... N>
consteval bool is_complete(const ConstantField<Group> (&... parts)[N]) {
    constexpr std::size_t kCountOfRows = (N + ...);
    if (kCountOfRows * sizeof(double) != sizeof(Group)) return false;
    const ConstantField<Group>* rows[kCountOfRows];
    std::size_t filled = 0;
    const auto take = [&](const auto& part) {
        for (const ConstantField<Group>& row : part) rows[filled++] = &row;
    };
    (take(parts), ...);
    for (std::size_t i = 0; i < kCountOfRows; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            const bool same_key = !rows[i]->key.empty() && rows[i]->key == rows[j]->key;
            if (same_key || rows[i]->name == rows[j]->name || rows[i]->field == rows[j]->field) return false;
        }
    }
    return true;
}

// Whether keys are distinct in the rows of one table, across structs.
template <class... Parts>
consteval bool has_distinct_keys(const Parts&... parts) {
    std::string_view keys[256];
    std::size_t filled = 0;
    const auto take = [&](const auto& part) {
        for (const Constant& row : part) keys[filled++] = row.key;
    };
    (take(parts), ...);
    for (std::size_t i = 0; i < filled; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (!keys[i].empty() && keys[i] == keys[j]) return false;
        }
    }
    return true;
}

}  // namespace infercost
