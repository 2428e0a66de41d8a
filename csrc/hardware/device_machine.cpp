#include "hardware/device_machine.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <set>

#include "core/dtype.hpp"
#include "hardware/board_power.hpp"
#include "hardware/file_schema.hpp"

namespace infercost {
namespace {

constexpr double kKibi = 1024.0;
constexpr double kMebi = kKibi * kKibi;
constexpr double kGibi = kMebi * kKibi;
constexpr double kGiga = 1e9;
constexpr double kMicro = 1e-6;
constexpr std::string_view kOtherBand = "other";

std::string in_quotes(const std::string& text) {
    return "'" + text + "'";
}

// Constants that a machine holds under their names; the loader derives other values from the rest.
const std::set<std::string, std::less<>>& held_constants() {
    static const std::set<std::string, std::less<>> kHeld = [] {
        std::set<std::string, std::less<>> names;
        for (const CalibrationRow& row : calibration_rows()) {
            if (!row.held) continue;
            for (const std::string& table : row.tables) {
                for (const std::string& name : row.names) names.insert(table + "." + name);
            }
        }
        return names;
    }();
    return kHeld;
}

bool has_dram(const DeviceFile& device) {
    return device.has("memory.dram.bandwidth_gb_per_s");
}

// A device without DRAM streams from the memory of the host, over the link.
double dram_byte_per_s(const DeviceFile& device) {
    const auto own = device.number("memory.dram.bandwidth_gb_per_s");
    return (own ? *own : *device.number("link.host.bandwidth_gb_per_s")) * kGiga;
}
double dram_bytes(const DeviceFile& device) {
    const auto usable = device.number("memory.dram.usable_gib");
    const auto gib = usable ? usable : device.number("memory.dram.capacity_gib");
    if (!gib) return std::numeric_limits<double>::infinity();
    return *gib * device.number_or("memory.dram.usable_share", 1.0) * kGibi;
}

// Bandwidths of links in one direction: host, device, and all NICs together.
NamedNumbers links_of(const DeviceFile& device) {
    NamedNumbers found;
    for (const char* const link : {"host", "device"}) {
        const auto bandwidth = device.number("link." + std::string(link) + ".bandwidth_gb_per_s");
        if (bandwidth) found.emplace(link, *bandwidth * kGiga);
    }
    if (const auto nic = device.number("link.network.nic_gb_per_s")) {
        found.emplace("network", *nic * device.number_or("link.network.nics_per_device", 1.0) * kGiga);
    }
    return found;
}

// Topology of the links; only a PCIe link reaches other devices through the host.
void set_link_facts(NamedNumbers& found, const DeviceFile& device) {
    const std::string_view kind = device.text("link.host.kind");
    if (kind.starts_with("PCIe")) found["link.host_shared"] = 1.0;
    // Host and device share one memory: no copies.
    if (device.kind() == MachineKind::cpu || kind.find("memory") != std::string_view::npos) {
        found["link.host_unified"] = 1.0;
    }
    if (device.kind() == MachineKind::systolic && !has_dram(device)) found["link.host_weights"] = 1.0;
    if (device.number_or("link.host.direct", 0) != 0) found["link.host_direct"] = 1.0;
    if (const auto latency_us = device.number("link.network.latency_us")) {
        found["link.network_latency_s"] = *latency_us * kMicro;
    }
    if (const auto devices = device.number("devices_per_node")) found["link.node_devices"] = *devices;
    for (const char* const key : {"peers", "domain", "reduces"}) {
        const auto fact = device.number("link.device." + std::string(key));
        if (fact) found["link.device_" + std::string(key)] = *fact;
    }
}

// The power limit of the board and its idle power, as far as they are known.
NamedNumbers power_limits(const DeviceFile& device, std::optional<double> idle_fraction) {
    NamedNumbers found;
    const auto tdp_w = device.number("power.tdp_w");
    auto idle_w = device.number("power.idle_w");
    if (!idle_w && tdp_w && idle_fraction) idle_w = *idle_fraction * *tdp_w;
    if (tdp_w) found.emplace("tdp", *tdp_w);
    if (idle_w) found.emplace("idle", *idle_w);
    return found;
}

// Sources: `datasheet`, of the peaks; `verified`; `unverified`, the facts that were not read in their source;
// `constants`, the calibration files, nearest first.
std::map<std::string, std::string> provenance_of(const DeviceFile& device,
                                                 const DeviceCalibration& calibration) {
    const auto joined = [](std::string text, const std::vector<std::string>& more) {
        for (const std::string& each : more) text += (text.empty() ? "" : ", ") + each;
        return text;
    };
    return {
        {"datasheet", std::string(device.text("source.text"))},
        {"verified", *device.number("verified") != 0 ? "yes" : "no"},
        {"unverified", joined("", device.unverified())},
        {"constants", joined(calibration.measured ? "this device" : "", calibration.lineage)}
    };
}

void require_facts(const DeviceFile& device, const DeviceCalibration& calibration) {
    device.check_family(calibration.lineage.empty() ? "" : calibration.lineage.back());
    const std::vector<std::string> gaps = device.missing();
    if (gaps.empty()) return;
    std::string lacking;
    for (const std::string& gap : gaps) lacking += (lacking.empty() ? "" : ", nor ") + gap;
    device.fail(in_quotes(device.id()) + " cannot be used for estimates: the file does not give " + lacking +
                "; add the value with its source to a copy of the file, and pass the copy");
}

std::int64_t all_cores_of(const DeviceFile& device) {
    return static_cast<std::int64_t>(*device.number("compute.cores"));
}

void check_count(const DeviceFile& device, const char* name, std::int64_t given, std::int64_t most) {
    if (given >= 1 && given <= most) return;
    throw InputError(std::string(name) + " of " + in_quotes(device.id()) + " is " + std::to_string(given) +
                     "; expected a whole number from 1 to " + std::to_string(most));
}
void check_cpu(const DeviceFile& device, const char* name, std::int64_t given) {
    if (device.kind() == MachineKind::cpu) return;
    throw InputError(std::string(name) + " is " + std::to_string(given) + ", but " + in_quotes(device.id()) +
                     " is of kind '" + std::string(name_of(device.kind())) + "'; expected a CPU");
}
std::int64_t cores_in_use(const DeviceFile& device, const DeviceUse& use) {
    if (use.threads) check_cpu(device, "threads", *use.threads);
    if (use.instances != 1) check_cpu(device, "instances", use.instances);
    const std::int64_t all_cores = all_cores_of(device);
    check_count(device, "instances", use.instances, all_cores);
    const std::int64_t each = all_cores / use.instances;
    if (!use.threads) return each;
    check_count(device, "threads", *use.threads,
                each * static_cast<std::int64_t>(device.number_or("compute.threads_per_core", 1)));
    return std::min(*use.threads, each);  // the threads of a core share its units
}

// Share of the peak that some cores reach together. Loops are split into equal parts, so that the slowest
// core determines their duration: with efficiency cores in use, all cores are as fast as these, unless
// the performance cores alone are faster.
double share_of_peak(const DeviceFile& device, std::int64_t used) {
    const auto all = static_cast<double>(all_cores_of(device));
    const auto cores = static_cast<double>(used);
    const double fast = std::min(device.number_or("compute.performance_cores", all), all);
    const double rate = device.number_or("compute.efficiency_core_rate", 1.0);
    const double reached = cores <= fast ? cores : std::max(fast, cores * rate);
    return reached / (fast + (all - fast) * rate);
}

class DeviceConversion {
  public:
    DeviceConversion(const DeviceFile& device, const DeviceCalibration& calibration, const DeviceUse& use)
        : device_(device), calibration_(calibration), use_(use) {
        require_facts(device, calibration);
        all_cores_ = all_cores_of(device);
        cores_ = cores_in_use(device, use);
        instances_ = static_cast<double>(use.instances);
        share_ = share_of_peak(device, cores_ * use.instances) / instances_;
        clock_hz_ = device.number("compute.clock_ghz").value_or(written("assumed.clock_ghz")) * kGiga;
        values_ = base_constants(calibration.values, clock_hz_);
        if (use.host_s) {
            set_host(*use.host_s);
        } else if (device.has("calibration.overheads.dispatch_us")) {
            values_.erase("forward.host_spread");  // it was measured
        }
    }

