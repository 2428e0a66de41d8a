// Costs of a pipeline from those of its stages.
#pragma once

#include <cstdint>
#include <span>

#include "evaluate/evaluate.hpp"

namespace infercost {

// Costs of one micro-batch in a stage, with what it sends, and the number of stages with equal ones.
struct StageColumns {
    Columns columns;  // all of them
    std::int64_t count;
};

// How a batch goes through a pipeline. Of `micro_batches` and `chunks` there is one value, or one per point.
struct PipelineFlow {
    std::span<const double> micro_batches;  // parts of the batch
    std::span<const double> chunks;         // parts of a prompt
    bool generates;                         // a decode step
    double idle_w;                          // power of a device that waits
};

// A micro-batch passes all stages in sum(t), and the slowest stage, max(t), admits the next one; chunks of a
// prompt follow each other as micro-batches do. With n of them, a batch that finds the pipeline empty takes
// sum(t) + (n - 1) max(t), and under continuous load one follows every n max(t) (GPipe, Huang et al. 2019). A
// token of a decode step waits for the one before it: the longer of sum(t) and n max(t). Energy is that of a
// device, with idle power while it waits; memory is that of the fullest stage. Every column of `out` is
// written. Throws InputError for columns of unequal lengths.
void combine_stages(std::span<const StageColumns> stages, const PipelineFlow& flow, const Columns& out);

}  // namespace infercost
