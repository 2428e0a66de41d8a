// Shared by the binding files: how quantities cross, and one register function per noun.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <stdexcept>
#include <vector>

#include "core/graph.hpp"
#include "core/threads.hpp"
#include "ops/rule.hpp"
#include "plan/plan.hpp"

namespace infercost {

namespace py = pybind11;

// Bad input in a call from Python: Error of pyinfercost that is also a TypeError or an IndexError. What is
// also a ValueError is std::invalid_argument, as in the core.
struct InputTypeError : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct InputIndexError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A calculation of the core without Python's lock: other threads run, and Ctrl-C ends it.
class CoreCall {
  public:
    CoreCall();

  private:
    InterruptScope interrupts_;  // made while the lock is held
    py::gil_scoped_release release_;
};

void register_errors(py::module_& m);

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

inline py::str to_python(std::string_view text) {
    return {text.data(), text.size()};
}

// The text of a str. Throws InputTypeError for another type, and std::invalid_argument for half of a
// surrogate pair, which no file can hold. `what` names the value in messages.
std::string to_text(py::handle value, const char* what);

// An int or an Expr; anything else is a TypeError that says where it stood.
Expr to_expr(py::handle value, const char* what);
std::vector<Expr> to_exprs(py::handle values, const char* what);
Sizes to_sizes(const py::dict& values);
py::tuple to_python(const std::vector<Expr>& values);
Overrides to_overrides(const py::object& values);

// The nodes of each launch of a kernel.
std::vector<std::vector<NodeIndex>> launches_of(const Kernel& kernel);

void register_expr(py::module_& m);
void register_graph(py::module_& m);
void register_graph_rewriter(py::module_& m);
void register_graph_json(py::class_<Graph, py::smart_holder>& graph);
void register_counts(py::module_& m);
void register_constants(py::module_& m);
void register_collectives(py::module_& m);
void register_hardware(py::module_& m);
void register_plan(py::module_& m);
void register_evaluate(py::module_& m);
void register_select(py::module_& m);
void register_sparsity(py::module_& m);

}  // namespace infercost
