#include "deploy/derived_graphs.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "deploy/device_boundary.hpp"
#include "deploy/graph_notes.hpp"
#include "lowering/engines/engine_scheduler.hpp"
#include "lowering/engines/loaded_dtype.hpp"
#include "lowering/parallel/context.hpp"
#include "serving/served_steps.hpp"
#include "serving/server_defaults.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;
using Kind = Derivation::Kind;

// Sizes of images and recordings that count tokens.
constexpr std::array<std::string_view, 2> kTokenSizes = {"height", "frames"};

template <class Make>
GraphPtr derived(const GraphPtr& graph, const Derivation& of, Make&& make) {
    const GraphPtr made = kept_or_made(*graph, &DerivedNotes::derived, of, [&] {
        GraphPtr one = make();
        return one == graph ? nullptr : one;
    });
    return made ? made : graph;
}

GraphPtr with_facts(const GraphPtr& made, GraphFacts facts) {
    notes_of(*made).facts = std::move(facts);
    return made;
}

template <class Make>
auto for_layout(Make&& make) {
    try {
        return make();
    } catch (const std::invalid_argument& error) {
        throw LayoutError(error.what());
    }
}

void note_loss(Losses& lost, std::string_view of, double kept_share) {
    if (kept_share != 1.0) lost.push_back({of, kept_share});
}

// Whether tokens are counted by a named size, or by the positions of caches.
bool names_tokens(const GraphPtr& graph) {
    const auto is_size = [&](std::string_view name) { return graph->sizes().contains(name); };
    return !length_of(*graph).empty() || std::ranges::any_of(kTokenSizes, is_size) ||
           device_boundary(graph, parse_precision("native"))->reads_cache;
}

// The layout of the ranks that have the same tokens, in as many machines as they span.
Layout of_all_tokens(const Layout& layout) {
    Layout one = layout;
    one.pipeline = one.context = one.nodes = 1;
    one.ulysses = false;
    one = rank_layout(one);
    one.nodes = std::max<std::int64_t>(1, one.devices() / (layout.devices() / layout.nodes));
    return one;
}

// The graph of one of the `context` ranks that share the tokens of a graph. The kernels of an engine are
// divided as they are launched, and keep the caches of the captured graph, divided as well.
GraphPtr share_of_tokens(const GraphPtr& graph, const Layout& layout) {
    const std::int64_t in_node = layout.devices() / layout.nodes;
    const std::int64_t nodes = (layout.tensor * layout.context + in_node - 1) / in_node;
    const Layout rank = rank_layout(layout);
    return derived(graph, {.kind = Kind::share, .layout = rank, .nodes = nodes}, [&] {
        const GraphFacts& known = facts_of(*graph);
        return for_layout([&] {
            const Rewritten made = context_graph(graph, layout.context, nodes, false, layout.ulysses);
            GraphFacts facts{.engine = known.engine,
                             .layout = rank,
                             .is_narrowed = known.is_narrowed,
                             .shares = known.shares,
                             .all_tokens = graph};
            for (const NodeIndex node : known.as_captured) facts.as_captured.push_back(made.place_of[node]);
            if (const GraphPtr captured = known.captured.lock()) {
                Layout shapes;
                shapes.context = layout.context;
                facts.captured = derived(captured, {.kind = Kind::share_of_shapes, .layout = shapes}, [&] {
                    return context_graph(captured, layout.context, 1, true).graph;
                });
            }
            return with_facts(made.graph, std::move(facts));
        });
    });
}

Layout with_expert_loads(const Layout& layout, const GraphPtr& graph, ServingEngine engine) {
    if (layout.routing != Routing::unstated || !serves_experts(graph, engine)) return layout;
    Layout stated = layout;
    stated.routing = Routing::power;
    stated.exponent = kServedExperts;
    return stated;
}

}  // namespace

DerivedNotes& notes_of(const Graph& graph) {
    const std::scoped_lock lock(fork_safe_mutex());
    std::unique_ptr<GraphNotes>& notes = graph.notes();
    if (!notes) notes = std::make_unique<DerivedNotes>();
    return static_cast<DerivedNotes&>(*notes);
}

const GraphFacts& facts_of(const Graph& graph) {
    return notes_of(graph).facts;
}

