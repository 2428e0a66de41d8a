#include "hardware/file_schema.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "core/errors.hpp"
#include "core/nearest.hpp"
#include "hardware/constants.hpp"
#include "hardware/hardware.hpp"

// The words for types of values would be ambiguous in infercost itself.
namespace infercost::file_schema {
namespace {

enum class ValueType : std::uint8_t { number, integer, integers, boolean, text, texts, machine_kind, table };

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A key that a file may contain. Ranges of facts are many orders of magnitude wider than hardware that
// exists: a number outside is a mistaken unit or a damaged file, and would make times overflow or vanish.
struct FileKey {
    std::string_view path;
    ValueType type = ValueType::text;
    double low = -kInfinity;
    double high = kInfinity;
    bool required = false;  // in its table
    bool above = false;     // the low bound is excluded
};

using enum ValueType;
inline constexpr bool kNeeded = true;
constexpr FileKey needed(std::string_view path, ValueType type = text) {
    return {path, type, -kInfinity, kInfinity, kNeeded};
}
constexpr FileKey count(std::string_view path) {
    return {path, integer, 1, 1e6};
}
constexpr FileKey cores(std::string_view path) {
    return {path, integer, 1, 1e8};
}
constexpr FileKey clock_ghz(std::string_view path) {
    return {path, number, 1e-6, 1e3};
}
constexpr FileKey capacity(std::string_view path) {  // KiB, MiB or GiB
    return {path, number, 1e-3, 1e9};
}
constexpr FileKey gb_per_s(std::string_view path) {
    return {path, number, 1e-6, 1e9};
}
constexpr FileKey watts(std::string_view path) {
    return {path, number, 1e-3, 1e7};
}
constexpr FileKey share(std::string_view path) {
    return {path, number, 1e-3, 1};
}
constexpr FileKey factor(std::string_view path) {
    return {path, number, 1, 16};
}

constexpr FileKey kVersion{"schema_version", integer, kHardwareFileVersion, kHardwareFileVersion, kNeeded};

constexpr FileKey kDeviceKeys[] = {
    kVersion,
    needed("id"),
    needed("name"),
    needed("vendor"),
    needed("kind", machine_kind),
    needed("family"),
    {"release_year", integer, 1990, 2100},
    count("devices_per_package"),
    count("devices_per_node"), // number of devices of one machine; 8 if absent
    needed("verified", boolean),
    needed("source", table),
    needed("source.text"),
    {"source.references", texts},
    {"source.unverified", texts}, // dotted paths of values in this file that were not read from a source
    {"source.notes", texts}, // disagreements of sources, and omissions of the values
    cores("compute.cores"),
    {"compute.core_name"},
    count("compute.threads_per_core"),
    cores("compute.performance_cores"), // of a CPU with two kinds of cores; the others are efficiency cores
    share("compute.efficiency_core_rate"), // FLOP/s of an efficiency core, relative to a performance core
    clock_ghz("compute.clock_ghz"), // GPU: boost; CPU: all cores busy with the widest vectors
    clock_ghz("compute.base_clock_ghz"),
    clock_ghz("compute.matrix_clock_ghz"),
    {"compute.compute_capability"},
    {"compute.simd"},
    count("compute.fp32_flop_per_clock_per_core"),
    factor("compute.int8_over_fp32"), // of a library with kernels for the instructions
    {"compute.matrix_unit"},
    {"compute.matrix_instruction_mnk", integers, 1, 1e6},
    {"compute.array.rows", integer, 1, 1e6, kNeeded},
    {"compute.array.cols", integer, 1, 1e6, kNeeded},
    {"compute.array.units", integer, 1, 1e6, kNeeded},
    factor("sparsity.factor_2_4"),
    factor("sparsity.factor_4_16"),
    capacity("memory.l1.shared_kib_per_core"),
    {"memory.dram.kind"},
    capacity("memory.dram.capacity_gib"),
    capacity("memory.dram.usable_gib"), // memory that the driver reports
    {"memory.dram.inline_ecc", boolean}, // whether ECC is on by default and stored among the data
    share("memory.dram.usable_share"), // of unified memory: the share that a GPU may use
    gb_per_s("memory.dram.bandwidth_gb_per_s"),
    count("memory.dram.channels"),
    count("memory.dram.channel_bits"), // 64 if absent
    {"memory.dram.transfer_mt_per_s", number, 1e-3, 1e9},
    needed("link.host.kind"),
    gb_per_s("link.host.bandwidth_gb_per_s"),
    {"link.host.direct", boolean}, // whether each device reaches every other at this rate (PCIe switches)
    needed("link.pcie.kind"),
    gb_per_s("link.pcie.bandwidth_gb_per_s"),
    needed("link.device.kind"),
    gb_per_s("link.device.bandwidth_gb_per_s"),
    count("link.device.peers"), // devices that share the bandwidth; absent: each one is reached at all of it
    count(
        "link.device.domain"), // devices that the link connects across nodes (NVL72); absent: within a node
    {"link.device.reduces", boolean}, // whether the switch adds up the data of devices (NVLink SHARP)
    needed("link.network.kind"), // between nodes, one direction
    {"link.network.nics_per_device", number, 1e-3, 1e3},
    gb_per_s("link.network.nic_gb_per_s"),
    {"link.network.latency_us", number, 0, 1e9}, // of a message; absent: the family's
    watts("power.tdp_w"),
    watts("power.max_turbo_w"),
    watts("power.mean_w"),
    watts("power.idle_w"),
};

// Rates that a file may state for types that are no torch dtypes.
constexpr std::array<std::string_view, 4> kVariantDTypes = {"fp32_packed", "fp16_acc16", "fp8_acc16", "fp6"};

constexpr std::array<std::string_view, 4> kEvidenceKeys = {"measured", "family", "sibling", "datasheet"};

struct Rule {
    FileKey key;
    std::vector<Rule> keys;  // of a table
};

// Keys of a kind of file as a tree.
class Schema {
  public:
    explicit Schema(HardwareFile kind) {
        root_.key.type = table;
        if (kind == HardwareFile::device) of_device();
        if (kind == HardwareFile::calibration) of_family();
        if (kind == HardwareFile::bands) of_bands();
    }
    const Rule& root() const { return root_; }

