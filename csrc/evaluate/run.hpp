// The innermost loops: all kernels of a plan over one block of points, in one instruction set. run.cpp is
// compiled once per instruction set. Only plain data crosses the boundary.
#pragma once

#include "hardware/costs.hpp"
#include "plan/tape_step.hpp"

namespace infercost {

struct TapeInput {
    const TapeStep* steps;
    int step_count;
    const Affine* operands;
    const double* const* sizes;  // padded to `points` of the block
    int stride;                  // between columns
};

struct BlockInput {
    const BoundKernel* kernels;
    int kernel_count;
    MemoryCosts memory;
    const double* columns;  // `stride` values each, padded to `points`
    int stride;
    const double* least;  // the minimum of each column
    const double* footprint;
    double least_footprint;
    int points;  // rounded up to kLanes
};

// Width of the widest vector of any instruction set: blocks are padded to a multiple of it.
inline constexpr int kLanes = 8;

// Seconds over all launches, in total and by cause; zero-initialized, `points` values each.
struct BlockSums {
    double* latency;
    double* compute;
    double* dram;
    double* cache;
    double* link;
    double* launch;
    double* spread;   // error band of the latency
    double* dynamic;  // joules above static power
};

// The terms of one launch of one kernel; latency is launch + max(other terms).
struct KernelSeconds {
    double latency;
    double compute;
    double dram;
    double cache;
    double link;
    double launch;
    double dynamic_j;  // above static power
};

// Times of one collective for messages of some sizes, and the place of the way that it takes.
struct ExchangeTimes {
    double* start_s;
    double* link_s;
    double* copy_s;
    double* way;
};

// run_tape fills the columns at `points` points, rounded up to kLanes, and `least` of each.
#define INFERCOST_DECLARE_RUN(isa)                                                    \
    namespace isa {                                                                   \
    void run_tape(const TapeInput& tape, int points, double* columns, double* least); \
    void run_block(const BlockInput& input, const BlockSums& sums);                   \
    void run_terms(const BlockInput& input, KernelSeconds* terms);                    \
    void run_messages(const ExchangeCosts& costs, const double* bytes, int points,    \
                      const ExchangeTimes& times);                                    \
    }
INFERCOST_DECLARE_RUN(baseline)
INFERCOST_DECLARE_RUN(avx2)
INFERCOST_DECLARE_RUN(avx512)
#undef INFERCOST_DECLARE_RUN

}  // namespace infercost
