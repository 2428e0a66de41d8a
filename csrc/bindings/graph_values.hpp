// Tensors, nodes, sizes and arguments as they cross between Python and a graph: shared by the bindings of
// Graph, GraphBuilder and GraphRewriter.
#pragma once

#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"

namespace infercost {

struct TensorInfo {
    std::shared_ptr<const Graph> graph;
    TensorIndex index;
    const Tensor& tensor() const { return graph->tensors()[static_cast<std::size_t>(index)]; }
};

py::tuple dims_of(const Graph& graph, Range range);

// A TensorId or a TensorInfo.
bool is_tensor(py::handle value);
TensorIndex tensor_index(py::handle value);
std::vector<TensorIndex> indices_of(const py::sequence& tensors, const char* what);

// Arguments by their names in the schema.
std::vector<NamedArgument> to_arguments(const py::dict& args);
ArgumentValue to_argument(const std::string& name, py::handle value);

// GraphBuilder and GraphRewriter take tensors, sizes and guards alike.
template <class Builder>
TensorId add_tensor(Builder& builder, const TextParameter& dtype, const py::sequence& shape,
                    const std::optional<py::sequence>& strides, const TextParameter& role,
                    const TextParameter& name, std::optional<std::int64_t> logical_numel,
                    std::optional<std::int64_t> storage_elements) {
    const std::vector<Expr> lengths = to_exprs(shape, "a length of a tensor");
    std::optional<std::vector<Expr>> steps;
    if (strides) steps = to_exprs(*strides, "a stride of a tensor");
    std::optional<std::span<const Expr>> view;
    if (steps) view = *steps;
    return {builder.add_tensor(parse_dtype(dtype), lengths, view, parse_role(role), name, logical_numel,
                               storage_elements)};
}

template <class Builder>
Expr add_size(Builder& builder, const TextParameter& name, const py::object& default_value,
              std::int64_t minimum, const py::object& maximum, const TextParameter& origin,
              const std::optional<TextParameter>& role) {
    NamedSize size{to_expr(default_value, "the default of a size"),
                   minimum,
                   {},
                   origin.text,
                   role ? parse_size_role(*role) : role_of_name(name.text)};
    if (!maximum.is_none()) size.maximum = to_expr(maximum, "the bound of a size");
    return builder.add_size(name.text, std::move(size));
}

template <class Builder>
void add_guard(Builder& builder, const py::object& left, const TextParameter& relation,
               const py::object& right) {
    builder.add_guard({to_expr(left, "the left side of a guard"), parse_relation(relation),
                       to_expr(right, "the right side of a guard")});
}

}  // namespace infercost
