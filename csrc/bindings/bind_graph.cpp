#include "bindings/fields.hpp"
#include "bindings/graph_values.hpp"
#include "core/structure.hpp"
#include "ops/call.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

struct NodeInfo {
    GraphPtr graph;
    NodeIndex index;
    const Node& node() const { return graph->nodes()[static_cast<std::size_t>(index)]; }
};

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
            return to_python(graph.expr(argument.value));
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
                list.append(to_python(graph.expr(value)));
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

// The argument of a name; none where it is not given, or given as None.
const Argument* find_argument(const NodeInfo& node, std::string_view name) {
    const std::optional<std::uint32_t> id = node.graph->find_name(name);
    if (!id) return nullptr;
    for (const Argument& argument : node.graph->arguments(node.node())) {
        if (argument.name == *id) return argument.kind == ArgKind::none ? nullptr : &argument;
    }
    return nullptr;
}

py::object argument(const NodeInfo& node, std::string_view name, const py::object& otherwise) {
    const Argument* found = find_argument(node, name);
    if (!found) return otherwise;
    return argument_of(*node.graph, *found, [](TensorIndex t) { return py::int_(t); });
}

std::optional<TensorIndex> operand(const NodeInfo& node, const py::args& names) {
    for (const py::handle name : names) {
        const Argument* found = find_argument(node, name.cast<std::string_view>());
        if (found && found->kind == ArgKind::tensor) return static_cast<TensorIndex>(found->value);
    }
    return std::nullopt;
}

std::vector<TensorIndex> operands(const NodeInfo& node) {
    std::vector<TensorIndex> result;
    node.graph->for_each_input(node.node(), [&](TensorIndex t) { result.push_back(t); });
    return result;
}

std::vector<std::int64_t> results_of(const NodeInfo& node) {
    const auto results = node.graph->node_outputs(node.node());
    return {results.begin(), results.end()};
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
        throw InputIndexError(std::string(what) + " " + std::to_string(index) + " of a graph that has " +
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
        entry["role"] = std::string(name_of(size.role));
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
    throw InputTypeError(
        "argument '" + name + "' has type " + py::str(py::type::handle_of(value)).cast<std::string>() +
        "; expected TensorId, TensorInfo, None, bool, int, Expr, float, str, or a list of them");
}

ArgumentValue to_list(const std::string& name, py::handle value) {
    bool tensors = false;
    bool reals = false;
    bool texts = false;
    const auto items = py::reinterpret_borrow<py::sequence>(value);
    for (const py::handle item : items) {
        tensors = tensors || item.is_none() || is_tensor(item);
        reals = reals || PyFloat_Check(item.ptr());
        texts = texts || PyUnicode_Check(item.ptr());
    }
    if (tensors) {
        std::vector<TensorIndex> indices;
        for (const py::handle item : items) {
            if (!item.is_none() && !is_tensor(item)) bad_argument(name, item);
            indices.push_back(item.is_none() ? kNoTensor : tensor_index(item));
        }
        return indices;
    }
    if (reals) {
        std::vector<double> numbers;
        for (const py::handle item : items) numbers.push_back(item.cast<double>());
        return numbers;
    }
    if (texts) return py::str(value).cast<std::string>();
    return to_exprs(value, ("argument '" + name + "'").c_str());
}

// Below zero stands for none.
py::object optional_count(std::int64_t elements) {
    return elements < 0 ? py::object(py::none()) : py::int_(elements);
}

NodeIndex add_node(GraphBuilder& builder, const TextParameter& op, const py::dict& args,
                   const py::sequence& outputs, const TextParameter& module, const TextParameter& source,
                   const TextParameter& phase) {
    builder.begin_node(op, module, source, parse_phase(phase));
    for (const auto& [name, value] : to_arguments(args)) builder.argument(name, value);
    return builder.end_node(indices_of(outputs, "a node's outputs"));
}

// One entry for each tensor; None where a lifetime is not known.
std::vector<NodeIndex> to_held_until(const py::sequence& values) {
    std::vector<NodeIndex> result;
    result.reserve(values.size());
    for (const py::handle value : values) {
        if (value.is_none()) {
            result.push_back(kNotObserved);
            continue;
        }
        if (!PyLong_Check(value.ptr()) || PyBool_Check(value.ptr())) {
            throw std::invalid_argument(
                "held_until has an entry of type " +
                py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>() +
                "; expected the number of a node, or None");
        }
        const long long node = PyLong_AsLongLong(value.ptr());
        if (node < 0 || node > INT32_MAX) {
            PyErr_Clear();
            throw std::invalid_argument("held_until has an entry " + py::str(value).cast<std::string>() +
                                        "; expected the number of a node, or None");
        }
        result.push_back(static_cast<NodeIndex>(node));
    }
    return result;
}

GraphPtr build(GraphBuilder& builder, const py::sequence& inputs, const py::sequence& outputs,
               const std::optional<py::sequence>& held_until) {
    return builder.build(indices_of(inputs, "graph inputs"), indices_of(outputs, "graph outputs"),
                         held_until ? to_held_until(*held_until) : std::vector<NodeIndex>());
}

py::object held_until_of(const Graph& graph) {
    if (graph.held_until().empty()) return py::none();
    py::list result;
    for (const NodeIndex node : graph.held_until()) {
        result.append(node == kNotObserved ? py::object(py::none()) : py::int_(node));
    }
    return result;
}

}  // namespace

