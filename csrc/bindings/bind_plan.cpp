#include <pybind11/stl.h>

#include "bindings/fields.hpp"
#include "plan/family.hpp"

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
        entry["hints"] = kernel.hints;
        entry["launches"] = launches_of(kernel);
        result.append(entry);
    }
    return result;
}

py::dict slow_loops_of(const KernelHints& hints) {
    py::dict result;
    for (std::size_t i = 0; i < kSlowLoopCount; ++i) {
        const Expr& elements = hints.slow_loops.elements[i];
        if (elements == Expr(0)) continue;
        result[py::str(std::string(name_of(static_cast<SlowLoop>(i))))] = to_python(elements);
    }
    return result;
}

}  // namespace

// Settings of a serving engine's steps; those that are left out have their defaults.
StepSettings to_step(const py::dict& given) {
    StepSettings step;
    for (const auto& [key, value] : given) {
        const std::string name = to_text(key, "a setting of a step");
        if (name == "graph_sizes") {
            for (const py::handle size : value) step.graph_sizes.push_back(to_number(size, "a graph size"));
        } else if (name == "hides_host") {
            step.hides_host = py::cast<bool>(value);
        } else if (name == "draft_tokens") {
            step.draft_tokens = to_number(value, "draft_tokens");
        } else if (name == "draft_layers") {
            step.draft_layers = to_number(value, "draft_layers");
        } else if (name == "cached_thousandths") {
            step.cached_thousandths = to_number(value, "cached_thousandths");
        } else if (name == "chunk_tokens") {
            step.chunk_tokens = to_number(value, "chunk_tokens");
        } else if (name == "version") {
            step.version = to_number(value, "version");
        } else {
            throw std::invalid_argument("a step has no setting '" + name + "'");
        }
    }
    check_settings(step);
    return step;
}

namespace {

void register_hints(py::module_& m) {
    static constexpr Field kKernelHints[] = {
        field<[](const KernelHints& h) { return h.access.strided_bytes; }>("strided_bytes"),
        field<[](const KernelHints& h) { return h.access.channels_first; }>("channels_first"),
        field<[](const KernelHints& h) { return h.access.needs_layout_change; }>("needs_layout_change"),
        field<[](const KernelHints& h) { return h.access.broadcast; }>("broadcast"),
        field<[](const KernelHints& h) { return h.access.mixed_dtypes; }>("mixed_dtypes"),
        field<[](const KernelHints& h) { return h.winograd_tiles.of_2; }>("winograd_tiles_2"),
        field<[](const KernelHints& h) { return h.winograd_tiles.of_4; }>("winograd_tiles_4"),
        field<[](const KernelHints& h) { return h.rows.count; }>("row_count"),
        field<[](const KernelHints& h) { return h.rows.length; }>("row_length"),
        field<[](const KernelHints& h) { return h.rows.threads_per_row; }>("threads_per_row"),
        field<&slow_loops_of>("slow_loops"),
        field<[](const KernelHints& h) { return h.copied_bytes; }>("copied_bytes"),
        field<&KernelHints::copies_input>("copies_input"),
    };
    def_fields(
        py::class_<KernelHints>(
            m, "KernelHints",
            "How a library, a framework or a compiler runs a kernel; machine models need it beside Work."),
        kKernelHints);
}

}  // namespace

void register_plan(py::module_& m) {
    register_hints(m);
    static constexpr Field kPlan[] = {
        field<[](const Plan& p) { return std::string(p.precision.name); }>("precision"),
        field<&Plan::execution>("execution"),
        field<&Plan::graph>("graph"),
        field<&Plan::names>("names"),
        field<[](const Plan& p) { return p.kernels.size(); }>("kernel_count"),
        field<&Plan::launch_count>("launch_count"),
    };
    def_fields(py::class_<Plan, py::smart_holder>(
                   m, "Plan", "A Graph lowered for one way of running it; identical kernels are kept once."),
               kPlan)
        .def(
            "kernel_of_node",
            [](const Plan& p, NodeIndex node) {
                if (node < 0 || static_cast<std::size_t>(node) >= p.kernel_of_node.size()) {
                    throw InputIndexError("node " + std::to_string(node) + " of a plan that has " +
                                          std::to_string(p.kernel_of_node.size()));
                }
                return p.kernel_of_node[static_cast<std::size_t>(node)];
            },
            py::arg("node"), "The kernel that runs a node, -1 where none does (a view, or not modelled).")
        .def("kernels", &kernels_of,
             "Each distinct kernel: name, work, hints, and the nodes of each of its launches.");
    py::class_<PlanFamily, std::shared_ptr<PlanFamily>>(
        m, "PlanFamily",
        "The plans of a graph for one way of running it. Sizes of 1 and sizes that depend on data are bound\n"
        "before planning, all others stay open: a single estimate and a grid share this rule, and the plans.")
        .def(py::init([](const std::shared_ptr<const Graph>& graph, const std::string& precision,
                         const std::string& execution, const py::object& overrides, const py::dict& step) {
                 const Overrides own = to_overrides(overrides);
                 const StepSettings settings = to_step(step);
                 const CoreCall core;
                 return std::make_shared<PlanFamily>(graph, parse_precision(precision),
                                                     parse_execution(execution), own, settings);
             }),
             py::arg("graph"), py::kw_only(), py::arg("precision") = "native", py::arg("execution") = "eager",
             py::arg("overrides") = py::none(), py::arg("step") = py::dict())
        .def(
            "plan_for",
            [](PlanFamily& family, const py::dict& sizes) {
                const Sizes point = to_sizes(sizes);
                const CoreCall core;
                return family.plan_for(point);
            },
            py::arg("sizes"), "The plan of a point, made when first asked for.");
    m.def(
        "plan",
        [](const std::shared_ptr<const Graph>& graph, const py::dict& sizes, const std::string& precision,
           const std::string& execution, const py::object& overrides) {
            const Precision way = parse_precision(precision);
            const Execution run = parse_execution(execution);
            const Overrides own = to_overrides(overrides);
            const Sizes values = to_sizes(sizes);
            const CoreCall core;
            return std::make_shared<const Plan>(make_plan(graph, values, way, run, own));
        },
        py::arg("graph"), py::arg("sizes"), py::kw_only(), py::arg("precision") = "native",
        py::arg("execution") = "eager", py::arg("overrides") = py::none(),
        "Lowers a graph. Sizes that are given are bound; the others become columns of evaluate().");
    m.def("precisions", &precision_names, "The names of all precisions.");
    m.def("executions", &execution_names, "The names of all executions.");
}

}  // namespace infercost
