#include "bindings/graph_values.hpp"
#include "core/graph_rewriter.hpp"

namespace infercost {
namespace {

// The number of a tensor, or one of the things that have one.
TensorIndex to_tensor(py::handle value) {
    if (is_tensor(value)) return tensor_index(value);
    return to_entry(value, "a tensor");
}

using InsertNode = void (GraphRewriter::*)(NodeIndex, std::string_view, GraphRewriter::Arguments,
                                           std::span<const TensorIndex>);

template <InsertNode insert>
void insert_node(GraphRewriter& rewriter, const NodeParameter& node, const TextParameter& op,
                 const py::dict& args, const py::sequence& outputs) {
    (rewriter.*insert)(node, op, to_arguments(args), indices_of(outputs, "a node's outputs"));
}

void replace_operands(GraphRewriter& rewriter, const NodeParameter& node, const py::dict& replaced) {
    GraphRewriter::Replaced pairs;
    for (const auto& [old, now] : replaced) pairs.emplace_back(to_tensor(old), to_tensor(now));
    rewriter.replace_operands(node, pairs);
}

void set_shape(GraphRewriter& rewriter, const py::object& tensor, const py::sequence& shape,
               const std::optional<py::sequence>& strides) {
    const std::vector<Expr> lengths = to_exprs(shape, "a length of a tensor");
    std::optional<std::vector<Expr>> steps;
    if (strides) steps = to_exprs(*strides, "a stride of a tensor");
    std::optional<std::span<const Expr>> view;
    if (steps) view = *steps;
    rewriter.set_shape(to_tensor(tensor), lengths, view);
}

const Tensor& tensor_of(const GraphRewriter& rewriter, const py::object& tensor) {
    const TensorIndex t = to_tensor(tensor);
    static_cast<void>(rewriter.dtype(t));  // throws where there is no such tensor
    return rewriter.graph().tensors()[static_cast<std::size_t>(t)];
}

}  // namespace

void register_graph_rewriter(py::module_& m) {
    py::class_<GraphRewriter>(m, "GraphRewriter",
                              "Makes another graph of a graph. Nodes and tensors keep the numbers of the "
                              "first graph until build().")
        .def(py::init<const Graph&>(), py::arg("graph"))
        .def("size", &add_size<GraphRewriter>, py::arg("name"), py::kw_only(), py::arg("default"),
             py::arg("minimum") = 1, py::arg("maximum") = py::none(), py::arg("origin") = "",
             py::arg("role") = py::none(), "Declares a named size, as GraphBuilder.size does.")
        .def(
            "set_role",
            [](GraphRewriter& r, const TextParameter& size, const TextParameter& role) {
                r.set_role(size, parse_size_role(role));
            },
            py::arg("size"), py::arg("role"), "Gives a named size another role.")
        .def(
            "set_default",
            [](GraphRewriter& r, const TextParameter& size, std::int64_t value) {
                r.set_default(size, value);
            },
            py::arg("size"), py::arg("value"), "Gives a named size another default.")
        .def("guard", &add_guard<GraphRewriter>, py::arg("left"), py::arg("relation"), py::arg("right"),
             "Adds a condition on sizes, as GraphBuilder.guard does.")
        .def(
            "bind", [](GraphRewriter& r, const py::dict& sizes) { r.bind(to_sizes(sizes)); },
            py::arg("sizes"), "Replaces named sizes by numbers everywhere and removes them.")
        .def("tensor", &add_tensor<GraphRewriter>, py::arg("dtype"), py::arg("shape"), py::kw_only(),
             py::arg("strides") = py::none(), py::arg("role") = "activation", py::arg("name") = "",
             py::arg("logical_numel") = py::none(), py::arg("storage_elements") = py::none(),
             "Declares a tensor, as GraphBuilder.tensor does.")
        .def(
            "dtype",
            [](const GraphRewriter& r, const py::object& t) {
                return std::string(name_of(tensor_of(r, t).dtype));
            },
            py::arg("tensor"), "The dtype of a tensor as it is now.")
        .def(
            "shape",
            [](const GraphRewriter& r, const py::object& t) {
                return dims_of(r.graph(), tensor_of(r, t).shape);
            },
            py::arg("tensor"), "The lengths of a tensor as they are now.")
        .def(
            "strides",
            [](const GraphRewriter& r, const py::object& t) {
                return dims_of(r.graph(), tensor_of(r, t).strides);
            },
            py::arg("tensor"), "The strides of a tensor as they are now, in elements.")
        .def(
            "set_dtype",
            [](GraphRewriter& r, const py::object& t, const TextParameter& dtype) {
                r.set_dtype(to_tensor(t), parse_dtype(dtype));
            },
            py::arg("tensor"), py::arg("dtype"), "Gives a tensor another dtype.")
        .def("set_shape", &set_shape, py::arg("tensor"), py::arg("shape"), py::kw_only(),
             py::arg("strides") = py::none(),
             "Gives a tensor other lengths and strides; without strides it is row-major.")
        .def(
            "drop_if_unread", [](GraphRewriter& r, const py::object& t) { r.drop_if_unread(to_tensor(t)); },
            py::arg("tensor"),
            "Removes a tensor at build() if nothing reads it, and its node if that is so for all results of "
            "it.")
        .def("insert_before", &insert_node<&GraphRewriter::insert_before>, py::arg("node"), py::arg("op"),
             py::arg("args"), py::arg("outputs"),
             "Inserts a node right before a node of the first graph, whose module, source and phase it gets.")
        .def("insert_after", &insert_node<&GraphRewriter::insert_after>, py::arg("node"), py::arg("op"),
             py::arg("args"), py::arg("outputs"),
             "Inserts a node right after a node of the first graph, whose module, source and phase it gets.")
        .def(
            "replace",
            [](GraphRewriter& r, const NodeParameter& node, const TextParameter& op, const py::dict& args) {
                r.replace(node, op, to_arguments(args));
            },
            py::arg("node"), py::arg("op"), py::arg("args"), "Runs another op with the same results.")
        .def(
            "set_argument",
            [](GraphRewriter& r, const NodeParameter& node, const TextParameter& name,
               const py::object& value) { r.set_argument(node, {name.text, to_argument(name.text, value)}); },
            py::arg("node"), py::arg("name"), py::arg("value"), "Sets one argument of a node.")
        .def("replace_operands", &replace_operands, py::arg("node"), py::arg("replaced"),
             "Reads other tensors in one node: old -> new.")
        .def(
            "redirect",
            [](GraphRewriter& r, const py::object& old, const py::object& now) {
                r.redirect(to_tensor(old), to_tensor(now));
            },
            py::arg("old"), py::arg("now"),
            "Reads another tensor in all nodes of the first graph, and among the results of the graph. A "
            "tensor that is no result anymore lives until its last use.")
        .def(
            "return_instead",
            [](GraphRewriter& r, const py::object& old, const py::object& now) {
                r.return_instead(to_tensor(old), to_tensor(now));
            },
            py::arg("old"), py::arg("now"),
            "Returns another tensor among the results of the graph; nodes read what they have read.")
        .def(
            "remove", [](GraphRewriter& r, const NodeParameter& node) { r.remove(node); }, py::arg("node"),
            "Removes a node. Inserted nodes may make its results; results without maker and reader go too.")
        .def(
            "build", [](GraphRewriter& r) { return std::const_pointer_cast<Graph>(r.build().graph); },
            "Validates and returns the graph; ValueError says what is wrong with it. A lifetime ends where "
            "it "
            "did in the first graph, or at the last node that uses the tensor now.");
}

}  // namespace infercost
