// Costs of a pipeline at the points of a grid.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/graph.hpp"
#include "evaluate/evaluate.hpp"
#include "plan/family.hpp"

namespace infercost {

// Stages with equal costs.
struct PipelineKind {
    PlanFamily* plans = nullptr;
    std::int64_t count = 1;
    std::optional<Expr> cached_bytes;  // of the caches of a stage; none without caches
};

// How a batch passes a pipeline: in micro-batches, and a prompt of an engine in chunks.
struct PipelinePlans {
    const Graph* graph = nullptr;  // of all stages
    std::vector<PipelineKind> kinds;
    std::int64_t micro_batches = 1;  // of a batch with as many items
    bool generates = false;          // a decode step
    // Without a number, steps do not divide prompts.
    std::optional<Expr> tokens;  // ids that the forward reads
    std::int64_t chunk_tokens = 0;
    std::int64_t cached_thousandths = 0;  // of a prompt that the prefix cache has
};

// Items of a micro-batch for a share of a batch.
std::int64_t micro_batch(std::int64_t share, std::int64_t most);

// Writes the columns of `out` that are not empty. `shares` are sizes of the largest share of the batch; a
// size that they lack has its default. Throws as evaluate() of one graph.
void evaluate(const PipelinePlans& pipeline, std::span<const SizeAxis> shares, const Hardware& machine,
              std::uint64_t first, std::size_t points, const Columns& out,
              const EvaluateOptions& options = {});

}  // namespace infercost
