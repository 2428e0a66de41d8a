// The innermost loops: all kernels of a plan over one block of points, in one instruction set. run.cpp is
// compiled once for each of them. Only plain data crosses.
#pragma once

#include "hardware/costs.hpp"
#include "plan/tape_step.hpp"

namespace infercost {

struct TapeInput {
    const TapeStep* steps;
    int step_count;
    const Affine* operands;
    const double* const* sizes;  // filled up to `points` of the block
    int stride;                  // between columns
};

struct BlockInput {
    const BoundKernel* kernels;
    int kernel_count;
    MemoryCosts memory;
    const double* columns;  // `stride` values each, filled up to `points`
    int stride;
    const double* least;  // the least value of each column
    const double* footprint;
    double least_footprint;
    int points;  // rounded up to kLanes
};

// The widest vector of any instruction set: blocks are filled up to a multiple of it.
inline constexpr int kLanes = 8;

// Seconds over all launches, in total and by what they were spent on; zero at first, `points` values each.
struct BlockSums {
    double* latency;
    double* compute;
    double* dram;
    double* cache;
    double* launch;
    double* spread;   // how far the latency may be off
    double* dynamic;  // joules beyond what the machine draws anyway
};

// The terms of one launch of one kernel; latency is launch + max(the other seconds).
struct KernelSeconds {
    double latency;
    double compute;
    double dram;
    double cache;
    double launch;
    double dynamic_j;  // beyond what the machine draws anyway
};

// run_tape fills the columns at `points` points, rounded up to kLanes, and `least` of each.
#define INFERCOST_DECLARE_RUN(isa)                                                    \
    namespace isa {                                                                   \
    void run_tape(const TapeInput& tape, int points, double* columns, double* least); \
    void run_block(const BlockInput& input, const BlockSums& sums);                   \
    void run_terms(const BlockInput& input, KernelSeconds* terms);                    \
    }
INFERCOST_DECLARE_RUN(baseline)
INFERCOST_DECLARE_RUN(avx2)
INFERCOST_DECLARE_RUN(avx512)
#undef INFERCOST_DECLARE_RUN

}  // namespace infercost
