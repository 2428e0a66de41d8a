#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "core/dtype.hpp"
#include "hardware/constants.hpp"

namespace infercost {
namespace {

using Named = std::map<std::string, double>;

std::optional<double> known(double value) {
    return is_set(value) ? std::optional(value) : std::nullopt;
}

// None for a bound that only keeps results finite: pages and schemas would state it for nothing.
std::optional<double> limit(double value) {
    return value < kHuge ? std::optional(value) : std::nullopt;
}

}  // namespace

void register_constants(py::module_& m) {
    py::class_<DTypeRow>(m, "DType",
                         "An element type: torch's name, the short name of data sheets, its width.")
        .def_property_readonly("name", [](const DTypeRow& row) { return std::string(row.name); })
        .def_property_readonly("short_name", [](const DTypeRow& row) { return std::string(row.short_name); })
        .def_property_readonly("bits", [](const DTypeRow& row) { return row.bits; })
        .def_property_readonly("value_bits", [](const DTypeRow& row) { return row.bits / row.values; })
        .def_property_readonly("floating", [](const DTypeRow& row) { return row.floating; })
        .def("__repr__", [](const DTypeRow& row) { return "DType('" + std::string(row.name) + "')"; });
    m.def(
        "dtypes", [] { return std::vector<DTypeRow>(kDTypes.begin(), kDTypes.end()); },
        "The element types that graphs and machines know, widest floats first.");

    py::class_<CalibrationRow>(m, "CalibrationConstant", "A constant that calibration files may set.")
        .def_property_readonly("tables", [](const CalibrationRow& row) { return row.tables; })
        .def_property_readonly("key", [](const CalibrationRow& row) { return std::string(row.constant.key); })
        .def_property_readonly("keys", [](const CalibrationRow& row) { return row.keys; })
        .def_property_readonly("names", [](const CalibrationRow& row) { return row.names; })
        .def_property_readonly("unit",
                               [](const CalibrationRow& row) { return std::string(row.constant.unit.name); })
        .def_property_readonly("base_unit",
                               [](const CalibrationRow& row) { return std::string(row.constant.unit.base); })
        .def_property_readonly("default",
                               [](const CalibrationRow& row) { return known(row.constant.otherwise); })
        .def_property_readonly("low", [](const CalibrationRow& row) { return row.constant.range.low; })
        .def_property_readonly("above", [](const CalibrationRow& row) { return row.constant.range.above; })
        .def_property_readonly("high",
                               [](const CalibrationRow& row) { return limit(row.constant.range.high); })
        .def_property_readonly("whole", [](const CalibrationRow& row) { return row.constant.range.whole; })
        .def_property_readonly("scope",
                               [](const CalibrationRow& row) { return std::string(name_of(row.scope)); })
        .def_property_readonly("fallback", [](const CalibrationRow& row) { return row.fallback; })
        .def_property_readonly("required", [](const CalibrationRow& row) { return row.constant.required; })
        .def_property_readonly("held", [](const CalibrationRow& row) { return row.held; })
        .def_property_readonly("meaning",
                               [](const CalibrationRow& row) { return std::string(row.constant.meaning); })
        .def("__repr__", [](const CalibrationRow& row) {
            return "CalibrationConstant('" + row.tables.front() + "." + std::string(row.constant.key) + "')";
        });
    m.def("calibration_constants", &calibration_rows, "The constants that calibration files may set.");
    m.def("base_constants", &base_constants, py::arg("calibration"), py::kw_only(), py::arg("clock_hz"),
          "Values of a calibration file by `table.key`, in base units by `table.name`.");
    m.def("calibration_value", &calibration_value, py::arg("key"), py::arg("base"), py::kw_only(),
          py::arg("clock_hz"), "A value in base units as a calibration file writes it under `table.key`.");
}

}  // namespace infercost
