// Plain dicts and JSON -> Graph. Every message says which entry, what was got and what was expected.
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

std::string type_name(py::handle value) {
    return py::str(py::type::handle_of(value).attr("__name__"));
}

py::object field(const py::dict& entry, const char* key, const std::string& where) {
    if (!entry.contains(key))
        throw py::value_error("graph JSON: " + where + " has no '" + std::string(key) + "'");
    return entry[key];
}

// What the core says about an entry, with the entry's place in the document.
template <class Read>
auto within(const std::string& where, Read&& read) {
    try {
        return read();
    } catch (const std::invalid_argument& error) {
        throw py::value_error("graph JSON: " + where + ": " + error.what());
    }
}

template <class T>
T typed(const py::object& value, const std::string& where, const char* expected) {
    if (!py::isinstance<T>(value)) {
        throw py::value_error("graph JSON: " + where + " is a " + type_name(value) + "; expected " +
                              expected);
    }
    return py::reinterpret_borrow<T>(value);
}

Expr read_expr(py::handle value, const std::string& where) {
    if (PyLong_Check(value.ptr()) && !PyBool_Check(value.ptr())) return to_expr(value, where.c_str());
    if (PyUnicode_Check(value.ptr())) {
        return within(where, [&] { return Expr::parse(value.cast<std::string>()); });
    }
    throw py::value_error("graph JSON: " + where + " is a " + type_name(value) +
                          "; expected an integer or a size expression");
}

std::vector<Expr> read_exprs(const py::object& value, const std::string& where) {
    std::vector<Expr> result;
    for (const py::handle item : typed<py::list>(value, where, "a list"))
        result.push_back(read_expr(item, where));
    return result;
}

std::vector<TensorIndex> read_indices(const py::object& value, const std::string& where) {
    std::vector<TensorIndex> result;
    for (const py::handle item : typed<py::list>(value, where, "a list of tensor numbers")) {
        if (item.is_none()) {
            result.push_back(kNoTensor);
            continue;
        }
        const Expr number = read_expr(item, where);
        const std::int64_t index = within(where, [&] { return number.constant(); });
        if (index < 0 || index > INT32_MAX)
            throw py::value_error("graph JSON: " + where + " names no tensor");
        result.push_back(static_cast<TensorIndex>(index));
    }
    return result;
}

double read_real(py::handle value, const std::string& where) {
    // "inf" and "nan" have no JSON number: they are text.
    if (!PyFloat_Check(value.ptr()) && !PyLong_Check(value.ptr()) && !PyUnicode_Check(value.ptr())) {
        throw py::value_error("graph JSON: " + where + " is a " + type_name(value) + "; expected a number");
    }
    try {
        return py::float_(py::reinterpret_borrow<py::object>(value)).cast<double>();
    } catch (const py::error_already_set& error) {
        if (!error.matches(PyExc_ValueError)) throw;
        throw py::value_error("graph JSON: " + where + ": " + py::str(error.value()).cast<std::string>() +
                              "; expected a number");
    }
}

void read_argument(GraphBuilder& builder, const std::string& name, py::handle value,
                   const std::string& where) {
    if (value.is_none()) return builder.argument_none(name);
    const auto pair = py::reinterpret_borrow<py::object>(value);
    if (!(py::isinstance<py::list>(pair) || py::isinstance<py::tuple>(pair)) || py::len(pair) != 2) {
        throw py::value_error("graph JSON: " + where + " must be null or [kind, value]");
    }
    const std::string kind = py::str(pair[py::int_(0)]);
    const py::object item = pair[py::int_(1)];
    if (kind == "tensor") {
        const std::vector<TensorIndex> one = read_indices(py::cast(std::vector<py::object>{item}), where);
        builder.argument_tensor(name, one[0]);
    } else if (kind == "int") {
        builder.argument_integer(name, read_expr(item, where));
    } else if (kind == "bool") {
        builder.argument_boolean(name, typed<py::bool_>(item, where, "a bool").cast<bool>());
    } else if (kind == "float") {
        builder.argument_real(name, read_real(item, where));
    } else if (kind == "str") {
        builder.argument_text(name, typed<py::str>(item, where, "a string").cast<std::string>());
    } else if (kind == "tensors") {
        builder.argument_tensors(name, read_indices(item, where));
    } else if (kind == "ints") {
        builder.argument_integers(name, read_exprs(item, where));
    } else if (kind == "floats") {
        std::vector<double> reals;
        for (const py::handle real : typed<py::list>(item, where, "a list"))
            reals.push_back(read_real(real, where));
        builder.argument_reals(name, reals);
    } else {
        throw py::value_error("graph JSON: " + where + " has kind '" + kind +
                              "'; expected tensor, int, bool, float, str, tensors, ints or floats");
    }
}

std::string text_field(const py::dict& entry, const char* key, const std::string& where) {
    const std::string place = where + " " + key;
    return typed<py::str>(field(entry, key, where), place, "a string").cast<std::string>();
}

std::string optional_text(const py::dict& entry, const char* key) {
    return entry.contains(key) ? py::str(entry[key]).cast<std::string>() : std::string();
}

