#include <pybind11/stl.h>

#include "bindings/fields.hpp"
#include "hardware/hardware_json.hpp"

namespace infercost {
namespace {

using Named = std::map<std::string, double>;
using Texts = std::map<std::string, std::string>;
using Level = std::tuple<std::string, double, double>;

Rates to_rates(const Named& named) {
    Rates rates{};
    for (const auto& [dtype, rate] : named) rates[static_cast<std::size_t>(parse_dtype(dtype))] = rate;
    return rates;
}

Named from_rates(const Rates& rates) {
    Named named;
    for (std::size_t i = 0; i < rates.size(); ++i) {
        if (rates[i] > 0) named[std::string(name_of(static_cast<DType>(i)))] = rates[i];
    }
    return named;
}

double overhead(const Named& named, const char* key) {
    const auto found = named.find(key);
    if (found == named.end()) throw std::invalid_argument("overheads_s has no '" + std::string(key) + "'");
    return found->second;
}

Hardware make_hardware(std::string id, std::string name, std::string_view kind, std::string family,
                       double cores, double clock_hz, const Named& matrix, const Named& vector,
                       const std::vector<Level>& memory, std::optional<std::array<double, 3>> array,
                       double sparsity_2_4, const Named& overheads_s, const Named& achieved, Named power_w,
                       Named links, double spread, const Named& constants, Texts evidence, Texts provenance) {
    Hardware h;
    h.id = std::move(id);
    h.name = std::move(name);
    h.kind = parse_machine_kind(kind);
    h.family = std::move(family);
    h.cores = cores;
    h.clock_hz = clock_hz;
    h.matrix = to_rates(matrix);
    h.vector = to_rates(vector);
    for (const auto& [level, capacity, bandwidth] : memory) h.memory.push_back({level, capacity, bandwidth});
    if (array) h.array = ArrayShape{(*array)[0], (*array)[1], (*array)[2]};
    h.sparsity_2_4 = sparsity_2_4;
    h.overheads = {overhead(overheads_s, "dispatch"), overhead(overheads_s, "launch_gap"),
                   overhead(overheads_s, "replay_gap"), overhead(overheads_s, "kernel_minimum")};
    h.set_constants(constants);
    h.set_achieved(achieved);
    h.power_w = std::move(power_w);
    h.links_byte_per_s = std::move(links);
    h.spread = spread;
    h.evidence = std::move(evidence);
    h.provenance = std::move(provenance);
    h.validate();
    return h;
}

Named overheads_of(const Hardware& h) {
    return {
        {"dispatch",       h.overheads.dispatch_s      },
        {"launch_gap",     h.overheads.launch_gap_s    },
        {"replay_gap",     h.overheads.replay_gap_s    },
        {"kernel_minimum", h.overheads.kernel_minimum_s}
    };
}

}  // namespace

void register_hardware(py::module_& m) {
    static constexpr Field kHardware[] = {
        field<&Hardware::id>("id"),
        field<&Hardware::name>("name"),
        field<&Hardware::kind>("kind"),
        field<&Hardware::family>("family"),
        field<&Hardware::cores>("cores"),
        field<&Hardware::clock_hz>("clock_hz"),
        field<[](const Hardware& h) { return from_rates(h.matrix); }>("matrix_flop_per_s"),
        field<[](const Hardware& h) { return from_rates(h.vector); }>("vector_flop_per_s"),
        field<[](const Hardware& h) {
            std::vector<Level> levels;
            for (const MemoryLevel& l : h.memory) {
                levels.emplace_back(l.name, l.capacity_bytes, l.bandwidth_byte_per_s);
            }
            std::get<2>(levels.back()) = h.dram_byte_per_s();
            return levels;
        }>("memory"),
        field<[](const Hardware& h) { return h.dram().capacity_bytes; }>("memory_bytes"),
        field<&Hardware::dram_byte_per_s>("bandwidth_byte_per_s"),
        field<[](const Hardware& h) -> std::optional<std::tuple<double, double, double>> {
            if (!h.array) return std::nullopt;
            return std::tuple{h.array->rows, h.array->cols, h.array->units};
        }>("array"),
        field<&overheads_of>("overheads_s"),
        field<&Hardware::named_achieved>("achieved"),
        field<&Hardware::named_constants>("constants"),
        field<&Hardware::power_w>("power_w"),
        field<&Hardware::links_byte_per_s>("links_byte_per_s"),
        field<&Hardware::sparsity_2_4>("sparsity_2_4"),
        field<&Hardware::sustained>("sustained"),
        field<&Hardware::spread>("spread"),
        field<&Hardware::evidence>("evidence"),
        field<&Hardware::provenance>("provenance"),
    };
    def_fields(
        py::class_<Hardware, py::smart_holder>(
            m, "Hardware",
            "A machine as data, in base units: FLOP/s (dense, multiply-accumulate = 2), bytes, seconds.\n\n"
            "memory lists (level, capacity in bytes over all cores, bandwidth in byte/s over all cores)\n"
            "from the innermost to 'dram'; overheads_s has dispatch, launch_gap, replay_gap and\n"
            "kernel_minimum; achieved has fractions of peaks: matrix, vector, dram, cache, and matrix_fp8\n"
            "and its like where a dtype differs; spread is the error band, as a\n"
            "fraction of latency, where constants have none of a kernel's class; evidence says what the "
            "band\n"
            "of a class rests on, and provenance where the figures are from."),
        kHardware)
        .def(py::init(&make_hardware), py::kw_only(), py::arg("id"), py::arg("name"), py::arg("kind"),
             py::arg("family"), py::arg("cores"), py::arg("clock_hz"), py::arg("matrix_flop_per_s"),
             py::arg("vector_flop_per_s"), py::arg("memory"), py::arg("array") = py::none(),
             py::arg("sparsity_2_4") = 1.0, py::arg("overheads_s"), py::arg("achieved"), py::arg("power_w"),
             py::arg("links_byte_per_s"), py::arg("spread") = 0.0, py::arg("constants") = Named{},
             py::arg("evidence") = Texts{}, py::arg("provenance") = Texts{})
        .def("constant", &Hardware::constant, py::arg("name"),
             "A constant in base units, with its default where the family sets none; nan where it has none.")
        .def(
            "scaled",
            [](const Hardware& h, double cores, double compute, double bandwidth) {
                return scaled(h, {.cores = cores, .compute = compute, .dram_bandwidth = bandwidth});
            },
            py::kw_only(), py::arg("cores") = 1.0, py::arg("compute") = 1.0, py::arg("bandwidth") = 1.0,
            "A hypothetical machine with these factors on cores (to whole ones), arithmetic, DRAM bandwidth.")
        .def("to_json", &hardware_to_json, "The machine as JSON text, with schema_version.")
        .def_static(
            "from_json",
            [](const py::object& text) { return hardware_from_json(to_text(text, "machine JSON")); },
            py::arg("text"), "The machine of a text of to_json().")
        .def(py::pickle(&hardware_to_json, [](const std::string& text) { return hardware_from_json(text); }))
        .def("__repr__", [](const Hardware& h) { return "Hardware('" + h.id + "')"; });
}

}  // namespace infercost
