// A Graph lowered for one way of running it: kernels with everything a machine model needs, as expressions
// in the sizes that stay open. Identical kernels are kept once, with the nodes that run them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/kinds.hpp"
#include "lowering/kernel_hints.hpp"
#include "lowering/lowered_graph.hpp"
#include "plan/tape.hpp"

namespace infercost {

struct Kernel {
    std::string name;  // of the op that leads it
    Work work;
    KernelHints hints;
    std::vector<std::vector<NodeIndex>> launches;  // nodes of each launch: one in eager, several when fused
    std::int64_t views = 0;                        // nodes that only make views, before its launches (eager)
    std::int64_t opened = 0;                       // launches that do not continue the loops before them
};

// A guard of the graph over sizes that are open, by its sides on the tape. Where it fails the graph is asked:
// a size of 1 may count as 2.
struct PlanGuard {
    Affine left;
    Guard::Relation relation;
    Affine right;
};

struct Plan {
    std::shared_ptr<const Graph> graph;
    Precision precision;
    Execution execution = Execution::eager;
    std::vector<Kernel> kernels;
    std::vector<std::int32_t> kernel_of_node;  // -1: no kernel runs (a view, or not modelled)
    std::int64_t launch_count = 0;
    Expr resident_bytes;             // weights and buffers
    Expr peak_memory_bytes;          // weights, buffers, inputs and the activation peak
    Sizes bound;                     // sizes that the plan fixed
    std::vector<std::string> names;  // sizes that are still open, sorted
    // What depends on sizes: the columns, and the kernels' quantities in terms of them, in the order of
    // `kernels`.
    Tape tape;
    std::vector<KernelTerms> terms;
    Affine footprint;  // peak_memory_bytes
    std::vector<PlanGuard> guards;
};

// Plans a captured graph for one precision and execution. `sizes` may bind some or all sizes; the rest become
// columns of an evaluation. `overrides` are by the nodes of the captured graph.
Plan make_plan(const std::shared_ptr<const Graph>& graph, const Sizes& sizes, const Precision& precision,
               Execution execution, const Overrides& overrides = {});

// The same for a graph that is lowered already.
Plan make_plan(const LoweredGraph& lowered, const Sizes& sizes, Execution execution);

}  // namespace infercost
