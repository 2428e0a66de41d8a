// A machine as JSON text, and back: every field of Hardware, with its unit in the key. A program without
// Python reads here what `pyinfercost hardware NAME --format core-json` writes.
#pragma once

#include <string>
#include <string_view>

#include "hardware/hardware.hpp"

namespace infercost {

inline constexpr int kHardwareSchemaVersion = 1;

// Compact JSON in ASCII. A capacity that is infinite, since the owner decides it, is null.
std::string hardware_to_json(const Hardware& hardware);

// The machine of a text that hardware_to_json() wrote, with the same numbers to the last bit. Throws
// std::invalid_argument for a text that is not JSON, a key that is missing, unknown or repeated, or a machine
// that Hardware::validate() refuses; the message names the entry.
Hardware hardware_from_json(std::string_view text);

}  // namespace infercost
