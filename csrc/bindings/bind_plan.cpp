#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "plan/family.hpp"
#include "plan/lowering.hpp"

namespace infercost {

std::vector<std::vector<NodeIndex>> launches_of(const Kernel& kernel) {
    return kernel.launches;
}

namespace {

py::list kernels_of(const Plan& plan) {
    py::list result;
    for (const Kernel& kernel : plan.kernels) {
        py::dict entry;
        entry["name"] = kernel.name;
        entry["work"] = kernel.work;
        entry["launches"] = launches_of(kernel);
        result.append(entry);
    }
    return result;
}

}  // namespace

void register_plan(py::module_& m) {
    py::class_<Plan, std::shared_ptr<Plan>>(
        m, "Plan", "A Graph lowered for one way of running it; identical kernels are kept once.")
        .def_property_readonly("precision", [](const Plan& p) { return std::string(p.precision.name); })
        .def_property_readonly("execution", [](const Plan& p) { return std::string(name_of(p.execution)); })
        .def_property_readonly(
            "graph", [](const Plan& p) { return std::const_pointer_cast<Graph>(p.graph); },
            "What is run: the captured graph with the nodes that the precision adds to it.")
        .def_property_readonly("names", [](const Plan& p) { return p.names; })
        .def_property_readonly("kernel_count", [](const Plan& p) { return p.kernels.size(); })
        .def_property_readonly("launch_count", [](const Plan& p) { return p.launch_count; })
        .def(
            "kernel_of_node",
            [](const Plan& p, NodeIndex node) {
                if (node < 0 || static_cast<std::size_t>(node) >= p.kernel_of_node.size()) {
                    throw py::index_error("node " + std::to_string(node) + " of a plan that has " +
                                          std::to_string(p.kernel_of_node.size()));
                }
                return p.kernel_of_node[static_cast<std::size_t>(node)];
            },
            py::arg("node"), "The kernel that runs a node, -1 where none does (a view, or not modelled).")
        .def("kernels", &kernels_of,
             "Each distinct kernel: name, work, and the nodes of each of its launches.");
    py::class_<PlanFamily, std::shared_ptr<PlanFamily>>(
        m, "PlanFamily",
        "The plans of a graph for one way of running it. Sizes of 1 and sizes that depend on data are bound\n"
        "before planning, all others stay open: a single estimate and a grid share this rule, and the plans.")
        .def(py::init([](const std::shared_ptr<Graph>& graph, const std::string& precision,
                         const std::string& execution, const py::object& overrides) {
                 return std::make_shared<PlanFamily>(graph, parse_precision(precision),
                                                     parse_execution(execution), to_overrides(overrides));
             }),
             py::arg("graph"), py::kw_only(), py::arg("precision") = "native", py::arg("execution") = "eager",
             py::arg("overrides") = py::none())
        .def(
            "plan_for",
            [](PlanFamily& family, const py::dict& sizes) {
                return std::const_pointer_cast<Plan>(family.plan_for(to_sizes(sizes)));
            },
            py::arg("sizes"), "The plan of a point, made when first asked for.");
    m.def(
        "plan",
        [](const std::shared_ptr<Graph>& graph, const py::dict& sizes, const std::string& precision,
           const std::string& execution, const py::object& overrides) {
            const Precision way = parse_precision(precision);
            const Execution run = parse_execution(execution);
            const Lowered lowered = lower_precision(graph, way, to_overrides(overrides));
            return std::make_shared<Plan>(
                make_plan(lowered.graph, to_sizes(sizes), way, run, lowered.overrides));
        },
        py::arg("graph"), py::arg("sizes"), py::kw_only(), py::arg("precision") = "native",
        py::arg("execution") = "eager", py::arg("overrides") = py::none(),
        "Lowers a graph. Sizes that are given are bound; the others become columns of evaluate().");
    m.def("precisions", &precision_names, "The names of all precisions.");
    m.def(
        "executions", [] { return std::vector<std::string>{"eager", "compiled", "cuda_graph"}; },
        "The names of all executions.");
}

}  // namespace infercost
