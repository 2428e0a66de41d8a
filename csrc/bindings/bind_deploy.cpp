// Graphs that follow from a captured one, with facts about them, and the stages of pipelines.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/fields.hpp"
#include "deploy/derived_graphs.hpp"
#include "deploy/device_boundary.hpp"
#include "deploy/staged_graphs.hpp"
#include "serving/served_steps.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

py::object quantity_or_none(const std::optional<Expr>& quantity) {
    return quantity ? to_python(*quantity) : py::object(py::none());
}

// A graph, and of each kind of graph that was made for it and lost products its name and the share that it
// kept.
template <class Make>
py::tuple made_by(Make&& make) {
    Losses lost;
    GraphPtr made;
    {
        const CoreCall core;
        made = make(lost);
    }
    py::list losses;
    for (const Loss& loss : lost) losses.append(py::make_tuple(to_python(loss.of), loss.kept_share));
    return py::make_tuple(std::const_pointer_cast<Graph>(made), losses);
}

void register_boundary(py::module_& m) {
    static constexpr Field kCache[] = {
        field<&Cache::name>("name"),
        field<&Cache::tensor>("tensor"),
        field<&Cache::kind>("kind"),
        field<&Cache::dtype>("dtype"),
        field<&Cache::bytes>("bytes"),
        field<&Cache::sequence_bytes>("sequence_bytes"),
        field<&Cache::token_bytes>("token_bytes"),
        field<&Cache::positions>("positions"),
        field<&Cache::grows>("grows"),
        field<&Cache::added>("added"),
    };
    def_fields(py::class_<Cache>(
                   m, "Cache",
                   "Keys, values or a state of one layer that a forward leaves for the next one, symbolic in "
                   "the sizes of the graph."),
               kCache);
    static constexpr Field kBoundary[] = {
        field<&Boundary::input_tensors>("input_tensors"),
        field<&Boundary::input_bytes>("input_bytes"),
        field<&Boundary::output_tensors>("output_tensors"),
        field<&Boundary::output_bytes>("output_bytes"),
        field<&Boundary::weight_bytes>("weight_bytes"),
        field<[](const Boundary& b) { return quantity_or_none(b.tokens); }>("tokens"),
        field<&Boundary::vocabulary>("vocabulary"),
        field<&Boundary::caches>("caches"),
        field<[](const Boundary& b) { return quantity_or_none(b.kv_cache_bytes); }>("kv_cache_bytes"),
        field<&Boundary::reads_cache>("reads_cache"),
        field<&Boundary::step_bytes>("step_bytes"),
        field<[](const Boundary& b) {
            const bool generates = b.tokens && b.kv_cache_bytes;
            return std::string_view(!generates ? "" : b.reads_cache ? "decode" : "prefill");
        }>("phase"),
    };
    def_fields(
        py::class_<Boundary, std::shared_ptr<Boundary>>(
            m, "Boundary",
            "What passes the boundary of a forward on one device, in all sizes of the graph: tensors and "
            "bytes of its\ninputs and results (caches stay where they are), bytes of its weights, its "
            "tokens, None where it reads\nnone, and the caches that it leaves."),
        kBoundary);
    m.def(
        "boundary",
        [](const GraphPtr& graph, const std::string& precision) {
            const CoreCall core;
            return std::const_pointer_cast<Boundary>(device_boundary(graph, parse_precision(precision)));
        },
        py::arg("graph"), py::kw_only(), py::arg("precision") = "native",
        "The boundary of a captured graph, or of one that was made of it; of a stage of a pipeline, its own\n"
        "weights and caches.");
}

