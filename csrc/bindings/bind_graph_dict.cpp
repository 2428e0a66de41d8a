// Graph -> plain dicts and JSON. Python's own json does the text; this file and read_graph.cpp know the
// layout.
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

py::object number(const Expr& e) {
    if (e.is_constant()) return py::int_(e.constant());
    return py::str(e.text());
}

py::object number(const Graph& graph, Dim dim) {
    if (dim >= 0) return py::int_(dim);
    return number(graph.expressions()[static_cast<std::size_t>(-dim - 1)]);
}

py::list dims_of(const Graph& graph, Range range) {
    py::list result;
    for (const Dim d : graph.dims(range)) result.append(number(graph, d));
    return result;
}

// [kind, value]: kinds keep an int apart from a tensor and a float that happens to be whole from an int.
py::object argument_of(const Graph& graph, const Argument& argument) {
    py::list list;
    switch (argument.kind) {
        case ArgKind::none:
            return py::none();
        case ArgKind::tensor:
            return py::make_tuple("tensor", argument.value);
        case ArgKind::integer:
            return py::make_tuple("int", argument.value);
        case ArgKind::expression:
            return py::make_tuple("int", number(graph, argument.value));
        case ArgKind::boolean:
            return py::make_tuple("bool", argument.value != 0);
        case ArgKind::real:
            // JSON has no infinities: they travel as text.
            return py::make_tuple("float", py::repr(py::float_(argument.real)));
        case ArgKind::text:
            return py::make_tuple("str", graph.name(static_cast<std::uint32_t>(argument.value)));
        case ArgKind::tensor_list:
            for (const std::int64_t t : graph.integers(argument.range)) {
                list.append(t == kNoTensor ? py::object(py::none()) : py::object(py::int_(t)));
            }
            return py::make_tuple("tensors", list);
        case ArgKind::integer_list:
            for (const std::int64_t value : graph.integers(argument.range)) list.append(value);
            return py::make_tuple("ints", list);
        case ArgKind::expression_list:
            for (const std::int64_t value : graph.integers(argument.range)) list.append(number(graph, value));
            return py::make_tuple("ints", list);
        case ArgKind::real_list:
            for (const double value : graph.reals(argument.range)) list.append(py::repr(py::float_(value)));
            return py::make_tuple("floats", list);
    }
    return py::none();
}

py::dict to_dict(const Graph& graph) {
    const CollectorPause pause;
    py::dict result;
    result["schema_version"] = kGraphSchemaVersion;
    result["model"] = graph.model();
    py::dict sizes;
    for (const std::string& name : graph.size_names()) {
        const NamedSize& size = graph.sizes().find(name)->second;
        py::dict entry;
        entry["default"] = number(size.default_value);
        entry["minimum"] = size.minimum;
        if (size.maximum) entry["maximum"] = number(*size.maximum);
        if (!size.origin.empty()) entry["origin"] = size.origin;
        if (size.role != role_of_name(name)) entry["role"] = std::string(name_of(size.role));
        sizes[py::str(name)] = entry;
    }
    result["sizes"] = sizes;
    py::list guards;
    for (const Guard& guard : graph.guards()) {
        guards.append(
            py::make_tuple(guard.left.text(), std::string(name_of(guard.relation)), guard.right.text()));
    }
    result["guards"] = guards;
    py::list tensors;
    for (const Tensor& tensor : graph.tensors()) {
        py::dict entry;
        entry["dtype"] = std::string(name_of(tensor.dtype));
        entry["shape"] = dims_of(graph, tensor.shape);
        entry["strides"] = dims_of(graph, tensor.strides);
        entry["role"] = std::string(name_of(tensor.role));
        if (!graph.name(tensor.name).empty()) entry["name"] = graph.name(tensor.name);
        if (tensor.logical_numel >= 0) entry["stands_for"] = tensor.logical_numel;
        if (tensor.storage_elements >= 0) entry["storage_elements"] = tensor.storage_elements;
        tensors.append(entry);
    }
    result["tensors"] = tensors;
    py::list nodes;
    for (const Node& node : graph.nodes()) {
        py::dict entry;
        entry["op"] = graph.ops()[node.op].full;
        if (!graph.name(node.module).empty()) entry["module"] = graph.name(node.module);
        if (!graph.name(node.source).empty()) entry["source"] = graph.name(node.source);
        if (node.phase != Phase::forward) entry["phase"] = std::string(name_of(node.phase));
        py::dict args;
        for (const Argument& argument : graph.arguments(node)) {
            args[py::str(graph.name(argument.name))] = argument_of(graph, argument);
        }
        entry["args"] = args;
        py::list outputs;
        for (const std::int64_t t : graph.node_outputs(node)) outputs.append(t);
        entry["outputs"] = outputs;
        nodes.append(entry);
    }
    result["nodes"] = nodes;
    py::list inputs;
    for (const TensorIndex t : graph.inputs()) inputs.append(t);
    py::list outputs;
    for (const TensorIndex t : graph.outputs()) outputs.append(t);
    result["inputs"] = inputs;
    result["outputs"] = outputs;
    if (!graph.held_until().empty()) result["held_until"] = held_until_of(graph);
    return result;
}

std::string to_json(const Graph& graph) {
    const CollectorPause pause;
    const auto json = py::module_::import("json");
    return json.attr("dumps")(to_dict(graph), py::arg("separators") = py::make_tuple(",", ":"))
        .cast<std::string>();
}

}  // namespace

std::vector<NodeIndex> to_held_until(const py::sequence& values) {
    std::vector<NodeIndex> result;
    result.reserve(values.size());
    for (const py::handle value : values) {
        if (value.is_none()) {
            result.push_back(kNotObserved);
            continue;
        }
        if (!PyLong_Check(value.ptr()) || PyBool_Check(value.ptr())) {
            throw py::value_error("held_until has an entry of type " +
                                  py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>() +
                                  "; expected the number of a node, or None");
        }
        const long long node = PyLong_AsLongLong(value.ptr());
        if (node < 0 || node > INT32_MAX) {
            PyErr_Clear();
            throw py::value_error("held_until has an entry " + py::str(value).cast<std::string>() +
                                  "; expected the number of a node, or None");
        }
        result.push_back(static_cast<NodeIndex>(node));
    }
    return result;
}

py::object held_until_of(const Graph& graph) {
    if (graph.held_until().empty()) return py::none();
    py::list result;
    for (const NodeIndex node : graph.held_until()) {
        result.append(node == kNotObserved ? py::object(py::none()) : py::int_(node));
    }
    return result;
}

void register_graph_dict(py::class_<Graph, py::smart_holder>& graph) {
    graph.def("to_dict", &to_dict, "The graph as plain dicts and lists, with schema_version.")
        .def_static("from_dict", &graph_from_dict, py::arg("data"),
                    "The inverse of to_dict(); validates everything.")
        .def("to_json", &to_json)
        .def_static("from_json", &graph_from_json, py::arg("text"))
        .def(
            "__eq__",
            [](const Graph& a, const py::object& other) -> py::object {
                if (!py::isinstance<Graph>(other))
                    return py::reinterpret_borrow<py::object>(Py_NotImplemented);
                return py::bool_(to_dict(a).equal(to_dict(other.cast<const Graph&>())));
            },
            py::arg("other"))
        .def("__hash__",
             [](const Graph& g) { return std::hash<std::string>{}(g.model()) ^ g.nodes().size(); })
        .def(py::pickle([](const Graph& g) { return to_json(g); },
                        [](const std::string& text) { return graph_from_json(py::str(text)); }));
}

}  // namespace infercost
