#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "evaluate/evaluate.hpp"

namespace infercost {
namespace {

using SizeArray = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

py::array_t<double> column(const std::vector<double>& values) {
    return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

std::map<std::string, std::vector<double>> named_columns(const Columns& result, const Hardware& hardware) {
    const std::size_t points = result.latency_s.size();
    std::map<std::string, std::vector<double>> named = {
        {"latency_s",         result.latency_s           },
        {"latency_low_s",     std::vector<double>(points)},
        {"latency_high_s",    std::vector<double>(points)},
        {"compute_s",         result.compute_s           },
        {"dram_s",            result.dram_s              },
        {"cache_s",           result.cache_s             },
        {"launch_s",          result.launch_s            },
        {"peak_memory_bytes", result.peak_memory_bytes   },
        {"fits_in_memory",    std::vector<double>(points)},
    };
    std::vector<double>& low = named["latency_low_s"];
    std::vector<double>& high = named["latency_high_s"];
    std::vector<double>& fits = named["fits_in_memory"];
    for (std::size_t i = 0; i < points; ++i) {
        low[i] = result.latency_s[i] * hardware.band_low;
        high[i] = result.latency_s[i] * hardware.band_high;
        fits[i] = result.peak_memory_bytes[i] <= hardware.dram().capacity_bytes ? 1.0 : 0.0;
    }
    return named;
}

py::dict evaluate_columns(const Plan& plan, const py::dict& sizes, const Hardware& hardware,
                          std::size_t points) {
    std::vector<SizeArray> arrays;  // keeps the columns alive while the lock is released
    SizeColumns columns;
    for (const auto& [name, values] : sizes) {
        const auto key = name.cast<std::string>();
        const SizeArray array = SizeArray::ensure(values);
        if (!array || array.ndim() != 1) {
            throw py::value_error("size '" + key + "' must be a one-dimensional array of integers");
        }
        arrays.push_back(array);
        columns[key] = {array.data(), static_cast<std::size_t>(array.shape(0))};
    }
    Columns result;
    {
        const py::gil_scoped_release release;
        result = evaluate(plan, columns, points, hardware);
    }
    py::dict out;
    for (const auto& [name, values] : named_columns(result, hardware)) out[py::str(name)] = column(values);
    return out;
}

// One point without numpy: a command that prints one estimate need not import it.
py::dict evaluate_point(const Plan& plan, const py::dict& sizes, const Hardware& hardware) {
    const Sizes point = to_sizes(sizes);
    SizeColumns columns;
    for (const auto& [name, value] : point) columns[name] = {&value, 1};
    py::dict out;
    for (const auto& [name, values] : named_columns(evaluate(plan, columns, 1, hardware), hardware)) {
        out[py::str(name)] = values[0];
    }
    return out;
}

std::vector<std::vector<NodeIndex>> launches_of(const Kernel& kernel) {
    return kernel.launches;
}

// Which term bounds a kernel; "launch" when more time goes into starting it than into running it.
const char* bound_of(const KernelEstimate& e) {
    const double longest = std::max({e.compute_s, e.dram_s, e.cache_s});
    if (e.launch_s > longest) return "launch";
    if (e.compute_s == longest) return "compute";
    return e.dram_s == longest ? "dram" : "cache";
}

std::string note_of(const Work& work, const Hardware& hardware) {
    if (!is_contraction(work.kind)) return {};
    const Engine engine = contraction_engine(hardware, work.dtype);
    if (!engine.emulated) return {};
    return "no " + std::string(name_of(work.dtype)) + " engine: computed as " +
           std::string(name_of(engine.dtype));
}

py::list kernel_estimates(const Plan& plan, const py::dict& sizes, const Hardware& hardware) {
    const std::vector<KernelEstimate> estimates = evaluate_kernels(plan, to_sizes(sizes), hardware);
    py::list result;
    for (std::size_t i = 0; i < estimates.size(); ++i) {
        const Kernel& kernel = plan.kernels[i];
        const KernelEstimate& e = estimates[i];
        py::dict entry;
        entry["name"] = kernel.name;
        entry["kind"] = std::string(name_of(kernel.work.kind));
        entry["multiplicity"] = kernel.launches.size();
        entry["launches"] = launches_of(kernel);
        entry["latency_s"] = e.latency_s;
        entry["compute_s"] = e.compute_s;
        entry["dram_s"] = e.dram_s;
        entry["cache_s"] = e.cache_s;
        entry["launch_s"] = e.launch_s;
        entry["bound"] = bound_of(e);
        entry["note"] = note_of(kernel.work, hardware);
        result.append(entry);
    }
    return result;
}

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

void register_estimate(py::module_& m) {
    py::class_<Plan>(m, "Plan", "A Graph lowered for one way of running it; identical kernels are kept once.")
        .def_property_readonly("precision", [](const Plan& p) { return std::string(p.precision.name); })
        .def_property_readonly("execution", [](const Plan& p) { return std::string(name_of(p.execution)); })
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
    m.def(
        "plan",
        [](const std::shared_ptr<Graph>& graph, const py::dict& sizes, const std::string& precision,
           const std::string& execution, const py::object& overrides) {
            return make_plan(graph, to_sizes(sizes), parse_precision(precision), parse_execution(execution),
                             to_overrides(overrides));
        },
        py::arg("graph"), py::arg("sizes"), py::kw_only(), py::arg("precision") = "native",
        py::arg("execution") = "eager", py::arg("overrides") = py::none(),
        "Lowers a graph. Sizes that are given are bound; the others become columns of evaluate().");
    m.def("precisions", &precision_names, "The names of all precisions.");
    m.def(
        "executions", [] { return std::vector<std::string>{"eager", "compiled", "replayed"}; },
        "The names of all executions.");
    m.def("evaluate", &evaluate_columns, py::arg("plan"), py::arg("sizes"), py::arg("hardware"),
          py::kw_only(), py::arg("points"),
          "Evaluates a plan over columns of sizes on one machine; one estimate is one point.");
    m.def("evaluate_point", &evaluate_point, py::arg("plan"), py::arg("sizes"), py::arg("hardware"),
          "evaluate() for one point, as plain floats.");
    m.def("evaluate_kernels", &kernel_estimates, py::arg("plan"), py::arg("sizes"), py::arg("hardware"),
          "The same for one point, kernel by kernel: the terms of one launch of each.");
}

}  // namespace infercost
