#include <pybind11/numpy.h>
#include <pybind11/operators.h>
#include <pybind11/stl.h>

#include "bindings/fields.hpp"
#include "core/expr_columns.hpp"

namespace infercost {
namespace {

Expr from_python(const py::object& value) {
    if (py::isinstance<py::str>(value)) return Expr::parse(to_text(value, "a size expression"));
    return to_expr(value, "an Expr");
}

using SizeColumn = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

py::array_t<std::int64_t> evaluate_at(const Expr& e, const py::dict& sizes) {
    std::vector<SizeColumn> arrays;  // keeps the columns alive while the lock is released
    SizeColumns columns;
    for (const auto& [name, values] : sizes) {
        const auto key = to_text(name, "the name of a size");
        SizeColumn column = SizeColumn::ensure(values);
        if (!column || column.ndim() != 1) {
            throw std::invalid_argument("size '" + key + "' must be a one-dimensional array of integers");
        }
        if (!arrays.empty() && column.shape(0) != arrays.front().shape(0)) {
            throw std::invalid_argument("size '" + key + "' has " + std::to_string(column.shape(0)) +
                                        " values; the sizes before it have " +
                                        std::to_string(arrays.front().shape(0)));
        }
        columns[key] = {column.data(), static_cast<std::size_t>(column.shape(0))};
        arrays.push_back(std::move(column));
    }
    if (arrays.empty()) throw std::invalid_argument("evaluate_columns needs at least one size");
    std::vector<std::int64_t> found;
    {
        const CoreCall core;
        found = evaluate_columns(e, columns, static_cast<std::size_t>(arrays.front().shape(0)));
    }
    return py::array_t<std::int64_t>(static_cast<py::ssize_t>(found.size()), found.data());
}

py::object equal(const Expr& a, const py::object& other) {
    if (py::isinstance<Expr>(other)) return py::bool_(a == other.cast<const Expr&>());
    if (PyLong_Check(other.ptr())) return py::bool_(a == Expr(other.cast<std::int64_t>()));
    return py::reinterpret_borrow<py::object>(Py_NotImplemented);
}

template <class Op>
auto binary(Op op) {
    return [op](const Expr& a, const py::object& b) { return op(a, to_expr(b, "an operand of an Expr")); };
}
template <class Op>
auto reflected(Op op) {
    return [op](const Expr& b, const py::object& a) { return op(to_expr(a, "an operand of an Expr"), b); };
}

}  // namespace

Expr to_expr(py::handle value, const char* what) {
    if (PyLong_Check(value.ptr())) {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
        if (overflow != 0) throw OverflowError(std::string(what) + " does not fit 64 bits");
        return {static_cast<std::int64_t>(number)};
    }
    if (py::isinstance<Expr>(value)) return value.cast<const Expr&>();
    // numpy integers and the like
    if (PyIndex_Check(value.ptr())) {
        const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
        if (!number) throw py::error_already_set();
        return to_expr(number, what);
    }
    throw InputTypeError(std::string(what) + " must be an int or an Expr, got " +
                         py::str(py::type::handle_of(value)).cast<std::string>());
}

std::vector<Expr> to_exprs(py::handle values, const char* what) {
    std::vector<Expr> result;
    for (const py::handle value : py::reinterpret_borrow<py::iterable>(values))
        result.push_back(to_expr(value, what));
    return result;
}

Sizes to_sizes(const py::dict& values) {
    Sizes sizes;
    for (const auto& [name, value] : values) {
        const auto key = to_text(name, "the name of a size");
        const Expr number = to_expr(value, ("size '" + key + "'").c_str());
        sizes[key] = number.constant();
    }
    return sizes;
}

py::tuple to_python(const std::vector<Expr>& values) {
    py::tuple result(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) result[i] = to_python(values[i]);
    return result;
}

void register_expr(py::module_& m) {
    const auto add = [](const Expr& a, const Expr& b) { return a + b; };
    const auto sub = [](const Expr& a, const Expr& b) { return a - b; };
    const auto mul = [](const Expr& a, const Expr& b) { return a * b; };
    const auto div = [](const Expr& a, const Expr& b) { return a / b; };
    const auto mod = [](const Expr& a, const Expr& b) { return a % b; };
    const auto two = [](Expr (*op)(const Expr&, const Expr&)) {
        return [op](const py::object& a, const py::object& b) {
            return op(to_expr(a, "left"), to_expr(b, "right"));
        };
    };
    static constexpr Field kExpr[] = {
        field<&Expr::is_constant>("is_constant"),
        field<&Expr::names>("names"),
    };
    def_fields(
        py::class_<Expr>(
            m, "Expr",
            "An immutable integer expression over named sizes.\n\n"
            "Built from an int, from text such as \"2*batch*sequence\", or from Expr.size(name), with\n"
            "+ - * // % and maximum, minimum, ceil_div. Named sizes are at least 1. Arithmetic is exact and\n"
            "raises OverflowError where 64 bits do not suffice."),
        kExpr)
        .def(py::init(&from_python), py::arg("value"))
        .def_static(
            "size", [](const std::string& name) { return Expr::size(name); }, py::arg("name"))
        .def_static("maximum", two(&Expr::maximum), py::arg("left"), py::arg("right"))
        .def_static("minimum", two(&Expr::minimum), py::arg("left"), py::arg("right"))
        .def_static("ceil_div", two(&Expr::ceil_div), py::arg("left"), py::arg("right"))
        .def(
            "evaluate", [](const Expr& e, const py::dict& sizes) { return e.evaluate(to_sizes(sizes)); },
            py::arg("sizes"), "The value for these sizes; ValueError if one is missing.")
        .def("evaluate_columns", &evaluate_at, py::arg("sizes"),
             "The values for whole columns of sizes: int64 arrays of one length.")
        .def(
            "substitute", [](const Expr& e, const py::dict& sizes) { return e.substitute(to_sizes(sizes)); },
            py::arg("sizes"), "Replaces the sizes that are given and keeps the others.")
        .def("__add__", binary(add), py::arg("other"))
        .def("__radd__", reflected(add), py::arg("other"))
        .def("__sub__", binary(sub), py::arg("other"))
        .def("__rsub__", reflected(sub), py::arg("other"))
        .def("__mul__", binary(mul), py::arg("other"))
        .def("__rmul__", reflected(mul), py::arg("other"))
        .def("__floordiv__", binary(div), py::arg("other"))
        .def("__rfloordiv__", reflected(div), py::arg("other"))
        .def("__mod__", binary(mod), py::arg("other"))
        .def("__rmod__", reflected(mod), py::arg("other"))
        .def("__neg__", [](const Expr& e) { return Expr(0) - e; })
        .def("__int__", &Expr::constant)
        .def("__eq__", &equal, py::arg("other"))
        .def("__hash__",  // of an equal int, where there is one
             [](const Expr& e) {
                 return e.is_constant() ? py::hash(py::int_(e.constant()))
                                        : static_cast<py::ssize_t>(e.hash());
             })
        .def("__str__", &Expr::text)
        .def("__repr__", [](const Expr& e) { return "Expr('" + e.text() + "')"; });
}

}  // namespace infercost