  private:
    void of_device() {
        for (const FileKey& key : kDeviceKeys) add(key);
        for (const std::string_view level : kCacheLevels) {
            const std::string cache = "memory." + std::string(level) + ".";
            add({kept(cache + "kind")});
            add(capacity(kept(cache + "capacity_kib_per_core")));  // private to a core
            add(capacity(kept(cache + "capacity_mib")));           // shared by all cores
            add(gb_per_s(kept(cache + "bandwidth_gb_per_s")));     // of all cores together
        }
        for (const char* const engine : {"matrix", "vector"}) {
            const std::string rates = std::string("compute.") + engine + "_tflop_per_s.";
            for (std::size_t dtype = 0; dtype < kDTypeCount; ++dtype) {
                if (owns_short_name(static_cast<DType>(dtype))) rate(rates, kDTypes[dtype].short_name);
            }
            for (const std::string_view variant : kVariantDTypes) rate(rates, variant);
        }
        of_constants("calibration.");  // measured on this machine
    }
    void rate(const std::string& rates, std::string_view dtype) {
        add({kept(rates + std::string(dtype)), number, 1e-9, 1e9});
    }
    void of_constants(const std::string& prefix) {
        for (const CalibrationRow& row : calibration_rows()) {
            const ValueRange& range = row.constant.range;
            const double high = range.high < kHuge ? range.high : kInfinity;
            for (const std::string& name : row.tables) {
                const std::string within = prefix + name + ".";
                if (!find(within + "source")) add(needed(kept(within + "source")));
                for (const std::string& key : row.keys) {
                    add({kept(within + key), range.whole ? integer : number, range.low, high, false,
                         range.above});
                }
            }
        }
    }
    void of_family() {
        add(kVersion);
        add(needed("family"));
        add({"extends"});
        of_constants("");
    }
    void of_bands() {
        add(kVersion);
        add(needed("source"));
        for (const std::string& name : band_classes()) {
            add(needed(kept(name + ".measured_on"), texts));  // FAMILY/DEVICE
            for (const std::string_view step : kEvidenceKeys) {
                add({kept(name + "." + std::string(step)), number, 0, 1e3});
            }
        }
    }

