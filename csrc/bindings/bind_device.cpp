#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "hardware/device_machine.hpp"
#include "hardware/file_schema.hpp"

namespace infercost {
namespace {

using Band = std::pair<double, std::string>;

ErrorBand to_band(const Band& band) {
    return {band.first, band.second};
}

DeviceFile read_device(const py::object& text, std::string name) {
    const JsonDocument document(to_text(text, "device"), std::move(name));
    return DeviceFile(document.root());
}

Hardware make_machine(const DeviceFile& device, std::map<std::string, double> values,
                      std::vector<std::string> lineage, const std::map<std::string, Band>& bands,
                      bool measured, const std::optional<Band>& library_int8,
                      std::optional<std::int64_t> threads, std::int64_t instances, bool sustained,
                      std::optional<double> host_s) {
    DeviceCalibration calibration{std::move(values), std::move(lineage), {}, measured, std::nullopt};
    for (const auto& [name, band] : bands) calibration.bands.emplace(name, to_band(band));
    if (library_int8) calibration.library_int8 = to_band(*library_int8);
    return machine_of(device, calibration, {threads, instances, sustained, host_s});
}

}  // namespace

void register_device(py::module_& m) {
    m.attr("HARDWARE_FILE_VERSION") = kHardwareFileVersion;
    m.def(
        "band_classes", [] { return std::vector<std::string>(band_classes().begin(), band_classes().end()); },
        "Classes of kernels that may have a band of their own; the first is for all others.");
    m.def(
        "check_hardware_file",
        [](const py::object& text, std::string_view kind, std::string name) {
            const JsonDocument document(to_text(text, "content"), std::move(name));
            check_hardware_file(document.root(), parse_hardware_file(kind),
                                [](const std::string&, const JsonEntry&) {});
        },
        py::arg("text"), py::kw_only(), py::arg("kind"), py::arg("name"),
        "Check the JSON of a hardware file against the schema of its kind.");
    py::class_<DeviceFile>(m, "DeviceFile", "The checked facts of a device file, in the units of the file.")
        .def(py::init(&read_device), py::arg("text"), py::kw_only(), py::arg("name"))
        .def_property_readonly("missing", &DeviceFile::missing)
        .def("check_family", &DeviceFile::check_family, py::arg("kind"),
             "Raise InputError where the kind of the file's family is another kind than that of the file.")
        .def("machine", &make_machine, py::arg("values"), py::kw_only(), py::arg("lineage"), py::arg("bands"),
             py::arg("measured") = false, py::arg("library_int8") = py::none(),
             py::arg("threads") = py::none(), py::arg("instances") = 1, py::arg("sustained") = false,
             py::arg("host_s") = py::none(), "The machine with the calibration constants of its family.");
}

}  // namespace infercost
