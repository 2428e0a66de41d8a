// What this room keeps with a graph: what was made of it, and facts about it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/fork.hpp"
#include "count/boundary.hpp"
#include "deploy/derived_graphs.hpp"
#include "hardware/hardware.hpp"
#include "lowering/parallel/stages.hpp"
#include "plan/plan.hpp"
#include "serving/device_memory.hpp"

namespace infercost {

// What a graph was made for.
struct Derivation {
    enum class Kind : std::uint8_t {
        loaded,           // by an engine
        launched,         // by an engine
        rank,             // of a layout
        share,            // of the tokens, among the ranks of `layout.context` in some nodes
        share_of_shapes,  // the same without collectives
        forward           // of a training step
    };
    Kind kind;
    ServingEngine engine = ServingEngine::torch;
    Layout layout = {};
    std::int64_t nodes = 1;

    auto operator<=>(const Derivation&) const = default;
};

// Cuts: the nodes that stages begin with, for each cut the machines that its sends are on, and the devices
// that send one part each.
using Cuts = std::tuple<std::vector<NodeIndex>, std::vector<std::int64_t>, std::int64_t>;

// What the balance of stages depends on.
struct Balancing {
    std::int64_t stages;
    std::int64_t slices;
    bool between_nodes;
    std::string precision;
    Execution execution;
    StepSettings step;
    std::shared_ptr<const Hardware> machine;  // none: stages have equal work

    bool operator==(const Balancing&) const = default;
};

// All but `facts` changes under fork_safe_mutex().
struct DerivedNotes : GraphNotes {
    GraphFacts facts;                                            // set when the graph is made
    std::map<Derivation, std::shared_ptr<const Graph>> derived;  // null for the graph itself
    std::map<Cuts, std::shared_ptr<const Graph>> pipelines;
    std::map<std::int64_t, std::shared_ptr<const std::vector<CutPlace>>> places;  // by number of stages
    std::vector<std::pair<Balancing, std::vector<std::size_t>>> balances;
    std::map<std::string, std::shared_ptr<const Boundary>> own_boundaries;  // by precision
    std::map<std::string, std::shared_ptr<const Boundary>> boundaries;
    std::map<std::string, std::shared_ptr<const Holdings>> holdings;
    std::optional<std::int64_t> expert_layers;
};

// Made when first asked for.
DerivedNotes& notes_of(const Graph& graph);

// The entry of a map of the notes of a graph, made by `make` without the lock. Of two threads that make one,
// both get that of the first.
template <class Map, class Make>
Map::mapped_type kept_or_made(const Graph& graph, Map DerivedNotes::* kept, const typename Map::key_type& key,
                              Make&& make) {
    Map& entries = notes_of(graph).*kept;
    {
        const std::scoped_lock lock(fork_safe_mutex());
        if (const auto found = entries.find(key); found != entries.end()) return found->second;
    }
    typename Map::mapped_type made = make();
    const std::scoped_lock lock(fork_safe_mutex());
    return entries.emplace(key, made).first->second;
}

}  // namespace infercost