    std::string_view kept(std::string path) { return *paths_.insert(std::move(path)).first; }
    static Rule* in_table(Rule& rule, std::string_view name) {
        for (Rule& each : rule.keys) {
            if (each.key.path == name) return &each;
        }
        return nullptr;
    }
    Rule* find(std::string_view path) {
        Rule* at = &root_;
        while (at && !path.empty()) {
            const std::size_t dot = std::min(path.find('.'), path.size());
            at = in_table(*at, path.substr(0, dot));
            path.remove_prefix(std::min(dot + 1, path.size()));
        }
        return at;
    }
    void add(FileKey key) {
        Rule* at = &root_;
        for (std::size_t dot = key.path.find('.'); dot != std::string_view::npos; dot = key.path.find('.')) {
            const std::string_view name = key.path.substr(0, dot);
            Rule* const known = in_table(*at, name);
            at = known ? known
                       : &at->keys.emplace_back(Rule{
                             {name, table},
                             {}
            });
            key.path.remove_prefix(dot + 1);
        }
        at->keys.push_back({key, {}});
    }

    Rule root_;
    std::set<std::string> paths_;  // that keys refer to
};

const Rule& schema_of(HardwareFile kind) {
    static const std::array<Schema, 3> kSchemas = {
        Schema(HardwareFile::device), Schema(HardwareFile::calibration), Schema(HardwareFile::bands)};
    return kSchemas[static_cast<std::size_t>(kind)].root();
}

// ---- values ----

std::string type_words(ValueType type) {
    switch (type) {
        case number:
            return "a number";
        case integer:
            return "an integer";
        case integers:
            return "a list of integers";
        case boolean:
            return "true or false";
        case text:
            return "a text";
        case texts:
            return "a list of texts";
        case machine_kind:
            return "one of 'gpu', 'cpu', 'systolic'";
        case table:
            return "a table";
    }
    return {};
}

std::string expected_of(const FileKey& key) {
    if (key.low == key.high) return short_text(key.low);
    std::string words = type_words(key.type);
    const char* joint = " ";
    if (key.low > -kInfinity) {
        words += (key.above ? " > " : " >= ") + short_text(key.low);
        joint = " and ";
    }
    if (key.high < kInfinity) words += joint + ("<= " + short_text(key.high));
    return words;
}

bool is_text(const JsonEntry& value, const JsonPlace& place) {
    return value.is_text() && value.text(place).find_first_not_of(" \t\r\n") != std::string_view::npos;
}

bool is_machine_kind(const JsonEntry& value, const JsonPlace& place) {
    if (!value.is_text()) return false;
    const std::string_view word = value.text(place);
    return word == "gpu" || word == "cpu" || word == "systolic";
}

bool fits(const JsonEntry& value, const FileKey& key, const JsonPlace& place) {
    const JsonType type = value.type();
    switch (key.type) {
        case boolean:
            return type == JsonType::boolean;
        case text:
        case texts:
            return is_text(value, place);
        case machine_kind:
            return is_machine_kind(value, place);
        case table:
            return type == JsonType::object;
        default:
            break;
    }
    const bool whole = key.type == integer || key.type == integers;
    if (type != JsonType::integer && (whole || type != JsonType::number)) return false;
    const double size = value.number(place);
    return (key.above ? size > key.low : size >= key.low) && size <= key.high;
}

// The range of any number in a file, in addition to that of its key.
bool is_plausible(const JsonEntry& value, const JsonPlace& place) {
    if (value.type() != JsonType::integer && value.type() != JsonType::number) return true;
    const double size = std::abs(value.number(place));
    return size == 0 || (size >= 1e-12 && size <= 1e12);
}

void check_value(const JsonEntry& value, const FileKey& key, const JsonPlace& place) {
    const auto check_one = [&](const JsonEntry& item) {
        if (!fits(item, key, place)) value.unexpected(place, expected_of(key).c_str());
        if (!is_plausible(item, place)) value.unexpected(place, "0 or a number from 1e-12 to 1e+12");
    };
    if (key.type != texts && key.type != integers) return check_one(value);
    value.for_each_item(place, expected_of(key).c_str(), check_one);
}

using Visit = FunctionRef<void(const std::string& path, const JsonEntry& value)>;

void check_table(const JsonEntry& content, const Rule& rule, const std::string& prefix, Visit visit) {
    std::set<std::string_view> found;
    content.for_each_member(JsonPlace("the file"), [&](std::string_view name, const JsonEntry& value) {
        const std::string path = prefix + std::string(name);
        const std::string quoted = "'" + path + "'";
        const JsonPlace place(quoted);
        const Rule* known = nullptr;
        for (const Rule& each : rule.keys) {
            if (each.key.path == name) known = &each;
        }
        if (!known) {
            std::vector<std::string> names;
            for (const Rule& each : rule.keys) names.emplace_back(each.key.path);
            std::string valid;
            for (const std::string& each : names) valid += (valid.empty() ? "" : ", ") + each;
            content.fail(
                JsonPlace("unknown key " + quoted),
                "; the nearest valid key is '" + nearest_name(name, names) + "'; valid here: " + valid);
        }
        if (known->key.type == table) {
            if (value.type() != JsonType::object) value.unexpected(place, ("a table [" + path + "]").c_str());
            check_table(value, *known, path + ".", visit);
        } else {
            check_value(value, known->key, place);
        }
        visit(path, value);
        found.insert(known->key.path);
    });
    for (const Rule& each : rule.keys) {
        if (!each.key.required || found.contains(each.key.path)) continue;
        content.fail(JsonPlace("required key '" + prefix + std::string(each.key.path) + "'"),
                     " is missing; expected " + expected_of(each.key));
    }
}

}  // namespace
}  // namespace infercost::file_schema