void read_size(GraphBuilder& builder, const std::string& name, const py::dict& entry) {
    const std::string where = "size '" + name + "'";
    NamedSize size;
    const auto number = [&](const py::object& value) {
        const Expr e = read_expr(value, where);
        return within(where, [&] { return e.constant(); });
    };
    size.default_value = read_expr(field(entry, "default", where), where);
    if (entry.contains("minimum")) size.minimum = number(entry["minimum"]);
    if (entry.contains("maximum") && !entry["maximum"].is_none()) {
        size.maximum = read_expr(entry["maximum"], where);
    }
    size.origin = optional_text(entry, "origin");
    size.role = entry.contains("role")
                    ? within(where, [&] { return parse_size_role(text_field(entry, "role", where)); })
                    : role_of_name(name);
    within(where, [&] { builder.add_size(name, size); });
}

}  // namespace

GraphPtr graph_from_dict(const py::dict& data) {
    const py::object version = field(data, "schema_version", "the document");
    if (!version.equal(py::int_(kGraphSchemaVersion))) {
        throw py::value_error("graph JSON: schema_version is " + py::repr(version).cast<std::string>() +
                              "; this version reads " + std::to_string(kGraphSchemaVersion));
    }
    GraphBuilder builder(optional_text(data, "model"));
    for (const auto& [name, entry] :
         typed<py::dict>(field(data, "sizes", "the document"), "'sizes'", "an object")) {
        const std::string key = py::str(name);
        read_size(
            builder, key,
            typed<py::dict>(py::reinterpret_borrow<py::object>(entry), "size '" + key + "'", "an object"));
    }
    if (data.contains("guards")) {
        std::size_t number = 0;
        for (const py::handle item : typed<py::list>(data["guards"], "'guards'", "a list")) {
            const std::string where = "guard " + std::to_string(number++);
            const py::tuple parts =
                py::isinstance<py::tuple>(item)
                    ? py::reinterpret_borrow<py::tuple>(item)
                    : py::tuple(typed<py::list>(py::reinterpret_borrow<py::object>(item), where, "a list"));
            if (parts.size() != 3) {
                throw py::value_error("graph JSON: " + where + " has " + std::to_string(parts.size()) +
                                      " entries; expected [left, relation, right]");
            }
            const auto relation =
                typed<py::str>(parts[1], where + " relation", "a string").cast<std::string>();
            const Expr left = read_expr(parts[0], where);
            const Expr right = read_expr(parts[2], where);
            within(where, [&] { builder.add_guard({left, parse_relation(relation), right}); });
        }
    }
    std::size_t i = 0;
    for (const py::handle item :
         typed<py::list>(field(data, "tensors", "the document"), "'tensors'", "a list")) {
        const std::string where = "tensor " + std::to_string(i++);
        const auto entry = typed<py::dict>(py::reinterpret_borrow<py::object>(item), where, "an object");
        const std::vector<Expr> shape = read_exprs(field(entry, "shape", where), where + " shape");
        std::optional<std::vector<Expr>> strides;
        if (entry.contains("strides")) strides = read_exprs(entry["strides"], where + " strides");
        std::optional<std::span<const Expr>> view;
        if (strides) view = *strides;
        const std::string dtype = text_field(entry, "dtype", where);
        const std::string role = text_field(entry, "role", where);
        const auto elements = [&](const char* key) -> std::optional<std::int64_t> {
            if (!entry.contains(key)) return std::nullopt;
            const Expr number = read_expr(entry[key], where + " " + key);
            return within(where, [&] { return number.constant(); });
        };
        const std::optional<std::int64_t> logical_numel = elements("stands_for");
        const std::optional<std::int64_t> storage_elements = elements("storage_elements");
        within(where, [&] {
            builder.add_tensor(parse_dtype(dtype), shape, view, parse_role(role),
                               optional_text(entry, "name"), logical_numel, storage_elements);
        });
    }
    i = 0;
    for (const py::handle item : typed<py::list>(field(data, "nodes", "the document"), "'nodes'", "a list")) {
        const std::string where = "node " + std::to_string(i++);
        const auto entry = typed<py::dict>(py::reinterpret_borrow<py::object>(item), where, "an object");
        const std::string op = text_field(entry, "op", where);
        within(where, [&] {
            const Phase phase =
                entry.contains("phase") ? parse_phase(text_field(entry, "phase", where)) : Phase::forward;
            builder.begin_node(op, optional_text(entry, "module"), optional_text(entry, "source"), phase);
        });
        for (const auto& [name, value] :
             typed<py::dict>(field(entry, "args", where), where + " args", "an object")) {
            const std::string argument = py::str(name);
            read_argument(builder, argument, value, where + " argument '" + argument + "'");
        }
        const std::vector<TensorIndex> outputs =
            read_indices(field(entry, "outputs", where), where + " outputs");
        within(where, [&] { builder.end_node(outputs); });
    }
    const auto inputs = read_indices(field(data, "inputs", "the document"), "'inputs'");
    const auto outputs = read_indices(field(data, "outputs", "the document"), "'outputs'");
    std::vector<NodeIndex> held_until;
    if (data.contains("held_until")) {
        held_until = to_held_until(typed<py::list>(data["held_until"], "'held_until'", "a list"));
    }
    return within("the document", [&] { return builder.build(inputs, outputs, std::move(held_until)); });
}

GraphPtr graph_from_json(const py::object& text) {
    const CollectorPause pause;
    const auto json = py::module_::import("json");
    py::object data;
    try {
        data = json.attr("loads")(text);
    } catch (const py::error_already_set& error) {
        if (!error.matches(PyExc_ValueError)) throw;
        throw py::value_error("graph JSON: not valid JSON: " + py::str(error.value()).cast<std::string>());
    }
    return graph_from_dict(typed<py::dict>(data, "the document", "an object"));
}

}  // namespace infercost
