// Shared by the binding files: how quantities cross, and one register function per noun.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "core/graph.hpp"
#include "count/count.hpp"
#include "plan/plan.hpp"

namespace infercost {

namespace py = pybind11;

// TensorId: what GraphBuilder.tensor() returns and GraphBuilder.node() takes, so that a tensor operand
// can never be mistaken for an integer argument.
struct TensorId {
    TensorIndex index;
};

// A plain int once every named size in it is bound, an Expr before.
inline py::object to_python(const Expr& e) {
    if (e.is_constant()) return py::int_(e.constant());
    return py::cast(e);
}

// An int or an Expr; anything else is a TypeError that says where it stood.
Expr to_expr(py::handle value, const char* what);
std::vector<Expr> to_exprs(py::handle values, const char* what);
Sizes to_sizes(const py::dict& values);
py::tuple to_python(const std::vector<Expr>& values);
Overrides to_overrides(const py::object& values);

// One entry for each tensor; None where a lifetime is not known.
std::vector<NodeIndex> to_held_until(const py::sequence& values);
py::object held_until_of(const Graph& graph);

// Holds Python's cycle collector while a large document is made: its objects have no cycles yet, and it would
// walk all of them again and again as they grow in number.
class CollectorPause {
  public:
    CollectorPause() : was_enabled_(PyGC_Disable() != 0) {}
    ~CollectorPause() {
        if (was_enabled_) PyGC_Enable();
    }
    CollectorPause(const CollectorPause&) = delete;
    CollectorPause& operator=(const CollectorPause&) = delete;

  private:
    bool was_enabled_;
};

// The nodes of each launch of a kernel.
std::vector<std::vector<NodeIndex>> launches_of(const Kernel& kernel);

// The JSON of a graph: written in bind_graph_dict.cpp, read in read_graph.cpp.
inline constexpr int kGraphSchemaVersion = 1;
std::shared_ptr<Graph> graph_from_dict(const py::dict& data);
std::shared_ptr<Graph> graph_from_json(const py::object& text);

void register_expr(py::module_& m);
void register_graph(py::module_& m);
void register_graph_dict(py::class_<Graph, std::shared_ptr<Graph>>& graph);
void register_counts(py::module_& m);
void register_constants(py::module_& m);
void register_collectives(py::module_& m);
void register_hardware(py::module_& m);
void register_plan(py::module_& m);
void register_evaluate(py::module_& m);
void register_select(py::module_& m);
void register_sparsity(py::module_& m);

}  // namespace infercost