    Hardware machine() const {
        Hardware h;
        h.id = device_.id();
        h.name = name();
        h.kind = device_.kind();
        h.family = device_.family();
        h.cores = static_cast<double>(cores_);
        h.clock_hz = clock_hz_;
        h.matrix = rates("matrix");
        h.vector = vector_rates();
        h.memory = memory();
        if (device_.has("compute.array")) {
            const auto of = [&](const char* key) {
                return *device_.number(std::string("compute.array.") + key);
            };
            h.array = ArrayShape{of("rows"), of("cols"), of("units")};
        }
        h.sparsity_2_4 = device_.number_or("sparsity.factor_2_4", 1.0);
        h.overheads = {overhead("dispatch"), overhead("launch_gap"), overhead("replay_gap"),
                       overhead("kernel_minimum")};
        h.set_achieved(achieved());
        h.set_constants(constants(h));
        h.power_w = power_limits(device_, value("assumed.idle_fraction_of_tdp"));
        h.links_byte_per_s = links_of(device_);
        set_bands(h);
        h.provenance = provenance_of(device_, calibration_);
        h.validate();
        return h;
    }

  private:
    // ---- constants ----

    double value(const std::string& name, double otherwise) const {
        const auto found = values_.find(name);
        return found == values_.end() ? otherwise : found->second;
    }
    std::optional<double> value(const std::string& name) const {
        const auto found = values_.find(name);
        return found == values_.end() ? std::nullopt : std::optional(found->second);
    }
    double required(const std::string& name) const {
        const auto found = values_.find(name);
        if (found == values_.end()) device_.fail("the calibration of its family has no " + in_quotes(name));
        return found->second;
    }
    double written(const std::string& key) const {
        const auto found = calibration_.values.find(key);
        if (found == calibration_.values.end()) return kUnset;
        return found->second;
    }
    double overhead(const std::string& name) const {
        return required("overheads." + name + "_s") + value("overheads." + name + "_core_s", 0.0);
    }

