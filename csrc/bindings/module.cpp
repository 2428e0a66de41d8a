#include "bindings/bindings.hpp"

#ifndef PYINFERCOST_VERSION
#define PYINFERCOST_VERSION "0+unknown"
#endif

PYBIND11_MODULE(_core, m) {
    namespace py = pybind11;
    m.doc() = "The compiled core: what a graph asks for (Work), and what a machine makes of it (Estimate).";
    m.attr("__version__") = PYINFERCOST_VERSION;
    infercost::register_errors(m);
    infercost::register_expr(m);
    infercost::register_graph(m);
    infercost::register_graph_rewriter(m);
    infercost::register_counts(m);
    infercost::register_constants(m);
    infercost::register_device(m);
    infercost::register_hardware(m);
    infercost::register_collectives(m);
    infercost::register_plan(m);
    infercost::register_engines(m);
    infercost::register_parallel(m);
    infercost::register_evaluate(m);
    infercost::register_costs(m);
    infercost::register_select(m);
    infercost::register_sparsity(m);
    infercost::register_simulate(m);
    infercost::register_fleet(m);
    infercost::register_steady_states(m);
    infercost::register_monitor(m);
    infercost::register_deploy(m);
    infercost::register_serving(m);
    infercost::register_gguf(m);
    infercost::register_interface(m);
}
