#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/fields.hpp"
#include "deploy/deployed_graph.hpp"
#include "deploy/exchanges.hpp"
#include "deploy/pipeline_plans.hpp"
#include "deploy/point_figures.hpp"
#include "evaluate/bands.hpp"
#include "evaluate/evaluate.hpp"
#include "evaluate/explain.hpp"
#include "evaluate/node_estimates.hpp"
#include "evaluate/step_parts.hpp"
#include "evaluate/training_schedule.hpp"

namespace infercost {
namespace {

using SizeArray = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;
using ResultArray = py::array_t<double, py::array::c_style>;

EvaluateOptions to_options(unsigned threads, const std::optional<std::string>& simd) {
    if (threads < 1) throw std::invalid_argument("threads is 0; expected at least 1");
    return {threads, simd ? parse_isa(*simd) : best_isa()};
}

SizeArray to_values(py::handle values, const std::string& name) {
    SizeArray array = SizeArray::ensure(values);
    if (!array || array.ndim() != 1) {
        throw std::invalid_argument("size '" + name + "' must be a one-dimensional array of integers");
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
        const auto key = to_text(name, "the name of a size");
        const SizeArray array = to_values(values, key);
        if (static_cast<std::size_t>(array.shape(0)) != points) {
            throw std::invalid_argument("size '" + key + "' has " + std::to_string(array.shape(0)) +
                                        " values; expected " + std::to_string(points));
        }
        arrays.push_back(array);
        axes.push_back(to_axis(key, array, 1));
    }
    const EvaluateOptions options = to_options(threads, simd);
    py::dict out;
    Columns columns;
    for (const ColumnRow& row : kColumns) {
        ResultArray values(static_cast<py::ssize_t>(points));
        columns.*row.column = {values.mutable_data(), points};
        out[to_python(row.name)] = values;
    }
    const CoreCall core;
    evaluate(plan, axes, hardware, 0, points, columns, options);
    return out;
}

// The arrays of a dict, which must outlive the result.
Columns to_columns(const py::dict& arrays, std::size_t points) {
    Columns columns;
    for (const auto& [key, values] : arrays) {
        const auto name = to_text(key, "the name of a column");
        const auto row = std::find_if(kColumns.begin(), kColumns.end(),
                                      [&](const ColumnRow& known) { return name == known.name; });
        if (row == kColumns.end()) throw std::invalid_argument("the evaluator has no column '" + name + "'");
        if (!ResultArray::check_(values)) {
            throw std::invalid_argument("column '" + name + "' must be a contiguous array of float64");
        }
        auto array = py::reinterpret_borrow<ResultArray>(values);
        if (array.ndim() != 1 || static_cast<std::size_t>(array.shape(0)) != points) {
            throw std::invalid_argument("column '" + name + "' must hold " + std::to_string(points) +
                                        " values, got " + std::to_string(array.size()));
        }
        columns.*row->column = {array.mutable_data(), points};
    }
    return columns;
}

// Rows are stages, columns points.
ResultArray training_ends(const ResultArray& forward_s, const ResultArray& backward_s,
                          const SizeArray& micro_batches, const std::string& schedule) {
    const bool fits = forward_s.ndim() == 2 && backward_s.ndim() == 2 && micro_batches.ndim() == 1 &&
                      backward_s.shape(0) == forward_s.shape(0) &&
                      backward_s.shape(1) == forward_s.shape(1) &&
                      micro_batches.shape(0) == forward_s.shape(1);
    if (!fits) {
        throw std::invalid_argument(
            "forward_s and backward_s must be [stages, points], and micro_batches [points]");
    }
    const auto stages = static_cast<std::size_t>(forward_s.shape(0));
    const auto points = static_cast<std::size_t>(forward_s.shape(1));
    const TrainingSchedule order = parse_training_schedule(schedule);
    ResultArray ends({forward_s.shape(0), forward_s.shape(1)});
    double* const found = ends.mutable_data();
    const CoreCall core;
    std::vector<double> forward(stages);
    std::vector<double> backward(stages);
    for (std::size_t i = 0; i < points; ++i) {
        for (std::size_t s = 0; s < stages; ++s) {
            forward[s] = forward_s.data()[s * points + i];
            backward[s] = backward_s.data()[s * points + i];
        }
        const std::vector<double> own = stage_ends(order, forward, backward, micro_batches.data()[i]);
        for (std::size_t s = 0; s < stages; ++s) found[s * points + i] = own[s];
    }
    return ends;
}

// Axes of a grid, whose arrays are kept while the lock is released.
struct Axes {
    explicit Axes(const std::vector<std::tuple<std::string, py::object, std::uint64_t>>& axes) {
        for (const auto& [name, values, repeat] : axes) {
            arrays.push_back(to_values(values, name));
            grid.push_back(to_axis(name, arrays.back(), repeat));
        }
    }
    std::vector<SizeArray> arrays;
    std::vector<SizeAxis> grid;
};

void evaluate_grid(PlanFamily& family,
                   const std::vector<std::tuple<std::string, py::object, std::uint64_t>>& axes,
                   const Hardware& hardware, std::uint64_t first, std::size_t points, const py::dict& out,
                   unsigned threads, const std::optional<std::string>& simd) {
    const Axes given(axes);
    const Columns columns = to_columns(out, points);
    const EvaluateOptions options = to_options(threads, simd);
    const CoreCall core;
    evaluate(family, given.grid, hardware, first, points, columns, options);
}

void evaluate_pipeline(DeployedPipeline& pipeline,
                       const std::vector<std::tuple<std::string, py::object, std::uint64_t>>& axes,
                       const Hardware& hardware, std::uint64_t first, std::size_t points, const py::dict& out,
                       unsigned threads) {
    const Axes given(axes);
    const Columns columns = to_columns(out, points);
    const EvaluateOptions options = to_options(threads, std::nullopt);
    const CoreCall core;
    pipeline.evaluate(given.grid, hardware, first, points, columns, options);
}

py::dict step_parts(PlanFamily& family, const py::dict& sizes, const Hardware& hardware, std::size_t points) {
    std::vector<SizeArray> arrays;  // keeps the columns alive while the lock is released
    std::vector<SizeAxis> axes;
    for (const auto& [name, values] : sizes) {
        const auto key = to_text(name, "the name of a size");
        arrays.push_back(to_values(values, key));
        axes.push_back(to_axis(key, arrays.back(), 1));
    }
    py::dict out;
    StepColumns columns;
    for (const StepColumnRow& row : kStepColumns) {
        ResultArray values(static_cast<py::ssize_t>(points));
        columns.*row.column = {values.mutable_data(), points};
        out[to_python(row.name)] = values;
    }
    double static_w = 0;
    {
        const CoreCall core;
        static_w = evaluate_step_parts(family, axes, hardware, points, columns);
    }
    out["static_w"] = static_w;
    return out;
}

py::dict columns_of(const PointEstimate& estimate) {
    py::dict out;
    for (const ColumnRow& row : kColumns) out[to_python(row.name)] = estimate.*row.value;
    return out;
}

// One point without numpy: a command that prints one estimate need not import it.
py::dict evaluate_one(const std::shared_ptr<const Plan>& plan, const py::dict& sizes,
                      const Hardware& hardware) {
    const Sizes point = to_sizes(sizes);
    PointEstimate estimate;
    {
        const CoreCall core;
        estimate = evaluate_point(plan, point, hardware);
    }
    return columns_of(estimate);
}

// The kernels of a forward, and the plan whose graph they run.
struct ForwardKernels {
    std::shared_ptr<const Plan> plan;
    std::vector<KernelEstimate> kernels;

