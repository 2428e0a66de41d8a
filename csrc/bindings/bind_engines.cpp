#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "lowering/engines/engine.hpp"

namespace infercost {

void register_engines(py::module_& m) {
    m.def("engines", &engine_names, "The names of all engines.");
    m.def("compilers", &compiler_names, "The names of the engines that compile whole models.");
    m.def(
        "engine_version",
        [](const std::string& engine) { return std::string(version_of(parse_engine(engine))); },
        py::arg("engine"), "The version whose behavior an engine's rows describe; empty for torch.");
    m.def(
        "recorded_sizes", [](const std::string& engine) { return recorded_sizes(parse_engine(engine)); },
        py::arg("engine"),
        "Numbers of tokens for which an engine records graphs when it starts, in ascending order; empty "
        "where it records none.");
    m.def(
        "engine_graph",
        [](const std::shared_ptr<const Graph>& graph, const std::string& engine) {
            const ServingEngine way = parse_engine(engine);
            EngineGraph made;
            {
                const CoreCall core;
                made = engine_graph(graph, way);
            }
            return py::make_tuple(std::const_pointer_cast<Graph>(made.graph), made.as_captured);
        },
        py::arg("graph"), py::arg("engine"),
        "Rewrites a captured graph into the kernels of an engine; returns it, and the nodes that stayed as "
        "captured.");
}

}  // namespace infercost