py::tuple dims_of(const Graph& graph, Range range) {
    std::vector<Expr> values;
    for (const Dim d : graph.dims(range)) values.push_back(graph.expr(d));
    return to_python(values);
}

bool is_tensor(py::handle value) {
    return py::isinstance<TensorId>(value) || py::isinstance<TensorInfo>(value);
}

TensorIndex tensor_index(py::handle value) {
    return py::isinstance<TensorId>(value) ? value.cast<const TensorId&>().index
                                           : value.cast<const TensorInfo&>().index;
}

ArgumentValue to_argument(const std::string& name, py::handle value) {
    PyObject* raw = value.ptr();
    if (raw == Py_None) return std::monostate();
    if (PyBool_Check(raw)) return raw == Py_True;
    if (is_tensor(value)) return tensor_index(value);
    if (PyLong_Check(raw) || py::isinstance<Expr>(value)) return to_expr(value, name.c_str());
    if (PyFloat_Check(raw)) return PyFloat_AS_DOUBLE(raw);
    if (PyUnicode_Check(raw)) return to_text(value, ("argument '" + name + "'").c_str());
    if (PyList_Check(raw) || PyTuple_Check(raw)) return to_list(name, value);
    bad_argument(name, value);
}

std::vector<NamedArgument> to_arguments(const py::dict& args) {
    std::vector<NamedArgument> result;
    for (const auto& [name, value] : args) {
        auto key = to_text(name, "the name of an argument");
        ArgumentValue content = to_argument(key, value);
        result.push_back({std::move(key), std::move(content)});
    }
    return result;
}

std::vector<TensorIndex> indices_of(const py::sequence& tensors, const char* what) {
    std::vector<TensorIndex> result;
    for (const py::handle t : tensors) {
        if (!is_tensor(t)) {
            throw InputTypeError(std::string(what) + " must be TensorIds or TensorInfos, got " +
                                 py::str(py::type::handle_of(t)).cast<std::string>());
        }
        result.push_back(tensor_index(t));
    }
    return result;
}

