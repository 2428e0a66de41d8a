#include "hardware/device_file.hpp"

#include <algorithm>
#include <cmath>

#include "hardware/constants.hpp"
#include "hardware/file_schema.hpp"
#include "hardware/hardware.hpp"

namespace infercost {
namespace {

constexpr double kChannelBits = 64;
constexpr double kBandwidthTolerance = 0.01;  // data sheets round to three digits
constexpr std::size_t kLongestId = 100;

// Facts that the time of a forward in fp32 or below depends on. Rates of fp64 and int4, links, power, and
// half-precision vector rates of a device with a matrix unit for the same dtype have no influence.
constexpr std::string_view kLoadBearing[] = {
    "compute.cores",
    "compute.clock_ghz",
    "compute.matrix_clock_ghz",
    "compute.array",
    "compute.matrix_tflop_per_s.fp32",
    "compute.matrix_tflop_per_s.tf32",
    "compute.matrix_tflop_per_s.fp16",
    "compute.matrix_tflop_per_s.bf16",
    "compute.matrix_tflop_per_s.fp8",
    "compute.matrix_tflop_per_s.fp4",
    "compute.matrix_tflop_per_s.int8",
    "compute.vector_tflop_per_s.fp32",
    "memory.dram.capacity_gib",
    "memory.dram.bandwidth_gb_per_s",
    "calibration",
};
constexpr std::string_view kLoadBearingWithoutMatrix[] = {"fp16", "bf16"};

bool is_id(std::string_view text) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    return !text.empty() && text.size() <= kLongestId && letter(text.front()) &&
           std::all_of(text.begin(), text.end(),
                       [&](char c) { return letter(c) || c == '.' || c == '+' || c == '-'; });
}

// Whether a path is another one, or a table of it.
bool covers(std::string_view outer, std::string_view inner) {
    return inner == outer || (inner.starts_with(outer) && inner[outer.size()] == '.');
}

}  // namespace

DeviceFile::DeviceFile(const JsonEntry& content) : name_(content.document_name()) {
    check_hardware_file(content, HardwareFile::device, [&](const std::string& path, const JsonEntry& value) {
        const JsonPlace place(path);
        paths_.insert(path);
        if (value.type() == JsonType::integer || value.type() == JsonType::number) {
            numbers_.emplace(path, value.number(place));
        } else if (value.type() == JsonType::boolean) {
            numbers_.emplace(path, value.boolean(place) ? 1.0 : 0.0);
        } else if (value.is_text()) {
            texts_.emplace(path, value.text(place));
        } else if (path == "source.unverified") {
            value.for_each_item(place, "a list of texts",
                                [&](const JsonEntry& item) { unverified_.emplace_back(item.text(place)); });
        }
    });
    kind_ = parse_machine_kind(text("kind"));
    check_names();
    check_caches();
    check_dram();
    check_source();
}