    // A given host has no spread of unknown hosts.
    void set_host(double host_s) {
        if (device_.kind() != MachineKind::gpu) {
            throw InputError("host is given, but " + in_quotes(device_.id()) + " is of kind '" +
                             std::string(name_of(device_.kind())) +
                             "'; expected a GPU, whose kernels a host issues");
        }
        const double times = host_s / required("overheads.dispatch_s");
        values_.erase("forward.host_spread");
        for (const char* const name : {"overheads.dispatch_s", "forward.compiled_dispatch_s"}) {
            const auto found = values_.find(name);
            if (found != values_.end()) found->second *= times;
        }
    }

    // Reachable share of each peak; ECC that is stored among the data takes bandwidth.
    NamedNumbers achieved() const {
        constexpr std::string_view kTable = "achieved.";
        NamedNumbers found;
        for (auto it = values_.lower_bound(std::string(kTable)); it != values_.end(); ++it) {
            if (!it->first.starts_with(kTable)) break;
            found.emplace(it->first.substr(kTable.size()), it->second);
        }
        if (device_.number_or("memory.dram.inline_ecc", 0) != 0)
            found["dram"] *= value("stream.inline_ecc", 1.0);
        return found;
    }

    NamedNumbers constants(const Hardware& h) const {
        NamedNumbers found;
        for (const auto& [name, number] : values_) {
            if (!name.starts_with("achieved.") && held_constants().contains(name))
                found.emplace(name, number);
        }
        for (const auto& [name, band] : calibration_.bands) {
            if (name != kOtherBand) found[name + ".spread"] = band.spread;
        }
        set_link_facts(found, device_);
        // cuDNN rounds to TF32 where a GPU of NVIDIA has it.
        if (h.kind == MachineKind::gpu && device_.text("vendor") == "NVIDIA" &&
            device_.has("compute.matrix_tflop_per_s.tf32")) {
            found["library.rounds_to_tf32"] = 1.0;
        }
        if (has_library_int8(h)) {
            found["library.int8_flop_per_s"] = device_.number_or("compute.int8_over_fp32", 1.0) *
                                               required("achieved.vector") * h.vector[DType::float32];
            found["library.int8_spread"] = calibration_.library_int8->spread;
        }
        const std::optional<BoardPower> power = board_power(device_, values_, clock_hz_, use_.sustained);
        if (use_.sustained && !power) refuse_sustained();
        NamedNumbers joules;
        if (power) {
            joules = engine_joules(device_, values_, *power);
            set_power_times(found, *power, joules, use_.sustained);
        }
        set_energy(found, device_, values_, joules, instances_);
        return found;
    }