GraphPtr graph_as_loaded(const GraphPtr& graph, ServingEngine engine) {
    const GraphFacts& known = facts_of(*graph);
    if (engine == ServingEngine::torch || known.engine != ServingEngine::torch || known.layout) return graph;
    return derived(graph, {.kind = Kind::loaded, .engine = engine}, [&] {
        const GraphPtr made = loaded_graph(graph, engine);
        return made == graph ? graph : with_facts(made, {.is_narrowed = true});
    });
}

GraphPtr graph_of_engine(const GraphPtr& graph, ServingEngine engine, Losses& lost) {
    const GraphFacts& known = facts_of(*graph);
    if (engine == ServingEngine::torch || known.engine == engine) return graph;
    return derived(graph, {.kind = Kind::launched, .engine = engine}, [&] {
        EngineGraph made = engine_graph(graph, engine);
        note_loss(lost, "engine", made.kept_share);
        return with_facts(made.graph, {.engine = engine,
                                       .layout = known.layout,
                                       .is_narrowed = known.is_narrowed,
                                       .as_captured = std::move(made.as_captured),
                                       .shares = known.shares,
                                       .captured = graph});
    });
}

GraphPtr graph_of_rank(const GraphPtr& graph, const Layout& layout, Losses& lost) {
    for_layout([&] { layout.check(); });
    const Layout wanted = rank_layout(layout);
    const GraphFacts& known = facts_of(*graph);
    if (known.layout.value_or(Layout{}) == wanted) return graph;
    if (wanted.context > 1 && names_tokens(graph)) {
        return share_of_tokens(graph_of_rank(graph, of_all_tokens(layout), lost), layout);
    }
    if (known.engine != ServingEngine::torch && !known.layout) {
        const GraphPtr captured = known.captured.lock();
        if (!captured) {
            throw LayoutError(
                "the captured graph of this engine's graph is not in use anymore; divide that one, and make "
                "the graph of the engine from the result");
        }
        return graph_of_engine(graph_of_rank(captured, wanted, lost), known.engine, lost);
    }
    return derived(graph, {.kind = Kind::rank, .layout = wanted}, [&] {
        RankGraph made = for_layout([&] { return parallel_graph(graph, wanted); });
        note_loss(lost, "layout", made.kept_share);
        GraphFacts facts{
            .layout = wanted, .is_narrowed = known.is_narrowed, .shares = std::move(made.shares)};
        if (wanted.context > 1) facts.all_tokens = graph_of_rank(graph, of_all_tokens(layout), lost);
        return with_facts(made.graph, std::move(facts));
    });
}

GraphPtr launched_graph(const GraphPtr& graph, ServingEngine engine, const Layout& layout, Losses& lost) {
    const Layout stated = with_expert_loads(layout, graph, engine);
    const GraphPtr loaded = graph_as_loaded(graph, engine);
    if (stated.context > 1 && facts_of(*loaded).layout.value_or(Layout{}).context == 1 &&
        names_tokens(loaded)) {
        for_layout([&] { stated.check(); });
        const GraphPtr rank = graph_of_rank(loaded, of_all_tokens(stated), lost);
        return share_of_tokens(graph_of_engine(rank, engine, lost), stated);
    }
    return graph_of_engine(graph_of_rank(loaded, stated, lost), engine, lost);
}

std::int64_t captured_expert_layers(const GraphPtr& graph) {
    const GraphPtr captured = facts_of(*graph).captured.lock();
    const Graph& counted = captured ? *captured : *graph;
    DerivedNotes& notes = notes_of(counted);
    {
        const std::scoped_lock lock(fork_safe_mutex());
        if (notes.expert_layers) return *notes.expert_layers;
    }
    const std::int64_t layers = expert_layers(counted);
    const std::scoped_lock lock(fork_safe_mutex());
    notes.expert_layers = layers;
    return layers;
}

bool serves_experts(const GraphPtr& graph, ServingEngine engine) {
    if (!scheduler_rules(engine)) return false;
    const std::optional<Layout>& layout = facts_of(*graph).layout;
    const bool is_stated = layout && layout->routing == Routing::power && layout->exponent == kServedExperts;
    return is_stated || captured_expert_layers(graph) > 0;
}

}  // namespace infercost