namespace infercost {

HardwareFile parse_hardware_file(std::string_view word) {
    if (word == "device") return HardwareFile::device;
    if (word == "calibration") return HardwareFile::calibration;
    if (word == "bands") return HardwareFile::bands;
    throw InputError("the kind of a hardware file is '" + std::string(word) +
                     "'; expected device, calibration or bands");
}

std::span<const std::string> band_classes() {
    static const std::vector<std::string> kClasses = [] {
        std::vector<std::string> names = {"other"};
        for (const CalibrationRow& row : calibration_rows()) {
            for (const std::string& name : row.tables) {
                const bool has_band = name.starts_with("tiles_") || name.ends_with("_rows") ||
                                      (name.starts_with("kernel.") && name != "kernel.depthwise");
                if (has_band && std::find(names.begin(), names.end(), name) == names.end())
                    names.push_back(name);
            }
        }
        return names;
    }();
    return kClasses;
}

void check_hardware_file(const JsonEntry& content, HardwareFile kind,
                         FunctionRef<void(const std::string& path, const JsonEntry& value)> visit) {
    if (content.type() != JsonType::object) content.unexpected(JsonPlace("the file"), "a table");
    file_schema::check_table(content, file_schema::schema_of(kind), "", visit);
}

}  // namespace infercost