std::optional<double> DeviceFile::number(std::string_view path) const {
    const auto found = numbers_.find(path);
    return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::string_view DeviceFile::text(std::string_view path) const {
    const auto found = texts_.find(path);
    return found == texts_.end() ? std::string_view() : std::string_view(found->second);
}

std::vector<std::string> DeviceFile::missing() const {
    std::vector<std::string> gaps;
    if (!has("compute.cores")) gaps.emplace_back("compute.cores");
    const auto has_rate = [&](std::string_view table) {
        const auto rate = numbers_.lower_bound(table);
        return rate != numbers_.end() && rate->first.starts_with(table);
    };
    if (!has_rate("compute.matrix_tflop_per_s.") && !has_rate("compute.vector_tflop_per_s.")) {
        gaps.emplace_back("a peak rate (compute.matrix_tflop_per_s or compute.vector_tflop_per_s)");
    }
    const bool streams = has("memory.scratchpad") && has("link.host.bandwidth_gb_per_s");
    if (!has("memory.dram.bandwidth_gb_per_s") && !streams) {
        gaps.emplace_back(
            "a memory bandwidth (memory.dram.bandwidth_gb_per_s, or memory.scratchpad together with "
            "link.host.bandwidth_gb_per_s)");
    }
    return gaps;
}

void DeviceFile::check_family(std::string_view kind) const {
    if (kind == name_of(kind_)) return;
    fail("'family' is '" + family() + "', a family of kind '" + std::string(kind) +
         "'; expected one of kind '" + std::string(name_of(kind_)) + "'");
}

void DeviceFile::check_names() const {
    for (const char* const key : {"id", "family"}) {
        const std::string_view value = text(key);
        if (is_id(value)) continue;
        fail("'" + std::string(key) + "' is '" + std::string(value.substr(0, kLongestId)) +
             "'; expected lower-case letters, digits, '-', '+' and '.', at most 100");
    }
    if (has("compute.array") && kind_ != MachineKind::systolic) {
        fail("[compute.array] is in a file of kind '" + std::string(name_of(kind_)) +
             "'; expected it only in 'systolic'");
    }
}

void DeviceFile::check_caches() const {
    for (const std::string_view level : kCacheLevels) {
        const std::string cache = "memory." + std::string(level);
        const bool is_private = has(cache + ".capacity_kib_per_core");
        const bool is_shared = has(cache + ".capacity_mib");
        if (!has(cache) || is_private != is_shared) continue;
        fail("[" + cache + "] has " +
             (is_private ? "capacity_kib_per_core and capacity_mib" : "no capacity") +
             "; expected either capacity_kib_per_core (private to a core) or capacity_mib (shared)");
    }
}

void DeviceFile::check_dram() const {
    const auto of = [&](std::string_view key) { return number("memory.dram." + std::string(key)); };
    const std::optional<double> capacity = of("capacity_gib");
    const std::optional<double> usable = of("usable_gib");
    if (usable && *usable > capacity.value_or(0)) {
        fail("memory.dram.usable_gib is " + short_text(*usable) +
             "; expected at most memory.dram.capacity_gib, " +
             (capacity ? short_text(*capacity) : "which is missing"));
    }
    if (of("usable_share") && (!capacity || usable)) {
        fail(std::string("[memory.dram] has usable_share ") +
             (usable ? "and usable_gib" : "without capacity_gib") +
             "; expected usable_share with capacity_gib, or usable_gib");
    }
    const std::optional<double> bandwidth = of("bandwidth_gb_per_s");
    const std::optional<double> channels = of("channels");
    const std::optional<double> transfers = of("transfer_mt_per_s");
    if (!bandwidth || !channels || !transfers) return;
    const double channel_byte = of("channel_bits").value_or(kChannelBits) / 8;
    const double product = *channels * channel_byte * *transfers / 1000;  // MT/s x byte -> GB/s
    if (std::abs(product / *bandwidth - 1) <= kBandwidthTolerance) return;
    fail("memory.dram.bandwidth_gb_per_s is " + short_text(*bandwidth) + "; expected " + short_text(product) +
         " = " + short_text(*channels) + " channels x " + short_text(channel_byte) + " byte x " +
         short_text(*transfers) + " MT/s");
}

void DeviceFile::check_source() const {
    for (const std::string& path : unverified_) {
        if (has(path)) continue;
        fail("source.unverified lists '" + path.substr(0, kLongestId) +
             "'; expected the dotted path of a key in this file");
    }
    const bool verified = *number("verified") != 0;
    const std::vector<std::string> bearing = load_bearing();
    if (verified && !bearing.empty()) {
        fail("verified is true although source.unverified lists '" + bearing.front() + "'; expected false");
    }
    if (!verified && bearing.empty() && !unverified_.empty()) {
        fail(
            "verified is false although source.unverified lists no fact that an estimate depends on; "
            "expected "
            "true");
    }
}

// Unverified paths that an estimate of time depends on.
std::vector<std::string> DeviceFile::load_bearing() const {
    std::vector<std::string> facts(std::begin(kLoadBearing), std::end(kLoadBearing));
    for (const std::string_view dtype : kLoadBearingWithoutMatrix) {
        if (has("compute.matrix_tflop_per_s." + std::string(dtype))) continue;
        facts.push_back("compute.vector_tflop_per_s." + std::string(dtype));
    }
    std::vector<std::string> found;
    for (const std::string& path : unverified_) {
        const bool bears = std::any_of(facts.begin(), facts.end(), [&](const std::string& fact) {
            return has(fact) && (covers(path, fact) || covers(fact, path));
        });
        if (bears) found.push_back(path);
    }
    return found;
}

}  // namespace infercost
