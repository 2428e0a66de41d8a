// Schema of hardware files, as JSON: the keys that files of devices, of calibration constants and of error
// bands may contain.
//
// Units are part of the keys. Capacities are binary (`_kib`, `_mib`, `_gib`), as vendors mean them even where
// they write MB or GB. All bandwidths are decimal (`_gb_per_s`). Peak rates are dense, and a fused
// multiply-add is 2 FLOP. Keys, units and ranges of calibration constants are from constant_table.hpp. A fact
// that is not known is absent.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/function_ref.hpp"
#include "core/json.hpp"

namespace infercost {

enum class HardwareFile : std::uint8_t { device, calibration, bands };
// Throws InputError for another word.
HardwareFile parse_hardware_file(std::string_view word);

inline constexpr std::int64_t kHardwareFileVersion = 1;
inline constexpr std::array<std::string_view, 4> kCacheLevels = {"l1", "l2", "scratchpad", "llc"};

// Classes of kernels that may have a band of their own, by their tables in calibration files; the first is
// for all others.
std::span<const std::string> band_classes();

// Check the content of a file, and call visit(path, value) for each key and each table, by its dotted path.
// Throws InputError if a key is unknown or missing, or a value has the wrong type or is out of range.
void check_hardware_file(const JsonEntry& content, HardwareFile kind,
                         FunctionRef<void(const std::string& path, const JsonEntry& value)> visit);

}  // namespace infercost
