#include <pybind11/stl.h>

#include "bindings/fields.hpp"
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
    static constexpr Field kDType[] = {
        field<&DTypeRow::name>("name"),
        field<&DTypeRow::short_name>("short_name"),
        field<&DTypeRow::bits>("bits"),
        field<[](const DTypeRow& row) { return row.bits / row.values; }>("value_bits"),
        field<&DTypeRow::floating>("floating"),
    };
    def_fields(py::class_<DTypeRow>(
                   m, "DType", "An element type: torch's name, the short name of data sheets, its width."),
               kDType)
        .def("__repr__", [](const DTypeRow& row) { return "DType('" + std::string(row.name) + "')"; });
    m.def(
        "dtypes", [] { return std::vector<DTypeRow>(kDTypes.begin(), kDTypes.end()); },
        "The element types that graphs and machines know, widest floats first.");

    static constexpr Field kCalibrationConstant[] = {
        field<&CalibrationRow::tables>("tables"),
        field<[](const CalibrationRow& row) { return std::string(row.constant.key); }>("key"),
        field<&CalibrationRow::keys>("keys"),
        field<&CalibrationRow::names>("names"),
        field<[](const CalibrationRow& row) { return std::string(row.constant.unit.name); }>("unit"),
        field<[](const CalibrationRow& row) { return std::string(row.constant.unit.base); }>("base_unit"),
        field<[](const CalibrationRow& row) { return known(row.constant.otherwise); }>("default"),
        field<[](const CalibrationRow& row) { return row.constant.range.low; }>("low"),
        field<[](const CalibrationRow& row) { return row.constant.range.above; }>("above"),
        field<[](const CalibrationRow& row) { return limit(row.constant.range.high); }>("high"),
        field<[](const CalibrationRow& row) { return row.constant.range.whole; }>("whole"),
        field<&CalibrationRow::scope>("scope"),
        field<&CalibrationRow::fallback>("fallback"),
        field<[](const CalibrationRow& row) { return row.constant.required; }>("required"),
        field<&CalibrationRow::held>("held"),
        field<[](const CalibrationRow& row) { return std::string(row.constant.meaning); }>("meaning"),
    };
    def_fields(
        py::class_<CalibrationRow>(m, "CalibrationConstant", "A constant that calibration files may set."),
        kCalibrationConstant)
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
