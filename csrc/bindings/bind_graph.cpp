#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "ops/call.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

struct TensorInfo {
    GraphPtr graph;
    TensorIndex index;
    const Tensor& tensor() const { return graph->tensors()[static_cast<std::size_t>(index)]; }
};

struct NodeInfo {
    GraphPtr graph;
    NodeIndex index;
    const Node& node() const { return graph->nodes()[static_cast<std::size_t>(index)]; }
};

Expr expr_of(const Graph& graph, Dim dim) {
    return dim >= 0 ? Expr(dim) : graph.expressions()[static_cast<std::size_t>(-dim - 1)];
}

py::tuple dims_of(const Graph& graph, Range range) {
    std::vector<Expr> values;
    for (const Dim d : graph.dims(range)) values.push_back(expr_of(graph, d));
    return to_python(values);
}

// One argument as the builder takes it; tensors become what `tensor` makes of their index.
template <class MakeTensor>
py::object argument_of(const Graph& graph, const Argument& argument, MakeTensor&& tensor) {
    py::list list;
    switch (argument.kind) {
        case ArgKind::none:
            return py::none();
        case ArgKind::tensor:
            return tensor(static_cast<TensorIndex>(argument.value));
        case ArgKind::integer:
            return py::int_(argument.value);
        case ArgKind::expression:
            return to_python(expr_of(graph, argument.value));
        case ArgKind::boolean:
            return py::bool_(argument.value != 0);
        case ArgKind::real:
            return py::float_(argument.real);
        case ArgKind::text:
            return py::str(graph.name(static_cast<std::uint32_t>(argument.value)));
        case ArgKind::tensor_list:
            for (const std::int64_t t : graph.integers(argument.range)) {
                list.append(t == kNoTensor ? py::object(py::none()) : tensor(static_cast<TensorIndex>(t)));
            }
            return list;
        case ArgKind::integer_list:
            for (const std::int64_t value : graph.integers(argument.range)) list.append(value);
            return list;
        case ArgKind::expression_list:
            for (const std::int64_t value : graph.integers(argument.range))
                list.append(to_python(expr_of(graph, value)));
            return list;
        case ArgKind::real_list:
            for (const double value : graph.reals(argument.range)) list.append(value);
            return list;
    }
    return py::none();
}

py::dict arguments_of(const NodeInfo& node) {
    py::dict result;
    for (const Argument& argument : node.graph->arguments(node.node())) {
        result[py::str(node.graph->name(argument.name))] = argument_of(
            *node.graph, argument, [&](TensorIndex t) { return py::cast(TensorInfo{node.graph, t}); });
    }
    return result;
}

std::vector<TensorInfo> inputs_of(const NodeInfo& node) {
    std::vector<TensorInfo> result;
    node.graph->for_each_input(node.node(), [&](TensorIndex t) { result.push_back({node.graph, t}); });
    return result;
}

template <class Indices>
std::vector<TensorInfo> infos(const GraphPtr& graph, const Indices& indices) {
    std::vector<TensorInfo> result;
    for (const auto t : indices) result.push_back({graph, static_cast<TensorIndex>(t)});
    return result;
}

template <class Index>
void check_index(Index index, std::size_t count, const char* what) {
    if (index < 0 || static_cast<std::size_t>(index) >= count) {
        throw py::index_error(std::string(what) + " " + std::to_string(index) + " of a graph that has " +
                              std::to_string(count));
    }
}

py::dict sizes_of(const Graph& graph) {
    py::dict result;
    for (const std::string& name : graph.size_names()) {
        const NamedSize& size = graph.sizes().find(name)->second;
        py::dict entry;
        entry["default"] = to_python(size.default_value);
        entry["minimum"] = size.minimum;
        entry["maximum"] = size.maximum ? to_python(*size.maximum) : py::object(py::none());
        if (!size.origin.empty()) entry["origin"] = size.origin;
        result[py::str(name)] = entry;
    }
    return result;
}

py::dict size_values(const Graph& graph, const py::dict& given) {
    const Replacements values = graph.size_values(to_sizes(given));
    py::dict result;
    for (const std::string& name : graph.size_names()) {
        result[py::str(name)] = to_python(values.find(name)->second);
    }
    return result;
}