    static ForwardKernels of(const std::shared_ptr<const Plan>& plan, const py::dict& sizes,
                             const Hardware& hardware) {
        const Sizes point = to_sizes(sizes);
        const CoreCall core;
        return {plan, estimate_kernels(*plan, point, hardware)};
    }
};

std::vector<KernelEstimate> evaluate_kernels(const std::shared_ptr<const Plan>& plan, const py::dict& sizes,
                                             const Hardware& hardware) {
    return ForwardKernels::of(plan, sizes, hardware).kernels;
}

// The layers of a forward as objects of a Python class, made when one of them is asked for.
class LayerSequence {
  public:
    LayerSequence(ForwardKernels kernels, py::object cls)
        : kernels_(std::move(kernels)), cls_(std::move(cls)) {}

    const py::tuple& all() {
        if (!all_) {
            py::list made;
            for (const NodeEstimate& each : estimate_nodes(kernels_.kernels)) {
                py::list row;  // fields in the order of the class
                describe(each, *kernels_.plan->graph,
                         [&](std::string_view, const auto& value) { row.append(member_value(value)); });
                made.append(cls_(*row));
            }
            all_ = py::tuple(made);
        }
        return *all_;
    }

  private:
    ForwardKernels kernels_;
    py::object cls_;
    std::optional<py::tuple> all_;
};

py::dict figures_of(const ForwardKernels& of, const Hardware& machine, const py::dict& totals,
                    std::int64_t devices, std::int64_t items, std::optional<bool> fits) {
    PointEstimate total;
    for (const ColumnRow& row : kColumns) total.*row.value = totals[to_python(row.name)].cast<double>();
    return members_of(point_figures(total, of.kernels, machine, {devices, items, fits}));
}

py::list exchanges_in(const ForwardKernels& of, const Hardware& machine) {
    py::list rows;
    for (const GroupExchange& each : exchanges_of(*of.plan->graph, of.kernels, machine))
        rows.append(members_of(each));
    return rows;
}

void register_kernel_estimate(py::module_& m) {
    static constexpr Field kTiling[] = {
        field<[](const Tiling& t) {
            return std::pair{static_cast<int>(t.tile.rows), static_cast<int>(t.tile.cols)};
        }>("tile"),
        field<[](const Tiling& t) { return static_cast<std::int64_t>(t.tiles); }>("tiles"),
        field<[](const Tiling& t) { return static_cast<std::int64_t>(t.parts); }>("parts"),
        field<[](const Tiling& t) { return static_cast<std::int64_t>(t.rounds); }>("rounds"),
        field<&Tiling::filled>("filled"),
    };
    def_fields(py::class_<Tiling>(m, "Tiling", "How the tiles of a product fall on the cores."), kTiling);

    using K = KernelEstimate;
    static constexpr Field kKernelEstimate[] = {
        field<&K::name>("name"),
        field<&K::kind>("kind"),
        field<&K::launches>("launches"),
        field<[](const K& k) { return k.terms.latency; }>("latency_s"),
        field<[](const K& k) { return k.terms.compute; }>("compute_s"),
        field<[](const K& k) { return k.terms.dram; }>("dram_s"),
        field<[](const K& k) { return k.terms.cache; }>("cache_s"),
        field<[](const K& k) { return k.terms.link; }>("link_s"),
        field<[](const K& k) { return k.terms.launch; }>("launch_s"),
        field<&K::energy_j>("energy_j"),
        field<&K::bound>("bound"),
        field<&K::flops>("flops"),
        field<&K::traffic_bytes>("traffic_bytes"),
        field<&K::sent_bytes>("sent_bytes"),
        field<&K::ideal_compute_s>("ideal_compute_s"),
        field<&K::stream_s>("stream_s"),
        field<[](const K& k) { return k.engine.matrix ? "matrix" : "vector"; }>("unit"),
        field<[](const K& k) { return to_python(name_of(k.engine.dtype)); }>("unit_dtype"),
        field<&K::algorithm>("algorithm"),
        field<&K::tiling>("tiling"),
        field<[](const K& k) {
            py::dict parts;
            for (const Part& part : k.parts) parts[to_python(part.name)] = part.seconds;
            return parts;
        }>("parts_s"),
        field<&K::effect>("effect"),
        field<&K::effect_share>("effect_share"),
        field<&K::copies_input>("copies_input"),
        field<&K::band>("band"),
        field<&K::note>("note"),
    };
    def_fields(py::class_<K>(m, "KernelEstimate",
                             "One kernel on one machine at one point; times are of one launch."),
               kKernelEstimate);
}

}  // namespace

namespace {

// Fields that Python reads of a point, and the stages of a pipeline as fields of a StageEstimate.
py::tuple point_on(DeployedGraph& of, const py::dict& sizes, const std::shared_ptr<const Hardware>& machine) {
    const Sizes given = to_sizes(sizes);
    std::optional<DeployedPoint> found;
    std::vector<StageFigures> stages;
    {
        const CoreCall core;
        found.emplace(of.at(given, *machine, machine));
        if (DeployedPipeline* pipeline = found->launched.pipeline) {
            stages = pipeline->figures(found->open_share, *machine);
        }
    }
    py::list rows;
    for (const StageFigures& stage : stages) rows.append(members_of(stage));
    return py::make_tuple(std::const_pointer_cast<Plan>(found->plan), found->sizes, found->share,
                          found->open_share, found->point, columns_of(found->total), rows);
}

py::object memory_on(DeployedGraph& of, const py::dict& sizes, const std::shared_ptr<const Hardware>& machine,
                     double peak_bytes, const GivenLimits& limits,
                     const std::optional<std::tuple<double, double>>& prompt) {
    const Sizes share = to_sizes(sizes);
    PromptMemory read;
    if (prompt) std::tie(read.activation_bytes, read.sequences) = *prompt;
    std::optional<DeviceMemory> found;
    {
        const CoreCall core;
        found = fullest_memory({of.engine(), machine.get(), of.attention_ranks(), to_limits(limits)},
                               of.on(*machine, machine).stages, share, peak_bytes, prompt ? &read : nullptr);
    }
    return member_value(found);
}

void register_deployed(py::module_& m) {
    py::class_<DeployedGraph>(m, "DeployedGraph", "A graph, captured or launched, as a deployment runs it.")
        .def(py::init([](const std::shared_ptr<const Graph>& graph, const std::string& precision,
                         const std::string& engine, const std::string& execution, const Layout& layout,
                         std::int64_t micro_batches, const py::dict& step, const py::object& overrides) {
                 const DeploymentSettings settings{
                     precision, parse_engine(engine), parse_execution(execution),
                     layout,    micro_batches,        to_step(step)};
                 Overrides own = to_overrides(overrides);
                 const CoreCall core;
                 return std::make_unique<DeployedGraph>(graph, settings, std::move(own));
             }),
             py::arg("graph"), py::kw_only(), py::arg("precision"), py::arg("engine"), py::arg("execution"),
             py::arg("layout"), py::arg("micro_batches") = 0, py::arg("step") = py::dict(),
             py::arg("overrides") = py::none(),
             "Overrides are work by node of what a machine launches, of a pipeline all stages.")
        .def("at", &point_on, py::arg("sizes"), py::arg("machine"),
             "One point: the plan, values of all sizes, the same on the device with the\n"
             "largest share of the batch, those without open ones, what passes the kernels at once, the "
             "columns,\n"
             "and of a pipeline the fields of each StageEstimate without its modules.")
        .def("memory", &memory_on, py::arg("sizes"), py::arg("machine"), py::arg("peak_bytes"), py::kw_only(),
             py::arg("limits"), py::arg("prompt") = py::none(),
             "The fields of MemoryUse of the fullest stage for sizes of a device; None without a cache. "
             "Limits\n"
             "are as in cache_pool_bytes; a prompt has bytes of activations, and sequences.");
}

void register_pipelines(py::module_& m) {
    py::class_<DeployedPipeline>(m, "DeployedPipeline", "The stages of a pipeline, with their plans.")
        .def(py::init([](const std::shared_ptr<const Graph>& graph, const std::string& precision,
                         const std::string& execution, std::int64_t micro_batches, const py::dict& step,
                         const py::object& overrides) {
                 StageSettings settings{parse_precision(precision), parse_execution(execution), micro_batches,
                                        to_step(step), to_overrides(overrides)};
                 const CoreCall core;
                 return std::make_unique<DeployedPipeline>(graph, std::move(settings));
             }),
             py::arg("graph"), py::kw_only(), py::arg("precision"), py::arg("execution"),
             py::arg("micro_batches"), py::arg("step") = py::dict(), py::arg("overrides") = py::none(),
             "The graph of all stages; overrides are work by node of it.")
        .def_property_readonly("kind_of", &DeployedPipeline::kind_of,
                               "For each stage the first one with equal costs.")
        .def("plans_of_stage", &DeployedPipeline::plans_of_stage, py::arg("stage"), "The plans of a stage.")
        .def("prepare", &DeployedPipeline::prepare, py::call_guard<CoreCall>(),
             "Makes the plans at the default sizes; at most other sizes they are the same.")
        .def("evaluate", &evaluate_pipeline, py::arg("axes"), py::arg("hardware"), py::kw_only(),
             py::arg("first"), py::arg("points"), py::arg("out"), py::arg("threads") = 1,
             "As evaluate_grid; axes are sizes of the largest share of the batch.")
        .def(
            "micro_batch",
            [](const DeployedPipeline& of, const py::dict& sizes) { return of.micro_batch(to_sizes(sizes)); },
            py::arg("sizes"), "The sizes of a micro-batch.");
}

}  // namespace

void register_evaluate(py::module_& m) {
    register_deployed(m);
    register_pipelines(m);
    register_kernel_estimate(m);
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
    m.def("micro_batch", py::vectorize(&micro_batch), py::arg("share"), py::arg("most"),
          "Items of a micro-batch for shares of a batch, of which at most `most` pass the stages.");
    m.def("training_ends", &training_ends, py::arg("forward_s"), py::arg("backward_s"),
          py::arg("micro_batches"), py::kw_only(), py::arg("schedule"),
          "Returns the seconds at which each stage of a pipeline, a row, has done its last backward.");
    m.def(
        "training_in_flight",
        [](const std::string& schedule, std::int64_t stage, std::int64_t stages, std::int64_t micro_batches) {
            return in_flight(parse_training_schedule(schedule), stage, stages, micro_batches);
        },
        py::arg("schedule"), py::kw_only(), py::arg("stage"), py::arg("stages"), py::arg("micro_batches"),
        "Returns the micro-batches whose activations a stage has at the same time at most.");
    m.def("evaluate_step_parts", &step_parts, py::arg("family"), py::arg("sizes"), py::arg("hardware"),
          py::kw_only(), py::arg("points"),
          "Evaluates the parts of steps of a serving engine over columns of sizes; `static_w` is a number.");
    m.def("evaluate_point", &evaluate_one, py::arg("plan"), py::arg("sizes"), py::arg("hardware"),
          "evaluate() for one point, as plain floats.");
    m.def("evaluate_kernels", &evaluate_kernels, py::arg("plan"), py::arg("sizes"), py::arg("hardware"),
          "One KernelEstimate for each kernel of a plan, at one point.");
    py::class_<ForwardKernels>(m, "ForwardKernels", "The kernels of a plan on a machine at one point.")
        .def(py::init(&ForwardKernels::of), py::arg("plan"), py::arg("sizes"), py::arg("hardware"))
        .def(
            "layers",
            [](const ForwardKernels& of, py::object cls) { return LayerSequence(of, std::move(cls)); },
            py::arg("cls"), "The layers as objects of `cls`, which takes the fields of a LayerEstimate.")
        .def("figures", &figures_of, py::arg("hardware"), py::arg("totals"), py::kw_only(),
             py::arg("devices"), py::arg("items"), py::arg("fits"),
             "Figures of the forward (`csrc/deploy/point_figures.hpp`).")
        .def("exchanges", &exchanges_in, py::arg("hardware"),
             "The fields of an Exchange of each kind of collective operation.");
    const auto layers_of = [](py::handle self) -> py::tuple { return self.cast<LayerSequence&>().all(); };
    py::class_<LayerSequence>(m, "LayerSequence", "The layers of a forward, made when one is asked for.")
        .def("__len__", [](LayerSequence& self) { return self.all().size(); })
        .def("__getitem__", [](LayerSequence& self, const py::object& place) { return self.all()[place]; })
        .def("__iter__", [](LayerSequence& self) { return py::iter(self.all()); })
        .def("__repr__", [](LayerSequence& self) { return py::repr(self.all()); })
        .def("__hash__", [](LayerSequence& self) { return py::hash(self.all()); })
        .def("__eq__",
             [=](LayerSequence& self, const py::object& other) -> py::object {
                 const bool is_sequence = py::isinstance<LayerSequence>(other);
                 if (!is_sequence && !py::isinstance<py::tuple>(other)) {
                     return py::reinterpret_borrow<py::object>(Py_NotImplemented);
                 }
                 const py::tuple others = is_sequence ? layers_of(other) : py::tuple(other);
                 return py::bool_(self.all().equal(others));
             })
        .def("__reduce__", [](LayerSequence& self) {
            return py::make_tuple(py::type::of(self.all()), py::make_tuple(self.all()));
        });
    m.def(
        "evidence_words",
        [] {
            py::list words;
            for (const std::string_view word : kEvidence) words.append(to_python(word));
            return words;
        },
        "What the band of a kernel may rest on, strongest first.");
    m.def(
        "evidence_shares",
        [](const std::vector<KernelEstimate>& kernels, const Hardware& machine) {
            return member_value(evidence_shares(kernels, machine));
        },
        py::arg("kernels"), py::arg("hardware"),
        "What the bands of kernels rest on, as shares of the latency.");
    m.def("band_low", py::vectorize(&band_low), py::arg("value"), py::arg("spread"),
          "The low end of a band.");
    m.def("band_high", py::vectorize(&band_high), py::arg("value"), py::arg("spread"), "The high end.");
    m.def("effects", &effect_names, "The names of all effects.");
    m.def("bounds", &bound_names, "The terms that can bind a kernel, in the order of reports.");
    m.def(
        "evaluator_columns",
        [] {
            std::vector<std::string> names;
            for (const ColumnRow& row : kColumns) names.emplace_back(row.name);
            return names;
        },
        "The columns of evaluate(), in the order of reports.");
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
