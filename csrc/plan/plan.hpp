// A Graph lowered for one precision and execution: kernels with all quantities of the machine models, as
// expressions in the open sizes. Identical kernels are stored once, with the nodes that run them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/kinds.hpp"
#include "lowering/engines/steps.hpp"
#include "lowering/kernel_hints.hpp"
#include "lowering/lowered_graph.hpp"
#include "plan/tape.hpp"

namespace infercost {

struct Kernel {
    std::string name;  // of the op that determines the kernel
    Work work;
    KernelHints hints;
    StepPart part = StepPart::tokens;  // in a step of a serving engine
    std::vector<std::vector<NodeIndex>>
        launches;             // nodes of each launch: one in eager execution, several if fused
    std::int64_t python = 0;  // Python code before its launches, in calls of ops (eager execution)
    std::int64_t views = 0;   // view nodes before its launches (eager execution)
    std::int64_t opened = 0;  // launches that do not continue the preceding loops
    std::int64_t apart = 0;   // sum over its launches: launches since the last one of the same op
};

// A guard of the graph over open sizes, with its sides on the tape. If it fails, the graph decides: a size of
// 1 may be treated as 2.
struct PlanGuard {
    Affine left;
    Guard::Relation relation;
    Affine right;
};

// In Plan::kernels.
using KernelIndex = std::int32_t;

struct Plan {
    std::shared_ptr<const Graph> graph;
    Precision precision;
    Execution execution = Execution::eager;
    IndexedVector<KernelIndex, Kernel> kernels;
    IndexedVector<NodeIndex, KernelIndex> kernel_of_node;  // -1: no kernel runs (a view, or not modelled)
    std::int64_t launch_count = 0;
    std::int64_t weight_count = 0;  // weights and buffers that a compiled module checks in each call
    Expr resident_bytes;            // weights and buffers
    // Weights, buffers, inputs and the peak of activations: on an accelerator, on a GPU (with what a recorded
    // graph holds), and on a CPU.
    Expr peak_memory_bytes;
    Expr gpu_peak_memory_bytes;
    Expr cpu_peak_memory_bytes;
    Sizes bound;                     // sizes that the plan fixes
    std::vector<std::string> names;  // open sizes, sorted
    // Size-dependent data: the columns, and the quantities of the kernels in terms of them, in the order of
    // `kernels`.
    Tape tape;
    std::vector<KernelTerms> terms;
    Affine footprint;      // peak_memory_bytes
    Affine gpu_footprint;  // gpu_peak_memory_bytes
    Affine cpu_footprint;  // cpu_peak_memory_bytes
    std::vector<PlanGuard> guards;
    StepTerms step;      // of a serving engine
    Affine step_tokens;  // of it
};

// Plan a captured graph for one precision and execution. `sizes` may bind some or all sizes; the others
// become columns of an evaluation. `overrides` refer to nodes of the captured graph.
Plan make_plan(const std::shared_ptr<const Graph>& graph, const Sizes& sizes, const Precision& precision,
               Execution execution, const Overrides& overrides = {}, const StepSettings& step = {});

// The same for a lowered graph.
Plan make_plan(const LoweredGraph& lowered, const Sizes& sizes, Execution execution,
               const StepSettings& step = {});

}  // namespace infercost