std::map<std::string, std::int64_t> op_counts(const Graph& graph) {
    std::map<std::string, std::int64_t> counts;
    for (const Node& node : graph.nodes()) ++counts[graph.ops()[node.op].name];
    return counts;
}

[[noreturn]] void bad_argument(const std::string& name, py::handle value) {
    throw py::type_error("argument '" + name + "' has type " +
                         py::str(py::type::handle_of(value)).cast<std::string>() +
                         "; expected TensorId, None, bool, int, Expr, float, str, or a list of them");
}

void add_list(GraphBuilder& builder, const std::string& name, py::handle value) {
    bool tensors = false;
    bool reals = false;
    bool texts = false;
    const auto items = py::reinterpret_borrow<py::sequence>(value);
    for (const py::handle item : items) {
        tensors = tensors || py::isinstance<TensorId>(item);
        reals = reals || PyFloat_Check(item.ptr());
        texts = texts || PyUnicode_Check(item.ptr());
    }
    if (tensors) {
        std::vector<TensorIndex> indices;
        for (const py::handle item : items) {
            if (!item.is_none() && !py::isinstance<TensorId>(item)) bad_argument(name, item);
            indices.push_back(item.is_none() ? kNoTensor : item.cast<const TensorId&>().index);
        }
        builder.argument_tensors(name, indices);
    } else if (reals) {
        std::vector<double> numbers;
        for (const py::handle item : items) numbers.push_back(item.cast<double>());
        builder.argument_reals(name, numbers);
    } else if (texts) {
        builder.argument_text(name, py::str(value).cast<std::string>());
    } else {
        builder.argument_integers(name, to_exprs(value, ("argument '" + name + "'").c_str()));
    }
}

void add_argument(GraphBuilder& builder, const std::string& name, py::handle value) {
    PyObject* raw = value.ptr();
    if (raw == Py_None) {
        builder.argument_none(name);
    } else if (PyBool_Check(raw)) {
        builder.argument_boolean(name, raw == Py_True);
    } else if (py::isinstance<TensorId>(value)) {
        builder.argument_tensor(name, value.cast<const TensorId&>().index);
    } else if (PyLong_Check(raw) || py::isinstance<Expr>(value)) {
        builder.argument_integer(name, to_expr(value, name.c_str()));
    } else if (PyFloat_Check(raw)) {
        builder.argument_real(name, PyFloat_AS_DOUBLE(raw));
    } else if (PyUnicode_Check(raw)) {
        builder.argument_text(name, value.cast<std::string>());
    } else if (PyList_Check(raw) || PyTuple_Check(raw)) {
        add_list(builder, name, value);
    } else {
        bad_argument(name, value);
    }
}

std::vector<TensorIndex> indices_of(const py::sequence& tensors, const char* what) {
    std::vector<TensorIndex> result;
    for (const py::handle t : tensors) {
        if (!py::isinstance<TensorId>(t)) {
            throw py::type_error(std::string(what) + " must be TensorIds, got " +
                                 py::str(py::type::handle_of(t)).cast<std::string>());
        }
        result.push_back(t.cast<const TensorId&>().index);
    }
    return result;
}

// Below zero stands for none.
py::object optional_count(std::int64_t elements) {
    return elements < 0 ? py::object(py::none()) : py::int_(elements);
}

TensorId add_tensor(GraphBuilder& builder, std::string_view dtype, const py::sequence& shape,
                    const std::optional<py::sequence>& strides, std::string_view role, std::string_view name,
                    std::optional<std::int64_t> stands_for, std::optional<std::int64_t> storage_elements) {
    const std::vector<Expr> lengths = to_exprs(shape, "a length of a tensor");
    std::optional<std::vector<Expr>> steps;
    if (strides) steps = to_exprs(*strides, "a stride of a tensor");
    std::optional<std::span<const Expr>> view;
    if (steps) view = *steps;
    return {builder.add_tensor(parse_dtype(dtype), lengths, view, parse_role(role), name, stands_for,
                               storage_elements)};
}

