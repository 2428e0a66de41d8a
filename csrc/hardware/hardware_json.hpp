// A machine as JSON text: every field of Hardware, with its unit in the key. A program without Python reads
// the output of `pyinfercost hardware NAME --format core-json`.
#pragma once

#include <string>
#include <string_view>

#include "hardware/hardware.hpp"

namespace infercost {

inline constexpr int kHardwareSchemaVersion = 1;

// Compact JSON in ASCII. An infinite capacity, which the owner chooses, is null.
std::string hardware_to_json(const Hardware& hardware);

// Read a machine from the text of hardware_to_json(), equal to the last bit. Throws InputError for
// text that is not JSON, a key that is missing, unknown or repeated, or a machine that Hardware::validate()
// refuses; the message names the entry.
Hardware hardware_from_json(std::string_view text);

}  // namespace infercost
