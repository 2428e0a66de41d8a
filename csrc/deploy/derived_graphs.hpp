// Graphs that follow from a captured one: as an engine loads it, as an engine launches it, and as one device
// of a layout has it. Each is made once, and kept with the graph that it was made of as long as that lives;
// facts about it are kept with it. All functions are thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/graph.hpp"
#include "lowering/engines/engine.hpp"
#include "lowering/parallel/layout.hpp"

namespace infercost {

// A stage of a pipeline.
struct LaunchedStage {
    std::shared_ptr<const Graph> graph;  // what its devices launch
    std::vector<NodeIndex> nodes;        // for each node of it the node of the graph of all stages
    Expr sent;                           // bytes of the activations that are sent to the next stage
    std::int64_t slices = 1;             // devices that send one part each
};

// The place of a stage in its pipeline.
struct StagePlace {
    std::weak_ptr<const Graph> launched;  // the graph that was cut
    std::weak_ptr<const Graph> pipeline;  // the graph of all stages
    std::size_t number = 0;
};

// How a graph was made; the facts of a captured graph are the defaults.
struct GraphFacts {
    ServingEngine engine = ServingEngine::torch;  // whose kernels the graph has
    std::optional<Layout> layout = {};            // of the rank; none for a whole model
    bool is_narrowed = false;                     // float32 weights of the capture are in 16 bits
    std::vector<NodeIndex> as_captured = {};      // nodes that the engine has no kernel for
    std::vector<Share> shares = {};               // of weights and buffers on a rank
    std::weak_ptr<const Graph> captured = {};     // of kernels: the graph that they were made of
    std::weak_ptr<const Graph> all_tokens = {};   // of a share of the tokens: the graph with all of them
    std::optional<StagePlace> stage = {};         // of the graph of one stage
    std::vector<LaunchedStage> stages = {};       // of the graph of all stages of a pipeline
    std::vector<std::size_t> kinds = {};          // for each of these the first one with equal costs
    std::vector<NodeIndex> place_of = {};         // where each node of the graph that was cut is
};
const GraphFacts& facts_of(const Graph& graph);

// Products that a graph, when it was made, lost or doubled: an error of the core.
struct Loss {
    std::string_view of;  // the kind of the graph: "engine", "layout" or "stages"
    double kept_share;    // as EngineGraph has it
};
using Losses = std::vector<Loss>;

// A captured model as an engine loads it (lowering/engines/loaded_dtype.hpp); another graph itself.
std::shared_ptr<const Graph> graph_as_loaded(const std::shared_ptr<const Graph>& graph, ServingEngine engine);

// The kernels of an engine for a captured graph or that of a rank. Throws as engine_graph().
std::shared_ptr<const Graph> graph_of_engine(const std::shared_ptr<const Graph>& graph, ServingEngine engine,
                                             Losses& lost);

// The graph of one device of a layout, with the layers of all stages of a pipeline, for a captured graph or
// the kernels of an engine for one. Throws LayoutError where the layout does not fit the model.
std::shared_ptr<const Graph> graph_of_rank(const std::shared_ptr<const Graph>& graph, const Layout& layout,
                                           Losses& lost);

// What one device of a layout launches, in the kernels of an engine, with the layers of all stages of a
// pipeline. Throws as graph_of_rank() and graph_of_engine().
std::shared_ptr<const Graph> launched_graph(const std::shared_ptr<const Graph>& graph, ServingEngine engine,
                                            const Layout& layout, Losses& lost);

// Layers with experts of a captured graph, or of the captured graph of an engine's one.
std::int64_t captured_expert_layers(const std::shared_ptr<const Graph>& graph);

// Whether the experts of a model have the loads of those of a service where the layout states none.
bool serves_experts(const std::shared_ptr<const Graph>& graph, ServingEngine engine);

}  // namespace infercost