NodeIndex add_node(GraphBuilder& builder, std::string_view op, const py::dict& args,
                   const py::sequence& outputs, std::string_view module, std::string_view source,
                   std::string_view phase) {
    builder.begin_node(op, module, source, parse_phase(phase));
    for (const auto& [name, value] : args) add_argument(builder, name.cast<std::string>(), value);
    return builder.end_node(indices_of(outputs, "a node's outputs"));
}

Expr add_size(GraphBuilder& builder, const std::string& name, const py::object& default_value,
              std::int64_t minimum, const py::object& maximum, const std::string& origin) {
    NamedSize size{to_expr(default_value, "the default of a size"), minimum, {}, origin};
    if (!maximum.is_none()) size.maximum = to_expr(maximum, "the bound of a size");
    return builder.add_size(name, std::move(size));
}

void add_guard(GraphBuilder& builder, const py::object& left, std::string_view relation,
               const py::object& right) {
    builder.add_guard({to_expr(left, "the left side of a guard"), parse_relation(relation),
                       to_expr(right, "the right side of a guard")});
}

GraphPtr build(GraphBuilder& builder, const py::sequence& inputs, const py::sequence& outputs,
               const std::optional<py::sequence>& held_until) {
    return builder.build(indices_of(inputs, "graph inputs"), indices_of(outputs, "graph outputs"),
                         held_until ? to_held_until(*held_until) : std::vector<NodeIndex>());
}

}  // namespace

