#include "deploy/staged_graphs.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "core/structure.hpp"
#include "deploy/graph_notes.hpp"
#include "hardware/collectives.hpp"
#include "lowering/conservation.hpp"
#include "lowering/parallel/training_stages.hpp"
#include "pipelines/balance.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

bool is_weight(const Tensor& tensor) {
    return tensor.role == Role::parameter || tensor.role == Role::buffer;
}

std::vector<Share> whole_weights(const Graph& graph) {
    std::vector<Share> found;
    for (const Tensor& tensor : graph.tensors()) {
        if (!is_weight(tensor)) continue;
        const std::int64_t elements = graph.elements_of(tensor).constant();
        found.push_back({.name = graph.name(tensor.name), .elements = elements, .of = elements, .why = {}});
    }
    return found;
}

std::vector<Share> shares_in(const std::vector<Share>& shares, const Graph& stage) {
    std::set<std::string_view> held;
    for (const Tensor& tensor : stage.tensors()) {
        if (is_weight(tensor)) held.insert(stage.name(tensor.name));
    }
    std::vector<Share> found;
    std::ranges::copy_if(shares, std::back_inserter(found),
                         [&](const Share& share) { return held.contains(share.name); });
    return found;
}

// The places of the cuts, as indices of `places`.
std::vector<std::size_t> balanced(const GraphPtr& launched, const std::vector<CutPlace>& places,
                                  const Balancing& of, const StageTiming& timing) {
    DerivedNotes& notes = notes_of(*launched);
    const bool is_kept = timing.owner || !timing.machine;
    if (is_kept) {
        const std::scoped_lock lock(fork_safe_mutex());
        for (const auto& [known, cuts] : notes.balances) {
            if (known == of) return cuts;
        }
    }
    const Balance balance{.stages = of.stages, .slices = of.slices, .between_nodes = of.between_nodes};
    std::vector<std::size_t> cuts = timing.machine
                                        ? timed_cuts(launched, places, timing.plans, *timing.machine, balance)
                                        : counted_cuts(launched, places, timing.plans.precision(), of.stages);
    if (!is_kept) return cuts;
    const std::scoped_lock lock(fork_safe_mutex());
    notes.balances.emplace_back(of, cuts);
    return cuts;
}

// The facts of all stages and of each of them.
void note_stages(const GraphPtr& launched, const Pipeline& made, const std::vector<CutPlace>& cuts,
                 std::int64_t slices) {
    const GraphFacts& known = facts_of(*launched);
    GraphFacts facts{.engine = known.engine,
                     .layout = known.layout,
                     .is_narrowed = known.is_narrowed,
                     .shares = known.shares.empty() ? whole_weights(*launched) : known.shares,
                     .captured = known.captured,
                     .place_of = made.place_of};
    for (const NodeIndex node : known.as_captured) {
        facts.as_captured.push_back(made.place_of[static_cast<std::size_t>(node)]);
    }
    std::map<std::string, std::size_t> first;
    for (std::size_t i = 0; i < made.stages.size(); ++i) {
        const Stage& stage = made.stages[i];
        LaunchedStage one{.graph = stage.graph, .nodes = stage.nodes, .sent = 0, .slices = slices};
        if (i < cuts.size()) {
            for (const TensorIndex t : cuts[i].crossing)
                one.sent += launched->bytes_of(launched->tensors()[t]);
        }
        facts.stages.push_back(std::move(one));
        facts.kinds.push_back(first.try_emplace(structure_of(*stage.graph), i).first->second);
        GraphFacts of_stage{
            .stage = StagePlace{launched, made.graph, i}
        };
        // An engine joins weights under other names.
        if (known.engine == ServingEngine::torch) of_stage.shares = shares_in(facts.shares, *stage.graph);
        notes_of(*stage.graph).facts = std::move(of_stage);
    }
    notes_of(*made.graph).facts = std::move(facts);
}

GraphPtr cut(const GraphPtr& launched, const std::vector<CutPlace>& cuts,
             const std::vector<std::int64_t>& nodes, std::int64_t slices, Losses& lost) {
    const Pipeline made = launched->trains() ? training_pipeline_of(launched, cuts, nodes)
                                             : pipeline_of(launched, cuts, {nodes, slices});
    std::vector<GraphPtr> graphs;
    for (const Stage& stage : made.stages) graphs.push_back(stage.graph);
    const double kept_share = kept_by_stages(launched, graphs);
    if (kept_share != 1.0) lost.push_back({"stages", kept_share});
    note_stages(launched, made, cuts, slices);
    return made.graph;
}

}  // namespace

std::shared_ptr<const std::vector<CutPlace>> places_of_cuts(const GraphPtr& launched, std::int64_t stages) {
    return kept_or_made(*launched, &DerivedNotes::places, stages, [&] {
        try {
            return std::make_shared<const std::vector<CutPlace>>(
                launched->trains() ? training_cut_places(launched, stages) : cut_places(launched, stages));
        } catch (const std::invalid_argument& error) {
            throw LayoutError(error.what());
        }
    });
}

GraphPtr graph_of_stages(const GraphPtr& launched, const Layout& layout, const StageTiming& timing,
                         Losses& lost) {
    const GraphFacts& known = facts_of(*launched);
    if (!known.stages.empty()) {
        if (std::cmp_equal(known.stages.size(), layout.pipeline)) return launched;
        throw LayoutError("this graph has " + std::to_string(known.stages.size()) +
                          " stages, and the layout has pipeline=" + std::to_string(layout.pipeline) +
                          "; pass the captured graph");
    }
    const std::int64_t machines =
        timing.machine ? nodes_of(*timing.machine, layout.devices(), layout.nodes) : layout.nodes;
    const std::int64_t slices = sends_slices(known.engine) ? layout.tensor : 1;
    const auto places = places_of_cuts(launched, layout.pipeline);
    const PlanFamily& plans = timing.plans;
    const Balancing balancing{
        layout.pipeline,   slices,       machines > 1, std::string(plans.precision().name),
        plans.execution(), plans.step(), timing.owner};
    std::vector<CutPlace> cuts;
    Cuts key{{}, {}, slices};
    for (const std::size_t place : balanced(launched, *places, balancing, timing)) {
        const auto stage = static_cast<std::int64_t>(cuts.size());
        cuts.push_back((*places)[place]);
        std::get<0>(key).push_back(cuts.back().before);
        std::get<1>(key).push_back(layout.sends_between_nodes(stage, machines) ? 2 : 1);
    }
    return kept_or_made(*launched, &DerivedNotes::pipelines, key,
                        [&] { return cut(launched, cuts, std::get<1>(key), slices, lost); });
}

GraphPtr forward_of(const GraphPtr& step) {
    return kept_or_made(*step, &DerivedNotes::derived, {.kind = Derivation::Kind::forward}, [&] {
        const std::vector<CutPlace> cuts = {
            {.before = step->first_backward(), .crossing = {}}
        };
        return pipeline_of(step, cuts, {.nodes = {1}}).stages.front().graph;
    });
}

}  // namespace infercost
