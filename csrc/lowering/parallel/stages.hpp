// Pipeline stages: where a graph can be cut, which cuts balance the stages, and the graphs between them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lowering/parallel/stage_graph.hpp"

namespace infercost {

// A place where a stage can end: what later nodes of the forward read of earlier ones is one activation, the
// residual stream, or two that an engine's next kernel adds up.
struct CutPlace {
    NodeIndex before;                   // the first node of the next stage
    std::vector<TensorIndex> crossing;  // what is sent
};

// Places at the boundaries of numbered modules (layers, blocks) if these suffice for a number of stages, else
// all places. Values that are known before the forward, such as masks and tables of positions, are computed
// by each stage that reads them. Throws InputError, with the most stages, if places are too few.
std::vector<CutPlace> cut_places(const std::shared_ptr<const Graph>& graph, std::int64_t stages);

// Indices of the places whose cuts make the slowest stage as fast as possible. `until_s` are the seconds of
// all nodes before each place, and after the last one of all nodes; `sent_s` the seconds of what a stage that
// ends there sends.
std::vector<std::size_t> balanced_cuts(std::span<const double> until_s, std::span<const double> sent_s,
                                       std::int64_t stages);

// How the ranks of neighboring stages send.
struct Sends {
    std::vector<std::int64_t> nodes;  // for each cut: machines that sender and receiver are on, 1 or 2
    std::int64_t slices = 1;          // ranks of a stage that send one part each, which the receivers gather
};

struct Pipeline {
    std::shared_ptr<const Graph> graph;  // all stages, one after another
    std::vector<Stage> stages;
    std::vector<NodeIndex> place_of;  // of each node of the graph that was cut
};

// Cuts the graph of one rank. Each stage has the nodes between two cuts, what these need of values that are
// known before the forward, and the sends at its end.
Pipeline pipeline_of(const std::shared_ptr<const Graph>& graph, std::span<const CutPlace> cuts,
                     const Sends& sends);

// Weights and caches that no node reads, for each stage between these bounds.
std::vector<std::vector<TensorIndex>> unread_by_stage(const Graph& graph,
                                                      const std::vector<NodeIndex>& bounds);

// For each of some tensors of a graph the stage whose modules make or read it; the first one if none does.
// The stages may be those of an engine's graph for it.
std::vector<std::size_t> stages_of_tensors(const Graph& graph, std::span<const TensorIndex> tensors,
                                           std::span<const std::shared_ptr<const Graph>> stages);

}  // namespace infercost