void register_graph(py::module_& m) {
    py::class_<TensorId>(m, "TensorId", "A tensor of a graph that is being built.")
        .def_property_readonly("index", [](const TensorId& t) { return t.index; })
        .def("__repr__", [](const TensorId& t) { return "TensorId(" + std::to_string(t.index) + ")"; });

    py::class_<TensorInfo>(m, "TensorInfo", "A tensor of a graph: dtype, shape, strides in elements, role.")
        .def_property_readonly("index", [](const TensorInfo& t) { return t.index; })
        .def_property_readonly("dtype",
                               [](const TensorInfo& t) { return std::string(name_of(t.tensor().dtype)); })
        .def_property_readonly("shape",
                               [](const TensorInfo& t) { return dims_of(*t.graph, t.tensor().shape); })
        .def_property_readonly("strides",
                               [](const TensorInfo& t) { return dims_of(*t.graph, t.tensor().strides); })
        .def_property_readonly("role",
                               [](const TensorInfo& t) { return std::string(name_of(t.tensor().role)); })
        .def_property_readonly("name", [](const TensorInfo& t) { return t.graph->name(t.tensor().name); })
        .def_property_readonly("stands_for",
                               [](const TensorInfo& t) { return optional_count(t.tensor().stands_for); })
        .def_property_readonly(
            "storage_elements",
            [](const TensorInfo& t) { return optional_count(t.tensor().storage_elements); })
        .def_property_readonly("nbytes", [](const TensorInfo& t) {
            Expr bits = bits_of(t.tensor().dtype);
            for (const Dim d : t.graph->dims(t.tensor().shape)) bits = bits * expr_of(*t.graph, d);
            return to_python(Expr::ceil_div(bits, 8));
        });

    py::class_<NodeInfo>(m, "NodeInfo",
                         "One op call: its arguments by schema name, its module path and source line.")
        .def_property_readonly("index", [](const NodeInfo& n) { return n.index; })
        .def_property_readonly("op", [](const NodeInfo& n) { return n.graph->ops()[n.node().op].name; })
        .def_property_readonly("overload",
                               [](const NodeInfo& n) { return n.graph->ops()[n.node().op].overload; })
        .def_property_readonly("module", [](const NodeInfo& n) { return n.graph->name(n.node().module); })
        .def_property_readonly("source", [](const NodeInfo& n) { return n.graph->name(n.node().source); })
        .def_property_readonly("phase",
                               [](const NodeInfo& n) { return std::string(name_of(n.node().phase)); })
        .def_property_readonly("args", &arguments_of)
        .def_property_readonly("inputs", &inputs_of)
        .def_property_readonly(
            "outputs", [](const NodeInfo& n) { return infos(n.graph, n.graph->node_outputs(n.node())); });

    py::class_<GraphBuilder>(
        m, "GraphBuilder",
        "Builds one Graph: declare sizes and tensors, add nodes in execution order, build.")
        .def(py::init<std::string>(), py::arg("model") = "")
        .def("size", &add_size, py::arg("name"), py::kw_only(), py::arg("default"), py::arg("minimum") = 1,
             py::arg("maximum") = py::none(), py::arg("origin") = "",
             "Declares a named size and returns it as an Expr. One that depends on data has a dot in its "
             "name, "
             "says what it comes from, and may be 0; its default and bound may be in sizes declared before.")
        .def("guard", &add_guard, py::arg("left"), py::arg("relation"), py::arg("right"),
             "Adds a condition on sizes that the forward took for granted, such as (batch, '>=', 2).")
        .def("tensor", &add_tensor, py::arg("dtype"), py::arg("shape"), py::kw_only(),
             py::arg("strides") = py::none(), py::arg("role") = "activation", py::arg("name") = "",
             py::arg("stands_for") = py::none(), py::arg("storage_elements") = py::none(),
             "Declares a tensor. Roles: input, parameter, buffer, constant, activation, kv_cache. A part of "
             "a packed "
             "weight says how many of the weight's elements it stands for; a view that alone keeps a larger "
             "storage alive says how many elements that has.")
        .def("node", &add_node, py::arg("op"), py::arg("args"), py::arg("outputs"), py::kw_only(),
             py::arg("module") = "", py::arg("source") = "", py::arg("phase") = "forward",
             "Adds one op call, 'namespace.name.overload', with its arguments by schema name; returns its "
             "index.")
        .def(
            "build", &build, py::arg("inputs"), py::arg("outputs"), py::kw_only(),
            py::arg("held_until") = py::none(),
            "Validates and returns the Graph; ValueError says what is wrong with it. held_until has for each "
            "tensor the last node that runs while something holds it, or None where that is not known.");

    py::class_<Graph, py::smart_holder> graph(m, "Graph",
                                              "One forward pass: op calls, tensors, named sizes. Immutable.");
    graph.def_property_readonly("model", [](const Graph& g) { return g.model(); })
        .def_property_readonly("sizes", &sizes_of)
        .def("size_values", &size_values, py::arg("sizes"),
             "A value for every named size: those given, and defaults for the others.")
        .def_property_readonly("guards",
                               [](const Graph& g) {
                                   std::vector<std::string> texts;
                                   for (const Guard& guard : g.guards()) texts.push_back(guard.text());
                                   return texts;
                               })
        .def_property_readonly("node_count", [](const Graph& g) { return g.nodes().size(); })
        .def_property_readonly("tensor_count", [](const Graph& g) { return g.tensors().size(); })
        .def_property_readonly("inputs", [](const GraphPtr& g) { return infos(g, g->inputs()); })
        .def_property_readonly("outputs", [](const GraphPtr& g) { return infos(g, g->outputs()); })
        .def(
            "node",
            [](const GraphPtr& g, NodeIndex index) {
                check_index(index, g->nodes().size(), "node");
                return NodeInfo{g, index};
            },
            py::arg("index"))
        .def(
            "tensor",
            [](const GraphPtr& g, TensorIndex index) {
                check_index(index, g->tensors().size(), "tensor");
                return TensorInfo{g, index};
            },
            py::arg("index"))
        .def_property_readonly("held_until", &held_until_of,
                               "For each tensor the last node that runs while something holds it, or None; "
                               "None as a whole where lifetimes were not observed.")
        .def("without_lifetimes", &Graph::without_lifetimes,
             "The same graph without held_until: memory is then counted to the last use of each storage.")
        .def("op_counts", &op_counts)
        .def("__len__", [](const Graph& g) { return g.nodes().size(); })
        .def("__repr__", [](const Graph& g) {
            return "Graph('" + g.model() + "', " + std::to_string(g.nodes().size()) + " nodes)";
        });
    register_graph_dict(graph);
}

}  // namespace infercost
