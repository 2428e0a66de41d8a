// Shared by the binding files: how quantities cross, and one register function per noun.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "core/graph.hpp"
#include "core/threads.hpp"
#include "lowering/engines/engine_memory.hpp"
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

// A share of the memory, tokens of a step, sequences; 0 for the engine's own.
using GivenLimits = std::tuple<double, std::int64_t, std::int64_t>;
inline EngineLimits to_limits(const GivenLimits& given) {
    return {.memory_share = std::get<0>(given),
            .step_tokens = std::get<1>(given),
            .sequences = std::get<2>(given)};
}

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

// A whole number. Throws InputTypeError for another type, and InputIndexError beyond 64 bits.
std::int64_t to_number(py::handle value, const char* what);

// The number of a node or of a tensor. Throws as to_number, also beyond the numbers that these have.
std::int32_t to_entry(py::handle value, const char* what);

// Parameters whose casters throw errors of the package, where pybind11's own would raise a bare TypeError.
struct TextParameter {
    std::string text;
    operator std::string_view() const { return text; }  // NOLINT: stands for its text
};
struct NodeParameter {
    NodeIndex node = 0;
    operator NodeIndex() const { return node; }  // NOLINT: stands for its node
};

// An int or an Expr; anything else is a TypeError that says where it stood.
Expr to_expr(py::handle value, const char* what);
std::vector<Expr> to_exprs(py::handle values, const char* what);
Sizes to_sizes(const py::dict& values);
py::tuple to_python(const std::vector<Expr>& values);
Overrides to_overrides(const py::object& values);
StepSettings to_step(const py::dict& given);

// The nodes of each launch of a kernel.
std::vector<std::vector<NodeIndex>> launches_of(const Kernel& kernel);

void register_expr(py::module_& m);
void register_graph(py::module_& m);
void register_graph_rewriter(py::module_& m);
void register_graph_json(py::class_<Graph, py::smart_holder>& graph);
void register_counts(py::module_& m);
void register_constants(py::module_& m);
void register_device(py::module_& m);
void register_collectives(py::module_& m);
void register_hardware(py::module_& m);
void register_plan(py::module_& m);
void register_engines(py::module_& m);
void register_parallel(py::module_& m);
void register_deploy(py::module_& m);
void register_evaluate(py::module_& m);
void register_costs(py::module_& m);
void register_serving(py::module_& m);
void register_gguf(py::module_& m);
void register_interface(py::module_& m);
void register_select(py::module_& m);
void register_sparsity(py::module_& m);
void register_simulate(py::module_& m);
void register_fleet(py::module_& m);
void register_monitor(py::module_& m);
void register_counted_call(py::module_& m);
void register_steady_states(py::module_& m);

}  // namespace infercost

namespace pybind11::detail {

template <>
struct type_caster<infercost::TextParameter> {
    PYBIND11_TYPE_CASTER(infercost::TextParameter, const_name("str"));
    bool load(handle given, bool /*convert*/) {
        value.text = infercost::to_text(given, "a name");
        return true;
    }
};

template <>
struct type_caster<infercost::NodeParameter> {
    PYBIND11_TYPE_CASTER(infercost::NodeParameter, const_name("int"));
    bool load(handle given, bool /*convert*/) {
        value.node = infercost::to_entry(given, "a node");
        return true;
    }
};

}  // namespace pybind11::detail