void register_facts(py::module_& m) {
    static constexpr Field kStage[] = {
        field<[](const LaunchedStage& s) { return std::const_pointer_cast<Graph>(s.graph); }>("graph"),
        field<&LaunchedStage::nodes>("nodes"),
        field<&LaunchedStage::sent>("sent"),
        field<&LaunchedStage::slices>("slices"),
    };
    def_fields(
        py::class_<LaunchedStage>(
            m, "LaunchedStage",
            "A stage of a pipeline: what its devices launch, for each node of it the node of the graph of "
            "all\nstages, bytes of the activations that are sent to the next stage, and the devices that "
            "send one part each."),
        kStage);
    static constexpr Field kFacts[] = {
        field<&GraphFacts::is_narrowed>("is_narrowed"),
        field<&GraphFacts::as_captured>("as_captured"),
        field<[](const GraphFacts& f) {
            py::list shares;
            for (const Share& share : f.shares) {
                shares.append(py::make_tuple(share.name, share.elements, share.of, share.why));
            }
            return shares;
        }>("shares"),
        field<&GraphFacts::stages>("stages"),
        field<&GraphFacts::kinds>("kinds"),
        field<&GraphFacts::place_of>("place_of"),
    };
    def_fields(
        py::class_<GraphFacts, std::shared_ptr<GraphFacts>>(
            m, "GraphFacts",
            "How a graph was made. `as_captured` are nodes that its engine has no kernel for; `shares` of "
            "weights\nhave their name, the elements of the rank and of the whole, and why they are whole; "
            "`kinds` has for each\nstage the first one with equal costs, and `place_of` the place of each "
            "node of the graph that was cut."),
        kFacts);
    m.def(
        "facts",
        [](const GraphPtr& graph) {
            auto& facts = const_cast<GraphFacts&>(facts_of(*graph));  // Python reads alone
            return std::shared_ptr<GraphFacts>(graph, &facts);        // the graph lives as long
        },
        py::arg("graph"), "How a graph was made.");
    m.def(
        "serves_experts",
        [](const GraphPtr& graph, const std::string& engine) {
            const CoreCall core;
            return serves_experts(graph, parse_engine(engine));
        },
        py::arg("graph"), py::arg("engine"),
        "Whether the experts of a model have the loads of those of a service where the layout states none.");
    m.def(
        "expert_layers", [](const Graph& graph) { return expert_layers(graph); }, py::arg("graph"),
        "Layers with experts, which have two products on sorted tokens.");
}

}  // namespace

void register_deploy(py::module_& m) {
    register_boundary(m);
    register_facts(m);
    m.def(
        "graph_as_loaded",
        [](const GraphPtr& graph, const std::string& engine) {
            const ServingEngine by = parse_engine(engine);
            const CoreCall core;
            return std::const_pointer_cast<Graph>(graph_as_loaded(graph, by));
        },
        py::arg("graph"), py::arg("engine"),
        "A captured model as an engine loads it: float32 weights in 16 bits; the graph itself if nothing "
        "changes.");
    m.def(
        "graph_of_engine",
        [](const GraphPtr& graph, const std::string& engine) {
            const ServingEngine by = parse_engine(engine);
            return made_by([&](Losses& lost) { return graph_of_engine(graph, by, lost); });
        },
        py::arg("graph"), py::arg("engine"),
        "The kernels of an engine for a captured graph, or for that of a rank; and what it lost of "
        "products.");
    m.def(
        "graph_of_rank",
        [](const GraphPtr& graph, const Layout& layout) {
            return made_by([&](Losses& lost) { return graph_of_rank(graph, layout, lost); });
        },
        py::arg("graph"), py::arg("layout"),
        "The graph of one rank of a layout, with all stages of a pipeline; and what it lost of products.");
    m.def(
        "launched_graph",
        [](const GraphPtr& graph, const std::string& engine, const Layout& layout) {
            const ServingEngine by = parse_engine(engine);
            return made_by([&](Losses& lost) { return launched_graph(graph, by, layout, lost); });
        },
        py::arg("graph"), py::arg("engine"), py::arg("layout"),
        "What one device of a layout launches, with all stages of a pipeline; and what it lost of products.");
    m.def(
        "check_cuts",
        [](const GraphPtr& launched, std::int64_t stages) {
            const CoreCall core;
            places_of_cuts(launched, stages);
        },
        py::arg("launched"), py::arg("stages"), "Raises LayoutError if a graph cannot be cut into stages.");
    m.def(
        "graph_of_stages",
        [](const GraphPtr& launched, const Layout& layout, PlanFamily& plans,
           const std::shared_ptr<const Hardware>& machine) {
            const StageTiming timing{plans, machine.get(), machine};
            return made_by([&](Losses& lost) { return graph_of_stages(launched, layout, timing, lost); });
        },
        py::arg("launched"), py::arg("layout"), py::arg("plans"), py::arg("machine"),
        "The graph of all stages of a layout, which take equal times on a machine; without one, they have "
        "equal\n"
        "work. And what it lost of products.");
    m.def(
        "forward_of",
        [](const GraphPtr& step) {
            const CoreCall core;
            return std::const_pointer_cast<Graph>(forward_of(step));
        },
        py::arg("step"), "The forward of a training step.");
}

}  // namespace infercost