void register_graph(py::module_& m) {
    py::class_<TensorId>(m, "TensorId", "A tensor of a graph that is being built.")
        .def_property_readonly("index", [](const TensorId& t) { return t.index; })
        .def(py::init<TensorIndex>(), py::arg("index"))
        .def("__eq__",
             [](const TensorId& a, const py::object& b) {
                 return py::isinstance<TensorId>(b) && b.cast<const TensorId&>().index == a.index;
             })
        .def("__hash__", [](const TensorId& t) { return t.index; })
        .def("__repr__", [](const TensorId& t) { return "TensorId(" + std::to_string(t.index) + ")"; });

    static constexpr Field kTensorInfo[] = {
        field<&TensorInfo::index>("index"),
        field<[](const TensorInfo& t) { return std::string(name_of(t.tensor().dtype)); }>("dtype"),
        field<[](const TensorInfo& t) { return dims_of(*t.graph, t.tensor().shape); }>("shape"),
        field<[](const TensorInfo& t) { return dims_of(*t.graph, t.tensor().strides); }>("strides"),
        field<[](const TensorInfo& t) { return std::string(name_of(t.tensor().role)); }>("role"),
        field<[](const TensorInfo& t) { return t.graph->name(t.tensor().name); }>("name"),
        field<[](const TensorInfo& t) { return optional_count(t.tensor().logical_numel); }>("logical_numel"),
        field<[](const TensorInfo& t) { return optional_count(t.tensor().storage_elements); }>(
            "storage_elements"),
        field<[](const TensorInfo& t) { return t.graph->bytes_of(t.tensor()); }>("nbytes"),
    };
    def_fields(py::class_<TensorInfo>(m, "TensorInfo",
                                      "A tensor of a graph: dtype, shape, strides in elements, role."),
               kTensorInfo);

    static constexpr Field kNodeInfo[] = {
        field<&NodeInfo::index>("index"),
        field<[](const NodeInfo& n) { return n.graph->ops()[n.node().op].name; }>("op"),
        field<[](const NodeInfo& n) { return n.graph->ops()[n.node().op].overload; }>("overload"),
        field<[](const NodeInfo& n) { return n.graph->name(n.node().module); }>("module"),
        field<[](const NodeInfo& n) { return n.graph->name(n.node().source); }>("source"),
        field<[](const NodeInfo& n) { return std::string(name_of(n.node().phase)); }>("phase"),
        field<&arguments_of>("args"),
        field<&operands>("operands"),
        field<&results_of>("results"),
        field<&inputs_of>("inputs"),
        field<[](const NodeInfo& n) { return infos(n.graph, n.graph->node_outputs(n.node())); }>("outputs"),
    };
    def_fields(
        py::class_<NodeInfo>(m, "NodeInfo",
                             "One op call: its arguments by schema name, its module path and source line."),
        kNodeInfo)
        .def("argument", &argument, py::arg("name"), py::arg("otherwise") = py::none(),
             "The value of one argument; tensors are their numbers. `otherwise` where it is not given or "
             "None.")
        .def("operand", &operand,
             "The number of the tensor that is given by the first of these names, or None.");

    py::class_<GraphBuilder>(
        m, "GraphBuilder",
        "Builds one Graph: declare sizes and tensors, add nodes in execution order, build.")
        .def(py::init<std::string>(), py::arg("model") = "")
        .def("size", &add_size<GraphBuilder>, py::arg("name"), py::kw_only(), py::arg("default"),
             py::arg("minimum") = 1, py::arg("maximum") = py::none(), py::arg("origin") = "",
             py::arg("role") = py::none(),
             "Declares a named size and returns it as an Expr. Roles: batch, sequence, context, channel, "
             "data, "
             "other; by default what the name says. A size of role data has an origin, and its default and "
             "bound "
             "may be in sizes declared before. A size with a dot in its name may be 0.")
        .def("guard", &add_guard<GraphBuilder>, py::arg("left"), py::arg("relation"), py::arg("right"),
             "Adds a condition on sizes that the forward took for granted, such as (batch, '>=', 2).")
        .def("tensor", &add_tensor<GraphBuilder>, py::arg("dtype"), py::arg("shape"), py::kw_only(),
             py::arg("strides") = py::none(), py::arg("role") = "activation", py::arg("name") = "",
             py::arg("logical_numel") = py::none(), py::arg("storage_elements") = py::none(),
             "Declares a tensor. Roles: input, parameter, buffer, constant, activation, kv_cache. "
             "logical_numel "
             "is the number of the weight's elements that a part of a packed weight stores; storage_elements "
             "is "
             "the size of a larger storage that this view alone keeps alive.")
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
        .def_property_readonly("trains", &Graph::trains, "Whether the graph is of a training step.")
        .def_property_readonly(
            "first_backward", &Graph::first_backward,
            "The first node of the backward pass, which follows the forward; the number of "
            "nodes without one.")
        .def_property_readonly("node_count", [](const Graph& g) { return g.nodes().size(); })
        .def_property_readonly("tensor_count", [](const Graph& g) { return g.tensors().size(); })
        .def(
            "size_of_role",
            [](const Graph& g, const TextParameter& role) { return g.size_of_role(parse_size_role(role)); },
            py::arg("role"),
            "The name of the first size of a role, or None. A graph has at most one size of role batch.")
        .def("depends_on_data", &Graph::depends_on_data, py::arg("size"),
             "Whether a size has role data: its value follows from values in a forward.")
        .def_property_readonly("nodes",
                               [](const GraphPtr& g) {
                                   std::vector<NodeInfo> nodes;
                                   for (std::size_t i = 0; i < g->nodes().size(); ++i) {
                                       nodes.push_back({g, static_cast<NodeIndex>(i)});
                                   }
                                   return nodes;
                               })
        .def_property_readonly("tensors",
                               [](const GraphPtr& g) {
                                   std::vector<TensorInfo> tensors;
                                   for (std::size_t i = 0; i < g->tensors().size(); ++i) {
                                       tensors.push_back({g, static_cast<TensorIndex>(i)});
                                   }
                                   return tensors;
                               })
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
        .def("structure", &structure_of, py::call_guard<py::gil_scoped_release>(),
             "32 digits, equal for graphs that differ only in source lines and numbers of modules and "
             "weights.")
        .def("op_counts", &op_counts)
        .def("__len__", [](const Graph& g) { return g.nodes().size(); })
        .def("__repr__", [](const Graph& g) {
            return "Graph('" + g.model() + "', " + std::to_string(g.nodes().size()) + " nodes)";
        });
    register_graph_json(graph);
}

}  // namespace infercost