    // Compilers of whole models on a CPU that was calibrated, which measures torch's products: torch's int8
    // product may be a plain loop, and a compiler uses the instructions of the processor.
    bool has_library_int8(const Hardware& h) const {
        return h.kind == MachineKind::cpu && calibration_.measured && calibration_.library_int8 &&
               h.vector[DType::float32] > 0;
    }

    [[noreturn]] void refuse_sustained() const {
        const std::string lacking = device_.has("power.tdp_w")
                                        ? in_quotes(device_.family()) + " has no [power]"
                                        : "it has no power.tdp_w";
        throw InputError("sustained is set, but the power of " + in_quotes(device_.id()) +
                         " under load is unknown: " + lacking +
                         "; expected a GPU of known power limit and energy, or sustained=False");
    }

    void set_bands(Hardware& h) const {
        for (const auto& [name, band] : calibration_.bands) {
            h.evidence.emplace(name, band.evidence);
            if (name == kOtherBand) h.spread = band.spread;
        }
        if (has_library_int8(h)) h.evidence["library.int8"] = calibration_.library_int8->evidence;
    }

    // ---- rates ----

    Rates rates(const std::string& engine) const {
        Rates found{};
        for (std::size_t i = 0; i < kDTypeCount; ++i) {
            const auto dtype = static_cast<DType>(i);
            if (!owns_short_name(dtype)) continue;
            const std::string key =
                "compute." + engine + "_tflop_per_s." + std::string(kDTypes[dtype].short_name);
            if (const auto rate = device_.number(key)) found[dtype] = *rate * kTera * share_;
        }
        return found;
    }
    Rates vector_rates() const {
        Rates found = rates("vector");
        const auto per_clock = value("assumed.vector_flop_per_clock_per_core");
        const bool none = std::all_of(found.begin(), found.end(), [](double rate) { return rate == 0; });
        if (none && per_clock) found[DType::float32] = *per_clock * static_cast<double>(cores_) * clock_hz_;
        return found;
    }

    // ---- memory ----

    // Bandwidth of a cache; none where nothing states it.
    std::optional<double> cache_byte_per_s(const std::string& level, double dram_byte_per_s) const {
        const auto cores = static_cast<double>(cores_);
        if (const auto stated = device_.number("memory." + level + ".bandwidth_gb_per_s")) {
            return *stated * kGiga * (cores / static_cast<double>(all_cores_));
        }
        if (const auto per_clock = value("cache." + level + "_byte_per_clock_per_core")) {
            return *per_clock * cores * clock_hz_;
        }
        if (!has_dram(device_) && device_.has("compute.array")) {
            // A row of operands and a row of results in each clock; the host link is no bound of a
            // scratchpad.
            const auto of = [&](const char* key) {
                return *device_.number(std::string("compute.array.") + key);
            };
            return (of("rows") + of("cols")) * of("units") * clock_hz_;
        }
        const auto multiple = value("cache." + level + "_over_dram_bandwidth");
        return multiple ? std::optional(*multiple * dram_byte_per_s) : std::nullopt;
    }

