#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "select/pareto.hpp"

namespace infercost {
namespace {

using ValueArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::array_t<std::int64_t> front_of_columns(const std::vector<ValueArray>& columns,
                                           const std::vector<bool>& maximize) {
    if (maximize.size() != columns.size()) {
        throw std::invalid_argument("maximize has " + std::to_string(maximize.size()) +
                                    " entries, expected " + std::to_string(columns.size()) +
                                    ", one for each column");
    }
    std::vector<std::span<const double>> objectives;
    for (const ValueArray& column : columns) {
        if (column.ndim() != 1) {
            throw std::invalid_argument("column " + std::to_string(objectives.size()) + " has " +
                                        std::to_string(column.ndim()) + " dimensions, expected 1");
        }
        objectives.emplace_back(column.data(), static_cast<std::size_t>(column.shape(0)));
    }
    auto rows = std::make_unique<std::vector<std::int64_t>>();
    {
        const CoreCall core;
        *rows = pareto_front(objectives, maximize);
    }
    // The array takes the vector over: a front may be as long as the columns.
    const auto count = static_cast<py::ssize_t>(rows->size());
    const std::int64_t* data = rows->data();
    const py::capsule owner(rows.get(),
                            [](void* held) { delete static_cast<std::vector<std::int64_t>*>(held); });
    rows.release();
    return py::array_t<std::int64_t>(count, data, owner);
}

}  // namespace

void register_select(py::module_& m) {
    m.def("pareto_front", &front_of_columns, py::arg("columns"), py::arg("maximize"),
          "Ascending indices of the rows that no other row dominates; a row with a NaN is never among them.");
}

}  // namespace infercost
