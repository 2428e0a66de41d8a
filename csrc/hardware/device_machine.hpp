// From a device file and the calibration constants of its family to a machine, in FLOP, byte, second, watt
// and hertz.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/device_file.hpp"
#include "hardware/hardware.hpp"

namespace infercost {

// Error band of a class of kernels: its spread, and what the spread rests on, in words.
struct ErrorBand {
    double spread = 0;
    std::string evidence;
};

// The calibration of a device, merged from its own file and the files of its family.
struct DeviceCalibration {
    std::map<std::string, double> values;    // by `table.key`, in the units of the files
    std::vector<std::string> lineage;        // the family, the families that it extends, and the kind
    std::map<std::string, ErrorBand> bands;  // by class of kernels; "other" is for classes without an entry
    bool measured = false;                   // whether the device's own file has constants
    std::optional<ErrorBand>
        library_int8;  // of int8 products of compilers of whole models, on a measured CPU
};

// How a device is used.
struct DeviceUse {
    std::optional<std::int64_t> threads;  // of a CPU, one per core
    std::int64_t instances = 1;           // copies of a model on a CPU; the machine is the share of one
    bool sustained = false;               // whether it works without pause, at most at its power limit
    std::optional<double> host_s;  // in which the host of a GPU issues an operator; else that of the family
};

// Throws InputError if a fact that estimates need is unknown, or the use does not suit the device.
Hardware machine_of(const DeviceFile& device, const DeviceCalibration& calibration, const DeviceUse& use);

// The same of a JSON text with `device`, the content of a device file; `calibration`, an object with
// `lineage`, `values` and `bands` (class -> [spread, evidence]); and optionally `sustained`. `name` begins
// messages about the file. docs/interface.md has an example.
Hardware machine_of_device_json(std::string_view text, std::string name);

}  // namespace infercost
