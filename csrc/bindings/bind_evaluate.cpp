#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/bindings.hpp"
#include "evaluate/evaluate.hpp"
#include "evaluate/explain.hpp"

namespace infercost {
namespace {

using SizeArray = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;
using ResultArray = py::array_t<double, py::array::c_style>;

struct Field {
    const char* name;
    std::span<double> Columns::* column;
};
constexpr Field kFields[] = {
    {"latency_s",         &Columns::latency_s        },
    {"compute_s",         &Columns::compute_s        },
    {"dram_s",            &Columns::dram_s           },
    {"cache_s",           &Columns::cache_s          },
    {"launch_s",          &Columns::launch_s         },
    {"spread_s",          &Columns::spread_s         },
    {"energy_j",          &Columns::energy_j         },
    {"peak_memory_bytes", &Columns::peak_memory_bytes},
};

EvaluateOptions to_options(unsigned threads, const std::optional<std::string>& simd) {
    if (threads < 1) throw py::value_error("threads is 0; expected at least 1");
    return {threads, simd ? parse_isa(*simd) : best_isa()};
}

SizeArray to_values(py::handle values, const std::string& name) {
    SizeArray array = SizeArray::ensure(values);
    if (!array || array.ndim() != 1) {
        throw py::value_error("size '" + name + "' must be a one-dimensional array of integers");
    }
    return array;
}

SizeAxis to_axis(const std::string& name, const SizeArray& values, std::uint64_t repeat) {
    return {
        name, {values.data(), static_cast<std::size_t>(values.shape(0))},
         repeat
    };
}

py::dict evaluate_columns(const std::shared_ptr<const Plan>& plan, const py::dict& sizes,
                          const Hardware& hardware, std::size_t points, unsigned threads,
                          const std::optional<std::string>& simd) {
    std::vector<SizeArray> arrays;  // keeps the columns alive while the lock is released
    std::vector<SizeAxis> axes;
    for (const auto& [name, values] : sizes) {
        const auto key = name.cast<std::string>();
        const SizeArray array = to_values(values, key);
        if (static_cast<std::size_t>(array.shape(0)) != points) {
            throw py::value_error("size '" + key + "' has " + std::to_string(array.shape(0)) +
                                  " values; expected " + std::to_string(points));
        }
        arrays.push_back(array);
        axes.push_back(to_axis(key, array, 1));
    }
    const EvaluateOptions options = to_options(threads, simd);
    py::dict out;
    Columns columns;
    for (const Field& field : kFields) {
        ResultArray values(static_cast<py::ssize_t>(points));
        columns.*field.column = {values.mutable_data(), points};
        out[field.name] = values;
    }
    const py::gil_scoped_release release;
    evaluate(plan, axes, hardware, 0, points, columns, options);
    return out;
}

void evaluate_grid(PlanFamily& family,
                   const std::vector<std::tuple<std::string, py::object, std::uint64_t>>& axes,
                   const Hardware& hardware, std::uint64_t first, std::size_t points, const py::dict& out,
                   unsigned threads, const std::optional<std::string>& simd) {
    std::vector<SizeArray> arrays;
    std::vector<SizeAxis> grid;
    for (const auto& [name, values, repeat] : axes) {
        arrays.push_back(to_values(values, name));
        grid.push_back(to_axis(name, arrays.back(), repeat));
    }
    Columns columns;
    for (const auto& [key, values] : out) {
        const auto name = key.cast<std::string>();
        const auto* field = std::find_if(std::begin(kFields), std::end(kFields),
                                         [&](const Field& known) { return name == known.name; });
        if (field == std::end(kFields)) throw py::value_error("the evaluator has no column '" + name + "'");
        if (!ResultArray::check_(values)) {
            throw py::value_error("column '" + name + "' must be a contiguous array of float64");
        }
        auto array = py::reinterpret_borrow<ResultArray>(values);
        if (array.ndim() != 1 || static_cast<std::size_t>(array.shape(0)) != points) {
            throw py::value_error("column '" + name + "' must hold " + std::to_string(points) +
                                  " values, got " + std::to_string(array.size()));
        }
        columns.*field->column = {array.mutable_data(), points};
    }
    const EvaluateOptions options = to_options(threads, simd);
    const py::gil_scoped_release release;
    evaluate(family, grid, hardware, first, points, columns, options);
}

// One point without numpy: a command that prints one estimate need not import it.
py::dict evaluate_point(const std::shared_ptr<const Plan>& plan, const py::dict& sizes,
                        const Hardware& hardware) {
    const Sizes point = to_sizes(sizes);
    std::vector<SizeAxis> axes;
    for (const auto& [name, value] : point)
        axes.push_back({
            name, {&value, 1},
             1
        });
    std::array<double, std::size(kFields)> values{};
    Columns columns;
    for (std::size_t f = 0; f < values.size(); ++f) columns.*kFields[f].column = {&values[f], 1};
    evaluate(plan, axes, hardware, 0, 1, columns);
    py::dict out;
    for (std::size_t f = 0; f < values.size(); ++f) out[kFields[f].name] = values[f];
    return out;
}

// Which term bounds a kernel; "launch" when more time goes into starting it than into running it.
const char* bound_of(const KernelSeconds& e) {
    const double longest = std::max({e.compute, e.dram, e.cache});
    if (e.launch > longest) return "launch";
    if (e.compute == longest) return "compute";
    return e.dram == longest ? "dram" : "cache";
}

std::string note_of(const Work& work, const Hardware& hardware) {
    if (!is_contraction(work.kind)) return {};
    const Engine engine = contraction_engine(hardware, work.dtype);
    if (!engine.emulated) return {};
    return "no " + std::string(name_of(work.dtype)) + " engine: computed as " +
           std::string(name_of(engine.dtype));
}

py::object tiling_of(const std::optional<Tiling>& tiling) {
    if (!tiling) return py::none();
    py::dict entry;
    entry["tile"] = py::make_tuple(static_cast<int>(tiling->tile.rows), static_cast<int>(tiling->tile.cols));
    entry["tiles"] = static_cast<std::int64_t>(tiling->tiles);
    entry["parts"] = static_cast<std::int64_t>(tiling->parts);
    entry["rounds"] = static_cast<std::int64_t>(tiling->rounds);
    entry["filled"] = tiling->filled;
    return entry;
}

py::list kernel_estimates(const Plan& plan, const py::dict& sizes, const Hardware& hardware) {
    const std::vector<Explanation> explained = explain_kernels(plan, to_sizes(sizes), hardware);
    const bool has_matrix = std::any_of(hardware.matrix.begin(), hardware.matrix.end(),
                                        [](double flop_per_s) { return flop_per_s > 0; });
    py::list result;
    for (std::size_t i = 0; i < explained.size(); ++i) {
        const Kernel& kernel = plan.kernels[i];
        const KernelSeconds& e = explained[i].terms;
        py::dict entry;
        entry["name"] = kernel.name;
        entry["kind"] = std::string(name_of(kernel.work.kind));
        entry["multiplicity"] = kernel.launches.size();
        entry["launches"] = launches_of(kernel);
        entry["latency_s"] = e.latency;
        entry["compute_s"] = e.compute;
        entry["dram_s"] = e.dram;
        entry["cache_s"] = e.cache;
        entry["launch_s"] = e.launch;
        entry["energy_j"] = explained[i].energy_j;
        entry["bound"] = bound_of(e);
        entry["ideal_compute_s"] = explained[i].ideal_compute_s;
        entry["stream_s"] = explained[i].stream_s;
        entry["algorithm"] = std::string(name_of(explained[i].algorithm));
        entry["tiling"] = tiling_of(explained[i].tiling);
        py::dict parts;
        for (const Part& part : explained[i].parts) parts[py::str(std::string(part.name))] = part.seconds;
        entry["parts_s"] = parts;
        entry["flops"] = explained[i].flops;
        entry["traffic_bytes"] = explained[i].traffic_bytes;
        const bool contraction =
            is_contraction(kernel.work.kind) && explained[i].algorithm != Algorithm::direct;
        const Engine engine = contraction ? contraction_engine(hardware, kernel.work.dtype)
                                          : vector_engine(hardware, kernel.work.dtype);
        entry["engine"] = engine.matrix ? "matrix" : "vector";
        entry["engine_dtype"] = std::string(name_of(engine.dtype));
        entry["has_matrix_unit"] = has_matrix;
        entry["note"] = note_of(kernel.work, hardware);
        result.append(entry);
    }
    return result;
}

}  // namespace

void register_evaluate(py::module_& m) {
    m.def("evaluate", &evaluate_columns, py::arg("plan"), py::arg("sizes"), py::arg("hardware"),
          py::kw_only(), py::arg("points"), py::arg("threads") = 1, py::arg("simd") = py::none(),
          "Evaluates a plan over columns of sizes on one machine; one estimate is one point.");
    m.def("evaluate_grid", &evaluate_grid, py::arg("family"), py::arg("axes"), py::arg("hardware"),
          py::kw_only(), py::arg("first"), py::arg("points"), py::arg("out"), py::arg("threads") = 1,
          py::arg("simd") = py::none(),
          "Evaluates points first .. first + points of a grid into the given columns. Each axis is a size, "
          "its\n"
          "values, and for how many points in a row a value stands: at point i it is\n"
          "values[(i // repeat) % len(values)].");
    m.def("evaluate_point", &evaluate_point, py::arg("plan"), py::arg("sizes"), py::arg("hardware"),
          "evaluate() for one point, as plain floats.");
    m.def(
        "evaluate_kernels", &kernel_estimates, py::arg("plan"), py::arg("sizes"), py::arg("hardware"),
        "The same for one point, kernel by kernel: the terms of one launch of each, `parts_s` of which they\n"
        "consist beyond what is ideal, and of a product in tiles how these fall on the cores (`tiling`).");
    m.def(
        "simd_levels",
        [] {
            std::vector<std::string> names;
            for (const Isa isa : available_isas()) names.emplace_back(name_of(isa));
            return names;
        },
        "Instruction sets that the evaluator can use on this machine, slowest first.");
}

}  // namespace infercost
