#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/bindings.hpp"
#include "lowering/conservation.hpp"
#include "lowering/parallel/context.hpp"
#include "lowering/parallel/layout.hpp"
#include "lowering/parallel/stages.hpp"
#include "lowering/parallel/training_stages.hpp"
#include "pipelines/balance.hpp"

namespace infercost {

namespace {

using GraphPtr = std::shared_ptr<const Graph>;
using Place = std::pair<NodeIndex, std::vector<TensorIndex>>;

std::vector<Place> places(const GraphPtr& graph, std::int64_t stages) {
    std::vector<Place> found;
    const CoreCall core;
    for (CutPlace& place : cut_places(graph, stages)) {
        found.emplace_back(place.before, std::move(place.crossing));
    }
    return found;
}

std::vector<std::size_t> cuts(const std::vector<double>& until_s, const std::vector<double>& sent_s,
                              std::int64_t stages) {
    const CoreCall core;
    return balanced_cuts(until_s, sent_s, stages);
}

std::vector<CutPlace> to_cuts(const std::vector<Place>& cuts) {
    std::vector<CutPlace> given;
    for (const auto& [before, crossing] : cuts) given.push_back({before, crossing});
    return given;
}

std::vector<Place> training_places(const GraphPtr& graph, std::int64_t stages) {
    const CoreCall core;
    std::vector<Place> found;
    for (CutPlace& place : training_cut_places(graph, stages))
        found.emplace_back(place.before, std::move(place.crossing));
    return found;
}

py::tuple to_tuple(const Pipeline& made) {
    py::list stages;
    for (const Stage& stage : made.stages) {
        stages.append(py::make_tuple(std::const_pointer_cast<Graph>(stage.graph), stage.nodes));
    }
    return py::make_tuple(std::const_pointer_cast<Graph>(made.graph), stages,
                          static_cast<const std::vector<NodeIndex>&>(made.place_of));
}

py::tuple stages_between(const GraphPtr& graph, const std::vector<Place>& cuts,
                         const std::vector<std::int64_t>& nodes, std::int64_t slices) {
    Pipeline made;
    {
        const CoreCall core;
        made = pipeline_of(graph, to_cuts(cuts), {nodes, slices});
    }
    return to_tuple(made);
}

py::tuple training_stages(const GraphPtr& graph, const std::vector<Place>& cuts,
                          const std::vector<std::int64_t>& nodes) {
    Pipeline made;
    {
        const CoreCall core;
        made = training_pipeline_of(graph, to_cuts(cuts), nodes);
    }
    return to_tuple(made);
}

std::vector<std::size_t> stages_of(const GraphPtr& graph, const std::vector<TensorIndex>& tensors,
                                   const std::vector<std::shared_ptr<Graph>>& stages) {
    for (const TensorIndex t : tensors) {
        if (t < 0 || static_cast<std::size_t>(t) >= graph->tensors().size()) {
            throw std::out_of_range("tensor " + std::to_string(t) + " is not in this graph, which has " +
                                    std::to_string(graph->tensors().size()));
        }
    }
    const std::vector<GraphPtr> given(stages.begin(), stages.end());
    const CoreCall core;
    return stages_of_tensors(*graph, tensors, given);
}

}  // namespace

void register_parallel(py::module_& m) {
    m.def(
        "parallel_graph",
        [](const std::shared_ptr<const Graph>& graph, std::int64_t tensor, std::int64_t pipeline,
           std::int64_t expert, std::int64_t data, bool sequence, std::int64_t context, bool ulysses,
           std::int64_t attention_data, std::int64_t nodes, const std::string& routing, double exponent,
           const std::vector<double>& loads) {
            const Layout layout{.tensor = tensor,
                                .pipeline = pipeline,
                                .expert = expert,
                                .data = data,
                                .context = context,
                                .attention_data = attention_data,
                                .nodes = nodes,
                                .ulysses = ulysses,
                                .sequence = sequence,
                                .routing = parse_expert_routing(routing),
                                .exponent = exponent,
                                .loads = loads};
            RankGraph made;
            {
                const CoreCall core;
                made = parallel_graph(graph, layout);
            }
            py::list shares;
            for (const Share& share : made.shares) {
                shares.append(py::make_tuple(share.name, share.elements, share.of, share.why));
            }
            return py::make_tuple(std::const_pointer_cast<Graph>(made.graph), shares, made.kept_share);
        },
        py::arg("graph"), py::kw_only(), py::arg("tensor") = 1, py::arg("pipeline") = 1,
        py::arg("expert") = 1, py::arg("data") = 1, py::arg("sequence") = false, py::arg("context") = 1,
        py::arg("ulysses") = false, py::arg("attention_data") = 1, py::arg("nodes") = 1,
        py::arg("routing") = "unstated", py::arg("exponent") = 1.0, py::arg("loads") = py::tuple(),
        "Returns the graph of one rank of a layout, with all stages of a pipeline, and of each weight or "
        "buffer its name, the elements of the rank and those of the whole, and why it is whole; then the "
        "share of "
        "the products that it keeps.");
    m.def(
        "kept_share",
        [](const GraphPtr& before, const GraphPtr& now) {
            const CoreCall core;
            return kept_share(before, now);
        },
        py::arg("before"), py::arg("now"), "Contraction FLOPs of a rewritten graph over those before.");
    m.def(
        "kept_by_ranks",
        [](const GraphPtr& before, const GraphPtr& rank, std::int64_t ranks) {
            const CoreCall core;
            return kept_by_ranks(before, rank, ranks);
        },
        py::arg("before"), py::arg("rank"), py::arg("ranks"),
        "1 if each product has its equal part in the graph of a rank, or more; else the share of the first "
        "one.");
    m.def(
        "kept_by_stages",
        [](const GraphPtr& before, const std::vector<std::shared_ptr<Graph>>& stages) {
            const std::vector<GraphPtr> given(stages.begin(), stages.end());
            const CoreCall core;
            return kept_by_stages(before, given);
        },
        py::arg("before"), py::arg("stages"),
        "Contraction FLOPs of all stages over those of the graph that was cut.");
    m.def(
        "context_graph",
        [](const GraphPtr& graph, std::int64_t devices, std::int64_t nodes, bool only_shapes, bool ulysses) {
            Rewritten made;
            {
                const CoreCall core;
                made = context_graph(graph, devices, nodes, only_shapes, ulysses);
            }
            return py::make_tuple(std::const_pointer_cast<Graph>(made.graph),
                                  static_cast<const std::vector<NodeIndex>&>(made.place_of));
        },
        py::arg("graph"), py::kw_only(), py::arg("devices"), py::arg("nodes") = 1,
        py::arg("only_shapes") = false, py::arg("ulysses") = false,
        "Returns the graph of one of several ranks that share the tokens of a prompt or the positions of "
        "caches, and where each node of the given graph is in it.");
    m.def("cut_places", &places, py::arg("graph"), py::arg("stages"),
          "Returns the places where a graph can be cut into stages: the node before which it is cut, and the "
          "tensors that are sent.");
    m.def("balanced_cuts", &cuts, py::arg("until_s"), py::arg("sent_s"), py::arg("stages"),
          "Returns the indices of the places whose cuts make the slowest stage as fast as possible.");
    m.def(
        "sends_slices", [](const std::string& engine) { return sends_slices(parse_engine(engine)); },
        py::arg("engine"),
        "Whether each device of a stage sends a part of the activation, which the next one gathers.");
    m.def(
        "timed_cuts",
        [](const GraphPtr& launched, const std::vector<Place>& places, PlanFamily& plans,
           const Hardware& machine, std::int64_t stages, std::int64_t slices, bool between_nodes,
           bool trains) {
            const CoreCall core;
            return timed_cuts(
                launched, to_cuts(places), plans, machine,
                {.stages = stages, .slices = slices, .between_nodes = between_nodes, .trains = trains});
        },
        py::arg("launched"), py::arg("places"), py::arg("plans"), py::arg("machine"), py::kw_only(),
        py::arg("stages"), py::arg("slices") = 1, py::arg("between_nodes") = false, py::arg("trains") = false,
        "Returns the indices of the places whose cuts make the slowest stage as fast as possible at the "
        "times that are predicted for the default sizes.");
    m.def("pipeline_graphs", &stages_between, py::arg("graph"), py::arg("cuts"), py::kw_only(),
          py::arg("nodes"), py::arg("slices") = 1,
          "Returns the graph of all stages with what they send; of each stage its graph and, for each node "
          "of it, the node of the whole; and where each node of the given graph is in the whole.");
    m.def("training_cut_places", &training_places, py::arg("graph"), py::arg("stages"),
          "As cut_places, for a training step: one gradient passes back there.");
    m.def(
        "backward_places",
        [](const GraphPtr& graph, const std::vector<Place>& cuts) {
            const CoreCall core;
            return backward_places(graph, to_cuts(cuts));
        },
        py::arg("graph"), py::arg("cuts"),
        "Returns for each cut of the forward of a training step the node that the backward of the stages "
        "before it begins with.");
    m.def(
        "training_pipeline_graphs", &training_stages, py::arg("graph"), py::arg("cuts"), py::kw_only(),
        py::arg("nodes"),
        "As pipeline_graphs, for a training step: stages have the forward and the backward of their layers.");
    m.def("stages_of_tensors", &stages_of, py::arg("graph"), py::arg("tensors"), py::arg("stages"),
          "Returns for each of some tensors the stage whose modules make or read it.");
    m.def(
        "expert_counts",
        [](const std::shared_ptr<const Graph>& graph) {
            const CoreCall core;
            return expert_counts(graph);
        },
        py::arg("graph"), "Returns the numbers of experts of the products whose rows are sorted by expert.");
}

}  // namespace infercost