    std::vector<MemoryLevel> memory() const {
        const double of_dram = dram_byte_per_s(device_) / instances_;
        const auto cores = static_cast<double>(cores_);
        std::vector<MemoryLevel> levels;
        for (const std::string_view name : kCacheLevels) {
            const std::string level(name);
            if (!device_.has("memory." + level)) continue;
            const auto per_core = device_.number("memory." + level + ".capacity_kib_per_core");
            const double bytes =
                per_core ? *per_core * kKibi * cores
                         : *device_.number("memory." + level + ".capacity_mib") * kMebi / instances_;
            if (const auto bandwidth = cache_byte_per_s(level, of_dram))
                levels.push_back({level, bytes, *bandwidth});
        }
        const auto assumed = value("assumed.scratchpad_bytes_per_core");
        if (levels.empty() && assumed) {
            levels.push_back({"scratchpad", *assumed * cores,
                              value("cache.scratchpad_over_dram_bandwidth", 1.0) * of_dram});
        }
        levels.push_back({"dram", dram_bytes(device_) / instances_, of_dram});
        return levels;
    }

    std::string name() const {
        std::string text(device_.text("name"));
        if (use_.threads || use_.instances != 1) {
            text += ", " + std::to_string(cores_) + " of " + std::to_string(all_cores_) + " cores";
        }
        if (use_.sustained) text += ", sustained";
        if (use_.host_s) {
            std::array<char, 32> digits{};
            std::snprintf(digits.data(), digits.size(), "%.4g", *use_.host_s / kMicro);
            text += std::string(", host ") + digits.data() + " us";
        }
        return text;
    }

    const DeviceFile& device_;
    const DeviceCalibration& calibration_;
    const DeviceUse& use_;
    std::int64_t all_cores_ = 1;
    std::int64_t cores_ = 1;
    double instances_ = 1;
    double share_ = 1;
    double clock_hz_ = 0;
    NamedNumbers values_;  // in base units
};

}  // namespace

Hardware machine_of(const DeviceFile& device, const DeviceCalibration& calibration, const DeviceUse& use) {
    return DeviceConversion(device, calibration, use).machine();
}

Hardware machine_of_device_json(std::string_view text, std::string name) {
    const JsonDocument document(text, std::move(name));
    const auto [device, calibration, sustained] =
        document.root().members(JsonPlace("the document"),
                                std::array{
                                    JsonKey{"device"},
                                    JsonKey{"calibration"},
                                    JsonKey{"sustained", false}
    });
    const JsonPlace place("calibration");
    const auto [lineage, values, bands] =
        calibration.members(place, std::array{JsonKey{"lineage"}, JsonKey{"values"}, JsonKey{"bands"}});
    DeviceCalibration known;
    const JsonPlace of_lineage("lineage", &place);
    lineage.for_each_item(of_lineage, "a list of texts", [&](const JsonEntry& family) {
        known.lineage.emplace_back(family.text(of_lineage));
    });
    values.for_each_member(place, [&](std::string_view key, const JsonEntry& value) {
        known.values.emplace(key, value.number(JsonPlace("calibration", key)));
    });
    bands.for_each_member(place, [&](std::string_view key, const JsonEntry& value) {
        const JsonPlace of_band("band", key);
        const auto [spread, evidence] = value.pair(of_band, "a spread and its evidence");
        known.bands.emplace(key, ErrorBand{spread.number(of_band), std::string(evidence.text(of_band))});
    });
    DeviceUse use;
    if (sustained) use.sustained = sustained.boolean(JsonPlace("sustained"));
    const DeviceFile file(device);
    if (file.has("calibration")) {
        file.fail(
            "[calibration] has constants that were measured on this device; expected none here, since "
            "`pyinfercost explore MODEL --hardware FILE` reads them");
    }
    return machine_of(file, known, use);
}

}  // namespace infercost
