#include "deploy/device_boundary.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deploy/graph_notes.hpp"

namespace infercost {
namespace {

using GraphPtr = std::shared_ptr<const Graph>;

std::shared_ptr<const Boundary> own_boundary(const GraphPtr& graph, const Precision& precision) {
    return kept_or_made(*graph, &DerivedNotes::own_boundaries, std::string(precision.name),
                        [&] { return std::make_shared<const Boundary>(boundary_of(graph, precision)); });
}

void take_tokens(Boundary& own, const Boundary& of_model) {
    own.tokens = of_model.tokens;
    own.vocabulary = of_model.vocabulary;
}

// A boundary with the caches of one stage of a whole model.
void take_stage(Boundary& own, const GraphPtr& launched, const Graph& pipeline, std::size_t number,
                const Precision& precision) {
    const std::shared_ptr<const Boundary> whole = device_boundary(launched, precision);
    take_tokens(own, *whole);
    own.reads_cache = whole->reads_cache;
    std::vector<TensorIndex> tensors;
    for (const Cache& cache : whole->caches) tensors.push_back(cache.tensor);
    std::vector<GraphPtr> stages;
    for (const LaunchedStage& stage : facts_of(pipeline).stages) stages.push_back(stage.graph);
    const GraphPtr captured = facts_of(*launched).captured.lock();
    const std::vector<std::size_t> places =
        stages_of_tensors(captured ? *captured : *launched, tensors, stages);
    own.caches.clear();
    own.kv_cache_bytes.reset();
    for (std::size_t i = 0; i < places.size(); ++i) {
        if (places[i] != number) continue;
        own.kv_cache_bytes = own.kv_cache_bytes.value_or(Expr(0)) + whole->caches[i].bytes;
        own.caches.push_back(whole->caches[i]);
    }
}

Boundary boundary_on_device(const GraphPtr& graph, const Precision& precision) {
    const GraphFacts& known = facts_of(*graph);
    Boundary own = *own_boundary(graph, precision);
    if (const GraphPtr captured = known.captured.lock()) {
        const std::shared_ptr<const Boundary> of_model = own_boundary(captured, precision);
        if (!own.tokens) take_tokens(own, *of_model);
        own.caches = of_model->caches;
    }
    if (const GraphPtr all_tokens = known.all_tokens.lock()) {
        Boundary of_all = *device_boundary(all_tokens, precision);
        of_all.weight_bytes = own.weight_bytes;
        of_all.kv_cache_bytes = own.kv_cache_bytes;
        of_all.caches = std::move(own.caches);
        return of_all;
    }
    if (!known.stage) return own;
    const GraphPtr launched = known.stage->launched.lock();
    const GraphPtr pipeline = known.stage->pipeline.lock();
    if (launched && pipeline) take_stage(own, launched, *pipeline, known.stage->number, precision);
    return own;
}

}  // namespace

std::shared_ptr<const Boundary> device_boundary(const GraphPtr& graph, const Precision& precision) {
    return kept_or_made(*graph, &DerivedNotes::boundaries, std::string(precision.name), [&] {
        return std::make_shared<const Boundary>(boundary_on_device(graph, precision));
    });
}

std::shared_ptr<const Holdings> device_holdings(const GraphPtr& graph, const Precision& precision) {
    return kept_or_made(*graph, &DerivedNotes::holdings, std::string(precision.name), [&] {
        const std::shared_ptr<const Boundary> at = device_boundary(graph, precision);
        return std::make_shared<const Holdings>(
            Holdings{.weight_bytes = at->weight_bytes,
                     .tokens = at->tokens,
                     .vocabulary = at->vocabulary,
                     .reads_cache = at->reads_cache,
                     .caches = at->caches,
                     .step_bytes = at->step_bytes,
                     .batch = graph->size_of_role(SizeRole::batch).value_or(""),
                     .length = length_of(*graph)});
    });
}

}  // namespace infercost
